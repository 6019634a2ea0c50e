"""What no file or text is, on the command line: an error in one line, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.usefixtures("warm"),
    pytest.mark.skipif(sys.platform == "win32", reason="these are no files of Windows"),
]

HALF = os.fsdecode(b"a\xffb")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", HALF], "[INVALID_REQUEST] prompt="),
        (["plan", "x", "--model", HALF], "[INVALID_REQUEST] model="),
        (["jobs", "show", HALF], "[JOB_NOT_FOUND]"),
        (["jobs", "cancel", HALF], "[JOB_NOT_FOUND]"),
        (["--config", HALF, "plan"], "[CONFIG_INVALID]"),
        (["--config", "PIPE", "plan"], "it is a pipe, and no file"),
        (["--config", "/dev/zero", "config", "show"], "it is a device, and no file"),
        (["--config", ".", "plan"], "it is a folder, and no file"),
        (["--config", "DEEP", "plan"], "[CONFIG_INVALID]"),
        (["--config", "DIGITS", "plan"], "[CONFIG_INVALID]"),
        (["batch", "/dev/zero", "--dry-run"], "it has more than 64 MB"),
        (["batch", HALF, "--dry-run"], "[STORAGE_FAILED]"),
        (["batch", "BATCH", "--dry-run"], "[BATCH_INVALID]"),
        (["edit", "PIPE", "x"], "[INVALID_REQUEST] image="),
        (["edit", "~nosuchuser/x.png", "x"], "[INVALID_REQUEST] image="),
        (["generate", "x", "--reference", "/dev/zero"], "[INVALID_REQUEST] references="),
    ],
)
def test_it_is_said_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("PIPE")
    Path("DEEP").write_text("[" * 100_000)
    Path("DIGITS").write_text('{"deadline": ' + "9" * 5_000 + "}")
    Path("BATCH").write_text(json.dumps({"prompt": "a \ud800 b"}))
    ended = subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *words],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_fifo_of_keys_stops_no_command(tmp_path: Path) -> None:
    folder = Path(os.environ["XDG_DATA_HOME"]) / "ziggie-image-mcp" / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "keys.json", 0o600)
    ended = subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", "keys", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "it is a pipe, and no file" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
