"""A plan is a promise: what a dry run says is what a call does, in every state of the world."""

from __future__ import annotations

import itertools
import re
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.factory import service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.types import Quote
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.loader import provider_budgets
from ziggie_image_mcp.errors import (
    ConsentRequired,
    ContentRefused,
    EngineCrashed,
    ImageError,
    InvalidRequest,
    OutcomeUnknown,
    OutOfMemory,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.jobs.errors import GenerationFailed
from ziggie_image_mcp.jobs.executor import MAX_ATTEMPTS
from ziggie_image_mcp.jobs.records import Result
from ziggie_image_mcp.provider import (
    FreeSize,
    Memory,
    Model,
    Option,
    ProviderRequest,
    Run,
    Submission,
    is_local,
    is_present,
)
from ziggie_image_mcp.provider.testing import OPTIONS, FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate, Plan

GB = 10**9
MEMORY = Path("/dev/shm")
"""A folder that is no disk, where there is one."""
Route = tuple[str, str]
"""Provider and model."""
Ending = type[ProviderError] | None
"""None is a picture."""

AT_FREE: list[type[ProviderError]] = [EngineCrashed, OutOfMemory, ProviderUnavailable]
AT_PAID: list[type[ProviderError]] = [ProviderUnavailable, RateLimited, PaymentRequired]
EXAMPLES = 24
"""Always the same ones; `tests/soak/test_plan.py` has more of them, each time others."""
UNHURRIED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
NUMBERS = itertools.count()


@dataclass(frozen=True, kw_only=True)
class World:
    """A state of config, providers and ledger, and a request made in it."""

    free: Mapping[str, tuple[Model, ...]]
    paid: Mapping[str, Model]
    """One model each."""
    prices: Mapping[str, int | None]
    """Of a picture of theirs, 1e-6 USD; None is unknown."""
    endings: Mapping[str, tuple[Ending, ...]]
    """How the first attempts at a provider end; all later ones make a picture."""
    down: frozenset[str]
    spent: tuple[tuple[str, int], ...]
    """Provider and 1e-6 USD, settled today."""
    config: Mapping[str, Any]
    request: ImageRequest
    asked: bool
    """Whether a person said yes to the quote."""


@dataclass
class Trace:
    """What the fakes were asked for, in order."""

    attempts: list[Route] = field(default_factory=list[Route])

    def again(self, route: Route) -> bool:
        """Note an attempt; whether it is but a retry of the one before."""
        if self.attempts[-1:] == [route]:
            return True
        self.attempts.append(route)
        return False


class Free(FakeProvider):
    """A fake that notes each attempt, and ends as it is told."""

    def __init__(self, trace: Trace, name: str, world: World) -> None:
        down = ProviderUnavailable(name, "down") if name in world.down else None
        super().__init__(name, models=world.free[name], down=down)
        self._trace = trace
        self._endings = list(world.endings[name])
        self._ending: Ending | None = None

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        if not self._trace.again((self.name, model.id)):
            self._ending = self._endings.pop(0) if self._endings else None
        ending = self._ending
        if ending is not None:
            self._answers.append(ending(self.name, "as told"))
        return await super().submit(request, model, run)


class Paid(FakePaidProvider):
    """A fake that takes money, notes each attempt, and ends as it is told."""

    def __init__(self, trace: Trace, name: str, world: World) -> None:
        super().__init__(name, price=world.prices[name] or 0)
        self._trace = trace
        self._listed = world.paid[name]
        self._endings = list(world.endings[name])
        self._ending: Ending | None = None

    async def list_models(self) -> Sequence[Model]:
        return [self._listed]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        if not self._trace.again((self.name, model.id)):
            self._ending = self._endings.pop(0) if self._endings else None
        ending = self._ending
        if ending is not None:
            self._answers.append(ending(self.name, "as told"))
        return await super().submit(request, model, run)


# Random worlds. The strategies are built once: building them costs more than drawing from them.

FREE = ("free0", "free1")
PAID = ("paid0", "paid1")
PRICES = [500, 3_000, 40_000, 40_001, 1_001_000, 1_234_567, None]
DOLLARS = st.sampled_from([0, 0.003, 0.04, 0.0400005, 0.08, 0.1 + 0.2, 0.12, 1.001, 5])
OPTION_SETS: list[frozenset[Option]] = [
    OPTIONS,
    OPTIONS,
    OPTIONS | frozenset[Option](("sampler", "scheduler")),
    frozenset[Option](),
    frozenset[Option](("seed", "steps")),
]
FACTS: dict[str, st.SearchStrategy[Any]] = {
    "quality": st.sampled_from([3.0, 6.0, 9.0]),
    "seconds": st.sampled_from([None, 0.5, 4.0, 300.0]),
    "options": st.sampled_from(OPTION_SETS),
    "tasks": st.sampled_from([("text_to_image",), ()]),
    "state": st.sampled_from(["ready", "ready", "loaded", "missing"]),
    "sizes": st.builds(
        FreeSize,
        native_width=st.sampled_from([64, 128]),
        native_height=st.just(64),
        min_side=st.sampled_from([16, 64]),
        max_side=st.sampled_from([128, 2048]),
        multiple_of=st.sampled_from([8, 64]),
        max_ratio=st.sampled_from([None, 2.0]),
    ),
    "max_images": st.sampled_from([1, 2, 16]),
    "distilled": st.booleans(),
    "commercial_use": st.sampled_from([True, False, None]),
    "memory": st.builds(
        Memory,
        ram_bytes=st.sampled_from([None, 4 * GB, 64 * GB]),
        vram_bytes=st.sampled_from([None, 4 * GB, 64 * GB]),
        managed=st.booleans(),
    ),
    "aliases": st.sampled_from([(), ("flux schnell",), ("sdxl",)]),
}


def few(
    kinds: Mapping[str, st.SearchStrategy[Any]], most: int
) -> st.SearchStrategy[dict[str, Any]]:
    """A few of these: with too much said at once nothing would be possible."""

    def chosen(drawn: tuple[set[str], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in drawn[1].items() if name in drawn[0]}

    names = st.sets(st.sampled_from(sorted(kinds)), max_size=most)
    return st.tuples(names, st.fixed_dictionaries(dict(kinds))).map(chosen)


def both(
    always: Mapping[str, st.SearchStrategy[Any]],
    sometimes: Mapping[str, st.SearchStrategy[Any]],
    most: int = 2,
) -> st.SearchStrategy[dict[str, Any]]:
    """These, and a few of those."""

    def joined(drawn: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
        return drawn[0] | drawn[1]

    return st.tuples(st.fixed_dictionaries(dict(always)), few(sometimes, most)).map(joined)


FREE_FACTS = both(
    {"where": st.sampled_from(["this_machine", "this_machine", "own_network", "vendor"])},
    FACTS | {"demo": st.just(True), "price": st.none()},
)
PAID_FACTS = both(
    {
        "where": st.just("vendor"),
        "price": st.sampled_from(PRICES),
        "quality": st.sampled_from([9.0, 9.0, 5.0]),
    },
    FACTS,
)
LISTS = {
    "free0": st.lists(FREE_FACTS, max_size=3),
    "free1": st.lists(FREE_FACTS, max_size=1),
    "paid0": st.lists(PAID_FACTS, min_size=1, max_size=1),
    "paid1": st.lists(PAID_FACTS, max_size=1),
}
ENDINGS: dict[str, st.SearchStrategy[list[Ending]]] = {
    **{
        name: st.lists(st.sampled_from([*AT_FREE, None, ContentRefused]), max_size=3)
        for name in FREE
    },
    **{
        name: st.lists(
            st.sampled_from([*AT_PAID, None, OutcomeUnknown, ContentRefused]), max_size=3
        )
        for name in PAID
    },
}
DOWN = st.sampled_from([frozenset[str]()] * 5 + [frozenset({name}) for name in FREE])
SPENT = st.lists(
    st.tuples(st.sampled_from(PAID), st.sampled_from([500, 40_000, 80_000, 260_000, 1_000_000])),
    max_size=2,
)
OWN = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "quality": st.sampled_from([1, 9]),
        "steps": st.just(7),
        "commercialUse": st.booleans(),
        "aliases": st.just(["mine"]),
    },
)
CAPS = dict.fromkeys(("perDay", "perMonth"), DOLLARS)
BUDGET = st.fixed_dictionaries(
    {"perDay": DOLLARS},
    optional={"perMonth": DOLLARS, "perImage": DOLLARS, "confirmAbove": DOLLARS},
)
RULES: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"use": st.sampled_from(["auto", "local", "local", "cloud", "cloud", *FREE, *PAID])},
        optional={
            "preference": st.sampled_from(["cost", "quality"]),
            "when": few(
                {
                    "quality": st.sampled_from(["draft", "standard", "high"]),
                    "batch": st.sampled_from([True, False, 2, 3]),
                    "task": st.sampled_from(["text_to_image", "inpaint"]),
                },
                2,
            ),
        },
    ),
    min_size=1,
    max_size=3,
)
CONFIGS = both(
    {
        "preference": st.sampled_from(["quality", "quality", "cost", "speed", "balanced"]),
        "allowPaidFallback": st.sampled_from(["ask", "withinBudget", "withinBudget", "never"]),
    },
    {
        "enabled": st.sampled_from([True, False]),
        "privacy": st.just("local_only"),
        "routes": RULES,
        "provider": st.sampled_from(["local", "cloud", *FREE, *PAID]),
        "budget": BUDGET,
        "providers": st.fixed_dictionaries(
            {},
            optional={
                name: st.fixed_dictionaries({"budget": st.fixed_dictionaries(CAPS)})
                for name in PAID
            },
        ),
        "commercialUse": st.booleans(),
        "defaultModel": st.sampled_from(["m0", "m1", "absent", "sdxl"]),
        "defaultSettings": st.just({"steps": 30, "cfg": 7.5, "sampler": "euler"}),
        "models": st.fixed_dictionaries({}, optional={"m0": OWN, "m?": OWN}),
    },
    most=3,
)
SIZES: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"width": 64, "height": 64},
    {"width": 128, "height": 64},
    {"width": 72, "height": 200},
    {"aspect_ratio": "16:9"},
    {"width": 64},
]
WISHES: dict[str, st.SearchStrategy[Any]] = {
    "negative_prompt": st.sampled_from(["", "dogs"]),
    "num_images": st.sampled_from([1, 1, 1, 2, 2, 3, 3, 17]),
    "seed": st.sampled_from([0, 2**32 - 1]),
    "steps": st.sampled_from([4, 40]),
    "guidance_scale": st.sampled_from([0.0, 7.0]),
    "sampler": st.just("euler"),
    "model": st.sampled_from(["m0", "M1", "free0/m0", "FLUX-Schnell", "mine", "absent"]),
    "provider": st.sampled_from(["auto", "auto", "local", "cloud", *FREE, *PAID]),
    "quality": st.sampled_from(["draft", "standard", "high"]),
    "max_cost_usd": DOLLARS,
}


def request_of(size: dict[str, Any], wishes: dict[str, Any], allow: bool) -> ImageRequest:
    return ImageRequest(prompt="a cat", allow_paid=allow, **(size | wishes))


REQUESTS = st.builds(request_of, st.sampled_from(SIZES), few(WISHES, 2), st.booleans())


def listed(name: str, facts: Sequence[dict[str, Any]]) -> tuple[Model, ...]:
    native: dict[str, Any] = {"sizes": FreeSize(native_width=64, native_height=64)}
    return tuple(model(name, f"m{i}", **(native | one)) for i, one in enumerate(facts))


def world_of(
    lists: dict[str, list[dict[str, Any]]], endings: dict[str, list[Ending]], **rest: Any
) -> World:
    return World(
        free={name: listed(name, lists[name]) for name in FREE if lists[name]},
        paid={name: listed(name, lists[name])[0] for name in PAID if lists[name]},
        prices={name: lists[name][0]["price"] for name in PAID if lists[name]},
        endings={name: tuple(made) for name, made in endings.items()},
        **rest,
    )


WORLDS = st.builds(
    world_of,
    lists=st.fixed_dictionaries(LISTS),
    endings=st.fixed_dictionaries(ENDINGS),
    down=DOWN,
    spent=SPENT.map(tuple),
    config=CONFIGS,
    request=REQUESTS,
    asked=st.booleans(),
)


# Acting in a world


@pytest.fixture(scope="module")
def no_disk() -> Generator[Path]:
    """A folder for all worlds, with one in it whose databases have their tables already."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        anyio.run(prepare, Path(folder) / "fresh")
        yield Path(folder)


async def prepare(fresh: Path) -> None:
    fresh.mkdir()
    made = service(fresh, FakePaidProvider())
    await made.plan(ImageRequest(prompt="a cat"))
    await made.aclose()


async def opened(world: World, folder: Path, trace: Trace) -> Service:
    """The service in this world, with its money spent already."""
    providers = [Free(trace, name, world) for name in world.free]
    vendors = [Paid(trace, name, world) for name in world.paid]
    own = shutil.copytree(folder / "fresh", folder / str(next(NUMBERS)))
    made = service(own, *providers, *vendors, **world.config)
    for i, (name, amount) in enumerate(world.spent):
        await made.billing.ledger.reserve(
            f"before-{i}",
            provider=name,
            model="m0",
            images=1,
            estimate=amount,
            caps=Caps(),
            owner="somebody:1:1",
            now=datetime.now(UTC),
        )
        await made.billing.ledger.submit(f"before-{i}")
        await made.billing.ledger.settle(f"before-{i}", amount)
    return made


async def planned(made: Service, world: World) -> Plan | InvalidRequest:
    try:
        return await made.plan(world.request)
    except InvalidRequest as e:
        return e


async def outcome(made: Service, world: World) -> Result | ImageError:
    try:
        yes = await made.ask([world.request]) if world.asked else None
        return await made.generate(world.request, consent=yes)
    except ImageError as e:
        return e


def walk(world: World, candidates: Sequence[Candidate]) -> list[tuple[Route, Ending]]:
    """The attempts that these candidates lead to, and how each ends."""
    left = {name: list(endings) for name, endings in world.endings.items()}
    attempts: list[tuple[Route, Ending]] = []
    out_of_reach: set[str] = set()
    for candidate in candidates:
        name = candidate.model.provider
        if name in out_of_reach:
            continue
        ending = left[name].pop(0) if left[name] else None
        attempts.append(((name, candidate.model.id), ending))
        if ending is None or not ending.fallback or len(attempts) == MAX_ATTEMPTS:
            break
        if ending.scope in ("account", "provider"):
            out_of_reach.add(name)
    return attempts


def may_pay(world: World, route: Route, quoted: Quote | None) -> bool:
    """Whether somebody agreed that this model is paid, in the words of the README."""
    config, cost = Config.model_validate(world.config), cost_of(world, route)
    if config.allow_paid_fallback == "never":
        return False
    if world.request.allow_paid:
        return True
    if world.asked and quoted is not None and (quoted.provider, quoted.model) == route:
        return cost <= quoted.micro_usd
    budget = config.budget
    capped = budget.per_day is not None or budget.per_month is not None
    return (
        config.allow_paid_fallback == "withinBudget"
        and capped
        and (budget.confirm_above is None or cost <= micro(budget.confirm_above))
    )


def micro(dollars: float) -> Decimal:
    """As it is written: 1.001 dollars are 1001000, which 1.001 * 1e6 just misses."""
    return Decimal(str(dollars)) * 1_000_000


def cost_of(world: World, route: Route) -> int:
    return (world.prices.get(route[0]) or 0) * world.request.num_images


async def assert_caps_hold(made: Service, world: World, paid: set[str]) -> None:
    """Hold what stands in the ledger against the caps of those that were paid just now."""
    spending = await made.billing.ledger.spending(datetime.now(UTC))
    config = Config.model_validate(world.config)
    days, months = spending.by_provider_day, spending.by_provider_month
    sums = [(config.budget, spending.day, spending.month)]
    for name, own in provider_budgets(config).items():
        if name in paid:
            sums.append((own, days.get(name, 0), months.get(name, 0)))
    for budget, day, month in sums:
        assert budget.per_day is None or day <= micro(budget.per_day)
        assert budget.per_month is None or month <= micro(budget.per_month)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=UNHURRIED, derandomize=True)
@given(world=WORLDS)
async def test_a_call_does_what_its_dry_run_said(world: World, no_disk: Path) -> None:
    await assert_plan_and_call_agree(world, no_disk)


async def assert_plan_and_call_agree(world: World, no_disk: Path) -> None:
    trace = Trace()
    made = await opened(world, no_disk, trace)
    try:
        plan = await planned(made, world)
        if isinstance(plan, InvalidRequest):
            found = await outcome(made, world)
            assert isinstance(found, InvalidRequest)
            assert (found.field, trace.attempts) == (plan.field, [])
            return
        quoted = await made.consents.quote(world.request)
        assert trace.attempts == []

        found = await outcome(made, world)

        assert_it_did_as_planned(world, plan, quoted, trace.attempts, found)
        assert_it_kept_the_rules(world, quoted, trace.attempts)
        paid = {route[0] for route in trace.attempts if cost_of(world, route)}
        if paid:
            await assert_caps_hold(made, world, paid)
    finally:
        await made.aclose()


def assert_it_did_as_planned(
    world: World,
    plan: Plan,
    quoted: Quote | None,
    attempts: Sequence[Route],
    found: Result | ImageError,
) -> None:
    assert quoted is None or not plan.candidates
    if not plan.candidates and world.asked and quoted is not None:
        assert attempts == [(quoted.provider, quoted.model)]
        return
    expected = walk(world, plan.candidates)
    assert attempts == [route for route, _ in expected]
    if not expected:
        assert isinstance(found, NoRoute if quoted is None else ConsentRequired)
        return
    assert not isinstance(found, NoRoute | ConsentRequired)
    last, ending = expected[-1]
    if ending is None:
        assert isinstance(found, Result)
        assert (found.model.provider, found.model.id) == last
        assert [(a.provider, a.model) for a in found.attempts] == attempts
        assert [a.ok for a in found.attempts] == [False] * (len(expected) - 1) + [True]
        assert found.cost_micro_usd == cost_of(world, last)
        (planned_request,) = [
            c.request for c in plan.candidates if (c.model.provider, c.model.id) == last
        ]
        assert replace(found.request, seed=planned_request.seed) == planned_request
        assert {(i.width, i.height) for i in found.images} == {
            (planned_request.width, planned_request.height)
        }
        assert len(found.images) == world.request.num_images
    elif ending.fallback:
        assert isinstance(found, GenerationFailed | ending)
        failed = found.attempts if isinstance(found, GenerationFailed) else ()
        assert [(a.provider, a.model) for a in failed] in ([], attempts)
        assert failed or len(attempts) == 1
    else:
        assert type(found) is ending


def assert_it_kept_the_rules(world: World, quoted: Quote | None, attempts: Sequence[Route]) -> None:
    config = Config.model_validate(world.config)
    models = {(m.provider, m.id): m for ms in world.free.values() for m in ms}
    models |= {(m.provider, m.id): m for m in world.paid.values()}
    for route in attempts:
        kinds = {"auto", "local" if is_local(models[route]) else "cloud", route[0]}
        assert is_present(models[route])
        assert route[0] not in world.prices or world.prices[route[0]] is not None
        assert not cost_of(world, route) or may_pay(world, route, quoted)
        assert models[route].where == "this_machine" or config.privacy != "local_only"
        assert config.provider in kinds
        assert (world.request.provider or "auto") in kinds
        assert len(attempts) <= MAX_ATTEMPTS


# What an offer says


@settings(max_examples=100, deadline=None)
@given(price=st.integers(1, 5_000_000), images=st.integers(1, 16))
@example(price=249, images=1)
@example(price=1_234_564, images=1)
async def test_the_arguments_that_an_offer_names_open_the_route(
    price: int, images: int, no_disk: Path
) -> None:
    vendor = FakePaidProvider(price=price)
    made = service(no_disk / str(next(NUMBERS)), vendor)
    request = ImageRequest(prompt="a cat", num_images=images)

    with pytest.raises(ConsentRequired) as caught:
        await made.generate(request)
    named = re.search(r"max_cost_usd=([\d.e-]+) ", str(caught.value))
    assert named is not None
    again = replace(request, allow_paid=True, max_cost_usd=float(named[1]))
    plan = await made.plan(again)
    await made.aclose()

    assert [c.cost_micro_usd for c in plan.candidates] == [price * images]


async def test_plan_and_ledger_read_a_cap_alike(tmp_path: Path) -> None:
    vendor = FakePaidProvider(price=40_001)
    made = service(tmp_path, vendor, budget={"perDay": 0.0400006})
    request = ImageRequest(prompt="a cat", allow_paid=True)

    plan = await made.plan(request)
    found = None if not plan.candidates else await made.generate(request)
    await made.aclose()

    assert (found is not None) == bool(plan.candidates)


async def test_what_costs_nothing_at_a_vendor_is_open_when_the_budget_is_spent(
    tmp_path: Path,
) -> None:
    dear, free = FakePaidProvider(price=40_000), FakePaidProvider("own", price=0)
    yes = ImageRequest(prompt="a cat", allow_paid=True, provider="paid")
    before = service(tmp_path, dear)
    await before.generate(yes)
    await before.aclose()
    made = service(tmp_path, free, budget={"perDay": 0.01})

    plan = await made.plan(ImageRequest(prompt="a cat"))
    found = await made.generate(ImageRequest(prompt="a cat"))
    await made.aclose()

    assert [c.model.provider for c in plan.candidates] == ["own"]
    assert found.cost_micro_usd == 0
