"""Commands as the shells of each system take them."""

from __future__ import annotations

import shlex

import pytest

from ziggie_image_mcp.provider.installing import (
    EnvironmentKind,
    PythonEnvironment,
    install_command,
    uninstall_command,
)
from ziggie_image_mcp.provider.shell import shell_command

BOTH = " (in PowerShell; in cmd without `& `)"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("C:\\Py\\python.exe", "-m", "pip"), "C:\\Py\\python.exe -m pip"),
        (
            ("C:\\Program Files\\python.exe", "-m", "pip", "a[b]"),
            f'& "C:\\Program Files\\python.exe" -m pip "a[b]"{BOTH}',
        ),
        (("C:\\O'Brien\\python.exe",), f'& "C:\\O\'Brien\\python.exe"{BOTH}'),
        (("uv", "-p", "C:\\a b\\p.exe", "b>=2"), 'uv -p "C:\\a b\\p.exe" "b>=2"'),
        (("x", 'say "a"'), 'x "say \\"a\\"" (in cmd)'),
        (("x", "Jürgen\\ä", ""), 'x Jürgen\\ä ""'),
    ],
)
def test_windows_says_for_which_shell_a_command_is_where_no_form_does_for_both(
    words: tuple[str, ...], expected: str
) -> None:
    assert shell_command(*words, system="win32") == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("/usr/bin/python3", "-m", "pip", "a[b]"), '/usr/bin/python3 -m pip "a[b]"'),
        (("/my disk/python", "b>=2", "it's"), '"/my disk/python" "b>=2" "it\'s"'),
        (("x", "${TOKEN} `id`!"), "x '${TOKEN} `id`!'"),
        (("x", '["/a b"]', ""), """x '["/a b"]' \"\""""),
    ],
)
def test_shells_of_posix_take_each_word_as_it_is(words: tuple[str, ...], expected: str) -> None:
    command = shell_command(*words, system="linux")

    assert command == expected
    assert tuple(shlex.split(command)) == words


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pip", f'& "C:\\My Py\\python.exe" -m pip uninstall -y torchvision{BOTH}'),
        ("uv", 'uv pip uninstall -p "C:\\My Py\\python.exe" torchvision'),
        ("pipx", "pipx runpip ziggie-image-mcp uninstall -y torchvision"),
        ("uvx", 'uv tool install "ziggie-image-mcp[local]"'),
    ],
)
def test_a_package_is_taken_out_by_what_keeps_the_environment(
    kind: EnvironmentKind, expected: str
) -> None:
    there = PythonEnvironment(kind=kind, python="C:\\My Py\\python.exe")

    assert uninstall_command("torchvision", there, "win32") == expected


def test_an_interpreter_below_a_folder_with_spaces_can_install_on_windows() -> None:
    there = PythonEnvironment(kind="pip", python="C:\\My Py\\python.exe")

    command = install_command("torchao", environment=there, system="win32")

    assert command == f'& "C:\\My Py\\python.exe" -m pip install torchao{BOTH}'
