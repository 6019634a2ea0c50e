"""The command line, in the real process."""

from __future__ import annotations

import json
import os
import shlex
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
    codes = {r["provider"]: r["reasons"][0]["code"] for r in data["rejected"]}
    assert codes.items() >= dict.fromkeys(("builtin", "comfyui", "diffusers"), "DISABLED").items()
    assert codes["openai"] == "NO_KEY"


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


def test_client_config_without_a_name_lists_all_with_their_files() -> None:
    table = run("client-config").stdout
    rows = json.loads(run("client-config", "--json").stdout)

    assert len(rows) == 14
    for row in rows:
        assert row["name"] in table
    (cursor,) = (row for row in rows if row["name"] == "cursor")
    assert cursor["file"] == str(Path.home() / ".cursor" / "mcp.json")
    assert not cursor["here"]


def test_client_config_is_written_into_the_clients_file_once(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{\n\t// mine\n\t"theme": "dark",\n}\n', encoding="utf-8")

    first = run("client-config", "gemini", "--write", "--file", str(file))
    words = ["client-config", "gemini", "--file", str(file), "--json"]
    shown = json.loads(run(*words).stdout)
    again = json.loads(run(*words, "--write").stdout)
    file.write_text('{"theme": ', encoding="utf-8")
    broken = run("client-config", "gemini", "--write", "--file", str(file))

    backup = tmp_path / "settings.json.bak"
    assert str(file) in first.stdout
    assert str(backup) in first.stdout
    assert "// mine" in backup.read_text(encoding="utf-8")
    assert shown["file"] == str(file)
    assert shown["entry"]["timeout"] == 600_000
    assert again == {"file": str(file), "changed": False, "backup": None}
    assert broken.returncode == 1
    assert f"{file}: line 1" in broken.stderr
    assert "Nothing was changed" in broken.stderr
    assert "mcpServers" in json.loads(broken.stdout)
    assert file.read_text(encoding="utf-8") == '{"theme": '
    assert sorted(f.name for f in tmp_path.iterdir()) == ["settings.json", "settings.json.bak"]


def test_client_config_for_a_project_names_and_writes_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("client-config", "claude-code", "--project")
    untouched = list(tmp_path.glob("*.json"))
    done = run("client-config", "claude-code", "--project", "--write")
    neither = run("client-config", "zed", "--project")

    file = tmp_path / ".mcp.json"
    assert str(file) in shown.stderr
    assert untouched == []
    assert done.returncode == 0, done.stderr
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(shown.stdout)
    assert neither.returncode == 1
    assert "leave --project out" in neither.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZIGGIE_IMAGE_ENABLED", "no"),
        ("ZIGGIE_IMAGE_PROVIDERS__BUILTIN__ENABLED", "false"),
        ("ZIGGIE_IMAGE_MODELS__TINY__ENABLED", "false"),
        ("ZIGGIE_IMAGE_MODELS", '{"tin*": {"enabled": false}}'),
    ],
)
def test_what_a_variable_switches_off_is_mended_at_that_variable(
    name: str, value: str, nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"providers": {"comfyui": {"enabled": False}, "diffusers": {"enabled": False}}}
    nothing.write_text(json.dumps(settings), encoding="utf-8")
    monkeypatch.setenv(name, value)

    refused = run("generate", "a star", config=nothing)
    told = run("plan", "a star", config=nothing)

    fix = f"change or unset the environment variable {name}, which wins over config.json"
    assert refused.returncode == 1
    assert fix in refused.stderr
    assert fix in told.stdout


@pytest.mark.parametrize("key", ["BASE_URL", "BASEURL", "Base_Url"])
def test_a_variable_of_a_provider_is_known_in_any_spelling_and_wins(
    key: str, nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing.write_text('{"providers": {"comfyui": {"baseUrl": "http://[bad"}}}', encoding="utf-8")
    monkeypatch.setenv(f"ZIGGIE_IMAGE_PROVIDERS__COMFYUI__{key}", "http://127.0.0.1:9")

    checked = run("config", "check", config=nothing)
    monkeypatch.setenv(f"ZIGGIE_IMAGE_PROVIDERS__COMFYUI__{key}", "http://h:99999")
    refused = run("config", "check", config=nothing)

    assert checked.returncode == 0, checked.stderr
    variable = f"environment variable ZIGGIE_IMAGE_PROVIDERS__COMFYUI__{key}"
    assert f"`baseUrl` ({variable}): " in refused.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BASEURLL", "x"),
        ("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__ENABLED", "perhaps"),
        ("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__PRIVACY", "some"),
        ("ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BUDGET__PERDAY", "-1"),
        ("ZIGGIE_IMAGE_PROVIDER", "comfy"),
        ("ZIGGIE_IMAGE_API__TYPE", "comfy"),
    ],
)
def test_a_wrong_variable_is_named(
    name: str, value: str, nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing.write_text("{}", encoding="utf-8")
    monkeypatch.setenv(name, value)

    refused = run("config", "check", config=nothing)

    assert refused.returncode == 1
    assert name in refused.stderr


def test_a_file_that_is_missing_is_written_by_the_command_that_the_error_names(
    tmp_path: Path,
) -> None:
    missing = tmp_path / "my nope.json"

    refused = run("models", "--config", str(missing))
    command = refused.stderr.split("`")[1]
    written = run(*shlex.split(command)[1:])

    assert command == f'ziggie-image-mcp config init --config "{missing}"'
    assert written.stdout == f"{missing}\n", written.stderr
    assert run("models", "--config", str(missing)).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has one")
@pytest.mark.parametrize("place", ["/dev/full", "closed"])
@pytest.mark.parametrize("words", ["--version", "--help", "config path"])
def test_a_standard_output_that_takes_nothing_is_said_in_one_sentence(
    words: str, place: str, nothing: Path
) -> None:
    command = shlex.join([sys.executable, "-m", "ziggie_image_mcp", "--config", str(nothing)])
    where = ">&-" if place == "closed" else f">{place}"

    ended = subprocess.run(
        ["/bin/sh", "-c", f"{command} {words} {where}"],
        stderr=subprocess.PIPE,
        env={**os.environ, "ZIGGIE_TEST_FORKED": ""},  # started for real, on what is open here
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )

    why = "it is closed" if place == "closed" else "No space left on device"
    assert ended.stderr == f"Standard output cannot be written: {why}.\n"
    assert ended.returncode == 1
