"""Two hosts in small: one dies at a named place in a job, another goes on with what it had.

They share one Postgres and one S3 stand-in, and cannot see whether the other lives.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.jobs.test_crash_windows import CHECKPOINTS
from tests.jobs.test_kills import needs_fork
from tests.support import postgres, s3
from tests.support.job_peer import Peer
from tests.support.job_providers import PRICE


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Generator[Peer]:
    postgres.skip_where_absent()
    log = tmp_path_factory.mktemp("s3") / "requests"
    with s3.server("pictures", log) as bucket, pytest.MonkeyPatch.context() as environment:
        for name, value in bucket.items():
            environment.setenv(name, value)
        with Peer() as started:
            yield started


@needs_fork
def test_one_host_goes_on_wherever_another_died_and_one_cap_holds_for_all(
    tmp_path: Path, peer: Peer
) -> None:
    assert_one_host_goes_on_with_what_another_had(tmp_path, peer, looks_up=True)


def assert_one_host_goes_on_with_what_another_had(
    tmp_path: Path, peer: Peer, *, looks_up: bool
) -> None:
    unknown = 1 if looks_up else 2  # where it may have been sent, and nobody can tell
    made = len(CHECKPOINTS) - unknown
    with postgres.server() as database:
        outcome = peer.run(
            tmp_path,
            kind="hosts",
            database=database.serve_dbos("jobs"),
            pictures=f"s3://pictures/{tmp_path.name}",
            provider="vendor",
            at=",".join(CHECKPOINTS),
            looks_up=looks_up,
            cap=len(CHECKPOINTS) * PRICE / 1e6,
        )

    assert outcome.statuses == {"done": made, "unknown": unknown}
    assert sorted(outcome.holds) == [f"settled {PRICE}"] * made + [f"unknown {PRICE}"] * unknown
    assert outcome.charges == {"1": len(CHECKPOINTS) - 1}, "of 'claimed' it never went out"
    assert (outcome.uncounted, outcome.thrown_away, outcome.hidden) == (0, 0, 0)
    assert outcome.pictures == made
    assert "OVER_BUDGET" in outcome.refused, "all of them have spent from one cap"
