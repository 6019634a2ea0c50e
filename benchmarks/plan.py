"""Measure how long the decision takes among many models, without providers and without a disk.

python benchmarks/plan.py [MODELS] [RUNS]
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace
from typing import Any

from ziggie_image_mcp.billing.types import Spending
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.loader import provider_budgets
from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.types import Hardware, Survey
from ziggie_image_mcp.provider import (
    FREE,
    FreeSize,
    Memory,
    Model,
    Option,
    PriceBook,
    Rate,
    TaskCapability,
)
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest

GOAL_MS = 5.0
ALL: frozenset[Option] = frozenset(("negative_prompt", "seed", "steps", "guidance_scale"))
NAMES = (
    "sd_xl_base_1.0.safetensors",
    "v1-5-pruned-emaonly.safetensors",
    "flux1-schnell.safetensors",
    "flux1-dev-fp8.safetensors",
    "dreamshaper_8.safetensors",
    "stabilityai/stable-diffusion-3.5-large",
    "juggernautXL_v9.safetensors",
    "a-model-that-nobody-knows",
)
CASES: dict[str, tuple[ImageRequest, dict[str, Any]]] = {
    "nothing said": (ImageRequest(prompt="a cat"), {}),
    "all allowed, money too": (ImageRequest(prompt="a cat", allow_paid=True), {}),
    "a model asked for": (ImageRequest(prompt="a cat", model="flux schnell"), {}),
    "everything left out": (ImageRequest(prompt="a cat", width=72, height=9000, seed=1), {}),
    "a default model, settings and budgets": (
        ImageRequest(prompt="a cat", allow_paid=True),
        {
            "defaultModel": "model-999",
            "models": {"dream*": {"quality": 9}, "*xl*": {"steps": 30}},
            "budget": {"perDay": 5, "perMonth": 50},
            "providers": {"cloud": {"budget": {"perDay": 1}}},
        },
    ),
}


def models(count: int) -> tuple[Model, ...]:
    """Models as a survey gives them: half known by name, a third of them in the cloud."""
    made: list[Model] = []
    able = TaskCapability(sizes=FreeSize(), options=ALL, max_images=16)
    for i in range(count):
        cloud = i % 3 == 0
        found = Model(
            id=f"folder-{i}/{NAMES[i % len(NAMES)]}" if i % 2 else f"model-{i}",
            provider="cloud" if cloud else f"local-{i % 2}",
            where="vendor" if cloud else "this_machine",
            memory=Memory(managed=not cloud),
            tasks={"text_to_image": able},
            prices=PriceBook(rates=(Rate(unit="image", micro_usd=3_000 + i),)) if cloud else FREE,
            title=f"Model {i}",
        )
        made.append(model_facts.enrich(found))
    return tuple(made)


def milliseconds(ctx: RoutingContext, runs: int) -> float:
    """CPU time of one decision, the median."""
    taken: list[float] = []
    for _ in range(runs):
        before = time.process_time_ns()
        planner.plan(ctx)
        taken.append((time.process_time_ns() - before) / 1e6)
    return statistics.median(taken)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 21
    ctx = RoutingContext(
        request=ImageRequest(prompt="a cat"),
        survey=Survey(models=models(count)),
        hardware=Hardware(os="Linux", machine="x86_64", ram_available=24 * 10**9),
        tier="cpu",
        gpu_memory=None,
        config=Config(),
        spending=Spending(day=10_000, month=20_000),
    )
    print(f"CPU ms of one decision among {count} models (median of {runs}; goal {GOAL_MS:g})")
    for name, (request, values) in CASES.items():
        config = Config.model_validate(values)
        asked = replace(ctx, request=request, config=config, own_budgets=provider_budgets(config))
        planner.plan(asked)  # warm the caches
        took = milliseconds(asked, runs)
        print(f"{name:40} {took:8.2f}  {'ok' if took <= GOAL_MS else 'OVER'}")


if __name__ == "__main__":
    main()
