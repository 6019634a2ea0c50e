"""Random asset contracts against a hostile engine and the tiny model, checked from outside.

`tests/soak/test_asset_contracts.py` has a thousand of them.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.asset_checker import faults
from tests.support.factory import service
from tests.support.hostile_engine import HABITS, HostileEngine
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.assets.contract import KEYS, AssetContract, read_contract
from ziggie_image_mcp.assets.palettes import named_palette
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.jobs import asset_contracts
from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.types import StoredImage
from ziggie_image_providers.builtin import Builtin
from ziggie_image_providers.builtin.settings import Settings as BuiltinSettings

PALETTES = ("pico-8", "game-boy", "nes", "db32", "endesga-32")
OWN = ("#000000 #ffffff #ff0044 #00aaff", ((0, 0, 0), (255, 255, 255), (255, 0, 68), (0, 170, 255)))
OFF: Mapping[str, dict[str, Any]] = {
    "size": {"width": None, "height": None, "frames": 1, "grid": None},
    "alpha": {"alpha": None},
    "grid": {"grid": None},
    "colors": {"colors": None},
    "palette": {"palette": ()},
    "seamless": {"seamless": False},
    "frames": {"frames": 1},
}
"""A contract without one of its properties."""


TINY = 10
TINY_PROMPTS = ("a red mushroom", "stone tile")
"""For the tiny model; the second for a tile."""


def random_contract(draw: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is written, and what the checker has to look for."""
    kind = draw.choice(("sprite", "icon", "tile", "background", "picture"))
    side = draw.choice((1, 2, 4))
    size = side * draw.randrange(4, 33), side * draw.randrange(4, 33)
    written: dict[str, Any] = {"kind": kind, "size": "{}x{}".format(*size)}
    asked: dict[str, Any] = {"size": size}
    if kind != "picture":
        asked["alpha"] = kind in ("sprite", "icon")
    if kind == "tile":
        asked["seamless"] = True
    if draw.random() < 0.5:
        written["grid"] = asked["grid"] = side
    if draw.random() < 0.5:
        written["colors"] = asked["colors"] = draw.choice((1, 2, 3, 5, 8, 16, 64))
    if draw.random() < 0.5:
        name = draw.choice(PALETTES)
        written["palette"], asked["palette"] = draw.choice(((name, named_palette(name)), OWN))
    if kind == "sprite" and draw.random() < 0.6:
        written["frames"] = asked["frames"] = draw.choice((2, 3, 4, 6, 8))
        written["motion"] = draw.choice(("bob", "squash", "turn", "sheet"))
    return written, asked


async def made(
    own: Service, written: Mapping[str, Any], seed: int, prompt: str = "a thing"
) -> tuple[StoredImage | None, str]:
    """The picture that was accepted, or why none was."""
    text = json.dumps(written) if seed % 2 else " ".join(f'{k}="{v}"' for k, v in written.items())
    request = ImageRequest(prompt=prompt, asset=text, seed=seed)
    try:
        result = await own.generate(request)
    except ImageError as e:
        return None, str(e)
    return result.images[0], ""


async def outcomes_of(folder: Path, count: int, seed: int, until: str = "") -> Counter[str]:
    """Make so many, and count what became of them: accepted, refused, or accepted with a fault.

    `until` names an outcome that is enough.
    """
    engine, draw, outcomes = HostileEngine(), random.Random(seed), Counter[str]()
    own = service(folder, engine, cache=False)
    for number in range(count):
        written, asked = random_contract(draw)
        engine.habit = HABITS[number % len(HABITS)]
        image, why = await made(own, written, number)
        if image is None:
            named = [key for key in KEYS if f"the asset's {key}:" in why]
            plain = "nothing is transparent" in why or "returned a blank picture" in why
            assert named or plain, (written, engine.habit, why)
            outcomes[f"refused by {named[0] if named else 'alpha'}"] += 1
        else:
            assert image.proof.startswith("size="), image.proof
            found = faults(image.path, asked)
            names = {one.partition(":")[0] for one in found}
            outcomes.update({f"fault: {name}" for name in names} or {"accepted"})
        if until in outcomes:
            break
    return outcomes


async def test_what_the_tiny_model_draws_keeps_its_contract(tmp_path: Path) -> None:
    """Shapes and tiles that it knows; a sheet of frames it cannot draw."""
    draw, accepted = random.Random(5), 0
    own = service(
        tmp_path, Builtin("builtin", BuiltinSettings(), ProviderContext(data_dir=tmp_path))
    )
    for number in range(TINY):
        written, asked = random_contract(draw)
        prompt = TINY_PROMPTS[bool(asked.get("seamless"))]
        image, why = await made(own, written, number, prompt)
        if image is None:
            assert "the asset's frames:" in why or "nothing is transparent" in why, (written, why)
            assert written["motion"] == "sheet"
        else:
            accepted += 1
            assert faults(image.path, asked) == [], (written, image.path)
    assert accepted >= TINY * 3 / 4


async def test_each_picture_that_is_accepted_keeps_its_contract(tmp_path: Path) -> None:
    outcomes = await outcomes_of(tmp_path, 60, seed=1)

    assert not [name for name in outcomes if name.startswith("fault")], outcomes
    assert outcomes["accepted"] >= 40, outcomes


@pytest.mark.parametrize("prop", OFF)
async def test_without_a_proof_the_checker_finds_a_fault(
    prop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(text: str) -> AssetContract:
        return replace(read_contract(text), **OFF[prop])

    monkeypatch.setattr(asset_contracts, "read_contract", without)

    fault = f"fault: {prop}"
    assert fault in await outcomes_of(tmp_path, 60, seed=1, until=fault)
