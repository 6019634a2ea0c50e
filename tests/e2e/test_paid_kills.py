"""Servers are killed while they pay vendors: nothing is paid twice, and nothing thrown away."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.jobs.test_kills import needs_fork
from tests.support.charging_vendors import VENDORS, ChargingVendor, Fault
from tests.support.paid_peer import Outcome, PaidHold, Peer, Run

NAMES = [kind.name for kind in VENDORS]
LOCAL_MODEL = "v1-5-pruned.safetensors"
TIME = 120.0


@pytest.fixture(scope="module")
def peer() -> Generator[Peer]:
    with Peer() as started:
        yield started


def share(*words: str) -> float:
    """From 0 to 1, always the same for these words."""
    return zlib.crc32(" ".join(words).encode()) / 2**32


def kill_and_count(peer: Peer, folder: Path, *, kills: int, seed: int, timeout: float) -> None:
    """Kill servers at random moments, and hold the ledger and the store to the vendors' logs."""
    with ExitStack() as stack:
        vendors = [stack.enter_context(vendor_of(kind)) for kind in VENDORS]
        models = {kind.model: {"quality": 10} for kind in VENDORS}
        models[LOCAL_MODEL] = {"quality": 1}
        off = {name: {"enabled": False} for name in ("builtin", "diffusers")}
        run = Run(
            folder=str(folder),
            settings={
                "providers": {**{v.name: v.section() for v in vendors}, **off},
                "models": {**models, "*": {"enabled": False}},
                "preference": "quality",
                "cache": False,
                "budget": {"perDay": 1000, "perMonth": 1000, "perImage": 1},
                "allowPaidFallback": "withinBudget",
            },
            keys={v.key_name: f"{v.name}-0123456789abcdef0123456789" for v in vendors}
            | {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"},
            pins=("auto", "auto", *NAMES),
            kills=kills,
            seed=seed,
        )
        outcome = peer.run(run, timeout)
        assert len(outcome.jobs) > kills
        hold_to_the_logs(outcome, vendors)


def vendor_of(kind: type[ChargingVendor]) -> ChargingVendor:
    """One that refuses every third request, so that calls go on to the next."""

    def fault(prompt: str) -> Fault:
        return "rejected" if share("fault", kind.name, prompt) < 0.33 else "none"

    return kind(fault, lambda prompt: 0.3 * share("latency", kind.name, prompt))


def hold_to_the_logs(outcome: Outcome, vendors: Sequence[ChargingVendor]) -> None:
    jobs = {job.prompt: job for job in outcome.jobs}
    assert {job.status for job in outcome.jobs} <= {"done", "failed", "unknown"}
    assert all(job.pictures == (job.status == "done") for job in outcome.jobs)
    charges = [(charge, vendor.name) for vendor in vendors for charge in vendor.charges]
    assert {Counter(charge.prompt for charge, _ in charges)[c.prompt] for c, _ in charges} == {1}
    open_holds = {(h.job, h.provider): h for h in outcome.holds if h.state != "released"}
    assert len(open_holds) == sum(hold.state != "released" for hold in outcome.holds)
    for charge, name in charges:
        job = jobs[charge.prompt]
        hold = open_holds.pop((job.id, name))
        if hold.state == "settled":
            assert (job.status, hold.actual) == ("done", charge.micro_usd)
        else:
            assert (job.status, hold.state) == ("unknown", "unknown")
            assert hold.estimate >= charge.micro_usd
            assert not can_be_looked_up(hold), f"{job} was charged, and is thrown away"
    assert {hold.state for hold in open_holds.values()} <= {"unknown"}, "nobody charged for these"


def can_be_looked_up(hold: PaidHold) -> bool:
    """Whether its vendor tells what became of it, by our key or by an id that was kept."""
    return hold.provider == "runware" or bool(hold.remote_id)


@needs_fork
def test_kills_pay_nothing_twice_and_throw_nothing_away(tmp_path: Path, peer: Peer) -> None:
    kill_and_count(peer, tmp_path, kills=6, seed=1, timeout=TIME)
