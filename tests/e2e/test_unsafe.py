"""verify.unsafe, through the client: pictures in which nudity is seen are refused and not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.assets import unsafe_check
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider

ON: dict[str, Any] = {"verify": {"unsafe": True}}
ASK = {"prompt": "a cat", "seed": 3, "wait_seconds": 90}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a detector in place of nudenet sees in every picture."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(unsafe_check, "is_installed", lambda: True)

    def detect(_: Any) -> list[dict[str, Any]]:
        return found

    monkeypatch.setattr(unsafe_check, "_detector", lambda: detect)
    return found


def detection(label: str, score: float) -> dict[str, Any]:
    return {"class": label, "score": score, "box": [0, 0, 10, 10]}


async def test_what_is_seen_is_named_and_nothing_is_kept(
    seen: list[dict[str, Any]], tmp_path: Path
) -> None:
    seen += [detection("FACE_FEMALE", 0.99), detection("BUTTOCKS_EXPOSED", 0.8)]
    free = FakeProvider()
    async with client(service(tmp_path, free, **ON)) as session:
        answer = await session.call_tool("generate_image", ASK)

    assert answer.is_error
    assert said(answer).startswith("[CONTENT_REFUSED]")
    assert "shows bare buttocks. It is not kept" in said(answer)
    assert list((tmp_path / "pictures").rglob("*.*")) == []


async def test_a_paid_picture_is_refused_and_told_as_paid(
    seen: list[dict[str, Any]], tmp_path: Path
) -> None:
    seen += [detection("FEMALE_BREAST_EXPOSED", 0.8)]
    paid = FakePaidProvider()
    own = service(tmp_path, paid, allowPaidFallback="withinBudget", budget={"perDay": 1}, **ON)
    async with client(own) as session:
        answer = await session.call_tool("generate_image", ASK)

    assert "It is paid for and not kept" in said(answer)
    assert "$0.04 was spent" in said(answer)
    assert sum(paid.charged.values()) == 40_000


@pytest.mark.parametrize(
    "found",
    [[], [detection("FACE_MALE", 0.9)], [detection("BUTTOCKS_EXPOSED", 0.3)]],
    ids=["nothing", "a face", "hardly"],
)
async def test_all_else_is_kept(
    found: list[dict[str, Any]], seen: list[dict[str, Any]], tmp_path: Path
) -> None:
    seen += found
    async with client(service(tmp_path, FakeProvider(), **ON)) as session:
        answer = data(await session.call_tool("generate_image", ASK))

    assert len(answer["images"]) == 1


async def test_without_the_extra_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsafe_check, "is_installed", lambda: False)
    free = FakeProvider()
    async with client(service(tmp_path, free, **ON)) as session:
        answer = await session.call_tool("generate_image", ASK)

    assert said(answer).startswith("[DEPENDENCY_MISSING]")
    assert 'pip install "ziggie-image-mcp[safety]"' in said(answer)
    assert free.seen == []


async def test_it_is_off_by_default(seen: list[dict[str, Any]], tmp_path: Path) -> None:
    seen += [detection("BUTTOCKS_EXPOSED", 0.9)]
    async with client(service(tmp_path, FakeProvider())) as session:
        assert not (await session.call_tool("generate_image", ASK)).is_error


@pytest.mark.skipif(
    not unsafe_check.is_installed(), reason="the extra `safety` is not installed (72 MB)"
)
def test_the_real_detector_sees_nothing_in_a_plain_picture() -> None:
    assert unsafe_check.find_unsafe(Image.new("RGBA", (640, 300), (0, 128, 128, 200))) == []
