"""Attention, with the real worker: what is used is said, what cannot be is found out before."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.support.diffusers_calls import build_models, generation, worker_for
from ziggie_image_mcp.provider import DependencyMissing, ProviderUnavailable
from ziggie_image_providers.diffusers import attention

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_models("tests.support.random_models", tmp_path_factory.mktemp("zoo"))


async def test_another_attention_makes_other_bits_and_says_so(zoo: Path) -> None:
    async with worker_for(zoo, dtype="bfloat16") as usual:
        before = await generation(usual, "flux", steps=4)
    async with worker_for(zoo, dtype="bfloat16", attention="native") as named:
        same = await generation(named, "flux", steps=4)
    async with worker_for(zoo, dtype="bfloat16", attention="_native_math") as other:
        changed = await generation(other, "flux", steps=4)

    assert (before.notes, same.notes) == ((), ())
    assert before.images[0].data == same.images[0].data != changed.images[0].data
    assert changed.notes == (
        "attention by _native_math: pictures differ slightly from those of torch's own choice",
    )


async def test_a_model_that_leaves_its_attention_to_torch_says_that_the_setting_is_not_used(
    zoo: Path,
) -> None:
    async with worker_for(zoo, attention="_native_math") as provider:
        result = await generation(provider, "sd1")

    assert result.notes == (
        "attention by _native_math was not used: UNet2DConditionModel leaves it to torch",
    )


@pytest.mark.skipif(
    importlib.util.find_spec("sageattention") is not None, reason="this machine has it"
)
async def test_attention_that_is_not_installed_is_said_before_a_worker_starts(zoo: Path) -> None:
    async with worker_for(zoo, attention="sage") as provider:
        with pytest.raises(DependencyMissing, match=r"attention is 'sage'.*pip install sageatt"):
            await generation(provider, "flux")

        assert (await provider.probe()).loaded_model == ""


async def test_attention_for_a_card_is_refused_on_a_processor(zoo: Path) -> None:
    async with worker_for(zoo, attention="_native_cudnn", device="cpu") as provider:
        with pytest.raises(ProviderUnavailable, match=r"_native_cudnn.*NVIDIA.*Set attention"):
            await generation(provider, "flux")


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [
        ("native", None, ""),
        ("flash", "2.6.3", ""),
        ("flash", "2.10.0+cu128", ""),
        ("flash", "2.6.2", "flash-attn 2.6.2 is older than 2.6.3: pip install flash-attn -U"),
        ("xformers", None, "xformers is not installed: pip install xformers"),
    ],
)
async def test_a_backend_tells_what_it_lacks(name: str, version: str | None, why: str) -> None:
    assert attention.why_not_installed(name, lambda _: version) == why


@pytest.mark.parametrize(
    ("name", "device", "half", "why"),
    [
        ("native", "cpu", False, ""),
        ("flash", "cuda:1", True, ""),
        ("flash", "cuda", False, "it takes half precision only: set dtype to auto"),
        ("xformers", "cuda", False, ""),
        ("sage", "mps", True, "it runs on NVIDIA cards only, and the device is mps"),
    ],
)
async def test_a_backend_tells_where_it_does_not_run(
    name: str, device: str, half: bool, why: str
) -> None:
    assert attention.why_not_on(name, device, half) == why
