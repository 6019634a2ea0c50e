"""What was sent to a vendor before its process died is collected, whatever has happened since."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from tests.support.factory import service
from ziggie_image_mcp.errors import EngineCrashed
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import (
    Generation,
    Model,
    ProviderRequest,
    Resolution,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import FakePaidProvider
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest

ASK = ImageRequest(prompt="a cat", allow_paid=True, num_images=1)


class First(FakePaidProvider):
    """It charges, and never gets to an answer."""

    def __init__(self, *, at: Literal["submit", "collect"] = "collect") -> None:
        super().__init__()
        self.waits = anyio.Event()
        self._at = at

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        sent = await super().submit(request, model, run)
        if self._at == "submit":
            self.waits.set()
            await anyio.sleep_forever()
        return sent

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        self.waits.set()
        await anyio.sleep_forever()
        raise AssertionError


class Second(FakePaidProvider):
    """The vendor as the next process finds it: what was charged for is made."""

    def __init__(self, first: First) -> None:
        super().__init__()
        self.charged, self._jobs = first.charged, first._jobs


async def sent(folder: Path, first: First, **config: Any) -> str:
    """The id of a job whose server ended after it had sent it."""
    made = service(folder, first, role=Role.SERVER, **config)
    view = await made.start([ASK])
    with anyio.fail_after(30):
        await first.waits.wait()
    await made.aclose()
    return view.id


async def test_a_paused_vendor_is_asked_for_what_it_was_sent(tmp_path: Path) -> None:
    first = First()
    job_id = await sent(tmp_path, first)
    second = Second(first)
    made = service(tmp_path, second, role=Role.SERVER)
    for _ in range(3):
        error = EngineCrashed("paid", "it failed", scope="provider")
        await made.history.failed("paid", "model", error, datetime.now(UTC))

    view = await made.job(job_id, 30)

    assert view.status == "done"
    assert [(h.state, h.actual) for h in await made.billing.ledger.holds()] == [("settled", 40_000)]
    assert second.submitted == []


async def test_a_run_that_a_dead_process_began_teaches_no_speed(tmp_path: Path) -> None:
    first = First()
    job_id = await sent(tmp_path, first)
    made = service(tmp_path, Second(first), role=Role.SERVER)

    assert (await made.job(job_id, 30)).status == "done"
    half = (await made.history.snapshot()).latencies
    await made.job((await made.start([ASK])).id, 30)
    whole = (await made.history.snapshot()).latencies

    assert half == {}
    assert [latency.samples for latency in whole.values()] == [1]


async def test_what_is_not_yet_sent_is_not_sent_to_a_paused_vendor(tmp_path: Path) -> None:
    paid = FakePaidProvider(answers=[EngineCrashed("paid", "it failed", scope="provider")] * 3)
    made = service(tmp_path, paid)
    for _ in range(3):
        await made.job((await made.start([ASK])).id, 30)

    with pytest.raises(NoRoute):
        await made.start([ASK])
    assert len(paid.submitted) == 3


async def test_what_is_paid_for_is_fetched_although_the_deadline_has_passed(tmp_path: Path) -> None:
    first = First()
    job_id = await sent(tmp_path, first, deadline=5)
    await anyio.sleep(5)
    made = service(tmp_path, Second(first), role=Role.SERVER, deadline=5)

    assert (await made.job(job_id, 30)).status == "done"


@pytest.mark.parametrize("state", ["not_sent", "unknowable"])
async def test_what_we_lost_ourselves_does_not_count_against_the_vendor(
    state: Any, tmp_path: Path
) -> None:
    class Forgetful(Second):
        async def resolve(self, key: str, remote_id: str) -> Resolution:
            return Resolution(state=state)

    first = First(at="submit")
    job_id = await sent(tmp_path, first)
    made = service(tmp_path, Forgetful(first), role=Role.SERVER)

    assert (await made.job(job_id, 30)).status == "unknown"
    assert (await made.history.snapshot()).breakers == {}


async def test_a_vendor_that_is_gone_from_the_config_leaves_an_unknown_and_nothing_else_is_paid(
    tmp_path: Path,
) -> None:
    first = First()
    job_id = await sent(tmp_path, first)
    other = FakePaidProvider("other")
    made = service(tmp_path, other, role=Role.SERVER, allowPaidFallback="withinBudget")

    view = await made.job(job_id, 30)

    assert view.status == "unknown"
    assert [h.state for h in await made.billing.ledger.holds()] == ["unknown"]
    assert other.submitted == []


async def test_a_server_that_is_closed_around_a_running_job_says_nothing_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Closing(First):
        """Its call fails once it is closed, as one over HTTP does."""

        def __init__(self) -> None:
            super().__init__()
            self.closed = anyio.Event()

        async def collect(
            self, remote_id: str, request: ProviderRequest, model: Model, run: Run
        ) -> Generation:
            self.waits.set()
            await self.closed.wait()
            raise EngineCrashed("paid", "the connection was closed")

        async def aclose(self) -> None:
            self.closed.set()

    first = Closing()
    job_id = await sent(tmp_path, first)
    await anyio.wait_all_tasks_blocked()
    second = Second(first)
    made = service(tmp_path, second, role=Role.SERVER)

    assert (await made.job(job_id, 30)).status == "done"
    assert second.submitted == []
    assert [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []
