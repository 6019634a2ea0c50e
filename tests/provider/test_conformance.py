"""The conformance suite passes a vendor that keeps to the contract, and catches what does not."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import socket
import sys
import unittest
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import httpx2
import pytest

from tests.support.plugin.nimbus import OPTIONS, Nimbus
from ziggie_image_mcp.provider import (
    FREE,
    NO_COST,
    UNKNOWN_COST,
    Balance,
    CancelOutcome,
    ContentRefused,
    Cost,
    Estimate,
    Model,
    OutcomeUnknown,
    PaymentRequired,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    Resolution,
    Run,
    Submission,
    Task,
    TaskCapability,
    options_of,
)
from ziggie_image_mcp.provider.delivery import RemoteStatus
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.settings import ModelRow
from ziggie_image_mcp.provider.testing import (
    ORIGIN,
    FakeProvider,
    ProviderConformance,
    Reply,
    Rig,
    Seen,
    picture,
)
from ziggie_image_mcp.provider.vendor import PolledVendor, Vendor, to_data_url

PNG = picture(8, 8)


class NimbusConformance(ProviderConformance):
    provider_type: ClassVar[Any] = Nimbus
    secrets: ClassVar[Mapping[str, str]] = {"NIMBUS_API_KEY": "nimbus-3f9c0a7be2d14c55"}
    base_path = "/v1"
    refusals: ClassVar[Sequence[tuple[Reply, type[ProviderError]]]] = (
        (Reply(status=402, body={"error": {"message": "Limit reached"}}), PaymentRequired),
        (Reply(status=422, body={"error": {"message": "NSFW content"}}), ContentRefused),
        (Reply(status=429, body={"error": {"message": "slow"}}), RateLimited),
    )

    def reply(self, seen: Seen) -> Reply:
        if seen.path == "/v1/models":
            return Reply(body={"data": []})
        item = {"b64_json": base64.b64encode(PNG).decode()}
        return Reply(body={"data": [item] * seen.body["n"]})


class TestNimbusInTheAnswer(NimbusConformance):
    pass


class TestNimbusByAddress(NimbusConformance):
    def reply(self, seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(body=PNG)
        return Reply(body={"data": [{"url": f"{seen.origin}/v1/files/1.png"}] * seen.body["n"]})


class Queue(PolledVendor):
    """Nimbus with a queue: a request is submitted, asked after and fetched."""

    info = Nimbus.info
    Settings = Nimbus.Settings
    post = "jobs"
    probe_path = "account"
    table: ClassVar = {"queued": ModelRow(price_usd=0.04, options=OPTIONS)}
    first_pause = longest_pause = 0.01
    payload = Nimbus.payload

    def job_id(self, answer: Answer) -> str:
        return str(answer.json()["id"])

    def status_path(self, remote_id: str) -> str:
        return f"jobs/{remote_id}"

    def cancel_path(self, remote_id: str) -> str:
        return f"jobs/{remote_id}/cancel"

    async def status(self, answer: Answer) -> RemoteStatus:
        match answer.json()["status"]:
            case "done":
                return RemoteStatus(state="succeeded")
            case "blocked":
                refused = ContentRefused(self.name, "blocked by its filter")
                return RemoteStatus(state="failed", error=refused)
            case "failed":
                error = await self.http.job_error(answer.json()["why"])
                return RemoteStatus(state="failed", error=error)
            case _:
                return RemoteStatus(state="running")

    def pictures(self, answer: Answer) -> list[bytes | str]:
        return [answer.json()["url"]]

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        return Cost(micro_usd=answer.json()["cost"], basis="exact")


class TestNimbusWithAQueue(NimbusConformance):
    provider_type = Queue
    refusals = (
        (Reply(body={"status": "blocked"}), ContentRefused),
        (Reply(body={"status": "failed", "why": "the GPU melted"}), ProviderError),
    )
    costs = (Reply(body={"status": "done", "url": f"{ORIGIN}/v1/files/1.png", "cost": 39_999}),)

    def gets(self, seen: Seen, reply: Reply) -> bool:
        return seen.path == "/v1/jobs/job-1"

    def is_submit(self, seen: Seen) -> bool:
        return seen.method == "POST" and seen.path == "/v1/jobs"

    def reply(self, seen: Seen) -> Reply:
        if seen.method == "POST":
            return Reply(body={"id": "job-1"})
        if seen.path == "/v1/account":
            return Reply(body={})
        if seen.path == "/v1/jobs/job-1":
            url = f"{seen.origin}/v1/files/1.png"
            return Reply(body={"status": "done", "url": url, "cost": 40_000})
        return Reply(body=PNG)


class TestAProviderInThisProcess(ProviderConformance):
    """It draws at once, and speaks no HTTP."""

    provider_type = FakeProvider
    speaks_http = False

    @asynccontextmanager
    async def _rig(self) -> AsyncGenerator[Rig]:
        yield Rig(provider=FakeProvider("tested"))

    def rig(
        self, *, timeout: float | None = None, **section: Any
    ) -> AbstractAsyncContextManager[Rig]:
        return self._rig()

    async def observed(self, rig: Rig, request: ProviderRequest, model: Model) -> object:
        await self.make(rig, request, model)
        assert isinstance(rig.provider, FakeProvider)
        sent = rig.provider.seen[-1]
        names = ("prompt", "width", "height", "num_images", *options_of(model, request.task))
        return {name: getattr(sent, name) for name in names}


# What it catches: Nimbus with one fault each


class Small(Nimbus):
    """Nimbus with less to draw."""

    table: ClassVar = {
        "nimbus-1": ModelRow(
            price_usd=0.04,
            options=OPTIONS,
            max_images=4,
            native_width=64,
            native_height=64,
            min_side=64,
            max_side=128,
        )
    }

    def tasks(self, row: ModelRow) -> Mapping[Task, TaskCapability]:
        return {"text_to_image": self.capability(row)}


class WithMasks(Small):
    def tasks(self, row: ModelRow) -> Mapping[Task, TaskCapability]:
        return Nimbus.tasks(self, row)


class DropsADeclaredOption(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return {k: v for k, v in super().payload(request, model).items() if k != "steps"}


class SendsAnUndeclaredOption(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return super().payload(request, model) | {"quality": request.quality}


class AsksForOnePictureOnly(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return super().payload(request, model) | {"n": 1}


class CutsTheSize(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return super().payload(request, model) | {"width": 64}


class PostsAgain(Small):
    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        try:
            return await super().submit(request, model, run)
        except OutcomeUnknown as e:
            if "broke off" not in str(e):
                raise
            return await super().submit(request, model, run)


class SaysNothingWasCharged(Small):
    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        try:
            return await super().submit(request, model, run)
        except OutcomeUnknown as e:
            raise ProviderUnavailable(self.name, "no answer") from e


class LetsABugOut(Small):
    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        answer = await self.send(request, model, run)
        assert answer.json()["data"]
        return await self.generation(answer, request, model)


class QuotesTheKey(Small):
    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        try:
            return await super().submit(request, model, run)
        except RequestRejected as e:
            (key,) = await self.http.keys()
            raise RequestRejected(self.name, f"{e}, with {key}") from e


class LogsTheKey(Small):
    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        logging.getLogger("nimbus").debug("asking with %s", await self.http.keys())
        return await super().send(request, model, run)


class DownloadsWithTheKey(Small):
    async def fetch(self, source: bytes | str, max_bytes: int) -> bytes:
        if isinstance(source, str) and source.startswith(self.http.url):
            return (await self.http.get(source.removeprefix(self.http.url))).content
        return await super().fetch(source, max_bytes)


class TrustsThisMachine(Small):
    trusted_hosts = ("localhost", "127.0.0.1")


class InvertsTheMask(WithMasks):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        body = super().payload(request, model)
        return body | {"mask": to_data_url(request.mask)} if request.mask else body


class DoesNotSayWhichMasks(WithMasks):
    def tasks(self, row: ModelRow) -> Mapping[Task, TaskCapability]:
        return {task: replace(able, mask=None) for task, able in super().tasks(row).items()}


class SpeaksAnotherContract(Small):
    contract = 2


class FollowsRedirects(Small):
    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        body = self.payload(request, model)
        answer = await self.http.post_once(self.post, json=body, accept=(301, 302, 303, 307, 308))
        if answer.location:
            async with httpx2.AsyncClient() as client:
                await client.post(answer.location, json=body)
            raise RequestRejected(self.name, "moved")
        return answer


class ReadsEverything(Small):
    def __init__(self, name: str, settings: Any, context: ProviderContext) -> None:
        super().__init__(name, settings, replace(context, max_answer_bytes=2**40))

    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        return await self.http.post_once(
            self.post, json=self.payload(request, model), max_bytes=2**40
        )


class CostsMoreThanItsEstimate(Small):
    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        return Cost(micro_usd=40_001 * images, basis="exact")


class CostsNothing(Small):
    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        return Cost(micro_usd=0, basis="exact")


class HasNoEstimate(Small):
    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        return None


class TakesARefusalForSuccess(Small):
    def pictures(self, answer: Answer) -> list[bytes | str]:
        return super().pictures(answer) if "data" in answer.json() else [PNG]


class SwallowsCancellation(Small):
    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        try:
            return await super().submit(request, model, run)
        except asyncio.CancelledError:
            raise ProviderTimeout(self.name, "was stopped") from None


class CannotCancel(Small):
    async def cancel(self, remote_id: str) -> CancelOutcome:
        raise NotImplementedError


class ConnectsWhenBuilt(Small):
    def __init__(self, name: str, settings: Any, context: ProviderContext) -> None:
        super().__init__(name, settings, context)
        url = httpx2.URL(settings.base_url)
        with suppress(OSError):
            socket.create_connection((url.host, url.port or 80)).close()


class ListsWithAPost(Small):
    async def list_models(self) -> Sequence[Model]:
        await self.http.post_once("models", json={"n": 0}, paid=False)
        return await super().list_models()


class ListsTwice(Small):
    async def list_models(self) -> Sequence[Model]:
        return [*await super().list_models()] * 2


class IsFreeAtAVendor(Small):
    def model(self, id: str, row: Any) -> Model:
        return replace(super().model(id, row), prices=FREE)


class LetsABugOutOfItsListing(Small):
    async def list_models(self) -> Sequence[Model]:
        answer = await self.http.get("models")
        assert answer.json()["data"] == []
        return await super().list_models()


class ForgetsItsRequests(Small):
    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="not_sent")


class PromisesWhatItCannotCollect(Small):
    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="finished", remote_id="job-1")


class LosesTheId(Small):
    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="running")


class CannotResolve(Small):
    async def resolve(self, key: str, remote_id: str) -> Resolution:
        raise ProviderUnavailable(self.name, "there is no such thing")


class CannotProbe(Small):
    async def probe(self) -> Probe:
        raise ProviderUnavailable(self.name, "is not there")


class SwapsTheSides(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        swapped = {"width": request.height, "height": request.width}
        return super().payload(request, model) | swapped


class LosesPictures(Small):
    def pictures(self, answer: Answer) -> list[bytes | str]:
        return super().pictures(answer)[:1]


class MakesTwoAtMost(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return super().payload(request, model) | {"n": min(2, request.num_images)}

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        return Cost(micro_usd=1, basis="exact")


class CutsThePrompt(Small):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return super().payload(request, model) | {"prompt": request.prompt[-5:]}


class InventsASeed(Small):
    def seed(self, request: ProviderRequest, model: Model, index: int) -> int | None:
        return 99


class SaysThatItIsHere(Small):
    def model(self, id: str, row: Any) -> Model:
        return replace(super().model(id, row), where="this_machine", prices=FREE)


class ForgetsTheImage(WithMasks):
    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        return {k: v for k, v in super().payload(request, model).items() if k != "image"}


class EstimatesOnePicture(Small):
    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        return super().estimate(replace(request, num_images=1), model)

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        return UNKNOWN_COST


class SaysThatItFailedForNothing(Small):
    async def resolve(self, key: str, remote_id: str) -> Resolution:
        return Resolution(state="failed", cost=NO_COST)


class CannotBalance(Small):
    async def balance(self) -> Balance | None:
        raise ZeroDivisionError


class LiesAboutCancel(Queue):
    async def cancel(self, remote_id: str) -> CancelOutcome:
        return CancelOutcome(state="stopped", cost=NO_COST)


class ClosesOnce(Small):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        await super().aclose()
        self.closed = True


IN_THE_ANSWER, BY_ADDRESS = TestNimbusInTheAnswer, TestNimbusByAddress

OPTION_CHECK = "every_declared_option_reaches_the_wire_and_no_other"
COUNT_CHECK = "prompt_size_and_count_reach_the_wire"
ONCE_CHECK = "a_request_is_sent_once_whatever_fails"
KEY_CHECK = "no_key_is_in_a_message_a_repr_a_log_or_a_download"
COST_CHECK = "what_it_costs_is_within_the_estimate"
CANCEL_CHECK = "a_cancelled_request_ends_within_two_seconds_and_is_sent_once"
LISTING_CHECK = "listing_sends_no_post_and_gives_models_that_make_sense"
SIZE_CHECK = "sizes_at_the_corners_of_the_rule_are_sent"
WORDS_CHECK = "an_answer_in_other_words_is_a_provider_error"
RESOLVE_CHECK = "resolve_never_raises_and_never_forgets_what_was_sent"


ALSO: Mapping[type[Vendor], tuple[str, ...]] = {
    AsksForOnePictureOnly: (COST_CHECK,),
    MakesTwoAtMost: (COST_CHECK,),
    LetsABugOut: (WORDS_CHECK,),
}
"""What else finds the same fault."""


def failed_checks(provider_type: type[Vendor], suite: type[ProviderConformance]) -> dict[str, str]:
    """The checks that a provider does not pass, each with what it says."""
    checks = type("Checks", (suite,), {"provider_type": provider_type})()
    failed: dict[str, str] = {}
    for name in dir(checks):
        if name.startswith("test_"):
            try:
                getattr(checks, name)()
            except unittest.SkipTest:
                pass
            except AssertionError as e:
                failed[name.removeprefix("test_")] = str(e)
    return failed


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        (DropsADeclaredOption, OPTION_CHECK, "steps: is declared, and does not go out"),
        (SendsAnUndeclaredOption, OPTION_CHECK, "quality: goes out, and is not declared"),
        (AsksForOnePictureOnly, COUNT_CHECK, "num_images does not reach the backend"),
        (CutsTheSize, SIZE_CHECK, "(64, 128) goes out"),
        (SwapsTheSides, SIZE_CHECK, "goes out"),
        (LosesPictures, COST_CHECK, "1 pictures of 4"),
        (MakesTwoAtMost, COUNT_CHECK, "num_images does not reach the backend"),
        (CutsThePrompt, COUNT_CHECK, "the prompt does not go out whole"),
        (ForgetsTheImage, COUNT_CHECK, "the image does not reach the backend"),
        (InventsASeed, COST_CHECK, "has the seed 99"),
        (EstimatesOnePicture, COST_CHECK, "is below the price book's"),
        (SaysThatItIsHere, LISTING_CHECK, "take `http.where`"),
        (SaysThatItFailedForNothing, RESOLVE_CHECK, "resolve() says failed"),
        (CannotBalance, "a_balance_is_told_or_not_and_costs_nothing", "ZeroDivisionError"),
        (PostsAgain, ONCE_CHECK, "it was sent 2 times, not once"),
        (SaysNothingWasCharged, ONCE_CHECK, "raise OutcomeUnknown"),
        (LetsABugOut, ONCE_CHECK, "JSONDecodeError, which is no ProviderError"),
        (QuotesTheKey, KEY_CHECK, "a key stands in the message of RequestRejected"),
        (LogsTheKey, KEY_CHECK, "a key stands in what is logged"),
        (FollowsRedirects, "a_redirect_of_a_request_is_not_followed", "was followed"),
        (ReadsEverything, "an_endless_answer_is_not_read_whole", "was read whole"),
        (CostsMoreThanItsEstimate, COST_CHECK, "above the estimate's upper"),
        (CostsNothing, COST_CHECK, "is paid, and cost 0"),
        (HasNoEstimate, COST_CHECK, "estimate() is None"),
        (SwallowsCancellation, CANCEL_CHECK, "let CancelledError through"),
        (CannotCancel, CANCEL_CHECK, "cancel() raised NotImplementedError"),
        (ConnectsWhenBuilt, "nothing_is_opened_when_it_is_built", "__init__ connects"),
        (ListsWithAPost, LISTING_CHECK, "list_models sent POST /v1/models"),
        (ListsTwice, LISTING_CHECK, "lists 'nimbus-1' twice"),
        (IsFreeAtAVendor, LISTING_CHECK, "is FREE at a vendor"),
        (DoesNotSayWhichMasks, LISTING_CHECK, "mask does not say its polarity"),
        (
            LetsABugOutOfItsListing,
            "a_listing_that_fails_raises_a_provider_error",
            "which is no ProviderError",
        ),
        (InvertsTheMask, "masks_go_out_in_the_declared_polarity", "masks.convert_mask"),
        (ForgetsItsRequests, RESOLVE_CHECK, "it is unknowable"),
        (PromisesWhatItCannotCollect, RESOLVE_CHECK, "what resolve() calls finished"),
        (LosesTheId, RESOLVE_CHECK, "without the remote_id to collect it"),
        (CannotResolve, RESOLVE_CHECK, "resolve() raised ProviderUnavailable"),
        (CannotProbe, "probe_never_raises_and_ends_within_two_seconds", "it never does"),
        (ClosesOnce, "it_can_be_closed_twice", "aclose() raised RuntimeError"),
        (SpeaksAnotherContract, "it_says_what_it_is", "contract is 2, not 1"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_one_fault_fails_one_check(fault: type[Nimbus], check: str, words: str) -> None:
    failed = failed_checks(fault, IN_THE_ANSWER)

    assert set(failed) == {check, *ALSO.get(fault, ())}
    assert words in failed[check]


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        (LiesAboutCancel, CANCEL_CHECK, "cancel() says stopped"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_one_fault_with_a_queue_fails_one_check(fault: type[Queue], check: str, words: str) -> None:
    failed = failed_checks(fault, TestNimbusWithAQueue)

    assert set(failed) == {check, *ALSO.get(fault, ())}
    assert words in failed[check]


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        (DownloadsWithTheKey, KEY_CHECK, "a picture is downloaded with the key"),
        (
            TrustsThisMachine,
            "a_vendor_cannot_make_us_ask_private_addresses",
            "was asked: use http.download",
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_one_fault_with_pictures_at_an_address_fails_one_check(
    fault: type[Nimbus], check: str, words: str
) -> None:
    failed = failed_checks(fault, BY_ADDRESS)

    assert list(failed) == [check]
    assert words in failed[check]


def test_a_refusal_behind_a_200_that_is_taken_for_success_is_found() -> None:
    class Refusing(NimbusConformance):
        refusals = ((Reply(body={"status": "blocked"}), ContentRefused),)

    failed = failed_checks(TakesARefusalForSuccess, Refusing)

    assert list(failed) == ["refusals_are_the_errors_that_they_are"]
    assert "is taken for success" in failed["refusals_are_the_errors_that_they_are"]


def test_a_refusal_of_another_class_is_found() -> None:
    class Refusing(NimbusConformance):
        refusals = ((Reply(status=400, body={"error": {"message": "no"}}), ContentRefused),)

    failed = failed_checks(Small, Refusing)

    assert list(failed) == ["refusals_are_the_errors_that_they_are"]
    assert "RequestRejected" in failed["refusals_are_the_errors_that_they_are"]


def test_an_answer_that_the_suite_itself_cannot_give_is_said() -> None:
    class Faulty(NimbusConformance):
        def reply(self, seen: Seen) -> Reply:
            raise KeyError(seen.path)

    failed = failed_checks(Small, Faulty)

    assert "reply() of this suite failed" in set(failed.values())


# The guide

GUIDE = Path(__file__).parents[2] / "providers" / "README.md"


def test_the_vendor_and_the_suite_of_the_guide_work(monkeypatch: pytest.MonkeyPatch) -> None:
    vendor, suite = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    nimbus, tests = ModuleType("nimbus"), ModuleType("test_nimbus")
    monkeypatch.setitem(sys.modules, "nimbus", nimbus)
    exec(vendor, vars(nimbus))
    exec(suite, vars(tests))

    failed = failed_checks(vars(nimbus)["Nimbus"], vars(tests)["TestNimbus"])

    assert failed == {}


def test_the_vendor_of_the_guide_is_the_plugin_of_the_tests() -> None:
    plugin = GUIDE.parents[1] / "tests" / "support" / "plugin" / "nimbus.py"

    assert f"```python\n{plugin.read_text(encoding='utf-8')}```" in GUIDE.read_text(
        encoding="utf-8"
    )
    assert len(plugin.read_text(encoding="utf-8").splitlines()) <= 60
