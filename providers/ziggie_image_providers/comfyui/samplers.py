"""Read samplers and schedulers as people know them from AUTOMATIC1111's web UI."""

from __future__ import annotations

import re
from collections.abc import Mapping

SAMPLERS: Mapping[str, str] = {
    "euler a": "euler_ancestral",
    "euler ancestral": "euler_ancestral",
    "euler": "euler",
    "heun": "heun",
    "heun++2": "heunpp2",
    "lms": "lms",
    "ddim": "ddim",
    "dpm2": "dpm_2",
    "dpm2 a": "dpm_2_ancestral",
    "dpm++ 2s a": "dpmpp_2s_ancestral",
    "dpm++ 2m": "dpmpp_2m",
    "dpm++ sde": "dpmpp_sde",
    "dpm++ 2m sde": "dpmpp_2m_sde",
    "dpm++ 2m sde heun": "dpmpp_2m_sde_heun",
    "dpm++ 3m sde": "dpmpp_3m_sde",
    "dpm fast": "dpm_fast",
    "dpm adaptive": "dpm_adaptive",
    "unipc": "uni_pc",
    "lcm": "lcm",
    "deis": "deis",
    "ddpm": "ddpm",
}
"""AUTOMATIC1111's names, in small letters, and ComfyUI's. What ComfyUI has not is left out."""

SCHEDULERS: Mapping[str, str] = {
    "karras": "karras",
    "exponential": "exponential",
    "normal": "normal",
    "simple": "simple",
    "sgm uniform": "sgm_uniform",
    "beta": "beta",
    "ddim": "ddim_uniform",
    "ddim uniform": "ddim_uniform",
    "kl optimal": "kl_optimal",
}


def in_own_words(sampler: str, scheduler: str) -> tuple[str, str]:
    """A sampler and a scheduler, either of them empty, in ComfyUI's words.

    What it does not know stays as it is. A scheduler that stands in the sampler's name counts where
    none is given.

    >>> in_own_words("DPM++ 2M Karras", "")
    ('dpmpp_2m', 'karras')
    """
    plain = _plain(sampler)
    for words, name in sorted(SCHEDULERS.items(), key=lambda item: -len(item[0])):
        head = plain.removesuffix(f" {words}")
        if head != plain and head in SAMPLERS:
            return SAMPLERS[head], _scheduler(scheduler) or name
    known = SAMPLERS.get(plain)
    own = re.sub(r"[ -]", "_", plain) if re.fullmatch(r"[a-z0-9_ -]+", plain) else sampler
    return known or own, _scheduler(scheduler)


def _scheduler(text: str) -> str:
    plain = _plain(text)
    return SCHEDULERS.get(plain, text.strip().lower().replace(" ", "_"))


def _plain(text: str) -> str:
    """In small letters, with single blanks, and no brackets.

    >>> _plain("DPM++_2M  (Karras)")
    'dpm++ 2m karras'
    """
    return " ".join(re.sub(r"[()_]", " ", text.lower()).split())
