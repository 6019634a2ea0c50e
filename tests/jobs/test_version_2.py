"""What version 2 left on users' disks is opened: nothing is lost, and nothing is paid twice."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.support.factory import machine
from tests.support.version_1 import until
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.assets.region import whole
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs import version_2
from ziggie_image_mcp.jobs.records import Choice, JobView, load
from ziggie_image_mcp.jobs.upgrade import read_spec
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import FREE, FreeSize, Model, PriceBook, Rate, When
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

DATA = Path(__file__).parents[1] / "data" / "version_2"


def job_id(number: int) -> str:
    return f"job-e3b0c442-{number:032}"


async def probe() -> Hardware:
    return machine()


@asynccontextmanager
async def opened(
    folder: Path, free: FakeProvider, paid: FakePaidProvider
) -> AsyncGenerator[Service]:
    budget = {"allowPaidFallback": "withinBudget", "budget": {"perDay": 10}}
    service = build_service(
        Config.model_validate(budget),
        folder,
        role=Role.SERVER,
        artifacts=ArtifactStore(folder / "pictures"),
        providers=[free, paid],
        probe=probe,
    )
    try:
        yield service
    finally:
        await service.aclose()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "data")
    return tmp_path / "data"


async def ended(service: Service) -> dict[str, JobView]:
    await service.scheduler.open()

    async def done() -> bool:
        views = await service.scheduler.select()
        return len(views) == 6 and all(view.ended for view in views)

    await until(done)
    return {view.id: view for view in await service.scheduler.select()}


async def test_every_job_of_version_2_is_there_and_ends(data: Path) -> None:
    free, paid = FakeProvider("free", models=[model("free", "m")]), FakePaidProvider()
    async with opened(data, free, paid) as service:
        views = await ended(service)
        holds = await service.billing.ledger.holds()

        statuses = [views[job_id(n)].status for n in range(1, 7)]
        assert statuses == ["done", "done", "failed", "done", "done", "done"]
        first, second = views[job_id(1)].outcome, views[job_id(2)].outcome
        assert first is not None
        assert second is not None
        for image in (*first.results[0].images, *second.results[0].images):
            service.artifacts.find(image.id)
        assert first.results[0].model.prices is FREE
        assert second.results[0].cost_micro_usd == 40_000
    failed = views[job_id(3)].outcome
    assert failed is not None
    assert failed.failures[0].code == "RATE_LIMITED"
    assert sorted(request.prompt for request in free.seen) == ["a killed cat", "a queued cat"]
    assert [request.seed for request in free.seen if request.prompt == "a killed cat"] == [9]
    assert paid.submitted == [f"{job_id(5)}.0.0"]
    assert sorted((hold.state, hold.actual) for hold in holds) == [("settled", 40_000)] * 2


async def test_what_version_2_made_of_a_seed_is_found_again(data: Path) -> None:
    free, paid = FakeProvider("free", models=[model("free", "m")]), FakePaidProvider()
    request = ImageRequest(prompt="a done cat", seed=7, width=64, height=64)
    async with opened(data, free, paid) as service:
        result = await service.generate(request)

    assert "nothing was made or charged" in result.why
    assert "a done cat" not in [seen.prompt for seen in free.seen]


def test_a_model_of_version_2_keeps_its_facts() -> None:
    old = {
        "id": "gpt",
        "provider": "openai",
        "local": False,
        "family": None,
        "title": "GPT",
        "aliases": ["g"],
        "features": ["text_to_image", "inpaint", "seed", "strength"],
        "installed": True,
        "how_to_install": "",
        "demo": False,
        "loaded": False,
        "native_width": 1024,
        "native_height": 768,
        "min_side": 480,
        "max_side": 2560,
        "multiple_of": 16,
        "min_pixels": 655_360,
        "max_pixels": 3_686_400,
        "max_images": 10,
        "default_steps": 20,
        "default_guidance": 3.5,
        "distilled": True,
        "vram_bytes": 1,
        "ram_bytes": 2,
        "device": "",
        "remote": True,
        "quality": 9.0,
        "license": "terms",
        "commercial_use": True,
        "price_micro_usd": 99,
        "price_by_pixels": [[1000, 10], [2000, 20]],
        "price_of_given_micro_usd": 5,
        "price_as_of": "2026-11-23",
        "seconds": 4.0,
    }

    new = load(Model, json.dumps(version_2.model(old)))

    able = new.tasks["inpaint"]
    assert set(new.tasks) == {"text_to_image", "inpaint"}
    assert able.options == {"seed", "strength"}
    assert isinstance(able.sizes, FreeSize)
    assert (able.sizes.native_height, able.sizes.min_pixels, able.max_images) == (768, 655_360, 10)
    assert (new.where, new.state, new.memory.managed) == ("vendor", "ready", True)
    assert (new.defaults.steps, new.defaults.guidance_scale) == (20, 3.5)
    assert isinstance(new.prices, PriceBook)
    assert new.prices.rates == (
        Rate(unit="image", micro_usd=10, when=When(max_pixels=1000)),
        Rate(unit="image", micro_usd=20, when=When(max_pixels=2000)),
        Rate(unit="input_image", micro_usd=5),
    )


def test_a_damaged_step_of_version_2_is_done_again() -> None:
    spec = json.dumps(
        {
            "id": job_id(1),
            "requests": [{"prompt": "a cat"}],
            "constraints": {
                "privacy": "any",
                "commercial_use": False,
                "provider": "auto",
                "allow_paid_fallback": "ask",
            },
            "accepted": "2026-11-28T12:00:00Z",
            "routes": [],
            "version": 2,
        }
    )

    read = read_spec(spec, "2", {"choose-0": "{", "attempt-0-0": "null"})

    assert read.requests == (ImageRequest(prompt="a cat"),)
    assert read.carried == {}
    assert read.version == 3


def test_an_edit_that_version_2_had_begun_keeps_the_size_of_its_picture_now() -> None:
    frozen = sqlite3.connect(DATA / "jobs.sqlite3")
    with closing(frozen):
        (text,) = frozen.execute(
            "select inputs from workflow_input where workflow_uuid = ?", (job_id(4),)
        ).fetchone()
    spec = json.loads(json.loads(text)["positionalArgs"][0])
    spec["requests"][0]["image"] = {"id": "20261128-0123456789abcdef", "width": 640, "height": 400}
    spec["routes"][0]["request"] |= {"image_id": "20261128-0123456789abcdef", "width": 512}

    chosen = json.dumps({"routes": spec["routes"], "stored": None, "failure": None})

    read = read_spec(json.dumps(spec), "2", {"choose-0": chosen})

    assert read.routes == (), "what had not begun is routed anew"
    (route,) = load(Choice, read.carried["choose-0"]).routes
    assert route.request.task == "image_to_image"
    assert route.placement == whole(Size(640, 400))
