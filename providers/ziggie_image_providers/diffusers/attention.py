"""The backends of a transformer's attention: what each needs, looked up without torch.

Names, packages and versions are those of `diffusers.models.attention_dispatch` (diffusers 0.42).
Backends whose kernels the Hub would send (`flash_hub` and others) are left out: a worker has no
network. Only the native ones have run here; no GPU has run the others yet.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from ziggie_image_mcp.provider.installing import install_command

AttentionBackend = Literal[
    "auto",
    "native",
    "_native_math",
    "_native_efficient",
    "_native_flash",
    "_native_cudnn",
    "flash",
    "_flash_3",
    "sage",
    "xformers",
]
"""`native` is what torch does by itself: it chooses a kernel in each call."""

NATIVE = "native"


class Backend(NamedTuple):
    """What one backend needs."""

    package: str = ""
    """Imported by diffusers; empty: torch alone has it."""
    distribution: str = ""
    minimum: str = ""
    build: str = ""
    """How to get it where no index has it."""
    cuda: bool = True
    """Whether it runs on NVIDIA's cards only."""
    half: bool = True
    """Whether it takes float16 and bfloat16 only."""


BACKENDS: Mapping[str, Backend] = {
    NATIVE: Backend(cuda=False, half=False),
    "_native_math": Backend(cuda=False, half=False),
    "_native_efficient": Backend(half=False),
    "_native_flash": Backend(),
    "_native_cudnn": Backend(),
    "flash": Backend("flash_attn", "flash-attn", "2.6.3"),
    "_flash_3": Backend(
        "flash_attn_3", build="build FlashAttention 3 from github.com/Dao-AILab/flash-attention"
    ),
    "sage": Backend("sageattention", "sageattention", "2.1.1"),
    "xformers": Backend("xformers", "xformers", "0.0.29", half=False),
}


def why_not_installed(name: str, version: Callable[[Backend], str | None] | None = None) -> str:
    """Say what a backend lacks and how to get it; empty where it lacks nothing.

    Args:
        name: One of BACKENDS.
        version: Gives the installed version of its package; None: by looking.
    """
    backend = BACKENDS[name]
    if not backend.package:
        return ""
    here = (version or installed_version)(backend)
    if here is None:
        install = backend.build or install_command(backend.distribution)
        return f"{backend.distribution or backend.package} is not installed: {install}"
    if _numbers(here) < _numbers(backend.minimum):
        install = install_command(f"{backend.distribution}>={backend.minimum}")
        return f"{backend.distribution} {here} is older than {backend.minimum}: {install}"
    return ""


def why_not_on(name: str, device: str, half: bool) -> str:
    """Say why a backend does not run on a device, with what helps; empty where it does.

    Args:
        name: One of BACKENDS.
        device: As torch names it.
        half: The model computes in half precision.
    """
    backend = BACKENDS[name]
    if backend.cuda and not device.startswith("cuda"):
        return f"it runs on NVIDIA cards only, and the device is {device}"
    if backend.half and not half:
        return "it takes half precision only: set dtype to auto"
    return ""


def installed_version(backend: Backend) -> str | None:
    """The version of a backend's package; None where it is not here."""
    if importlib.util.find_spec(backend.package) is None:
        return None
    try:
        return importlib.metadata.version(backend.distribution or backend.package)
    except importlib.metadata.PackageNotFoundError:
        return backend.minimum  # built by hand, without metadata


def note(name: str) -> str:
    """What to say of pictures that were made with it."""
    return f"attention by {name}: pictures differ slightly from those of torch's own choice"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
