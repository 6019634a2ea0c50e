"""Money through the MCP client: who is asked, what is held, and what a failure costs."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from tests.support.factory import opener, service
from ziggie_image_mcp import errors
from ziggie_image_mcp.app.consent import ANYBODY
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.errors import (
    ConsentRequired,
    ContentRefused,
    EngineCrashed,
    ImageError,
    InvalidOutput,
    OutcomeUnknown,
    PaymentRequired,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider import Cost, Resolution, is_local
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server

Mode = Literal["auto", "legacy"]
BOTH_ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])
ASK = {"prompt": "a cat"}
Answer = Literal["accept", "decline", "cancel", "empty", "nothing", "error", "none"]


@asynccontextmanager
async def client(
    made: Service,
    mode: Mode,
    answer: Answer | list[Answer] = "none",
    asked: list[str] | None = None,
) -> AsyncGenerator[Client]:
    answers = answer if isinstance(answer, list) else None

    async def reply(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        if asked is not None:
            asked.append(params.message)
        match answers.pop(0) if answers is not None else answer:
            case "accept":
                return ElicitResult(action="accept", content={"agree": True})
            case "empty":
                return ElicitResult(action="accept", content={})
            case "nothing":
                return ElicitResult(action="accept")
            case "error":
                raise RuntimeError("the window was closed")
            case "decline":
                return ElicitResult(action="decline")
            case _:
                return ElicitResult(action="cancel")

    callback = None if answer == "none" else reply
    async with Client(make_server(opener(made)), mode=mode, elicitation_callback=callback) as found:
        yield found
    await made.aclose()


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


@BOTH_ERAS
async def test_a_yes_pays_once_and_the_answer_tells_the_price(mode: Mode, tmp_path: Path) -> None:
    paid, asked = FakePaidProvider(), list[str]()
    made = service(tmp_path, paid)
    async with client(made, mode, "accept", asked) as session:
        result = await session.call_tool("generate_image", ASK)
        holds = await made.billing.ledger.holds()

    assert not result.is_error, said(result)
    assert json.loads(said(result))["cost_usd"] == 0.04
    assert asked == [
        "No free route can make this. Spend up to $0.04 on 1 picture by paid/model? "
        "The prompt leaves this machine."
    ]
    assert list(paid.charged.values()) == [40_000]
    assert [(h.state, h.actual) for h in holds] == [("settled", 40_000)]
    assert paid.submitted == [holds[0].id]


@BOTH_ERAS
async def test_who_cannot_be_asked_is_told_price_and_argument(mode: Mode, tmp_path: Path) -> None:
    paid = FakePaidProvider()
    async with client(service(tmp_path, paid), mode, "none") as session:
        result = await session.call_tool("generate_image", ASK)

    assert result.is_error
    for part in ("[PAID_CONSENT_REQUIRED]", "$0.04", "allow_paid=true", "max_cost_usd=0.04"):
        assert part in said(result)
    assert paid.submitted == []


@BOTH_ERAS
@pytest.mark.parametrize("answer", ["decline", "cancel", "empty", "nothing"])
async def test_a_no_is_a_no_until_the_person_is_asked_anew(
    answer: Answer, mode: Mode, tmp_path: Path
) -> None:
    paid, asked = FakePaidProvider(), list[str]()
    answers: list[Answer] = [answer, answer, "accept"]
    made = service(tmp_path, paid)
    async with client(made, mode, answers, asked) as session:
        first = await session.call_tool("generate_image", ASK)
        second = await session.call_tool("generate_image", ASK | {"allow_paid": True})
        held = [h.state for h in await made.billing.ledger.holds()]
        spent_by_no = list(paid.submitted)
        third = await session.call_tool(
            "generate_image", ASK | {"allow_paid": True, "max_cost_usd": 0.04}
        )
        fourth = await session.call_tool("generate_image", ASK | {"allow_paid": True, "seed": 1})

    for result in (first, second):
        assert result.is_error
        assert said(result).startswith("[PAID_DECLINED] ")
        assert "allow_paid=true" not in said(result)
    assert spent_by_no == []
    assert set(held) == {"released"}
    assert len(asked) == 3
    assert not third.is_error, said(third)
    assert not fourth.is_error, "another request was not declined"
    assert len(paid.submitted) == 2


async def test_a_yes_is_to_the_price_that_was_asked_about(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid)

    async def reply(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert "$0.04" in params.message
        paid.reprice(900_000)
        return ElicitResult(action="accept", content={"agree": True})

    server = make_server(opener(made))
    async with Client(server, mode="legacy", elicitation_callback=reply) as session:
        result = await session.call_tool("generate_image", ASK)
        holds = await made.billing.ledger.holds()
    await made.aclose()

    assert said(result).startswith("[PAID_CONSENT_REQUIRED]")
    assert "$0.90" in said(result)
    assert paid.submitted == []
    assert {h.state for h in holds} == {"released"}


async def test_where_clients_cannot_be_told_apart_nobodys_yes_takes_back_anothers_no(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakePaidProvider())
    request = ImageRequest(prompt="a cat")

    await made.consents.decline([request], ANYBODY)
    made.consents.agree([request], ANYBODY)

    assert made.consents.was_declined([request], ANYBODY)
    await made.aclose()


async def test_one_callers_no_is_not_anothers(tmp_path: Path) -> None:
    made = service(tmp_path, FakePaidProvider())
    request = ImageRequest(prompt="a cat")

    of_alice = await made.ask([request], "alice")
    of_bob = await made.ask([request], "bob")
    await made.consents.decline([request], "alice")
    assert of_bob is not None
    view = await made.start([request], consent=of_bob, caller="bob")

    assert of_alice is not None
    assert of_alice.quotes != of_bob.quotes
    assert (await made.job(view.id, 30)).status == "done"
    assert not made.consents.was_declined([request], "bob")
    await made.aclose()


async def test_a_client_that_breaks_off_while_it_is_asked_leaves_nothing_set_aside(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakePaidProvider())
    async with client(made, "legacy", "error") as session:
        with pytest.raises(MCPError):
            await session.call_tool("generate_image", ASK)
        holds = await made.billing.ledger.holds()

    assert [h.state for h in holds] == ["released"]


@BOTH_ERAS
async def test_alternatives_are_asked_about_once_and_together(mode: Mode, tmp_path: Path) -> None:
    paid, asked = FakePaidProvider(max_images=2), list[str]()
    made = service(tmp_path, paid)
    async with client(made, mode, "accept", asked) as session:
        result = await session.call_tool(
            "generate_image", {"prompt": "a {red|green|blue} cat", "num_images": 2}
        )
        holds = await made.billing.ledger.holds()

    assert asked == [
        "No free route can make this. Spend up to $0.24 on 6 pictures ($0.04 each) by paid/model? "
        "The prompt leaves this machine."
    ]
    told = json.loads(said(result))
    assert [len(r["images"]) for r in told["results"]] == [2, 2, 2]
    assert told["cost_usd"] == 0.24
    assert [(h.state, h.actual) for h in holds] == [("settled", 80_000)] * 3


async def test_alternatives_called_as_told_are_all_made(tmp_path: Path) -> None:
    paid = FakePaidProvider(max_images=2)
    made = service(tmp_path, paid)
    wish = {"prompt": "a {red|green|blue} cat", "num_images": 2}
    async with client(made, "auto") as session:
        told = await session.call_tool("generate_image", wish)
        less = await session.call_tool(
            "generate_image", wish | {"allow_paid": True, "max_cost_usd": 0.2}
        )
        before = list(paid.submitted)
        done = await session.call_tool(
            "generate_image", wish | {"allow_paid": True, "max_cost_usd": 0.24}
        )

    assert "at most $0.24 on 6 pictures ($0.04 each) by paid/model. Nothing was spent." in said(
        told
    )
    assert "max_cost_usd=0.24" in said(told)
    assert said(less).startswith("[INVALID_REQUEST] max_cost_usd=0.2 cannot be used")
    assert before == []
    assert len(json.loads(said(done))["results"]) == 3


async def test_alternatives_beyond_the_budget_are_not_begun(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, budget={"perDay": 0.1})
    async with client(made, "auto") as session:
        result = await session.call_tool(
            "generate_image", {"prompt": "a {red|green|blue} cat", "allow_paid": True}
        )
        holds = await made.billing.ledger.holds()

    assert said(result).startswith("[OVER_BUDGET] budget.perDay is $0.10")
    assert paid.submitted == []
    assert {h.state for h in holds} == {"released"}


async def test_what_alternatives_cost_is_told_where_one_of_them_fails(tmp_path: Path) -> None:
    broken = ContentRefused("paid", "no", charged=10_000)
    paid = FakePaidProvider(answers=[broken])
    async with client(service(tmp_path, paid), "auto") as session:
        result = await session.call_tool(
            "generate_image", {"prompt": "a {red|green} cat", "allow_paid": True}
        )

    told = json.loads(said(result))
    assert told["cost_usd"] == 0.05
    assert told["failures"] == ["CONTENT_REFUSED: no"]


async def test_a_question_that_was_open_too_long_counts_no_more_and_cannot_be_answered(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakePaidProvider(), budget={"perDay": 0.05})
    ledger = made.billing.ledger
    hold = await ledger.reserve(
        "ask-old-1",
        provider="paid",
        model="model",
        images=1,
        estimate=40_000,
        caps=Caps(),
        owner="another-host:1:1",
        now=datetime.now(UTC) - timedelta(minutes=11),
    )

    spending = await ledger.spending(datetime.now(UTC))
    taken = await ledger.take(hold.id, "mine", owner="me", now=datetime.now(UTC))
    view = await made.start([ImageRequest(prompt="a cat", allow_paid=True)])

    assert (spending.day, taken) == (0, False)
    assert (await made.job(view.id, 30)).status == "done"
    await made.aclose()


async def test_the_amount_is_set_aside_while_the_question_is_open(tmp_path: Path) -> None:
    made = service(tmp_path, FakePaidProvider(), budget={"perDay": 0.05})
    request = ImageRequest(prompt="a cat")

    offer, again = await made.ask([request]), await made.ask([request])
    other = await made.ask([ImageRequest(prompt="a dog")])

    assert offer is not None
    assert offer == again
    assert other is None, "the day's budget is set aside for the first question"
    (quote,) = offer.paid
    assert [(h.id, h.state) for h in await made.billing.ledger.holds()] == [
        (quote.hold, "reserved")
    ]
    await made.aclose()


async def test_one_yes_pays_for_one_call_only(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid)
    request = ImageRequest(prompt="a cat")
    offer = await made.ask([request])

    await made.generate(request, consent=offer)
    with pytest.raises(ConsentRequired, match="already used"):
        await made.generate(request, consent=offer)

    assert list(paid.charged.values()) == [40_000]
    await made.aclose()


@pytest.mark.parametrize("asset", ["", "background size=32x32"])
async def test_a_no_gives_back_what_was_set_aside(asset: str, tmp_path: Path) -> None:
    made = service(tmp_path, FakePaidProvider())
    async with client(made, "auto", "decline") as session:
        await session.call_tool("generate_image", ASK | {"asset": asset})
        holds = await made.billing.ledger.holds()

    assert [(h.state, h.note) for h in holds] == [("released", "the answer was no")]


async def test_a_yes_that_was_not_needed_gives_its_money_back(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    before = service(tmp_path, paid)
    offer = await before.ask([ImageRequest(prompt="a cat")])
    await before.aclose()
    made = service(tmp_path, FakeProvider(), paid)

    result = await made.generate(ImageRequest(prompt="a cat"), consent=offer)

    assert offer is not None
    assert result.model.provider == "fake"
    assert [h.state for h in await made.billing.ledger.holds()] == ["released"]


async def test_a_question_that_nobody_answers_holds_no_money_for_ever(tmp_path: Path) -> None:
    made = service(tmp_path, FakePaidProvider())
    await made.billing.ledger.reserve(
        "ask-old-1",
        provider="paid",
        model="model",
        images=1,
        estimate=40_000,
        caps=Caps(),
        owner="another-host:1:1",
        now=datetime.now(UTC) - timedelta(minutes=11),
    )

    await made.ask([ImageRequest(prompt="a cat")])

    old = next(h for h in await made.billing.ledger.holds() if h.id == "ask-old-1")
    assert (old.state, old.note) == ("released", "nobody answered in time")
    await made.aclose()


async def test_nobody_is_asked_where_a_free_route_is_open(tmp_path: Path) -> None:
    paid, asked = FakePaidProvider(quality=9.9), list[str]()
    async with client(service(tmp_path, FakeProvider(), paid), "auto", "accept", asked) as session:
        result = await session.call_tool("generate_image", ASK)

    assert json.loads(said(result))["provider"] == "fake"
    assert asked == []


@BOTH_ERAS
async def test_a_dry_run_shows_the_price_and_asks_nobody(mode: Mode, tmp_path: Path) -> None:
    asked = list[str]()
    made = service(tmp_path, FakePaidProvider())
    async with client(made, mode, "accept", asked) as session:
        result = await session.call_tool("generate_image", ASK | {"dry_run": True})

    (reason,) = json.loads(said(result))["rejected"][0]["reasons"]
    assert reason["code"] == "CONSENT_REQUIRED"
    assert reason["have"] == "$0.04"
    assert "allow_paid=true" in reason["fix"]
    assert asked == []


@pytest.mark.parametrize(
    "error",
    [EngineCrashed("fake", "gone"), ProviderUnavailable("fake", "down")],
)
async def test_a_failing_free_route_falls_back_to_money_only_with_consent(
    error: ProviderError, tmp_path: Path
) -> None:
    paid = FakePaidProvider()
    fake = FakeProvider(answers=[error] * 4)  # a refused connection is tried twice
    async with client(service(tmp_path, fake, paid), "auto") as session:
        without = await session.call_tool("generate_image", ASK)
        with_it = await session.call_tool(
            "generate_image", ASK | {"allow_paid": True, "max_cost_usd": 0.04}
        )

    assert without.is_error
    assert "allow_paid=true" in said(without)
    assert error.code in said(without)
    data = json.loads(said(with_it))
    assert [(a["provider"], a["ok"], a["cost_usd"]) for a in data["attempts"]] == [
        ("fake", False, 0),
        ("paid", True, 0.04),
    ]


async def test_within_a_budget_the_fallback_needs_no_question(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    fake = FakeProvider(answers=[EngineCrashed("fake", "gone")] * 9)
    made = service(tmp_path, fake, paid, allowPaidFallback="withinBudget", budget={"perDay": 0.1})
    async with client(made, "auto") as session:
        results = [await session.call_tool("generate_image", ASK) for _ in range(3)]

    assert [r.is_error for r in results] == [False, False, True]
    assert sum(paid.charged.values()) == 80_000


async def test_never_means_never(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, allowPaidFallback="never")
    async with client(made, "auto", "accept") as session:
        result = await session.call_tool("generate_image", ASK | {"allow_paid": True})

    assert "PAID_FORBIDDEN" in said(result)
    assert paid.submitted == []


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable("paid", "outage"),
        RateLimited("paid", "busy", retry_after=3.0),
        PaymentRequired("paid", "no credit"),
    ],
)
async def test_a_vendor_in_outage_falls_back_to_local_and_costs_nothing(
    error: ProviderError, tmp_path: Path
) -> None:
    paid = FakePaidProvider(answers=[error], quality=9.9, seconds=0.1)
    made = service(tmp_path, FakeProvider(), paid, preference="quality")
    async with client(made, "auto") as session:
        result = await session.call_tool("generate_image", ASK | {"allow_paid": True})
        holds = await made.billing.ledger.holds()

    data = json.loads(said(result))
    assert [(a["provider"], a["ok"]) for a in data["attempts"]] == [("paid", False), ("fake", True)]
    assert data["cost_usd"] == 0
    assert [h.state for h in holds] == ["released"]


async def test_an_unknown_outcome_stops_and_stays_counted(tmp_path: Path) -> None:
    lost = OutcomeUnknown("paid", "the connection broke after the job was sent")
    paid = FakePaidProvider(answers=[lost], quality=9.9, seconds=0.1)
    made = service(tmp_path, FakeProvider(), paid, preference="quality")
    async with client(made, "auto") as session:
        result = await session.call_tool("generate_image", ASK | {"allow_paid": True})
        spending = await made.billing.spending()

    assert "[OUTCOME_UNKNOWN]" in said(result)
    assert len(paid.submitted) == 1
    assert (spending.day, spending.unknown) == (40_000, 1)


async def test_a_refusal_by_a_vendor_is_not_shopped_around(tmp_path: Path) -> None:
    refused = FakePaidProvider(answers=[ContentRefused("paid", "no")], quality=9.9, seconds=0.1)
    other = FakePaidProvider("other")
    made = service(tmp_path, refused, other, preference="quality")
    async with client(made, "auto") as session:
        result = await session.call_tool("generate_image", ASK | {"allow_paid": True})

    assert "[CONTENT_REFUSED]" in said(result)
    assert other.submitted == []


async def test_a_cancelled_paid_job_is_stopped_and_stays_counted(tmp_path: Path) -> None:
    paid, started = FakePaidProvider(answers=[None]), anyio.Event()
    made = service(tmp_path, paid)

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if message == "halfway":
            started.set()

    async with client(made, "auto") as session:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                arguments = ASK | {"allow_paid": True}
                await session.call_tool("generate_image", arguments, progress_callback=hear)

            group.start_soon(call)
            await started.wait()
            group.cancel_scope.cancel()
        holds = await made.billing.ledger.holds()

    assert paid.cancelled == ["hang"]
    assert [h.state for h in holds] == ["unknown"]


async def test_many_calls_at_once_never_pass_the_cap(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, budget={"perDay": 0.4})
    async with client(made, "auto") as session, anyio.create_task_group() as group:
        for _ in range(24):
            group.start_soon(session.call_tool, "generate_image", ASK | {"allow_paid": True})

    assert sum(paid.charged.values()) == 400_000


@pytest.mark.parametrize(
    ("ask", "config", "submitted", "cost"),
    [
        ({"allow_paid": True}, {}, [1, 0], None),
        ({"allow_paid": True, "max_cost_usd": 0.07}, {}, [1, 0], None),
        ({"allow_paid": True, "max_cost_usd": 0.08}, {}, [1, 1], 0.08),
        ({}, {"allowPaidFallback": "withinBudget", "budget": {"perDay": 1}}, [1, 1], 0.08),
    ],
)
async def test_a_yes_to_one_charge_is_no_yes_to_a_second_after_one_in_vain(
    ask: dict[str, Any],
    config: dict[str, Any],
    submitted: list[int],
    cost: float | None,
    tmp_path: Path,
) -> None:
    lost = InvalidOutput("one", "made, charged and lost", charged=40_000)
    one = FakePaidProvider("one", answers=[lost], quality=9.0)
    other = FakePaidProvider("other")
    made = service(tmp_path, one, other, **config)
    async with client(made, "auto") as session:
        answer = await session.call_tool("generate_image", ASK | ask)
    spent = (await made.billing.spending()).day

    assert [len(one.submitted), len(other.submitted)] == submitted
    assert spent == 40_000 * sum(submitted)
    if cost is None:
        assert "$0.04 was spent on what failed" in said(answer)
    else:
        assert json.loads(said(answer))["cost_usd"] == cost
    await made.aclose()


class Forgetful(FakePaidProvider):
    """A vendor that cannot look a job up."""

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="unknowable", reason="this vendor cannot look up")


@pytest.mark.parametrize(
    ("vendor", "sent", "charged", "age", "state"),
    [
        (FakePaidProvider, False, False, 0, "released"),
        (FakePaidProvider, True, True, 0, "settled"),
        (FakePaidProvider, True, False, 1, "unknown"),
        (FakePaidProvider, True, False, 11, "released"),
        (Forgetful, True, True, 11, "unknown"),
    ],
)
async def test_the_money_of_a_dead_process_is_sorted_out(
    vendor: type[FakePaidProvider],
    sent: bool,
    charged: bool,
    age: int,
    state: str,
    tmp_path: Path,
) -> None:
    paid = vendor()
    made = service(tmp_path, paid)
    ledger = made.billing.ledger
    await ledger.reserve(
        "hold-of-the-dead",
        provider="paid",
        model="model",
        images=1,
        estimate=40_000,
        caps=Caps(),
        owner=f"{socket.gethostname()}:999999999:1",
        now=datetime.now(UTC) - timedelta(minutes=age),
    )
    if sent:
        await ledger.submit("hold-of-the-dead")
    if charged:
        paid.charged["hold-of-the-dead"] = 40_000

    await made.plan(ImageRequest(prompt="a cat"))

    (hold,) = await ledger.holds()
    assert hold.state == state
    await made.aclose()


async def test_one_providers_own_cap_holds_beside_the_common_one(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, providers={"paid": {"budget": {"perDay": 0.05}}})
    async with client(made, "auto") as session:
        first = await session.call_tool("generate_image", ASK | {"allow_paid": True})
        second = await session.call_tool("generate_image", ASK | {"allow_paid": True})

    assert not first.is_error
    assert "providers.paid.budget.perDay" in said(second)


ERRORS: list[type[ProviderError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ProviderError)
]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kinds=st.lists(st.sampled_from(ERRORS), min_size=1, max_size=4), allow=st.booleans())
async def test_local_only_never_reaches_a_vendor_under_any_error(
    kinds: list[type[ProviderError]], allow: bool, tmp_path: Path
) -> None:
    paid = FakePaidProvider()
    failing: list[Any] = [
        FakeProvider(f"local{i}", answers=[kind(f"local{i}", "failed")])
        for i, kind in enumerate(kinds)
    ]
    made = service(tmp_path, *failing, paid, privacy="local_only")

    try:
        result = await made.generate(ImageRequest(prompt="a cat", allow_paid=allow))
    except ImageError:
        pass
    else:
        assert is_local(result.model)
    await made.aclose()

    assert paid.submitted == []


@pytest.mark.parametrize(
    ("claim", "counts", "claimed"),
    [
        (Cost(micro_usd=60_000, basis="exact"), 60_000, ""),
        (Cost(micro_usd=-5, basis="exact"), 40_000, "-$5e-06"),
        (Cost(micro_usd=30_000_000_000, basis="computed"), 40_000, "$30,000"),
        (Cost(micro_usd=10**400, basis="computed"), 40_000, "more dollars than a number holds"),
        (Cost(micro_usd=float("nan"), basis="computed"), 40_000, "no finite amount"),
        (Cost(micro_usd=float("inf"), basis="exact"), 40_000, "no finite amount"),
    ],
)
async def test_a_vendors_claim_never_costs_the_picture_nor_more_than_its_share(
    claim: Cost, counts: int, claimed: str, tmp_path: Path
) -> None:
    made = service(tmp_path, FakePaidProvider(costs=[claim]), budget={"perMonth": 1})
    async with client(made, "auto") as session:
        first = await session.call_tool("generate_image", ASK | {"allow_paid": True})
        second = await session.call_tool("generate_image", {"prompt": "a dog", "allow_paid": True})
        holds = await made.billing.ledger.holds()
        charges = await made.billing.ledger.open_charges()

    assert not first.is_error, said(first)
    assert not second.is_error, said(second)
    told = json.loads(said(first))
    assert told["cost_usd"] == counts / 1e6
    notes = [note for note in told["notes"] if note.startswith("cost: the vendor c")]
    assert len(notes) == 1
    assert "agreed" in notes[0]
    assert [h.actual for h in holds] == [40_000, counts]
    assert [c.disputed for c in charges] == ([claimed] if claimed else [])


async def test_a_failure_that_claims_too_much_says_so_and_is_disputed(tmp_path: Path) -> None:
    dear = EngineCrashed("paid", "it broke", charged=30_000_000_000)
    made = service(tmp_path, FakePaidProvider(answers=[dear]), budget={"perMonth": 1})
    async with client(made, "auto") as session:
        result = await session.call_tool("generate_image", ASK | {"allow_paid": True})
        (charge,) = await made.billing.ledger.open_charges()

    assert result.is_error
    assert "claims to have charged $30,000, which cannot be" in said(result)
    assert (charge.hold.actual, charge.disputed) == (40_000, "$30,000")


async def test_a_cancelled_job_tells_what_it_may_have_cost(tmp_path: Path) -> None:
    paid = FakePaidProvider(answers=[None])
    async with client(service(tmp_path, paid), "auto") as session:
        wish = ASK | {"allow_paid": True, "wait_seconds": 0.5}
        job = json.loads(said(await session.call_tool("generate_image", wish)))
        result = await session.call_tool("cancel_job", {"job_id": job["job_id"]})

    told = json.loads(said(result))
    assert told["status"] == "cancelled"
    assert told["reason"] == (
        "CANCELLED: It was cancelled. $0.04 counts as spent: it was sent, and may be charged."
    )


async def test_a_dry_run_of_alternatives_tells_what_they_cost_together(tmp_path: Path) -> None:
    async with client(service(tmp_path, FakePaidProvider()), "auto") as session:
        wish = {"prompt": "a {red|green|blue} cat", "dry_run": True, "allow_paid": True}
        told = json.loads(said(await session.call_tool("generate_image", wish)))

    assert told["cost_usd_in_all"] == 0.12


@BOTH_ERAS
async def test_nobody_is_asked_about_a_call_that_cannot_be_served(
    mode: Mode, tmp_path: Path
) -> None:
    asked = list[str]()
    made = service(tmp_path, FakePaidProvider())
    async with client(made, mode, "accept", asked) as session:
        wrong = await session.call_tool("generate_image", ASK | {"wait_seconds": -1})
        right = await session.call_tool("generate_image", ASK)

    assert said(wrong).startswith("[INVALID_REQUEST] wait_seconds=-1")
    assert not right.is_error, said(right)
    assert len(asked) == 1


@BOTH_ERAS
@pytest.mark.parametrize(
    ("settings", "arguments", "answer", "code"),
    [
        ({"allowPaidFallback": "ask"}, {}, "accept", ""),
        ({"allowPaidFallback": "ask"}, {}, "none", "PAID_CONSENT_REQUIRED"),
        ({"allowPaidFallback": "ask"}, {"allow_paid": True}, "none", ""),
        (
            {"allowPaidFallback": "withinBudget", "budget": {"perDay": 1, "perMonth": 1}},
            {},
            "none",
            "",
        ),
        ({"allowPaidFallback": "ask"}, {"provider": "local"}, "accept", "NO_ROUTE"),
        ({"allowPaidFallback": "never"}, {"allow_paid": True}, "accept", "NO_ROUTE"),
        ({}, {"allow_paid": True}, "accept", "NO_ROUTE"),
    ],
)
async def test_local_with_a_fallback_pays_where_nothing_local_is_open_and_local_alone_never(
    settings: dict[str, Any],
    arguments: dict[str, Any],
    answer: Answer,
    code: str,
    mode: Mode,
    tmp_path: Path,
) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, provider="local", **settings)
    async with client(made, mode, answer) as session:
        result = await session.call_tool("generate_image", ASK | arguments)

    assert result.is_error is bool(code)
    assert said(result).startswith(f"[{code}]" if code else '{"images"')
    assert ("no local route is open, and allowPaidFallback" in said(result)) is not bool(code)
    assert len(paid.submitted) == (0 if code else 1)
