from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from tests.support import vendors
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Cost,
    InvalidOutput,
    Model,
    OutcomeUnknown,
    Provider,
    RemoteJob,
    RequestRejected,
)
from ziggie_image_mcp.provider.testing import (
    FakeVendor,
    ProviderConformance,
    Reply,
    Seen,
    picture,
)
from ziggie_image_mcp.provider.testing.rig import always
from ziggie_image_providers.modal import Modal

RATE = {"unit": "second", "microUsd": 1097, "expected": 8, "most": 60}
MODELS: Any = {
    "sdxl": {"rates": [RATE], "works": ["text_to_image", "image_to_image", "inpaint"]},
    "fixed": {"priceUsd": 0.01},
}
SECTION: Any = {"models": MODELS}
RESULT = "/result?__modal_function_call_id=fc-1"


def body(**more: Any) -> dict[str, Any]:
    return {"images": [base64.b64encode(picture(1024, 1024)).decode()]} | more


def drawn(seen: Seen) -> Reply:
    return Reply(body=body(seed=7, seconds=6.5))


def slow(times: int) -> vendors.Script:
    """Modal cuts a request after 150 seconds, and says where its answer will be."""
    left = [times]

    def script(seen: Seen) -> Reply:
        if left[0]:
            left[0] -= 1
            return Reply(status=303, headers={"location": f"{seen.origin}{RESULT}"})
        return drawn(seen)

    return script


async def made(script: vendors.Script, id: str = "sdxl", **section: Any) -> Any:
    with FakeVendor(script) as vendor:
        async with vendors.provider(Modal, vendor.url, **SECTION, **section) as tested:
            listed = await vendors.model(tested, id)
            generation = await vendors.make(tested, vendors.request(listed), listed)
    return generation, vendor


async def test_a_request_has_the_words_of_our_contract() -> None:
    _, vendor = await made(drawn)

    seen = vendor.seen[0]
    assert (seen.method, seen.path) == ("POST", "/")
    assert seen.headers["modal-key"] == seen.headers["modal-secret"] == vendors.KEY
    assert "authorization" not in seen.headers
    assert seen.body == {
        "model": "sdxl",
        "prompt": "a red bicycle",
        "width": 1024,
        "height": 1024,
        "num_images": 1,
        "seed": 7,
    }


async def test_the_words_of_openai_are_another_contract() -> None:
    _, vendor = await made(drawn, contract="openai", path="v1/images/generations", keyName=None)

    assert vendor.seen[0].path == "/v1/images/generations"
    assert "modal-key" not in vendor.seen[0].headers
    assert vendor.seen[0].body == {
        "model": "sdxl",
        "prompt": "a red bicycle",
        "n": 1,
        "size": "1024x1024",
        "seed": 7,
        "response_format": "b64_json",
    }


@pytest.mark.parametrize(
    "answer",
    [
        picture(1024, 1024),
        body(),
        {"image": base64.b64encode(picture(1024, 1024)).decode()},
        {"images": [{"b64_json": base64.b64encode(picture(1024, 1024)).decode()}]},
        {"data": [{"b64_json": base64.b64encode(picture(1024, 1024)).decode()}]},
    ],
)
async def test_pictures_come_in_any_of_these_forms(answer: Any) -> None:
    generation, _ = await made(lambda seen: Reply(body=answer))

    assert generation.images[0].data == picture(1024, 1024)


@pytest.mark.parametrize(
    ("id", "told", "cost"),
    [
        ("sdxl", {"seconds": 6.5}, Cost(micro_usd=7_131, basis="computed")),
        ("sdxl", {"cost_usd": 0.02}, Cost(micro_usd=20_000, basis="exact")),
        ("sdxl", {}, Cost(micro_usd=65_820, basis="list")),
        ("sdxl", {"seconds": "many"}, Cost(micro_usd=65_820, basis="list")),
        ("fixed", {}, Cost(micro_usd=10_000, basis="list")),
    ],
)
async def test_seconds_that_the_function_tells_are_what_it_cost(
    id: str, told: dict[str, Any], cost: Cost
) -> None:
    generation, _ = await made(lambda seen: Reply(body=body(**told)), id)

    assert generation.cost == cost


async def test_a_request_of_more_than_150_seconds_goes_on_as_a_job() -> None:
    with FakeVendor(slow(3)) as vendor:
        async with vendors.provider(Modal, vendor.url, **SECTION) as tested:
            listed = await vendors.model(tested, "sdxl")
            asked = vendors.request(listed)
            job = await tested.submit(asked, listed, vendors.RUN)
        async with vendors.provider(Modal, vendor.url, **SECTION) as successor:
            listed = await vendors.model(successor, "sdxl")
            generation = await successor.collect(job.id, asked, listed, vendors.RUN)

    assert isinstance(job, RemoteJob)
    assert generation.images[0].seed == 7
    assert [seen.method for seen in vendor.seen] == ["POST", "GET", "GET", "GET"]
    assert all(seen.headers["modal-key"] == vendors.KEY for seen in vendor.seen)


@pytest.mark.parametrize("location", ["{url}/generate?id=1", "/generate?id=1"])
async def test_a_base_url_with_a_path_and_a_relative_place_will_do(location: str) -> None:
    with FakeVendor(drawn) as vendor:
        left = [1]

        def script(seen: Seen) -> Reply:
            if left[0]:
                left[0] -= 1
                place = location.replace("{url}", vendor.url)
                return Reply(status=303, headers={"location": place})
            return drawn(seen)

        vendor.script = script
        async with vendors.provider(Modal, f"{vendor.url}/generate", **SECTION) as tested:
            listed = await vendors.model(tested, "sdxl")
            made = await vendors.make(tested, vendors.request(listed), listed)

    assert len(made.images) == 1
    assert vendor.asked == ["POST /generate", "GET /generate?id=1"]


async def test_a_place_that_is_not_the_functions_is_not_asked_with_the_token() -> None:
    with FakeVendor(drawn) as other, FakeVendor(drawn) as vendor:
        elsewhere = Reply(status=303, headers={"location": other.url + RESULT})
        vendor.script = always(elsewhere)
        async with vendors.provider(Modal, vendor.url, **SECTION) as tested:
            listed = await vendors.model(tested, "sdxl")
            with pytest.raises(OutcomeUnknown):
                await vendors.make(tested, vendors.request(listed), listed)
        assert not other.connections


async def test_without_a_price_there_is_no_route() -> None:
    async with vendors.provider(Modal, "http://127.0.0.1:9", models={"mine": {}}) as tested:
        listed = await vendors.model(tested, "mine")
        assert tested.estimate(vendors.request(listed), listed) is None


async def test_missing_proxy_credentials_are_told_from_other_tokens() -> None:
    denied = Reply(status=401, body=b"modal-http: missing credentials for proxy authorization")

    with pytest.raises(AuthenticationFailed, match="MODAL_SECRET") as error:
        await made(lambda seen: denied)

    assert error.value.charged == 0


class TestModal(ProviderConformance):
    provider_type = Modal
    settings: ClassVar = SECTION
    secrets: ClassVar = {"MODAL_KEY": "wk-0123456789abcdef", "MODAL_SECRET": "ws-fedcba9876543210"}
    max_answer_bytes = 2**21
    refusals: ClassVar = (
        (Reply(status=422, body={"detail": "width must be a multiple of 8"}), RequestRejected),
        (Reply(body={"images": []}), InvalidOutput),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [m for m in await provider.list_models() if m.id == "sdxl"]
