from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import anyio
import pytest

from ziggie_image_mcp.errors import ProviderBroken, ProviderError, RateLimited
from ziggie_image_mcp.provider import (
    Buckets,
    CancelOutcome,
    FreeSize,
    GeneratedImage,
    Generation,
    PriceBook,
    Rate,
    RemoteJob,
    Resolution,
    TaskCapability,
    bulkhead,
)
from ziggie_image_mcp.provider.testing import FakeProvider, model

PICTURE = GeneratedImage(data=b"a picture", seed=1)


def wrong(noun: Any, **changes: Any) -> Any:
    return replace(noun, **changes)


def able(**changes: Any) -> Any:
    return wrong(model(), tasks={"text_to_image": TaskCapability(**changes)})


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (None, ""),
        ([PICTURE], ""),
        (wrong(Generation(images=()), images=None), "images"),
        (wrong(Generation(images=()), images=("no picture",)), "images.0"),
        (Generation(images=(wrong(PICTURE, data="text"),)), "images.0.data"),
        (Generation(images=(wrong(PICTURE, seed="7"),)), "images.0.seed"),
        (wrong(Generation(images=()), notes=(1,)), "notes.0"),
        (wrong(Generation(images=()), cost=None), "cost"),
        (wrong(RemoteJob(id="a"), id=5), "id"),
        (RemoteJob(id=""), "id"),
    ],
)
async def test_a_submission_is_held_to_the_contract_in_all_its_parts(given: Any, part: str) -> None:
    async def submit() -> Any:
        return given

    with pytest.raises(ProviderBroken, match="keeps not to the contract") as caught:
        await bulkhead.call("bad", submit, bulkhead.SUBMISSION)

    assert part in str(caught.value)
    assert caught.value.charged is None, "nobody knows"


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("a model", "an instance of Model"),
        (wrong(model(), id=None), "id"),
        (model(id=""), "id"),
        (wrong(model(), where="moon"), "where"),
        (wrong(model(), tasks=None), "tasks"),
        (wrong(model(), tasks={"paint": TaskCapability(sizes=FreeSize())}), "tasks"),
        (wrong(model(), tasks={"text_to_image": None}), "tasks.text_to_image"),
        (able(sizes=None), "sizes"),
        (able(sizes=Buckets(sizes=())), "sizes"),
        (able(sizes=FreeSize(multiple_of=0)), "multiple_of"),
        (able(sizes=FreeSize(max_ratio=0.5)), "max_ratio"),
        (able(sizes=FreeSize(), options=["seed"]), "options"),
        (able(sizes=FreeSize(), options=frozenset(["mood"])), "options"),
        (able(sizes=FreeSize(), max_images=0), "max_images"),
        (wrong(model(), prices=None), "prices"),
        (wrong(model(), prices=0), "prices"),
        (model(price=-5), "prices"),
        (
            wrong(model(), prices=PriceBook(rates=(Rate(unit="image", micro_usd=float("inf")),))),
            "finite",
        ),
        (wrong(model(), quality="9"), "quality"),
        (model(quality=11.0), "quality"),
        (model(seconds=float("nan")), "seconds"),
        (wrong(model(), memory=None), "memory"),
        (wrong(model(), defaults=None), "defaults"),
        (wrong(model(), aliases=None), "aliases"),
        (wrong(model(), device=None), "device"),
    ],
)
def test_a_model_is_held_to_the_contract_in_all_its_parts(given: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        bulkhead.MODEL.check(given)


def test_a_model_of_the_contract_passes_as_it_is() -> None:
    given = model(price=40_000, where="vendor", quality=8)

    assert bulkhead.MODEL.check(given) is given


class Own(ProviderError):
    code = "OF_A_THIRD_PARTY"


class Careless(ProviderError):
    code = "CARELESS"

    def __init__(self) -> None:
        Exception.__init__(self, "no attribute is set")


def error(**changes: Any) -> ProviderError:
    own = Own("elsewhere", "no")
    for name, value in changes.items():
        setattr(own, name, value)
    return own


@pytest.mark.parametrize(
    ("raised", "charged", "retry_after", "scope", "fallback"),
    [
        (error(charged=7, retry_after=2, scope="account", fallback=False), 7, 2, "account", False),
        (error(charged="3"), None, None, "model", True),
        (error(charged=0.04), None, None, "model", True),
        (error(charged=-1), -1, None, "model", True),
        (error(charged=None), None, None, "model", True),
        (error(retry_after="3"), 0, None, "model", True),
        (error(retry_after=float("nan")), 0, None, "model", True),
        (error(scope="engine"), 0, None, "model", True),
        (error(fallback=0), 0, None, "model", False),
        (RateLimited("p", "wait", retry_after=3.5), 0, 3.5, "model", True),
        (Careless(), 0, None, "model", True),
    ],
)
async def test_an_error_has_the_attributes_of_the_contract(
    raised: ProviderError,
    charged: int | None,
    retry_after: float | None,
    scope: str,
    fallback: bool,
) -> None:
    async def submit() -> Any:
        raise raised

    with pytest.raises(type(raised)) as caught:
        await bulkhead.call("bad", submit, bulkhead.SUBMISSION)

    told = caught.value
    assert (told.provider, told.charged, told.retry_after) == ("bad", charged, retry_after)
    assert (told.scope, told.fallback) == (scope, fallback)


class Unusual(BaseException):
    """Nothing that anybody catches."""


@pytest.mark.parametrize(
    "bug", [KeyError("x"), Unusual(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()]
)
async def test_whatever_else_is_raised_is_a_bug(bug: BaseException) -> None:
    async def submit() -> Any:
        raise bug

    with pytest.raises(ProviderBroken, match=type(bug).__name__):
        await bulkhead.call("bad", submit, bulkhead.SUBMISSION)


async def test_a_cancellation_goes_through() -> None:
    with anyio.move_on_after(0.01) as scope:
        await bulkhead.call("slow", anyio.sleep_forever, bulkhead.SUBMISSION)

    assert scope.cancelled_caught


async def test_what_became_of_a_request_is_unknowable_where_the_answer_is_none() -> None:
    class Wrong(FakeProvider):
        answer: Any = None

        async def resolve(self, key: str, remote_id: str) -> Resolution:
            return cast(Resolution, self.answer)

        async def cancel(self, remote_id: str) -> CancelOutcome:
            return cast(CancelOutcome, self.answer)

    provider = Wrong()
    for answer in (None, "finished", Resolution(state="running")):
        provider.answer = answer
        assert (await bulkhead.resolve(provider, "key", "")).state == "unknowable"
    assert (await bulkhead.cancel(provider, "id")).state == "unsupported"
    provider.answer = Resolution(state="running")
    assert (await bulkhead.resolve(provider, "key", "id")).state == "running"


def test_an_error_whose_code_is_no_text_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="429 is no text"):

        class Number(ProviderError):  # pyright: ignore[reportUnusedClass]
            code = 429  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
