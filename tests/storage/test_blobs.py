"""Pictures on a disk and on URLs: the same store, the same promises."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import s3
from ziggie_image_mcp.errors import ImageNotFound, StorageError
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.types import Recipe

DAY = datetime(2026, 11, 24, 12, tzinfo=UTC)
RECIPE = Recipe(
    prompt="a red star",
    negative_prompt="",
    provider="fake",
    model="m",
    seed=1,
    steps=4,
    guidance_scale=1.0,
    width=64,
    height=64,
)


@pytest.fixture(scope="module")
def bucket() -> Generator[dict[str, str]]:
    with s3.server("pictures") as environment:
        yield dict(environment)


@pytest.fixture(params=["folder", "file", "memory", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ArtifactStore:
    if request.param == "s3":
        for name, value in request.getfixturevalue("bucket").items():
            monkeypatch.setenv(name, value)
        return ArtifactStore(f"s3://pictures/{uuid4().hex}")
    if request.param == "folder":
        return ArtifactStore(tmp_path / "pictures")
    root = f"{tmp_path}/pictures" if request.param == "file" else f"/{uuid4().hex}"
    return ArtifactStore(f"{request.param}://{root}")


def test_what_is_saved_is_found_read_and_shown(store: ArtifactStore) -> None:
    store.check_writable()
    saved = store.save(picture(), RECIPE, now=DAY)

    assert saved.path.startswith(str(store.root))
    assert saved.path.endswith(f"/2026-11-24/a-red-star-{saved.id}.png")
    assert store.find(saved.id) == saved.path
    assert store.stored(saved.id, 1) == saved
    assert len(store.read(saved.id)[0]) == saved.bytes
    assert store.preview(saved.id).width == 64


def test_the_same_id_again_is_the_same_picture(store: ArtifactStore) -> None:
    image_id = "20261124-0123456789abcdef"
    first = store.save(picture(colour="red"), RECIPE, image_id=image_id)
    second = store.save(picture(colour="blue"), RECIPE, image_id=image_id)

    assert (first.id, first.path) == (second.id, second.path) == (image_id, store.find(image_id))


def test_who_is_not_there_is_not_found(store: ArtifactStore) -> None:
    with pytest.raises(ImageNotFound):
        store.find("20261124-ffffffffffffffff")


def test_cleaning_takes_the_old_days_and_leaves_the_rest(store: ArtifactStore) -> None:
    old = store.save(picture(), RECIPE, now=datetime(2026, 1, 2, tzinfo=UTC))
    new = store.save(picture(), RECIPE, now=DAY)

    gone = store.clean(date(2026, 11, 1))

    assert (gone.pictures, gone.bytes) == (1, old.bytes)
    assert store.find(new.id) == new.path
    with pytest.raises(ImageNotFound):
        store.find(old.id)
    assert store.clean(date(2026, 11, 1)).pictures == 0


def test_cleaning_touches_no_file_of_others(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    theirs = tmp_path / "2020-01-01" / "holiday-20200101-beach.jpg"
    theirs.parent.mkdir()
    theirs.write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")

    assert store.clean(date(2026, 1, 1)).pictures == 0
    assert theirs.exists()


def test_a_bucket_that_is_not_there_is_said_without_secrets(
    bucket: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match="s3://nowhere/x cannot be written") as caught:
        ArtifactStore("s3://nowhere/x").check_writable()
    assert "secret" not in str(caught.value)


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(StorageError, match=r'pip install "ziggie-image-mcp\[s3\]"'):
        ArtifactStore("gs://bucket/x").check_writable()
