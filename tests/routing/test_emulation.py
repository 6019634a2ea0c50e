"""An option that a model lacks is planned as emulated, is said, and costs points of quality."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.routing.test_planner import PHOTO, ask, codes, context
from ziggie_image_mcp.provider import (
    Bucket,
    Buckets,
    FreeSize,
    Lora,
    LoraSupport,
    PromptLimit,
    TaskCapability,
)
from ziggie_image_mcp.provider.testing import OPTIONS, model
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.prompt_words import without_wish

BOTH = {*OPTIONS, "transparent", "seamless"}
PAINTS = ("text_to_image", "inpaint")


def able_to_inpaint(id: str = "model", **facts: Any) -> Any:
    made = model(id=id, tasks=PAINTS, **facts)
    masked = replace(made.tasks["inpaint"], mask="white")
    return replace(made, tasks={**made.tasks, "inpaint": masked})


@pytest.mark.parametrize("option", ["transparent", "seamless"])
def test_a_model_without_the_option_is_no_longer_left_out(option: str) -> None:
    able = model(id="able", options=BOTH)

    plan = planner.plan(context(model(id="other"), able, request=ask(**{option: True})))

    native, emulated = plan.candidates
    assert (native.model.id, emulated.model.id) == ("able", "other")
    assert getattr(native.request, option)
    assert not getattr(emulated.request, option)
    assert native.notes == ()
    assert emulated.score > native.score
    assert ", alpha by keying" in emulated.why or ", edges faded" in emulated.why


@pytest.mark.parametrize("option", ["transparent", "seamless"])
def test_an_edit_is_asked_only_of_models_that_honour_it(option: str) -> None:
    edits = model(tasks=("image_to_image",))

    plan = planner.plan(context(edits, request=ask(image=PHOTO, **{option: True})))

    assert plan.candidates == ()
    assert codes(plan) == {"FEATURE_UNSUPPORTED"}


def test_a_much_better_model_is_taken_all_the_same() -> None:
    able = model(id="able", options=BOTH, quality=5.0)
    better = model(id="better", quality=9.0)

    plan = planner.plan(context(able, better, request=ask(transparent=True, preference="quality")))

    assert plan.candidates[0].model.id == "better"


def test_the_prompt_asks_for_the_ground_that_is_planned() -> None:
    request = ask(prompt="a green frog as a transparent PNG", transparent=True)

    plan = planner.plan(context(model(), request=request))

    sent = plan.candidates[0]
    assert sent.emulation.ground == "#ff00ff"
    words = "isolated on a plain flat solid magenta background (#ff00ff)"
    assert sent.request.prompt == f"a green frog {words}"
    assert "(#ff00ff), which is keyed here; hair, glass" in sent.notes[0]


def test_the_demo_model_is_asked_in_its_own_words() -> None:
    request = ask(prompt="a green frog", transparent=True)

    plan = planner.plan(context(model(demo=True), request=request))

    sent = "a green frog isolated on a plain flat solid blue background"
    assert plan.candidates[0].request.prompt == sent


def test_a_prompt_that_grows_too_long_by_the_ground_is_refused() -> None:
    limit = PromptLimit(count=40, unit="characters", beyond="refused")
    short = model(capability={"max_prompt": limit})

    plan = planner.plan(context(short, request=ask(transparent=True)))

    assert codes(plan) == {"PROMPT_TOO_LONG"}


def test_a_free_model_that_inpaints_paints_its_edges_anew() -> None:
    free, paid = able_to_inpaint("free"), able_to_inpaint("paid", where="vendor", price=10_000)
    budget = {"perImage": 1, "perDay": 10, "perMonth": 10}
    request = ask(seamless=True, allow_paid=True)

    plan = planner.plan(context(free, paid, request=request, budget=budget))

    seams = {c.model.id: c.emulation.seam for c in plan.candidates}
    assert seams == {"free": "inpaint", "paid": "fade"}, "a second call would be charged"


@pytest.mark.parametrize(
    ("sizes", "seam"),
    [(FreeSize(), "inpaint"), (Buckets(sizes=(Bucket(width=512, height=512),)), "fade")],
)
def test_edges_are_painted_anew_only_in_a_size_that_the_model_takes(sizes: Any, seam: str) -> None:
    paints = able_to_inpaint()
    masked = TaskCapability(sizes=sizes, mask="white")
    paints = replace(paints, tasks={**paints.tasks, "inpaint": masked})

    plan = planner.plan(context(paints, request=ask(seamless=True, width=1024, height=1024)))

    assert plan.candidates[0].emulation.seam == seam


def test_edges_fade_where_a_lora_would_be_left_out_of_them() -> None:
    lora = LoraSupport(max_count=1, listed=False)
    paints = able_to_inpaint(capability={"loras": lora})
    without = replace(paints.tasks["inpaint"], loras=None)
    mixed = replace(paints, tasks={**paints.tasks, "inpaint": without})
    request = ask(seamless=True, loras=(Lora(id="a"),))

    seams = [
        planner.plan(context(one, request=request)).candidates[0].emulation.seam
        for one in (paints, mixed)
    ]

    assert seams == ["inpaint", "fade"]


@pytest.mark.parametrize(
    ("prompt", "rest"),
    [
        ("a fox, transparent background", "a fox"),
        ("logo on a transparent background, flat", "logo, flat"),
        ("a cat as a transparent PNG", "a cat"),
        ("a potion isolated on transparent", "a potion"),
        ("eine Katze mit transparentem Hintergrund", "eine Katze"),
        ("eine Katze, transparenter Hintergrund", "eine Katze"),
        ("一只猫\uff0c透明背景", "一只猫"),
        ("a transparent glass", "a transparent glass"),
        ("no transparent background, please", "no transparent background, please"),
    ],
)
def test_the_words_for_alpha_are_not_sent(prompt: str, rest: str) -> None:
    assert without_wish(prompt, "transparent") == rest
