"""By which command a package comes into each kind of environment."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from ziggie_image_mcp.provider.installing import (
    CURRENT_ENVIRONMENT,
    EnvironmentKind,
    PythonEnvironment,
    environment_kind,
    install_command,
)

LOCAL = "ziggie-image-mcp[local]"


@pytest.mark.parametrize(
    ("kind", "plain", "extra"),
    [
        (
            "pip",
            "/e/bin/python -m pip install torchao",
            f'/e/bin/python -m pip install "{LOCAL}"',
        ),
        (
            "uv",
            "uv pip install -p /e/bin/python torchao",
            f'uv pip install -p /e/bin/python "{LOCAL}"',
        ),
        (
            "pipx",
            "pipx runpip ziggie-image-mcp install torchao",
            f'pipx runpip ziggie-image-mcp install "{LOCAL}"',
        ),
        ("uvx", f'uv tool install --with torchao "{LOCAL}"', f'uv tool install "{LOCAL}"'),
    ],
)
def test_the_command_is_that_of_the_environment(
    kind: EnvironmentKind, plain: str, extra: str
) -> None:
    there = PythonEnvironment(kind=kind, python="/e/bin/python")

    assert install_command("torchao", environment=there) == plain
    assert install_command(LOCAL, environment=there) == extra


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("pip", "/e/bin/python -m pip install --force-reinstall torch --index-url https://i/"),
        ("uv", "uv pip install -p /e/bin/python --reinstall torch --index-url https://i/"),
        (
            "pipx",
            "pipx runpip ziggie-image-mcp install --force-reinstall torch --index-url https://i/",
        ),
        ("uvx", f'uv tool install --index https://i/ --with torch "{LOCAL}"'),
    ],
)
def test_another_index_is_named_as_each_tool_wants_it(kind: EnvironmentKind, expected: str) -> None:
    there = PythonEnvironment(kind=kind, python="/e/bin/python")

    assert install_command("torch", index="https://i/", again=True, environment=there) == expected


def test_several_packages_come_by_one_command() -> None:
    by_pip = PythonEnvironment(kind="pip", python="/e/bin/python")
    by_uvx = PythonEnvironment(kind="uvx", python="/e/bin/python")

    assert install_command("a", "b>=2", environment=by_pip).endswith(' -m pip install a "b>=2"')
    both = install_command("a", "b>=2", environment=by_uvx)
    assert both == f'uv tool install --with a --with "b>=2" "{LOCAL}"'


def test_environments_are_told_apart_by_their_files(tmp_path: Path) -> None:
    by_pipx, by_uvx = tmp_path / "venvs" / "ziggie-image-mcp", tmp_path / "archive-v0" / "x1"
    by_pipx.mkdir(parents=True)
    (by_pipx / "pipx_metadata.json").write_text("{}", "utf-8")

    assert environment_kind(by_pipx, has_pip=False) == "pipx"
    assert environment_kind(by_uvx, has_pip=False) == "uvx"
    assert environment_kind(tmp_path, has_pip=False) == "uv"
    assert environment_kind(tmp_path, has_pip=True) == "pip"
    assert CURRENT_ENVIRONMENT.kind == "pip"


@pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="needs setuptools")
def test_setuptools_can_be_imported_after_it_as_the_compiler_of_torch_does() -> None:
    script = "import ziggie_image_mcp.provider.installing, setuptools"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
