"""A picture whose words are wrong is made again where that is free, and told where it is not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mcp.types import CallToolResult

from tests.assets.test_text_reading import lettered, needs_reader
from tests.support.calls import client, data, said
from tests.support.factory import service
from ziggie_image_mcp.jobs import picture_checks
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.provider.testing.fakes import OPTIONS
from ziggie_image_mcp.routing.request import ImageRequest

pytestmark = [needs_reader, pytest.mark.filterwarnings("ignore")]
WISH = {"prompt": 'a sign "OPEN LATE"', "width": 320, "height": 160}


def drawn(*lines: str) -> bytes:
    out = io.BytesIO()
    lettered(*lines).save(out, "PNG")
    return out.getvalue()


async def call(
    folder: Path, fake: FakeProvider, config: dict[str, Any] | None = None, **wish: Any
) -> CallToolResult:
    async with client(service(folder, fake, cache=False, **(config or {}))) as session:
        return await session.call_tool("generate_image", WISH | {"wait_seconds": 60} | wish)


def fake_of(answers: Sequence[bytes], **facts: Any) -> FakeProvider:
    return FakeProvider(models=[model(**facts)], answers=answers)


async def test_a_wrong_word_is_made_again_with_the_next_seed(tmp_path: Path) -> None:
    fake = fake_of([drawn("OPEN LATTE"), drawn("OPEN LATE")])

    answer = data(await call(tmp_path, fake))

    first, second = (request.seed for request in fake.seen)
    assert second == (first + 1) % 2**32
    assert answer["images"][0]["seed"] == second
    notes = "\n".join(answer["notes"])
    assert "read back in the picture: 'OPEN LATE'" in notes
    assert "made again with another seed, since the picture does not show 'OPEN LATE'" in notes
    assert "OPEN LATTE" in notes


async def test_what_stays_wrong_is_told_with_what_was_read(tmp_path: Path) -> None:
    fake = fake_of([drawn("OPEN LATTE"), drawn("OPEN"), drawn()])

    answer = data(await call(tmp_path, fake))

    assert len(fake.seen) == 3
    assert answer["images"][0]["seed"] == fake.seen[0].seed
    note = answer["notes"][-1]
    assert note.startswith("the picture does not show 'OPEN LATE': ")
    assert note.endswith("is read in it; nor was it right with 2 other seeds")


async def test_where_making_it_again_fails_the_first_one_is_given(tmp_path: Path) -> None:
    fake = fake_of([drawn("OPEN LATTE"), *[b"no picture"] * 4])

    answer = data(await call(tmp_path, fake))

    assert answer["images"][0]["seed"] == fake.seen[0].seed
    assert "making it again failed" in answer["notes"][-1]


@pytest.mark.parametrize(
    ("facts", "wish", "why"),
    [
        ({}, {"seed": 7}, "another seed may show it right"),
        ({"options": OPTIONS - {"seed"}}, {}, "call again for another picture"),
        ({"price": 10_000}, {"allow_paid": True}, "it was not made again, which costs again"),
    ],
)
async def test_what_was_fixed_or_is_paid_is_not_made_again_but_told(
    facts: dict[str, Any], wish: dict[str, Any], why: str, tmp_path: Path
) -> None:
    fake = fake_of([drawn("OPEN LATTE"), drawn("OPEN LATE")], **facts)

    answer = data(await call(tmp_path, fake, **wish))

    assert len(fake.seen) == 1
    assert why in "\n".join(answer["notes"])


@pytest.mark.parametrize(
    ("config", "wish"),
    [({"verify": {"text": False}}, {}), ({}, {"prompt": "a sign without words"})],
)
async def test_nothing_is_read_where_it_is_off_or_nothing_is_in_quotes(
    config: dict[str, Any], wish: dict[str, Any], tmp_path: Path
) -> None:
    fake = fake_of([drawn("OPEN LATTE")])

    answer = await call(tmp_path, fake, config, **wish)

    assert len(fake.seen) == 1
    assert "does not show" not in said(answer)
    assert "read back" not in said(answer)


@pytest.mark.parametrize(("verify", "told"), [("auto", False), (True, True)])
def test_a_missing_reader_is_told_where_it_was_asked_for(
    verify: picture_checks.Verify, told: bool, tmp_path: Path
) -> None:
    made = service(tmp_path)
    request = ImageRequest(prompt='a sign "OPEN"')

    problem, note = picture_checks.wrong_text(made.artifacts, request, [], verify, lambda: False)

    assert problem == ""
    assert ('pip install "ziggie-image-mcp[verify]"' in note) is told
