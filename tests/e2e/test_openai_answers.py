"""OpenAI's images API as it and the servers that copy it really answer, through the MCP client."""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from PIL import Image

from tests.e2e.test_paid import client, said
from tests.support.factory import service
from tests.support.fake_vendors import FakeVendor, Reply, Seen, openai_answer, openai_error
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_providers.openai import OpenAI
from ziggie_image_providers.openai.settings import Settings

OLD = "gpt-image-2.5-flare"
KEY = "sk-proj-answers0123456789abcdef"
ASK = {
    "prompt": "a red star",
    "width": 1024,
    "height": 1024,
    "model": "openai/gpt-image-2.5-flare",
    "allow_paid": True,
}
BOUND = 439 * 30 + (10 + 64) * 5
"""Of one picture, micro-USD: the table's tokens, and the prompt's."""
COUNTED = 20 * 5 + 440 * 30

Change = Callable[[str], dict[str, Any]]


@functools.cache
def drawing(shade: str = "red") -> bytes:
    return picture(1024, 1024, shade)


def encoded(shade: str = "red") -> str:
    return base64.b64encode(drawing(shade)).decode()


@dataclass(frozen=True, kw_only=True)
class Shop:
    """The product with OpenAI alone, at a loopback vendor."""

    vendor: FakeVendor
    service: Service
    client: Client

    async def ask(self, answer: Reply | dict[str, Any], **arguments: Any) -> tuple[bool, str]:
        """Whether it failed, and the text of the result."""
        reply = answer if isinstance(answer, Reply) else Reply(body=answer)

        def script(seen: Seen) -> Reply:
            return reply if seen.method == "POST" else kept(seen)

        self.vendor.script = script
        result = await self.client.call_tool("generate_image", ASK | arguments)
        return bool(result.is_error), said(result)

    async def charges(self) -> list[tuple[str, int | None]]:
        return [(hold.state, hold.actual) for hold in await self.service.billing.ledger.holds()]


def kept(seen: Seen) -> Reply:
    """A server that keeps its pictures, and gives them to whoever brings no key."""
    if "authorization" in seen.headers or seen.path not in ("/v1/kept/a.png", "/kept/a.png"):
        return Reply(status=404, body={"detail": "Not Found"})
    return Reply(body=drawing())


@asynccontextmanager
async def shop(
    folder: Path, section: dict[str, Any] | None = None, **config: Any
) -> AsyncGenerator[Shop]:
    async def secret(name: str) -> str | None:
        return KEY

    with FakeVendor(kept) as vendor:
        wanted = {"baseUrl": f"{vendor.url}/v1", "flavour": "openai", "local": False} | (
            section or {}
        )
        context = ProviderContext(data_dir=folder, secret=secret)
        provider = OpenAI("openai", Settings.model_validate(wanted), context)
        made = service(folder, provider, cache=False, **config)
        async with client(made, "auto") as session:
            yield Shop(vendor=vendor, service=made, client=session)
        assert not vendor.failures


def answer(*items: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return openai_answer() | {"data": list(items)} | changes


LINES = "\r\n".join(encoded()[i : i + 76] for i in range(0, len(encoded()), 76))

FORMS: Mapping[str, Mapping[str, Any]] = {
    "an address at the vendor's host": {"url": "{origin}/kept/a.png", "b64_json": None},
    "an address below the host": {"url": "/kept/a.png"},
    "an address below the base URL": {"url": "kept/a.png"},
    "a data URL as address": {"url": f"data:image/png;base64,{encoded()}"},
    "a data URL as base64": {"b64_json": f"data:image/png;base64,{encoded()}"},
    "base64 in lines": {"b64_json": LINES + "\n"},
    "base64 with blanks": {"b64_json": f"  {encoded()[:40]} {encoded()[40:]}"},
    "base64 without its padding": {"b64_json": encoded().rstrip("=")},
    "base64 for addresses": {"b64_json": encoded().replace("+", "-").replace("/", "_")},
}


async def test_a_picture_arrives_in_whatever_form_a_server_gives_it(tmp_path: Path) -> None:
    async with shop(tmp_path) as tried:
        for name, item in FORMS.items():
            plain = {k: v and v.format(origin=tried.vendor.url) for k, v in item.items()}
            failed, text = await tried.ask(answer(plain))
            assert not failed, f"{name}: {text}"
            assert json.loads(text)["cost_usd"] == COUNTED / 1e6, name
        charges = await tried.charges()

    assert charges == [("settled", COUNTED)] * len(FORMS)
    assert sum(seen.method == "GET" for seen in tried.vendor.seen) == 3


COUNTS: Mapping[str, Any] = {
    "absent": None,
    "empty": {},
    "nulls": {"input_tokens": None, "output_tokens": None},
    "zeros": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    "words": {"input_tokens": "some", "output_tokens": "many"},
    "parts": {"input_tokens": 1.5, "output_tokens": 439.5},
    "below zero": {"input_tokens": 20, "output_tokens": -440},
    "absurd": {"input_tokens": 20, "output_tokens": 10**12},
    "absurd details": {
        "input_tokens": 20,
        "output_tokens": 440,
        "input_tokens_details": {"image_tokens": 10**15},
    },
    "a little too many": {"input_tokens": 20, "output_tokens": 900},
    "no number": {"input_tokens": float("nan"), "output_tokens": float("inf")},
    "a list": [440],
    "a text": "440",
}

TOO_MANY = ("absurd", "absurd details", "a little too many")


async def test_an_odd_count_never_costs_the_picture_nor_more_than_was_agreed(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as tried:
        for name, usage in COUNTS.items():
            failed, text = await tried.ask(answer({"b64_json": encoded()}, usage=usage))
            assert not failed, f"{name}: {text}"
            result = json.loads(text)
            assert result["cost_usd"] == BOUND / 1e6, name
            assert any("list price of 2026-11-" in note for note in result["notes"]), name
            odd = "above the price list" if name in TOO_MANY else "count of tokens cannot be"
            assert any(odd in note for note in result["notes"]) == bool(usage), name
        charges = await tried.charges()

    assert charges == [("settled", BOUND)] * len(COUNTS)


async def test_a_count_in_texts_is_a_count(tmp_path: Path) -> None:
    usage = {"input_tokens": "20", "output_tokens": 440.0}
    async with shop(tmp_path) as tried:
        failed, text = await tried.ask(answer({"b64_json": encoded()}, usage=usage))

    assert not failed
    assert json.loads(text)["cost_usd"] == COUNTED / 1e6


@pytest.mark.parametrize("counted", [False, True])
async def test_of_more_pictures_than_asked_those_asked_are_kept(
    counted: bool, tmp_path: Path
) -> None:
    items = [{"b64_json": encoded(shade)} for shade in ("red", "green", "blue")]
    usage = openai_answer(3)["usage"] if counted else None
    async with shop(tmp_path) as tried:
        failed, text = await tried.ask(answer(*items, usage=usage), num_images=2)
        charges = await tried.charges()

    bound = 2 * 439 * 30 + (10 + 64) * 5
    assert not failed, text
    result = json.loads(text)
    assert len(result["images"]) == 2
    assert "openai made 3 pictures of 2; the first 2 are kept" in result["notes"]
    assert charges == [("settled", bound)]


@pytest.mark.parametrize(
    ("served", "noticed"),
    [
        ("gpt-image-2.5-flare", False),
        ("openai/gpt-image-2.5-flare-2026-09-08", False),
        ("gpt-image-2.5", False),
        ("gpt-image-2", True),
        ("gpt-image-2.5-sunburst", True),
    ],
)
async def test_another_model_than_asked_is_noticed(
    served: str, noticed: bool, tmp_path: Path
) -> None:
    async with shop(tmp_path) as tried:
        _, text = await tried.ask(answer({"b64_json": encoded()}, model=served))

    said = f"openai says that {served} made it, and not gpt-image-2.5-flare"
    assert (said in json.loads(text)["notes"]) == noticed


async def test_another_quality_or_size_than_asked_is_said(tmp_path: Path) -> None:
    async with shop(tmp_path) as tried:
        _, text = await tried.ask(
            answer({"b64_json": encoded()}, quality="low", size="1536x1024"), num_images=1
        )

    notes = json.loads(text)["notes"]
    assert "made in quality low, and medium was asked for" in notes
    assert "made in 1536x1024, and 1024x1024 was asked for" in notes


FILTER = {"violence": {"filtered": True, "severity": "medium"}, "hate": {"filtered": False}}
REFUSALS: Mapping[str, tuple[int, Any, str]] = {
    "moderation": (400, openai_error("moderation_blocked"), "released"),
    "content policy": (400, openai_error("content_policy_violation"), "released"),
    "Azure": (400, openai_error("contentFilter"), "released"),
    "Azure's older": (400, openai_error("content_filter"), "released"),
    "safety": (400, openai_error("safety"), "released"),
    "type": (400, openai_error(None, "safety"), "released"),
    "Azure, inside": (
        400,
        {
            "error": {
                "message": "Your task failed.",
                "code": "UserError",
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_results": FILTER,
                },
            }
        },
        "released",
    ),
    "Azure, inside, by its other name": (
        400,
        {"error": {"code": "x", "inner_error": {"code": "ResponsibleAIPolicyViolation"}}},
        "released",
    ),
    "LiteLLM": (
        400,
        openai_error("400", said="litellm.ContentPolicyViolationError: rejected"),
        "released",
    ),
    "words": (
        400,
        openai_error(None, said="Your request was rejected as a result of our safety system."),
        "released",
    ),
    "finished": (
        400,
        {
            "error": {
                "message": "Rejected.",
                "code": "moderation_blocked",
                "moderation_details": {"moderation_stage": "output", "categories": ["sexual"]},
            }
        },
        "settled",
    ),
    "an error behind a success": (200, openai_error("content_filter"), "released"),
    "nothing, with an error": (200, answer(error={"code": "safety"}), "released"),
    "withheld": (200, answer({"content_filter_results": FILTER}), "settled"),
    "withheld prompt": (
        200,
        answer({"prompt_filter_results": [{"content_filter_results": FILTER}]}),
        "released",
    ),
}


async def test_a_refusal_has_many_names_and_is_one(tmp_path: Path) -> None:
    async with shop(tmp_path) as tried:
        for name, (status, body, _) in REFUSALS.items():
            failed, text = await tried.ask(Reply(status=status, body=body))
            assert failed, name
            assert text.startswith("[CONTENT_REFUSED] "), f"{name}: {text}"
        charges = await tried.charges()

    assert [state for state, _ in charges] == [state for *_, state in REFUSALS.values()][::-1]


async def test_pictures_that_were_withheld_are_said_and_the_others_kept(tmp_path: Path) -> None:
    items = ({"b64_json": encoded()}, {"b64_json": None, "content_filter_results": FILTER})
    async with shop(tmp_path) as tried:
        failed, text = await tried.ask(answer(*items), num_images=2)

    assert not failed, text
    assert "the safety system withheld 1 of 2 pictures" in json.loads(text)["notes"]


PAGE = b"<!DOCTYPE html><html><head><title>502 Bad &amp; Gateway</title><p>x</p></html>"
QUOTED: Mapping[str, tuple[int, bytes | dict[str, Any], str]] = {
    "a text as error": (400, {"error": "no such sampler"}, "no such sampler"),
    "FastAPI": (422, {"detail": "size is odd"}, "size is odd"),
    "FastAPI's list": (
        422,
        {"detail": [{"loc": ["body", "n"], "msg": "must be below 5", "type": "x"}]},
        "n: must be below 5",
    ),
    "a page's title": (403, PAGE, "502 Bad & Gateway"),
    "a page without title": (404, b"<style>p {}</style><p>Not <b>here</b></p>", "Not here"),
    "a text": (413, b"upload is too big for proxy-7", "upload is too big for proxy-7"),
    "a page of success": (200, PAGE, "502 Bad & Gateway"),
    "a text of success": (200, b"please sign in", "please sign in"),
    "a failing page": (500, PAGE, "502 Bad & Gateway"),
}


@pytest.mark.parametrize("name", QUOTED)
async def test_what_a_server_says_is_quoted_in_whatever_form(name: str, tmp_path: Path) -> None:
    status, body, words = QUOTED[name]
    async with shop(tmp_path) as tried:
        failed, text = await tried.ask(Reply(status=status, body=body))

    assert failed
    assert words in text


async def test_a_page_that_repeats_the_key_is_quoted_without_it(tmp_path: Path) -> None:
    body = f"<title>denied to Bearer {KEY}</title>".encode()
    async with shop(tmp_path) as tried:
        _, text = await tried.ask(Reply(status=404, body=body))

    assert "denied to" in text
    assert KEY not in text


def no_transparency(seen: Seen) -> Reply:
    """An account to which gpt-image-2 gives no transparent ground yet."""
    if seen.body["model"] != "gpt-image-2":
        return Reply(body=answer({"b64_json": base64.b64encode(cut_out()).decode()}))
    wrong = openai_error("invalid_value", said="Transparent background is not supported.")
    wrong["error"]["param"] = "background"
    return Reply(status=400, body=wrong)


def cut_out() -> bytes:
    image, out = Image.new("RGBA", (1024, 1024)), io.BytesIO()
    image.paste((200, 0, 0, 255), (256, 256, 768, 768))
    image.save(out, "PNG")
    return out.getvalue()


async def test_a_model_without_a_transparent_ground_is_left_for_another_and_not_asked_again(
    tmp_path: Path,
) -> None:
    ask = {key: value for key, value in ASK.items() if key != "model"} | {"transparent": True}
    off = {name: {"enabled": False} for name in ("*sunburst", "*2.6*", "*1*", "chatgpt*")}
    models = off | {"gpt-image-2": {"quality": 6.5}, "gpt-image-2.5*": {"quality": 5}}
    async with shop(tmp_path, models=models, preference="quality") as tried:
        tried.vendor.script = no_transparency
        first = await tried.client.call_tool("generate_image", ask)
        second = await tried.client.call_tool("generate_image", ask)
        charges = await tried.charges()

    told = [json.loads(said(result)) for result in (first, second)]
    assert [attempt["ok"] for attempt in told[0]["attempts"]] == [False, True]
    assert "attempts" not in told[1]
    asked = [seen.body["model"] for seen in tried.vendor.seen]
    assert asked == ["gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.5-flare"]
    assert all(seen.body["background"] == "transparent" for seen in tried.vendor.seen)
    assert [state for state, _ in charges] == ["settled", "settled", "released"]


async def test_what_is_set_in_config_is_sent_and_said(tmp_path: Path) -> None:
    section = {"complexity": "high", "moderation": "low", "models": {OLD: {"complexity": "low"}}}
    async with shop(tmp_path, section=section) as tried:
        results = [
            await tried.ask(answer({"b64_json": encoded()}), model=f"openai/{id}")
            for id in ("gpt-image-2.6-flare", "gpt-image-2.5-sunburst", OLD)
        ]

    sent = [(s.body.get("complexity"), s.body["moderation"]) for s in tried.vendor.seen]
    assert sent == [("high", "low"), (None, "low"), ("low", "low")]
    notes = [json.loads(text)["notes"] for _, text in results]
    assert ["complexity high" in n for n in notes] == [True, False, False]
    assert ["complexity low" in n for n in notes] == [False, False, True]
    assert all("moderation low" in n for n in notes)
