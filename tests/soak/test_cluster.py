"""Many machines on one database, with more to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_cluster import (
    assert_all_are_served,
    assert_each_is_made_once_while_one_dies,
)

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("warm")]


async def test_two_workers_and_two_servers_make_100_pictures_each_once_while_one_dies(
    tmp_path: Path,
) -> None:
    await assert_each_is_made_once_while_one_dies(tmp_path, 100)


async def test_64_clients_at_once_are_all_served(tmp_path: Path) -> None:
    await assert_all_are_served(tmp_path, 64)
