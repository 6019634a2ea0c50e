"""A plan is a promise, in 1,000 states of the world that are others each time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.e2e import test_plan_agrees
from tests.e2e.test_plan_agrees import UNHURRIED, WORLDS, World, assert_plan_and_call_agree

pytestmark = pytest.mark.soak

no_disk = test_plan_agrees.no_disk


@settings(max_examples=1_000, deadline=None, suppress_health_check=UNHURRIED)
@given(world=WORLDS)
async def test_a_call_does_what_its_dry_run_said(world: World, no_disk: Path) -> None:
    await assert_plan_and_call_agree(world, no_disk)
