"""Outages walk the chain as a dry run said, and the ledger is what the vendors wrote down."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.e2e.test_fallback import NOWHERE, Comfy, client, holds
from tests.support.charging_vendors import VENDORS, ChargingVendor, Fault
from tests.support.fake_comfyui import OOM
from ziggie_image_mcp.jobs.executor import MAX_ATTEMPTS
from ziggie_image_mcp.server.content import ERROR_META, ErrorData

LOCAL = "comfyui"
LOCAL_MODEL = Comfy.models[0]
NAMES = [kind.name for kind in VENDORS]
MODELS = [kind.model for kind in VENDORS] + [LOCAL_MODEL]
SEEDS = range(6)
CALLS = 6

LATE = 3
"""The deadline of calls that it ends, seconds."""

CODES: Mapping[str, str] = {
    "none": "",
    "oom": "OUT_OF_MEMORY",
    "wait": "RATE_LIMITED",
    "unpaid": "PAYMENT_REQUIRED",
    "rejected": "REQUEST_REJECTED",
    "away": "PROVIDER_UNAVAILABLE",
    "spoilt": "INVALID_OUTPUT",
    "moderated": "CONTENT_REFUSED",
    "storm": "OUTCOME_UNKNOWN",
    "page": "OUTCOME_UNKNOWN",
    "reset": "OUTCOME_UNKNOWN",
    "slow": "PROVIDER_TIMEOUT",
}
"""How an attempt ends by what becomes of its request; `away` is a vendor that nobody reaches."""

FREE = {"wait", "unpaid", "rejected", "away"}
UNKNOWN = {"storm", "page", "reset", "slow"}
STOPS = {"none", "moderated", *UNKNOWN}
"""After these no other route is tried."""

FAULTS: tuple[Fault, ...] = (
    *("wait", "unpaid", "rejected", "rejected", "spoilt"),
    *("moderated", "storm", "page", "reset", "none"),
)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for vendor in VENDORS:
        monkeypatch.setenv(vendor.key_name, f"{vendor.name}-0123456789abcdef0123456789")


@dataclass(frozen=True, kw_only=True)
class World:
    """Three vendors and an engine, and what becomes of the next call at each of them."""

    vendors: Mapping[str, ChargingVendor]
    comfy: Comfy
    faults: dict[str, str]
    away: frozenset[str] = frozenset()
    """Vendors that nobody reaches."""

    def settings(self, models: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """One model each; nothing is asked within the budget."""
        sections = {
            name: vendor.section(NOWHERE if name in self.away else "")
            for name, vendor in self.vendors.items()
        }
        off = {name: {"enabled": False} for name in ("builtin", "diffusers")}
        return {
            "providers": {**sections, LOCAL: {"baseUrl": self.comfy.url}, **off},
            "models": {**models, "*": {"enabled": False}},
            "cache": False,
            "budget": {"perDay": 100, "perImage": 1},
            "allowPaidFallback": "withinBudget",
            **more,
        }

    def prepare(self, faults: Mapping[str, str]) -> None:
        """What becomes of the next call."""
        self.faults.update(faults)
        self.comfy.ending = "completed" if faults[LOCAL] == "none" else "failed"

    def fault(self, name: str) -> str:
        """What becomes of a request to this one."""
        return "away" if name in self.away else self.faults[name]

    def charged(self) -> dict[str, int]:
        """What each vendor wrote down so far, micro-USD."""
        return {n: sum(c.micro_usd for c in v.charges) for n, v in self.vendors.items()}


@asynccontextmanager
async def world(away: Sequence[str] = ()) -> AsyncGenerator[World]:
    faults = dict.fromkeys((*NAMES, LOCAL), "none")
    with ExitStack() as stack:
        vendors = {
            kind.name: stack.enter_context(kind(partial(fault_of, faults, kind.name)))
            for kind in VENDORS
        }
        async with Comfy(error=OOM) as comfy:
            yield World(vendors=vendors, comfy=comfy, faults=faults, away=frozenset(away))


def fault_of(faults: Mapping[str, str], name: str, prompt: str) -> Any:
    return faults[name]


def walk(plan: Sequence[str], fault: Callable[[str], str]) -> list[tuple[str, str]]:
    """The attempts that a call makes: who, and the code of the error."""
    attempts: list[tuple[str, str]] = []
    for name in plan[:MAX_ATTEMPTS]:
        ending = fault(name)
        attempts.append((name, CODES[ending]))
        if ending in STOPS:
            break
    return attempts


def attempts_of(result: CallToolResult) -> list[tuple[str, str]]:
    if result.is_error:
        assert result.meta is not None
        error = ErrorData.model_validate(result.meta[ERROR_META])
        for attempt in error.attempts:
            assert attempt.code in words(result), "who reads the answer sees each of them"
        return [(a.provider, a.code) for a in error.attempts]
    data = result_of(result)
    attempts = data.get("attempts", [{"provider": data["provider"], "error": ""}])
    return [(a["provider"], a["error"].partition(":")[0]) for a in attempts]


def result_of(result: CallToolResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(words(result))
    return found


def words(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def books(folder: Path) -> dict[str, Counter[str]]:
    """What the ledger holds by provider and state, micro-USD."""
    found = {name: Counter[str]() for name in NAMES}
    for hold in await holds(folder):
        found[hold.provider][hold.state] += hold.estimate if hold.actual is None else hold.actual
    return found


async def call(session: Client, folder: Path, world: World, faults: Mapping[str, str]) -> None:
    """One call, which goes as its dry run said; afterwards the ledger is the vendors' log."""
    world.prepare(faults)
    prompt = {"prompt": f"{faults}"}
    dry = await session.call_tool("generate_image", prompt | {"dry_run": True})
    plan = [c["provider"] for c in result_of(dry)["candidates"]]
    before, charged_before = await books(folder), world.charged()

    result = await session.call_tool("generate_image", prompt)

    attempts = walk(plan, world.fault)
    assert attempts_of(result) == attempts, (plan, result)
    after, charged = await books(folder), world.charged()
    for name in NAMES:
        new, cost = after[name] - before[name], charged[name] - charged_before[name]
        ending = world.fault(name) if name in dict(attempts) else None
        assert not new["reserved"] + new["submitted"]
        if ending in UNKNOWN:
            assert new["unknown"] >= cost
            assert new["settled"] == 0
        else:
            assert (new["settled"], new["unknown"]) == (cost, 0)
        assert bool(new["released"]) == (ending in FREE)


@pytest.mark.parametrize("seed", SEEDS)
async def test_each_call_goes_as_planned_and_the_ledger_is_what_the_vendors_wrote_down(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    away = chance.sample(NAMES, chance.choice([0, 0, 1, 2]))
    models = {model: {"quality": chance.choice([1, 5, 10])} for model in MODELS}
    preference = chance.choice(["cost", "quality", "speed", "balanced"])
    async with world(away) as outer:
        async with client(tmp_path, **outer.settings(models, preference=preference)) as session:
            for _ in range(CALLS):
                faults: dict[str, str] = {name: chance.choice(FAULTS) for name in NAMES}
                faults[LOCAL] = chance.choice(["none", "oom", "oom", "oom"])
                await call(session, tmp_path, outer, faults)


@pytest.mark.parametrize("slow", NAMES)
async def test_what_a_vendor_made_too_late_counts_as_spent_and_nobody_else_is_paid(
    slow: str, tmp_path: Path
) -> None:
    first, second = [name for name in NAMES if name != slow]
    order = {first: 10, slow: 5, second: 1}
    models = {kind.model: {"quality": order[kind.name]} for kind in VENDORS}
    models[LOCAL_MODEL] = {"quality": 1}
    async with world() as outer:
        late = outer.settings(models, preference="quality", deadline=LATE)
        async with client(tmp_path, **late) as session:
            await call(session, tmp_path, outer, {first: "rejected", slow: "slow", LOCAL: "none"})

    assert outer.charged()[slow] > 0
    assert outer.charged()[second] == 0
