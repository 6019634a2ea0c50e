"""The command line, in the real process."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("warm")


def run(*arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    before = ["--config", str(config)] if config else []
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *before, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    """A config in which every provider is off."""
    off = {name: {"enabled": False} for name in ("builtin", "comfyui", "diffusers")}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"providers": off}), encoding="utf-8")
    return file


def test_version_and_help_are_short() -> None:
    assert run("--version").stdout.startswith("ziggie-image-mcp 0.")
    help_text = run("--help").stdout
    for command in ("generate", "models", "hardware", "plan", "serve", "config", "doctor"):
        assert command in help_text


def test_config_init_writes_a_file_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "config.json"

    first = run("config", "init", config=file)
    again = run("config", "init", config=file)
    shown = run("config", "show", config=file)

    assert first.stdout.strip() == str(file)
    assert again.returncode == 1
    assert json.loads(shown.stdout)["allowPaidFallback"] == "ask"
    schema = json.loads((file.parent / "config.schema.json").read_text(encoding="utf-8"))
    assert schema["title"] == "ziggie-image-mcp config.json"


def test_config_path_and_schema(tmp_path: Path) -> None:
    assert run("config", "path", config=tmp_path / "x.json").stdout.strip().endswith("x.json")
    assert "perDay" in run("config", "schema").stdout


def test_a_typo_in_the_config_is_named_by_every_command(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"prefernce": "cost"}', encoding="utf-8")

    for command in (["hardware"], ["models"], ["plan"], ["generate", "x"], ["config", "show"]):
        found = run(*command, config=file)
        assert found.returncode == 1, command
        assert "[CONFIG_INVALID]" in found.stderr
        assert "`preference`" in found.stderr
        assert "Traceback" not in found.stderr


def test_no_route_is_an_error_with_every_reason(nothing: Path) -> None:
    found = run("generate", "a cat", config=nothing)

    assert found.returncode == 1
    assert found.stdout == ""
    assert "[NO_ROUTE]" in found.stderr
    assert "comfyui: DISABLED" in found.stderr
    assert "diffusers: DISABLED" in found.stderr


def test_plan_shows_reasons_as_a_table_and_as_json(nothing: Path) -> None:
    table = run("plan", config=nothing).stdout
    data = json.loads(run("plan", "--json", config=nothing).stdout)

    assert "No route is open." in table
    assert "DISABLED" in table
    assert {r["provider"] for r in data["rejected"]} == {"builtin", "comfyui", "diffusers"}


def test_hardware_shows_the_three_choices(nothing: Path) -> None:
    found = run("hardware", config=nothing).stdout

    for line in ("[ ] Use local generation", "[ ] Use a cloud API", "[ ] Automatic"):
        assert line in found


def test_doctor_fails_when_a_configured_engine_is_down(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    settings = {
        "api": {"type": "comfyui", "url": "http://127.0.0.1:9"},
        "output": {"directory": str(tmp_path / "pictures")},
    }
    file.write_text(json.dumps(settings), encoding="utf-8")

    found = run("doctor", "--skip-picture", config=file)

    assert found.returncode == 1
    assert "FAIL  comfyui" in found.stdout
    assert "127.0.0.1:9" in found.stdout
    assert "OK    Python" in found.stdout


def test_client_config_is_ready_to_paste(tmp_path: Path) -> None:
    vscode = json.loads(run("client-config", "vscode").stdout)
    codex = tomllib.loads(run("client-config", "codex").stdout)
    unknown = run("client-config", "emacs")

    (server,) = vscode["servers"].values()
    assert server["command"] == sys.executable
    assert next(iter(codex["mcp_servers"].values()))["args"] == ["-m", "ziggie_image_mcp"]
    assert unknown.returncode == 1
    assert "claude-code" in unknown.stderr
