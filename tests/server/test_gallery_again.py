"""Pictures made again from the gallery: what the page asks, and what that sets aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.server.test_gallery import OWN_PAGE, made_by, page
from tests.support.factory import service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider.testing import FakePaidProvider


async def again(http: httpx2.AsyncClient, picture: str, **body: Any) -> dict[str, Any]:
    place = f"/gallery/pictures/{picture}/again"
    answer = await http.post(place, json=body, headers=OWN_PAGE)
    data: dict[str, Any] = answer.json()
    return data


async def set_aside(made: Service) -> int:
    return len(await made.billing.ledger.holds(states=["reserved"]))


@pytest.mark.parametrize("paying", ["ask", "withinBudget"])
async def test_spent_caps_are_told_with_the_fix_that_generate_tells(
    paying: str, tmp_path: Path
) -> None:
    made = service(tmp_path, FakePaidProvider(), allowPaidFallback=paying, budget={"perDay": 0.05})
    _, picture = await made_by(made, "", "gold", allow_paid=True)
    async with page(made) as http:
        answer = await again(http, picture)

    assert "OVER_BUDGET" in answer["error"]["message"]
    assert "raise budget.perDay" in answer["error"]["message"]
    assert "MAX_COST" not in answer["error"]["message"]
    assert "CONSENT_REQUIRED" not in answer["error"]["message"]


async def test_a_picture_has_one_open_question_and_a_no_gives_its_money_back(
    tmp_path: Path,
) -> None:
    made = service(tmp_path, FakePaidProvider(), budget={"perDay": 0.13})
    _, picture = await made_by(made, "", "gold", allow_paid=True)
    async with page(made) as http:
        questions = [await again(http, picture) for _ in range(3)]
        same_seed = await again(http, picture, same_seed=True)
        held = await set_aside(made)
        await http.post(
            f"/gallery/pictures/{picture}/decline", json={"same_seed": True}, headers=OWN_PAGE
        )
        after = await set_aside(made)
        late = await again(http, picture, seed=questions[0]["seed"], agreed_micro_usd=40_000)

    assert len({question["seed"] for question in questions}) == 3
    assert all("question" in question for question in (*questions, same_seed))
    assert (held, after) == (1, 0)
    assert "job" in late


async def test_one_yes_sent_four_times_at_once_is_one_job(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid, budget={"perDay": 0.09})
    _, picture = await made_by(made, "", "gold", allow_paid=True)
    answers: list[dict[str, Any]] = []
    async with page(made) as http:
        asked = await again(http, picture)

        async def agree() -> None:
            yes = {"seed": asked["seed"], "agreed_micro_usd": asked["micro_usd"]}
            answers.append(await again(http, picture, request_id="click-1", **yes))

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(agree)
        assert not [answer for answer in answers if "job" not in answer]
        (job,) = {answer["job"]["id"] for answer in answers}
        await made.job(job, 60)

    assert len(paid.charged) == 2
    assert await set_aside(made) == 0
