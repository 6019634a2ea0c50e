"""The files of MCP clients: where they are, and that one key of them changes and nothing else."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
import yaml

from ziggie_image_mcp.cli import client_files, jsonc
from ziggie_image_mcp.cli.client_config import CLIENTS, SERVER, Format, Launch, client_config
from ziggie_image_mcp.errors import ConfigError, InvalidRequest, StorageError

ENTRY = {"command": "py", "args": ["-m", "x"]}


def edited(text: str, kind: Format = "json", key: str = "mcpServers") -> str:
    return client_files.edited(text, kind, [key], ENTRY)[0]


WINDOWS = {
    "USERPROFILE": "C:\\Users\\A B",
    "APPDATA": "D:\\Roaming",
    "HOME": "/c/Users/wrong",
}
MAC = "/u/Library/Application Support"
PLACES = [
    ("claude-desktop", "win32", "D:\\Roaming\\Claude\\claude_desktop_config.json"),
    (
        "claude-desktop",
        "darwin",
        f"{MAC}/Claude/claude_desktop_config.json",
    ),
    ("claude-desktop", "linux", "/u/.config/Claude/claude_desktop_config.json"),
    ("claude-code", "win32", "C:\\Users\\A B\\.claude.json"),
    ("claude-code", "linux", "/u/.claude.json"),
    ("vscode", "win32", "D:\\Roaming\\Code\\User\\mcp.json"),
    ("vscode", "darwin", f"{MAC}/Code/User/mcp.json"),
    ("vscode", "linux", "/u/.config/Code/User/mcp.json"),
    ("cursor", "win32", "C:\\Users\\A B\\.cursor\\mcp.json"),
    ("codex", "win32", "C:\\Users\\A B\\.codex\\config.toml"),
    ("codex", "freebsd14", "/u/.codex/config.toml"),
    ("gemini", "darwin", "/u/.gemini/settings.json"),
    ("zed", "win32", "D:\\Roaming\\Zed\\settings.json"),
    ("zed", "darwin", "/u/.config/zed/settings.json"),
    ("zed", "linux", "/u/.config/zed/settings.json"),
    ("windsurf", "win32", "C:\\Users\\A B\\.codeium\\windsurf\\mcp_config.json"),
    ("lm-studio", "linux", "/u/.lmstudio/mcp.json"),
    ("librechat", "linux", None),
    ("cherry-studio", "win32", None),
    ("open-webui", "darwin", None),
]


@pytest.mark.parametrize(("name", "system", "path"), PLACES)
def test_a_client_has_its_file_where_its_system_keeps_such(
    name: str, system: str, path: str | None
) -> None:
    env = WINDOWS if system == "win32" else {"HOME": "/u"}

    found = client_files.place(CLIENTS[name], system, env)

    flavour = PureWindowsPath if system == "win32" else PurePosixPath
    assert found == (None if path is None else flavour(path))


def test_variables_that_are_not_set_have_the_systems_defaults() -> None:
    lone = client_files.place(CLIENTS["zed"], "win32", {"USERPROFILE": "C:\\U", "APPDATA": ""})
    moved = client_files.place(
        CLIENTS["vscode"], "linux", {"HOME": "/u", "XDG_CONFIG_HOME": "/elsewhere"}
    )

    assert lone == PureWindowsPath("C:\\U\\AppData\\Roaming\\Zed\\settings.json")
    assert moved == PurePosixPath("/elsewhere/Code/User/mcp.json")


COMMENTS = [
    "// mine",
    "// why",
    "// note, with comma",
    "/* two */ // three",
    "// none yet",
    "// end",
]
JSON_FILES = [
    "",
    "\n",
    "{}",
    "{ }\n",
    '{"a": 1}',
    '{"a": 1,}',
    '{\n  "a": 1\n}\n',
    '{\n    "z": [1, 2],\n    "a": {"b": null}\n}\n',
    '{\n\t"mcpServers": {}\n}\n',
    '{\n\t"mcpServers": {\n\t\t"other": {"command": "o"}\n\t},\n\t"last": true\n}\n',
    '{\r\n  "mcpServers": {\r\n    "other": {"command": "o"}\r\n  }\r\n}\r\n',
    '// mine\n{\n  // why\n  "a": 1, // note, with comma\n'
    '  "b": 2 /* two */ // three\n  // end\n}\n',
    '{\n  "mcpServers": {\n    // none yet\n  }\n}\n',
    '{\n  "mcpServers": {\n    "other": {"url": "http://h/mcp"}, // "x": {}\n  },\n}\n',
    '{"mcpServers": {"ziggie-image": {"command": "old", "args": []}, "other": {}}}',
    '{\n  "mcpServers": {\n    "ziggie-image": {\n      "command": "old",\n'
    '      "args": []\n    },\n'
    '    "other": {"args": ["// no comment", "}"]}\n  }\n}\n',
    '{"text": "\\" // not { a comment", "num": -1.5e3, "u": "\\u00fc\\ud83d\\ude00 é"}',
]


@pytest.mark.parametrize("text", JSON_FILES)
def test_one_key_of_a_json_file_changes_and_nothing_else(text: str) -> None:
    new = edited(text)

    before: dict[str, Any] = jsonc.parse(text).value if text.strip() else {}
    after = jsonc.parse(new).value
    assert after["mcpServers"].pop(SERVER) == ENTRY
    others = dict(before.get("mcpServers", {}))
    others.pop(SERVER, None)
    assert after["mcpServers"] == others
    assert {k: v for k, v in after.items() if k != "mcpServers"} == {
        k: v for k, v in before.items() if k != "mcpServers"
    }
    assert list(after)[: len(before)] == list(before)
    assert ("\r\n" in new) == ("\r\n" in text)
    assert [c for c in COMMENTS if c in text] == [c for c in COMMENTS if c in new]
    assert edited(new) == new


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (
            '{\n    "a": 1 // note\n}\n',
            '{\n    "a": 1, // note\n    "mcpServers": {\n        "ziggie-image": {\n'
            '            "command": "py",\n            "args": [\n                "-m",\n'
            '                "x"\n            ]\n        }\n    }\n}\n',
        ),
        (
            '{\n\t"mcpServers": {\n\t\t"o": {},\n\t},\n}\n',
            '{\n\t"mcpServers": {\n\t\t"o": {},\n\t\t"ziggie-image": {\n\t\t\t"command": "py",\n'
            '\t\t\t"args": [\n\t\t\t\t"-m",\n\t\t\t\t"x"\n\t\t\t]\n\t\t},\n\t},\n}\n',
        ),
    ],
)
def test_it_is_written_as_the_file_is(text: str, new: str) -> None:
    assert edited(text) == new


def test_what_the_user_added_to_our_entry_stays() -> None:
    old = {
        "command": "old",
        "args": ["y"],
        "env": {"OPENAI_API_KEY": "sk-1", "ZIGGIE_IMAGE_CONFIG": "/old"},
        "disabled": True,
    }
    text = json.dumps({"mcpServers": {SERVER: old}})
    entry = {**ENTRY, "env": {"ZIGGIE_IMAGE_CONFIG": "/new"}}
    address = {"type": "http", "url": "http://h/mcp"}

    started = json.loads(client_files.edited(text, "json", ["mcpServers"], entry)[0])
    plain = json.loads(client_files.edited(text, "json", ["mcpServers"], ENTRY)[0])
    connected = json.loads(client_files.edited(text, "json", ["mcpServers"], address)[0])

    env = {"OPENAI_API_KEY": "sk-1", "ZIGGIE_IMAGE_CONFIG": "/new"}
    assert started["mcpServers"][SERVER] == {**ENTRY, "env": env, "disabled": True}
    assert plain["mcpServers"][SERVER]["env"] == old["env"]
    assert connected["mcpServers"][SERVER] == {"disabled": True, **address}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": }', "line 1, column 7: a value was expected"),
        ('{"a": 1 "b": 2}', "a comma was expected"),
        ("{'a': 1}", "a key in quotes was expected"),
        ('{"a" 1}', "a colon was expected"),
        ('{"a": "x\n"}', "line 1, column 7"),
        ('{"a": 1} x', "something behind its end"),
        ('{"a": 1', "a comma was expected"),
        ("[1]", "no block of settings"),
        ('{"mcpServers": []}', "no block of settings"),
        ('{"mcpServers": {}, "mcpServers": {}}', "stands there twice"),
        ('{"mcpServers": {"ziggie-image": {"command": "o" /* mine */}}}', "there are comments"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", "nested too deep"),
    ],
)
def test_a_json_file_that_cannot_be_understood_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        edited(text)


TOML_FILES = [
    "",
    'model = "gpt-5"',
    'model = "gpt-5"\n',
    '[mcp_servers.other]\ncommand = "o"\nargs = []\n',
    '# mine\nmodel = "m"\n\n[mcp_servers.other] # o\ncommand = "o"\n'
    '[mcp_servers.other.env]\nA = "1"\n'
    "\n# about tui\n[tui]\nx = 1\n",
    '[mcp_servers.ziggie-image]\ncommand = "old"\n\n# about tui\n[tui]\nx = 1\n',
    '[mcp_servers."ziggie-image"]\ncommand = "old"\n[mcp_servers."ziggie-image".env]\nK = "v"\n'
    "[tui]\nx = 1\n",
    '[ mcp_servers . ziggie-image ]\r\ncommand = "old"\r\n',
    'text = """\nno table\n"""\n[[list]]\na = 1\n[[list]]\na = 2\n',
]


@pytest.mark.parametrize("text", TOML_FILES)
def test_one_table_of_a_toml_file_changes_and_nothing_else(text: str) -> None:
    new = edited(text, "toml", "mcp_servers")

    before, after = tomllib.loads(text), tomllib.loads(new)
    own = after["mcp_servers"].pop(SERVER)
    assert {k: own[k] for k in ENTRY} == ENTRY
    before.setdefault("mcp_servers", {}).pop(SERVER, None)
    assert after == before
    for line in text.splitlines():
        if line.strip().startswith("#") or "other" in line:
            assert line in new
    assert edited(new, "toml", "mcp_servers") == new


YAML_FILES = [
    "",
    "version: 1.2.1\n",
    "version: 1.2.1",
    "mcpServers:\n  other:\n    command: o\n",
    "# mine\nversion: 1\nmcpServers:\n    other:  # o\n        command: o\n\n"
    "# about cache\ncache: true\n",
    "mcpServers:\n  ziggie-image:\n    command: old\n    args:\n      - x\n"
    "  other:\n    command: o\n",
    "mcpServers:\n  other:\n    command: o\n  ziggie-image:\n    command: old\n\ncache: true\n",
    "mcpServers:\r\n  other:\r\n    command: o\r\n",
]


@pytest.mark.parametrize("text", YAML_FILES)
def test_one_block_of_a_yaml_file_changes_and_nothing_else(text: str) -> None:
    new = edited(text, "yaml")

    before: dict[str, Any] = yaml.safe_load(text) or {}
    after = yaml.safe_load(new)
    own = after["mcpServers"].pop(SERVER)
    assert {k: own[k] for k in ENTRY} == ENTRY
    before.setdefault("mcpServers", {}).pop(SERVER, None)
    assert after == before
    assert all(line in new for line in text.splitlines() if "#" in line)
    assert edited(new, "yaml") == new


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mcp_servers = { other = {} }\n", "toml"),
        ('[mcp_servers.ziggie-image]\ncommand = "x" # mine\n', "toml"),
        ("model = \n", "toml"),
        ("mcpServers: {other: {}}\n", "yaml"),
        ("mcpServers:\n  ziggie-image:\n    command: x # mine\n", "yaml"),
        ("a: [1\n", "yaml"),
        ("- a\n", "yaml"),
    ],
)
def test_what_cannot_be_changed_without_a_loss_is_refused(text: str, kind: Format) -> None:
    key = "mcp_servers" if kind == "toml" else "mcpServers"

    with pytest.raises(ValueError, match=r"."):
        edited(text, kind, key)


def write(file: Path, name: str = "cursor", launch: Launch | None = None) -> client_files.Change:
    client = CLIENTS[name]
    launch = launch or Launch(command=["py"])
    return client_files.write(file, client, client_config(name, launch))


def test_each_change_has_its_backup_and_no_change_has_none(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "mcp.json"

    new = write(file)
    same = write(file)
    other = write(file, launch=Launch(command=["other"]))
    third = write(file, launch=Launch(command=["third"]))

    assert (new.changed, new.backup) == (True, None)
    assert (same.changed, same.backup) == (False, None)
    assert other.backup == file.with_name("mcp.json.bak")
    assert third.backup == file.with_name("mcp.json.bak2")
    assert (
        json.loads(file.with_name("mcp.json.bak").read_text())["mcpServers"][SERVER]["command"]
        == "py"
    )
    assert sorted(f.name for f in file.parent.iterdir()) == [
        "mcp.json",
        "mcp.json.bak",
        "mcp.json.bak2",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")
def test_a_file_keeps_its_mode_and_the_link_to_it(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    real.chmod(0o640)
    link = tmp_path / "mcp.json"
    link.symlink_to(real)

    change = write(link)
    made = write(tmp_path / "new.json")

    assert link.is_symlink()
    assert change.file == real
    assert SERVER in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640
    assert made.file.stat().st_mode & 0o777 == 0o600


def test_a_mark_at_the_beginning_stays(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')

    write(file)

    assert file.read_bytes().startswith(b"\xef\xbb\xbf{")
    assert json.loads(file.read_text("utf-8-sig"))["a"] == 1


@pytest.mark.parametrize(
    "data", ['{"a": 1}'.encode("utf-16"), '{"a": "ü"}'.encode("latin-1"), b"{"]
)
def test_a_file_that_cannot_be_read_is_left_alone(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_bytes(data)

    with pytest.raises(ConfigError, match=r"mcp\.json: .*Nothing was changed"):
        write(file)

    assert file.read_bytes() == data
    assert list(tmp_path.iterdir()) == [file]


def test_a_token_that_must_be_pasted_is_not_written_as_if_it_were_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="paste the lines"):
        write(tmp_path / "s.json", "zed", Launch(url="http://h/mcp", token_env="T"))

    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_files_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="it is a folder"):
        write(tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cherry-studio", "has no file to edit: Settings > MCP"),
        ("open-webui", "has no file to edit"),
        ("librechat", "name LibreChat's file with --file"),
        ("lm-studio", "name LM Studio's file with --file"),
        ("jan", "name Jan's file with --file"),
    ],
)
def test_a_file_that_nobody_knows_is_asked_for(name: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client_files.own_file(name, CLIENTS[name])

    assert said in str(caught.value)


def test_a_project_has_a_file_of_its_own(tmp_path: Path) -> None:
    own = {
        n: client_files.own_file(n, c, project=tmp_path) for n, c in CLIENTS.items() if c.project
    }

    assert own["claude-code"] == tmp_path / ".mcp.json"
    assert own["vscode"] == tmp_path / ".vscode" / "mcp.json"
    with pytest.raises(InvalidRequest, match="leave --project out"):
        client_files.own_file("zed", CLIENTS["zed"], project=tmp_path)
