"""The index of pictures: what it finds, how it keeps up, and how little it opens for that."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.storage import blobs, thumbnails
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.blobs import Entry
from ziggie_image_mcp.storage.picture_index import MOST_READ, PictureIndex
from ziggie_image_mcp.storage.picture_search import Search
from ziggie_image_mcp.storage.types import Recipe, StoredImage


class CountingFiles:
    """The store's own files, with a list of those that were opened and of the folders listed."""

    def __init__(self, root: Path) -> None:
        self.inner = blobs.at(root)
        self.far = False
        self.opened: list[str] = []
        self.listed: list[str] = []

    def check_writable(self) -> None:
        self.inner.check_writable()

    def write(self, folder: str, name: str, data: bytes) -> str:
        return self.inner.write(folder, name, data)

    def find(self, folder: str, part: str) -> list[Entry]:
        self.listed.append(folder)
        return self.inner.find(folder, part)

    def get(self, folder: str, name: str) -> bytes | None:
        self.opened.append(name)
        return self.inner.get(folder, name)

    def path(self, folder: str, name: str) -> str:
        return self.inner.path(folder, name)

    def read(self, path: str) -> bytes:
        self.opened.append(path)
        return self.inner.read(path)

    def delete(self, paths: Sequence[str]) -> None:
        self.inner.delete(paths)

    def days(self) -> list[str]:
        return self.inner.days()

    def names(self, folder: str) -> list[str]:
        self.listed.append(folder)
        return self.inner.names(folder)

    def changed(self, folder: str) -> int | None:
        return self.inner.changed(folder)


class Place:
    """A folder of pictures."""

    def __init__(self, root: Path) -> None:
        self.root: Path | str = root
        self.files = CountingFiles(root)


def save(
    store: ArtifactStore, prompt: str, model: str = "m", image_id: str | None = None
) -> StoredImage:
    recipe = Recipe(
        prompt=prompt,
        negative_prompt="",
        provider="fake",
        model=model,
        seed=1,
        steps=None,
        guidance_scale=None,
        width=64,
        height=64,
    )
    return store.save(picture(64, 64), recipe, image_id=image_id)


def prompts(index: PictureIndex, **search: object) -> list[str]:
    assert index.catch_up() == 0
    page = index.search(Search(**search), most=100)  # type: ignore[arg-type]
    assert page.total == len(page.pictures)
    return [one.prompt for one in page.pictures]


def rested(folder: Path) -> None:
    """As if the folder had last changed a minute ago."""
    then = time.time() - 60
    os.utime(folder, (then, then))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "pictures")


@pytest.fixture
def index(tmp_path: Path, store: ArtifactStore) -> PictureIndex:
    return PictureIndex(tmp_path, store)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", ["日本の猫", "Ünder 100% [sea] *", "a red fox"]),
        ("fox", ["a red fox"]),
        ("FOX re", ["a red fox"]),
        ("ünder", ["Ünder 100% [sea] *"]),
        ("100%", ["Ünder 100% [sea] *"]),
        ("[sea] *", ["Ünder 100% [sea] *"]),
        ("猫", ["日本の猫"]),
        ("fox sea", []),
        ('"', []),
        ("%", ["Ünder 100% [sea] *"]),
    ],
)
def test_words_are_parts_of_the_prompt(
    words: str, expected: list[str], store: ArtifactStore, index: PictureIndex
) -> None:
    for number, prompt in enumerate(["a red fox", "Ünder 100% [sea] *", "日本の猫"]):
        save(store, prompt, image_id=f"2026112{number}-0123456789abcdef")

    assert sorted(prompts(index, words=words)) == sorted(expected)


def test_what_is_saved_and_deleted_later_is_seen(store: ArtifactStore, index: PictureIndex) -> None:
    first = save(store, "one")
    assert prompts(index) == ["one"]
    save(store, "two")
    assert sorted(prompts(index)) == ["one", "two"]
    Path(first.path).unlink()

    assert prompts(index) == ["two"]
    assert prompts(index, words="one") == []


def test_model_day_and_owner_are_told_apart(store: ArtifactStore, index: PictureIndex) -> None:
    save(store, "mine", model="a/b")
    save(store, "hers", model="c", image_id="20261101-0123456789abcdef-00c0ffee")

    assert prompts(index, model="fake/a/b") == ["mine"]
    assert prompts(index, owner="") == ["mine"]
    assert prompts(index, owner="00c0ffee") == ["hers"]
    assert prompts(index, first=date(2000, 1, 1), last=date(2000, 1, 2)) == []
    assert [(one.model, one.pictures) for one in index.models("00c0ffee")] == [("c", 1)]


def test_broken_and_foreign_files_blank_nothing(
    tmp_path: Path, store: ArtifactStore, index: PictureIndex
) -> None:
    day = Path(save(store, "good").path).parent
    number = day.name.replace("-", "")
    for name, text in (
        ("holiday.jpg", "x"),
        (f"x-{number}-00000000000000aa.png", "no picture"),
        (f"x-{number}-00000000000000aa.json", "{no json"),
        (f"x-{number}-00000000000000bb.png", "no picture"),
        (f"x-{number}-00000000000000bb.json", '{"prompt": 7, "made": "\\ud800"}'),
        (f"x-{number}-00000000000000cc.png", "only put in"),
        ("x-20200101-00000000000000dd.png", "of another day"),
        ("x-20200101-00000000000000dd.json", "{}"),
    ):
        (day / name).write_text(text, encoding="utf-8")
    (tmp_path / "pictures" / "2026-99-99").mkdir()

    assert sorted(prompts(index)) == ["", "", "good"]


def test_the_index_may_be_deleted_and_damaged(store: ArtifactStore, index: PictureIndex) -> None:
    save(store, "a fox")
    assert prompts(index) == ["a fox"]
    index.file.unlink()
    assert prompts(index) == ["a fox"]
    index.file.write_bytes(b"no database " * 1000)

    assert prompts(index) == ["a fox"]


def test_ten_thousand_pictures_are_read_once_in_bounded_looks_and_never_again(
    tmp_path: Path,
) -> None:
    """The sidecars are hard links to two, and the pictures to one, which is never opened."""
    root = tmp_path / "pictures"
    plain, fox, png = (tmp_path / name for name in ("plain", "fox", "png"))
    for file, prompt in ((plain, "a picture"), (fox, "a fox"), (png, "")):
        file.write_text(json.dumps({"prompt": prompt, "provider": "p", "model": "m"}), "utf-8")
    for month in range(10):
        day = root / f"2026-{1 + month:02}-15"
        day.mkdir(parents=True)
        for n in range(1_000):
            stem = f"{day}/x-{day.name.replace('-', '')}-{n:016x}"
            os.link(fox if n % 100 == 0 else plain, f"{stem}.json")
            os.link(png, f"{stem}.png")
    for day in root.iterdir():
        rested(day)
    place = Place(root)
    index = PictureIndex(tmp_path, place)

    left = [index.catch_up() for _ in range(5)]
    read = len(place.files.opened)
    place.files.opened.clear()
    place.files.listed.clear()
    assert index.catch_up() == 0
    page = index.search(Search(words="fox"), most=60)
    last = index.search(Search(), most=60, skip=9_960)

    assert left == [8_000, 6_000, 4_000, 2_000, 0]
    assert read == 5 * MOST_READ
    assert (place.files.opened, place.files.listed) == ([], [])
    assert (page.total, len(page.pictures)) == (100, 60)
    assert (last.total, len(last.pictures)) == (10_000, 40)
    with sqlite3.connect(index.file) as connection:
        for query in (
            "SELECT id FROM pictures ORDER BY made DESC, id DESC LIMIT 60",
            "SELECT id FROM pictures WHERE owner = '' ORDER BY made DESC, id DESC LIMIT 60",
        ):
            plan = str(connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
            assert "TEMP B-TREE" not in plan
    connection.close()


def test_thumbnails_are_made_once_and_deleted_with_their_pictures(
    tmp_path: Path, store: ArtifactStore, index: PictureIndex
) -> None:
    kept, deleted, old = (save(store, text) for text in ("kept", "deleted", "old"))
    index.catch_up()
    day = Path(kept.path).parent.name
    folder = tmp_path / "pictures" / ".thumbnails" / day
    for image in (kept, deleted, old):
        name = Path(image.path).name
        assert thumbnails.thumbnail(store.files, day, name, image.id) is not None
    Path(kept.path).write_bytes(b"not looked at again")
    again = thumbnails.thumbnail(store.files, day, Path(kept.path).name, kept.id)
    assert again is not None
    assert again[8:12] == b"WEBP"

    Path(deleted.path).unlink()
    index.catch_up()
    assert sorted(p.stem for p in folder.iterdir()) == sorted([kept.id, old.id])
    store.clean(date(2999, 1, 1))
    assert list(folder.iterdir()) == []
