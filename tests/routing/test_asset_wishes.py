"""What an asset contract and its request say together."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.routing.asset_wishes import with_contract
from ziggie_image_mcp.routing.request import ImageRequest


@pytest.mark.parametrize(
    ("request_", "asset"),
    [
        (ImageRequest(prompt="a", transparent=True, asset="size=16x64"), "size=16x64 alpha=yes"),
        (ImageRequest(prompt="a", seamless=True, asset="size=16"), "size=16 seamless=yes"),
        (ImageRequest(prompt="a", transparent=True, asset="colors=4"), "colors=4"),
        (ImageRequest(prompt="a", transparent=True, asset="sprite size=8"), "kind=sprite size=8"),
    ],
)
def test_what_the_request_asks_is_proved_on_the_asset_too(
    request_: ImageRequest, asset: str
) -> None:
    once = with_contract(request_)

    assert once.asset == asset
    assert with_contract(once) == once


def test_unity_gets_a_png() -> None:
    asset = "sprite size=16 frames=2 motion=bob sheet=unity"

    with pytest.raises(InvalidRequest, match="Unity reads a png"):
        with_contract(ImageRequest(prompt="a", asset=asset, output_format="webp"))
