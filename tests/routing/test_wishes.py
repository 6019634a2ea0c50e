"""What a decision says and weighs of size, drafts and slow free routes; and what it learns."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from tests.routing.test_planner import context
from ziggie_image_mcp.provider import FreeSize, Lora, LoraSupport, Model
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.latency import bucket, moving_mean
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate, HistorySnapshot, Latency

FLUX = model(id="flux", quality=9.5, sizes=FreeSize(native_width=1024, native_height=1024))
SD1 = model(id="sd1", quality=7.0, sizes=FreeSize(native_width=512, native_height=512))
UNTIMED = Latency(provider="", model="", bucket="", seconds=0.0, samples=0)
CLOUD = model("vendor", "quick", where="vendor", price=40_000, seconds=10.0, quality=8.0)


def best(*models: Model, **asked: Any) -> Candidate:
    return planner.plan(context(*models, request=ImageRequest(prompt="a cat", **asked))).candidates[
        0
    ]


@pytest.mark.parametrize(
    ("width", "height", "first"),
    [(1024, 1024, "flux"), (768, 768, "flux"), (512, 512, "flux"), (128, 128, "sd1")],
)
def test_a_size_far_from_what_a_model_is_made_for_costs_quality(
    width: int, height: int, first: str
) -> None:
    assert best(FLUX, SD1, width=width, height=height).model.id == first


@pytest.mark.parametrize(
    ("side", "way"), [(64, "scale it down by process_image"), (2048, "enlarge it by process_image")]
)
def test_a_size_far_from_what_a_model_is_made_for_is_said_with_the_better_way(
    side: int, way: str
) -> None:
    (note,) = best(FLUX, width=side, height=side).notes

    assert f"{side}x{side} is far from the 1024x1024 that flux is made for" in note
    assert way in note


@pytest.mark.parametrize(
    "size", [{}, {"width": 1024, "height": 768}, {"width": 640, "height": 640}]
)
def test_of_a_size_near_its_own_nothing_is_said(size: dict[str, int]) -> None:
    assert best(FLUX, **size).notes == ()


def test_a_vendors_sizes_are_what_its_model_is_made_for() -> None:
    assert best(CLOUD, width=2048, height=2048, allow_paid=True).notes == ()


def test_a_size_that_suits_neither_makes_no_paid_route_win() -> None:
    free = model("sd", "xl", quality=7.0, seconds=4.0)
    paid = replace(CLOUD, quality=7.0, seconds=4.0)

    for sides in (64, 1024):
        assert best(free, paid, width=sides, height=sides, allow_paid=True).model.id == "xl"


@pytest.mark.parametrize(
    ("facts", "asked", "steps"),
    [
        ({"steps": 30}, {}, 15),
        ({"steps": 12}, {}, 8),
        ({"steps": 6}, {}, 6),
        ({"steps": 30}, {"steps": 25}, 25),
        ({"steps": 20, "distilled": True}, {}, 20),
    ],
)
def test_a_draft_takes_fewer_steps_where_nobody_set_them(
    facts: dict[str, Any], asked: dict[str, Any], steps: int
) -> None:
    one = best(model(quality=7.0, **facts), quality="draft", **asked)

    assert one.request.steps == steps
    said = f"quality draft: {steps} steps in place of {facts['steps']}; steps sets others"
    assert one.notes == ((said,) if steps < facts["steps"] and not asked else ())


def test_a_draft_is_expected_sooner() -> None:
    usual, draft = (best(model(quality=7.0), quality=tier) for tier in ("standard", "draft"))

    assert draft.seconds == usual.seconds / 2


def test_the_draft_of_a_model_with_steps_of_its_own_takes_those() -> None:
    ctx = context(
        model(),
        request=ImageRequest(prompt="a cat", quality="draft"),
        models={"model": {"steps": 24}},
    )

    assert planner.plan(ctx).candidates[0].request.steps == 24


@pytest.mark.parametrize("asked", [{}, {"allow_paid": True, "preference": "cost"}])
def test_a_paid_route_that_is_far_faster_is_said_with_its_price(asked: dict[str, Any]) -> None:
    slow = model(id="slow", seconds=600.0, quality=8.0)

    one = best(slow, CLOUD, **asked)

    assert one.model.id == "slow"
    assert one.notes == (
        "free, and about 10 min: vendor quick would take about 10 s for at most $0.04 "
        "(provider=vendor, allow_paid=true)",
    )


@pytest.mark.parametrize(
    ("seconds", "paid", "config"),
    [
        (50.0, 2.0, {}),
        (600.0, 200.0, {}),
        (600.0, 10.0, {"allowPaidFallback": "never"}),
        (600.0, 10.0, {"provider": "local"}),
        (600.0, 10.0, {"privacy": "local_only"}),
        (600.0, 10.0, {"budget": {"perDay": 0.01}}),
    ],
)
def test_nothing_is_said_of_paying_where_it_gains_little_or_may_not_be(
    seconds: float, paid: float, config: dict[str, Any]
) -> None:
    ctx = context(model(seconds=seconds), replace(CLOUD, seconds=paid), **config)

    assert planner.plan(ctx).candidates[0].notes == ()


@pytest.mark.parametrize("wrong_by", [1 / 8, 1 / 2, 2.0, 8.0])
def test_expected_seconds_converge_from_a_wrong_prior(wrong_by: float) -> None:
    """Ten runs, whose times scatter by a fifth: the median of 200 stories is within a fifth."""
    truth, misses = 10.0, list[float]()
    one = model(seconds=truth * wrong_by)
    assert best(one).seconds == truth * wrong_by
    for story in range(200):
        scatter, latency = random.Random(story), UNTIMED
        for _ in range(10):
            latency = moving_mean(latency, truth * math.exp(scatter.gauss(0, 0.2)))
        key = ("fake", "model", bucket(1024, 1024, 20))
        ctx = replace(context(one), history=HistorySnapshot(latencies={key: latency}))
        misses.append(abs(math.log(planner.plan(ctx).candidates[0].seconds / truth)))

    assert sorted(misses)[100] < 0.2
    assert sorted(misses)[190] < 0.4


def test_runs_correct_an_order_that_the_priors_had_wrong() -> None:
    """A model that is believed fast is tried, learnt to be slow, and left for the faster one."""
    truth = {"boasting": 60.0, "modest": 10.0}
    models = [model(id="boasting", seconds=2.0), model(id="modest", seconds=20.0)]
    latencies, chosen = dict[tuple[str, str, str], Latency](), list[str]()
    for _ in range(6):
        ctx = context(*models, request=ImageRequest(prompt="a cat", preference="speed"))
        one = planner.plan(replace(ctx, history=HistorySnapshot(latencies=latencies))).candidates[0]
        chosen.append(one.model.id)
        key = ("fake", one.model.id, bucket(1024, 1024, 20))
        before = latencies.get(key, UNTIMED)
        latencies = {**latencies, key: moving_mean(before, truth[one.model.id])}

    assert chosen == ["boasting", *["modest"] * 5]


def test_loras_make_a_picture_take_longer_and_teach_nothing_wrong() -> None:
    able = model(capability={"loras": LoraSupport(max_count=2, listed=False)}, seconds=10.0)
    loras = (Lora(id="a"), Lora(id="b"))
    learnt = replace(UNTIMED, seconds=10.0, samples=5)
    history = HistorySnapshot(latencies={("fake", "model", bucket(1024, 1024, 20)): learnt})

    seconds = [
        planner.plan(
            replace(context(able, request=ImageRequest(prompt="a cat", loras=more)), history=known)
        )
        .candidates[0]
        .seconds
        for more in ((), loras)
        for known in (HistorySnapshot(), history)
    ]

    assert seconds == [10.0, 10.0, 12.0, 12.0]
