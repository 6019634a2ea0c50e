"""Jobs outlive their process, at length: 200 kills, and the same with the protection taken out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs import test_kills
from tests.jobs.test_kills import (
    SHAPES,
    assert_none_ran_it_again,
    assert_nothing_was_lost_or_charged_twice,
    needs_fork,
)
from tests.support.job_peer import Peer

pytestmark = pytest.mark.soak
LONG = 1500.0

peer = test_kills.peer


@needs_fork
def test_200_kills_lose_no_job_and_charge_none_twice(tmp_path: Path, peer: Peer) -> None:
    outcome = peer.run(tmp_path, kills=200, aimed=20, seed=1, timeout=LONG)

    assert outcome.accepted > 200
    assert_nothing_was_lost_or_charged_twice(outcome)
    assert outcome.restarts > 0


@needs_fork
@pytest.mark.parametrize("shape", SHAPES)
def test_200_kills_with_each_shape_of_vendor_and_with_comfyui(
    shape: str, tmp_path: Path, peer: Peer
) -> None:
    outcome = peer.run(tmp_path, shapes=[shape], kills=200, seed=4, timeout=LONG)

    if shape == "comfyui":
        assert outcome.accepted > 200
        assert set(outcome.statuses) == {"done"}
        assert set(outcome.posted) == {"1"}, "what ComfyUI still has is not sent again"
    else:
        assert_nothing_was_lost_or_charged_twice(outcome)


@needs_fork
def test_20_launches_never_run_a_living_servers_job_again(tmp_path: Path, peer: Peer) -> None:
    assert_none_ran_it_again(peer.run(tmp_path, kind="launches", rounds=4, timeout=LONG))


@needs_fork
def test_where_the_jobs_of_dead_processes_are_left_alone_some_are_lost(
    tmp_path: Path, peer: Peer
) -> None:
    assert peer.run(tmp_path, kind="unrecovered", kills=15, patience=8).lost > 0


@needs_fork
def test_where_jobs_are_sent_anew_some_are_charged_twice(tmp_path: Path, peer: Peer) -> None:
    assert set(peer.run(tmp_path, kind="resubmit", kills=40).charges) > {"1"}
