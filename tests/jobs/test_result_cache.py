"""What a request with a given seed led to is found again, as long as its pictures are there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support import postgres
from ziggie_image_mcp.jobs import result_cache_tables, version_1, version_2
from ziggie_image_mcp.jobs.result_cache import RESULTS_KEPT, ResultCache, cache_key
from ziggie_image_mcp.provider import Control, Lora, Model, ProviderRequest, Rung
from ziggie_image_mcp.provider.testing import model, picture
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.database import Database
from ziggie_image_mcp.storage.engine import stamp
from ziggie_image_mcp.storage.types import Recipe, StoredImage

JOB = ProviderRequest(
    prompt="a cat",
    negative_prompt="",
    width=1024,
    height=1024,
    num_images=1,
    seed=7,
    steps=20,
    guidance_scale=7.0,
)
MODEL = model("a", "m")
IDENTITY = f"{MODEL.memory.vram_bytes}/{MODEL.memory.ram_bytes}"
REQUEST = ImageRequest(prompt="a cat", seed=7)
ROUTE = Candidate(
    model=MODEL,
    request=JOB,
    score=0.0,
    cost_micro_usd=40_000,
    seconds=1.0,
    why="it is the best",
    notes=("a note",),
)


def store(folder: Path) -> ArtifactStore:
    return ArtifactStore(folder / "pictures")


def saved(folder: Path, count: int = 1) -> list[StoredImage]:
    recipe = Recipe(
        prompt="a cat",
        negative_prompt="",
        provider="a",
        model="m",
        seed=7,
        steps=20,
        guidance_scale=7.0,
        width=64,
        height=64,
    )
    return [store(folder).save(picture(), recipe) for _ in range(count)]


@asynccontextmanager
async def opened(
    folder: Path, *, database: str | None = None, enabled: bool = True
) -> AsyncGenerator[ResultCache]:
    file = database or folder / "history.sqlite3"
    cache = ResultCache(file, store(folder), "png", enabled=enabled)
    try:
        yield cache
    finally:
        await cache.aclose()


async def ids(
    cache: ResultCache, request: ImageRequest = REQUEST, route: Candidate = ROUTE
) -> list[str] | None:
    result = await cache.find(request, route)
    return None if result is None else [image.id for image in result.images]


async def put(folder: Path, key: str, images: Sequence[StoredImage], age: timedelta) -> None:
    rows = Database(folder / "history.sqlite3", lambda: result_cache_tables.SCHEMA, "test")
    made = stamp(datetime.now(UTC) - age)
    await rows.write(lambda tables: tables.put_result(key, tuple(i.id for i in images), made))
    await rows.aclose()


async def test_a_result_is_found_again_with_its_pictures_and_costs_nothing(tmp_path: Path) -> None:
    pair = replace(ROUTE, request=replace(JOB, num_images=2))
    images = saved(tmp_path, 2)
    async with opened(tmp_path) as cache:
        before = await cache.find(REQUEST, pair)
        await cache.remember(REQUEST, pair, images)
        result = await cache.find(REQUEST, pair)

    assert before is None
    assert result is not None
    assert [image.id for image in result.images] == [image.id for image in images]
    assert [image.seed for image in result.images] == [7, 8]
    assert (result.attempts, result.cost_micro_usd) == ((), 0)
    assert "nothing was made or charged" in result.why


async def test_a_result_is_that_of_its_request_and_the_newest_one(tmp_path: Path) -> None:
    first, second, other = saved(tmp_path, 3)
    dog = replace(ROUTE, request=replace(JOB, prompt="a dog"))
    async with opened(tmp_path) as cache:
        await cache.remember(REQUEST, ROUTE, [first])
        await cache.remember(REQUEST, dog, [other])
        before = await ids(cache)
        await cache.remember(REQUEST, ROUTE, [second])

        assert before == [first.id]
        assert await ids(cache) == [second.id]
        assert await ids(cache, route=dog) == [other.id]
        assert await ids(cache, replace(REQUEST, output_format="webp")) is None


async def test_a_request_of_a_random_seed_is_new_each_time(tmp_path: Path) -> None:
    random = replace(REQUEST, seed=None)
    async with opened(tmp_path) as cache:
        await cache.remember(random, ROUTE, saved(tmp_path))
        kept = await ids(cache)
        await cache.remember(REQUEST, ROUTE, saved(tmp_path))

        assert kept is None
        assert await ids(cache, random) is None


async def test_a_cache_that_is_switched_off_keeps_and_finds_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as on, opened(tmp_path, enabled=False) as off:
        await off.remember(REQUEST, ROUTE, saved(tmp_path))
        kept = await ids(on)
        await on.remember(REQUEST, ROUTE, saved(tmp_path))

        assert kept is None
        assert await ids(off) is None


async def test_a_result_whose_picture_is_gone_is_forgotten(tmp_path: Path) -> None:
    (image,) = saved(tmp_path)
    content = Path(image.path).read_bytes()
    async with opened(tmp_path) as cache:
        await cache.remember(REQUEST, ROUTE, [image])
        Path(image.path).unlink()
        gone = await ids(cache)
        Path(image.path).write_bytes(content)

        assert gone is None
        assert await ids(cache) is None


async def test_no_pictures_are_no_result(tmp_path: Path) -> None:
    async with opened(tmp_path) as cache:
        await cache.remember(REQUEST, ROUTE, [])

        assert await ids(cache) is None


async def test_old_results_are_dropped_when_new_ones_come(tmp_path: Path) -> None:
    old, edge = saved(tmp_path, 2)
    dog = replace(ROUTE, request=replace(JOB, prompt="a dog"))
    cow = replace(ROUTE, request=replace(JOB, prompt="a cow"))
    facts = "png", IDENTITY
    await put(tmp_path, cache_key(JOB, MODEL, *facts), [old], RESULTS_KEPT + timedelta(seconds=1))
    await put(
        tmp_path, cache_key(dog.request, MODEL, *facts), [edge], RESULTS_KEPT - timedelta(minutes=1)
    )
    async with opened(tmp_path) as cache:
        before = await ids(cache)
        await cache.remember(REQUEST, cow, saved(tmp_path))

        assert before == [old.id]
        assert await ids(cache) is None
        assert await ids(cache, route=dog) == [edge.id]


async def test_a_database_that_cannot_be_used_makes_every_request_new(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite3").write_bytes(b"this is no database " * 100)
    async with opened(tmp_path) as cache:
        await cache.remember(REQUEST, ROUTE, saved(tmp_path))

        assert await ids(cache) is None


async def test_the_same_on_postgres(tmp_path: Path) -> None:
    postgres.skip_where_absent()
    (image,) = saved(tmp_path)
    with postgres.server() as server:
        url = server.url("public")
        async with opened(tmp_path, database=url) as one, opened(tmp_path, database=url) as other:
            await one.remember(REQUEST, ROUTE, [image])
            found = await ids(other)
            Path(image.path).unlink()

            assert found == [image.id]
            assert await ids(other) is None
            assert await ids(one) is None


# Keys


async def test_the_key_of_version_1_is_still_found_and_that_of_this_version_goes_first(
    tmp_path: Path,
) -> None:
    old, new = saved(tmp_path, 2)
    key = version_1.cache_key(JOB, MODEL, "png", IDENTITY)
    await put(tmp_path, key, [old], timedelta(days=1))
    async with opened(tmp_path) as cache:
        before = await ids(cache)
        await cache.remember(REQUEST, ROUTE, [new])

        assert before == [old.id]
        assert await ids(cache) == [new.id]
        Path(new.path).unlink()
        assert await ids(cache) == [old.id]


@pytest.mark.parametrize(
    "change",
    [
        {"transparent": True},
        {"seamless": True},
        {"style": "anime"},
        {"quality": "high"},
        {"reference_ids": ("20261123-01",)},
        {"loras": (Lora(id="pixel"),)},
        {"control": (Control(kind="canny", image_id="20261123-01"),)},
    ],
)
async def test_an_earlier_key_answers_nothing_that_its_version_did_not_know(
    change: dict[str, Any], tmp_path: Path
) -> None:
    (old,) = saved(tmp_path)
    route = replace(ROUTE, request=replace(JOB, **change))
    for key in (
        version_1.cache_key(route.request, MODEL, "png", IDENTITY),
        version_2.cache_key(route.request, MODEL, "png", IDENTITY, beside={}),
    ):
        await put(tmp_path, key, [old], timedelta(days=1))
    async with opened(tmp_path) as cache:
        assert await cache.find(REQUEST, route) is None
        assert await cache.find(REQUEST, ROUTE) is not None


def test_the_key_that_version_1_gave_is_computed_as_it_did() -> None:
    assert version_1.cache_key(JOB, MODEL, "png", "f") == (
        "9edcf3fa820e67efc417135279292a020fc2716cdf7d8b881f4cdd4e355e78d6"
    )


@pytest.mark.parametrize(
    ("job", "model", "output_format", "fingerprint"),
    [
        (replace(JOB, prompt="a dog"), MODEL, "png", "f"),
        (replace(JOB, negative_prompt="dog"), MODEL, "png", "f"),
        (replace(JOB, width=1032), MODEL, "png", "f"),
        (replace(JOB, height=1032), MODEL, "png", "f"),
        (replace(JOB, num_images=2), MODEL, "png", "f"),
        (replace(JOB, seed=8), MODEL, "png", "f"),
        (replace(JOB, steps=None), MODEL, "png", "f"),
        (replace(JOB, guidance_scale=7.5), MODEL, "png", "f"),
        (replace(JOB, guidance_scale=None), MODEL, "png", "f"),
        (replace(JOB, sampler="euler"), MODEL, "png", "f"),
        (replace(JOB, scheduler="karras"), MODEL, "png", "f"),
        (replace(JOB, image_id="20261123-01"), MODEL, "png", "f"),
        (replace(JOB, mask_id="20261123-01"), MODEL, "png", "f"),
        (replace(JOB, strength=0.5), MODEL, "png", "f"),
        (JOB, replace(MODEL, id="n"), "png", "f"),
        (JOB, replace(MODEL, provider="b"), "png", "f"),
        (JOB, MODEL, "webp", "f"),
        (JOB, MODEL, "png", "g"),
    ],
)
def test_every_fact_that_makes_another_picture_makes_another_key(
    job: ProviderRequest, model: Model, output_format: str, fingerprint: str
) -> None:
    assert cache_key(job, model, output_format, fingerprint) != cache_key(JOB, MODEL, "png", "f")


def test_a_key_stays_the_same_from_one_version_to_the_next() -> None:
    assert version_2.cache_key(JOB, MODEL, "png", "f", beside={}) == (
        "ab31c517d2f633aab885339937d9a391ae98dadb66402d02635a2e67475dcece"
    )
    assert cache_key(JOB, MODEL, "png", "f") == (
        "ef0736a7292f321ab30c92aad7e4258ecc3b8d3acca20007b0786315a37e0877"
    )


def test_what_makes_no_other_picture_makes_no_other_key() -> None:
    job = replace(JOB, guidance_scale=7)
    model = replace(MODEL, state="loaded", title="M", quality=3.0)

    assert cache_key(job, model, "png", "f") == cache_key(JOB, MODEL, "png", "f")


def test_a_prompt_that_is_no_proper_text_has_a_key_too() -> None:
    assert len(cache_key(replace(JOB, prompt="\udc80\0"), MODEL, "png", "f")) == 64


def test_what_only_the_request_says_of_its_picture_makes_another_name() -> None:
    names = {
        cache_key(JOB, MODEL, "png", IDENTITY, beside=beside)
        for beside in ({"transparent": True}, {"transparent": False}, {"seamless": True})
    }

    assert len(names) == 3
    assert cache_key(JOB, MODEL, "png", IDENTITY, beside={}) == cache_key(
        JOB, MODEL, "png", IDENTITY
    )


async def test_a_picture_of_quantised_weights_is_no_picture_of_the_model_as_it_is(
    tmp_path: Path,
) -> None:
    rungs = (
        Rung(name="full", vram_bytes=9),
        Rung(name="model offload", vram_bytes=8),
        Rung(name="8 bit", vram_bytes=5, exact=False),
    )

    def held(rung: str) -> Candidate:
        memory = replace(MODEL.memory, rungs=rungs)
        return replace(ROUTE, model=replace(MODEL, memory=memory, rung=rung))

    [image] = saved(tmp_path)
    [coarse] = saved(tmp_path)
    async with opened(tmp_path) as cache:
        await cache.remember(REQUEST, held("full"), [image])
        before = await ids(cache, route=held("8 bit"))
        await cache.remember(REQUEST, held("8 bit"), [coarse])
        stored = [await ids(cache, route=held(rung.name)) for rung in rungs]

    assert before is None
    assert stored == [[image.id], [image.id], [coarse.id]]
