"""OpenAI's models under other names: Azure's deployments, a gateway's aliases."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.providers.test_openai import KEY, edit, model, price, provider, request, submit
from tests.support.fake_vendors import FakeVendor, Reply, openai_answer, openai_error, problems
from ziggie_image_mcp.provider import (
    Buckets,
    ContentRefused,
    ModelMissing,
    OutcomeUnknown,
    PaymentRequired,
    ProviderError,
)
from ziggie_image_mcp.provider.testing import Seen
from ziggie_image_providers.openai.settings import Settings

MINE: dict[str, Any] = {"my pics": {"like": "gpt-image-2.5-flare"}}
HOST = "https://mine.openai.azure.com"


@pytest.mark.parametrize("base", ["", "/openai", "/openai/v1"])
@pytest.mark.parametrize(
    ("version", "path"),
    [
        (None, "/openai/v1/images/generations"),
        ("preview", "/openai/v1/images/generations?api-version=preview"),
        (
            "2025-04-01-preview",
            "/openai/deployments/my%20pics/images/generations?api-version=2025-04-01-preview",
        ),
    ],
)
async def test_azure_is_asked_by_either_of_its_routes(
    version: str | None, path: str, base: str
) -> None:
    seen: list[httpx2.Request] = []

    def answer(asked: httpx2.Request) -> httpx2.Response:
        seen.append(asked)
        return httpx2.Response(200, json=openai_answer())

    tested = provider(answer, baseUrl=HOST + base, apiVersion=version, models=MINE)
    await submit(tested, id="my pics")
    classic = version is not None and version[0].isdigit()

    assert [str(asked.url) for asked in seen] == [HOST + path]
    assert seen[0].headers["api-key"] == KEY
    assert "authorization" not in seen[0].headers
    body = httpx2.Response(200, content=seen[0].content).json()
    assert body.get("model") == (None if classic else "my pics")


async def test_azures_classic_routes_take_forms_and_are_probed_with_their_version() -> None:
    def script(seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(body={"data": []})
        return Reply(body=openai_answer())

    with FakeVendor(script) as vendor:
        section: dict[str, Any] = {
            "flavour": "azure",
            "local": False,
            "apiVersion": "2025-04-01-preview",
        }
        tested = provider(baseUrl=f"{vendor.url}/openai", models=MINE, **section)
        assert (await tested.probe()).state == "ready"
        await submit(tested, edit("inpaint"), id="my pics")

    assert vendor.asked == [
        "GET /openai/models?api-version=2025-04-01-preview",
        "POST /openai/deployments/my%20pics/images/edits?api-version=2025-04-01-preview",
    ]
    assert "model" not in vendor.seen[1].form
    assert vendor.seen[1].form["output_format"] == "png"


async def test_a_model_that_is_like_another_has_its_facts_and_price() -> None:
    tested = provider(baseUrl=HOST, models=MINE | {"dear": {"priceUsd": 1, **MINE["my pics"]}})

    mine, dear = await model(tested, "my pics"), await model(tested, "dear")
    known = await model(provider(), "gpt-image-2.5-flare")

    assert (mine.prices, mine.tasks) == (known.prices, known.tasks)
    assert "gpt-image-2.5-flare" in mine.aliases
    assert price(tested, dear) == (1_000_000, 1_000_000)


def test_what_no_model_is_like_is_refused_with_the_models_that_are() -> None:
    with pytest.raises(ValidationError, match=r"m: `like` must be one of gpt-image-2\.5-flare"):
        Settings.model_validate({"models": {"m": {"like": "dall-e-3"}}})


LITELLM = "litellm.BadRequestError: OpenAIException - "


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (
            404,
            {"error": {"code": "DeploymentNotFound", "message": "The API deployment is absent."}},
            ModelMissing,
        ),
        (
            400,
            {
                "error": {
                    "code": "content_policy_violation",
                    "message": "Your request was rejected.",
                    "inner_error": {
                        "code": "ResponsibleAIPolicyViolation",
                        "content_filter_results": {"hate": {"filtered": True}},
                    },
                }
            },
            ContentRefused,
        ),
        (400, openai_error("400", "budget_exceeded", "Budget has been exceeded!"), PaymentRequired),
        (500, openai_error("500", said=f"{LITELLM}no"), OutcomeUnknown),
        (
            400,
            openai_error("400", said=f"{LITELLM}Your request was rejected by the safety system."),
            ContentRefused,
        ),
    ],
)
async def test_azure_and_gateways_say_in_their_own_way_who_must_act(
    status: int, body: Any, error: type[ProviderError]
) -> None:
    with FakeVendor(lambda seen: Reply(status=status, body=body)) as vendor:
        tested = provider(baseUrl=f"{vendor.url}/v1", flavour="azure", local=False, models=MINE)
        with pytest.raises(error):
            await submit(tested, id="my pics")


async def test_a_gateway_that_names_the_model_behind_its_alias_says_nothing_new() -> None:
    body = openai_answer() | {"model": "openai/gpt-image-2.5-flare"}
    section: dict[str, Any] = {"local": False, "flavour": "openai", "models": MINE}
    with FakeVendor(lambda seen: Reply(body=body)) as vendor:
        generation = await submit(provider(baseUrl=vendor.url, **section), id="my pics")
        other = await submit(provider(baseUrl=vendor.url, **section), id="gpt-image-2")

    assert generation.notes == ()
    assert any("openai/gpt-image-2.5-flare made it" in note for note in other.notes)


async def test_a_mask_that_would_be_too_large_goes_without_its_greys() -> None:
    side = 2048
    job = edit("inpaint", side, mask=noise(side))
    with FakeVendor(lambda seen: Reply(body=openai_answer())) as vendor:
        await submit(provider(baseUrl=vendor.url, flavour="openai", local=False), job)

    mask = vendor.seen[0].form["mask"]
    assert isinstance(mask, bytes)
    assert len(mask) < 4_000_000
    assert alphas(mask) == {0, 255}


def noise(side: int) -> bytes:
    """A mask of greys that nothing compresses."""
    out = io.BytesIO()
    Image.frombytes("L", (side, side), random.Random(1).randbytes(side * side)).save(out, "PNG")
    return out.getvalue()


def alphas(mask: bytes) -> set[int]:
    with Image.open(io.BytesIO(mask)) as image:
        return {i for i, count in enumerate(image.getchannel("A").histogram()) if count}


@pytest.mark.parametrize("id", ["gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"])
async def test_models_that_are_taken_away_have_their_day_and_their_few_sizes(id: str) -> None:
    listed = await model(provider(), id)

    assert str(listed.deprecated_on) == "2026-12-01"
    assert isinstance(sizes := listed.tasks["text_to_image"].sizes, Buckets)
    assert [f"{s.width}x{s.height}" for s in sizes.sizes] == [s.name for s in sizes.sizes]


@pytest.mark.parametrize(
    ("id", "dollars"),
    [
        ("gpt-image-1.5", {"low": (0.009, 0.013), "medium": (0.034, 0.05), "high": (0.133, 0.2)}),
        ("gpt-image-1-mini", {"low": (0.005, 0.006), "medium": (0.011, 0.015)}),
    ],
)
async def test_their_tokens_come_to_the_prices_of_their_pictures(
    id: str, dollars: dict[str, tuple[float, float]]
) -> None:
    tested = provider()
    listed = await model(tested, id)

    for quality, (square, wide) in dollars.items():
        for width, usd in ((1024, square), (1536, wide)):
            bounds = price(tested, listed, prompt="", quality=quality, width=width)
            assert bounds is not None
            assert usd * 1e6 - 20 <= bounds[0] <= bounds[1] <= usd * 1e6 + 900
    assert price(tested, listed, quality="max") is None


@pytest.mark.spec
@pytest.mark.parametrize("task", ["text_to_image", "image_to_image", "inpaint"])
async def test_all_that_can_be_set_keeps_to_the_published_spec(task: Any) -> None:
    section: dict[str, Any] = {"complexity": "low", "moderation": "low", "quality": "xhigh"}
    job = request(transparent=True) if task == "text_to_image" else edit(task, transparent=True)
    with FakeVendor(lambda seen: Reply(body=openai_answer())) as vendor:
        tested = provider(baseUrl=vendor.url, flavour="openai", local=False, **section)
        await submit(tested, replace(job, quality="xhigh"), id="gpt-image-2.6-sunburst")

    name = "/ImageEditMultipartFields/ImageEditParamsBase"
    name = "ImageGenerateParams" if task == "text_to_image" else name
    seen = vendor.seen[0]
    assert problems("openai-sdk-3.57", name, seen) == []
    sent = seen.form if seen.is_form else seen.body
    assert sent["complexity"] == "low"
    assert ("moderation" in sent) == (task == "text_to_image")
