"""Jobs outlive their process: servers are killed, and nothing is lost, made or paid twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from tests.job_peer import Outcome

MOVED_WITHIN = 10.0
ROOT = Path(__file__).parents[1]

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="servers are forked and killed, which Windows cannot do"
)


@pytest.fixture(scope="module")
def postgres_url() -> Generator[str]:
    postgres.skip_where_absent()
    with postgres.server() as running:
        yield running.serve_dbos("jobs")


def outcome_of(folder: Path, **run: Any) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "tests.job_peer", json.dumps({"folder": str(folder)} | run)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    warned = [x for x in done.stderr.splitlines() if "was taken up by another" not in x]
    assert not warned, done.stderr
    return Outcome(**json.loads(done.stdout))


@needs_fork
def test_200_kills_lose_no_job_and_charge_none_twice(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, kills=200, seed=1)

    assert found.accepted > 200
    assert found.lost == 0
    assert set(found.statuses) <= {"done", "failed", "unknown"}
    assert set(found.charges) == {"1"}, "a job that was charged was charged once"
    assert found.uncounted == 0, "the ledger knows of every charge"
    assert found.overlaps == 0, "the engine had one job at a time"
    assert found.restarts > 0, "some were killed while their picture was being made"


@needs_fork
def test_the_same_holds_on_postgres(tmp_path: Path, postgres_url: str) -> None:
    found = outcome_of(tmp_path, database=postgres_url, kills=20, seed=2)

    assert (found.lost, found.uncounted, found.overlaps) == (0, 0, 0)
    assert set(found.charges) == {"1"}


@needs_fork
def test_where_nobody_looks_after_the_dead_jobs_are_lost(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, kind="unburied", kills=15, patience=8).lost > 0


@needs_fork
def test_where_jobs_are_sent_anew_some_are_charged_twice(tmp_path: Path) -> None:
    assert set(outcome_of(tmp_path, kind="resubmit", kills=40).charges) > {"1"}


@needs_fork
def test_a_server_that_stood_still_leaves_its_job_to_the_one_that_took_it(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, kind="stalled", database=f"sqlite:///{tmp_path / 'ours.sqlite3'}")

    assert (found.accepted, found.statuses) == (1, {"done": 1})
    assert found.restarts == 1, "it was taken up, and made once more"
    assert found.moved < MOVED_WITHIN
    assert found.pictures == 1, "both made the same"


@needs_fork
def test_20_launches_never_run_a_living_servers_job_again(tmp_path: Path) -> None:
    found = outcome_of(tmp_path, kind="launches")

    assert (found.accepted, found.statuses) == (1, {"done": 1})
    assert (found.restarts, found.overlaps) == (0, 0)
