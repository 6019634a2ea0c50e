"""What the command line imports: never the server, unless it serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("cold")

PROGRAM = """
import sys
from ziggie_image_mcp.__main__ import main

HEAVY = {"mcp", "mcp_types", "uvicorn", "starlette", "dbos", "sqlalchemy", "httpx2", "PIL"}
try:
    main()
except SystemExit as e:
    code = e.code
print("imported", code, *sorted(HEAVY & set(sys.modules)), file=sys.stderr)
"""


def imported(*arguments: str, config: Path) -> list[str]:
    """The exit code of a command, and what it imported that is heavy."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    return done.stderr.splitlines()[-1].split()[1:]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["generate", "--help"], ["config", "schema"]],
    ids=" ".join,
)
def test_what_needs_no_service_imports_none(arguments: list[str], config: Path) -> None:
    assert imported(*arguments, config=config) == ["0"]


@pytest.mark.parametrize(
    "arguments",
    [["models"], ["hardware"], ["plan", "a star"], ["doctor", "--skip-picture"]],
    ids=" ".join,
)
def test_what_makes_no_picture_imports_neither_jobs_nor_server(
    arguments: list[str], config: Path
) -> None:
    _, *modules = imported(*arguments, config=config)

    assert {"mcp", "mcp_types", "uvicorn", "starlette", "dbos", "PIL"}.isdisjoint(modules)


def test_a_picture_is_made_without_the_server(config: Path) -> None:
    code, *modules = imported("generate", "a star", "--steps", "1", config=config)

    assert code == "0"
    assert "dbos" in modules
    assert {"mcp", "mcp_types", "uvicorn", "starlette"}.isdisjoint(modules)
