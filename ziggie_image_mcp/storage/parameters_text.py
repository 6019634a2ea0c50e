"""Read the text in which AUTOMATIC1111, its forks and this server write how a picture was made.

The prompt, a line `Negative prompt: ...`, and a last line of `Key: value` with commas. A value
with a comma in it stands in quotes, as JSON. Source: `modules/infotext_utils.py` of
AUTOMATIC1111/stable-diffusion-webui (`parse_generation_parameters`, `re_param`, `quote`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.storage.types import FileRecipe, NoRecipe

NEGATIVE = "Negative prompt:"
OURS = "ziggie-image-mcp"
"""What this server writes as `Version`."""
LEAST_FACTS = 3
"""Of the last line: with fewer it is part of the prompt."""
MAX_LINE = 200_000
"""Characters of the last line: node packs write their workflow into it."""

_FACT = re.compile(r'([A-Za-z0-9][\w \-/]{0,60}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d{1,6})\s*x\s*(\d{1,6})")
_LORA = re.compile(r"<lora:([^<>]+):([+-]?[\d.]{1,20})>")
_NUMBER = re.compile(r"[+-]?(?:\d{1,20}\.?\d{0,20}|\.\d{1,20})")

_READ = frozenset(
    (
        *("Steps", "CFG scale", "Distilled CFG Scale", "Seed", "Size", "Model", "Sampler"),
        *(
            "Schedule type",
            "Loras",
            "References",
            "Control",
            "Seamless",
            "Tiling",
            "Transparent",
            "Provider",
            "Asset",
        ),
    )
)
_SAYS_NOTHING = frozenset(
    (
        *("Version", "Style", "App", "Created Date", "Civitai resources", "Civitai metadata"),
        *("Diffusion in Low Bits", "User", "Batch size", "Batch pos", "Time taken"),
    )
)
"""What changes no picture, as hashes do not."""


def has_parameters(text: str) -> bool:
    """Whether a text is of this form."""
    return len(_FACT.findall(_last_line(text)[1][:MAX_LINE])) >= LEAST_FACTS


def read_parameters(text: str) -> FileRecipe:
    """The recipe of a text.

    Raises:
        NoRecipe: It has no line of facts.
    """
    words, line = _last_line(text)
    if len(line) > MAX_LINE:
        raise NoRecipe(f"its line of settings has {len(line)} characters")
    facts = {key: _unquoted(value) for key, value in _FACT.findall(line)}
    if len(facts) < LEAST_FACTS:
        raise NoRecipe("its text has no line of settings, as `Steps: 20, Seed: 7, Size: 512x512`")
    prompt, _, negative = _split(words)
    size = _SIZE.fullmatch(facts.get("Size", "").strip())
    guidance = _number(facts, "Distilled CFG Scale")
    if guidance is None:
        guidance = _number(facts, "CFG scale")
    return FileRecipe(
        source=OURS if facts.get("Version") == OURS else "AUTOMATIC1111",
        prompt=prompt,
        negative_prompt=negative,
        seed=_whole(facts, "Seed"),
        steps=_whole(facts, "Steps"),
        guidance_scale=guidance,
        sampler=facts.get("Sampler", ""),
        scheduler=_scheduler(facts),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        model=facts.get("Model", ""),
        provider=facts.get("Provider", ""),
        loras=tuple(loras_in(facts.get("Loras", ""))),
        references=tuple(facts.get("References", "").split()),
        control=", ".join(facts.get("Control", "").split()),
        seamless=facts.get("Seamless") == "yes" or facts.get("Tiling") == "True",
        transparent=facts.get("Transparent") == "yes",
        asset=facts.get("Asset", ""),
        unread=_unread(facts),
    )


def loras_in(text: str) -> Iterator[Lora]:
    """Those of `<lora:NAME:WEIGHT> <lora:...>`."""
    for name, weight in _LORA.findall(text):
        if _NUMBER.fullmatch(weight):
            yield Lora(id=name, weight=float(weight))


def quoted(value: str) -> str:
    """A value as the line of facts has it: in quotes where a comma or a line's end is in it."""
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,\n\r]|^"', value) else value


def _last_line(text: str) -> tuple[str, str]:
    words, _, line = text.strip().rpartition("\n")
    return words, line


def _split(words: str) -> tuple[str, str, str]:
    if words.startswith(NEGATIVE):
        return "", NEGATIVE, words.removeprefix(NEGATIVE).strip()
    prompt, mark, negative = words.partition(f"\n{NEGATIVE}")
    return prompt.strip(), mark, negative.strip()


def _unquoted(value: str) -> str:
    value = value.strip()
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except (ValueError, RecursionError):
        return value.strip('"')


def _number(facts: dict[str, str], key: str) -> float | None:
    value = facts.get(key, "")
    return float(value) if _NUMBER.fullmatch(value) else None


def _whole(facts: dict[str, str], key: str) -> int | None:
    value = facts.get(key, "")
    return int(value) if re.fullmatch(r"\d{1,20}", value) else None


def _scheduler(facts: dict[str, str]) -> str:
    name = facts.get("Schedule type", "")
    return "" if name.lower() == "automatic" else name


def _unread(facts: dict[str, str]) -> tuple[str, ...]:
    """What went into the picture and is not read, with what it was where that is short."""
    return tuple(
        f"{key} {value}" if len(value) <= 60 else key
        for key, value in facts.items()
        if key not in _READ | _SAYS_NOTHING and "hash" not in key.lower() and value
    )
