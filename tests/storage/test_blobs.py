"""Pictures on a disk and on URLs: the same store, the same promises."""

from __future__ import annotations

import re
from collections.abc import Generator
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import s3
from ziggie_image_mcp.errors import ImageNotFound, StorageError
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.storage import blobs
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
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every request to the bucket."""
    return tmp_path_factory.mktemp("s3") / "requests"


@pytest.fixture(scope="module")
def bucket(log: Path) -> Generator[dict[str, str]]:
    with s3.server("pictures", log) as environment:
        yield dict(environment)


class Bucket:
    """A store in the bucket, and the requests that were made since the last question."""

    def __init__(self, log: Path) -> None:
        self._url = f"s3://pictures/{uuid4().hex}"
        self._log = log
        self.requests()

    def store(self) -> ArtifactStore:
        """One that knows nothing of the others."""
        return ArtifactStore(self._url)

    def requests(self) -> list[str]:
        text = self._log.read_text(encoding="utf-8")
        lines = re.findall(r'"(GET|PUT|HEAD|DELETE|POST) (\S+) HTTP', text)
        self._log.write_text("", encoding="utf-8")
        return [f"{method} list" if "list-type" in path else method for method, path in lines]


@pytest.fixture
def counted(bucket: dict[str, str], log: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in bucket.items():
        monkeypatch.setenv(name, value)
    return Bucket(log)


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
    hers = store.save(picture(), RECIPE, image_id="20260102-0123456789abcdef-0a1b2c3d")
    new = store.save(picture(), RECIPE, now=DAY)

    gone = store.clean(date(2026, 11, 1))

    assert (gone.pictures, gone.bytes) == (2, old.bytes + hers.bytes)
    assert store.find(new.id) == new.path
    with pytest.raises(ImageNotFound):
        store.find(old.id)
    assert store.clean(date(2026, 11, 1)).pictures == 0


def test_cleaning_far_away_lists_and_deletes_and_fetches_nothing(counted: Bucket) -> None:
    old = [counted.store().save(picture(), RECIPE, now=DAY) for _ in range(3)]
    counted.requests()

    gone = counted.store().clean(date(2026, 12, 1))

    assert (gone.pictures, gone.bytes) == (3, sum(one.bytes for one in old))
    assert counted.requests() == ["GET list", "GET list", "POST"]
    assert counted.store().clean(date(2026, 12, 1)).pictures == 0


def test_a_warm_call_far_away_makes_its_puts_and_nothing_else(counted: Bucket) -> None:
    store = counted.store()
    store.check_writable()
    cold = counted.requests()
    store.check_writable()
    saved = store.save(picture(), RECIPE, now=DAY)
    store.preview(saved.id)
    store.stored(saved.id, 1)

    assert cold == ["PUT", "POST"]
    assert counted.requests() == ["PUT", "PUT"]


def test_a_picture_far_away_is_looked_up_by_a_name_that_follows_from_its_id(
    counted: Bucket,
) -> None:
    saved = counted.store().save(picture(), RECIPE, now=DAY)
    counted.store().keep(picture(), "20261124-00000000000000aa", "given")
    counted.requests()

    assert counted.store().find(saved.id) == saved.path
    assert counted.requests() == ["GET"]
    assert (
        counted.store()
        .find("20261124-00000000000000aa")
        .endswith("given-20261124-00000000000000aa.png")
    )
    assert counted.requests() == ["GET"]


def test_what_an_earlier_version_kept_far_away_is_still_found_and_cleaned(
    counted: Bucket,
) -> None:
    saved = counted.store().save(picture(), RECIPE, now=DAY)
    files = blobs.at(str(counted.store().root))
    old = files.path("2026-11-24", f"{saved.id}.json")
    text = files.read(old)
    files.delete([old])
    files.write("2026-11-24", f"a-red-star-{saved.id}.json", text)

    assert counted.store().find(saved.id) == saved.path
    assert counted.store().clean(date(2026, 12, 1)).pictures == 1
    assert files.find("2026-11-24", "") == []


BESIDE = {".atlas.json": b"{}", ".apple-touch-icon-180.png": picture(), ".gif": b"GIF89a"}


def test_what_belongs_to_a_picture_stands_beside_it_and_goes_with_it(store: ArtifactStore) -> None:
    saved = store.save(picture(), RECIPE, now=DAY, side_files=lambda _: BESIDE)
    alone = store.save(picture(), RECIPE, now=DAY)

    stem = saved.path.removesuffix(".png")
    assert saved.files == tuple(f"{stem}{suffix}" for suffix in BESIDE)
    assert store.find(saved.id) == saved.path
    assert {one.name for one in store.newest(9, lambda _: True)} == {
        one.path.replace("\\", "/").rpartition("/")[2] for one in (saved, alone)
    }
    assert {suffix: store.side_file(saved.id, suffix) for suffix in BESIDE} == BESIDE
    for suffix in (".tres", ".json", "/../x.gif", ""):
        with pytest.raises(ImageNotFound):
            store.side_file(saved.id, suffix)
    with pytest.raises(ImageNotFound):
        store.side_file(alone.id, ".gif")

    gone = store.clean(date(2026, 12, 1))

    more = sum(len(data) for data in BESIDE.values())
    assert (gone.pictures, gone.bytes) == (2, saved.bytes + alone.bytes + more)
    assert blobs.at(store.root).find("2026-11-24", "2026") == []


def test_a_side_file_is_told_how_the_picture_is_called(store: ArtifactStore) -> None:
    names: list[str] = []

    def side_files(name: str) -> dict[str, bytes]:
        names.append(name)
        return {".tres": name.encode()}

    saved = store.save(picture(), RECIPE, side_files=side_files)

    assert saved.path.endswith(names[0])
    assert store.side_file(saved.id, ".tres") == names[0].encode()


def test_nothing_is_left_of_what_could_not_be_written_whole(tmp_path: Path) -> None:
    store, image_id = ArtifactStore(tmp_path), "20261124-0123456789abcdef"
    in_the_way = tmp_path / "2026-11-24" / f"a-red-star-{image_id}.json"
    in_the_way.mkdir(parents=True)

    with pytest.raises(StorageError):
        store.save(picture(), RECIPE, image_id=image_id, side_files=lambda _: BESIDE)

    assert list(in_the_way.parent.iterdir()) == [in_the_way]


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
