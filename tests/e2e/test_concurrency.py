"""`providers.NAME.concurrency` bounds the calls of all processes together."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.factory import service
from tests.support.fake_vendors import Answer, FakeVendor, Seen, openai_pictures
from ziggie_image_mcp.config.config import data_dir
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.provider.testing import FakePaidProvider, picture
from ziggie_image_mcp.routing.request import ImageRequest

pytestmark = pytest.mark.usefixtures("warm")

MOST, EACH = 2, 3
PATIENCE = 40.0


class Held:
    """OpenAI's images, which come once `open` is set. Counts the calls that are under way."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> Answer:
        if seen.method != "POST":
            return Answer(body={"object": "list", "data": [{"id": "gpt-image-2"}]})
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.open.wait(PATIENCE)
        with self._lock:
            self.now -= 1
        return Answer(body=openai_pictures(picture(1024, 1024)))


def states() -> Counter[str]:
    """Of the entries of the device queue of all processes."""
    file = data_dir() / "lines.sqlite3"
    if not file.exists():
        return Counter()
    with closing(sqlite3.connect(file, timeout=10)) as rows:
        if not rows.execute("SELECT 1 FROM sqlite_master WHERE name = 'lines_1_turns'").fetchall():
            return Counter()
        return Counter(row[0] for row in rows.execute("SELECT state FROM lines_1_turns"))


def test_two_processes_together_keep_to_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdefghijklmnopqrstuvwxyz0123")
    held = Held()
    with FakeVendor(held) as vendor:
        settings: dict[str, Any] = {
            "output": {"directory": str(tmp_path / "pictures")},
            "providers": {
                "openai": {"baseUrl": vendor.url, "local": False, "concurrency": MOST},
                "comfyui": {"enabled": False},
            },
        }
        config = tmp_path / "config.json"
        config.write_text(json.dumps(settings), encoding="utf-8")
        batches: list[subprocess.Popen[str]] = []
        for name in ("one", "two"):
            lines = [{"prompt": f"{name} {i}", "model": "gpt-image-2"} for i in range(EACH)]
            file = tmp_path / f"{name}.jsonl"
            file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
            words = ["--config", str(config), "batch", str(file), "--budget", "5", "--no-sheet"]
            batches.append(
                subprocess.Popen(
                    [sys.executable, "-m", "ziggie_image_mcp", *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        end = time.monotonic() + PATIENCE
        all_here = Counter(running=MOST, waiting=2 * EACH - MOST)
        while (now := states()) != all_here or held.now < MOST:
            assert time.monotonic() < end, now
            time.sleep(0.02)
        most_before = held.most
        held.open.set()
        said = [batch.communicate(timeout=PATIENCE)[0] for batch in batches]

    assert [batch.returncode for batch in batches] == [0, 0], said
    assert (most_before, held.most) == (MOST, MOST)
    assert len([line for line in vendor.asked if line.startswith("POST")]) == 2 * EACH


async def test_without_the_setting_nothing_is_bounded_and_one_that_waits_says_for_what(
    tmp_path: Path,
) -> None:
    paid = FakePaidProvider("paid", answers=[None] * 5)
    made = service(tmp_path, paid, providers={"paid": {"concurrency": 1}})
    ask = ImageRequest(prompt="a cat", allow_paid=True)

    jobs = [(await made.start([ask])).id for _ in range(3)]
    waiting: list[str] = []
    while len(waiting) < 2:
        views = [await made.job(job_id, 0) for job_id in jobs]
        waiting = [view.message for view in views if view.status == "queued" and view.message]
        await anyio.sleep(0.01)
    context = await made.snapshot(ask)
    sent_when_bounded = len(paid.charged)
    await made.reconfigure(made.config.model_copy(update={"providers": {}}))
    while len(paid.charged) < 3:
        await anyio.sleep(0.01)
    for job_id in jobs:
        await made.cancel(job_id)

    assert waiting == ["waiting for paid, 1 at a time"] * 2
    line = context.history.queues["provider:paid"]
    assert (line.running, line.waiting) == (1, 2)
    assert line.seconds > 4.0, "a newcomer is told that it waits, and may be sent elsewhere"
    assert sent_when_bounded == 1


@pytest.mark.parametrize("value", [0, 65, "many", 2.5, True, [3]])
async def test_a_bound_that_makes_no_sense_is_a_config_error(value: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`providers.paid.concurrency`: .* from 1 to 64"):
        service(tmp_path, FakePaidProvider(), providers={"paid": {"concurrency": value}})


@pytest.mark.parametrize("value", [None, 1, "4", 64])
def test_a_bound_may_come_from_the_environment_as_text(value: object, tmp_path: Path) -> None:
    assert service(tmp_path, FakePaidProvider(), providers={"paid": {"concurrency": value}})
