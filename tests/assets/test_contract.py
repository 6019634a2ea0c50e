"""Asset contracts as they are written."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.assets.contract import contract_text, read_contract
from ziggie_image_mcp.errors import InvalidRequest


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("kind=sprite size=32x32 palette=pico-8", "kind=sprite size=32x32 palette=pico-8"),
        ("palette=pico-8, size=32x32; sprite", "kind=sprite size=32x32 palette=pico-8"),
        ("Type: texture, SIZE = 64", "kind=texture size=64"),
        ("tile seamless colours=8", "kind=tile colors=8 seamless=yes"),
        ("sprite opaque", "kind=sprite alpha=no"),
        ("sprite transparent=false", "kind=sprite alpha=false"),
        ('{"kind": "icon", "size": [64, 48]}', "kind=icon size=64x48"),
        ({"size": "8x8", "grid": 1, "alpha": True}, "size=8x8 grid=1 alpha=yes"),
        ({"palette": ["#ff0044", "#000000"]}, 'palette="#ff0044 #000000"'),
        ("palette='#ff0044 #000000'", 'palette="#ff0044 #000000"'),
        ("", ""),
    ],
)
def test_what_means_one_contract_is_one_text(written: object, text: str) -> None:
    assert contract_text(written) == text
    assert contract_text(text) == text


@pytest.mark.parametrize(
    ("written", "word", "fix"),
    [
        ("kin=sprite", "kin", "Did you mean 'kind'?"),
        ("kind=sprit", "kind=sprit", "Did you mean 'sprite'?"),
        ("size=0x8", "size=0x8", "1 to 4096"),
        ("size=big", "size=big", "as size=32x48"),
        ("colors=257", "colors=257", "1 to 256"),
        ("size=32 grid=5", "grid=5", "a divisor of both sides of 32x32"),
        ("grid=2", "grid=2", "give size too"),
        ("sprite frames=4", "frames=4", "give size too"),
        ("size=8 frames=4", "frames=4", "transparent ground"),
        ("sprite size=8 motion=bob", "motion=bob", "how many frames"),
        ("sprite size=8 frames=2 motion=fly", "motion=fly", "sheet, bob, squash, turn"),
        ("tile size=8 frames=2", "seamless", "one frame"),
        ("sprite size=4096 frames=64", "frames=64", "fewer or smaller"),
        ("size=8 size=9", "size", "once"),
        ("sprite size=8 sheet=godot", "sheet=godot", "how many frames"),
        ("sprite size=8 frames=2 sheet=gdot", "gdot", "Did you mean 'godot'?"),
        ("sprite size=8 frames=2 sheet=atlas", "sheet=atlas", "process_image packs"),
        ("sprite size=8 frames=2 animation=mp4", "animation=mp4", "gif, apng, webp"),
        ("sprite size=8 frames=2 fps=5", "fps=5", "give animation"),
        ("sprite size=8 frames=2 animation=gif fps=61", "fps=61", "1 to 60"),
        ("alpha=maybe", "alpha=maybe", "yes or no"),
        ("kind=", "kind", "give it a value"),
        ("{broken", "{broken", "as `kind=sprite"),
        ("\U0001f600", "\U0001f600", "as `kind=sprite"),
    ],
)
def test_what_no_picture_can_be_names_the_property(written: str, word: str, fix: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_contract(written)

    assert word in str(caught.value.value)
    assert fix in caught.value.fix


@pytest.mark.parametrize("palette", ["pico", "mine.hex"])
def test_an_unknown_palette_names_those_that_are_known(palette: str) -> None:
    with pytest.raises(InvalidRequest, match="pico-8, game-boy"):
        read_contract(f"palette={palette}")


def test_kinds_say_what_goes_without_saying() -> None:
    sprite, tile, picture = (read_contract(kind) for kind in ("sprite", "tile", "picture"))

    assert (sprite.alpha, sprite.seamless) == (True, False)
    assert (tile.alpha, tile.seamless) == (False, True)
    assert (picture.alpha, picture.seamless) == (None, False)
    assert not read_contract("tile seamless=no").seamless


@pytest.mark.parametrize(
    ("frames", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 5), (6, 3), (8, 4), (12, 4)]
)
def test_frames_stand_on_a_sheet_without_gaps(frames: int, columns: int) -> None:
    assert read_contract(f"sprite size=8 frames={frames}").columns == columns


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("sprite size=1", "both seen and transparent"),
        ("sprite size=8 grid=8", "both seen and transparent"),
        ("sprite size=300x100 frames=61 motion=bob sheet=godot", "16383 pixels a side"),
        ("sprite size=32 frames=4 motion=bob animation=gif fps=60", "1 to 50 for gif"),
    ],
)
def test_what_can_only_fail_once_it_is_made_is_refused_before(text: str, fix: str) -> None:
    with pytest.raises(InvalidRequest, match=fix):
        read_contract(text)


def test_an_object_may_leave_properties_empty() -> None:
    assert contract_text({"kind": "sprite", "size": None, "alpha": None}) == "kind=sprite"
