"""The ledger under many kills, and the same with the protection taken out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.billing import test_ledger
from tests.billing.test_ledger import kill_and_count, needs_fork, open_new_files
from tests.support.ledger_peer import Peer, Run, charges

pytestmark = pytest.mark.soak

server, database, peer = test_ledger.server, test_ledger.database, test_ledger.peer


@needs_fork
def test_a_new_file_may_be_opened_by_many_at_once(peer: Peer, tmp_path: Path) -> None:
    open_new_files(peer, tmp_path, 30)


@needs_fork
@pytest.mark.parametrize("after_death", ["unknown", "look_up"])
async def test_killed_processes_lose_no_cent_and_charge_nothing_twice(
    database: str, peer: Peer, tmp_path: Path, after_death: Any
) -> None:
    kills = 200 if database.startswith("sqlite") else 40

    await kill_and_count(database, peer, tmp_path, after_death, kills)


@needs_fork
def test_control_accounting_after_the_fact_breaks_the_cap(
    database: str, peer: Peer, tmp_path: Path
) -> None:
    log = str(tmp_path / "log")

    peer.run(Run(kind="post_hoc", database=database, charges=log, tasks=16, cap=20))

    assert len(charges(log)) > 20


@needs_fork
def test_control_sending_again_after_a_crash_charges_twice(
    database: str, peer: Peer, tmp_path: Path
) -> None:
    log = str(tmp_path / "log")

    outcome = peer.run(
        Run(
            kind="crash",
            database=database,
            charges=log,
            after_death="resubmit",
            processes=1,
            kills=200,
            until_double=True,
        )
    )

    assert max(Counter(charge.job for charge in charges(log)).values()) >= 2
    assert outcome.kills < 200
