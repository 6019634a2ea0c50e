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
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("config s", {"schema", "set", "show"}),
        ("client-config cur", {"cursor"}),
        ("keys set open", {"openai", "openrouter"}),
        ("generate fox --provider comfy", {"comfyui", "comfy_cloud", "comfy_router"}),
        ("generate fox --quality ", {"draft", "standard", "high"}),
    ],
)
def test_bash_completes_commands_and_values(words: str, completed: set[str]) -> None:
    """The very script, in a real bash, which calls the real program."""
    *before, last = words.split(" ")
    ask = f"""
    COMP_WORDS=(ziggie-image-mcp {" ".join(before)} "{last}") COMP_CWORD={len(before) + 1}
    $(complete -p ziggie-image-mcp | sed "s/.* -F \\([^ ]*\\).*/\\1/") ziggie-image-mcp "{last}" x
    printf "%s\\n" "${{COMPREPLY[@]}}"
    """

    ended = subprocess.run(
        ["bash", "--norc", "-c", completion("bash") + ask],
        env=os.environ | {"PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert set(ended.stdout.split()) == completed, ended.stderr
