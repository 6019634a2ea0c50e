"""Jobs outlive their process: servers are killed, and nothing is lost, made or paid twice."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.job_peer import Outcome, Peer
from tests.support.job_providers import PRICE

MOVED_WITHIN = 10.0

needs_fork = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="servers are forked and killed, which Windows cannot do"
)


@pytest.fixture(scope="module")
def peer() -> Generator[Peer]:
    with Peer() as started:
        yield started


@pytest.fixture(scope="module")
def postgres_url() -> Generator[str]:
    postgres.skip_where_absent()
    with postgres.server() as running:
        yield running.serve_dbos("jobs")


@needs_fork
def test_kills_lose_no_job_and_charge_none_twice(tmp_path: Path, peer: Peer) -> None:
    outcome = peer.run(tmp_path, kills=10, aimed=3, seed=1)

    assert_nothing_was_lost_or_charged_twice(outcome)
    assert outcome.restarts > 0, "some were killed while their picture was being made"


SHAPES = ("sync", "vendor", "comfyui")
"""How vendors and engines answer: with the picture, with a job to ask after, with a queue."""


@needs_fork
def test_the_same_holds_of_each_shape_of_vendor_and_of_comfyui(tmp_path: Path, peer: Peer) -> None:
    outcome = peer.run(tmp_path, shapes=SHAPES, kills=9, seed=3)

    assert_nothing_was_lost_or_charged_twice(outcome)
    assert set(outcome.posted) == {"1"}, "what ComfyUI still has is not sent again"


def assert_nothing_was_lost_or_charged_twice(outcome: Outcome) -> None:
    assert outcome.accepted > outcome.kills
    assert outcome.lost == 0
    assert set(outcome.statuses) <= {"done", "failed", "unknown"}
    assert set(outcome.charges) == {"1"}, "a job that was charged was charged once"
    assert outcome.uncounted == 0, "the ledger knows of every charge"
    assert outcome.thrown_away == 0, "what was charged was given, or nobody can tell"
    assert outcome.hidden == 0, "what nobody can tell of is shown, by the job and by the ledger"
    assert outcome.overlaps == 0, "the engine had one job at a time"


@needs_fork
def test_the_same_holds_on_postgres(tmp_path: Path, peer: Peer, postgres_url: str) -> None:
    outcome = peer.run(tmp_path, database=postgres_url, kills=6, seed=2)

    assert outcome.accepted > outcome.kills
    assert (outcome.lost, outcome.uncounted, outcome.overlaps) == (0, 0, 0)
    assert set(outcome.charges) <= {"1"}, "six lives may be too short on a busy machine to pay"


@needs_fork
def test_a_server_that_stood_still_leaves_its_job_to_the_one_that_took_it(
    tmp_path: Path, peer: Peer
) -> None:
    outcome = peer.run(tmp_path, kind="stalled", database=f"sqlite:///{tmp_path / 'ours.sqlite3'}")

    assert (outcome.accepted, outcome.statuses) == (1, {"done": 1})
    assert outcome.restarts == 1, "it was taken up, and made once more"
    assert outcome.moved < MOVED_WITHIN
    assert outcome.pictures == 1, "both made the same"


@needs_fork
def test_a_paid_job_of_a_server_that_stood_still_is_collected_by_another_and_settled_once(
    tmp_path: Path, peer: Peer
) -> None:
    outcome = peer.run(
        tmp_path,
        kind="stalled",
        provider="vendor",
        database=f"sqlite:///{tmp_path / 'ours.sqlite3'}",
    )

    assert (outcome.accepted, outcome.statuses) == (1, {"done": 1})
    assert outcome.charges == {"1": 1}
    assert outcome.holds == [f"settled {PRICE}"]
    assert outcome.pictures == 1


@needs_fork
def test_launches_never_run_a_living_servers_job_again(tmp_path: Path, peer: Peer) -> None:
    assert_none_ran_it_again(peer.run(tmp_path, kind="launches"))


def assert_none_ran_it_again(outcome: Outcome) -> None:
    assert (outcome.accepted, outcome.statuses) == (1, {"done": 1})
    assert (outcome.restarts, outcome.overlaps) == (0, 0)
