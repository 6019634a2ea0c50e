"""Say a sampler and a scheduler in InvokeAI's words, where both are one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

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
        raise Unknown(f"no sampler {sampler!r}{_nearest(sampler, known)}")
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
    plain = _plain(base)
    words = {_plain(word): word for word in known if not word.endswith("_k")}
    return words.get(plain) or words.get(_plain(_SAME.get(plain, ""))) or "", karras is not None


def _plain(name: str) -> str:
    """A name in which spellings meet: AUTOMATIC1111's, ComfyUI's and InvokeAI's."""
    words = name.lower().replace("++", "pp").replace("ancestral", "a")
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^k_", "", words))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    return "; nearest: " + ", ".join(near) if near else "; it has " + ", ".join(known[:5])
