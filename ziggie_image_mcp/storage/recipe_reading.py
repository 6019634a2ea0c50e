"""Read how a picture was made out of its file: ours, and those of the programs that people use."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.json_paths import number, objects, values
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.storage.graph_recipe import read_graph
from ziggie_image_mcp.storage.parameters_text import OURS, has_parameters, loras_in, read_parameters
from ziggie_image_mcp.storage.types import FileRecipe, NoRecipe

MAX_TEXT = 8 * 2**20
"""Bytes of one text of a file: large graphs have one."""
OUR_KEYWORD = "ziggie-image"
"""Under it our PNG files carry their recipe as JSON."""

_USER_COMMENT, _EXIF_IFD = 0x9286, 0x8769


def read_recipe(data: bytes) -> FileRecipe:
    """How the picture of a file was made.

    Raises:
        NoRecipe: It is no PNG, JPEG or WebP, tells nothing, or tells it in a way that is damaged or
            too large to be read.
    """
    texts = _texts(data)
    for program in _PROGRAMS:
        text = texts.get(program.keyword, "")
        facts = _json(text) if text.lstrip().startswith("{") else None
        if next(values(facts, program.prompt), None) is not None:
            return _from_json(facts, program)
    if has_parameters(text := texts.get("parameters", "")):
        return read_parameters(text)
    if "prompt" in texts:
        return read_graph(_json(texts["prompt"]))
    if "workflow" in texts:
        raise NoRecipe("it has ComfyUI's workflow for the page, not the graph that was run")
    raise NoRecipe("it does not tell how it was made: it has no recipe, or lost it on the way")


def _texts(data: bytes) -> dict[str, str]:
    """The texts of a file by their keywords; of JPEG and WebP what stands in EXIF."""
    from PIL import Image

    if not pictures.is_picture(data):
        raise NoRecipe(f"it has {len(data)} bytes that are no PNG, JPEG or WebP picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
                texts = {
                    str(key): value for key, value in image.info.items() if isinstance(value, str)
                }
                texts |= dict(_exif_texts(image.getexif()))
    except (*pictures.DAMAGED, Image.DecompressionBombError) as e:
        raise NoRecipe("its file is damaged, or its texts are too large") from e
    if any(len(text) > MAX_TEXT for text in texts.values()):
        raise NoRecipe(f"a text in it is larger than {MAX_TEXT >> 20} MB")
    return texts


def _exif_texts(exif: Any) -> Iterator[tuple[str, str]]:
    comment = exif.get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if isinstance(comment, bytes) and (text := _comment(comment)):
        yield "parameters", text
    for value in dict(exif).values():  # as ComfyUI writes WebP: `prompt:{...}`
        if isinstance(value, str) and (match := re.match("(prompt|workflow):", value)):
            yield match[1], value[match.end() :]


def _comment(comment: bytes) -> str:
    """EXIF's UserComment: eight bytes name its encoding. UTF-16 comes in either order."""
    head, body = comment[:8], comment[8:]
    if head != b"UNICODE\0":
        return (body if head == b"ASCII\0\0\0" else comment).decode("utf-8", "replace").strip("\0")
    little = body[1:200:2].count(0) > body[0:200:2].count(0)
    return body.decode("utf-16-le" if little else "utf-16-be", "replace")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise NoRecipe("the JSON in it is damaged") from e


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A program that writes JSON, and where in it the values stand: the first path that has one."""

    name: str
    keyword: str
    """Of the text that has the JSON."""
    prompt: str
    """Where this is nothing, the JSON is another program's."""
    paths: Mapping[str, Sequence[str]]
    """By the fields of a recipe."""
    unread: Sequence[str] = ()
    """Of the JSON: what else went into the picture."""


_SAME = {name: (name,) for name in ("seed", "steps", "width", "height", "model", "scheduler")}
_PROGRAMS = (
    _Program(
        name=OURS,
        keyword=OUR_KEYWORD,
        prompt="prompt",
        paths=_SAME
        | {
            "negative_prompt": ("negative_prompt",),
            "guidance_scale": ("guidance_scale",),
            "provider": ("provider",),
            "sampler": ("Sampler",),
            "scheduler": ("Schedule type",),
        },
        unread=("Image", "Mask", "Denoising strength", "Process"),
    ),
    _Program(
        name="InvokeAI",
        keyword="invokeai_metadata",
        prompt="positive_prompt",
        paths=_SAME
        | {
            "negative_prompt": ("negative_prompt",),
            "guidance_scale": ("guidance", "cfg_scale"),
            "sampler": ("scheduler",),
            "scheduler": (),
            "model": ("model.name", "model.model_name"),
        },
        unread=("strength", "controlnets", "ipAdapters", "refiner_model", "vae", "hrf_enabled"),
    ),
    _Program(
        name="SwarmUI",
        keyword="parameters",
        prompt="sui_image_params.prompt",
        paths={name: (f"sui_image_params.{name}",) for name in (*_SAME, "sampler")}
        | {
            "negative_prompt": ("sui_image_params.negativeprompt",),
            "guidance_scale": (
                "sui_image_params.fluxguidancescale",
                "sui_image_params.cfgscale",
            ),
        },
        unread=(
            "sui_image_params.initimagecreativity",
            "sui_image_params.refinerupscale",
            "sui_image_params.variationseedstrength",
        ),
    ),
    _Program(
        name="Fooocus",
        keyword="parameters",
        prompt="prompt",
        paths=_SAME
        | {
            "negative_prompt": ("negative_prompt",),
            "guidance_scale": ("guidance_scale",),
            "sampler": ("sampler",),
            "model": ("base_model",),
        },
        unread=("styles", "performance", "refiner_model", "sharpness"),
    ),
)


def _from_json(facts: object, program: _Program) -> FileRecipe:
    def first(field: str) -> object:
        return next((v for path in program.paths.get(field, ()) for v in values(facts, path)), None)

    resolution = next(values(facts, "resolution"), None)
    size = re.fullmatch(r"\(?(\d{1,6}), ?(\d{1,6})\)?", str(resolution))
    width, height = (int(size[1]), int(size[2])) if size else (None, None)
    seamless, transparent, control, references, asset = (
        _text(next(values(facts, key), None))
        for key in ("Seamless", "Transparent", "Control", "References", "Asset")
    )
    return FileRecipe(
        source=program.name,
        prompt=_text(next(values(facts, program.prompt), None)),
        negative_prompt=_text(first("negative_prompt")),
        seed=_whole(first("seed")),
        steps=_whole(first("steps")),
        guidance_scale=_number(first("guidance_scale")),
        sampler=_text(first("sampler")),
        scheduler=_text(first("scheduler")),
        width=_whole(first("width")) or width,
        height=_whole(first("height")) or height,
        model=_text(first("model")),
        provider=_text(first("provider")),
        loras=tuple(_loras(facts)),
        references=tuple(references.split()),
        control=", ".join(control.split()),
        seamless=seamless == "yes",
        transparent=transparent == "yes",
        asset=asset,
        unread=tuple(
            path.rpartition(".")[2]
            for path in program.unread
            if next(values(facts, path), None) not in (None, "", [], {}, False, "None")
        ),
    )


def _loras(facts: object) -> Iterator[Lora]:
    """Those of any of the programs: each writes them under keys of its own."""
    yield from loras_in(_text(next(values(facts, "Loras"), None)))
    for one in objects(facts, "loras[]"):
        for path in ("model.name", "lora.model_name"):
            for name in values(one, path):
                yield from _lora(name, one.get("weight"))
    names = values(facts, "sui_image_params.loras[]")
    weights = [*values(facts, "sui_image_params.loraweights[]")]
    for i, name in enumerate(names):
        yield from _lora(name, weights[i] if i < len(weights) else 1)
    for key, value in cast(Mapping[str, object], facts).items():
        if key.startswith("lora_combined_"):
            name, _, weight = _text(value).rpartition(" : ")
            yield from _lora(name, weight)


def _lora(name: object, weight: object) -> Iterator[Lora]:
    number = _number(weight)
    if isinstance(name, str) and name and number is not None:
        yield Lora(id=name, weight=number)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    """A number, also as text."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,20}(\.\d{1,20})?", value):
        value = float(value)
    return number(value)


def _whole(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,20}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
