"""On which device a model runs, and how it is held there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.routing.test_planner import codes, context
from tests.support.factory import service
from ziggie_image_mcp.inventory.types import Gpu, Hardware
from ziggie_image_mcp.provider import (
    FreeSize,
    Held,
    Memory,
    Model,
    OutOfMemory,
    Peak,
    ProviderRequest,
    Run,
    Rung,
    Submission,
)
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Plan

GB, GIB = 10**9, 2**30


def laddered(full: float, offload: float, group: float, weights: float, cpu: float) -> Memory:
    """Gigabytes: parameters counted on the meta device, peaks traced with FakeTensor."""
    return Memory(
        vram_bytes=int(offload * GB),
        ram_bytes=int(cpu * GB),
        rungs=(
            Rung(name="full", vram_bytes=int(full * GB)),
            Rung(name="model offload", vram_bytes=int(offload * GB), ram_bytes=int(weights * GB)),
            Rung(name="group offload", vram_bytes=int(group * GB), ram_bytes=int(weights * GB)),
        ),
    )


FLUX = laddered(36.6, 25.3, 2.9, 34.0, 36.2)
SDXL = laddered(11.3, 6.5, 4.4, 6.9, 10.7)
SD1 = laddered(3.5, 2.9, 1.5, 2.1, 3.1)


def card(free: float, total: int = 24, index: int = 0) -> Gpu:
    return Gpu(
        name=f"RTX {total}",
        vendor="nvidia",
        index=index,
        vram_total=total * GIB,
        vram_free=int(free * GB),
    )


APPLE = Gpu(name="Apple M2", vendor="apple", unified_memory=True)


def decide(memory: Memory, *gpus: Gpu, ram: float = 64, device: str = "gpu") -> Plan:
    one = model(memory=memory, device=device, seconds=None, family="sdxl")
    ctx = context(one)
    machine = Hardware(os="Linux", machine="x86_64", ram_available=int(ram * GB), gpus=gpus)
    return planner.plan(replace(ctx, hardware=machine))


def place(memory: Memory, *gpus: Gpu, ram: float = 64, device: str = "gpu") -> tuple[str, str]:
    """The device and the rung that were chosen."""
    plan = decide(memory, *gpus, ram=ram, device=device)
    chosen: Model = plan.candidates[0].model
    return chosen.device, chosen.rung


@pytest.mark.parametrize(
    ("memory", "gpus", "ram", "chosen"),
    [
        (SDXL, [card(23)], 64, ("cuda:0", "full")),
        (SDXL, [card(11.5, 12)], 64, ("cuda:0", "model offload")),
        (FLUX, [card(79, 80)], 4, ("cuda:0", "full")),
        (FLUX, [card(47, 48)], 64, ("cuda:0", "full")),
        (FLUX, [card(31.5, 32)], 64, ("cuda:0", "model offload")),
        # 25.3 GB are needed, and a card of 24 GiB has 25.7: no room for a margin
        (FLUX, [card(25.7)], 64, ("cuda:0", "group offload")),
        (SD1, [card(3)], 64, ("cuda:0", "group offload")),
        (SDXL, [card(3)], 64, ("cpu", "cpu")),
        (SDXL, [card(5.8, 6)], 64, ("cuda:0", "group offload")),
        (FLUX, [card(3)], 64, ("cpu", "cpu")),
        (SD1, [card(5.8, 6)], 64, ("cuda:0", "full")),
        (SDXL, [card(7.5, 8), card(23, 24, 1)], 64, ("cuda:1", "full")),
        (FLUX, [card(7.5, 8), card(31, 32, 1)], 64, ("cuda:1", "model offload")),
        (SD1, [card(9, 12), card(11, 12, 1)], 64, ("cuda:1", "full")),
        (SD1, [card(11, 12), card(9, 12, 1)], 64, ("cuda:0", "full")),
        (SDXL, [card(8, 24), card(11, 12, 1)], 64, ("cuda:1", "model offload")),
        (SDXL, [APPLE], 24, ("mps", "full")),
        (SDXL, [APPLE], 12, ("cpu", "cpu")),
        (SD1, [], 64, ("gpu", "")),
        # a card whose memory nobody tells: the engine looks for itself
        (SDXL, [Gpu(name="Arc", vendor="intel")], 64, ("gpu", "")),
    ],
)
def test_the_first_rung_that_fits_a_card_as_it_is_now_is_taken_on_the_roomiest(
    memory: Memory, gpus: list[Gpu], ram: float, chosen: tuple[str, str]
) -> None:
    assert place(memory, *gpus, ram=ram) == chosen


@pytest.mark.parametrize(
    ("memory", "gpus", "ram"),
    [
        (FLUX, [card(25.7)], 32),
        (SDXL, [card(3)], 8),
        (SDXL, [card(5.8, 6)], 6),
        (FLUX, [card(31, 32)], 16),  # the parked weights need 34 GB of RAM
        (SDXL, [APPLE], 10),
        (SDXL, [], 8),
    ],
)
def test_what_fits_nowhere_is_not_planned(memory: Memory, gpus: list[Gpu], ram: float) -> None:
    plan = decide(memory, *gpus, ram=ram)

    assert plan.candidates == ()
    assert codes(plan) == {"MEMORY_INSUFFICIENT"}


def test_the_reason_names_the_rung_that_came_nearest_and_by_how_much_it_misses() -> None:
    plan = decide(FLUX, card(7.5, 8), card(25.7, 24, 1), ram=32)

    (reason,) = plan.rejected[0].reasons
    assert reason.have == "7.5 GB free on RTX 8 (cuda:0) and 32.0 GB RAM free"
    assert reason.need == (
        "3.3 GB there for group offload and 34.0 GB RAM, 2.0 GB more RAM; or 36.2 GB RAM"
    )


@pytest.mark.parametrize(
    ("device", "chosen"),
    [
        ("cuda", ("cuda:1", "full")),
        ("cuda:0", ("cuda:0", "model offload")),
        ("cpu", ("cpu", "")),
        ("cuda:7", ("cuda:7", "")),  # nothing is known of it: the engine says what it sees
    ],
)
def test_a_device_that_is_set_is_kept_to(device: str, chosen: tuple[str, str]) -> None:
    cards = (card(11, 12), card(23, 24, 1))

    assert place(SDXL, *cards, device=device) == chosen


def test_a_card_that_is_set_and_too_small_is_not_exchanged_for_the_processor() -> None:
    assert decide(SDXL, card(3), card(23, 24, 1), device="cuda:0").candidates == ()


def test_what_our_own_worker_holds_counts_as_free_on_its_card_alone() -> None:
    worker = Held(device="cuda:0", vram_bytes=12 * GB, ram_bytes=3 * GB)
    busy = (card(4, 24), card(10, 12, 1))

    assert place(replace(SDXL, held=(worker,)), *busy) == ("cuda:0", "full")
    assert place(SDXL, *busy) == ("cuda:1", "model offload")


def test_what_a_worker_holds_makes_a_card_no_larger_than_it_is() -> None:
    worker = Held(device="cuda:0", vram_bytes=12 * GB, ram_bytes=0)

    # the look at the card may be older than the worker
    assert place(replace(SDXL, held=(worker,)), card(8, 8))[1] == "model offload"


def test_a_model_in_memory_stays_where_it_is_until_others_take_its_room() -> None:
    here = Held(device="cuda:0", vram_bytes=9 * GB, ram_bytes=0, rung="full")
    memory, larger = replace(SDXL, held=(here,)), card(23, 24, 1)

    assert place(memory, card(2.5, 12), larger) == ("cuda:0", "full")
    assert place(memory, card(1, 12), larger) == ("cuda:1", "full")


def test_a_model_on_the_processor_is_timed_as_one() -> None:
    on_card, on_cpu = (decide(SDXL, card(free)).candidates[0] for free in (23, 3))

    assert on_cpu.seconds - on_cpu.load_seconds > 5 * (on_card.seconds - on_card.load_seconds)


class Remembers(FakeProvider):
    """Keeps the device and the rung that each request came with."""

    def __init__(self, one: Model) -> None:
        super().__init__(models=[one])
        self.places: list[tuple[str, str]] = []

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        self.places.append((model.device, model.rung))
        return await super().submit(request, model, run)


async def test_the_provider_is_told_the_device_and_the_rung(tmp_path: Path) -> None:
    provider = Remembers(model(memory=SDXL, device="gpu"))

    await service(tmp_path, provider, gpu=True).generate(ImageRequest(prompt="a cat"))

    assert provider.places == [("cuda:0", "model offload")]  # of a card with 11 GiB free


def test_a_model_that_is_held_in_parts_is_expected_to_take_longer() -> None:
    slow = replace(SDXL, rungs=tuple(replace(r, slowdown=2.0) for r in SDXL.rungs[1:]))
    whole, parts = (decide(m, card(23)).candidates[0] for m in (SDXL, slow))

    making = [one.seconds - one.load_seconds for one in (whole, parts)]
    assert making[1] == pytest.approx(2 * making[0])


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("NVIDIA GeForce RTX 3060", 8.0, 10.0), ("NVIDIA GeForce RTX 4070", 3.0, 4.0)],
)
def test_the_chosen_card_is_timed_by_its_name_and_not_by_its_memory(
    name: str, low: float, high: float
) -> None:
    """SDXL takes 8 to 10 s on an RTX 3060: the source report's table of speeds."""
    one = model(
        id="sd_xl_base_1.0", memory=SD1, device="gpu", seconds=None, family="sdxl", steps=None
    )
    gpu = replace(card(12, total=12), name=name)
    machine = Hardware(os="Linux", machine="x86_64", ram_available=64 * GB, gpus=(gpu,))
    ctx = replace(context(one), hardware=machine)

    chosen = planner.plan(ctx).candidates[0]

    assert chosen.model.rung == "full"
    assert low <= chosen.seconds - chosen.load_seconds <= high


def growing(full: float, offload: float) -> Memory:
    """Of which half is the weights, and half grows from nothing to native size, in gigabytes."""

    def rung(name: str, size: float, parked: int, slowdown: float) -> Rung:
        half = size * GB / 2
        return Rung(
            name=name,
            vram_bytes=int(size * GB),
            peaks=(Peak(bytes=int(half), bytes_per_pixel=half / 1024**2),),
            ram_bytes=parked,
            slowdown=slowdown,
        )

    return Memory(
        vram_bytes=int(offload * GB),
        ram_bytes=int(full * GB),
        ram_peaks=(Peak(bytes=int(full * GB / 2), bytes_per_pixel=full * GB / 2 / 1024**2),),
        rungs=(rung("full", full, 0, 1.0), rung("model offload", offload, GB, 1.3)),
    )


def decide_size(memory: Memory, side: int, *gpus: Gpu, ram: float = 64, count: int = 1) -> Plan:
    sizes = FreeSize(
        native_width=1024, native_height=1024, min_side=256, max_side=4096, multiple_of=64
    )
    one = model(memory=memory, device="gpu", seconds=None, family="sdxl", sizes=sizes)
    request = ImageRequest(prompt="a cat", width=side, height=side, num_images=count)
    ctx = context(one, request=request)
    machine = Hardware(os="Linux", machine="x86_64", ram_available=int(ram * GB), gpus=gpus)
    return planner.plan(replace(ctx, hardware=machine))


@pytest.mark.parametrize(
    ("side", "chosen"),
    [
        (512, ("cuda:0", "full")),  # 6.25 GB
        (1024, ("cuda:0", "model offload")),  # 10 GB, or 6
        (1536, ("cpu", "cpu")),  # 9.75 GB, or 16.3 of RAM
    ],
)
def test_a_picture_is_judged_by_its_own_size(side: int, chosen: tuple[str, str]) -> None:
    one = decide_size(growing(10, 6), side, card(8, 8)).candidates[0].model

    assert (one.device, one.rung) == chosen


def test_pictures_that_are_made_together_do_not_add_up() -> None:
    one, four = (
        decide_size(growing(10, 6), 512, card(8, 8), count=count).candidates[0].model
        for count in (1, 4)
    )

    assert one.rung == four.rung == "full"


def test_a_stage_that_works_in_tiles_grows_no_more() -> None:
    tiled = Peak(bytes=GB, bytes_per_pixel=4000.0, most_pixels=1024 * 1024)
    rung = Rung(name="full", vram_bytes=6 * GB, peaks=(tiled,))

    plan = decide_size(Memory(rungs=(rung,)), 2048, card(7, 8))

    assert plan.candidates[0].model.rung == "full"


def test_a_smaller_size_that_fits_is_told_and_does_fit() -> None:
    memory = growing(10, 6)

    plan = decide_size(memory, 1536, card(8, 8), ram=8)
    (reason,) = plan.rejected[0].reasons
    side = int(reason.fix.split("x")[0].removeprefix("ask for "))

    assert reason.fix == f"ask for {side}x{side}, which fits, or close other programs"
    assert decide_size(memory, side, card(8, 8), ram=8).candidates
    assert not decide_size(memory, side + 64, card(8, 8), ram=8).candidates


def test_no_smaller_size_is_told_where_none_fits() -> None:
    plan = decide_size(growing(30, 20), 1536, card(8, 8), ram=8)

    (reason,) = plan.rejected[0].reasons
    assert reason.fix == "close other programs, or use a smaller one"


EIGHT = Rung(name="8 bit", vram_bytes=5 * GB, exact=False, fix="pip install torchao")


def test_a_library_that_would_make_it_fit_is_named_and_not_planned_with() -> None:
    memory = replace(SDXL, rungs=(SDXL.rungs[0], EIGHT))

    plan = decide(memory, card(7, 8), ram=4)

    (reason,) = plan.rejected[0].reasons
    assert reason.fix == "pip install torchao (then it fits: 8 bit)"


def test_a_library_that_would_not_help_is_not_named() -> None:
    memory = replace(SDXL, rungs=(SDXL.rungs[0], EIGHT))

    (reason,) = decide(memory, card(3, 4), ram=4).rejected[0].reasons

    assert reason.fix == "close other programs, or use a smaller one"


class RunsOut(Remembers):
    """Has too little memory for some of the rungs."""

    def __init__(self, one: Model, *too_large: str) -> None:
        super().__init__(one)
        self.too_large = too_large

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        answer = await super().submit(request, model, run)
        if model.rung in self.too_large:
            raise OutOfMemory(self.name, "CUDA out of memory.")
        return answer


async def test_where_memory_runs_out_the_next_rung_is_taken(tmp_path: Path) -> None:
    provider = RunsOut(model(memory=SD1, device="gpu"), "full", "model offload")

    result = await service(tmp_path, provider, gpu=True).generate(ImageRequest(prompt="a cat"))

    rungs = [rung for _, rung in provider.places]
    assert rungs == ["full", "model offload", "group offload"]
    assert [one.error_code for one in result.attempts] == ["OUT_OF_MEMORY"] * 2 + [""]


async def test_where_memory_runs_out_on_every_rung_that_is_the_error(tmp_path: Path) -> None:
    provider = RunsOut(model(memory=SD1, device="gpu"), *(rung.name for rung in SD1.rungs))
    served = service(tmp_path, provider, gpu=True)

    with pytest.raises(OutOfMemory):
        await served.generate(ImageRequest(prompt="a cat"))
    provider.too_large = ()
    await served.generate(ImageRequest(prompt="another cat"))

    assert [rung for _, rung in provider.places] == [*(r.name for r in SD1.rungs), "full"]


async def test_a_rung_that_does_not_fit_is_not_taken_after_one_that_ran_out(
    tmp_path: Path,
) -> None:
    parked = replace(SD1.rungs[1], ram_bytes=10**15)
    memory = replace(SD1, rungs=(SD1.rungs[0], parked, SD1.rungs[2]))
    provider = RunsOut(model(memory=memory, device="gpu"), "full")

    await service(tmp_path, provider, gpu=True).generate(ImageRequest(prompt="a cat"))

    assert [rung for _, rung in provider.places] == ["full", "group offload"]
