"""What a batch is expected to cost and may cost at most, by the routes that it would take."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_money import run
from tests.support.factory import service
from ziggie_image_mcp.app.batch import Batch, Share
from ziggie_image_mcp.jobs import batch_file
from ziggie_image_mcp.provider import PriceBook, Rate
from ziggie_image_mcp.provider.pricing import PROMPT_TOKENS
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model

TOKENS = PriceBook(
    rates=(
        Rate(unit="text_token_in", micro_usd=100),
        Rate(unit="image_token_out", micro_usd=30, expected=1000, most=4000),
    )
)
LONG = "a very long prompt about a red star " * 20


async def test_expected_and_most_are_told_for_each_route_and_for_the_longest_prompt(
    tmp_path: Path,
) -> None:
    local = FakeProvider("here", models=[model("here", quality=5.0)])
    vendor = FakePaidProvider("vendor", quality=9.0, prices=TOKENS)
    routes = [{"when": {"quality": "draft"}, "use": "local"}]
    made = service(tmp_path, local, vendor, routes=routes, preference="quality")
    lines: list[dict[str, Any]] = [
        {"prompt": "short", "quality": "high"},
        {"prompt": LONG, "quality": "high"},
        {"prompt": "a {red|blue|green} star", "quality": "draft"},
        {"prompt": "x", "model": "none-such"},
    ]
    items = batch_file.read("\n".join(map(json.dumps, lines)))

    estimate = await Batch(made, items, budget=5_000_000).estimate()

    most = (len(LONG) + PROMPT_TOKENS) * 100 + 4000 * 30
    assert estimate.shares == (
        Share(route="here/model", rule="routes[0]: use local", requests=3, pictures=3),
        Share(
            route="vendor/model",
            requests=2,
            pictures=2,
            expected_micro_usd=2 * (len(LONG) // 4 * 100 + 1000 * 30),
            micro_usd=2 * most,
        ),
        Share(route="", requests=1, pictures=1),
    )
    assert estimate.total == replace(estimate.shares[1], route="", requests=6, pictures=6)
    assert estimate.closed == ("no route now for none-such: OTHER_MODEL",)


@pytest.mark.usefixtures("warm")
def test_a_dry_run_says_it_as_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdefghijklmnopqrstuvwxyz0123")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    config = tmp_path / "config.json"
    config.write_text('{"providers": {"comfyui": {"enabled": false}}}', encoding="utf-8")
    file = tmp_path / "b.jsonl"
    file.write_text('{"prompt": "a {red|blue} star", "model": "gpt-image-2"}', encoding="utf-8")

    words = ("batch", str(file), "--budget", "2", "--dry-run", "--json")
    shown = run(*words, config=config)

    (route,) = (told := json.loads(shown.stdout))["routes"]
    assert (route["route"], route["rule"], route["pictures"]) == ("openai/gpt-image-2", None, 2)
    assert 0 < route["expected_usd"] < route["at_most_usd"]
    assert told["total"]["at_most_usd"] == route["at_most_usd"]
    assert shown.stderr.startswith("2 requests, 2 pictures, about $")
    assert "  2 by openai/gpt-image-2, about $" in shown.stderr


async def test_without_a_yes_it_says_what_it_would_cost(tmp_path: Path) -> None:
    made = service(tmp_path, FakePaidProvider("vendor"))
    items = batch_file.read('{"prompt": "a star"}')

    estimate = await Batch(made, items).estimate()

    assert estimate.shares == (
        Share(
            route="vendor/model",
            requests=1,
            pictures=1,
            expected_micro_usd=40_000,
            micro_usd=40_000,
            needs_budget=True,
        ),
    )
    assert estimate.total.needs_budget
