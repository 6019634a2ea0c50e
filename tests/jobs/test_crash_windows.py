"""A server that is killed at a named place in a job: another ends the job, and pays it once."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.jobs.test_kills import needs_fork
from tests.support.job_peer import Peer, probe
from tests.support.job_providers import PRICE
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider.testing import FakePaidProvider
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

DONE = ({"done": 1}, [f"settled {PRICE}"])
UNKNOWN = ({"unknown": 1}, [f"unknown {PRICE}"])


@pytest.fixture(scope="module")
def peer() -> Generator[Peer]:
    with Peer() as started:
        yield started


CHECKPOINTS = (
    "reserved",
    "claimed",
    "posted",
    "remote id",
    "collected",
    "saved",
    "settled",
    "left the queue",
)


async def test_a_paid_job_passes_its_checkpoints_in_this_order(tmp_path: Path) -> None:
    passed: list[str] = []
    service = build_service(
        Config.model_validate({"budget": {"perDay": 1}, "allowPaidFallback": "withinBudget"}),
        tmp_path,
        role=Role.ALONE,
        artifacts=ArtifactStore(tmp_path / "pictures"),
        providers=[FakePaidProvider()],
        probe=probe,
        checkpoint=passed.append,
    )
    try:
        await service.generate(ImageRequest(prompt="a cat", width=64, height=64))
    finally:
        await service.aclose()

    assert tuple(passed) == CHECKPOINTS


@needs_fork
@pytest.mark.parametrize("looks_up", [True, False], ids=["looks up", "cannot look up"])
@pytest.mark.parametrize("at", CHECKPOINTS)
def test_a_paid_job_is_charged_once_wherever_its_server_is_killed(
    tmp_path: Path, peer: Peer, at: str, looks_up: bool
) -> None:
    """Where it may have been sent, and the vendor knows nothing of it or cannot tell: unknown."""
    nobody_can_tell = at == "claimed" or (at == "posted" and not looks_up)

    outcome = peer.run(tmp_path, kind="window", provider="vendor", at=at, looks_up=looks_up)

    assert outcome.accepted == 1
    assert (outcome.statuses, outcome.holds) == (UNKNOWN if nobody_can_tell else DONE)
    assert outcome.charges == ({} if at == "claimed" else {"1": 1})
    assert outcome.uncounted == 0
    assert outcome.pictures == (0 if nobody_can_tell else 1)


@needs_fork
@pytest.mark.parametrize("at", ["saved", "left the queue"])
def test_a_free_job_is_done_and_its_picture_is_there_once(
    tmp_path: Path, peer: Peer, at: str
) -> None:
    outcome = peer.run(tmp_path, kind="window", provider="engine", at=at)

    assert (outcome.accepted, outcome.statuses) == (1, {"done": 1})
    assert (outcome.charges, outcome.holds) == ({}, [])
    assert outcome.pictures == 1
