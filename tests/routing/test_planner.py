"""The decision: tables of values for each rule, the order, and the words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_mcp.config.config import Config, Privacy
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.types import Hardware, Reason, Rejection, Survey
from ziggie_image_mcp.provider import (
    Bucket,
    Buckets,
    ControlSupport,
    FreeSize,
    Lora,
    LoraSupport,
    Memory,
    Model,
    Option,
    PriceBook,
    PromptLimit,
    Rate,
    SameAsInput,
    SizeRule,
    Task,
    When,
)
from ziggie_image_mcp.provider.testing import OPTIONS, model
from ziggie_image_mcp.routing import planner, why_not
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.prompt_length import most_tokens
from ziggie_image_mcp.routing.request import ControlImage, ImageRequest, options_asked, task_of
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.routing.rules import (
    RULES,
    find_requested_model,
    rules_for,
)
from ziggie_image_mcp.routing.types import HistorySnapshot, Plan, QueueStatus
from ziggie_image_mcp.storage.types import InputImage

GB = 10**9


def context(
    *models: Model,
    request: ImageRequest | None = None,
    ram: int = 16 * GB,
    gpu: int | None = None,
    rejected: tuple[Rejection, ...] = (),
    configured: frozenset[str] = frozenset(),
    **config: Any,
) -> RoutingContext:
    return RoutingContext(
        request=request or ImageRequest(prompt="a cat"),
        survey=Survey(models=models, rejected=rejected, configured=configured),
        hardware=Hardware(os="Linux", machine="x86_64", ram_available=ram),
        tier="cpu" if gpu is None else "recommended",
        gpu_memory=gpu,
        config=Config.model_validate(config),
    )


def codes(plan: Plan) -> set[str]:
    return {reason.code for rejection in plan.rejected for reason in rejection.reasons}


def ask(**changes: Any) -> ImageRequest:
    return replace(ImageRequest(prompt="a cat"), **changes)


ONLY_TEXT: frozenset[Option] = frozenset()

OLD = datetime.now(UTC).date() - timedelta(days=400)
NEW = datetime.now(UTC).date()
WITHIN = {"allowPaidFallback": "withinBudget"}

RULE_TABLE: list[tuple[dict[str, Any], ImageRequest, dict[str, Any], str | None]] = [
    ({}, ask(), {}, None),
    ({}, ask(), {"enabled": False}, "DISABLED"),
    ({}, ask(), {"models": {"mod*": {"enabled": False}}}, "DISABLED"),
    ({}, ask(provider="cloud"), {}, "MODE_EXCLUDED"),
    ({}, ask(), {"provider": "cloud"}, "MODE_EXCLUDED"),
    ({"where": "vendor", "price": 0}, ask(provider="local"), {}, "MODE_EXCLUDED"),
    ({"where": "vendor", "price": 0}, ask(provider="auto"), {}, None),
    ({}, ask(provider="other"), {}, "NOT_PINNED"),
    ({}, ask(provider="fake"), {}, None),
    ({"where": "vendor", "price": 0}, ask(), {"privacy": "local_only"}, "PRIVACY"),
    ({"where": "vendor", "price": 0}, ask(), {"privacy": "zero_retention"}, "PRIVACY"),
    ({"where": "vendor", "price": 0}, ask(), {"privacy": "no_training"}, "PRIVACY"),
    ({}, ask(), {"privacy": "local_only"}, None),
    ({}, ask(model="else"), {}, "OTHER_MODEL"),
    ({}, ask(model="MODEL"), {}, None),
    ({}, ask(model="fake/model"), {}, None),
    ({"aliases": ("flux schnell",)}, ask(model="FLUX-Schnell"), {}, None),
    ({"family": "sdxl"}, ask(model="SD XL"), {}, None),
    ({"family": "sdxl"}, ask(model="flux.1"), {}, "OTHER_MODEL"),
    ({}, ask(model="mine"), {"models": {"model": {"aliases": ["mine"]}}}, None),
    ({}, ask(), {"defaultModel": "absent"}, None),
    ({"state": "missing"}, ask(), {}, "NOT_INSTALLED"),
    ({"options": ONLY_TEXT}, ask(), {}, None),
    ({"options": ONLY_TEXT}, ask(seed=1), {}, "FEATURE_UNSUPPORTED"),
    ({"options": ONLY_TEXT}, ask(steps=9), {}, "FEATURE_UNSUPPORTED"),
    (
        {"options": ONLY_TEXT},
        ask(negative_prompt="dogs"),
        {},
        "FEATURE_UNSUPPORTED",
    ),
    ({"tasks": ()}, ask(), {}, "FEATURE_UNSUPPORTED"),
    ({}, ask(width=512, height=512), {}, None),
    ({}, ask(width=4096, height=512), {}, "SIZE_UNSUPPORTED"),
    ({}, ask(width=32, height=512), {}, "SIZE_UNSUPPORTED"),
    ({"sizes": FreeSize(multiple_of=16)}, ask(width=520, height=512), {}, "SIZE_UNSUPPORTED"),
    ({"max_images": 1}, ask(num_images=2), {}, "COUNT_UNSUPPORTED"),
    ({"memory": Memory(ram_bytes=17 * GB)}, ask(), {}, "MEMORY_INSUFFICIENT"),
    ({"memory": Memory(ram_bytes=15 * GB)}, ask(), {}, None),
    ({"memory": Memory(ram_bytes=17 * GB, managed=True)}, ask(), {}, None),
    ({"commercial_use": False}, ask(), {"commercialUse": True}, "LICENSE"),
    ({"commercial_use": None}, ask(), {"commercialUse": True}, "LICENSE"),
    ({"commercial_use": True}, ask(), {"commercialUse": True}, None),
    (
        {"commercial_use": False},
        ask(),
        {"commercialUse": True, "models": {"model": {"commercialUse": True}}},
        None,
    ),
    ({"price": None}, ask(allow_paid=True), {}, "PRICE_UNKNOWN"),
    ({"price": 3000}, ask(), {}, "CONSENT_REQUIRED"),
    ({"price": 1, "price_as_of": OLD}, ask(allow_paid=True), {}, "PRICE_STALE"),
    ({"price": 1, "price_as_of": NEW}, ask(allow_paid=True), {}, None),
    ({"price_as_of": OLD}, ask(), {}, None),
    ({"seconds": 100.0}, ask(), {"deadline": 99}, "DEADLINE"),
    ({"seconds": 100.0}, ask(), {"deadline": 101}, None),
    ({"seconds": 100.0}, ask(num_images=2), {"deadline": 150}, "DEADLINE"),
    ({"price": 3000}, ask(), {"allowPaidFallback": "never"}, "PAID_FORBIDDEN"),
    ({"price": 3000}, ask(), {"allowPaidFallback": "withinBudget"}, "CONSENT_REQUIRED"),
    ({"price": 3000}, ask(), WITHIN | {"budget": {"perDay": 1}}, None),
    ({"price": 3000}, ask(), WITHIN | {"budget": {"perMonth": 1}}, None),
    (
        {"price": 3000},
        ask(),
        WITHIN | {"budget": {"perDay": 1, "confirmAbove": 0.001}},
        "CONSENT_REQUIRED",
    ),
    ({"price": 3000}, ask(allow_paid=True), {}, None),
    ({"price": 3000}, ask(allow_paid=True, max_cost_usd=0.002), {}, "OVER_MAX_COST"),
    ({"price": 3000}, ask(allow_paid=True, max_cost_usd=0.003), {}, None),
    (
        {"price": 3000},
        ask(allow_paid=True, max_cost_usd=0.005, num_images=2),
        {},
        "OVER_MAX_COST",
    ),
    (
        {"price": 3000},
        ask(allow_paid=True),
        {"budget": {"perImage": 0.002}},
        "OVER_BUDGET",
    ),
    ({"price": 3000}, ask(allow_paid=True), {"budget": {"perDay": 0.002}}, "OVER_BUDGET"),
    ({"price": 3000}, ask(allow_paid=True), {"budget": {"perMonth": 0}}, "OVER_BUDGET"),
    ({"quality": 7.0}, ask(quality="high"), {}, "QUALITY_BELOW_TIER"),
    ({"quality": 9.0}, ask(quality="high"), {}, None),
    ({}, ask(quality="high"), {}, "QUALITY_BELOW_TIER"),
    ({}, ask(quality="standard"), {}, None),
    ({"quality": 5.0}, ask(quality="standard"), {}, "QUALITY_BELOW_TIER"),
    ({}, ask(quality="high"), {"models": {"model": {"quality": 9}}}, None),
]


@pytest.mark.parametrize(("facts", "request_", "config", "code"), RULE_TABLE)
def test_each_rule_drops_what_it_should_and_nothing_else(
    facts: dict[str, Any], request_: ImageRequest, config: dict[str, Any], code: str | None
) -> None:
    plan = planner.plan(context(model(**facts), request=request_, **config))

    assert codes(plan) == ({code} if code else set())
    assert bool(plan.candidates) == (code is None)


def test_a_full_disk_stands_against_every_route() -> None:
    ctx = context(model())
    full = replace(ctx, hardware=replace(ctx.hardware, disk_free=10_000_000))

    assert codes(planner.plan(full)) == {"DISK_INSUFFICIENT"}


def test_memory_on_the_gpu_is_enough() -> None:
    big = model(memory=Memory(vram_bytes=8 * GB, ram_bytes=20 * GB))

    assert planner.plan(context(big, gpu=10 * GB)).candidates
    assert codes(planner.plan(context(big, gpu=6 * GB))) == {"MEMORY_INSUFFICIENT"}


def test_all_reasons_are_kept_not_only_the_first() -> None:
    request = ask(width=9000, height=512, seed=3)
    bad = model(state="missing", options=ONLY_TEXT, price=None)

    plan = planner.plan(context(bad, request=request))

    assert codes(plan) == {
        "NOT_INSTALLED",
        "FEATURE_UNSUPPORTED",
        "SIZE_UNSUPPORTED",
        "PRICE_UNKNOWN",
    }


def test_the_size_reason_says_which_size_would_do() -> None:
    tiny = model(sizes=FreeSize(native_width=64, native_height=64, max_side=96))

    plan = planner.plan(context(tiny, request=ask(width=1024, height=1024)))

    (reason,) = plan.rejected[0].reasons
    assert reason == Reason(
        code="SIZE_UNSUPPORTED",
        have="64 to 96 px in steps of 8",
        need="1024x1024",
        fix="ask for 96x96, or leave out width and height",
    )


def test_the_demo_model_serves_a_machine_with_nothing_else() -> None:
    demo = model("diffusers", "tiny", demo=True)
    real = model("comfyui", "sdxl")
    down = Rejection(provider="comfyui", model=None, reasons=())

    alone = planner.plan(context(demo))
    beside = planner.plan(context(demo, real))
    named = planner.plan(context(demo, real, request=ask(model="tiny")))
    engine_down = planner.plan(context(demo, rejected=(down,), configured=frozenset({"comfyui"})))
    not_looked_for = planner.plan(context(demo, rejected=(down,)))

    assert alone.candidates[0].model is demo
    assert "demo" in alone.candidates[0].why
    assert [c.model for c in beside.candidates] == [real]
    assert [c.model for c in named.candidates] == [demo]
    assert not engine_down.candidates
    assert not_looked_for.candidates


@pytest.mark.parametrize(
    ("request_", "config"),
    [
        (ask(model="diffusers/tiny"), {}),
        (ask(model="tiny", provider="diffusers"), {}),
        (ask(model="diffusers/tiny", provider="diffusers"), {}),
        (ask(), {"defaultModel": "diffusers/tiny"}),
        (ask(), {"defaultModel": "tiny", "provider": "diffusers"}),
    ],
    ids=str,
)
def test_a_model_is_found_where_it_once_was(request_: ImageRequest, config: dict[str, Any]) -> None:
    moved = model("builtin", "tiny", aliases=("diffusers/tiny",), demo=True)
    other = model("diffusers", "sdxl")

    plan = planner.plan(context(moved, request=request_, **config))
    elsewhere = planner.plan(context(other, moved, request=ask(provider="diffusers")))

    assert [c.model for c in plan.candidates] == [moved]
    assert [c.model for c in elsewhere.candidates] == [other]


def test_a_default_model_binds_only_what_it_can_do() -> None:
    base = model("comfyui", "sdxl")
    upscaler = model(
        "builtin", "upscaler", tasks=("upscale",), sizes=SameAsInput(), capability={"factors": (2,)}
    )
    enlarge = ask(prompt="", image=PHOTO, upscale=2)

    made = planner.plan(context(base, upscaler, defaultModel="sdxl"))
    enlarged = planner.plan(context(base, upscaler, request=enlarge, defaultModel="sdxl"))

    assert [c.model for c in made.candidates] == [base]
    assert [c.model for c in enlarged.candidates] == [upscaler]


def test_a_model_for_other_work_is_told_last_and_in_one_reason() -> None:
    upscaler = model(
        "a", "upscaler", tasks=("upscale",), sizes=SameAsInput(), capability={"factors": (2,)}
    )
    base = model("b", "sdxl", state="missing")

    made = planner.plan(context(upscaler, base, request=ask(seed=3, quality="high")))
    enlarged = planner.plan(context(base, request=ask(prompt="", image=PHOTO, upscale=2)))

    assert [r.model for r in made.rejected] == ["sdxl", "upscaler"]
    assert [r.have for r in made.rejected[1].reasons] == ["only upscale"]
    assert [r.need for r in enlarged.rejected[0].reasons] == ["upscale"]


def test_a_model_that_makes_and_enlarges_does_both() -> None:
    tasks: tuple[Task, ...] = ("text_to_image", "upscale")
    both = model(tasks=tasks, capability={"factors": (2,)})

    for request in (ask(), ask(prompt="", image=PHOTO, upscale=2)):
        assert [c.model for c in planner.plan(context(both, request=request)).candidates] == [both]


def test_a_model_that_only_enlarges_is_no_reason_against_the_demo_model() -> None:
    demo = model("builtin", "tiny", demo=True)
    able = {"factors": (2,)}
    upscaler = model(
        "builtin", "upscaler", tasks=("upscale",), sizes=SameAsInput(), capability=able
    )

    plan = planner.plan(context(demo, upscaler))

    assert [c.model for c in plan.candidates] == [demo]


def test_the_name_of_a_family_stands_for_all_of_it_unless_a_model_has_that_name() -> None:
    styled = model(id="own-style", family="sdxl")
    schnell = model(id="schnell", family="flux1")
    base = model(id="base", family="sdxl", aliases=("sdxl",))

    kin = planner.plan(context(styled, schnell, request=ask(model="sdxl")))
    named = planner.plan(context(styled, schnell, base, request=ask(model="sdxl")))
    absent = replace(base, state="missing")
    not_there = planner.plan(context(styled, absent, request=ask(model="sdxl")))

    assert [c.model.id for c in kin.candidates] == ["own-style"]
    assert "family sdxl, as asked" in kin.candidates[0].why
    assert codes(kin) == {"FAMILY_MISMATCH"}
    assert [c.model.id for c in named.candidates] == ["base"]
    assert codes(named) == {"OTHER_MODEL"}
    assert [c.model.id for c in not_there.candidates] == ["own-style"]
    assert codes(not_there) == {"NOT_INSTALLED"}


def test_a_long_queue_costs_time_and_a_full_one_rules_out() -> None:
    busy, idle = model(id="busy", device="gpu"), model(id="idle", device="other", seconds=20.0)
    queue = QueueStatus(device="gpu", running=1, waiting=3, seconds=60.0)
    ctx = context(busy, idle, queueLimit=4)
    waits = replace(ctx, history=HistorySnapshot(queues={"gpu": queue}))
    full = replace(ctx, history=HistorySnapshot(queues={"gpu": replace(queue, waiting=4)}))

    first, second = planner.plan(waits).candidates

    assert (first.model.id, second.model.id) == ("idle", "busy")
    assert (second.seconds, second.wait_seconds) == (64.0, 60.0)
    assert "60 s of them in the queue" in second.why
    assert [c.model.id for c in planner.plan(full).candidates] == ["idle"]
    assert codes(planner.plan(full)) == {"QUEUE_FULL"}


@pytest.mark.parametrize(
    ("promised", "wanted", "open_"),
    [
        ("no_training", "no_training", True),
        ("zero_retention", "no_training", True),
        ("no_training", "zero_retention", False),
        ("any", "no_training", False),
        ("zero_retention", "local_only", False),
    ],
)
def test_a_promise_of_a_vendor_counts_up_to_what_it_says(
    promised: Privacy, wanted: str, open_: bool
) -> None:
    ctx = context(model(where="vendor", price=0), privacy=wanted)
    plan = planner.plan(replace(ctx, promises={"fake": promised}))

    assert bool(plan.candidates) is open_
    assert codes(plan) == (set() if open_ else {"PRIVACY"})


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({"width": 512, "height": 512}, 10),
        ({"width": 1024, "height": 512}, 20),
        ({"width": 2048, "height": 2048}, 99),
        ({}, 20),
        ({"num_images": 3}, 60),
        ({"aspect_ratio": "16:9"}, 99),
    ],
)
def test_the_price_is_that_of_the_size(changes: dict[str, Any], cost: int) -> None:
    rates = [
        Rate(unit="image", micro_usd=10, when=When(max_pixels=512 * 512)),
        Rate(unit="image", micro_usd=20, when=When(max_pixels=1024 * 1024)),
        Rate(unit="image", micro_usd=99),
    ]
    paid = model(where="vendor", prices=PriceBook(rates=tuple(rates)))

    (candidate,) = planner.plan(context(paid, request=ask(allow_paid=True, **changes))).candidates

    assert candidate.cost_micro_usd == cost


def test_of_equals_the_model_goes_first_that_the_device_has_loaded() -> None:
    engine = Memory(managed=True)
    one, other = (model(id=id, device="gpu", memory=engine) for id in ("one", "other"))
    queue = QueueStatus(device="gpu", model="other")
    ctx = replace(context(one, other), history=HistorySnapshot(queues={"gpu": queue}))

    assert [c.model.id for c in planner.plan(ctx).candidates] == ["other", "one"]


@pytest.mark.parametrize(("facts", "request_", "config", "code"), RULE_TABLE)
def test_a_rule_that_is_not_asked_would_have_been_silent(
    facts: dict[str, Any], request_: ImageRequest, config: dict[str, Any], code: str | None
) -> None:
    one = model(**facts)
    ctx = context(one, request=request_, **config)
    ctx = replace(
        ctx,
        requested_model=find_requested_model(ctx),
        task=task_of(request_),
        options=options_asked(request_),
    )
    asked = rules_for(ctx)
    every = [rule for rule, _ in RULES]

    assert [rule(one, ctx) for rule in every if rule not in asked] == [None] * (
        len(every) - len(asked)
    )


def test_a_default_model_wins_where_it_is() -> None:
    plan = planner.plan(context(model(id="a"), model(id="b"), defaultModel="b"))

    assert [c.model.id for c in plan.candidates] == ["b"]


@pytest.mark.parametrize(
    ("preference", "winner"),
    [("quality", "fine"), ("speed", "quick"), ("balanced", "fine"), ("cost", "fine")],
)
def test_the_preference_orders_the_candidates(preference: str, winner: str) -> None:
    fine = model(id="fine", quality=9.0, seconds=8.0)
    quick = model(id="quick", quality=7.0, seconds=1.0)

    plan = planner.plan(context(quick, fine, preference=preference))

    assert plan.candidates[0].model.id == winner


@pytest.mark.parametrize(
    ("facts", "request_", "config", "steps", "guidance"),
    [
        ({}, ask(), {}, 20, 5.0),
        ({}, ask(steps=7, guidance_scale=2.0), {}, 7, 2.0),
        ({}, ask(), {"defaultSettings": {"steps": 30, "cfg": 7.5}}, 30, 7.5),
        ({}, ask(), {"models": {"model": {"steps": 9, "guidanceScale": 1}}}, 9, 1.0),
        (
            {"distilled": True, "steps": 4, "guidance_scale": 0.0},
            ask(),
            {"defaultSettings": {"steps": 30, "cfg": 7.5}},
            4,
            0.0,
        ),
        ({"options": ONLY_TEXT}, ask(), {}, None, None),
    ],
)
def test_steps_and_guidance_come_from_the_nearest_source(
    facts: dict[str, Any],
    request_: ImageRequest,
    config: dict[str, Any],
    steps: int | None,
    guidance: float | None,
) -> None:
    job = planner.plan(context(model(**facts), request=request_, **config)).candidates[0].request

    assert (job.steps, job.guidance_scale) == (steps, guidance)


def test_a_setting_that_a_distilled_model_cannot_use_is_said() -> None:
    schnell = model(distilled=True, steps=4)

    candidate = planner.plan(context(schnell, defaultSettings={"steps": 20})).candidates[0]

    assert candidate.notes == (
        "defaultSettings (steps) left out: model is distilled and has its own; set models.model in "
        "config.json for others",
    )


REPORT: dict[str, Any] = {
    "defaultSettings": {"steps": 20, "cfg": 7.0, "sampler": "euler", "scheduler": "normal"}
}
"""As the source report's own config block has it."""


@pytest.mark.parametrize(
    ("family", "steps", "guidance", "more", "sampled"),
    [
        ("sdxl", 30, 5.0, {}, (20, 7.0, "euler", "normal")),
        ("sd1", 30, 7.5, {}, (20, 7.0, "euler", "normal")),
        (None, None, None, {}, (20, 7.0, "euler", "normal")),
        ("flux1", 28, 3.5, {}, (28, 3.5, None, None)),
        ("sd3", 28, 3.5, {}, (28, 3.5, None, None)),
        ("flux1", 28, 3.5, {"flux1": {"guidanceScale": 2.5, "sampler": "dpmpp_2m"}},
         (28, 2.5, "dpmpp_2m", None)),
        ("sdxl", 30, 5.0, {"sdxl": {"steps": 12}, "model": {"steps": 11}},
         (11, 7.0, "euler", "normal")),
    ],
)  # fmt: skip
def test_the_reports_settings_reach_the_families_for_which_they_were_meant(
    family: str | None,
    steps: int | None,
    guidance: float | None,
    more: dict[str, Any],
    sampled: tuple[object, ...],
) -> None:
    able = OPTIONS | {"sampler", "scheduler"}
    one = model(family=family, steps=steps, guidance_scale=guidance, options=able)

    candidate = planner.plan(context(one, models=more, **REPORT)).candidates[0]

    sent = candidate.request
    assert (sent.steps, sent.guidance_scale, sent.sampler, sent.scheduler) == sampled
    said = [note for note in candidate.notes if note.startswith("defaultSettings")]
    assert len(said) == (1 if family in ("flux1", "sd3") else 0)


@pytest.mark.parametrize(
    ("config", "route"),
    [
        ({"provider": "local"}, ["local"]),
        ({"provider": "local", "allowPaidFallback": "never"}, ["local"]),
        ({"provider": "local", "allowPaidFallback": "withinBudget"}, ["local", "paid"]),
        ({"provider": "auto", "allowPaidFallback": "withinBudget"}, ["paid", "local"]),
    ],
)
def test_local_with_a_paid_fallback_takes_what_is_local_first(
    config: dict[str, Any], route: list[str]
) -> None:
    slow = model("local", seconds=500)
    paid = model("paid", where="vendor", price=10_000, quality=9)
    budget = {"perImage": 1, "perDay": 1, "perMonth": 1}

    plan = planner.plan(context(slow, paid, budget=budget, preference="quality", **config))

    assert [c.model.provider for c in plan.candidates] == route


@pytest.mark.parametrize(
    ("models", "sampled"),
    [
        ({"FLUX1": {"guidanceScale": 2.5}}, (28, 2.5)),
        ({"flux1": {"guidanceScale": 2.5}, "m*": {"steps": 9}}, (9, 2.5)),
        ({"m*": {"steps": 9}, "model": {"steps": 8}, "flux1": {"steps": 7}}, (9, 3.5)),
    ],
)
def test_what_a_models_own_settings_leave_open_its_familys_say(
    models: dict[str, Any], sampled: tuple[int, float]
) -> None:
    one = model(family="flux1", steps=28, guidance_scale=3.5)

    sent = planner.plan(context(one, models=models)).candidates[0].request

    assert (sent.steps, sent.guidance_scale) == sampled


def test_local_alone_says_how_a_paid_way_is_opened() -> None:
    paid = model("paid", where="vendor", price=10_000)

    (rejection,) = planner.plan(context(paid, provider="local")).rejected

    (reason,) = [x for x in rejection.reasons if x.code == "MODE_EXCLUDED"]
    assert 'allowPaidFallback: "ask"' in reason.fix


def test_settings_of_the_sampler_reach_only_models_that_take_them() -> None:
    takes = model(id="takes", options=OPTIONS | {"sampler", "scheduler"})
    plan = planner.plan(
        context(takes, model(), defaultSettings={"sampler": "euler", "scheduler": "normal"})
    )

    found = {c.model.id: (c.request.sampler, c.request.scheduler) for c in plan.candidates}
    assert found == {"takes": ("euler", "normal"), "model": (None, None)}


@pytest.mark.parametrize(
    ("ratio", "size", "noted"),
    [
        ("1:1", (1024, 1024), False),
        ("16:9", (1368, 768), False),
        ("9:16", (768, 1368), False),
        ("3:2", (1256, 832), True),
    ],
)
def test_an_aspect_ratio_keeps_the_models_area(
    ratio: str, size: tuple[int, int], noted: bool
) -> None:
    candidate = planner.plan(context(model(), request=ask(aspect_ratio=ratio))).candidates[0]

    assert (candidate.request.width, candidate.request.height) == size or noted
    assert abs(candidate.request.width * candidate.request.height / 1024**2 - 1) < 0.02


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "x" * 10_001}, "prompt"),
        ({"width": 0, "height": 64}, "width"),
        ({"width": 64, "height": 20_000}, "height"),
        ({"width": 64}, "width"),
        ({"aspect_ratio": "broad"}, "aspect_ratio"),
        ({"aspect_ratio": "512x512"}, "aspect_ratio"),
        ({"width": 10**400, "height": 64}, "width"),
        ({"max_cost_usd": float("inf")}, "max_cost_usd"),
        ({"aspect_ratio": "9:1"}, "aspect_ratio"),
        ({"aspect_ratio": "1:1", "width": 64, "height": 64}, "aspect_ratio"),
        ({"num_images": 0}, "num_images"),
        ({"num_images": 17}, "num_images"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"steps": 0}, "steps"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
    ],
)
def test_what_nobody_can_honour_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_request(ask(**changes))

    assert caught.value.field == field


def test_what_can_be_cut_out_by_nobody_is_said_to_be_beyond_keying_too() -> None:
    picture = InputImage(id="20261128-0123456789abcdef", width=64, height=64)
    ctx = context(model(), request=ask(prompt="", image=picture, remove_background=True))

    told = str(why_not.no_route(ctx, planner.plan(ctx)))

    assert "It could not be keyed, and no model here cuts out." in told


def test_a_wrong_model_name_is_answered_with_near_ones() -> None:
    ctx = context(
        model(id="sd_xl_base_1.0.safetensors", aliases=("sdxl",)), request=ask(model="sdlx")
    )

    assert "Nearest: sd_xl_base_1.0.safetensors" in str(why_not.no_route(ctx, planner.plan(ctx)))


@pytest.mark.parametrize(("state", "is_here"), [("ready", True), ("missing", False)])
def test_a_known_name_says_under_which_name_its_model_is_here(state: Any, is_here: bool) -> None:
    there = model(id="IF-I-XL-v1.0", state=state)
    ctx = context(there, model(id="other"), request=ask(model="IF-I-XL"))

    told = str(why_not.no_route(ctx, planner.plan(ctx)))

    assert ("(DeepFloyd IF) is here as IF-I-XL-v1.0." in told) == is_here
    assert ("no engine that answers has it" in told) == (not is_here)


@given(
    local=st.lists(st.booleans(), min_size=1, max_size=6),
    price=st.sampled_from([0, 500, None]),
    preference=st.sampled_from(["cost", "speed", "quality", "balanced"]),
)
def test_local_only_never_lets_a_cloud_model_through(
    local: list[bool], price: int | None, preference: str
) -> None:
    models = [
        model(id=f"m{i}", where="this_machine" if here else "vendor", price=price)
        for i, here in enumerate(local)
    ]

    plan = planner.plan(context(*models, privacy="local_only", preference=preference))

    assert all(c.model.where != "vendor" for c in plan.candidates)
    assert len(plan.candidates) + len(plan.rejected) == len(models)


def test_the_same_snapshot_gives_the_same_plan() -> None:
    models = [model(id=f"m{i}") for i in range(5)]

    assert planner.plan(context(*models)) == planner.plan(context(*models))


OPENAI = FreeSize(
    min_side=480,
    max_side=2560,
    multiple_of=16,
    min_pixels=655_360,
    max_pixels=3_686_400,
    max_ratio=3,
)
SHAPES = Buckets(
    sizes=(
        Bucket(width=1024, height=1024, name="1:1"),
        Bucket(width=1344, height=768, name="16:9"),
        Bucket(width=1536, height=640, name="21:9"),
    )
)
PHOTO = InputImage(id="20261128-0123456789abcdef", width=1920, height=1080)


@pytest.mark.parametrize(
    ("sizes", "changes", "sent", "bucket"),
    [
        (OPENAI, {"aspect_ratio": "3:1"}, (1776, 592), ""),
        (OPENAI, {"aspect_ratio": "4:1"}, None, ""),
        (OPENAI, {"width": 1536, "height": 512}, (1536, 512), ""),
        (OPENAI, {"width": 1920, "height": 480}, None, ""),
        (OPENAI, {"width": 640, "height": 640}, None, ""),
        (SHAPES, {}, (1024, 1024), "1:1"),
        (SHAPES, {"aspect_ratio": "16:9"}, (1344, 768), "16:9"),
        (SHAPES, {"aspect_ratio": "4:1"}, None, ""),
        (SHAPES, {"aspect_ratio": "1:2"}, None, ""),
        (SHAPES, {"width": 1536, "height": 640}, (1536, 640), "21:9"),
        (SHAPES, {"width": 1328, "height": 768}, None, ""),
    ],
)
def test_what_a_vendor_must_refuse_is_no_candidate_and_nobody_is_asked_to_pay_for_it(
    sizes: SizeRule, changes: dict[str, Any], sent: tuple[int, int] | None, bucket: str
) -> None:
    ctx = context(model(where="vendor", price=40_000, sizes=sizes), request=ask(**changes))

    plan, quote = planner.plan(ctx), planner.offer(ctx)

    assert not plan.candidates, "nobody said yes"
    if sent is None:
        assert "SIZE_UNSUPPORTED" in codes(plan)
        assert quote is None
    else:
        assert codes(plan) == {"CONSENT_REQUIRED"}
        assert quote is not None
        (candidate,) = planner.plan(
            replace(ctx, request=ask(allow_paid=True, **changes))
        ).candidates
        request = candidate.request
        assert (request.width, request.height, request.bucket) == (*sent, bucket)


def test_two_models_that_differ_only_in_their_least_pixels_are_sent_each_its_own_size() -> None:
    small = FreeSize(min_side=64, max_side=2048, multiple_of=16)
    models = [
        model(id=name, tasks=("image_to_image",), sizes=replace(small, min_pixels=least))
        for name, least in (("any", 0), ("large", 655_360))
    ]
    tiny = replace(PHOTO, width=320, height=240)

    plan = planner.plan(context(*models, request=ask(image=tiny)))

    sizes = {c.model.id: (c.request.width, c.request.height) for c in plan.candidates}
    assert sizes == {"any": (320, 240), "large": (960, 720)}


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"loras": (Lora(id="a"),)}, {"loras": LoraSupport(max_count=1, listed=False)}),
        ({"references": (PHOTO,)}, {"max_references": 1}),
        (
            {"control": (ControlImage(kind="depth", image=PHOTO),)},
            {"control": ControlSupport(kinds=frozenset({"depth"}))},
        ),
        (
            {"control": (ControlImage(kind="canny", image=PHOTO, compute=True),)},
            {"control": ControlSupport(computed=frozenset({"canny"}))},
        ),
        ({"style": "pixel-art"}, {"options": frozenset({"style"})}),
    ],
)
def test_whatever_a_request_may_hold_is_asked_only_of_models_that_honour_it(
    changes: dict[str, Any], needed: dict[str, Any]
) -> None:
    options = needed.pop("options", frozenset())
    able = model(id="able", options=OPTIONS | options, capability=needed)

    plan = planner.plan(context(model(id="unable"), able, request=ask(**changes)))

    assert [c.model.id for c in plan.candidates] == ["able"]
    assert codes(plan) == {"FEATURE_UNSUPPORTED"}
    request = plan.candidates[0].request
    assert len(request.loras) == len(changes.get("loras", ()))
    assert len(request.control) == len(changes.get("control", ()))
    assert len(request.reference_ids) == len(changes.get("references", ()))
    assert request.style == changes.get("style", "")


@pytest.mark.parametrize(
    ("changes", "task", "able"),
    [
        ({"image": PHOTO, "upscale": 2}, "upscale", {"factors": (2, 4)}),
        ({"image": PHOTO, "upscale": 3}, "upscale", None),
        ({"image": PHOTO, "remove_background": True}, "remove_background", {}),
        ({"image": PHOTO}, "image_to_image", {}),
        ({"image": PHOTO, "mask": PHOTO}, "inpaint", {}),
    ],
)
def test_the_task_follows_from_the_request(
    changes: dict[str, Any], task: Task, able: dict[str, Any] | None
) -> None:
    one = model(tasks=(task,), sizes=SameAsInput(), capability=able or {"factors": (2, 4)})

    plan = planner.plan(context(one, model(id="text"), request=ask(**changes)))

    assert [c.request.task for c in plan.candidates] == ([] if able is None else [task])
    for candidate in plan.candidates:
        assert candidate.request.factor == changes.get("upscale")


@pytest.mark.parametrize(
    ("limit", "words", "open_", "cut"),
    [
        (PromptLimit(count=100, unit="characters", beyond="refused"), 10, True, False),
        (PromptLimit(count=100, unit="characters", beyond="refused"), 30, False, False),
        (PromptLimit(count=40, unit="tokens", beyond="refused"), 60, False, False),
        (PromptLimit(count=75, unit="tokens", beyond="cut"), 100, True, True),
        (PromptLimit(count=75, unit="tokens", beyond="cut"), 20, True, False),
    ],
)
def test_a_prompt_that_would_be_refused_rules_out_and_one_that_would_be_cut_does_not(
    limit: PromptLimit, words: int, open_: bool, cut: bool
) -> None:
    short = model(id="short", capability={"max_prompt": limit}, seconds=1.0)
    reads_all = model(id="reads all", seconds=9.0)
    request = ask(prompt="cat " * words)

    plan = planner.plan(context(short, reads_all, request=request))

    order = [c.model.id for c in plan.candidates]
    assert order == (["reads all", "short"] if cut else ["short", "reads all"]) or not open_
    assert (codes(plan) == {"PROMPT_TOO_LONG"}) is not open_


def test_routes_are_compared_by_what_they_will_cost_and_held_to_what_they_may_cost() -> None:
    by_tokens = [
        Rate(unit="image_token_out", micro_usd=30, expected=expected, most=most)
        for expected, most in ((100, 5_000), (1_000, 1_000))
    ]
    mostly_cheap, steady = (
        model(id=name, where="vendor", prices=PriceBook(rates=(rate,)))
        for name, rate in zip(("mostly cheap", "steady"), by_tokens, strict=True)
    )
    yes = ask(allow_paid=True)

    both = planner.plan(context(steady, mostly_cheap, request=yes, preference="cost"))
    capped = planner.plan(
        context(steady, mostly_cheap, request=replace(yes, max_cost_usd=0.1), preference="cost")
    )

    first = both.candidates[0]
    assert (first.model.id, first.expected_micro_usd, first.cost_micro_usd) == (
        "mostly cheap",
        3_000,
        150_000,
    )
    assert [c.model.id for c in capped.candidates] == ["steady"]
    assert codes(capped) == {"OVER_MAX_COST"}


def test_a_price_asks_for_consent_wherever_the_engine_runs() -> None:
    dear = model(prices=PriceBook(rates=(Rate(unit="image", micro_usd=500),)))

    plan = planner.plan(context(dear, privacy="local_only"))

    assert codes(plan) == {"CONSENT_REQUIRED"}


@pytest.mark.parametrize(
    ("where", "own", "open_"),
    [
        ("this_machine", False, True),
        ("own_network", True, True),
        ("own_network", False, False),
        ("vendor", True, False),
    ],
)
def test_local_only_takes_hosts_that_the_user_called_their_own(
    where: str, own: bool, open_: bool
) -> None:
    ctx = context(model(where=where, price=0), privacy="local_only")

    plan = planner.plan(replace(ctx, own_hosts=frozenset({"fake"} if own else ())))

    assert bool(plan.candidates) is open_


@pytest.mark.parametrize(("steps", "open_"), [(1, True), (12, True), (13, False), (None, True)])
def test_a_number_beyond_what_a_model_takes_closes_its_route(
    steps: int | None, open_: bool
) -> None:
    made = model(price=0)
    able = replace(
        made.tasks["text_to_image"], options=frozenset(("steps",)), bounds={"steps": (1, 12)}
    )
    ctx = context(replace(made, tasks={"text_to_image": able}), request=ask(steps=steps))

    plan = planner.plan(ctx)

    assert bool(plan.candidates) is open_
    if not open_:
        assert codes(plan) == {"FEATURE_UNSUPPORTED"}


def test_a_model_that_its_vendor_took_away_is_left_out() -> None:
    gone, going = (
        model(id=name, deprecated_on=NEW + timedelta(days=days))
        for name, days in (("gone", 0), ("going", 1))
    )

    plan = planner.plan(context(gone, going))

    assert [c.model.id for c in plan.candidates] == ["going"]
    assert codes(plan) == {"DEPRECATED"}


def test_a_model_that_is_taken_away_soon_comes_after_one_that_stays_and_says_so() -> None:
    going, stays, far = (
        model(id=name, price=price, deprecated_on=NEW + timedelta(days=days) if days else None)
        for name, price, days in (("going", 30_000, 59), ("stays", 35_000, 0), ("far", 36_000, 61))
    )

    plan = planner.plan(context(going, stays, far, request=ask(allow_paid=True)))

    assert [c.model.id for c in plan.candidates] == ["stays", "far", "going"]
    assert plan.candidates[2].notes == (
        f"going is taken away by its vendor on {going.deprecated_on}; plan for another model",
    )
    assert plan.candidates[1].notes == ()


def test_the_preference_of_a_call_counts_for_more_than_the_configs() -> None:
    fine = model(id="fine", quality=9.0, seconds=8.0)
    quick = model(id="quick", quality=7.0, seconds=1.0)

    plan = planner.plan(context(quick, fine, preference="quality", request=ask(preference="speed")))

    assert plan.candidates[0].model.id == "quick"
    assert "by preference 'speed'" in plan.candidates[0].why


@given(text=st.text(max_size=400))
def test_the_estimate_of_tokens_is_none_too_low(text: str) -> None:
    """A byte-level tokenizer that knows no word at all takes a token for each byte."""
    assert most_tokens(text) <= len(text.encode())
    assert bool(most_tokens(text)) is bool(text.split())
