from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    CancelOutcome,
    ContentRefused,
    Cost,
    GeneratedImage,
    Generation,
    Model,
    OutcomeUnknown,
    PaymentRequired,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    Run,
)
from ziggie_image_mcp.provider.delivery import (
    FORGOTTEN,
    AnswersAtOnce,
    InProcess,
    Polled,
    RemoteStatus,
)
from ziggie_image_mcp.provider.testing import model, picture

REQUEST = ProviderRequest(prompt="x", width=64, height=64)
MODEL = model()
WAITING = RemoteStatus(state="waiting", message="third in the queue")
RUNNING = RemoteStatus(state="running")
SUCCEEDED = RemoteStatus(state="succeeded")


class Queue(Polled):
    """Answers in turn, the last one again and again."""

    name = "queue"
    first_pause = 0.001
    longest_pause = 0.002

    def __init__(
        self,
        *statuses: RemoteStatus | ProviderError,
        seconds: float = 5.0,
        outcome: CancelOutcome | None = None,
    ) -> None:
        self.statuses = list(statuses)
        self.seconds = seconds
        self.looks = 0
        self.cancelled: list[str] = []
        self.outcome = outcome or CancelOutcome(state="unsupported")

    async def look(self, remote_id: str) -> RemoteStatus:
        self.looks += 1
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, ProviderError):
            raise status
        return status

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        return Generation(images=(GeneratedImage(data=picture(), seed=None),))

    async def cancel(self, remote_id: str) -> CancelOutcome:
        self.cancelled.append(remote_id)
        return self.outcome


def run(messages: list[str] | None = None, deadline: datetime | None = None) -> Run:
    async def progress(share: float, message: str) -> None:
        assert 0 <= share <= 1
        if messages is not None:
            messages.append(message)

    return Run(key="key", progress=progress, deadline=deadline)


async def collect(queue: Queue, messages: list[str] | None = None) -> Generation:
    return await queue.collect("job", REQUEST, MODEL, run(messages))


async def test_a_job_is_asked_after_until_it_has_ended() -> None:
    queue, messages = Queue(WAITING, RUNNING, SUCCEEDED), list[str]()

    generation = await collect(queue, messages)

    assert len(generation.images) == 1
    assert queue.looks == 3
    assert list(dict.fromkeys(messages)) == [
        "third in the queue",
        "running",
        "fetching the pictures",
    ]
    assert queue.cancelled == []


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("queue", "is not there"),
        ProviderTimeout("queue", "too late"),
        RateLimited("queue", "slow down", retry_after=0.003),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_a_backend_that_does_not_tell_just_now_is_asked_again(error: ProviderError) -> None:
    queue = Queue(error, error, SUCCEEDED)

    generation = await collect(queue)

    assert generation.images
    assert queue.looks == 3


async def test_a_key_that_no_longer_works_leaves_the_outcome_unknown() -> None:
    queue = Queue(RUNNING, AuthenticationFailed("queue", "the key was withdrawn"))

    with pytest.raises(OutcomeUnknown, match="does not tell of the job with this key"):
        await collect(queue)


async def test_an_error_that_asking_again_does_not_mend_goes_through() -> None:
    queue = Queue(ContentRefused("queue", "blocked"))

    with pytest.raises(ContentRefused):
        await collect(queue)

    assert queue.looks == 1


async def test_a_refused_question_says_nothing_of_the_job() -> None:
    queue = Queue(PaymentRequired("queue", "the account is empty", charged=0))

    with pytest.raises(OutcomeUnknown, match="the account is empty"):
        await collect(queue)


async def test_a_job_that_failed_raises_what_the_backend_said() -> None:
    refused = ContentRefused("queue", "blocked", charged=7)

    with pytest.raises(ContentRefused) as error:
        await collect(Queue(RUNNING, RemoteStatus(state="failed", error=refused)))
    with pytest.raises(ProviderError, match="failed without a word"):
        await collect(Queue(RemoteStatus(state="failed")))

    assert error.value is refused


async def test_a_job_that_takes_too_long_is_stopped_and_costs_what_it_costs() -> None:
    outcome = CancelOutcome(state="stopped", cost=Cost(micro_usd=9, basis="exact"))
    queue = Queue(RUNNING, seconds=0.01, outcome=outcome)

    with pytest.raises(ProviderTimeout, match=r"providers\.queue\.timeout") as error:
        await collect(queue)

    assert error.value.charged == 9
    assert queue.cancelled == ["job"]


async def test_a_job_that_can_no_longer_be_stopped_may_have_ended_in_the_meantime() -> None:
    queue = Queue(RUNNING, SUCCEEDED, seconds=0, outcome=CancelOutcome(state="too_late"))

    generation = await collect(queue)

    assert generation.images


@pytest.mark.parametrize("last", [RUNNING, ProviderUnavailable("queue", "is not there")])
async def test_a_job_that_goes_on_for_ever_is_unknown(last: RemoteStatus | ProviderError) -> None:
    queue = Queue(RUNNING, last, seconds=0)

    with pytest.raises(OutcomeUnknown, match="could not be stopped"):
        await collect(queue)


@pytest.mark.parametrize(
    ("status", "state", "remote_id"),
    [
        (RUNNING, "running", "job"),
        (WAITING, "running", "job"),
        (SUCCEEDED, "finished", "job"),
        (RemoteStatus(state="failed", message="boom"), "failed", "job"),
        (ProviderUnavailable("queue", "is not there"), "unknowable", "job"),
    ],
)
async def test_a_job_is_looked_up_by_its_id(
    status: RemoteStatus | ProviderError, state: str, remote_id: str
) -> None:
    resolution = await Queue(status).resolve("key", "job")

    assert (resolution.state, resolution.remote_id) == (state, remote_id)


async def test_without_an_id_a_job_cannot_be_looked_up() -> None:
    queue = Queue(SUCCEEDED)

    resolution = await queue.resolve("key", "")

    assert resolution.state == "unknowable"
    assert queue.looks == 0


async def test_what_a_failed_job_cost_is_told() -> None:
    error = ProviderError("queue", "it failed", charged=3)

    known = await Queue(RemoteStatus(state="failed", error=error)).resolve("key", "job")
    unknown = await Queue(RemoteStatus(state="failed")).resolve("key", "job")

    assert (known.cost.micro_usd, unknown.cost.micro_usd) == (3, None)


async def test_a_job_that_the_backend_does_not_know_any_more_is_not_waited_for() -> None:
    gone = ProviderUnavailable("queue", "is not there")
    gone.status = 404
    queue = Queue(RUNNING, gone)

    with pytest.raises(OutcomeUnknown, match="does not know the job job any more"):
        await collect(queue)

    assert queue.looks == 1 + FORGOTTEN


async def test_the_queue_of_one_that_cannot_stop_says_so() -> None:
    class Unstoppable(Queue):
        cancel = Polled.cancel

    assert (await Unstoppable(RUNNING).cancel("job")).state == "unsupported"


async def test_who_answers_at_once_has_nothing_to_look_up() -> None:
    class Acme(AnswersAtOnce):
        name = "acme"

    class Engine(InProcess):
        name = "engine"

    with pytest.raises(OutcomeUnknown):
        await Acme().collect("job", REQUEST, MODEL, run())
    assert (await Acme().resolve("key", "")).state == "unknowable"
    assert (await Acme().cancel("job")).state == "unsupported"
    assert (await Engine().resolve("key", "")).state == "not_sent"


async def test_cancelling_ends_the_wait_at_once() -> None:
    queue = Queue(RUNNING, seconds=60)
    queue.first_pause = queue.longest_pause = 30
    job = asyncio.ensure_future(collect(queue))
    while not queue.looks:
        await asyncio.sleep(0)

    started = datetime.now(UTC)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job

    assert datetime.now(UTC) - started < timedelta(seconds=2)
