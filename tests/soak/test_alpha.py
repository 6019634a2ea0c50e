"""The proof of alpha over 400 scenes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_transparent import assert_scenes_come_back

pytestmark = pytest.mark.soak


async def test_400_scenes_come_back_with_the_alpha_with_which_they_were_drawn(
    tmp_path: Path,
) -> None:
    await assert_scenes_come_back(tmp_path, 400, 16)
