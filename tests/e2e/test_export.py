"""process_image and `process`: frames, sheets, animations, icons and drawings of pictures."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from mcp import Client
from PIL import Image, ImageDraw, ImageSequence
from pytiled_parser.parsers.tmx.tileset import parse as read_tileset
from pytiled_parser.tileset import Tileset

from tests.cli.test_main import run
from tests.e2e.test_edit import data, in_memory, said
from tests.e2e.test_process import landscape, opened, process
from tests.support import sheet_files
from ziggie_image_mcp.provider.pictures import to_png


def pose(step: int, size: tuple[int, int] = (32, 40)) -> Image.Image:
    """A figure that walks, somewhere on its canvas, its height its own."""
    image = Image.new("RGBA", size)
    draw = ImageDraw.Draw(image)
    left, foot = 4 + step, 30 + step % 3
    draw.rectangle((left, foot - 16 - step, left + 9, foot), fill=(200, 40 * step, 30, 255))
    draw.point((left + 3, foot - 10), fill=(0, 0, 0, 255))
    return image


def on_baseline(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The subject on the middle of the canvas's lower edge; written apart from ours."""
    left, top, right, bottom = image.getchannel("A").getbbox() or (0, 0, 0, 0)
    canvas = Image.new("RGBA", size)
    place = (size[0] - right + left) // 2, size[1] - bottom + top
    canvas.paste(image.crop((left, top, right, bottom)), place)
    return canvas


def files(folder: Path, images: list[Image.Image], name: str = "walk") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{i}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        image.save(path)
    return [str(path) for path in paths]


def by_suffix(answer: dict[str, Any]) -> dict[str, Path]:
    image = answer["images"][0]
    stem = Path(image["path"]).stem
    return {Path(f).name.removeprefix(stem): Path(f) for f in image["files"]}


def shown(file: Path) -> list[tuple[int, Image.Image]]:
    """The frames of a moving picture, each with its milliseconds."""
    images: list[tuple[int, Image.Image]] = []
    with Image.open(file) as moving:
        for frame in ImageSequence.Iterator(moving):
            image = frame.convert("RGBA")  # WebP tells the time of a frame that is decoded
            images.append((round(frame.info["duration"]), image))
    return images


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.convert("RGBA").tobytes() == b.convert("RGBA").tobytes()


async def made(session: Client, images: list[str], **arguments: Any) -> dict[str, Any]:
    return data(await process(session, ", ".join(images), **arguments))


POSES = [pose(step) for step in range(5)]
CANVAS = (10, 21)
"""The widest and the highest of their subjects."""


async def test_poses_become_one_sheet_that_every_engine_cuts_alike(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        answer = await made(
            session,
            files(tmp_path / "in", POSES),
            sheet="texturepacker, godot, unity",
            animation="gif",
            fps=8,
        )

    sheet, beside = Path(answer["images"][0]["path"]), by_suffix(answer)
    expected = [on_baseline(image, CANVAS) for image in POSES]
    assert set(beside) == {".atlas.json", ".tres", ".png.meta", ".gif"}
    hash_data = json.loads(beside[".atlas.json"].read_text(encoding="utf-8"))
    assert hash_data["meta"]["image"] == sheet.name
    assert hash_data["meta"]["size"] == dict(zip("wh", opened(answer).size, strict=True))
    cuts = sheet_files.phaser(hash_data)
    assert list(cuts) == [f"walk-{i}" for i in range(5)]
    frames = sheet_files.godot(beside[".tres"].read_text(encoding="utf-8"))
    assert (frames.texture, frames.speed, frames.loop) == (sheet.name, 8.0, True)
    assert frames.frames == list(cuts.values())
    meta = beside[".png.meta"].read_text(encoding="utf-8")
    assert sheet_files.unity(meta, opened(answer).height) == cuts
    for cut, pose_ in zip(cuts.values(), expected, strict=True):
        assert same(sheet_files.cut(sheet, cut), pose_)
    assert "5 frames on one canvas of 10x21" in " ".join(answer["notes"])
    told = opened(answer).info["parameters"]
    assert "sheet=texturepacker,godot,unity animation=gif fps=8" in told
    moving = shown(beside[".gif"])
    assert [duration for duration, _ in moving] == [120, 130, 130, 120, 120]
    assert all(same(a, b) for (_, a), b in zip(moving, expected, strict=True))


async def test_a_sheet_has_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        sources = files(tmp_path / "in", POSES)
        wide = await made(session, sources, sheet="godot", columns=5)
        square = await made(session, sources, sheet="godot")

    assert opened(wide).size == (50, 21)
    assert opened(square).size == (30, 42)


async def test_an_atlas_is_tight_and_each_picture_keeps_its_own_size(tmp_path: Path) -> None:
    items = [pose(i, (40 + 9 * i, 60 - 5 * i)) for i in range(5)]
    async with in_memory(tmp_path) as session:
        answer = await made(
            session, files(tmp_path / "in", items, "item"), sheet="atlas,phaser,godot,unity"
        )

    sheet, beside = Path(answer["images"][0]["path"]), by_suffix(answer)
    cuts = sheet_files.phaser(json.loads(beside[".atlas.json"].read_text(encoding="utf-8")))
    frames = sheet_files.godot(beside[".tres"].read_text(encoding="utf-8"))
    assert frames.frames == list(cuts.values())
    meta = beside[".png.meta"].read_text(encoding="utf-8")
    sprites = sheet_files.unity(meta, opened(answer).height)
    pivots = sheet_files.unity_pivots(meta, opened(answer).height)
    for (name, cut), item in zip(cuts.items(), items, strict=True):
        assert same(sheet_files.cut(sheet, cut), item)
        assert sprites[name].rect == cut.rect
        left, top = cut.rect[0] - cut.offset[0], cut.rect[1] - cut.offset[1]
        foot = left + item.width / 2, top + item.height
        assert pivots[name] == pytest.approx(foot, abs=0.01)
    width, height = opened(answer).size
    assert width * height < 2 * sum(cut.rect[2] * cut.rect[3] for cut in cuts.values())


async def test_a_picture_is_cut_into_frames_that_are_stored(tmp_path: Path) -> None:
    whole = Image.new("RGBA", (128, 80))
    for place, image in enumerate(POSES):
        whole.paste(image, (place % 4 * 32, place // 4 * 40))
    async with in_memory(tmp_path) as session:
        source = files(tmp_path / "in", [whole], "board")
        by_grid = await made(session, source, slice="4x2")
        by_size = await made(session, source, slice="32x40px", sheet="godot,tiled")
        seen = await session.call_tool("view_image", {"image_id": by_grid["images"][4]["id"]})

    assert len(by_grid["images"]) == 5
    assert "5 frames of 32x40, of 8 cells; nothing is in 5, 6, 7" in by_grid["notes"][0]
    for image, expected in zip(by_grid["images"], POSES, strict=True):
        with Image.open(image["path"]) as frame:
            assert same(frame, expected)
            assert "Process: slice=4x2" in frame.info["parameters"]
    assert not seen.is_error
    beside = by_suffix(by_size)
    frames = sheet_files.godot(beside[".tres"].read_text(encoding="utf-8"))
    for cut, expected in zip(frames.frames, POSES, strict=True):
        assert same(sheet_files.cut(Path(by_size["images"][0]["path"]), cut), expected)


async def test_tiled_reads_the_tiles_where_they_were_in_their_cells(tmp_path: Path) -> None:
    tiles = [pose(i, (24, 40)) for i in range(6)]
    async with in_memory(tmp_path) as session:
        answer = await made(
            session, files(tmp_path / "in", tiles, "tile"), sheet="tiled", columns=3, fps=4
        )

    path = by_suffix(answer)[".tsx"]
    tileset: Tileset = read_tileset(ElementTree.parse(path).getroot(), 1, "utf-8", path.parent)
    assert (tileset.tile_width, tileset.tile_height) == (24, 40)
    assert (tileset.tile_count, tileset.columns) == (6, 3)
    assert tileset.image is not None
    assert tileset.image == Path(answer["images"][0]["path"])
    assert (tileset.image_width, tileset.image_height) == opened(answer).size == (72, 80)
    assert tileset.tiles is not None
    animation = tileset.tiles[0].animation or []
    assert [(f.tile_id, f.duration) for f in animation] == [(i, 250) for i in range(6)]
    for i, tile in enumerate(tiles):
        x, y = i % 3 * 24, i // 3 * 40
        assert same(opened(answer).crop((x, y, x + 24, y + 40)), tile)
    assert not any("canvas" in note for note in answer["notes"])


@pytest.mark.parametrize(("kind", "suffix"), [("apng", ".apng"), ("webp", ".animation.webp")])
async def test_an_animation_shows_each_frame_for_its_time(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    async with in_memory(tmp_path) as session:
        answer = await made(session, files(tmp_path / "in", POSES), animation=kind, fps="24 fps")

    expected = [on_baseline(image, CANVAS) for image in POSES]
    assert same(opened(answer), expected[0])
    moving = shown(by_suffix(answer)[suffix])
    assert [duration for duration, _ in moving] == [42, 41, 42, 42, 41]
    assert all(same(a, b) for (_, a), b in zip(moving, expected, strict=True))


async def test_a_gif_of_many_colours_and_soft_edges_says_what_it_lost(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 4), np.uint8)
    images = [Image.fromarray(one) for one in pixels]
    async with in_memory(tmp_path) as session:
        answer = await made(session, files(tmp_path / "in", images), animation="gif")

    notes = " ".join(answer["notes"])
    assert re.search(r"gif has 2\d\d colours for all frames, and they had more", notes)
    assert "gif has no soft edges" in notes
    content = by_suffix(answer)[".gif"].read_bytes()
    assert content[10] & 0x87 == 0x87, "a palette of 256 colours for the whole file"
    with Image.open(by_suffix(answer)[".gif"]) as moving:
        for place, image in enumerate(images):
            moving.seek(place)
            alpha = np.asarray(moving.convert("RGBA"))[..., 3]
            assert np.array_equal(alpha == 255, np.asarray(image)[..., 3] >= 128)


def badge(side: int) -> Image.Image:
    image = Image.new("RGBA", (side, side))
    ImageDraw.Draw(image).ellipse((side // 8, 0, side * 7 // 8, side - 1), fill=(30, 90, 200, 255))
    return image


async def test_icons_of_each_set_are_read_by_pillow(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        source = files(tmp_path / "in", [badge(1024)], "badge")
        answers = {
            kind: await made(session, source, icons=kind) for kind in ("ico", "icns", "web", "app")
        }

    with Image.open(by_suffix(answers["ico"])[".ico"]) as ico:
        assert ico.info["sizes"] == {(s, s) for s in (16, 24, 32, 48, 64, 128, 256)}
    with Image.open(by_suffix(answers["icns"])[".icns"]) as icns:
        assert {w * scale for w, _, scale in icns.info["sizes"]} == {
            *(16, 32, 64, 128, 256, 512, 1024),
        }
    web = by_suffix(answers["web"])
    manifest = json.loads(web[".webmanifest"].read_text(encoding="utf-8"))
    for icon in manifest["icons"]:
        with Image.open(web[".webmanifest"].parent / icon["src"]) as image:
            assert f"{image.width}x{image.height}" == icon["sizes"]
    with Image.open(web[".favicon.ico"]) as favicon:
        assert favicon.info["sizes"] == {(16, 16), (32, 32), (48, 48)}
    with Image.open(web[".apple-touch-icon-180.png"]) as touch:
        assert (touch.size, touch.mode) == ((180, 180), "RGB")
    with Image.open(web[".maskable-512.png"]) as maskable:
        rows, columns = np.nonzero((np.asarray(maskable.convert("RGB")) != 255).any(axis=-1))
    assert 190 < np.hypot(rows - 255.5, columns - 255.5).max() <= 0.4 * 512
    for suffix, path in by_suffix(answers["app"]).items():
        side = int(suffix.removesuffix(".png").rpartition("-")[2])
        with Image.open(path) as image:
            assert image.size == (side, side)
            assert image.mode == ("RGB" if suffix.startswith(".ios") else "RGBA")


async def test_icons_are_never_enlarged_in_silence(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        source = files(tmp_path / "in", [badge(40)], "badge")
        ico = await made(session, source, icons="ico")
        web = await process(session, source[0], icons="web")
        asked = await made(session, source, icons="web", width=512, height=512, resample="nearest")

    assert any("left out: 48, 64, 128, 256 pixels" in note for note in ico["notes"])
    assert "[INVALID_REQUEST]" in said(web)
    assert "has 40 pixels, and 512 are needed" in said(web)
    assert ".icon-512.png" in by_suffix(asked)


async def test_a_drawing_and_a_gif_stand_beside_the_picture(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        source = files(tmp_path / "in", [badge(64)], "badge")
        drawn = await made(session, source, output_format="svg", colors=2)
        still = await made(session, source, output_format="gif")

    text = by_suffix(drawn)[".svg"].read_text(encoding="utf-8")
    assert 'viewBox="0 0 64 64"' in text
    assert "script" not in text
    with Image.open(by_suffix(still)[".gif"]) as image:
        assert same(image, badge(64))


async def test_without_vtracer_it_is_said_how_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vtracer", None)
    async with in_memory(tmp_path) as session:
        source = files(tmp_path / "in", [badge(64)], "badge")
        answer = await process(session, source[0], output_format="svg")

    assert 'pip install "ziggie-image-mcp[svg]"' in said(answer)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"slice": "5x2"}, "32x40 pixels do not divide into 5x2 cells: another grid, or width=30"),
    ({"slice": "20x20px"}, "leave 12 and 0 pixels of 32x40"),
    ({"slice": "four"}, "columns x rows as 4x2"),
    ({"slice": "0x3"}, "1 to 1024 frames"),
    ({"slice": "1x1px"}, "1,280 frames are more than 1,024"),
    ({"slice": "2x2px"}, "320 frames to keep, and 64 may be"),
    ({"sheet": "godott"}, "Did you mean 'godot'?"),
    ({"sheet": "atlas,tiled"}, "leave out atlas"),
    ({"columns": 3}, "give sheet too"),
    ({"columns": 3, "sheet": "atlas"}, "without atlas"),
    ({"fps": 8}, "give animation too"),
    ({"fps": 61, "animation": "apng"}, "1 to 60"),
    ({"fps": 60, "animation": "gif"}, "1 to 50 for gif"),
    ({"animation": "gif"}, "two or more pictures that differ"),
    ({"animation": "mp4"}, "gif, apng or webp"),
    ({"icons": "ico", "sheet": "godot"}, "icons are of one picture"),
    ({"sheet": "godot", "output_format": "webp"}, "keep a png"),
    ({"sheet": "godot", "upscale": 2}, "first upscale alone"),
    ({"icons": "ico", "output_format": "jpeg"}, "icons are of a png"),
]


async def test_what_cannot_be_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    opaque = Image.new("RGBA", (32, 40), "red")
    source = files(tmp_path / "in", [opaque], "source")[0]
    async with in_memory(tmp_path) as session:
        answers = [await process(session, source, **asked) for asked, _ in REFUSED]

    for answer, (asked, told) in zip(answers, REFUSED, strict=True):
        assert answer.is_error, asked
        assert told in said(answer)
        assert "[INVALID" in said(answer)
    assert len(list((tmp_path / "pictures").rglob("*.*"))) == 1, "the input alone"


async def test_a_ground_that_no_key_removes_is_not_packed(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        answer = await process(
            session, landscape(tmp_path / "in"), remove_background=True, icons="ico"
        )

    assert "first remove_background alone" in said(answer)


async def test_tiles_of_two_sizes_are_no_tileset(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        sources = files(tmp_path / "in", [pose(1), pose(2, (40, 40))])
        answer = await process(session, ", ".join(sources), sheet="tiled")

    assert "these are 32x40, 40x40" in said(answer)


async def test_frames_that_would_need_a_giant_canvas_are_refused(tmp_path: Path) -> None:
    long = [Image.new("RGB", size, "red") for size in ((4500, 16), (16, 4500))]
    async with in_memory(tmp_path) as session:
        answer = await process(session, ", ".join(files(tmp_path / "in", long)), sheet="godot")

    assert "2 frames of 4500x4500 are 40 million pixels" in said(answer)


async def test_svg_is_made_of_finished_pictures_only(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        answer = await session.call_tool(
            "generate_image", {"prompt": "a cat", "output_format": "svg"}
        )

    assert "png, webp or jpeg" in said(answer)


def test_the_command_writes_the_sheet_and_what_names_it_under_the_new_name(tmp_path: Path) -> None:
    target = tmp_path / "my & hero.png"

    done = run(
        "process",
        *files(tmp_path / "in", POSES),
        *("--sheet", "texturepacker,godot,unity,tiled", "--animation", "gif", "--fps", "8"),
        *("-o", str(target), "--json"),
    )

    answer = json.loads(done.stdout)["images"][0]
    names = [f"my & hero{end}" for end in (".atlas.json", ".tres", ".png.meta", ".tsx", ".gif")]
    assert [Path(file).name for file in answer["side_files"]] == names
    assert len(answer["files"]) == 5
    hash_data = json.loads((tmp_path / names[0]).read_text(encoding="utf-8"))
    assert hash_data["meta"]["image"] == target.name
    assert (
        sheet_files.godot((tmp_path / names[1]).read_text(encoding="utf-8")).texture == target.name
    )
    assert "my &amp; hero.png" in (tmp_path / names[3]).read_text(encoding="utf-8")
    assert len(shown(tmp_path / names[4])) == 5


def test_a_name_of_what_belongs_to_the_picture_is_that_files_name(tmp_path: Path) -> None:
    sources = files(tmp_path / "in", POSES)

    moving = run("process", *sources, "--animation", "gif", "-o", str(tmp_path / "walk.gif"))
    drawn = run("process", sources[0], "-o", str(tmp_path / "hero.svg"))
    again = run("process", sources[0], "-o", str(tmp_path / "hero.svg"))

    assert moving.stdout.split() == [str(tmp_path / "walk.png"), str(tmp_path / "walk.gif")]
    assert (tmp_path / "walk.gif").read_bytes().startswith(b"GIF89a")
    assert drawn.stdout.split() == [str(tmp_path / "hero.png"), str(tmp_path / "hero.svg")]
    assert "<svg" in (tmp_path / "hero.svg").read_text(encoding="utf-8")
    assert again.returncode == 1
    assert "it is there already" in again.stderr


def test_frames_of_several_pictures_are_numbered_through(tmp_path: Path) -> None:
    sources = files(tmp_path / "in", [pose(1, (64, 40)), pose(2, (64, 40))])

    run("process", *sources, "--slice", "2x1", "-o", str(tmp_path / "f.webp"))

    assert sorted(path.name for path in tmp_path.glob("f*")) == ["f-1.webp", "f-2.webp"]


async def test_a_frame_that_comes_twice_has_two_names(tmp_path: Path) -> None:
    a, b = files(tmp_path / "in", POSES[:2])
    async with in_memory(tmp_path) as session:
        answer = await made(session, [a, b, a], sheet="phaser", animation="webp")

    data_ = json.loads(by_suffix(answer)[".atlas.json"].read_text(encoding="utf-8"))
    assert list(data_["frames"]) == ["walk-0_0", "walk-1", "walk-0_1"]
    assert len(shown(by_suffix(answer)[".animation.webp"])) == 3


async def test_small_tiles_are_packed_though_no_model_takes_them(tmp_path: Path) -> None:
    tiles = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue", "black")]
    async with in_memory(tmp_path) as session:
        sources = files(tmp_path / "in", tiles, "tile")
        answer = await made(session, sources, sheet="tiled")
        again = await made(session, [answer["images"][0]["id"]], slice="8px")
        large = await process(session, sources[0], upscale=2)

    assert opened(answer).size == (16, 16)
    for image, tile in zip(again["images"], tiles, strict=True):
        with Image.open(image["path"]) as cell:
            assert same(cell, tile)
    assert "sides of 16 pixels at least" in said(large)


async def test_a_palette_is_one_for_all_frames_of_a_sheet(tmp_path: Path) -> None:
    images = [
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8))
        for i in range(3)
    ]
    async with in_memory(tmp_path) as session:
        answer = await made(session, files(tmp_path / "in", images), sheet="godot", colors=8)

    pixels = np.asarray(opened(answer).convert("RGBA")).reshape(-1, 4)
    assert len(np.unique(pixels[pixels[:, 3] > 0, :3], axis=0)) <= 8
    assert to_png(opened(answer))
