"""What a job does after a failed attempt, and what it tells where the look at the rest fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.factory import service
from ziggie_image_mcp.errors import (
    EngineCrashed,
    ImageError,
    InvalidOutput,
    OutOfMemory,
    ProviderError,
)
from ziggie_image_mcp.jobs.errors import GenerationFailed
from ziggie_image_mcp.provider import Generation, Memory, Model, ProviderRequest, Run, Submission
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest

ASK = ImageRequest(prompt="a cat")
GB = 10**9


def sized(id: str, gigabytes: int | None, quality: float, **facts: Any) -> Model:
    need = None if gigabytes is None else gigabytes * GB
    facts.setdefault("device", "cuda:0")
    return model("engine", id, quality=quality, memory=Memory(vram_bytes=need), **facts)


def full(*models: Model, times: int = 1) -> FakeProvider:
    return FakeProvider(
        "engine", models=models, answers=[OutOfMemory("engine", "it is full")] * times
    )


@pytest.mark.parametrize(
    ("second", "third", "taken"),
    [
        (sized("same", 8, 8), sized("small", 4, 7), "small"),
        (sized("larger", 9, 8), sized("small", 4, 7), "small"),
        (sized("unknown", None, 8), sized("small", 4, 7), "unknown"),
        (sized("elsewhere", 8, 8, device="cuda:1"), sized("small", 4, 7), "elsewhere"),
    ],
)
async def test_after_a_full_memory_the_next_route_needs_less(
    second: Model, third: Model, taken: str, tmp_path: Path
) -> None:
    engine = full(sized("first", 8, 9.5), second, third)

    result = await service(tmp_path, engine, gpu=True).generate(ASK)

    assert [a.model for a in result.attempts] == ["first", taken]


async def test_of_one_family_all_that_tell_no_size_need_the_same(tmp_path: Path) -> None:
    first, second = (sized(id, None, 9, family="sdxl") for id in ("first", "second"))
    third = sized("third", None, 5, family="sd1")
    engine = full(first, second, third)

    result = await service(tmp_path, engine, gpu=True).generate(ASK)

    assert [a.model for a in result.attempts] == ["first", "third"]


async def test_what_is_left_out_after_a_full_memory_is_told(tmp_path: Path) -> None:
    engine = full(sized("first", 8, 9.5), sized("same", 8, 8))

    with pytest.raises(GenerationFailed) as error:
        await service(tmp_path, engine, gpu=True).generate(ASK)

    assert len(engine.seen) == 1
    (rejection,) = error.value.rejected
    (reason,) = rejection.reasons
    assert (rejection.model, reason.code) == ("same", "OUT_OF_MEMORY")
    assert reason.need == "less memory than first, which ran out of it"


def spoil(folder: Path) -> None:
    """Make the ledger unreadable."""
    for path in folder.glob("ledger*"):
        path.write_bytes(b"no database any more" * 1000)


class SpoilsTheLedger(FakePaidProvider):
    """The ledger goes to pieces before its last answer."""

    def __init__(self, folder: Path, error: ProviderError | None = None) -> None:
        super().__init__(answers=[error] if error else ())
        self._folder = folder
        self._fails = error is not None

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        if self._fails:
            spoil(self._folder)
        return await super().submit(request, model, run)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        spoil(self._folder)
        return await super().collect(remote_id, request, model, run)


class FreeSpoiler(FakeProvider):
    def __init__(self, folder: Path) -> None:
        super().__init__(answers=[EngineCrashed("fake", "the worker died")])
        self._folder = folder

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        spoil(self._folder)
        return await super().submit(request, model, run)


PAID: dict[str, Any] = {"allowPaidFallback": "withinBudget", "budget": {"perDay": 1}}


async def test_an_engine_s_error_is_told_although_the_ledger_broke_meanwhile(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FreeSpoiler(tmp_path), FakePaidProvider())
    await made.billing.ledger.holds()

    with pytest.raises(ImageError) as error:
        await made.generate(ASK)

    assert isinstance(error.value, GenerationFailed)
    assert "fake/model: ENGINE_CRASHED: the worker died" in str(error.value)
    assert "- paid/model: LEDGER_UNUSABLE:" in str(error.value)


async def test_a_vendor_s_error_and_its_charge_are_told_although_the_ledger_broke(
    tmp_path: Path,
) -> None:
    error = InvalidOutput("paid", "it was black", charged=40_000)
    made = service(tmp_path, SpoilsTheLedger(tmp_path, error), **PAID)

    with pytest.raises(ImageError) as caught:
        await made.generate(ASK)

    assert "paid/model: INVALID_OUTPUT: it was black ($0.04 charged)" in str(caught.value)


async def test_pictures_that_were_paid_for_are_given_although_the_ledger_broke(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, SpoilsTheLedger(tmp_path), **PAID)

    result = await made.generate(ASK)

    assert len(result.images) == 1
    assert result.cost_micro_usd == 40_000
    assert any("could not be written down" in note for note in result.notes)
