"""Find samplers and schedulers of a server by the names that people and other engines use."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

Named = Sequence[Sequence[str]]
"""Things with all the names that they have, the one that is sent first."""


def plain(name: str) -> str:
    """A name in which spellings meet: AUTOMATIC1111's, k-diffusion's and ComfyUI's.

    >>> plain("DPM++ 2S a"), plain("k_dpmpp_2s_ancestral"), plain("SGM Uniform")
    ('dpmpp2sa', 'dpmpp2sa', 'sgmuniform')
    """
    words = name.lower().replace("++", "pp").replace("ancestral", "a")
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^k_", "", words))


def find(name: str, known: Named) -> str:
    """The server's own word for a name; empty where it has none."""
    exact = (names[0] for names in known if name in names)
    alike = (names[0] for names in known if plain(name) in map(plain, names))
    return next(exact, None) or next(alike, "")


def divide(name: str, samplers: Named, schedulers: Named) -> tuple[str, str]:
    """A sampler and the scheduler that stands in its name, as in DPM++ 2M Karras; or no scheduler.

    Both in the server's own words; the sampler is empty where there is none of that name.
    """
    whole = find(name, samplers)
    if whole:
        return whole, ""
    words = re.sub(r"[()]", " ", name).split()
    for i in range(len(words) - 1, 0, -1):
        sampler = find(" ".join(words[:i]), samplers)
        scheduler = find(" ".join(words[i:]), schedulers)
        if sampler and scheduler:
            return sampler, scheduler
    return "", ""


def nearest(name: str, known: Iterable[str]) -> str:
    """The names most like this one, as the end of a sentence.

    >>> nearest("eulr", ["Euler", "LCM"])
    '; nearest: Euler'
    """
    names = list(known)
    by_case = {k.lower(): k for k in names}
    near = difflib.get_close_matches(name.lower(), by_case, n=3, cutoff=0.5)
    if near:
        return "; nearest: " + ", ".join(by_case[n] for n in near)
    return "; it has " + ", ".join(names[:5]) if names else ""
