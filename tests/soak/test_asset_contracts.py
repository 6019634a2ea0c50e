"""A thousand asset contracts against a hostile engine, checked from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_asset_contracts import outcomes_of

pytestmark = pytest.mark.soak


async def test_each_of_a_thousand_pictures_keeps_its_contract(tmp_path: Path) -> None:
    outcomes = await outcomes_of(tmp_path, 1000, seed=18)

    assert not [name for name in outcomes if name.startswith("fault")], outcomes
    assert outcomes["accepted"] >= 700, outcomes
    print(dict(outcomes))
