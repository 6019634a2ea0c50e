"""From a free route to a paid one and back, with the real adapters and vendors on loopback.

The first tests run the real server process over stdio; the others the same application in memory.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.support.fake_comfyui import OOM, FakeComfyUI
from tests.support.fake_vendors import (
    Answer,
    FakeVendor,
    Seen,
    openai_error,
    openai_pictures,
    painted,
    prediction,
)
from tests.support.wire import OURS, Wire
from ziggie_image_mcp.app.application import Application
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_providers.builtin.models import FOLDER as TINY_FOLDER
from ziggie_image_providers.diffusers.process import WORKER

OPENAI_KEY = "sk-proj-endtoend0123456789abcdef"
REPLICATE_KEY = "r8_endtoend0123456789abcdefghijklmno"
KEYS = (OPENAI_KEY, REPLICATE_KEY)
NOWHERE = "http://127.0.0.1:9"
ASK = {"prompt": "a red star on a black background"}
PAY = ASK | {"allow_paid": True}
BIG = 1024
ONE_EACH = {
    name: {"enabled": False}
    for name in (
        "gpt-image-2",
        "gpt-image-2.6*",
        "gpt-image-1*",
        "chatgpt*",
        "*-sunburst",
        "*flux-dev",
        "*flux-1.1-pro",
        "ideogram-ai*",
    )
}
"""Leaves one model that has a price to each vendor."""
LOCAL_FIRST = {"preference": "cost", "models": ONE_EACH}
CLOUD_FIRST = {
    "preference": "quality",
    "models": ONE_EACH | {"gpt*": {"quality": 10}, "black*": {"quality": 10}, "*": {"quality": 1}},
}
Script = Callable[[Seen], Answer]

needs_torch = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
    reason='needs pip install "ziggie-image-mcp[local]"',
)


@pytest.fixture(autouse=True)
def keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Generator[None]:
    """Both keys in the environment, no keyring; at the end no key stands anywhere."""
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    monkeypatch.setenv("REPLICATE_API_TOKEN", REPLICATE_KEY)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    captured = capfd.readouterr()
    assert_no_key(captured.out + captured.err)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert_no_key(file.read_bytes().decode("latin-1"))


def assert_no_key(text: str) -> None:
    assert not [key for key in KEYS if key in text]


# The vendors


def predicted(seen: Seen) -> Answer:
    """Replicate takes a job, has it ready at the first question, and gives the picture."""
    url = f"http://{seen.headers['host']}"
    if seen.path == "/picture.png":
        return Answer(body=picture(BIG, BIG))
    if seen.method == "POST":
        return Answer(status=201, body=prediction("starting", url))
    return Answer(body=prediction("succeeded", url, output=[f"{url}/picture.png"]))


MAKES: Mapping[str, Script] = {"openai": painted, "replicate": predicted}


BROKEN = openai_pictures(b"\x89PNG\r\n\x1a\n and so on")
"""Paid for, and no picture."""


def always(answer: Answer) -> Script:
    return lambda seen: answer


def submissions(vendor: FakeVendor) -> int:
    return sum(seen.method == "POST" for seen in vendor.seen)


class Comfy(FakeComfyUI):
    """Its pictures are real ones; of models it has one."""

    models: tuple[str, ...] = ("v1-5-pruned.safetensors",)

    async def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, object]:
        if path == "/api/view":
            return 200, picture(512, 512)
        if path == "/api/models/checkpoints":
            return 200, list(self.models)
        if path.startswith("/api/models/"):
            return 200, []
        return await super()._answer(method, path, body)


class ComfyWithThree(Comfy):
    models = (*Comfy.models, "sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors")


# The application


def routes(**urls: str) -> dict[str, Any]:
    """Providers at these addresses, and no others."""
    ends = {"openai": "/v1", "replicate": "", "comfyui": ""}
    off: dict[str, Any] = {name: {"enabled": False} for name in (*ends, "diffusers")}
    as_abroad: dict[str, dict[str, Any]] = {
        "openai": {"local": False, "flavour": "openai"},
        "replicate": {"local": False},
    }
    return {
        "providers": off
        | {n: {"baseUrl": url + ends[n]} | as_abroad.get(n, {}) for n, url in urls.items()}
    }


def diffusers(folder: Path, vendor: FakeVendor) -> dict[str, Any]:
    found = routes(openai=vendor.url)
    found["providers"]["diffusers"] = {"modelDirs": [str(folder)], "useHubCache": False}
    return found


def config(folder: Path, values: dict[str, Any]) -> Path:
    own = {
        "output": {"directory": str(folder / "pictures")},
        "database": f"sqlite:///{ledger(folder)}",
    }
    file = folder / "config.json"
    file.write_text(json.dumps(own | values), encoding="utf-8")
    return file


def ledger(folder: Path) -> Path:
    return folder / "ledger.sqlite3"


async def holds(folder: Path) -> list[Hold]:
    """What the ledger on disk holds, newest first."""
    if not ledger(folder).exists():
        return []
    book = Ledger(ledger(folder))
    try:
        return await book.holds()
    finally:
        await book.aclose()


@contextmanager
def served(folder: Path, **values: Any) -> Generator[Wire]:
    """The real process; at its end it has shown no key."""
    with Wire([*OURS, "--config", str(config(folder, values))]) as wire:
        wire.hello()
        yield wire
        assert wire.end(15) == 0
    assert_no_key("".join(wire.lines) + wire.stderr.decode())


@asynccontextmanager
async def client(folder: Path, **values: Any) -> AsyncGenerator[Client]:
    async with Application(config(folder, values)) as application:
        async with Client(make_server(application.service)) as session:
            yield session


async def ask(session: Client, **arguments: Any) -> tuple[bool, str]:
    """Whether a picture came, and the answer's text."""
    result: CallToolResult = await session.call_tool("generate_image", arguments)
    assert_no_key(result.model_dump_json())
    assert isinstance(result.content[0], TextContent)
    return not result.is_error, result.content[0].text


def text(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


def tried(said: str) -> list[tuple[str, bool, str]]:
    """The attempts of a result: who, whether it worked, and the code of the error."""
    attempts = json.loads(said)["attempts"]
    assert all(isinstance(a["ms"], int) and a["ms"] >= 0 for a in attempts)
    return [(a["provider"], a["ok"], a["error"].partition(":")[0]) for a in attempts]


# The local engine is dead


@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("vendor_name", ["openai", "replicate"])
def test_a_dead_engine_costs_nothing_without_a_yes_and_one_submission_with_it(
    vendor_name: str, tmp_path: Path
) -> None:
    with FakeVendor(MAKES[vendor_name]) as vendor:
        where = routes(comfyui=NOWHERE, **{vendor_name: vendor.url})
        with served(tmp_path, **where, models=ONE_EACH) as wire:
            without = wire.call(1, "generate_image", ASK)
            asked_without, holds_without = vendor.asked.copy(), anyio.run(holds, tmp_path)
            offered = re.search(r"allow_paid=true and max_cost_usd=([\d.]+)\b", text(without))
            assert offered is not None, text(without)
            limit = float(offered[1].rstrip("."))
            answer = wire.call(2, "generate_image", PAY | {"max_cost_usd": limit})

    (hold,) = anyio.run(holds, tmp_path)
    assert without["result"]["isError"]
    assert "[PAID_CONSENT_REQUIRED]" in text(without)
    assert usd(hold.estimate) in text(without)
    assert (asked_without, holds_without) == ([], [])
    data = json.loads(text(answer))
    assert data["provider"] == vendor_name
    assert Path(data["images"][0]["path"]).is_file()
    assert submissions(vendor) == 1
    assert (hold.state, hold.provider) == ("settled", vendor_name)
    assert hold.actual is not None
    assert 0 < hold.actual <= hold.estimate
    assert data["cost_usd"] == hold.actual / 1e6


@pytest.mark.usefixtures("warm")
def test_within_the_budget_nobody_is_asked_and_then_the_cap_is_named(tmp_path: Path) -> None:
    budget = {"budget": {"perDay": 0.04}, "allowPaidFallback": "withinBudget"}
    with FakeVendor(painted) as vendor:
        where = routes(comfyui=NOWHERE, openai=vendor.url)
        with served(tmp_path, **where, **budget, models=ONE_EACH) as wire:
            answers = [wire.call(i, "generate_image", ASK) for i in range(1, 5)]

    made = [not a["result"].get("isError", False) for a in answers]
    spent = [hold.actual for hold in anyio.run(holds, tmp_path)]
    assert made == [True, True, False, False]
    assert submissions(vendor) == 2
    assert sum(s or 0 for s in spent) <= 40_000
    assert "OVER_BUDGET" in text(answers[3])
    assert "budget.perDay" in text(answers[3])


# The local worker fails


def model_folder(folder: Path, *, spoilt: bool) -> Path:
    """A real model, whose UNet ends in no numbers when it is spoilt."""
    parts = shutil.ignore_patterns("*.py", "graphs", "real_esrgan", "__pycache__")
    shutil.copytree(TINY_FOLDER, folder / "models" / "little", ignore=parts)
    if spoilt:
        file = folder / "models" / "little" / "unet" / "diffusion_pytorch_model.safetensors"
        data = bytearray(file.read_bytes())
        start = 8 + int.from_bytes(data[:8], "little")
        first, last = json.loads(data[8:start])["conv_out.bias"]["data_offsets"]
        data[start + first : start + last] = b"\xff" * (last - first)
        file.write_bytes(data)
    return folder / "models"


def until_it_steps(wire: Wire) -> None:
    while True:
        message = wire.receive()
        assert "id" not in message, text(message)
        if message.get("method") == "notifications/progress" and (
            "step" in message["params"].get("message", "")
        ):
            return


def end_worker(wire: Wire) -> None:
    (worker,) = [
        child
        for child in psutil.Process(wire.process.pid).children(recursive=True)
        if WORKER in child.cmdline()
    ]
    worker.terminate()


@pytest.mark.usefixtures("warm")
@needs_torch
def test_a_model_that_computes_no_numbers_falls_back_to_money_only_with_a_yes(
    tmp_path: Path,
) -> None:
    models = model_folder(tmp_path, spoilt=True)
    with FakeVendor(painted) as vendor:
        values = diffusers(models, vendor) | LOCAL_FIRST
        with served(tmp_path, **values, defaultSettings={"steps": 1}) as wire:
            without = wire.call(1, "generate_image", ASK)
            asked_without = vendor.asked.copy()
            answer = wire.call(2, "generate_image", PAY)

    assert without["result"]["isError"]
    for part in ("diffusers/little", "INVALID_OUTPUT", "openai/", "allow_paid=true", "$0.0"):
        assert part in text(without)
    assert asked_without == []
    assert tried(text(answer)) == [("diffusers", False, "INVALID_OUTPUT"), ("openai", True, "")]
    data, (hold,) = json.loads(text(answer)), anyio.run(holds, tmp_path)
    assert [a["cost_usd"] for a in data["attempts"]] == [0, (hold.actual or 0) / 1e6]
    assert data["cost_usd"] == (hold.actual or 0) / 1e6 > 0
    assert submissions(vendor) == 1


@needs_torch
def test_a_worker_that_dies_in_the_middle_falls_back_to_the_vendor(tmp_path: Path) -> None:
    models = model_folder(tmp_path, spoilt=False)
    params = {"name": "generate_image", "arguments": PAY, "_meta": {"progressToken": "p"}}
    with FakeVendor(painted) as vendor:
        values = diffusers(models, vendor) | LOCAL_FIRST
        with served(tmp_path, **values, defaultSettings={"steps": 500}) as wire:
            wire.send({"id": 1, "method": "tools/call", "params": params})
            until_it_steps(wire)
            before = vendor.asked.copy()
            end_worker(wire)
            answer = wire.answer(1)

    assert before == []
    assert tried(text(answer)) == [("diffusers", False, "ENGINE_CRASHED"), ("openai", True, "")]
    assert submissions(vendor) == 1
    assert [hold.state for hold in anyio.run(holds, tmp_path)] == ["settled"]


async def test_a_failing_engine_is_replaced_within_the_budget_and_no_further(
    tmp_path: Path,
) -> None:
    budget = {"budget": {"perDay": 0.04}, "allowPaidFallback": "withinBudget"}
    async with Comfy(ending="failed", error=OOM) as comfy:
        with FakeVendor(painted) as vendor:
            where = routes(comfyui=comfy.url, openai=vendor.url)
            async with client(tmp_path, **where, **budget, **LOCAL_FIRST) as session:
                answers = [await ask(session, **ASK) for _ in range(4)]

    assert [made for made, _ in answers] == [True, True, False, False]
    assert [tried(said) for made, said in answers if made] == [
        [("comfyui", False, "OUT_OF_MEMORY"), ("openai", True, "")]
    ] * 2
    assert submissions(vendor) == 2
    assert sum(hold.actual or 0 for hold in await holds(tmp_path)) <= 40_000


async def test_when_the_budget_stands_in_the_way_of_a_fallback_the_cap_is_named(
    tmp_path: Path,
) -> None:
    budget = {"budget": {"perDay": 0.01}, "allowPaidFallback": "withinBudget"}
    async with Comfy(ending="failed", error=OOM) as comfy:
        with FakeVendor(painted) as vendor:
            where = routes(comfyui=comfy.url, openai=vendor.url)
            async with client(tmp_path, **where, **budget, **LOCAL_FIRST) as session:
                made, said = await ask(session, **ASK)

    assert not made
    assert vendor.asked == []
    assert "OUT_OF_MEMORY" in said
    assert "budget.perDay" in said


async def test_an_engine_that_died_is_not_asked_for_each_of_its_models_before_the_vendor_is(
    tmp_path: Path,
) -> None:
    async with ComfyWithThree(ending="dies") as comfy:
        with FakeVendor(painted) as vendor:
            where = routes(comfyui=comfy.url, openai=vendor.url)
            async with client(tmp_path, **where, **LOCAL_FIRST) as session:
                made, said = await ask(session, **PAY)

    assert made, said
    assert json.loads(said)["provider"] == "openai"


# The vendor fails


REFUSALS = {
    "openai": [
        (429, openai_error("rate_limit_exceeded", said=f"Slow down, {OPENAI_KEY}"), "RATE_LIMITED"),
        (429, openai_error("insufficient_quota"), "PAYMENT_REQUIRED"),
        (401, openai_error("invalid_api_key", said=OPENAI_KEY), "AUTHENTICATION_FAILED"),
    ],
    "replicate": [
        (429, {"detail": f"Throttled, {REPLICATE_KEY}", "retry_after": 9}, "RATE_LIMITED"),
        (402, {"title": "Insufficient credit"}, "PAYMENT_REQUIRED"),
        (401, {"detail": f"Bad token {REPLICATE_KEY}"}, "AUTHENTICATION_FAILED"),
    ],
}


@pytest.mark.parametrize(
    ("name", "status", "body", "code"),
    [(name, *row) for name, rows in REFUSALS.items() for row in rows],
)
async def test_a_vendor_that_says_no_costs_nothing_and_the_local_engine_serves(
    name: str, status: int, body: object, code: str, tmp_path: Path
) -> None:
    async with Comfy() as comfy:
        with FakeVendor(always(Answer(status=status, body=body))) as vendor:
            where = routes(comfyui=comfy.url, **{name: vendor.url})
            async with client(tmp_path, **where, **CLOUD_FIRST) as session:
                made, said = await ask(session, **PAY)

    assert made, said
    assert tried(said) == [(name, False, code), ("comfyui", True, "")]
    assert [a["cost_usd"] for a in json.loads(said)["attempts"]] == [0, 0]
    assert submissions(vendor) == 1
    assert [hold.state for hold in await holds(tmp_path)] == ["released"]


@pytest.mark.parametrize("name", ["openai", "replicate"])
async def test_a_vendor_out_of_reach_costs_nothing_and_the_local_engine_serves(
    name: str, tmp_path: Path
) -> None:
    async with Comfy() as comfy:
        where = routes(comfyui=comfy.url, **{name: NOWHERE})
        async with client(tmp_path, **where, **CLOUD_FIRST) as session:
            made, said = await ask(session, **PAY)

    assert made, said
    assert tried(said) == [(name, False, "PROVIDER_UNAVAILABLE"), ("comfyui", True, "")]
    assert [hold.state for hold in await holds(tmp_path)] == ["released"]


@pytest.mark.parametrize("name", ["openai", "replicate"])
async def test_a_vendor_out_of_reach_is_not_asked_for_each_of_its_models_before_the_engine_is(
    name: str, tmp_path: Path
) -> None:
    judged = {"gpt*": {"quality": 10}, "*/*": {"quality": 10}, "*": {"quality": 1}}
    async with Comfy() as comfy:
        where = routes(comfyui=comfy.url, **{name: NOWHERE})
        async with client(tmp_path, **where, preference="quality", models=judged) as session:
            made, said = await ask(session, **PAY)

    assert made, said
    assert json.loads(said)["provider"] == "comfyui"


@pytest.mark.parametrize("name", ["openai", "replicate"])
@pytest.mark.parametrize(
    "answer", [Answer(status=500), Answer(status=503), Answer(then="reset"), Answer(body={})]
)
async def test_a_submission_whose_end_nobody_knows_stops_everything_and_counts_as_spent(
    name: str, answer: Answer, tmp_path: Path
) -> None:
    async with Comfy() as comfy:
        with FakeVendor(always(answer)) as vendor:
            where = routes(comfyui=comfy.url, **{name: vendor.url})
            async with client(tmp_path, **where, **CLOUD_FIRST) as session:
                made, said = await ask(session, **PAY)
            (hold,) = await holds(tmp_path)
            capped = {"budget": {"perDay": hold.estimate / 1e6}}
            async with client(tmp_path, **where, **CLOUD_FIRST, **capped) as session:
                again, then_said = await ask(session, **PAY)
                _, dry = await ask(session, **PAY, dry_run=True)

    assert not made
    assert "[OUTCOME_UNKNOWN]" in said
    assert hold.state == "unknown"
    assert submissions(vendor) == 1
    assert again, then_said
    assert json.loads(then_said)["provider"] == "comfyui"
    assert len(comfy.prompts) == 1
    over = [
        r for row in json.loads(dry)["rejected"] for r in row["reasons"] if "perDay" in r["need"]
    ]
    assert {r["code"] for r in over} == {"OVER_BUDGET"}


async def test_a_prediction_that_fails_is_not_charged_and_the_local_engine_serves(
    tmp_path: Path,
) -> None:
    def fails(seen: Seen) -> Answer:
        if seen.method == "POST":
            return Answer(status=201, body=prediction("starting"))
        return Answer(body=prediction("failed", error=f"no idea, {REPLICATE_KEY}"))

    async with Comfy() as comfy:
        with FakeVendor(fails) as vendor:
            where = routes(comfyui=comfy.url, replicate=vendor.url)
            async with client(tmp_path, **where, **CLOUD_FIRST) as session:
                made, said = await ask(session, **PAY)

    assert made, said
    assert tried(said) == [("replicate", False, "ENGINE_CRASHED"), ("comfyui", True, "")]
    assert [hold.state for hold in await holds(tmp_path)] == ["released"]


async def test_a_paid_picture_that_cannot_be_used_is_not_told_as_free(tmp_path: Path) -> None:
    async with Comfy() as comfy:
        with FakeVendor(always(Answer(body=BROKEN))) as vendor:
            where = routes(comfyui=comfy.url, openai=vendor.url)
            async with client(tmp_path, **where, **CLOUD_FIRST) as session:
                made, said = await ask(session, **PAY)

    (hold,) = await holds(tmp_path)
    assert made, said
    assert tried(said) == [("openai", False, "INVALID_OUTPUT"), ("comfyui", True, "")]
    assert hold.actual
    assert json.loads(said)["cost_usd"] == hold.actual / 1e6


async def test_paid_pictures_are_kept_where_the_vendor_made_fewer_than_asked(
    tmp_path: Path,
) -> None:
    with FakeVendor(painted) as vendor:
        async with client(tmp_path, **routes(openai=vendor.url), models=ONE_EACH) as session:
            made, said = await ask(session, **PAY, num_images=2)

    assert made, said
    assert len(json.loads(said)["images"]) == 1
    assert submissions(vendor) == 1


async def test_the_whole_call_keeps_to_its_limit_also_after_a_paid_picture_was_unusable(
    tmp_path: Path,
) -> None:
    two = {name: off for name, off in ONE_EACH.items() if name != "*-sunburst"}
    with FakeVendor(always(Answer(body=BROKEN))) as vendor:
        async with client(tmp_path, **routes(openai=vendor.url), models=two) as session:
            made, said = await ask(session, **PAY, max_cost_usd=0.02)

    assert not made
    assert "INVALID_OUTPUT" in said
    assert 0 < sum(hold.actual or 0 for hold in await holds(tmp_path)) <= 20_000


async def test_an_offer_after_a_paid_picture_was_unusable_does_not_say_that_nothing_was_spent(
    tmp_path: Path,
) -> None:
    small = {"budget": {"perDay": 1, "confirmAbove": 0.02}, "allowPaidFallback": "withinBudget"}
    two = {name: off for name, off in ONE_EACH.items() if name != "gpt-image-2"}
    with FakeVendor(always(Answer(body=BROKEN))) as vendor:
        where = routes(openai=vendor.url)
        async with client(tmp_path, **where, **small, models=two) as session:
            made, said = await ask(session, **ASK)

    (hold,) = await holds(tmp_path)
    assert not made
    assert hold.actual
    assert "by openai/gpt-image-2. $" in said
    assert "Nothing was spent" not in said


# Local only


AT_HOME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"privacy": "local_only"}, {}),
    ({"privacy": "local_only"}, {"provider": "cloud"}),
    ({"privacy": "local_only"}, {"provider": "openai"}),
    ({"privacy": "local_only"}, {"model": "gpt-image-2"}),
    ({"provider": "local", "allowPaidFallback": "never"}, {}),
    ({"provider": "local", "allowPaidFallback": "never"}, {"provider": "auto"}),
    ({"provider": "local"}, {"provider": "local"}),
    ({}, {"provider": "local"}),
]


@pytest.mark.parametrize(("settings", "wish"), AT_HOME)
@pytest.mark.parametrize("engine", ["works", "fails", "dies", "is away"])
async def test_what_must_stay_at_home_never_reaches_a_vendor(
    settings: dict[str, Any], wish: dict[str, Any], engine: str, tmp_path: Path
) -> None:
    willing = {"budget": {"perDay": 100}, "allowPaidFallback": "withinBudget"}
    endings: dict[str, Any] = {"fails": "failed", "dies": "dies"}
    patience = {"deadline": 3} if engine == "dies" else {}  # it may come back
    async with Comfy(ending=endings.get(engine, "completed")) as comfy:
        if engine == "is away":
            comfy.kill()
        with FakeVendor(painted) as one, FakeVendor(predicted) as other:
            where = routes(comfyui=comfy.url, openai=one.url, replicate=other.url)
            values = CLOUD_FIRST | where | willing | settings | patience
            async with client(tmp_path, **values) as session:
                made, said = await ask(session, **PAY, **wish)
                await ask(session, **PAY, **wish, dry_run=True)
                await session.call_tool("list_models", {})
                await session.call_tool("check_hardware", {})

    assert made == (
        engine == "works"
        and wish.get("provider") in (None, "auto", "local")
        and "model" not in wish
    ), said
    assert one.asked + other.asked == []
    assert await holds(tmp_path) == []


# A refusal


def refuses(seen: Seen) -> Answer:
    return Answer(
        status=400, body=openai_error("moderation_blocked", "image_generation_user_error")
    )


def refuses_later(seen: Seen) -> Answer:
    if seen.method == "POST":
        return Answer(status=201, body=prediction("starting"))
    return Answer(body=prediction("failed", error="NSFW content detected"))


@pytest.mark.parametrize(("first", "script"), [("openai", refuses), ("replicate", refuses_later)])
async def test_a_content_refusal_is_not_shopped_around(
    first: str, script: Script, tmp_path: Path
) -> None:
    (second,) = {"openai", "replicate"} - {first}
    liked = {"openai": "gpt*", "replicate": "black*"}
    models = ONE_EACH | {liked[first]: {"quality": 10}, liked[second]: {"quality": 5}}
    async with Comfy() as comfy:
        with FakeVendor(script) as strict, FakeVendor(MAKES[second]) as other:
            where = routes(comfyui=comfy.url, **{first: strict.url, second: other.url})
            values = where | {"preference": "quality", "models": models | {"*": {"quality": 1}}}
            async with client(tmp_path, **values) as session:
                made, said = await ask(session, **PAY)

    assert not made
    assert "[CONTENT_REFUSED]" in said
    assert submissions(strict) == 1
    assert other.asked == []
    assert comfy.prompts == []
    assert [hold.state for hold in await holds(tmp_path)] == ["released"]
