"""A batch from the command line: what it makes, what it refuses, and where it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ziggie_image_mcp.jobs import batch_file
from ziggie_image_mcp.jobs.batch_file import BatchInvalid
from ziggie_image_mcp.storage.contact_sheet import Cell, sheets

pytestmark = pytest.mark.usefixtures("one_thread", "warm")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("ZIGGIE_IMAGE_CONFIG", str(tmp_path / "config.json"))


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(folder: Path, *lines: object) -> str:
    file = folder / "batch.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return str(file)


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "pictures").rglob("*.png"))


def test_a_batch_says_which_braces_it_leaves_as_they_are(tmp_path: Path) -> None:
    lines = [{"prompt": "a {red|blue} star"}, {"prompt": "a card with {{ name|upper }}"}]
    told = command("batch", write(tmp_path, *lines), "--dry-run")
    refused = command("batch", write(tmp_path, {"prompt": "a {2::red|blue} star"}), "--dry-run")

    assert told.stderr.startswith("3 requests")
    assert "line 2: {{ name|upper }} was left in the prompt as it is" in told.stderr
    assert refused.returncode == 1
    assert "line 1: prompt='a {2::red|blue} star' cannot be used" in refused.stderr


def test_a_batch_makes_its_pictures_once_and_draws_a_sheet(tmp_path: Path) -> None:
    star = {"prompt": "a {red|blue} star on a black background", "steps": 2}
    file = write(tmp_path, star, {"prompt": "x", "model": "no-such"})

    first = command("batch", file, "--json")
    again = command("batch", file)
    listed = command("jobs", "list", "--json")

    rows = json.loads(first.stdout)
    assert first.returncode == 1, first.stderr
    assert [(row["line"], row["status"]) for row in rows] == [
        (1, "done"),
        (1, "done"),
        (2, "failed"),
    ]
    assert "3 requests, 3 pictures, free" in first.stderr
    assert "no route now for no-such" in first.stderr
    assert [r["prompt"] for r in rows[:2]] == [
        "a red star on a black background",
        "a blue star on a black background",
    ]
    assert "2 done, 1 failed" in again.stdout
    assert "NO_ROUTE" in again.stdout
    assert len(pictures(tmp_path)) == 2, "what was done is not made again"
    assert len(json.loads(listed.stdout)) == 4, "what failed was tried again"
    with Image.open(tmp_path / "batch.contact.png") as sheet:
        assert sheet.size == (3 * 198 + 6, 214 + 6)


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    done = command("batch", write(tmp_path, "a star"), "--dry-run")

    assert done.returncode == 0
    assert "1 requests, 1 pictures, free" in done.stderr
    assert pictures(tmp_path) == []


def test_a_killed_batch_goes_on_when_it_is_run_again(tmp_path: Path) -> None:
    file = write(tmp_path, {"prompt": "a {red|blue|green|white|black} star", "steps": 30})
    batch = subprocess.Popen([sys.executable, "-m", "ziggie_image_mcp", "batch", file])
    while not pictures(tmp_path):
        assert batch.poll() is None
        time.sleep(0.05)
    batch.kill()
    batch.wait()
    made = pictures(tmp_path)

    done = command("batch", file, "--json")

    assert done.returncode == 0, done.stderr
    assert len(pictures(tmp_path)) == 5
    assert set(made) <= set(pictures(tmp_path))


def test_stopping_a_batch_cancels_what_is_left(tmp_path: Path) -> None:
    file = write(tmp_path, {"prompt": "a {red|blue} star", "steps": 400})
    command_line = [sys.executable, "-m", "ziggie_image_mcp", "batch", file]
    batch = subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True)
    while len(json.loads(command("jobs", "list", "--json").stdout or "[]")) < 2:
        assert batch.poll() is None
    batch.send_signal(signal.SIGINT)
    _, said = batch.communicate(timeout=20)

    listed = json.loads(command("jobs", "list", "--json").stdout)
    assert batch.returncode == 130, said
    assert "Stopped: " in said
    assert [row["status"] for row in listed] == ["cancelled", "cancelled"]
    assert pictures(tmp_path) == []


def test_a_batch_waits_for_its_time(tmp_path: Path) -> None:
    file = write(tmp_path, "a star")
    command_line = [sys.executable, "-m", "ziggie_image_mcp", "batch", file, "--at", "03:07"]
    env = os.environ | {"TZ": "UTC"}
    batch = subprocess.Popen(command_line, stderr=subprocess.PIPE, text=True, env=env)
    time.sleep(5)
    listed = json.loads(command("jobs", "list", "--json").stdout)
    batch.send_signal(signal.SIGINT)
    _, said = batch.communicate(timeout=20)

    assert "begins" in said
    assert "03:07 UTC" in said
    assert [row["status"] for row in listed] == ["queued"]
    assert json.loads(command("jobs", "list", "--json").stdout)[0]["status"] == "cancelled"


def test_jobs_are_shown_and_forgotten(tmp_path: Path) -> None:
    command("batch", write(tmp_path, {"prompt": "a star", "steps": 2}), "--no-sheet")
    (row,) = json.loads(command("jobs", "list", "--json").stdout)

    shown = json.loads(command("jobs", "show", row["job_id"]).stdout)
    assert (shown["prompt"], shown["status"]) == ("a star", "done")
    assert "[JOB_NOT_FOUND]" in command("jobs", "show", "job-1").stderr
    assert "[JOB_NOT_FOUND]" in command("jobs", "cancel", "job-1").stderr
    assert command("jobs", "cancel", row["job_id"]).stdout == "done\n"
    assert "--older-than='x'" in command("jobs", "clean", "--older-than", "x").stderr
    assert command("jobs", "clean").stdout == "0 jobs forgotten.\n"
    assert command("jobs", "clean", "--older-than", "0m").stdout == "1 job forgotten.\n"
    assert command("jobs", "list").stdout == "There are no jobs.\n"
    assert len(pictures(tmp_path)) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"promt": "x"}', "no argument 'promt'. Did you mean 'prompt'?"),
        ('{"prompt": "x", "steps": "three"}', 'steps="three" cannot be used: a whole number: 1'),
        ('{"prompt": "x", "steps": 2.5}', "steps=2.5"),
        ('{"steps": 3}', "'prompt' is missing: say what"),
        ('{"prompt": "x", "quality": "best"}', 'quality="best" cannot be used: draft'),
        ('{"prompt": "x", "allow_paid": true}', "--budget"),
        ("[1]", "an object or a prompt in quotes, not [1]"),
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"prompt": "x", "prompt": "y"}', "'prompt' is there twice"),
        ('{"prompt": "x", "width": 1%s, "height": 64}' % ("0" * 400), "a whole number"),
    ],
)
def test_a_wrong_line_is_named_with_its_fix(line: str, said: str) -> None:
    with pytest.raises(BatchInvalid) as caught:
        batch_file.read(f'# stars\n\n"good"\n{line}\n', "b.jsonl")

    assert "b.jsonl, line 4: " in str(caught.value)
    assert said in str(caught.value)


def test_all_wrong_lines_are_told_at_once_and_no_more_than_twenty() -> None:
    with pytest.raises(BatchInvalid) as caught:
        batch_file.read("1\n" * 30)

    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"


def test_an_empty_batch_is_said() -> None:
    with pytest.raises(BatchInvalid, match="has no request"):
        batch_file.read("# nothing\n")


def test_the_id_of_a_batch_is_that_of_its_requests() -> None:
    one, same = batch_file.read('"a"\n"b"'), batch_file.read('"a"\n{"prompt": "b"}\n')

    assert batch_file.batch_id(one) == batch_file.batch_id(same)
    assert batch_file.batch_id(one) != batch_file.batch_id(batch_file.read('"b"\n"a"'))


def test_a_sheet_has_pages_and_says_what_failed() -> None:
    cells: list[Any] = [
        Cell(picture=Image.new("RGB", (300, 100), "teal"), caption="ein schöner Stern ★ " * 9)
    ] * 97
    pages = sheets([*cells, Cell(picture=None, caption="3 NO_ROUTE")])

    assert len(pages) == 2
    assert sheets([]) == []
