"""Samplers and schedulers under the names that people use, as classes and settings of diffusers.

After diffusers' own table of A1111's and k-diffusion's names (docs, api/schedulers/overview).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ziggie_image_mcp.provider import sampler_names
from ziggie_image_mcp.provider.installing import install_command

Settings = Mapping[str, bool | str]


class Sampler(NamedTuple):
    """A sampler in diffusers' words."""

    scheduler_class: str
    settings: Settings = MappingProxyType({})
    names: tuple[str, ...] = ()
    """What else it is called."""
    sigmas: bool = True
    """Whether it takes the schedulers that set sigmas, as karras."""
    spacing: bool = True
    """Whether it takes those that set the spacing of steps, as sgm_uniform."""
    needs: str = ""
    """A package that it needs beside diffusers."""


class Scheduler(NamedTuple):
    """How noise falls from step to step, in diffusers' words."""

    settings: Settings
    names: tuple[str, ...] = ()
    needs: str = ""


_DPM = "DPMSolverMultistepScheduler"

SAMPLERS: Mapping[str, Sampler] = {
    "euler": Sampler("EulerDiscreteScheduler"),
    "euler_a": Sampler("EulerAncestralDiscreteScheduler", sigmas=False),
    "heun": Sampler("HeunDiscreteScheduler"),
    "lms": Sampler("LMSDiscreteScheduler", needs="scipy"),
    "ddim": Sampler("DDIMScheduler", sigmas=False),
    "ddpm": Sampler("DDPMScheduler", sigmas=False),
    "pndm": Sampler("PNDMScheduler", {"skip_prk_steps": True}, ("plms",), sigmas=False),
    "deis": Sampler("DEISMultistepScheduler"),
    "unipc": Sampler("UniPCMultistepScheduler"),
    "dpmpp_2m": Sampler(_DPM, {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": Sampler(_DPM, {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_sde": Sampler("DPMSolverSinglestepScheduler", spacing=False),
    "dpm2": Sampler("KDPM2DiscreteScheduler", names=("dpm_2",)),
    "dpm2_a": Sampler("KDPM2AncestralDiscreteScheduler", names=("dpm_2_a",)),
    "lcm": Sampler("LCMScheduler", sigmas=False),
    "tcd": Sampler("TCDScheduler", sigmas=False),
}
"""By our name."""

_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")

SCHEDULERS: Mapping[str, Scheduler] = {
    "normal": Scheduler(dict.fromkeys(_SIGMAS, False)),
    "karras": Scheduler({**dict.fromkeys(_SIGMAS, False), "use_karras_sigmas": True}),
    "exponential": Scheduler({**dict.fromkeys(_SIGMAS, False), "use_exponential_sigmas": True}),
    "beta": Scheduler({**dict.fromkeys(_SIGMAS, False), "use_beta_sigmas": True}, needs="scipy"),
    "sgm_uniform": Scheduler({"timestep_spacing": "trailing"}, ("trailing",)),
    "ddim_uniform": Scheduler({"timestep_spacing": "leading"}, ("leading",)),
    "linspace": Scheduler({"timestep_spacing": "linspace"}),
}
"""By our name."""

_NAMED_SAMPLERS = [
    (name, sampler.scheduler_class, *sampler.names) for name, sampler in SAMPLERS.items()
]
_NAMED_SCHEDULERS = [(name, *scheduler.names) for name, scheduler in SCHEDULERS.items()]


def choose(sampler: str | None, scheduler: str | None) -> tuple[str | None, str | None]:
    """Find our names for what people ask for, as DPM++ 2M Karras; None where nothing is asked.

    Raises:
        ValueError: There is none of that name, or the two do not go together, or a package is
            missing.
    """
    ours, its = None, None
    if sampler is not None:
        ours = sampler_names.find(sampler, _NAMED_SAMPLERS)
        if not ours:
            words = sampler.replace("_", " ")  # so that dpmpp_2m_karras is two names
            ours, its = sampler_names.divide(words, _NAMED_SAMPLERS, _NAMED_SCHEDULERS)
        if not ours:
            near = sampler_names.nearest(sampler, SAMPLERS)
            raise ValueError(f"there is no sampler {sampler!r}{near}")
    if scheduler is not None:
        its = sampler_names.find(scheduler, _NAMED_SCHEDULERS)
        if not its:
            near = sampler_names.nearest(scheduler, SCHEDULERS)
            raise ValueError(f"there is no scheduler {scheduler!r}{near}")
    _check(ours, its)
    return ours, its or None


def settings_of(sampler: str | None, scheduler: str | None) -> dict[str, bool | str]:
    """What is set on the scheduler class."""
    chosen: dict[str, bool | str] = {}
    if sampler is not None:
        chosen |= SAMPLERS[sampler].settings
    if scheduler is not None:
        chosen |= SCHEDULERS[scheduler].settings
    return chosen


def _check(sampler: str | None, scheduler: str | None) -> None:
    needed = [SAMPLERS[sampler].needs] if sampler else []
    needed += [SCHEDULERS[scheduler].needs] if scheduler else []
    for package in filter(None, needed):
        if importlib.util.find_spec(package) is None:
            install = install_command(package)
            raise ValueError(f"{sampler or scheduler} needs a package: {install}")
    if not sampler or not scheduler or scheduler == "normal":
        return
    able = SAMPLERS[sampler]
    by_sigmas = bool(set(_SIGMAS) & SCHEDULERS[scheduler].settings.keys())
    if not (able.sigmas if by_sigmas else able.spacing):
        raise ValueError(f"the sampler {sampler} takes no scheduler {scheduler}")
