"""What is recorded of a job is the same when it is read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from ziggie_image_mcp.assets.region import Placement
from ziggie_image_mcp.jobs.records import Choice, dump, load
from ziggie_image_mcp.provider import (
    FREE,
    Bucket,
    Buckets,
    Control,
    ControlSupport,
    FreeSize,
    Lora,
    LoraSupport,
    PriceBook,
    Prices,
    PromptLimit,
    ProviderRequest,
    Rate,
    SameAsInput,
    SizeRule,
    When,
)
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing.types import Candidate

ROUTE = Candidate(
    model=model(
        tasks=("text_to_image", "inpaint"),
        capability={
            "mask": "alpha",
            "loras": LoraSupport(max_count=2, families=frozenset({"sdxl"})),
            "control": ControlSupport(kinds=frozenset({"depth"}), computed=frozenset({"canny"})),
            "factors": (2, 4),
            "max_prompt": PromptLimit(count=75, unit="tokens", beyond="cut"),
        },
    ),
    request=ProviderRequest(
        task="inpaint",
        prompt="a cat",
        width=512,
        height=512,
        bucket="1:1",
        quality="high",
        transparent=True,
        reference_ids=("a", "b"),
        loras=(Lora(id="x", weight=0.5),),
        control=(Control(kind="depth", image_id="c", weight=0.7),),
    ),
    score=0.5,
    cost_micro_usd=7,
    expected_micro_usd=5,
    seconds=1.0,
    why="it is the best",
    placement=Placement(left=1, top=2, width=3, height=4, image_width=5, image_height=6),
)


@pytest.mark.parametrize(
    "sizes",
    [
        FreeSize(),
        FreeSize(native_width=64, max_pixels=9, max_ratio=2.5),
        Buckets(sizes=(Bucket(width=1, height=2, name="1:2"), Bucket(width=3, height=4))),
        Buckets(sizes=(Bucket(width=1, height=2),), exact=False),
        SameAsInput(),
        SameAsInput(accepts=FreeSize(multiple_of=16)),
    ],
)
@pytest.mark.parametrize(
    "prices",
    [
        FREE,
        PriceBook(rates=()),
        PriceBook(
            rates=(
                Rate(
                    unit="image_token_out",
                    micro_usd=0.4,
                    when=When(tasks=frozenset({"inpaint"}), quality="low", max_pixels=9),
                    most=7.5,
                ),
            ),
            as_of=date(2026, 11, 28),
            source="here",
        ),
    ],
)
def test_a_route_is_the_same_out_of_its_record(sizes: SizeRule, prices: Prices) -> None:
    tasks = {task: replace(able, sizes=sizes) for task, able in ROUTE.model.tasks.items()}
    route = replace(ROUTE, model=replace(ROUTE.model, tasks=tasks, prices=prices))

    assert load(Choice, dump(Choice(routes=(route,)))).routes == (route,)
