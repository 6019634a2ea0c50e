"""A card is no use to a torch that was built for the CPU: its models are planned for the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_providers.diffusers import torch_build
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.worker_request import device_wanted

CPU = """from typing import Optional

__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip', 'rocm', 'xpu']
__version__ = '2.13.0+cpu'
debug = False
cuda: Optional[str] = None
git_version = 'cf30153c4c131c8164ee7798e5022d810682e2cb'
hip: Optional[str] = None
rocm: Optional[str] = None
xpu: Optional[str] = None
"""


@pytest.mark.parametrize(
    ("text", "is_for_gpus"),
    [
        (CPU, False),
        (CPU.replace("cuda: Optional[str] = None", "cuda: Optional[str] = '13.0'"), True),
        (CPU.replace("hip: Optional[str] = None", "hip: Optional[str] = '7.1.2'"), True),
        (CPU.replace("xpu: Optional[str] = None", "xpu: Optional[str] = '20260100'"), True),
        (CPU.replace("cuda: Optional[str] = None", 'cuda = "12.8"'), True),
        ("", True),
        ("__version__ = '9.0'", True),
    ],
    ids=["cpu", "cuda", "rocm", "xpu", "as of old", "empty", "of a later form"],
)
def test_what_torch_was_built_for_is_read(text: str, is_for_gpus: bool) -> None:
    assert torch_build.is_for_gpus(text) == is_for_gpus


@pytest.mark.parametrize(
    ("device", "gpu", "sees", "wanted"),
    [
        ("auto", "auto-detect", False, "cpu"),
        ("auto", "auto-detect", True, "auto"),
        ("cuda:1", "auto-detect", False, "cuda:1"),
        ("auto", "cuda", False, "cuda"),
    ],
)
def test_a_device_that_is_set_is_the_users_own_word(
    device: str, gpu: str, sees: bool, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_build, "uses_gpus", lambda: sees)
    context = ProviderContext(data_dir=tmp_path, gpu=gpu)

    assert device_wanted(Settings(device=device), context) == wanted
