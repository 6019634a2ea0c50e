"""Servers that pay vendors are killed, at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import test_paid_kills
from tests.e2e.test_paid_kills import kill_and_count
from tests.jobs.test_kills import needs_fork
from tests.support.paid_peer import Peer

pytestmark = pytest.mark.soak
LONG = 1500.0

peer = test_paid_kills.peer


@needs_fork
def test_200_kills_pay_nothing_twice_and_throw_nothing_away(tmp_path: Path, peer: Peer) -> None:
    kill_and_count(peer, tmp_path, kills=200, seed=2, timeout=LONG)
