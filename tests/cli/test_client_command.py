"""The command `client-config`: whose values stand in a client's file, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ziggie_image_mcp.cli import client_files
from ziggie_image_mcp.cli.client_config import CLIENTS, SERVER, Launch, client_config
from ziggie_image_mcp.provider import systems

pytestmark = pytest.mark.usefixtures("warm")

URL = "http://127.0.0.1:8765/mcp"
CODEX = '[mcp_servers.ziggie-image]\ncommand = "old"\n'


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def put(name: str, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run("client-config", name, "--write", "--file", str(file), *words)


def refused(*words: str) -> str:
    """What is said instead of an answer; in one line, and without a traceback."""
    done = run("client-config", *words)
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    return line


def test_the_users_values_stay_and_what_starts_the_server_is_ours(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    more = 'startup_timeout_sec = 120\nrequired = false\nenv = { KEY = "v" }\nsince = 2026-01-02\n'
    file.write_text(CODEX + more, encoding="utf-8")

    done = put("codex", file)
    connected = put("codex", file, "--http", URL, "--token-env", "TOKEN")
    http = tomllib.loads(file.read_text(encoding="utf-8"))["mcp_servers"][SERVER]
    back = put("codex", file)

    assert (done.returncode, connected.returncode, back.returncode) == (0, 0, 0), done.stderr
    started = tomllib.loads(file.with_name("config.toml.bak2").read_text(encoding="utf-8"))
    own = started["mcp_servers"][SERVER]
    assert own.pop("command") == sys.executable
    assert str(own.pop("since")) == "2026-01-02"
    assert own == {
        "args": ["-m", "ziggie_image_mcp"],
        "startup_timeout_sec": 120,
        "required": False,
        "env": {"KEY": "v"},
        "tool_timeout_sec": 600,
    }
    assert "command" not in http
    assert "env" not in http
    assert http["bearer_token_env_var"] == "TOKEN"
    assert http["startup_timeout_sec"] == 120
    again = tomllib.loads(file.read_text(encoding="utf-8"))["mcp_servers"][SERVER]
    assert "bearer_token_env_var" not in again
    assert again["required"] is False


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (URL, {"X-Mine": "1", "Authorization": "Bearer ${env:TOKEN}"}),
        ("http://elsewhere/mcp", {"Authorization": "Bearer ${env:TOKEN}"}),
    ],
)
def test_headers_stay_for_the_address_that_they_were_for(
    url: str, headers: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "mcp.json"
    own = {"url": URL, "headers": {"X-Mine": "1", "authorization": "Bearer secret"}}
    file.write_text(json.dumps({"mcpServers": {SERVER: own}}), encoding="utf-8")

    put("cursor", file, "--http", url, "--token-env", "TOKEN")

    entry = json.loads(file.read_text(encoding="utf-8"))["mcpServers"][SERVER]
    assert entry == {"url": url, "headers": headers}


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("windsurf", "disabled", True),
        ("jan", "active", False),
        ("cherry-studio", "isActive", False),
        ("zed", "enabled", False),
    ],
)
def test_a_server_that_is_switched_off_is_told_so(
    name: str, key: str, value: object, tmp_path: Path
) -> None:
    file = tmp_path / "s.json"
    (top,) = CLIENTS[name].keys
    file.write_text(json.dumps({top: {SERVER: {"command": "old", key: value}}}), encoding="utf-8")

    first, second = put(name, file), put(name, file, "--json")

    assert f"switched off there: `{key}`" in first.stderr
    assert f"switched off there: `{key}`" in second.stderr
    assert json.loads(second.stdout)["changed"] is False
    assert json.loads(file.read_text(encoding="utf-8"))[top][SERVER][key] is value


def test_the_settings_of_the_environment_are_carried_as_those_of_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "mine.json", tmp_path / "other.json"
    for each in (file, other):
        each.write_text("{}", encoding="utf-8")
    monkeypatch.setenv("ZIGGIE_IMAGE_CONFIG", str(file))

    def entry(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(*words).stdout)["mcpServers"][SERVER]
        return found

    put("cursor", tmp_path / "mcp.json")
    written = json.loads((tmp_path / "mcp.json").read_text(encoding="utf-8"))
    assert written["mcpServers"][SERVER]["env"] == {"ZIGGIE_IMAGE_CONFIG": str(file)}
    assert entry("client-config", "cursor")["env"] == {"ZIGGIE_IMAGE_CONFIG": str(file)}
    assert entry("--config", str(other), "client-config", "cursor")["env"] == {
        "ZIGGIE_IMAGE_CONFIG": str(other)
    }
    assert "env" not in entry("client-config", "cursor", "--http", URL)
    monkeypatch.setenv("ZIGGIE_IMAGE_CONFIG", str(tmp_path / "gone.json"))
    assert "ZIGGIE_IMAGE_CONFIG='" in refused("cursor")


def test_settings_that_do_not_help_are_refused_and_not_written(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"

    away = refused("cursor", "--config", "nope.json", "--write", "--file", str(file))
    beside = refused("cursor", "--config", "nope.json", "--http", URL)

    assert "--config='nope.json' cannot be used: there is no such file" in away
    assert "--config='nope.json' cannot be used" in beside
    assert "leave --config out" in beside
    assert not file.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--write"], "--write needs one, as in `ziggie-image-mcp client-config cursor --write`"),
        (["--project"], "--project needs one"),
        (["--file", "x"], "--file needs one"),
        (["--token-env", "sk-proj-abcdefg"], "--token-env needs one"),
        (["open-webui", "--http", URL, "--write", "--file", "f"], "has no file to edit"),
        (["codex", "--project", "--file", "f"], "leave --project out"),
        (["vscode", "--project", "--file", "f"], "leave one of the two out"),
        (["jan", "--http", URL, "--token-env", "T", "--write", "--file", "f"], "--write='jan'"),
        (["cursor", "--http", URL, "--token-env", "A B"], "say the name of the variable"),
    ],
)
def test_what_would_be_ignored_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert said in refused(*words)

    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize(
    "token", ["sk-proj-abcdef123456", "ghp_abcdefghij1234567890", "abcdef0123456789" * 4]
)
def test_a_token_in_the_place_of_its_variables_name_is_not_repeated(token: str) -> None:
    for words in (["--http", URL], []):
        line = refused("cursor", *words, "--token-env", token)

        assert f"--token-env='{token[:4]}...' cannot be used" in line
        assert token[4:] not in line


def test_a_named_file_of_claude_code_is_shown_as_a_file(tmp_path: Path) -> None:
    shown = run("client-config", "claude-code", "--file", str(tmp_path / "c.json"))

    assert SERVER in json.loads(shown.stdout)["mcpServers"]
    assert str(tmp_path / "c.json") in shown.stderr
    assert "Run this in a terminal" not in shown.stderr


@pytest.mark.parametrize("empty", ["{}", " { }", "null", " ~", "", " {}  # none yet"])
def test_an_empty_block_of_yaml_is_filled(empty: str, tmp_path: Path) -> None:
    file = tmp_path / "librechat.yaml"
    file.write_text(f"version: 1\nmcpServers: {empty}\ncache: true\n", encoding="utf-8")

    done = put("librechat", file)

    text = file.read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(text)["mcpServers"][SERVER]["command"] == sys.executable
    assert yaml.safe_load(text)["cache"] is True
    assert ("# none yet" in text) == ("# none yet" in empty)
    assert put("librechat", file, "--json").stdout.count('"changed": false') == 1


@pytest.mark.parametrize("text", ['{"mcpServers": null}', '{"mcpServers": {"ziggie-image": null}}'])
def test_a_null_in_json_is_filled(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(text, encoding="utf-8")

    assert put("cursor", file).returncode == 0
    assert "command" in json.loads(file.read_text(encoding="utf-8"))["mcpServers"][SERVER]


def test_a_text_that_looks_like_our_table_is_none(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    text = f'notes = """\n{CODEX}"""\n'
    file.write_text(text, encoding="utf-8")

    assert put("codex", file).returncode == 0
    assert file.read_text(encoding="utf-8").startswith(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("codex", "mcp_servers = { other = {} }\n"),
        ("codex", f'notes = """\n{CODEX}"""\n{CODEX}'),
        ("librechat", "mcpServers: {other: {}}\n"),
        ("librechat", "{version: 1}\n"),
        ("librechat", "mcpServers:\n  ziggie-image:\n    command: x\n    since: 2026-01-02\n"),
        ("librechat", "mcpServers:\n  ziggie-image:\n    env: {2026-01-02: x}\n"),
    ],
)
def test_a_sound_file_is_not_blamed_and_the_lines_are_printed(
    name: str, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "own"
    file.write_text(text, encoding="utf-8")

    done = put(name, file)

    (line,) = done.stderr.splitlines()
    assert "is written in a way that cannot be changed here. Nothing was changed" in line
    assert SERVER in done.stdout
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("name", "opening"), [("codex", "a = "), ("librechat", "a: ")])
def test_a_file_that_is_nested_too_deep_is_told(name: str, opening: str, tmp_path: Path) -> None:
    file = tmp_path / "own"
    file.write_text(opening + "[" * 5000 + "]" * 5000 + "\n", encoding="utf-8")

    assert "nested too deep" in put(name, file).stderr


@pytest.mark.parametrize("name", ["vscode", "librechat"])
def test_half_a_character_in_our_entry_stays(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mcp"
    (top,) = CLIENTS[name].keys
    own = {"command": "old", "env": {"ODD": "\ud800x\x85\u2028\uffffé😀"}}
    file.write_text(json.dumps({top: {SERVER: own}}, indent=1), encoding="utf-8")
    if name == "librechat":
        block = '    command: old\n    env: {"ODD": "\\ud800x\\x85\\u2028\\uffffé😀"}\n'
        file.write_text(f"mcpServers:\n  {SERVER}:\n{block}", encoding="utf-8")

    done = put(name, file)

    assert done.returncode == 0, done.stderr
    data = (yaml.safe_load if name == "librechat" else json.loads)(file.read_text(encoding="utf-8"))
    assert data[top][SERVER]["env"] == own["env"]
    assert data[top][SERVER]["command"] == sys.executable


def test_times_and_odd_numbers_of_toml_stay(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    odd = "a = 07:32:00\nb = 1979-05-27T07:32:00.5+02:00\nc = inf\nd = [1979-05-27, 1e30]\n"
    file.write_text(CODEX + odd, encoding="utf-8")

    done = put("codex", file)

    assert done.returncode == 0, done.stderr
    own = tomllib.loads(file.read_text(encoding="utf-8"))["mcp_servers"][SERVER]
    assert tomllib.loads(odd).items() <= own.items()


@pytest.mark.skipif(sys.platform != "linux", reason="names of files that are no UTF-8")
def test_settings_whose_name_no_file_can_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = os.fsdecode(os.fsencode(tmp_path / "a") + b"\xff.json")
    Path(file).write_text("{}", encoding="utf-8")
    monkeypatch.setenv("ZIGGIE_IMAGE_CONFIG", file)

    assert "it is no UTF-8" in refused("cursor")


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_a_file_keeps_the_rights_that_this_process_masks(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text("{}", encoding="utf-8")
    file.chmod(0o666)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"old")
    picture.chmod(0o664)

    mask = os.umask(0o077)
    try:
        snippet = client_config("cursor", Launch(command=["py"]))
        client_files.write(file, CLIENTS["cursor"], snippet)
        systems.put_in_place(picture, b"new", 0o666)
        systems.put_in_place(tmp_path / "new.png", b"new", 0o666)
    finally:
        os.umask(mask)

    assert file.stat().st_mode & 0o777 == 0o666
    assert picture.stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "new.png").stat().st_mode & 0o777 == 0o600
