"""Pictures on disk: what is refused, how files are named and written, and how they come back."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from ziggie_image_mcp.errors import ImageNotFound, ImageTooLarge, InvalidOutput, StorageError
from ziggie_image_mcp.provider import OutputFormat
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.storage import artifact_store
from ziggie_image_mcp.storage.artifact_store import PREVIEW_BASE64, ArtifactStore, slug
from ziggie_image_mcp.storage.types import Recipe

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "prompt": "a fox, naïve ✨",
        "negative_prompt": "dogs",
        "provider": "fake",
        "model": "m",
        "seed": 7,
        "steps": 20,
        "guidance_scale": 5.0,
        "width": 64,
        "height": 64,
    }
    return Recipe(**(values | changes))


def noise(width: int, height: int, mode: str = "RGB") -> bytes:
    size = width * height * len(mode)
    out = io.BytesIO()
    Image.frombytes(mode, (width, height), random.Random(1).randbytes(size)).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_kept_with_its_recipe(tmp_path: Path) -> None:
    saved = ArtifactStore(tmp_path).save(picture(), recipe(), now=NOW)

    path = Path(saved.path)
    assert path.parent == tmp_path / "2026-11-23"
    assert path.name == f"a-fox-na-ve-{saved.id}.png" or path.name.startswith("a-fox")
    with Image.open(path) as image:
        text = dict(image.info)
    assert text["parameters"] == (
        "a fox, naïve ✨\nNegative prompt: dogs\n"
        "Steps: 20, CFG scale: 5, Seed: 7, Size: 64x64, Model: m, "
        "Provider: fake, Version: ziggie-image-mcp"
    )
    assert json.loads(text["ziggie-image"])["seed"] == 7
    sidecar = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert sidecar["prompt"] == "a fox, naïve ✨"
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_other_formats_carry_the_recipe_too(format: OutputFormat, tmp_path: Path) -> None:
    saved = ArtifactStore(tmp_path).save(picture(), recipe(), format=format, now=NOW)

    with Image.open(saved.path) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert saved.media_type == f"image/{format}"
    assert "Seed: 7" in comment.removeprefix(b"UNICODE\0").decode("utf-16-be")


def test_the_recipe_can_be_kept_out(tmp_path: Path) -> None:
    saved = ArtifactStore(tmp_path, metadata=False).save(
        picture(), recipe(), hint="secret-free", now=NOW
    )

    assert b"naive" not in Path(saved.path).read_bytes()
    assert "prompt" not in Path(saved.path).with_suffix(".json").read_text(encoding="utf-8")


def test_what_the_engine_wrote_into_the_file_does_not_travel(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", '{"3": {"class_type": "KSampler", "path": "C:/private"}}')
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG", pnginfo=info)

    saved = ArtifactStore(tmp_path).save(out.getvalue(), recipe(), now=NOW)

    assert b"KSampler" not in Path(saved.path).read_bytes()


def test_transparency_is_kept(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(out, "PNG")

    saved = ArtifactStore(tmp_path).save(out.getvalue(), recipe(), now=NOW)

    with Image.open(saved.path) as image:
        assert image.mode == "RGBA"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>not a picture</html>",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        noise(64, 64)[:2000],
        picture(colour="black"),
    ],
    ids=["empty", "html", "header only", "truncated", "black"],
)
def test_what_is_no_usable_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidOutput) as caught:
        ArtifactStore(tmp_path).save(data, recipe(), now=NOW)

    assert caught.value.provider == "fake"
    assert list(tmp_path.iterdir()) == []


def with_light(share: float, ground: int = 0, light: int = 255, mode: str = "RGB") -> bytes:
    """A ground of one level with lights on so much of it, as PNG."""
    side = 400
    grey = Image.new("L", (side, side), ground)
    for i in range(round(share * side * side)):
        grey.putpixel((i * 7919 % side, i * 7919 // side % side), light)
    image = grey.convert(mode)
    if mode == "I;16":
        image = grey.convert("I").point(lambda value: value * 257).convert("I;16")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("share", [0.0, 1 / 160_000, 9 / 160_000])
def test_what_is_black_but_for_a_few_pixels_is_refused_in_every_mode(
    share: float, mode: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOutput, match="blank"):
        ArtifactStore(tmp_path).save(with_light(share, mode=mode), recipe(), now=NOW)


def test_what_an_encoder_makes_of_black_is_black(tmp_path: Path) -> None:
    with pytest.raises(InvalidOutput, match="blank"):
        ArtifactStore(tmp_path).save(with_light(1 / 9, 0, 2), recipe(), now=NOW)


@pytest.mark.parametrize(
    "data",
    [
        with_light(1 / 1000),
        with_light(1 / 9),
        with_light(0.5, 0, 4),
        with_light(0.0, 6),
        with_light(1 / 1000, mode="I;16"),
    ],
    ids=["stars", "lights", "a dark night", "dusk", "16 bits"],
)
def test_a_dark_picture_is_a_picture(data: bytes, tmp_path: Path) -> None:
    ArtifactStore(tmp_path).save(data, recipe(), now=NOW)


def test_a_black_sign_on_transparent_ground_is_a_picture(tmp_path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (20, 20, 40, 40))
    out = io.BytesIO()
    image.save(out, "PNG")

    ArtifactStore(tmp_path).save(out.getvalue(), recipe(), now=NOW)


@pytest.mark.parametrize("format", ["webp", "png"])
def test_lossless_keeps_every_pixel(format: OutputFormat, tmp_path: Path) -> None:
    data = noise(64, 64, "RGBA")

    saved = ArtifactStore(tmp_path).save(data, recipe(), format=format, now=NOW, lossless=True)

    with Image.open(saved.path) as image, Image.open(io.BytesIO(data)) as original:
        assert image.tobytes() == original.tobytes()


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("1", (10_000, 9_000), 1).save(out, "PNG")

    with pytest.raises(InvalidOutput):
        ArtifactStore(tmp_path).save(out.getvalue(), recipe(), now=NOW)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the test below serves")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(StorageError, match=r"output\.directory"):
        ArtifactStore(tmp_path / "pictures").check_writable()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    store = ArtifactStore(tmp_path / "file" / "pictures")

    with pytest.raises(StorageError, match="pictures"):
        store.check_writable()
    with pytest.raises(StorageError):
        store.save(picture(), recipe(), now=NOW)


def test_a_copy_without_its_sidecar_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    saved = store.save(picture(), recipe())

    def token(_bytes: int) -> str:
        return "0" * 16

    monkeypatch.setattr(secrets, "token_hex", token)
    in_the_way = f"again-{saved.id[:8]}-{'0' * 16}.json"
    (Path(saved.path).parent / in_the_way).mkdir()
    before = set(tmp_path.rglob("*"))

    with pytest.raises(StorageError, match="cannot be written"):
        store.copy(saved, "again")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\x", "c-windows-x"),
        ("CON", "picture-con"),
        ("", "picture"),
        ("🦊", "picture"),
        ("x" * 200, "x" * 48),
        ("a\0b/c", "a-b-c"),
    ],
)
def test_a_hint_never_becomes_a_path(hint: str, name: str) -> None:
    assert slug(hint) == name


def test_a_saved_picture_is_found_by_its_id_alone(tmp_path: Path) -> None:
    saved = ArtifactStore(tmp_path).save(picture(), recipe(), now=NOW)

    assert str(ArtifactStore(tmp_path).find(saved.id)) == saved.path


@pytest.mark.parametrize("image_id", ["", "x", "../x", "20261123-zz", "*", "20261123-" + "0" * 16])
def test_an_unknown_id_is_an_error_that_says_how_ids_look(image_id: str, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="generate_image"):
        ArtifactStore(tmp_path).find(image_id)


@pytest.mark.parametrize("share", [1, 4, 16])
def test_previews_stay_within_the_limit_of_one_result(share: int, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    saved = store.save(noise(1024, 1024), recipe(), now=NOW)

    preview = store.preview(saved.id, share=share)

    assert len(base64.b64encode(preview.data)) * share <= PREVIEW_BASE64
    assert max(preview.width, preview.height) <= 768
    assert media_type(preview.data) == preview.media_type


def test_a_small_picture_is_not_blown_up(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    saved = store.save(picture(64, 48), recipe(), now=NOW)

    preview = store.preview(saved.id)

    assert (preview.width, preview.height) == (64, 48)


def test_a_huge_file_is_never_read_as_other_bytes(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    saved = store.save(noise(2000, 1400), recipe(), now=NOW)
    assert saved.bytes > artifact_store.RESOURCE_BYTES

    with pytest.raises(ImageTooLarge, match=f"{saved.bytes:,} bytes") as refused:
        store.read(saved.id)

    assert refused.value.path == saved.path
