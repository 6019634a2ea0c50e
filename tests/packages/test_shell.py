"""The manual page, and the completion of commands in shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.packages import man_page

SCRIPT = Path(sys.executable).with_name("ziggie-image-mcp")


def completion(shell: str) -> str:
    """What the installed program prints for a shell."""
    env = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [str(SCRIPT), "--show-completion", shell]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_the_manual_page_is_current() -> None:
    text = man_page.PAGE.read_text(encoding="utf-8")

    assert text == man_page.page(), "run tools/packages/man_page.py"
    for words in (".SS generate", ".SS config set", r"\fB\-\-max\-cost\fR", ".SH EXIT STATUS"):
        assert words in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_reads_the_manual_page_without_a_warning() -> None:
    ended = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", str(man_page.PAGE)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["zsh", "fish", "pwsh"])
def test_the_script_for_a_shell_asks_the_program(shell: str) -> None:
    assert "_ZIGGIE_IMAGE_MCP_COMPLETE" in completion(shell)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_a_command() -> None:
    """The very script, in a real bash, which calls the real program."""
    script = completion("bash")
    ask = """
    COMP_WORDS=(ziggie-image-mcp config s) COMP_CWORD=2
    $(complete -p ziggie-image-mcp | sed "s/.* -F \\([^ ]*\\).*/\\1/") ziggie-image-mcp s config
    printf "%s\\n" "${COMPREPLY[@]}"
    """

    ended = subprocess.run(
        ["bash", "--norc", "-c", script + ask],
        env=os.environ | {"PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert sorted(ended.stdout.split()) == ["schema", "set", "show"], ended.stderr
