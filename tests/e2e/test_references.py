"""References go to who honours them, as many as he takes; elsewhere they are refused first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.test_vocabulary import listed
from tests.support.calls import client, data, said
from tests.support.factory import service
from tests.support.fake_vendors import FakeVendor, painted
from ziggie_image_mcp.app.service import Service

MOST = {
    "bfl": 10,
    "comfy_router": 16,
    "fal": 14,
    "fooocus": 4,
    "gemini": 14,
    "invokeai": 4,
    "openai": 16,
    "openrouter": 16,
    "runware": 10,
    "stability": 1,
    "together": 8,
    "xai": 3,
}
"""How many the best model of a provider follows in a picture from a text.

Those of comfyui and diffusers follow from which nodes and adapters are there; their own tests know.
"""


def paid(folder: Path, url: str, *names: str, **section: Any) -> Service:
    others = ("builtin", "comfyui", "diffusers", "openai", "replicate", "xai", "stability")
    off: dict[str, Any] = {name: {"enabled": False} for name in others if name not in names}
    return service(
        folder,
        providers=off | {name: {"baseUrl": url, "local": False} | section for name in names},
        allowPaidFallback="withinBudget",
        budget={"perImage": 1, "perDay": 100, "perMonth": 100},
        inputDirectories=[str(folder)],
    )


def photos(folder: Path, count: int) -> str:
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        Image.new("RGB", (32 + i, 32), "red").save(path)
    return ", ".join(map(str, paths))


async def test_each_provider_that_takes_references_is_routed_up_to_its_own_cap(
    tmp_path: Path,
) -> None:
    most: dict[str, int] = {}
    for one in await listed(tmp_path):
        if "text_to_image" in one.tasks:
            count = one.tasks["text_to_image"].max_references
            most[one.provider] = max(most.get(one.provider, 0), count)

    assert {name: count for name, count in most.items() if count} == MOST
    assert most["builtin"] == most["a1111"] == most["swarmui"] == most["replicate"] == 0


async def test_all_references_reach_the_vendor_and_none_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with FakeVendor(painted) as vendor:
        made = paid(tmp_path, vendor.url, "openai", flavour="openai")
        await made.registry.open()
        async with client(made) as session:
            wish = {"prompt": "the same fox", "references": photos(tmp_path, 3)}
            answer = data(await session.call_tool("generate_image", wish))
        posts = [seen for seen in vendor.seen if seen.method == "POST"]

    assert answer["provider"] == "openai"
    assert len(posts) == 1
    assert posts[0].content.count(b"\x89PNG") == 3


@pytest.mark.parametrize(
    ("provider", "key", "most"), [("xai", "XAI_API_KEY", 3), ("stability", "STABILITY_API_KEY", 1)]
)
async def test_more_than_a_vendor_takes_are_refused_before_anything_is_sent(
    provider: str, key: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, "sk-test")
    with FakeVendor(painted) as vendor:
        made = paid(tmp_path, vendor.url, provider)
        await made.registry.open()
        async with client(made) as session:
            wish = {"prompt": "a fox", "references": photos(tmp_path, most + 1)}
            answer = await session.call_tool("generate_image", wish)
        posts = [seen for seen in vendor.seen if seen.method == "POST"]

    assert answer.is_error
    assert f"needs {most + 1} references, have at most {most} references" in said(answer)
    assert "give fewer references" in said(answer)
    assert posts == []


async def test_an_engine_that_takes_none_is_no_route_and_the_fix_says_so(tmp_path: Path) -> None:
    made = service(tmp_path, inputDirectories=[str(tmp_path)])
    await made.registry.open()
    async with client(made) as session:
        wish = {"prompt": "a fox", "provider": "builtin", "references": photos(tmp_path, 1)}
        answer = await session.call_tool("generate_image", wish)

    assert answer.is_error
    assert "needs 1 references, have at most 0 references" in said(answer)
    assert "leave out references" in said(answer)
