"""Two hosts in small, with a vendor that can look nothing up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs import test_hosts
from tests.jobs.test_hosts import assert_one_host_goes_on_with_what_another_had
from tests.jobs.test_kills import needs_fork
from tests.support.job_peer import Peer

pytestmark = pytest.mark.soak

peer = test_hosts.peer


@needs_fork
@pytest.mark.parametrize("again", range(3))
def test_one_host_goes_on_wherever_another_died_and_nobody_can_look_up(
    again: int, tmp_path: Path, peer: Peer
) -> None:
    assert_one_host_goes_on_with_what_another_had(tmp_path, peer, looks_up=bool(again % 2))
