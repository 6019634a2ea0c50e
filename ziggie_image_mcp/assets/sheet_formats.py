"""Write where the frames of a sheet stand, as game engines read it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from ziggie_image_mcp import __version__
from ziggie_image_mcp.assets.sheet import Sheet, SheetFrame
from ziggie_image_mcp.assets.sheet_names import SheetFormat
from ziggie_image_mcp.storage.side_files import in_text


@dataclass(frozen=True, kw_only=True)
class SheetFacts:
    """What the files tell of a sheet beside its frames."""

    file_name: str
    """Of its picture, which lies in the same folder."""
    title: str
    """What people call it."""
    fps: int
    """How many frames are shown a second."""
    is_animation: bool
    pixel_art: bool
    """Its pixels are to stay sharp."""


def write(kind: SheetFormat, sheet: Sheet, facts: SheetFacts) -> bytes:
    """The file of this format."""
    return _WRITERS[kind](sheet, facts).encode()


SUFFIXES: Mapping[SheetFormat, str] = {
    "texturepacker": ".atlas.json",
    "godot": ".tres",
    "unity": ".png.meta",
    "tiled": ".tsx",
}


def texturepacker(sheet: Sheet, facts: SheetFacts) -> str:
    """TexturePacker's JSON hash, as Phaser's `load.atlas` and PixiJS read it."""
    frames: dict[str, Any] = {
        frame.name: {
            "frame": {"x": frame.x, "y": frame.y, "w": frame.width, "h": frame.height},
            "rotated": False,
            "trimmed": frame.is_trimmed,
            "spriteSourceSize": {
                "x": frame.offset_x,
                "y": frame.offset_y,
                "w": frame.width,
                "h": frame.height,
            },
            "sourceSize": {"w": frame.canvas_width, "h": frame.canvas_height},
        }
        for frame in sheet.frames
    }
    meta = {
        "app": "ziggie-image-mcp",
        "version": __version__,
        "image": facts.file_name,
        "format": "RGBA8888",
        "size": {"w": sheet.image.width, "h": sheet.image.height},
        "scale": "1",
    }
    return json.dumps({"frames": frames, "meta": meta}, ensure_ascii=False, indent=1) + "\n"


def godot(sheet: Sheet, facts: SheetFacts) -> str:
    """A SpriteFrames resource of Godot 4; its loader takes paths relative to the file itself.

    Source: ResourceLoaderText of Godot 4 (scene/resources/resource_format_text.cpp).
    """
    name = in_text(facts.file_name, ".tres")
    parts = [
        f'[gd_resource type="SpriteFrames" load_steps={len(sheet.frames) + 2} format=3]',
        f'[ext_resource type="Texture2D" path="{name}" id="1"]',
    ]
    for index, frame in enumerate(sheet.frames):
        region = f"{frame.x}, {frame.y}, {frame.width}, {frame.height}"
        lines = [
            f'[sub_resource type="AtlasTexture" id="AtlasTexture_{index}"]',
            'atlas = ExtResource("1")',
            f"region = Rect2({region})",
        ]
        if frame.is_trimmed:
            rest = frame.canvas_width - frame.width, frame.canvas_height - frame.height
            margin = f"{frame.offset_x}, {frame.offset_y}, {rest[0]}, {rest[1]}"
            lines.append(f"margin = Rect2({margin})")
        parts.append("\n".join(lines))
    textures = ", ".join(
        f'{{\n"duration": 1.0,\n"texture": SubResource("AtlasTexture_{index}")\n}}'
        for index in range(len(sheet.frames))
    )
    parts.append(
        "[resource]\nanimations = [{\n"
        f'"frames": [{textures}],\n"loop": true,\n"name": &"default",\n'
        f'"speed": {facts.fps:.1f}\n}}]\n'
    )
    return "\n\n".join(parts)


def tiled(sheet: Sheet, facts: SheetFacts) -> str:
    """A tileset of Tiled. Of an animation, its first tile shows all in turn.

    Source: doc.mapeditor.org/en/stable/reference/tmx-map-format, version 1.10.
    """
    first, image = sheet.frames[0], sheet.image
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<tileset version="1.10" tiledversion="1.10.2" name={quoteattr(facts.title)}'
        f' tilewidth="{first.width}" tileheight="{first.height}"'
        f' tilecount="{len(sheet.frames)}" columns="{sheet.columns}">',
        f' <image source="{in_text(facts.file_name, ".tsx")}"'
        f' width="{image.width}" height="{image.height}"/>',
    ]
    if facts.is_animation:
        lines += [' <tile id="0">', "  <animation>"]
        lines += [
            f'   <frame tileid="{index}" duration="{round(1000 / facts.fps)}"/>'
            for index in range(len(sheet.frames))
        ]
        lines += ["  </animation>", " </tile>"]
    return "\n".join([*lines, "</tileset>", ""])


def unity(sheet: Sheet, facts: SheetFacts) -> str:
    """The import settings that Unity keeps beside a texture, with its sprites.

    They are counted from the lower edge, and stand on the middle of that of their canvas. What is
    left out has Unity's own defaults. Source: docs.unity3d.com, TextureImporter and SpriteRect.
    """
    sprites = [_sprite(frame, sheet.image.height, facts.file_name) for frame in sheet.frames]
    ids = [
        f"  - first:\n      213: {_number(facts.file_name, frame.name)}\n"
        f"    second: {_quoted(frame.name)}"
        for frame in sheet.frames
    ]
    guid = hashlib.sha256(facts.file_name.encode()).hexdigest()[:32]
    return "\n".join(
        (
            "fileFormatVersion: 2",
            f"guid: {guid}",
            "TextureImporter:",
            "  internalIDToNameTable:",
            *ids,
            "  serializedVersion: 13",
            "  mipmaps:",
            "    enableMipMap: 0",
            "    sRGBTexture: 1",
            f"  maxTextureSize: {_texture_size(sheet)}",
            "  textureSettings:",
            "    serializedVersion: 2",
            f"    filterMode: {0 if facts.pixel_art else 1}",
            "    wrapU: 1",
            "    wrapV: 1",
            "  nPOTScale: 0",
            "  spriteMode: 2",
            "  spriteExtrude: 1",
            "  spriteMeshType: 0",
            "  spritePixelsToUnits: 100",
            "  alphaUsage: 1",
            "  alphaIsTransparency: 1",
            "  textureType: 8",
            "  textureShape: 1",
            "  spriteSheet:",
            "    serializedVersion: 2",
            "    sprites:",
            *sprites,
            "  userData: ",
            "",
        )
    )


def _sprite(frame: SheetFrame, sheet_height: int, file_name: str) -> str:
    middle = (frame.canvas_width / 2 - frame.offset_x) / frame.width
    below = frame.canvas_height - frame.offset_y - frame.height
    number = _number(file_name, frame.name)
    return "\n".join(
        (
            "    - serializedVersion: 2",
            f"      name: {_quoted(frame.name)}",
            "      rect:",
            "        serializedVersion: 2",
            f"        x: {frame.x}",
            f"        y: {sheet_height - frame.y - frame.height}",
            f"        width: {frame.width}",
            f"        height: {frame.height}",
            "      alignment: 9",
            f"      pivot: {{x: {middle:g}, y: {-below / frame.height:g}}}",
            "      border: {x: 0, y: 0, z: 0, w: 0}",
            f"      spriteID: {_digest(file_name, frame.name)[:32]}",
            f"      internalID: {number}",
        )
    )


def _texture_size(sheet: Sheet) -> int:
    """The least of Unity's sizes that does not shrink the sheet."""
    side = max(sheet.image.size)
    return next((size for size in (2048, 4096, 8192) if size >= side), 16_384)


def _number(file_name: str, name: str) -> int:
    """A sprite's id in its file, the same whenever it is written."""
    return int(_digest(file_name, name)[:15], 16)


def _digest(file_name: str, name: str) -> str:
    return hashlib.sha256(f"{file_name} {name}".encode()).hexdigest()


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


_WRITERS: Mapping[SheetFormat, Callable[[Sheet, SheetFacts], str]] = {
    "texturepacker": texturepacker,
    "godot": godot,
    "unity": unity,
    "tiled": tiled,
}
