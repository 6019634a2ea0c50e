"""One request through the service: order, fallback, progress, cancellation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.support.factory import service
from ziggie_image_mcp.app import reports
from ziggie_image_mcp.errors import (
    ContentRefused,
    EngineCrashed,
    InvalidOutput,
    OutOfMemory,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    StorageError,
)
from ziggie_image_mcp.jobs.errors import GenerationFailed
from ziggie_image_mcp.provider.testing import FakeProvider, model, picture
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest

ASK = ImageRequest(prompt="a cat")


def better(name: str, *answers: bytes | ProviderError) -> FakeProvider:
    return FakeProvider(name, models=[model(name, quality=9.0)], answers=answers)


async def test_a_picture_is_made_kept_and_explained(tmp_path: Path) -> None:
    fake = FakeProvider()

    result = await service(tmp_path, fake).generate(ASK)

    (image,) = result.images
    assert Path(image.path).is_file()
    assert (image.width, image.height) == (1024, 1024)
    assert result.why == "the only model that can (local, free, about 4 s expected)"
    assert [a.ok for a in result.attempts] == [True]
    assert result.cost_micro_usd == 0
    assert image.seed == fake.seen[0].seed


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("a", "down"),
        OutOfMemory("a", "full"),
        EngineCrashed("a", "gone"),
        RateLimited("a", "slow down", retry_after=3.0),
        RequestRejected("a", "no such sampler"),
        InvalidOutput("a", "black"),
    ],
)
async def test_a_failed_route_is_followed_by_the_next_and_told(
    error: ProviderError, tmp_path: Path
) -> None:
    first = better("a", error)
    second = FakeProvider("b")

    result = await service(tmp_path, first, second).generate(ASK)

    assert [(a.provider, a.ok, a.error_code) for a in result.attempts] == [
        ("a", False, error.code),
        ("b", True, ""),
    ]
    assert f"a/model failed ({error.code})" in result.why


@pytest.mark.parametrize("data", [b"", b"<html>", picture(colour="black")])
async def test_a_worthless_answer_counts_as_a_failure(data: bytes, tmp_path: Path) -> None:
    first = better("a", data)
    second = FakeProvider("b")

    result = await service(tmp_path, first, second).generate(ASK)

    assert [a.error_code for a in result.attempts] == ["INVALID_OUTPUT", ""]


async def test_a_content_refusal_is_not_shopped_around(tmp_path: Path) -> None:
    refused = ContentRefused("a", "blocked")
    first = better("a", refused)
    second = FakeProvider("b")

    with pytest.raises(ContentRefused):
        await service(tmp_path, first, second).generate(ASK)

    assert second.seen == []


async def test_a_pinned_provider_that_fails_is_not_replaced(tmp_path: Path) -> None:
    first = FakeProvider("a", answers=[EngineCrashed("a", "gone")])
    second = FakeProvider("b")

    with pytest.raises(EngineCrashed, match="gone"):
        await service(tmp_path, first, second).generate(replace(ASK, provider="a"))

    assert second.seen == []


async def test_when_every_route_fails_all_attempts_are_told(tmp_path: Path) -> None:
    first = FakeProvider("a", answers=[EngineCrashed("a", "gone")])
    second = FakeProvider("b", answers=[OutOfMemory("b", "needs 9 GB")])

    with pytest.raises(GenerationFailed) as caught:
        await service(tmp_path, first, second).generate(ASK)

    assert "a/model: ENGINE_CRASHED: gone" in str(caught.value)
    assert "b/model: OUT_OF_MEMORY: needs 9 GB" in str(caught.value)


async def test_a_provider_that_is_down_is_named_when_nothing_is_left(tmp_path: Path) -> None:
    down = FakeProvider("comfyui", down=ProviderUnavailable("comfyui", "refused at 8188"))

    with pytest.raises(NoRoute, match="refused at 8188"):
        await service(tmp_path, down).generate(ASK)


async def test_pictures_that_cannot_be_kept_are_not_made(tmp_path: Path) -> None:
    fake = FakeProvider()
    made = service(tmp_path, fake)
    (tmp_path / "pictures").write_text("a file in the way", encoding="utf-8")

    with pytest.raises(StorageError, match=r"output\.directory"):
        await made.generate(ASK)

    assert fake.seen == []


async def test_each_picture_of_a_batch_has_its_own_seed(tmp_path: Path) -> None:
    result = await service(tmp_path, FakeProvider()).generate(replace(ASK, num_images=3, seed=5))

    assert [i.seed for i in result.images] == [5, 6, 7]
    assert len({i.path for i in result.images}) == 3


async def test_an_unwanted_size_is_said(tmp_path: Path) -> None:
    fake = FakeProvider(answers=[picture(100, 50)])

    result = await service(tmp_path, fake).generate(replace(ASK, width=512, height=512))

    assert result.notes == ("delivered as 100x50, not 512x512",)


async def test_progress_never_runs_backwards_within_a_route(tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []

    async def tell(fraction: float, message: str) -> None:
        seen.append((fraction, message))

    await service(tmp_path, FakeProvider()).generate(ASK, tell)

    values = [v for v, _ in seen]
    assert values == sorted(values)
    assert values[-1] == 0.98


async def test_cancelling_the_request_cancels_the_engine(tmp_path: Path) -> None:
    fake = FakeProvider(answers=[None])
    made = service(tmp_path, fake)
    started = anyio.Event()

    async def tell(fraction: float, message: str) -> None:
        if message == "halfway":
            started.set()

    async with anyio.create_task_group() as group:
        group.start_soon(made.generate, ASK, tell)
        await started.wait()
        group.cancel_scope.cancel()

    assert fake.cancelled == 1


async def test_one_deadline_holds_for_all_attempts_together(tmp_path: Path) -> None:
    hanging = FakeProvider("a", models=[model("a", quality=9.0, seconds=0.1)], answers=[None])
    other = FakeProvider("b", models=[model("b", seconds=0.1)])

    with pytest.raises(GenerationFailed, match=r"PROVIDER_TIMEOUT.*1 s"):
        await service(tmp_path, hanging, other, deadline=1).generate(ASK)

    assert hanging.cancelled == 1
    assert other.seen == []


async def test_plan_and_generate_choose_the_same_route(tmp_path: Path) -> None:
    fakes = [FakeProvider("a"), better("b"), FakeProvider("c")]
    made = service(tmp_path, *fakes)

    planned = await made.plan(ASK)
    result = await made.generate(ASK)

    assert planned.candidates[0].model == result.model
    assert result.model.provider == "b"


async def test_a_history_that_cannot_be_read_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "experience.sqlite3").write_bytes(b"no database at all, " * 100)
    made = service(tmp_path, FakeProvider())

    result = await made.generate(replace(ASK, seed=1))
    report = await reports.machine(made)

    assert len(result.images) == 1
    assert [note for note in report.notes if note.startswith("Nothing is learnt")]
