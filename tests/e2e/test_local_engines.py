"""Each local engine behind the MCP client: nothing is dropped, and no paid model is free there."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.e2e.test_nothing_is_dropped import (
    CHANGED,
    PROVIDERS,
    assert_it_shows,
    changed_call,
    signature,
)
from tests.support import fake_fooocus, fake_invokeai, fake_swarmui
from tests.support.calls import said
from tests.support.factory import opener, service
from tests.support.fake_a1111 import FakeWebUI
from tests.support.fake_fooocus import FakeFooocus
from tests.support.fake_invokeai import FakeInvokeAI
from tests.support.fake_swarmui import FakeSwarm
from tests.support.local_image_servers import reply_of
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.server.tools import make_server

Script = Callable[[Seen], Reply]
SMALL = base64.b64encode(picture(64, 64)).decode()


@dataclass(frozen=True, kw_only=True)
class Case:
    """One engine, as it answers, and how it is set up."""

    provider: str
    model: str
    script: Callable[[], Script]
    smaller: Callable[[], Script]
    """The same, that makes pictures of 64x64 whatever is asked."""
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    side: int = 512


def web_ui(flavour: str, model: str = "sd_xl_base_1.0") -> Case:
    return Case(
        provider="a1111",
        model=model,
        script=lambda: FakeWebUI(flavour),
        smaller=lambda: FakeWebUI(flavour, images=[SMALL]),
    )


def openai(flavour: str, model: str) -> Case:
    small = Reply(body={"created": 1, "data": [{"b64_json": SMALL}]})
    return Case(
        provider="openai",
        model=model,
        script=lambda: lambda seen: reply_of(flavour, seen),
        smaller=lambda: lambda seen: reply_of(flavour, seen, small),
        settings={"keyName": None, "models": {model: {"priceUsd": 0}}},
    )


CASES = {
    "a1111": web_ui("a1111"),
    "forge": web_ui("forge"),
    "sdnext": web_ui("sdnext"),
    "sd-server": web_ui("sd-server"),
    "koboldcpp": web_ui("koboldcpp"),
    "invokeai": Case(
        provider="invokeai",
        model=fake_invokeai.SDXL["name"],
        script=FakeInvokeAI,
        smaller=lambda: FakeInvokeAI(size=(64, 64)),
    ),
    "swarmui": Case(
        provider="swarmui",
        model=fake_swarmui.SDXL,
        script=FakeSwarm,
        smaller=lambda: FakeSwarm(images=[f"data:image/png;base64,{SMALL}"]),
    ),
    "fooocus": Case(
        provider="fooocus",
        model=fake_fooocus.JUGGERNAUT,
        script=FakeFooocus,
        smaller=lambda: FakeFooocus(size=(64, 64)),
        side=1024,
    ),
    "localai": openai("localai", "dreamshaper"),
    "lemonade": openai("lemonade", "SD-Turbo"),
    "vllm-omni": openai("vllm-omni", "black-forest-labs/FLUX.2-klein-4B"),
    "sglang": openai("sglang", "black-forest-labs/FLUX.2-dev"),
}
IDS = re.compile(r"[0-9a-f]{16,}|[0-9a-f]{8}-[0-9a-f-]{20,}|SESSION\d+|image\d+|made\d+")
"""What differs from call to call, whatever is asked."""


class Session:
    """An engine, our server beside it, and a client."""

    def __init__(self, case: Case, script: Script, folder: Path, **settings: Any) -> None:
        self.case = case
        self.folder = folder
        self._vendor = FakeVendor(script)
        self._settings = settings

    async def __aenter__(self) -> Session:
        case, url = self.case, self._vendor.__enter__().url
        off = {
            name: {"enabled": False}
            for name in (*PROVIDERS, "diffusers", "a1111", "invokeai", "swarmui", "fooocus")
        }
        base = url + ("/v1" if case.provider == "openai" else "")
        own = {case.provider: {"baseUrl": base, **case.settings, **self._settings}}
        self._service = service(
            self.folder,
            providers=off | own,
            cache=False,
            allowPaidFallback="withinBudget",
            budget={"perImage": 1, "perDay": 100, "perMonth": 100},
            inputDirectories=[str(self.folder)],
        )
        await self._service.registry.open()
        self._client = Client(make_server(opener(self._service)))
        self.client = await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._client.__aexit__(*error)
        await self._service.aclose()
        self._vendor.__exit__(*error)

    async def show(self, call: dict[str, Any]) -> dict[str, Any]:
        """What becomes of a call, and what the engine got for it."""
        done = len(self._vendor.seen)
        shown = signature(await self.client.call_tool("generate_image", call))
        sent = [
            IDS.sub("", s.content.decode("utf-8", "replace"))
            for s in self._vendor.seen[done:]
            if (s.method == "POST" or s.headers.get("upgrade")) and asks_for_work(s)
        ]
        return shown | {"wire": json.dumps(sorted(sent))}

    @property
    def base(self) -> dict[str, Any]:
        side = self.case.side
        size = {"width": side, "height": side}
        return {"prompt": "a red star", "seed": 7, "model": self.case.model, **size}


def asks_for_work(seen: Seen) -> bool:
    """Whether a request is of a job, and not one that looks at something."""
    looks = ("session", "list", "status", "getcurrent", "internal/progress", "info")
    return not any(word in seen.path.lower() for word in looks)


ONE_OF_EACH = ("a1111", "sd-server", "invokeai", "swarmui", "fooocus", "localai", "vllm-omni")
"""Of each wire one: what else differs by flavour stands beside the providers."""


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_an_engine_gets_it_or_it_is_said_or_refused(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    async with Session(case, case.script(), tmp_path) as session:
        before = await session.show(session.base)
        assert "refused" not in before, before
        assert before["wire"] != "[]"
        assert await session.show(session.base) == before
        for argument in CHANGED:
            call = changed_call(argument, session.base, tmp_path)
            if argument == "aspect_ratio":
                call = {k: v for k, v in call.items() if k not in ("width", "height")}
            assert_it_shows(argument, before, await session.show(call))


@pytest.mark.parametrize("name", [*CASES])
async def test_a_picture_of_another_size_is_no_success(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    async with Session(case, case.smaller(), tmp_path) as session:
        answer = await session.client.call_tool("generate_image", session.base)

    assert answer.is_error
    assert "64x64" in said(answer)


PAID = {
    "invokeai": fake_invokeai.GPT["name"],
    "swarmui": fake_swarmui.VENDORS,
    "lemonade": "cloud-image",
}
"""Models of vendors inside local engines."""


@pytest.mark.parametrize("name", [*PAID])
async def test_a_paid_model_inside_an_engine_is_never_free(name: str, tmp_path: Path) -> None:
    case, paid = CASES[name], PAID[name]
    async with Session(case, case.script(), tmp_path) as session:
        listed = await session.client.call_tool("list_models", {"provider": case.provider})
        shown = await session.show(session.base | {"model": paid})
    assert listed.structured_content is not None
    rows = {row["id"]: row for row in listed.structured_content["models"]}

    assert rows.get(paid, {"usd_per_image": None})["usd_per_image"] != 0
    assert not rows.get(paid, {"usable": False})["usable"]
    assert "refused" in shown
    assert shown["wire"] == "[]"
