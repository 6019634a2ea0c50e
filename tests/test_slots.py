"""Processes of one host: each has a name of its own, and the dead are told from the living."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ziggie_image_mcp import slots
from ziggie_image_mcp.slots import Slot

HOLD = (
    "import sys; from pathlib import Path; from ziggie_image_mcp.slots import Slot;"
    "slot = Slot.take(Path(sys.argv[1])); print(slot.executor, flush=True); sys.stdin.read()"
)


def process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def name_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def end(*children: subprocess.Popen[str]) -> None:
    for child in children:
        child.kill()
        child.communicate()


def test_eight_processes_at_once_have_eight_names(tmp_path: Path) -> None:
    children = [process(tmp_path) for _ in range(8)]
    names = [name_of(child) for child in children]
    mine = Slot.take(tmp_path)
    try:
        assert len({*names, mine.executor}) == 9
        assert all(mine.alive(name) for name in names)
        assert slots.orphans(tmp_path) == []
    finally:
        end(*children)
    assert sorted(slots.orphans(tmp_path)) == sorted(names)
    assert not any(mine.alive(name) for name in names)


def test_the_name_of_a_killed_process_stays_until_it_is_forgotten(tmp_path: Path) -> None:
    child = process(tmp_path)
    dead = name_of(child)
    end(child)
    heir = Slot.take(tmp_path)

    assert heir.executor.split("/")[1] != dead.split("/")[1]
    assert slots.orphans(tmp_path) == [dead]
    slots.forget(tmp_path, dead)
    assert slots.orphans(tmp_path) == []
    next_one = Slot.take(tmp_path)
    assert next_one.executor.split("/")[:2] == dead.split("/")[:2]
    assert next_one.executor != dead
    assert heir.alive(dead) is False


def test_who_leaves_in_good_order_leaves_no_name(tmp_path: Path) -> None:
    slot = Slot.take(tmp_path)
    slot.release()

    assert slots.orphans(tmp_path) == []
    assert list(tmp_path.glob("*.name")) == []


def test_nobody_can_tell_of_another_host(tmp_path: Path) -> None:
    slot = Slot.take(tmp_path)

    assert slot.alive("elsewhere-1-abcdef/0/0123456789abcdef") is None
    assert slot.alive("nonsense") is None
    assert slot.alive(slot.executor) is True
