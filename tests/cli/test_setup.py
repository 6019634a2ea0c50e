"""`setup`, by options and at a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.test_main import run

pytestmark = pytest.mark.usefixtures("warm")
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no terminals of this kind")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    file = tmp_path / "config.json"
    file.write_text(
        '{"providers": {"comfyui": {"enabled": false}},  "queueLimit": 7}', encoding="utf-8"
    )
    return file


def test_it_works_without_a_terminal_and_keeps_what_is_not_asked(config: Path) -> None:
    words = ("--mode", "local", "--preference", "Speed", "--model", "tiny", "--yes")
    done = run("setup", *words, "--budget-per-day", "$2", config=config)
    again = run("setup", *words, "--budget-per-day", "2", "--json", config=config)
    back = run("setup", "--model", "any", "--budget-per-day", "none", "--yes", config=config)

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{config}\n"
    for box in ("[ ] local: Use local", "[ ] cloud: Use a cloud API", "[x] auto: Automatic"):
        assert box in done.stderr
    assert "per picture, free" in done.stderr
    assert json.loads(again.stdout) == {"path": str(config), "written": {}}
    assert back.returncode == 0, back.stderr
    assert "note: cloud: Not possible" not in back.stderr
    settings = json.loads(config.read_text(encoding="utf-8"))
    assert settings == {
        "providers": {"comfyui": {"enabled": False}},
        "queueLimit": 7,
        "provider": "local",
        "preference": "speed",
        "budget": {},
    }


def test_money_is_never_set_unasked(config: Path) -> None:
    done = run("setup", "--mode", "cloud", "--yes", config=config)

    assert done.returncode == 0, done.stderr
    assert "budget" not in json.loads(config.read_text(encoding="utf-8"))
    assert "ziggie-image-mcp keys set openai" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--mode", "clod", "--yes"], "Did you mean 'cloud'?"),
        (["--model", "tinny", "--yes"], "Did you mean 'tiny'?"),
        (["--preference", "fast", "--yes"], "cost, balanced, speed, quality"),
        (["--budget-per-day", "-1", "--yes"], "--budget-per-day='-1'"),
        (["--budget-per-day", "much", "--yes"], "say US dollars"),
        (["--mode", "cloud"], "Say --yes to write this."),
    ],
)
def test_what_it_cannot_take_is_said_and_nothing_is_written(
    words: Sequence[str], says: str, config: Path
) -> None:
    before = config.read_text(encoding="utf-8")

    refused = run("setup", *words, config=config)

    assert refused.returncode == 1
    assert says in refused.stderr
    assert config.read_text(encoding="utf-8") == before


def at_terminal(config: Path, answers: str, *, stop: bool = False) -> tuple[int, str]:
    """The exit code, and what was written, where a person answers so."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ziggie_image_mcp", "setup", "--config", str(config)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    if stop:
        seen = b""
        while b"Which model" not in seen:
            if b"How?" in seen:
                os.write(ours, answers.encode())
            seen += os.read(process.stderr.fileno(), 4096)
        process.send_signal(signal.SIGINT)
    else:
        os.write(ours, answers.encode())
    _, errors = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, errors.decode()


@POSIX
def test_at_a_terminal_it_asks_shows_what_it_will_write_and_asks_again(config: Path) -> None:
    code, errors = at_terminal(config, "cloud\n\nquality\n0.1\n2\n\nyes\n")

    assert code == 0, errors
    assert "How? local, cloud or auto [auto]: " in errors
    assert "  budget.perDay: 2\n" in errors
    assert f"Write this into {config}? yes or no [yes]: " in errors
    settings = json.loads(config.read_text(encoding="utf-8"))
    assert settings["provider"] == "cloud"
    assert settings["preference"] == "quality"
    assert settings["budget"] == {"perImage": 0.1, "perDay": 2}


@POSIX
def test_who_says_no_or_stops_it_has_the_file_as_it_was(config: Path) -> None:
    before = config.read_text(encoding="utf-8")

    said_no, errors = at_terminal(config, "cloud\n\n\n\n\n\nno\n")
    stopped, _ = at_terminal(config, "cloud\n", stop=True)

    assert said_no == 1
    assert "Nothing was written." in errors
    assert stopped != 0
    assert config.read_text(encoding="utf-8") == before


@POSIX
def test_a_mistyped_answer_is_asked_for_again_up_to_three_times(config: Path) -> None:
    before = config.read_text(encoding="utf-8")
    wrong = "cloud\n\nfast\nspeedy\nslow\n"
    right = "clod\ncloud\ntinny\n\nfast\nquality\n\nmuch\n2\n\nyse\nyes\n"

    ended, thrice = at_terminal(config, wrong)
    unchanged = config.read_text(encoding="utf-8")
    code, errors = at_terminal(config, right)

    assert (ended, unchanged) == (1, before)
    assert "[INVALID_REQUEST] --preference='slow'" in thrice
    assert code == 0, errors
    assert "'clod' cannot be used: say local, cloud, auto Did you mean 'cloud'?" in errors
    settings = json.loads(config.read_text(encoding="utf-8"))
    assert (settings["provider"], settings["preference"]) == ("cloud", "quality")
    assert settings["budget"] == {"perDay": 2}
