"""What holds for every command: its options, its output in pipes and narrow windows, its home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.test_main import run

pytestmark = pytest.mark.usefixtures("warm")
POSIX = pytest.mark.skipif(os.name != "posix", reason="Windows has no terminals of this kind")
COMMAND = [sys.executable, "-m", "ziggie_image_mcp"]
NAME = "a [red]cat[/red] :cat: ünï"


def on_terminal(columns: int, *arguments: str, **env: str) -> str:
    """What a command writes to a terminal that is so wide."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", **env},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # nobody has the other end any more
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0, written
    return written.decode()


def piped(encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("place", ["before", "after", "joined"])
@pytest.mark.parametrize("command", [["config", "path"], ["models", "--json"], ["jobs", "list"]])
def test_the_config_may_be_named_anywhere(
    command: Sequence[str], place: str, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing.json")
    words = {
        "before": ["--config", missing, *command],
        "after": [*command, "--config", missing],
        "joined": [*command, f"--config={missing}"],
    }[place]

    found = run(*words)

    assert missing in found.stdout + found.stderr
    assert found.returncode == (0 if "path" in command else 1)


def commands() -> list[list[str]]:
    groups = {"config", "spend", "keys", "jobs"}
    top = run_help([])
    found = [[name] for name in top if name not in groups]
    for group in sorted(groups & set(top)):
        found += [[group], *([group, name] for name in run_help([group]))]
    return found


def run_help(words: Sequence[str]) -> list[str]:
    """The names of the commands below these words."""
    text = run(*words, "--help").stdout
    return [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line.strip()]


def test_every_command_has_h_and_config_and_those_that_print_have_json() -> None:
    texts = {" ".join(words): run(*words, "-h").stdout for words in commands()}

    silent = {"serve", "worker", "client-config", "keys", "jobs", "models", "config", "open"}
    silent |= {"gallery"}
    assert len(texts) > 20
    assert [name for name, text in texts.items() if "-h, --help" not in text] == []
    assert [name for name, text in texts.items() if "--config FILE" not in text] == []
    assert {name for name, text in texts.items() if "--json" not in text} <= silent


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_names_come_whole_in_every_encoding_and_json_stays_json(
    encoding: str, config: Path
) -> None:
    made = run("generate", NAME, "--steps", "1", "--seed", "1", config=config)
    text = piped(encoding, "jobs", "list", "--config", str(config))
    data = piped(encoding, "jobs", "list", "--json", "--config", str(config))

    assert made.returncode == 0, made.stderr
    assert (text.returncode, text.stderr) == (0, b"")
    assert NAME.encode(encoding, "backslashreplace") in text.stdout
    assert json.loads(data.stdout.decode(encoding))[0]["prompt"] == NAME


def test_a_table_in_a_pipe_is_a_line_per_row_with_tabs(config: Path) -> None:
    run("generate", NAME, "--steps", "1", "--seed", "1", config=config)
    listed = run("jobs", "list", config=config).stdout.splitlines()
    models = run("models", config=config).stdout.splitlines()

    (job,) = json.loads(run("jobs", "list", "--json", config=config).stdout)
    assert listed[0].split("\t")[:2] == ["job", "status"]
    assert [line.split("\t")[0] for line in listed[1:]] == [job["job_id"]]
    assert all(len(line.split("\t")) == 7 for line in models if line.startswith("builtin\t"))
    assert not {"│", "┃", "\x1b"} & set("".join([*listed, *models]))


@POSIX
@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_ids_can_be_copied_from_a_terminal_of_any_width(columns: int, config: Path) -> None:
    run("generate", NAME, "--steps", "1", "--seed", "1", config=config)
    (job,) = json.loads(run("jobs", "list", "--json", config=config).stdout)

    listed = on_terminal(columns, "jobs", "list", "--config", str(config))
    plan = on_terminal(columns, "plan", "--config", str(config))
    models = on_terminal(columns, "models", "--config", str(config))

    assert job["job_id"] in listed
    assert "builtin/tiny" in plan
    assert "realesrgan-x4" in models


EVERYWHERE = [
    *(["generate", "x"], ["plan"], ["models"], ["hardware"], ["doctor", "--skip-picture"]),
    *(["spend"], ["keys", "list"], ["jobs", "list"], ["config", "show"], ["config", "init"]),
    *(["config", "set", "provider", "local"], ["setup", "--mode", "local", "--yes"]),
    *(["open", "20200101-0000000000000000"], ["client-config"]),
]
HOMELESS = """
import pwd

def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = nobody
from ziggie_image_mcp.__main__ import main
main()
"""


def told(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    for name in ("CONFIG_HOME", "DATA_HOME", "CACHE_HOME", "PICTURES_DIR"):
        monkeypatch.delenv(f"XDG_{name}", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@POSIX
@pytest.mark.parametrize("words", EVERYWHERE, ids=" ".join)
def test_a_home_that_is_no_folder_is_one_sentence_at_most(
    words: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))

    found = told([*COMMAND, *words], monkeypatch)

    assert "Traceback" not in found.stderr + found.stdout
    if found.returncode and words[0] not in ("doctor", "open", "plan"):
        last = found.stderr.splitlines()[-1]
        assert str(tmp_path / "file") in last
        assert "Not a directory" in last


@POSIX
@pytest.mark.parametrize("words", [["models"], ["generate", "x"], ["keys", "list"], ["worker"]])
def test_a_user_without_a_home_is_told_so_in_one_sentence(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")

    found = told([sys.executable, "-c", HOMELESS, *words], monkeypatch)

    assert found.returncode == 1
    assert found.stderr.splitlines()[-1] == (
        "[CONFIG_INVALID] This user has no home folder that the system knows of: set HOME to a "
        "folder of yours."
    )
    assert "Traceback" not in found.stderr
