"""Read the data of sheets as the engines do, with nothing of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from PIL import Image


class Cut(NamedTuple):
    """A frame as a file tells it: its rectangle in the sheet, and its place on its canvas."""

    rect: tuple[int, int, int, int]
    """Left, top, width, height."""
    offset: tuple[int, int]
    canvas: tuple[int, int]


def cut(sheet: Path, frame: Cut) -> Image.Image:
    """The frame, as an engine shows it."""
    left, top, width, height = frame.rect
    canvas = Image.new("RGBA", frame.canvas)
    with Image.open(sheet) as image:
        part = image.convert("RGBA").crop((left, top, left + width, top + height))
    canvas.paste(part, frame.offset)
    return canvas


def phaser(data: dict[str, Any]) -> dict[str, Cut]:
    """As Phaser 3.90 does in `JSONHash` and `setTrim`, by the fields that it reads."""
    frames: dict[str, Cut] = {}
    for name, source in data["frames"].items():
        frame, whole = source["frame"], source["sourceSize"]
        assert source["rotated"] is False
        rect = frame["x"], frame["y"], frame["w"], frame["h"]
        if source["trimmed"]:
            place = source["spriteSourceSize"]
            assert (place["w"], place["h"]) == (frame["w"], frame["h"])
            frames[name] = Cut(rect, (place["x"], place["y"]), (whole["w"], whole["h"]))
        else:
            assert (whole["w"], whole["h"]) == (frame["w"], frame["h"])
            frames[name] = Cut(rect, (0, 0), (frame["w"], frame["h"]))
    return frames


class SpriteFrames(NamedTuple):
    """A SpriteFrames resource of Godot."""

    texture: str
    frames: list[Cut]
    name: str
    speed: float
    loop: bool


_TAG = re.compile(r"^\[(\w+)((?:\s+\w+=(?:\"[^\"]*\"|\d+))*)\]$")
_ATTRIBUTE = re.compile(r"(\w+)=(?:\"([^\"]*)\"|(\d+))")


def godot(text: str) -> SpriteFrames:
    """A reader of Godot's text resources, as far as SpriteFrames need it."""
    sections: list[tuple[str, dict[str, str], str]] = []
    for line in text.splitlines():
        tag = _TAG.match(line)
        if tag is not None:
            found = {m[1]: m[2] or m[3] for m in _ATTRIBUTE.finditer(tag[2])}
            sections.append((tag[1], found, ""))
        elif line:
            kind, attributes, body = sections[-1]
            sections[-1] = kind, attributes, f"{body}{line}\n"
    (_, header, _), *rest = sections
    assert header == {"type": "SpriteFrames", "load_steps": str(len(rest)), "format": "3"}
    textures = {a["id"]: a["path"] for kind, a, _ in rest if kind == "ext_resource"}
    atlases: dict[str, Cut] = {}
    for kind, attributes, body in rest:
        if kind != "sub_resource":
            continue
        assert attributes["type"] == "AtlasTexture"
        values = dict(line.split(" = ", 1) for line in body.splitlines())
        assert values.pop("atlas") == 'ExtResource("1")'
        left, top, width, height = _rect(values.pop("region"))
        x, y, more_width, more_height = _rect(values.pop("margin", "Rect2(0, 0, 0, 0)"))
        assert not values
        canvas = width + more_width, height + more_height
        atlases[attributes["id"]] = Cut((left, top, width, height), (x, y), canvas)
    body = next(body for kind, _, body in rest if kind == "resource")
    shown = re.findall(r'"duration": 1\.0,\n"texture": SubResource\("(\w+)"\)', body)
    speed = re.search(r'"speed": ([0-9.]+)', body)
    name = re.search(r'"name": &"(\w+)"', body)
    assert speed is not None
    assert name is not None
    return SpriteFrames(
        texture=textures["1"],
        frames=[atlases[one] for one in shown],
        name=name[1],
        speed=float(speed[1]),
        loop='"loop": true' in body,
    )


def unity(text: str, sheet_height: int) -> dict[str, Cut]:
    """The sprites of a texture's import settings; their canvas is told by the pivot alone."""
    importer = yaml.safe_load(text)["TextureImporter"]
    assert (importer["textureType"], importer["spriteMode"]) == (8, 2)
    listed = {row["second"]: row["first"][213] for row in importer["internalIDToNameTable"]}
    frames: dict[str, Cut] = {}
    for sprite in importer["spriteSheet"]["sprites"]:
        rect = sprite["rect"]
        width, height = rect["width"], rect["height"]
        assert listed[sprite["name"]] == sprite["internalID"]
        top = sheet_height - rect["y"] - height
        frames[str(sprite["name"])] = Cut((rect["x"], top, width, height), (0, 0), (width, height))
    return frames


def unity_pivots(text: str, sheet_height: int) -> dict[str, tuple[float, float]]:
    """Where the sprites stand, pixels of the sheet from its upper left corner."""
    places: dict[str, tuple[float, float]] = {}
    for sprite in yaml.safe_load(text)["TextureImporter"]["spriteSheet"]["sprites"]:
        rect, pivot = sprite["rect"], sprite["pivot"]
        assert sprite["alignment"] == 9, "its own pivot, not one of the corners"
        from_below = rect["y"] + pivot["y"] * rect["height"]
        x = rect["x"] + pivot["x"] * rect["width"]
        places[str(sprite["name"])] = x, sheet_height - from_below
    return places


def _rect(text: str) -> tuple[int, int, int, int]:
    match = re.fullmatch(r"Rect2\((-?\d+), (-?\d+), (-?\d+), (-?\d+)\)", text)
    assert match is not None, text
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])
