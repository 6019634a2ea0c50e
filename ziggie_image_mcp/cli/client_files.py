"""Put this server into an MCP client's own file, and leave all else in it as it stands."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import cast

from ziggie_image_mcp.cli import jsonc
from ziggie_image_mcp.cli.client_config import (
    SERVER,
    TOKEN_HERE,
    Client,
    ClientSnippet,
    Entry,
    Format,
    toml_table,
    written,
    yaml_block,
)
from ziggie_image_mcp.config.config import user_folder
from ziggie_image_mcp.errors import ConfigError, InvalidRequest, StorageError
from ziggie_image_mcp.provider.files import decode_text, read_regular
from ziggie_image_mcp.provider.systems import put_in_place

MAX_BYTES = 64 * 2**20
"""Of a client's file: Claude Code keeps its history in it."""
_START = ("command", "args", "env", "envFile", "env_vars", "cwd")
_ADDRESS = ("url", "httpUrl", "serverUrl")
_CONNECT = (*_ADDRESS, "headers", "http_headers", "env_http_headers", "bearer_token_env_var")
_OURS = ("command", "args", "type", *_ADDRESS, "bearer_token_env_var")
"""What we set in an entry that is there; its other values are the user's."""
_SWITCHES = {"disabled": True, "active": False, "isActive": False, "enabled": False}
"""How clients write that a server is off."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of a client's file."""

    file: Path
    changed: bool
    backup: Path | None = None
    """The file as it was."""
    off: str = ""
    """The key by which the user switched the server off in this client."""


def place(
    client: Client, system: str = sys.platform, env: Mapping[str, str] = os.environ
) -> PurePath | None:
    """Where a client's own file is; None where it has none, or its place is not known.

    Args:
        client: A row of the table.
        system: As `sys.platform` has it; what is neither Windows nor macOS is as Linux.
        env: The environment of the user whose file it is.
    """
    written_place = client.places.get(system, client.places.get("linux", ""))
    if not written_place:
        return None
    flavour = PureWindowsPath if system == "win32" else PurePosixPath
    name = "USERPROFILE" if system == "win32" else "HOME"
    home = flavour(env.get(name) or user_folder(lambda: str(Path.home())))
    first, _, rest = written_place.partition("/")
    if first == "APPDATA":
        folder = flavour(env.get("APPDATA") or home / "AppData" / "Roaming")
    elif first == "CONFIG":
        folder = flavour(env.get("XDG_CONFIG_HOME") or home / ".config")
    else:
        folder = home
    return folder / rest


def own_file(
    name: str, client: Client, *, named: Path | None = None, project: Path | None = None
) -> Path:
    """The file to change.

    Args:
        name: The client's.
        client: Its row.
        named: By the user.
        project: The folder of a project whose file is meant.

    Raises:
        InvalidRequest: There is none, or nobody knows where.
    """
    if project is not None and not client.project:
        fix = f"{client.title} has no file in a project; leave --project out"
        raise InvalidRequest("--project", name, fix)
    if named is not None and client.format == "text":
        fix = f"{client.title} has no file to edit: {client.note}"
        raise InvalidRequest("--file", str(named), fix)
    if named is not None and project is not None:
        fix = f"--project means {project / client.project}; leave one of the two out"
        raise InvalidRequest("--file", str(named), fix)
    if named is not None:
        return named.absolute()
    if project is not None:
        return project / client.project
    usual = place(client)
    if usual is None or (client.likely and not Path(usual).exists()):
        where = f" ({client.note})" if client.note else ""
        fix = f"name {client.title}'s file with --file{where}"
        if client.format == "text" or not (client.places or client.project):
            fix = f"{client.title} has no file to edit: {client.note}"
        raise InvalidRequest("--write", name, fix)
    return Path(usual)


def write(file: Path, client: Client, snippet: ClientSnippet) -> Change:
    """Put the server into a client's file: one key, a backup first, all or nothing.

    Raises:
        InvalidRequest: The entry is not complete.
        ConfigError: The file cannot be understood, or not be changed without a loss.
        StorageError: It cannot be read or written.
    """
    if TOKEN_HERE in str(snippet.entry):
        fix = f"{client.title} reads no variables: leave --write out, and paste the lines"
        raise InvalidRequest("--write", snippet.client, f"{fix} with the token in them")
    kind = "json" if client.format == "shell" else client.format
    file = file.resolve()  # where a link leads, as people keep such files elsewhere
    try:
        before = read_regular(file, MAX_BYTES) if file.exists() else None
    except OSError as e:
        raise StorageError(f"{file} cannot be read: {e.strerror or e}.") from e
    try:
        if b"\0" in (before or b""):
            raise ValueError("it is not saved as UTF-8")
        old = decode_text(before or b"")
        new, entry = edited(old, kind, client.keys, snippet.entry)
    except ValueError as e:
        raise ConfigError(f"{file}: {e}. Nothing was changed; paste the lines yourself.") from e
    off = next((key for key, value in _SWITCHES.items() if entry.get(key) is value), "")
    if before is not None and new == old:
        return Change(file=file, changed=False, off=off)
    mark = b"\xef\xbb\xbf" if (before or b"").startswith(b"\xef\xbb\xbf") else b""
    try:
        backup = _replace(file, before, mark + new.encode())
    except OSError as e:
        held = f" Close {client.title} and try again." if isinstance(e, PermissionError) else ""
        raise StorageError(f"{file} cannot be written: {e.strerror or e}.{held}") from e
    return Change(file=file, changed=True, backup=backup, off=off)


def edited(text: str, kind: Format, keys: Sequence[str], entry: Entry) -> tuple[str, Entry]:
    """The text of a client's file with this server in it, and its entry.

    What the user put there stays.

    Raises:
        ValueError: It cannot be read, or not be changed without changing more.
    """
    before = _read(text, kind)
    there = _at(before, [*keys, SERVER])
    entry = _merged(there, entry)
    wanted = _with(before, [*keys, SERVER], entry)
    if before == wanted:
        return text, entry
    if kind == "json":
        new = jsonc.put(text, [*keys, SERVER], entry)
    elif kind == "toml":
        new = _put_toml(text, [*keys, SERVER], entry, there=there is not None)
    else:
        new = _put_yaml(text, keys[0], entry) if _is_plain(entry) else ""
    try:
        sound = _read(new, kind) == wanted
    except ValueError:  # about a text of ours, not about the user's
        sound = False
    if not sound:
        raise ValueError(f"{'.'.join(keys)} is written in a way that cannot be changed here")
    return new, entry


def _merged(old: object, new: Entry) -> Entry:
    """Our entry with what is the user's: values, variables, headers, switches of the client."""
    if not isinstance(old, dict):
        return new
    was = cast(Entry, old)
    address = [new[key] for key in _ADDRESS if key in new]
    same = address == [was[key] for key in _ADDRESS if key in was]
    gone = {*_ADDRESS, *(_START if address else _CONNECT)}
    if not same:  # a token for one address is not for another
        gone |= {"type", *_CONNECT}
    kept = {key: value for key, value in was.items() if key not in gone}
    merged = kept | {k: v for k, v in new.items() if k in _OURS or k not in kept}
    for key in ("env", "headers"):
        if key in new and key in kept:
            merged[key] = _joined(kept[key], new[key], any_case=key == "headers")
    return merged


def _joined(old: object, new: Entry, *, any_case: bool) -> Entry:
    if not isinstance(old, dict):
        return new
    names = {key.lower() if any_case else key for key in new}
    kept = cast(Entry, old).items()
    return {k: v for k, v in kept if (str(k).lower() if any_case else k) not in names} | new


def _is_plain(value: object) -> bool:
    """Whether it can stand in JSON; YAML has dates, sets and keys that are no texts, too."""
    if isinstance(value, dict):
        pairs = cast(dict[object, object], value).items()
        return all(isinstance(key, str) and _is_plain(part) for key, part in pairs)
    if isinstance(value, list):
        return all(map(_is_plain, cast(list[object], value)))
    return value is None or isinstance(value, str | int | float)


def _read(text: str, kind: Format) -> object:
    try:
        if kind == "json":
            return jsonc.parse(text).value if text.strip() else {}
        return tomllib.loads(text) if kind == "toml" else _read_yaml(text)
    except RecursionError as e:
        raise ValueError("it is nested too deep") from e


def _read_yaml(text: str) -> object:
    try:
        import yaml
    except ImportError as e:
        raise ValueError("the package PyYAML, which reads it, is not installed") from e
    try:
        return cast(object, yaml.safe_load(text)) or {}
    except yaml.YAMLError as e:
        raise ValueError(f"it is no YAML: {' '.join(str(e).split())}") from e


def _at(value: object, keys: Sequence[str]) -> object:
    for key in keys:
        value = cast(dict[str, object], value).get(key) if isinstance(value, dict) else None
    return value


def _with(value: object, keys: Sequence[str], entry: Entry) -> object:
    if not keys:
        return entry
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise ValueError(f"what {keys[0]} belongs into is no block of settings")
    block = cast(dict[str, object], value)
    return {**block, keys[0]: _with(block.get(keys[0]), keys[1:], entry)}


def _put_toml(text: str, keys: Sequence[str], entry: Entry, *, there: bool) -> str:
    """Replace our table, and the tables in it, or add one at the end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    name = r"\s*\.\s*".join(f"[\"']?{re.escape(key)}[\"']?" for key in keys)
    ours = re.compile(rf"\s*\[\s*{name}\s*(?:\.[^\]]*)?\]\s*(?:#.*)?$")
    kept: list[str] = []
    own: list[str] = []
    at = -1
    inside = False
    for line in text.splitlines(keepends=True):
        if re.match(r"\s*\[", line):
            inside = there and ours.match(line.rstrip("\r\n")) is not None
            if inside and at < 0:
                at = len(kept)
        (own if inside else kept).append(line)
    tail: list[str] = []
    while own and (not own[-1].strip() or own[-1].lstrip().startswith("#")):
        tail.insert(0, own.pop())  # blank lines and comments there are about what follows
    if any("#" in line for line in own):
        raise ValueError(f"there may be comments in [{'.'.join(keys)}], which would be lost")
    table = toml_table(keys, entry).replace("\n", newline)
    if at < 0:
        gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
        return f"{text}{gap}{table}"
    return "".join([*kept[:at], table, *tail, *kept[at:]])


def _put_yaml(text: str, key: str, entry: Entry) -> str:
    """Replace our block below a key of the first level, or add it at that one's end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    top = next(
        (i for i, line in enumerate(lines) if re.match(rf"[\"']?{key}[\"']?\s*:", line)), None
    )
    if top is None:
        gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
        return text + gap + written("yaml", [key], entry).replace("\n", newline)
    empty = re.match(r"([^:]*:)\s*(?:\{\s*\}|null|~)(?=\s*(?:#|$))", lines[top])
    if empty:
        lines[top] = empty[1] + lines[top][empty.end() :]
    end = next((i for i in range(top + 1, len(lines)) if re.match(r"[^\s#]", lines[i])), len(lines))
    indents = (re.match(r"( +)[^\s#]", line) for line in lines[top + 1 : end])
    inner = next((match[1] for match in indents if match), "  ")
    block = yaml_block(entry, inner).replace("\n", newline)
    start = next(
        (i for i in range(top + 1, end) if re.match(rf"{inner}[\"']?{SERVER}[\"']?\s*:", lines[i])),
        None,
    )
    if start is None:
        while not lines[end - 1].strip() or re.match(r"\s*#", lines[end - 1]):
            end -= 1
        if not lines[end - 1].endswith("\n"):
            lines[end - 1] += newline
        return "".join([*lines[:end], block, *lines[end:]])
    stop = next((i for i in range(start + 1, end) if re.match(rf"{inner}\S", lines[i])), end)
    while not lines[stop - 1].strip():
        stop -= 1
    if any("#" in line for line in lines[start:stop]):
        raise ValueError(f"there may be comments in {key}.{SERVER}, which would be lost")
    return "".join([*lines[:start], block, *lines[stop:]])


def _replace(file: Path, before: bytes | None, data: bytes) -> Path | None:
    """Put new bytes in a file's place at once; the old ones stay beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    backup = None
    if before is not None:
        if file.read_bytes() != before:
            raise OSError(0, "it was changed meanwhile; try again")
        backup = _unused(file)
        shutil.copy2(file, backup)
    put_in_place(file, data, 0o600)
    return backup


def _unused(file: Path) -> Path:
    name = f"{file.name}.bak"
    number = 1
    while file.with_name(name).exists():
        number += 1
        name = f"{file.name}.bak{number}"
    return file.with_name(name)
