"""The ways of holding a pipeline on a GPU: their names, their order, and what they take."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.provider import Rung, peak_bytes
from ziggie_image_providers.diffusers.families import PIPELINES
from ziggie_image_providers.diffusers.ladder import (
    Quantization,
    Way,
    is_quantised,
    notes,
    parse,
    rungs,
)
from ziggie_image_providers.diffusers.weights import Need, Part, need, part

UNQUANTISED = ["full", "model offload", "group offload"]
QUANTISED = [
    *("fp8", "fp8, model offload", "8 bit", "8 bit, model offload"),
    *("4 bit", "4 bit, model offload"),
]
TILED = ["group offload, tiled VAE", "4 bit, model offload, tiled VAE"]
MP = 1024 * 1024


def flux() -> Need:
    """Millions of parameters of FLUX.1, by whole layers."""
    sizes = {"transformer": 11901, "text_encoder": 123, "text_encoder_2": 4762, "vae": 84}
    parts = {
        name: Part(
            parameters=size * 10**6,
            bytes=size * 2 * 10**6,
            largest=size * 2 * 10**4,
            fp8=size * 10**6,
            int8=size * 10**6,
            nf4=size * 5625 * 10**2,
        )
        for name, size in sizes.items()
    }
    found = need(parts, PIPELINES["FluxPipeline"], 1024)
    assert found is not None
    return found


def ladder(quantization: Quantization, *, frugal: bool = True, libraries: str = "") -> list[Rung]:
    return list(
        rungs(flux(), frugal=frugal, quantization=quantization, installed=libraries.__contains__)
    )


@pytest.mark.parametrize(
    ("quantization", "names"),
    [
        ("never", [*UNQUANTISED, *TILED[:1]]),
        ("auto", [*UNQUANTISED, *QUANTISED, *TILED]),
        ("prefer", [*UNQUANTISED[:2], *QUANTISED, *UNQUANTISED[2:], *TILED]),
    ],
)
def test_pictures_of_the_whole_model_come_first_and_tiles_last(
    quantization: Quantization, names: list[str]
) -> None:
    assert [rung.name for rung in ladder(quantization)] == names


def test_nothing_waits_in_main_memory_where_that_is_switched_off() -> None:
    found = ladder("auto", frugal=False)

    assert [rung.name for rung in found] == ["full", "fp8", "8 bit", "4 bit"]
    assert {rung.ram_bytes for rung in found} == {0}


@pytest.mark.parametrize("name", [*UNQUANTISED, *QUANTISED, *TILED])
def test_a_name_says_how_the_model_is_held(name: str) -> None:
    assert str(parse(name)) == name


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("full", Way()),
        ("cpu", Way()),
        ("4 bit, model offload, tiled VAE", Way("model offload", "4 bit", tiled=True)),
    ],
)
def test_names_are_read_by_their_words(name: str, way: Way) -> None:
    assert parse(name) == way


def test_only_what_changes_pictures_is_said() -> None:
    silent = [rung.name for rung in ladder("auto") if not notes(rung.name)]

    assert silent == [rung.name for rung in ladder("auto") if rung.exact] == UNQUANTISED
    assert notes("8 bit, model offload") == (
        "weights held in 8 bits: pictures differ slightly from those of the whole model",
    )
    assert len(notes("4 bit, model offload, tiled VAE")) == 2


def test_a_rung_whose_library_is_missing_says_which() -> None:
    fixes = {rung.name: rung.fix for rung in ladder("auto", libraries="bitsandbytes")}

    assert fixes["8 bit"].endswith("pip install torchao")
    assert fixes["4 bit"] == fixes["fp8"] == fixes["full"] == ""


def test_each_rung_takes_what_its_parts_take() -> None:
    found = {rung.name: rung for rung in ladder("auto")}
    top = 0.49e9 * 3.28  # the VAE's decoding is above the denoiser's work

    full, weights = found["full"].vram_bytes, flux().weights
    assert full == pytest.approx(weights + 1e9 + top, rel=0.01)
    # T5 is 9.5 GB, and stays as it is where a layer's weights are cast for their use
    assert found["fp8"].vram_bytes == pytest.approx(full - 11.901e9, rel=1e-6)
    assert found["8 bit"].vram_bytes == pytest.approx(full - 16.786e9, rel=1e-6)
    assert found["fp8, model offload"].vram_bytes == pytest.approx(11.901e9 + 1.49e9, rel=0.01)
    assert found["4 bit, model offload"].vram_bytes == pytest.approx(6.694e9 + 1.49e9, rel=0.01)
    assert found["4 bit, model offload"].ram_bytes == pytest.approx(9.61e9, rel=0.01)


def test_quantised_weights_are_offered_only_where_the_files_tell_their_shapes() -> None:
    parts = {"unet": Part(parameters=5, bytes=10), "vae": Part(parameters=5, bytes=10)}
    found = need(parts, None, 512)
    assert found is not None

    names = [rung.name for rung in rungs(found, frugal=True, quantization="auto")]

    assert names == [*UNQUANTISED, *TILED[:1]]


def test_the_denoiser_is_quantised_everywhere_and_text_encoders_by_libraries() -> None:
    names = ("unet", "transformer", "transformer_2", "text_encoder_2", "vae", "tokenizer")

    by_precision = {
        precision: [name for name in names if is_quantised(name, precision)]
        for precision in ("fp8", "8 bit", "4 bit", "")
    }

    denoisers, libraries = list(names[:3]), list(names[:4])
    assert by_precision[""] == []
    assert by_precision["fp8"] == denoisers
    assert by_precision["8 bit"] == by_precision["4 bit"] == libraries


def test_a_large_picture_takes_more_until_the_vae_works_in_tiles() -> None:
    full = next(rung for rung in ladder("never") if rung.name == "full")
    group, tiled = (r for r in ladder("never") if r.name.startswith("group offload"))

    at = {side: peak_bytes(full.peaks, side * side) for side in (512, 1024, 2048, 4096)}
    assert at[512] < at[1024] < at[2048] < at[4096]
    assert at[2048] < 1.02 * at[1024]  # the denoiser's work: the decoding grows no more
    assert at[1024] == full.vram_bytes
    assert peak_bytes(tiled.peaks, 512 * 512) == peak_bytes(group.peaks, 512 * 512)
    assert peak_bytes(tiled.peaks, MP) < peak_bytes(group.peaks, MP)


def test_norms_embeddings_and_ends_keep_their_bits() -> None:
    tensors = {
        "blocks.0.attn.to_q.weight": ("F32", (64, 32)),
        "blocks.0.attn.to_q.bias": ("F32", (64,)),
        "blocks.0.norm1.linear.weight": ("F32", (64, 32)),
        "blocks.0.conv.weight": ("F32", (8, 8, 3, 3)),
        "blocks.0.scale_shift_table": ("F32", (6, 32)),
        "time_embed.linear.weight": ("F32", (64, 32)),
        "conv_in.weight": ("F32", (8, 4, 3, 3)),
    }
    linear, bias, conv, kept = 64 * 32, 64, 576, 2 * (2 * 64 * 32 + 6 * 32 + 288)

    one = part(tensors)

    assert one.fp8 == linear + bias + conv + kept
    assert one.int8 == linear + 5 * 64 + 2 * (bias + conv) + kept
    assert one.nf4 == linear // 2 + 4 * linear // 64 + 2 * (bias + conv) + kept
    assert one.bytes == 2 * (linear + bias + conv) + kept
