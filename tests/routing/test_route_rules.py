"""Rules of `routes`: which one applies, what it does, and what it never does."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support.calls import client, said
from tests.support.factory import service
from ziggie_image_mcp.app.batch import Batch
from ziggie_image_mcp.config.config import Config, RouteRule, Work
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.jobs import batch_file
from ziggie_image_mcp.jobs.records import JobSpec, dump, load
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import Task
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.constraints import apply_constraints, constraints_of
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.route_rules import apply_routes
from ziggie_image_mcp.routing.types import Bulk
from ziggie_image_mcp.storage.types import InputImage

HYBRID: list[dict[str, Any]] = [
    {"when": {"batch": True}, "use": "local"},
    {"when": {"quality": "draft"}, "use": "local", "preference": "speed"},
    {"when": {"quality": "high"}, "use": "auto", "preference": "quality"},
]
"""Bulk and drafts local, high quality may go to the cloud."""
WITHIN: dict[str, Any] = {"allowPaidFallback": "withinBudget", "budget": {"perDay": 5}}
PICTURE = InputImage(id="20261129-0123456789abcdef", width=64, height=64)
ASK = ImageRequest(prompt="a cat")


def rules(*rows: dict[str, Any]) -> tuple[RouteRule, ...]:
    return tuple(RouteRule.model_validate(row) for row in rows)


@pytest.mark.parametrize(
    ("request_", "bulk", "applied"),
    [
        (ASK, None, None),
        (replace(ASK, quality="draft"), None, "routes[1]: use local, preference speed"),
        (replace(ASK, quality="high"), None, "routes[2]: preference quality"),
        (replace(ASK, quality="standard"), None, None),
        (replace(ASK, quality="high"), Bulk(pictures=1, batch=True), "routes[0]: use local"),
        (replace(ASK, quality="draft", provider="cloud"), None, "routes[1]: preference speed"),
        (
            replace(ASK, quality="draft", provider="auto", preference="cost"),
            None,
            "routes[1]: use local",
        ),
        (replace(ASK, quality="draft", provider="x", preference="cost"), None, None),
        (replace(ASK, num_images=16), None, None),
    ],
)
def test_the_first_rule_that_fits_decides_what_the_request_leaves_open(
    request_: ImageRequest, bulk: Bulk | None, applied: str | None
) -> None:
    rule = apply_routes(rules(*HYBRID), request_, bulk)

    assert (str(rule) if rule else None) == applied


@pytest.mark.parametrize(
    ("when", "request_", "bulk", "fits"),
    [
        ({}, ASK, None, True),
        ({"task": "text_to_image"}, ASK, None, True),
        ({"task": ["inpaint", "upscale"]}, ASK, None, False),
        ({"task": "image_to_image"}, replace(ASK, image=PICTURE), None, True),
        ({"task": ["inpaint", "upscale"]}, replace(ASK, image=PICTURE, mask=PICTURE), None, True),
        ({"quality": ["draft", "standard"]}, replace(ASK, quality="standard"), None, True),
        ({"quality": ["draft", "standard"]}, replace(ASK, quality="high"), None, False),
        ({"batch": 4}, replace(ASK, num_images=4), None, True),
        ({"batch": 4}, replace(ASK, num_images=3), None, False),
        ({"batch": 4}, ASK, Bulk(pictures=4), True),
        ({"batch": True}, replace(ASK, num_images=16), None, False),
        ({"batch": False}, ASK, None, True),
        ({"batch": False}, ASK, Bulk(pictures=1, batch=True), False),
        ({"batch": True, "quality": "high"}, ASK, Bulk(pictures=9, batch=True), False),
    ],
)
def test_a_condition_looks_at_task_quality_and_batch(
    when: dict[str, Any], request_: ImageRequest, bulk: Bulk | None, fits: bool
) -> None:
    applied = apply_routes(rules({"when": when, "use": "local"}), request_, bulk)

    assert (applied is not None) is fits


def test_a_rule_knows_every_task_that_a_request_may_be_for() -> None:
    assert set(get_args(Work)) == set(get_args(Task)) - {"outpaint"}


async def test_a_wrong_name_is_a_config_error_with_the_nearest(tmp_path: Path) -> None:
    routes = [{"use": "local"}, {"use": "comfyu"}]
    with pytest.raises(
        ConfigError, match=r"`routes\[1\].use`: 'comfyu' is no provider. Did you mean 'comfyui'"
    ):
        await Registry(Config.model_validate({"routes": routes}), tmp_path).open()

    without_key = Registry(Config.model_validate({"routes": [{"use": "openai"}]}), tmp_path)
    await without_key.open()

    assert "openai" not in without_key.providers(), "a rule switches nothing on"


def two(tmp_path: Path, **config: Any) -> tuple[Any, FakeProvider, FakePaidProvider]:
    """A local engine, and a vendor that is better and quicker."""
    local = FakeProvider("local_one", models=[model("local_one", quality=7.0, seconds=90.0)])
    paid = FakePaidProvider("paid", quality=9.5, seconds=1.0)
    return service(tmp_path, local, paid, **config), local, paid


async def test_drafts_stay_here_and_high_quality_may_be_paid_for(tmp_path: Path) -> None:
    made, local, paid = two(tmp_path, routes=HYBRID, preference="quality", **WITHIN)
    async with client(made) as session:
        call = session.call_tool
        draft = await call("generate_image", {"prompt": "x", "quality": "draft"})
        high = await call("generate_image", {"prompt": "x", "quality": "high"})
        plain = await call("generate_image", {"prompt": "x"})
        named = await call(
            "generate_image", {"prompt": "x", "quality": "draft", "provider": "paid"}
        )
        plan = await call("generate_image", {"prompt": "x", "quality": "draft", "dry_run": True})

    providers = [json.loads(said(one))["provider"] for one in (draft, high, plain, named)]
    assert providers == ["local_one", "paid", "paid", "paid"]
    assert ", by routes[1] (local" in json.loads(said(draft))["why"]
    planned = json.loads(said(plan))
    assert planned["rule"] == "routes[1]: use local, preference speed"
    (left_out,) = planned["rejected"]
    assert left_out["reasons"][0] == {
        "code": "MODE_EXCLUDED",
        "have": "a cloud model",
        "need": "local only (routes[1])",
        "fix": "name a provider in the request, or change routes[1] in config.json",
    }
    assert (len(local.seen), len(paid.charged)) == (1, 3)


async def test_a_rule_for_the_cloud_permits_no_spending(tmp_path: Path) -> None:
    made, local, paid = two(tmp_path, routes=[{"use": "cloud"}])
    async with client(made) as session:
        refused = await session.call_tool("generate_image", {"prompt": "x"})
        agreed = await session.call_tool("generate_image", {"prompt": "x", "allow_paid": True})

    assert refused.is_error
    assert "[PAID_CONSENT_REQUIRED]" in said(refused)
    assert not agreed.is_error
    assert (len(local.seen), len(paid.charged)) == (0, 1)


@pytest.mark.parametrize("config", [{"provider": "local"}, {"privacy": "local_only"}])
async def test_a_rule_widens_nothing_that_another_setting_narrows(
    config: dict[str, Any], tmp_path: Path
) -> None:
    made, _, paid = two(tmp_path, routes=[{"use": "cloud"}], **config)
    async with client(made) as session:
        refused = await session.call_tool("generate_image", {"prompt": "x", "allow_paid": True})

    assert "[NO_ROUTE]" in said(refused)
    assert paid.charged == {}


async def test_many_pictures_of_one_call_count_together(tmp_path: Path) -> None:
    made, _, paid = two(
        tmp_path, routes=[{"when": {"batch": 4}, "use": "local"}], preference="quality", **WITHIN
    )
    async with client(made) as session:
        few = await session.call_tool("generate_image", {"prompt": "a {red|blue} star"})
        many = await session.call_tool(
            "generate_image", {"prompt": "a {red|blue} star", "num_images": 2}
        )

    def taken(answer: Any) -> set[str]:
        return {row["provider"] for row in json.loads(said(answer))["results"]}

    assert (taken(few), taken(many)) == ({"paid"}, {"local_one"})
    assert len(paid.charged) == 2


async def test_a_batch_goes_by_the_rule_as_its_estimate_says(tmp_path: Path) -> None:
    made, local, paid = two(
        tmp_path, routes=HYBRID, preference="quality", role=Role.SERVER, **WITHIN
    )
    batch = Batch(made, batch_file.read('"a {red|blue} star"'))

    estimate = await batch.estimate()

    async def tell(_: int, __: int) -> None: ...

    ended = await batch.follow(await batch.submit(), tell)

    assert [(s.route, s.rule, s.requests, s.micro_usd) for s in estimate.shares] == [
        ("local_one/model", "routes[0]: use local", 2, 0)
    ]
    assert [one.job.status for one in ended] == ["done", "done"]
    assert (len(local.seen), paid.charged) == (2, {})


def test_a_job_keeps_the_rules_of_the_config_that_accepted_it() -> None:
    accepted = Config.model_validate({"routes": HYBRID})
    spec = JobSpec(
        id="job-1",
        requests=(ASK,),
        constraints=constraints_of(accepted),
        accepted=datetime(2026, 11, 29, tzinfo=UTC),
    )
    kept = load(JobSpec, dump(spec)).constraints

    assert apply_constraints(Config(), kept).routes == accepted.routes
    own = Config.model_validate({"routes": [{"use": "cloud"}]})
    assert apply_constraints(own, kept).routes == accepted.routes
    assert apply_constraints(own, constraints_of(Config())).routes == own.routes
