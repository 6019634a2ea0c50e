"""Names of pictures as models and people write them, and the kinds of files that are taken."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import anyio.to_thread
import pytest
from PIL import Image

from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.storage.artifact_store import ArtifactStore, slug
from ziggie_image_mcp.storage.input_images import ANY_FILE, InputImages, Reach
from ziggie_image_mcp.storage.picture_ids import named_id, owner_of

ID = "20261123-0123456789abcdef"
THEIRS = f"{ID}-0a1b2c3d"


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f" {ID}\n",
        f'"{ID}"',
        f"'{ID}'",
        f"`{ID}`",
        f"<{ID}>",
        f"image://{ID}",
        f"IMAGE://{ID}",
        f"image://{ID}?max=512",
        f'"image://{ID}"',
        f"image://{quote(ID)}/",
        f"{ID}.png",
        f"a-cat-{ID}.png",
        f"ein-schöner-tag-{ID}.webp",
        f"/home/me/Pictures/2026-11-23/a-cat-{ID}.png",
        f"C:\\Users\\me\\Pictures\\a-cat-{ID}.jpg",
        f"s3://bucket/prefix/2026-11-23/a-cat-{ID}.png",
        f"http://127.0.0.1:8765/mcp/download/{ID}.1795920857.{'0a' * 32}",
        f"20250101-{'0' * 16}-{ID}.png",
    ],
)
def test_an_id_is_known_in_every_form_that_answers_print(text: str) -> None:
    assert named_id(text) == ID


@pytest.mark.parametrize(
    "text", ["", "cat.png", ID[:-1], f"{ID}0", f"a{ID}.gif", f"image://x{ID[1:]}", "image://"]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert named_id(text) is None


def test_whose_a_picture_is_shows_in_every_form() -> None:
    assert {owner_of(form) for form in (THEIRS, f"image://{THEIRS}", f"/x/y-{THEIRS}.png")} == {
        "0a1b2c3d"
    }


def picture(kind: str = "PNG", *, frames: int = 1) -> bytes:
    first = Image.new("RGB", (32, 24), "red")
    more = [Image.new("RGB", (32, 24), colour) for colour in ("green", "blue")][: frames - 1]
    out = io.BytesIO()
    if more:
        first.save(out, kind, save_all=True, append_images=more)
    else:
        first.save(out, kind)
    return out.getvalue()


@pytest.fixture
def inputs(tmp_path: Path) -> InputImages:
    return InputImages(ArtifactStore(tmp_path / "pictures"), [tmp_path])


def forms(path: Path) -> list[str]:
    escaped = str(path).replace(" ", "\\ ")
    return [
        str(path),
        f"  {path}\n",
        f'"{path}"',
        f"'{path}'",
        f"`{path}`",
        escaped,
        path.as_uri(),
        f"file://localhost{quote(str(path))}",
        f"FILE://{quote(str(path))}",
        f"file:{quote(str(path))}",
    ]


@pytest.mark.parametrize("number", range(10))
def test_a_path_is_taken_quoted_padded_escaped_and_as_a_url(
    number: int, tmp_path: Path, inputs: InputImages
) -> None:
    path = tmp_path / "my cät, and dog.png"
    path.write_bytes(picture())

    image = inputs.image(forms(path)[number])

    assert (image.width, image.height) == (32, 24)


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64,{plain}",
        "DATA:image/png;base64,{plain}",
        "data:;base64,{plain}",
        "data:image/jpeg;base64,{plain}",
        "data:image/png;charset=utf-8;base64,{wrapped}",
        "data:image/png;base64,{bare}",
        "data:image/png;base64,{url_safe}",
        " data:image/png,{percent} ",
    ],
)
@pytest.mark.parametrize("reach", [Reach(), Reach(files="none", owner="0a1b2c3d")])
def test_a_data_url_is_a_picture_for_everybody(
    text: str, reach: Reach, inputs: InputImages
) -> None:
    data = picture()
    plain = base64.b64encode(data).decode()
    values = {
        "plain": plain,
        "wrapped": "\n".join(plain[i : i + 40] for i in range(0, len(plain), 40)),
        "bare": plain.rstrip("="),
        "url_safe": base64.urlsafe_b64encode(data).decode(),
        "percent": quote(data),
    }

    image = inputs.image(text.format(**values), reach=reach)

    assert (image.width, image.height) == (32, 24)
    assert owner_of(image.id) == (reach.owner or "")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("data:image/png;base64", "a data URL is"),
        ("data:image/png;base64,!!!!", "no base64"),
        ("data:text/plain,hello", "no PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"),
        ("file://server/share/cat.png", "a file of another machine"),
        ("https://example.com/cat.png", "set inputUrls: true"),
        ("http://example.com/cat.png", "set inputUrls: true"),
        ("cat.png", "give an id, or a file's whole path"),
        (ID, "no picture has this id"),
        (f"image://{ID}", "no picture has this id"),
    ],
)
def test_what_cannot_be_read_is_told_with_the_way_out(
    text: str, fix: str, inputs: InputImages
) -> None:
    with pytest.raises(InvalidRequest, match=fix) as caught:
        inputs.image(text)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("kind", "frames"),
    [("GIF", 3), ("GIF", 1), ("BMP", 1), ("TIFF", 1), ("TIFF", 2), ("AVIF", 1), ("WEBP", 2)],
)
def test_other_kinds_of_files_are_taken_and_further_frames_are_told(
    kind: str, frames: int, tmp_path: Path, inputs: InputImages
) -> None:
    path = tmp_path / f"cat.{kind.lower()}"
    path.write_bytes(picture(kind, frames=frames))

    image = inputs.image(str(path))

    pixel = inputs.open(image).convert("RGB").getpixel((5, 5))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 200 > 60 > pixel[2], "the first frame"
    told = f"cat.{kind.lower()} has {frames} frames, of which the first is worked on"
    assert image.note == (told if frames > 1 else "")


def test_of_a_mask_with_many_frames_it_is_told_too(tmp_path: Path, inputs: InputImages) -> None:
    path = tmp_path / "mask.gif"
    path.write_bytes(picture("GIF", frames=3))

    assert inputs.mask(str(path)).note == "mask.gif has 3 frames, of which the first is worked on"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF"])
def test_a_damaged_file_of_such_a_kind_is_refused(
    kind: str, tmp_path: Path, inputs: InputImages
) -> None:
    path = tmp_path / "cat"
    path.write_bytes(picture(kind)[:40] + b"\0" * 40)

    with pytest.raises(InvalidRequest, match="damaged picture"):
        inputs.image(str(path))


async def test_an_address_is_fetched_only_where_that_is_switched_on_and_from_the_open_internet(
    tmp_path: Path,
) -> None:
    async def private(host: str) -> Sequence[str]:
        return ["10.0.0.7"]

    store = ArtifactStore(tmp_path)
    on = InputImages(store, [], urls=True, resolver=private)

    async def refused(url: str) -> str:
        with pytest.raises(InvalidRequest) as caught:
            await anyio.to_thread.run_sync(on.image, url)
        return str(caught.value)

    assert "inside a private network" in await refused("https://intranet.example/cat.png")
    assert "not https" in await refused("http://example.com/cat.png")
    assert "on this machine" in await refused("https://localhost/cat.png")
    assert "private network" in await refused("https://169.254.169.254/latest")
    assert "on this machine" in await refused("https://[::1]/cat.png")


def test_a_picture_that_was_changed_by_hand_is_not_taken_for_the_stored_one(
    tmp_path: Path,
) -> None:
    store = ArtifactStore(tmp_path / "pictures")
    inputs = InputImages(store, [tmp_path])
    first = tmp_path / "first.png"
    first.write_bytes(picture())
    kept = inputs.image(str(first))
    copy = tmp_path / f"mine-{kept.id}.png"
    Image.new("RGB", (64, 64), "blue").save(copy)

    assert inputs.image(str(copy)).width == 64
    assert inputs.image(store.find(kept.id)).id == kept.id
    assert inputs.image(copy.name, reach=ANY_FILE).id == kept.id, "a bare name is the store's"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A red Cat!", "a-red-cat"),
        ("Füchse & Bären", "füchse-bären"),
        ("красный кот", "красный-кот"),
        ("赤い猫", "赤い猫"),
        ("قطة حمراء", "قطة-حمراء"),
        ("हिन्दी बिल्ली", "हिन्दी-बिल्ली"),
        ("e\u0301te\u0301", "été"),
        ("../../etc/passwd", "etc-passwd"),
        ("con", "picture-con"),
        ("\u202egnp.exe", "gnp-exe"),
        ("🐱🐶", "picture"),
        ("a\0b", "a-b"),
        ("a" * 300, "a" * 48),
        ("猫" * 300, "猫" * 40),
    ],
)
def test_names_keep_the_letters_of_every_script(text: str, name: str) -> None:
    assert slug(text) == name
    assert len(slug(text).encode()) <= 120


async def test_the_file_name_is_honoured_on_a_cache_hit(tmp_path: Path) -> None:
    fake = FakeProvider()
    ask = {"prompt": "x", "seed": 5}
    async with client(service(tmp_path, fake)) as session:
        first = data(await session.call_tool("generate_image", ask | {"file_name": "one"}))
        same = data(await session.call_tool("generate_image", ask | {"file_name": "one"}))
        other = data(await session.call_tool("generate_image", ask | {"file_name": "zwei"}))
        seen = await session.call_tool("view_image", {"image_id": other["images"][0]["path"]})

    (one,), (again,), (two,) = first["images"], same["images"], other["images"]
    assert len(fake.seen) == 1
    assert again == one
    assert two["id"] != one["id"]
    assert Path(two["path"]).name.startswith("zwei-")
    assert Path(two["path"]).read_bytes() == Path(one["path"]).read_bytes()
    assert data(seen)["id"] == two["id"]


async def test_an_edit_takes_links_and_says_which_frame_it_worked_on(tmp_path: Path) -> None:
    moving = tmp_path / "cat.gif"
    moving.write_bytes(picture("GIF", frames=3))
    fake = FakeProvider(models=[model(tasks=("text_to_image", "image_to_image"))])
    made = service(tmp_path, fake, inputDirectories=[str(tmp_path)])
    async with client(made) as session:
        first = data(await session.call_tool("generate_image", {"prompt": "x"}))
        link = {"prompt": "y", "image": f"image://{first['images'][0]['id']}"}
        edited = data(await session.call_tool("edit_image", link))
        frame = data(await session.call_tool("edit_image", {"prompt": "y", "image": str(moving)}))
        wrong = await session.call_tool("edit_image", {"prompt": "y", "image": ""})

    assert edited["edited"] == first["images"][0]["id"]
    assert "cat.gif has 3 frames, of which the first is worked on" in frame["notes"]
    assert wrong.is_error
    assert "image=" in said(wrong)


def test_a_file_beside_a_person_at_the_terminal_needs_no_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.hex").write_text("ff0044\n")
    monkeypatch.chdir(tmp_path)
    inputs = InputImages(ArtifactStore(tmp_path / "store"), [tmp_path])

    assert inputs.file("palette", "my.hex", reach=ANY_FILE) == b"ff0044\n"
    with pytest.raises(InvalidRequest, match="whole path"):
        inputs.file("palette", "my.hex")
