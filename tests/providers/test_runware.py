from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import pytest

from tests.support import vendors
from tests.support.fake_vendors import problems
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Balance,
    ContentRefused,
    Cost,
    Lora,
    Model,
    OutcomeUnknown,
    PaymentRequired,
    Provider,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
)
from ziggie_image_mcp.provider.testing import (
    FakeVendor,
    ProviderConformance,
    Reply,
    Seen,
    picture,
)
from ziggie_image_mcp.provider.testing.rig import decoded
from ziggie_image_providers.runware import Runware, task_id

PRO = "bfl:5@1"
FILL = "bfl:1@2"
KLEIN3 = "bfl:flux@3-image-klein"
KLEIN = "runware:400@2"
REMBG = "runware:109@1"
SDK = "runware-sdk-1.8"
ID = task_id(vendors.RUN.key)
SPEC = pytest.mark.spec


def task_of(seen: Seen) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(seen.content)[0])
    except (ValueError, LookupError, TypeError):
        return {}


def is_submit(seen: Seen) -> bool:
    return task_of(seen).get("taskType") in ("imageInference", "removeBackground", "upscale")


def result(seen: Seen, **more: Any) -> dict[str, Any]:
    made = {"taskType": "imageInference", "taskUUID": task_of(seen)["taskUUID"], "imageUUID": "u"}
    address = f"{seen.origin}/made.png"
    return made | {"status": "success", "imageURL": address, "cost": 0.03, "seed": 7} | more


def drawn(seen: Seen, **more: Any) -> Reply:
    """Runware by its SDK's types."""
    if seen.path == "/made.png":
        return Reply(body=picture(1024, 1024))
    task = task_of(seen)
    if task.get("taskType") == "accountManagement":
        entry = {"taskType": "accountManagement", "taskUUID": task["taskUUID"]}
        entry |= {"operation": "getDetails", "balance": {"amount": 4.2, "currency": "USD"}}
        return Reply(body={"data": [entry]})
    if task.get("taskType") == "getResponse":
        return Reply(body={"data": [result(seen, **more)]})
    return Reply(body={"data": [{key: task.get(key) for key in ("taskType", "taskUUID")}]})


def failing(code: str, message: str = "No.", status: int = 400, **more: Any) -> vendors.Script:
    error = {"code": code, "message": message, "taskType": "imageInference"} | more
    body = {"errors": [error]}
    return lambda seen: Reply(status=status, body=body) if is_submit(seen) else drawn(seen)


async def sent(id: str, task: Any = "text_to_image", **changes: Any) -> dict[str, Any]:
    _, body = await vendors.body_of(Runware, drawn, id, task, **changes)
    assert isinstance(body, list)
    return cast("dict[str, Any]", body[0])


@SPEC
async def test_a_request_is_a_task_by_a_name_of_ours() -> None:
    task = await sent(PRO)

    assert task == {
        "taskType": "imageInference",
        "taskUUID": ID,
        "model": PRO,
        "positivePrompt": "a red bicycle",
        "width": 1024,
        "height": 1024,
        "seed": 7,
        "outputType": "URL",
        "outputFormat": "PNG",
        "includeCost": True,
        "deliveryMethod": "async",
        "numberResults": 1,
        "ttl": 3600,
    }
    assert problems(SDK, "BflFlux2ProParams", task) == []


@SPEC
async def test_pictures_masks_and_loras_go_where_each_model_takes_them() -> None:
    given: dict[str, Any] = {"reference_ids": ("a",), "references": (picture(),)}
    referring = await sent(PRO, **given)
    filled = await sent(FILL, "inpaint")
    laid = await sent(KLEIN, loras=(Lora(id="civitai:652699@993999", weight=0.7),))
    cut = await sent(REMBG, "remove_background")

    assert len(referring["inputs"]["referenceImages"]) == 1
    assert set(filled["inputs"]) == {"image", "mask"}
    assert laid["lora"] == [{"model": "civitai:652699@993999", "weight": 0.7}]
    assert cut["taskType"] == "removeBackground"
    assert set(cut["inputs"]) == {"image"}
    assert problems(SDK, "BflFlux1FillProParams", filled) == []
    assert problems(SDK, "RemoveBackgroundImageParams", cut) == []
    assert problems(SDK, "BflFlux2Klein9bParams", laid) == []


async def test_the_answer_tells_what_it_cost() -> None:
    told = await vendors.answer_to(Runware, drawn, PRO)
    silent = await vendors.answer_to(Runware, lambda seen: drawn(seen, cost=None), PRO)
    flagged = await vendors.answer_to(Runware, lambda seen: drawn(seen, NSFWContent=True), PRO)

    assert told.cost == Cost(micro_usd=30_000, basis="exact")
    assert silent.cost == Cost(micro_usd=30_000, basis="list")
    assert "not safe" in flagged.notes[0]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (failing("invalidApiKey"), AuthenticationFailed),
        (failing("insufficientCredits"), PaymentRequired),
        (failing("contentPolicyViolation"), ContentRefused),
        (failing("providerContentPolicyViolation", status=200), ContentRefused),
        (failing("rateLimitExceeded", status=429), RateLimited),
        (failing("invalidWidth", parameter="width"), RequestRejected),
        (failing("unsupportedParameter", status=200), RequestRejected),
        (failing("noAvailableServer", status=200), ProviderUnavailable),
    ],
)
async def test_errors_are_what_they_are_behind_any_status(
    script: vendors.Script, kind: type[Exception]
) -> None:
    assert isinstance(await vendors.error_of(Runware, script, PRO), kind)


@pytest.mark.parametrize(
    ("answer", "kind", "charged"),
    [
        ({"status": "success", "imageURL": None, "NSFWContent": True}, ContentRefused, 30_000),
        ({"status": "success", "imageURL": None}, ProviderError, 30_000),
        (
            {"status": "error", "imageURL": None, "error": {"code": "nsfwContentDetected"}},
            ContentRefused,
            None,
        ),
    ],
)
async def test_a_task_that_ends_without_a_picture_says_why(
    answer: dict[str, Any], kind: type[Exception], charged: int | None
) -> None:
    error = await vendors.error_of(Runware, lambda seen: drawn(seen, **answer), PRO)

    assert isinstance(error, kind)
    assert error.charged == charged


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=524, body=b"<html>A timeout occurred</html>"),
        Reply(status=504, body=b"Gateway Timeout"),
        Reply(status=502, body=b"the load balancer failed"),
        Reply(status=408, body=b"Request Timeout"),
    ],
)
async def test_what_stands_before_it_does_not_say_what_became_of_a_task(reply: Reply) -> None:
    def script(seen: Seen) -> Reply:
        return reply if is_submit(seen) else drawn(seen)

    assert isinstance(await vendors.error_of(Runware, script, PRO), OutcomeUnknown)


@pytest.mark.parametrize("code", ["rateLimitExceeded", "taskNotFound", "invalidTaskUUID"])
async def test_an_error_about_the_question_is_not_the_tasks_end(code: str) -> None:
    left = [1]

    def script(seen: Seen) -> Reply:
        if task_of(seen).get("taskType") == "getResponse" and left[0]:
            left[0] -= 1
            return Reply(body={"errors": [{"code": code, "taskType": "getResponse"}]})
        return drawn(seen)

    made = await vendors.answer_to(Runware, script, PRO)

    assert len(made.images) == 1


async def test_a_task_that_runware_forgot_is_unknowable() -> None:
    gone = Reply(body={"errors": [{"code": "invalidTaskUUID", "message": "expired"}]})
    with FakeVendor(lambda seen: gone) as vendor:
        async with vendors.provider(Runware, vendor.url) as tested:
            resolution = await tested.resolve(vendors.RUN.key, "")

    assert resolution.state == "unknowable"


async def test_a_key_that_is_refused_behind_a_success_is_said() -> None:
    denied = Reply(body={"errors": [{"code": "invalidApiKey", "message": "no"}]})
    with FakeVendor(lambda seen: denied) as vendor:
        async with vendors.provider(Runware, vendor.url) as tested:
            assert (await tested.probe()).state == "unauthorised"


async def test_a_task_whose_answer_was_lost_is_found_by_the_runs_key() -> None:
    with FakeVendor(lambda seen: Reply(then="cut") if is_submit(seen) else drawn(seen)) as vendor:
        async with vendors.provider(Runware, vendor.url) as tested:
            listed = await vendors.model(tested, PRO)
            asked = vendors.request(listed)
            with pytest.raises(OutcomeUnknown):
                await tested.submit(asked, listed, vendors.RUN)
            resolution = await tested.resolve(vendors.RUN.key, "")
            made = await tested.collect(resolution.remote_id, asked, listed, vendors.RUN)

    assert resolution.state == "finished"
    assert resolution.remote_id == ID
    assert len(made.images) == 1


async def test_balance_and_key_are_asked_for_nothing() -> None:
    with FakeVendor(drawn) as vendor:
        async with vendors.provider(Runware, vendor.url) as tested:
            assert await tested.balance() == Balance(micro_usd=4_200_000)
            assert (await tested.probe()).state == "ready"
        assert not any(is_submit(seen) for seen in vendor.seen)


@pytest.mark.parametrize(
    ("rates", "upper"),
    [
        ([{"amount": 0.0032, "unit": "output"}], 3_200),
        (
            [{"amount": 0.05, "unit": "output", "label": "1K"}, {"amount": 0.1, "unit": "output"}],
            50_000,
        ),
        ([{"amount": 0.05, "unit": "output", "label": "with audio"}], 6_000),
        ([{"amount": 0.05, "unit": "fortnight"}], 6_000),
        ([{"amount": 0.05, "unit": "output", "currency": "EUR"}], 6_000),
        ([], 6_000),
    ],
)
async def test_the_public_catalogue_tells_prices_without_the_key(rates: Any, upper: int) -> None:
    def script(seen: Seen) -> Reply:
        if "/pricing" not in seen.path:
            return drawn(seen)
        found = seen.path == "/models/bfl%3Aflux%403-image-klein/pricing"
        return Reply(body={"air": KLEIN3 if found else "another", "pricingRates": rates})

    with FakeVendor(script) as vendor:
        async with vendors.provider(Runware, vendor.url, pricesUrl=vendor.url) as tested:
            listed = await vendors.model(tested, KLEIN3)
            estimate = tested.estimate(vendors.request(listed), listed)
        asked = [seen for seen in vendor.seen if "/pricing" in seen.path]

    assert estimate is not None
    assert estimate.upper == upper
    assert asked
    assert not any("authorization" in seen.headers for seen in asked)


class TestRunware(ProviderConformance):
    provider_type = Runware
    secrets: ClassVar = {"RUNWARE_API_KEY": "rw0123456789abcdef0123456789abcdef"}
    settings: ClassVar = {"livePrices": False}
    refusals: ClassVar = (
        (Reply(status=400, body={"errors": [{"code": "promptBlocked"}]}), ContentRefused),
        (Reply(body={"errors": [{"code": "insufficientCredits"}]}), PaymentRequired),
    )

    def reply(self, seen: Seen) -> Reply:
        return drawn(seen)

    def is_submit(self, seen: Seen) -> bool:
        return is_submit(seen)

    def wire(self, seen: Seen) -> object:
        return task_of(seen)

    def size_of(self, seen: Seen) -> tuple[int, int] | None:
        task = task_of(seen)
        return (task["width"], task["height"]) if "width" in task else None

    def mask_of(self, seen: Seen) -> bytes | None:
        return decoded(task_of(seen).get("inputs", {}).get("mask"))

    async def models(self, provider: Provider) -> Sequence[Model]:
        return [m for m in await provider.list_models() if m.id in (PRO, FILL)]
