"""Every picture counts, by whichever route, and outlives its job."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_money import data, run
from tests.support.calls import client
from tests.support.factory import service
from ziggie_image_mcp.app import usage
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import EngineCrashed, ProviderUnavailable
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, picture


async def test_free_and_paid_pictures_are_counted_once_and_priced_at_the_cheapest(
    tmp_path: Path,
) -> None:
    engine = FakeProvider("engine", answers=[picture(1024, 1024), EngineCrashed("engine", "gone")])
    dear = FakePaidProvider("dear", price=40_000)
    cheap = FakePaidProvider("cheap", price=3_000, quality=1.0)
    made = service(tmp_path, engine, dear, cheap, gpu=True)
    async with client(made) as session:
        call = session.call_tool
        paid: dict[str, Any] = {"prompt": "x", "provider": "dear", "allow_paid": True}
        await call("generate_image", {"prompt": "a cat", "num_images": 3, "provider": "engine"})
        failed = await call("generate_image", {"prompt": "a bird", "provider": "engine"})
        first = await call("generate_image", {"prompt": "a dog", "seed": 1, "provider": "engine"})
        again = await call("generate_image", {"prompt": "a dog", "seed": 1, "provider": "engine"})
        await call("generate_image", paid | {"num_images": 2})
    await made.scheduler.clean(datetime.now(UTC) + timedelta(days=1))

    report = await usage.report(made, days=7, usd_per_kwh=0.3)

    assert [one.is_error for one in (failed, first, again)] == [True, False, False]
    routes = {line.provider: line for line in report.routes}
    assert {name: line.pictures for name, line in routes.items()} == {"engine": 4, "dear": 2}
    assert len(engine.seen) == 3, "the same with the same seed is the stored one"
    assert routes["engine"].local
    assert routes["engine"].seconds > 0
    assert routes["engine"].electricity_usd == pytest.approx(
        routes["engine"].seconds * 200 / 3.6e6 * 0.3
    )
    assert routes["dear"].electricity_usd == 0
    assert routes["dear"].paid_usd == pytest.approx(0.08)
    assert report.total.cheapest_usd == pytest.approx(6 * 0.003)
    assert report.total.cheapest == {"cheap/model": 6}
    assert list(report.vendor_models) == ["dear/model", "cheap/model"]
    assert report.advice is not None
    assert report.advice.usage is not None
    assert report.advice.usage.pictures == 6


async def test_where_nothing_was_made_nothing_is_claimed(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider("x", down=ProviderUnavailable("x", "down")))

    report = await usage.report(made, days=30)

    assert (list(report.lines), report.total.pictures, report.advice) == ([], 0, None)


async def test_vendors_without_a_key_tell_prices_and_reach_no_network(tmp_path: Path) -> None:
    registry = Registry(Config(), tmp_path)
    await registry.open()

    vendors = await registry.vendors_without_key()

    openai = vendors["openai"]
    assert openai is not None
    assert "gpt-image-2" in {m.id for m in await openai.list_models()}
    assert all(vendor is None or vendor.name == name for name, vendor in vendors.items())
    for vendor in vendors.values():
        if vendor is not None:
            await bulkhead.close(vendor)
    assert "openai" not in registry.providers()


@pytest.mark.usefixtures("warm")
def test_the_command_prints_a_table_csv_json_and_a_plot(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    before = run("usage", config=config)
    run("generate", "a red star", "--steps", "2", "-n", "2", config=config)

    shown = run("usage", "--watts", "100", config=config)
    table = run("usage", "--csv", "--days", "1", "--watts", "100", config=config)
    report = data("usage", "--watts", "100", config=config)
    wrong = run("usage", "--watts", "nan", config=config)

    assert before.stdout.startswith("No picture was made from")
    assert "builtin/tiny" in shown.stdout
    assert "100 W (given by you)" in shown.stdout
    (row,) = csv.DictReader(table.stdout.splitlines())
    (route,) = report["routes"]
    assert (row["provider"], row["pictures"], row["local"]) == ("builtin", "2", "True")
    assert (route["model"], route["pictures"]) == ("tiny", 2)
    assert route["kwh"] == pytest.approx(route["seconds"] * 100 / 3.6e6, rel=1e-2)
    assert float(row["cheapest_usd"]) == route["cheapest_usd"] > 0
    assert next(iter(route["cheapest"])) in report["assumptions"]["priced_models"]
    assert report["break_even"]["usage"]["pictures"] == 2
    assert "--watts" in wrong.stderr
