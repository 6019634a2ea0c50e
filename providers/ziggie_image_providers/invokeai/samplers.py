"""Say a sampler and a scheduler in InvokeAI's words, where both are one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ziggie_image_mcp.provider.sampler_names import nearest, plain

KARRAS = "karras"
PLAIN = ("", "normal", "automatic", "default")
"""Schedulers that are what a sampler has by itself."""

_SAME = {
    "eulera": "euler_a",
    "dpm2": "kdpm_2",
    "dpm2a": "kdpm_2_a",
    "dpmpp2sa": "dpmpp_2s",
    "dpmpp3msde": "dpmpp_3m",
    "ersde": "er_sde",
}
"""Names of others, plain, for what InvokeAI calls otherwise."""


class Unknown(ValueError):
    """Raised when InvokeAI has no such sampler; the message is the end of a sentence."""


def choose(sampler: str, scheduler: str, usual: str, known: Sequence[str]) -> str:
    """The word that InvokeAI has for a sampler and a scheduler.

    >>> choose("DPM++ 2M Karras", "", "euler", ("euler", "dpmpp_2m", "dpmpp_2m_k"))
    'dpmpp_2m_k'

    Args:
        sampler: As people and other engines call it; empty: the usual one.
        scheduler: `karras` or `normal`; empty: what stands in the sampler's name.
        usual: InvokeAI's word for what is taken where nothing is asked.
        known: InvokeAI's words that the model takes.

    Raises:
        Unknown: There is no such one, or not together.
    """
    if not sampler and not scheduler:
        return usual
    base, own = _divide(sampler or usual, known)
    if not base:
        raise Unknown(f"no sampler {sampler!r}{nearest(sampler, known)}")
    asked = scheduler.strip().lower() or (KARRAS if own else "")
    if asked in PLAIN:
        return base
    if asked != KARRAS:
        raise Unknown(f"no scheduler {scheduler!r}; it has karras and normal")
    if f"{base}_k" not in known:
        raise Unknown(f"no karras scheduler for {base}; leave the scheduler out")
    return f"{base}_k"


def _divide(name: str, known: Sequence[str]) -> tuple[str, bool]:
    """The sampler without its scheduler, empty where there is none, and whether it is karras."""
    karras = re.search(r"[\s_(]+(karras\)?|k)$", name.strip(), re.IGNORECASE)
    base = name.strip()[: karras.start()] if karras else name
    words = {plain(word): word for word in known if not word.endswith("_k")}
    word = words.get(plain(base)) or words.get(plain(_SAME.get(plain(base), "")))
    return word or "", karras is not None
