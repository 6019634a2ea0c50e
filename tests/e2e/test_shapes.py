"""Vendors that promise a shape alone, through the MCP client and the ledger."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent
from PIL import Image

from tests.support.factory import opener, service
from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_providers.bfl import Bfl
from ziggie_image_providers.fal import Fal
from ziggie_image_providers.stability import Stability

Script = Callable[[Seen], Reply]


async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"agree": True})


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


async def ask(
    kind: Any, url: str, folder: Path, tool: str, **arguments: Any
) -> tuple[CallToolResult, int]:
    """What the client is answered, and what is spent; the provider is the only one."""

    async def secret(name: str) -> str | None:
        return "a-key-0123456789"

    settings = kind.Settings.model_validate({"baseUrl": url, "local": False})
    context = ProviderContext(data_dir=folder, secret=secret)
    provider = kind(kind.__name__.lower(), settings, context)
    provider.first_pause = provider.longest_pause = 0.001
    made = service(folder, provider, inputDirectories=[str(folder)])
    async with Client(make_server(opener(made)), elicitation_callback=yes) as client:
        result = await client.call_tool(tool, {"prompt": "a red bicycle"} | arguments)
    return result, (await made.billing.spending()).day


def picture_of(result: CallToolResult) -> tuple[dict[str, Any], Image.Image]:
    """What a result says, and its picture."""
    assert not result.is_error, said(result)
    answer: dict[str, Any] = json.loads(said(result))
    with Image.open(answer["images"][0]["path"]) as image:
        image.load()
        return answer, image.copy()


def inpainted(side: int, width: int = 0) -> Script:
    body = {"image": base64.b64encode(picture(width or side, side, "red")).decode()}
    return lambda seen: Reply(body=body | {"seed": 7, "finish_reason": "SUCCESS"})


@pytest.mark.parametrize("side", [1024, 2048])
async def test_an_edit_that_comes_larger_than_it_was_sent_is_put_back_where_it_belongs(
    side: int, tmp_path: Path
) -> None:
    Image.new("RGB", (600, 600), "blue").save(tmp_path / "in.png")
    mask = Image.new("L", (600, 600), 0)
    mask.paste(255, (0, 0, 300, 600))
    mask.save(tmp_path / "mask.png")

    with FakeVendor(inpainted(side)) as vendor:
        result, spent = await ask(
            Stability,
            vendor.url,
            tmp_path,
            "edit_image",
            image=str(tmp_path / "in.png"),
            mask=str(tmp_path / "mask.png"),
        )

    answer, image = picture_of(result)
    assert image.size == (600, 600)
    assert image.getpixel((100, 300)) == (255, 0, 0)
    assert image.getpixel((500, 300)) == (0, 0, 255)
    assert answer["model"] == "stable-image-inpaint"
    assert answer["cost_usd"] == 0.05
    assert spent == 50_000


async def test_an_edit_of_another_shape_is_not_squeezed_into_the_picture(tmp_path: Path) -> None:
    Image.new("RGB", (600, 600), "blue").save(tmp_path / "in.png")
    Image.new("L", (600, 600), 255).save(tmp_path / "mask.png")

    with FakeVendor(inpainted(1024, 1536)) as vendor:
        result, spent = await ask(
            Stability,
            vendor.url,
            tmp_path,
            "edit_image",
            image=str(tmp_path / "in.png"),
            mask=str(tmp_path / "mask.png"),
        )

    assert "made 1536x1024, and 1024x1024 was asked for" in said(result)
    assert spent == 50_000


def drawn(size: tuple[int, int]) -> Script:
    """fal and Black Forest Labs: a job that is done at once, and costs 3 units or credits."""

    def script(seen: Seen) -> Reply:
        if seen.path == "/made.png":
            return Reply(body=picture(*size))
        made = f"{seen.origin}/made.png"
        if seen.method == "POST":
            at = f"{seen.origin}/fal-ai/flux/requests/7"
            return Reply(body={"id": "7", "polling_url": f"{seen.origin}/v1/x", "response_url": at})
        if seen.path.endswith("/status"):
            return Reply(body={"status": "COMPLETED"})
        body = {"id": "7", "status": "Ready", "cost": 3, "result": {"sample": made}}
        return Reply(body=body | {"images": [{"url": made}]}, headers={"x-fal-billable-units": "3"})

    return script


@pytest.mark.parametrize(
    ("kind", "model", "sent", "cost_usd"),
    [
        (Fal, "fal-ai/nano-banana-2", {"aspect_ratio": "16:9", "resolution": "1K"}, 0.24),
        (Bfl, "flux-3-image", {"aspect_ratio": "16:9", "resolution": "1k"}, 0.03),
    ],
)
async def test_a_shape_goes_out_by_its_name_and_what_comes_is_kept_as_it_is(
    kind: Any, model: str, sent: dict[str, str], cost_usd: float, tmp_path: Path
) -> None:
    with FakeVendor(drawn((1392, 768))) as vendor:
        result, spent = await ask(
            kind, vendor.url, tmp_path, "generate_image", model=model, aspect_ratio="16:9"
        )

    answer, image = picture_of(result)
    assert image.size == (1392, 768)
    assert sent.items() <= vendor.seen[0].body.items()
    assert answer["cost_usd"] == cost_usd
    assert spent == round(cost_usd * 1e6)
    assert any("delivered as 1392x768" in note for note in answer["notes"])
