"""One request through the service: order, fallback, progress, cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.support.factory import service
from ziggie_image_mcp.app import reports
from ziggie_image_mcp.errors import (
    ContentRefused,
    EngineCrashed,
    ImageError,
    InvalidOutput,
    OutcomeUnknown,
    OutOfMemory,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    StorageError,
)
from ziggie_image_mcp.jobs.errors import GenerationFailed
from ziggie_image_mcp.jobs.outcomes import error_of
from ziggie_image_mcp.provider import (
    Bucket,
    Buckets,
    CancelOutcome,
    Cost,
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model, picture
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


async def test_a_picture_of_another_size_than_was_asked_for_is_a_failed_attempt(
    tmp_path: Path,
) -> None:
    wrong = FakeProvider("wrong", answers=[picture(100, 50)] * 2)
    right = FakeProvider("right", models=[model("right", quality=1.0)])

    result = await service(tmp_path, wrong, right).generate(replace(ASK, width=512, height=512))

    assert [(a.provider, a.error_code) for a in result.attempts] == [
        ("wrong", "INVALID_OUTPUT"),
        ("right", ""),
    ]
    assert "wrong made 100x50, and 512x512 was asked for" in result.attempts[0].error
    assert (result.images[0].width, result.images[0].height) == (512, 512)


class Paid(FakePaidProvider):
    """Answers at once with these pictures, and charges for each."""

    def __init__(self, name: str, *pictures: bytes) -> None:
        super().__init__(name, max_images=4)
        self.pictures = pictures

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Charge."""
        self.charged[run.key] = 40_000 * request.num_images
        return Generation(
            images=tuple(GeneratedImage(data=data, seed=None) for data in self.pictures),
            cost=Cost(micro_usd=self.charged[run.key], basis="exact"),
        )


async def test_a_paid_picture_of_another_size_is_kept_and_said_and_nobody_else_is_paid(
    tmp_path: Path,
) -> None:
    wrong, other = Paid("wrong", picture(100, 50)), Paid("other", picture(512, 512))

    result = await service(tmp_path, wrong, other).generate(
        replace(ASK, width=512, height=512, model="wrong/model", allow_paid=True, max_cost_usd=1)
    )

    assert (result.images[0].width, result.images[0].height) == (100, 50)
    assert any("made 100x50, and 512x512 was asked for" in note for note in result.notes)
    assert any("kept, since it is paid for" in note for note in result.notes)
    assert not other.charged


async def test_of_several_paid_pictures_the_good_ones_are_kept(tmp_path: Path) -> None:
    vendor = Paid("vendor", picture(), b"no picture", picture())

    result = await service(tmp_path, vendor).generate(
        replace(ASK, num_images=3, allow_paid=True, max_cost_usd=1)
    )

    assert len(result.images) == 2
    assert any("1 of 3 pictures could not be kept" in note for note in result.notes)
    assert len(vendor.charged) == 1


@pytest.mark.parametrize(
    ("delivered", "notes"),
    [
        ((1360, 768), ("delivered as 1360x768, not 1344x768",)),
        ((1344, 768), ()),
        ((2688, 1536), ("delivered as 2688x1536, not 1344x768",)),
        ((672, 384), ("delivered as 672x384, not 1344x768",)),
        ((1024, 1024), None),
        ((640, 366), None),
    ],
)
async def test_a_vendor_that_promises_only_a_shape_is_announced_as_such(
    delivered: tuple[int, int], notes: tuple[str, ...] | None, tmp_path: Path
) -> None:
    shapes = Buckets(sizes=(Bucket(width=1344, height=768, name="16:9"),), exact=False)
    fake = FakeProvider(models=[model(sizes=shapes)], answers=[picture(*delivered)] * 2)
    made = service(tmp_path, fake)
    request = replace(ASK, aspect_ratio="16:9")

    plan = await made.plan(request)

    announced = plan.candidates[0].notes
    assert "the vendor promises the shape of 1344x768, not its pixels" in announced
    if notes is None:
        with pytest.raises(ImageError, match="and 1344x768 was asked for"):
            await made.generate(request)
    else:
        assert (await made.generate(request)).notes == (*announced, *notes)
    assert fake.seen[0].bucket == "16:9"


async def test_progress_never_runs_backwards_within_a_route(tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []

    async def tell(fraction: float, message: str) -> None:
        seen.append((fraction, message))

    await service(tmp_path, FakeProvider()).generate(ASK, tell)

    values = [v for v, _ in seen]
    assert values == sorted(values)
    assert values[-1] == 0.99


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


@pytest.mark.parametrize(
    "bug",
    [
        KeyError("x"),
        ExceptionGroup("many", [ValueError("x")]),
        StorageError("not its own"),
        asyncio.CancelledError(),
    ],
)
async def test_a_bug_in_a_provider_is_a_failed_attempt_and_the_next_route_goes_on(
    bug: BaseException, tmp_path: Path
) -> None:
    broken = FakeProvider("broken", answers=[bug], models=[model("broken", quality=9.0)])
    made = service(tmp_path, broken, FakeProvider("good"))

    result = await made.generate(ASK)

    assert [(a.provider, a.error_code) for a in result.attempts] == [
        ("broken", "PROVIDER_BROKEN"),
        ("good", ""),
    ]
    assert result.attempts[0].error == (
        f"broken has a bug ({type(bug).__name__}); the server's log tells it"
    )


async def test_a_bug_after_a_paid_request_was_sent_counts_as_spent_and_what_is_free_goes_on(
    tmp_path: Path,
) -> None:
    paid = FakePaidProvider(answers=[KeyError("x")], quality=9.0)
    other = FakePaidProvider("other", quality=8.0)
    made = service(tmp_path, paid, other, FakeProvider("good"), preference="quality")

    result = await made.generate(replace(ASK, allow_paid=True))

    assert [a.provider for a in result.attempts] == ["paid", "good"], "one yes, one charge"
    assert result.cost_micro_usd == 40_000
    (hold,) = await made.billing.ledger.holds()
    assert (hold.provider, hold.state) == ("paid", "unknown")


PAID_ASK = replace(ASK, allow_paid=True)


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("paid", "no answer came"),
        OutcomeUnknown("paid", "no answer came", fallback=True),
    ],
)
async def test_after_a_paid_request_of_which_nobody_knows_no_other_route_is_tried(
    error: OutcomeUnknown, tmp_path: Path
) -> None:
    paid, good = FakePaidProvider(answers=[error], quality=9.0), FakeProvider("good")
    made = service(tmp_path, paid, good, preference="quality")

    with pytest.raises(OutcomeUnknown) as caught:
        await made.generate(PAID_ASK)
    (hold,) = await made.billing.ledger.holds()

    assert (hold.state, good.seen) == ("unknown", [])
    assert caught.value.charged == 40_000, "it counts as spent, and is told"


class Hanging(FakePaidProvider):
    """Its job never ends; stopping it costs half."""

    async def cancel(self, remote_id: str) -> CancelOutcome:
        return CancelOutcome(state="stopped", cost=Cost(micro_usd=20_000, basis="exact"))


@pytest.mark.parametrize(
    ("paid", "cost"),
    [(FakePaidProvider(answers=[None]), 40_000), (Hanging(answers=[None]), 20_000)],
)
async def test_what_was_paid_until_the_deadline_is_told(
    paid: FakePaidProvider, cost: int, tmp_path: Path
) -> None:
    made = service(tmp_path, paid, deadline=5)

    with pytest.raises(GenerationFailed, match=f"{cost / 1e6:.2f} charged") as caught:
        await made.generate(PAID_ASK)

    assert [a.cost_micro_usd for a in caught.value.attempts] == [cost]


async def test_what_one_request_of_a_job_paid_in_vain_counts_for_the_next(tmp_path: Path) -> None:
    paid = FakePaidProvider(answers=[InvalidOutput("paid", "it is black", charged=60_000)])
    made = service(tmp_path, paid)
    limited = replace(PAID_ASK, max_cost_usd=0.09)

    view = await made.start([replace(limited, prompt="a"), replace(limited, prompt="b")])
    ended = await made.job(view.id, 30)

    assert ended.outcome is not None
    assert ended.outcome.results == ()
    holds = [h for h in await made.billing.ledger.holds() if h.state != "released"]
    assert [hold.actual for hold in holds] == [60_000]
    assert ended.outcome.cost_micro_usd == 60_000
    assert "$0.06 was spent in all." in str(error_of(ended.outcome))
