"""Write what registries and clients read of the package, out of its version and its providers.

    python tools/packages/manifests.py [--check] [--owner ACCOUNT]

Nobody has said yet who publishes it: `OWNER` stands for the account at GitHub wherever its name is
needed. `--owner` sets it in every file at once, with `project.urls`, and makes README's links
absolute, for the package index shows it far from the files; it is read back from server.json.
`--check` changes nothing, and fails where a file is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ziggie_image_mcp import __version__
from ziggie_image_mcp.inventory.registry import load_types

ROOT = Path(__file__).parents[2]
PACKAGE = "ziggie-image-mcp"
TITLE = "Ziggie Image"
SUMMARY = "Makes pictures on the best route: this machine's engines first, never spending silently."
"""The registry takes at most 100 characters."""
AUTHOR = {"name": f"The {PACKAGE} authors"}
OWNER = "OWNER"
"""Stands for the publishing account until it is known."""
UNPUBLISHED = (
    f"Nobody publishes it yet: the name {PACKAGE} at the package index is nobody's, so a plugin or "
    f"an extension that runs `uvx {PACKAGE}` starts nothing, or what somebody else puts there."
)
PLUGIN = Path("tools/packages/claude_plugin")
SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
FOLDER = ("ZIGGIE_IMAGE_OUTPUT__DIRECTORY", "Folder for pictures; by default in your Pictures")
CONFIG = ("ZIGGIE_IMAGE_CONFIG", "Your config.json, where it is not in its usual place")
NO_KEY = "Switches the paid provider on; each charge is still asked about"

_NAME = re.compile(r"io\.github\.([A-Za-z0-9-]+)/ziggie-image-mcp")
_FORGE_LINK = re.compile(rf"\]\(https://github\.com/[A-Za-z0-9-]+/{PACKAGE}/blob/main/([^)]+)\)")
_FILE_LINK = re.compile(r"\]\((?!https?://|#)([^)]+)\)")
_URLS = re.compile(r"\n\[project\.urls\]\n(?:[^\n\[]+\n)*")


def keys() -> Mapping[str, str]:
    """The variable of each key, with the providers that it switches on."""
    providers: dict[str, list[str]] = {}
    for name, kind in load_types().usable.items():
        is_ours = kind.__module__.startswith("ziggie_image_providers.")
        for variable in kind.info.key_names if is_ours else ():
            providers.setdefault(variable, []).append(name)
    return {variable: ", ".join(names) for variable, names in sorted(providers.items())}


def registry_name(owner: str) -> str:
    """The server's name in the official registry."""
    return f"io.github.{owner}/{PACKAGE}"


def server(owner: str) -> dict[str, Any]:
    """server.json of the MCP registry: by uvx on stdio, and over HTTP on this machine."""
    folders = [
        {"name": name, "description": text, "format": "filepath", "isRequired": False}
        for name, text in (FOLDER, CONFIG)
    ]
    secrets = [
        {"name": name, "description": f"Key of {who}", "isSecret": True, "isRequired": False}
        for name, who in keys().items()
    ]
    package = {
        "registryType": "pypi",
        "identifier": PACKAGE,
        "version": __version__,
        "runtimeHint": "uvx",
        "environmentVariables": [*folders, *secrets],
    }
    serve = {"type": "positional", "value": "serve"}
    http = {"type": "streamable-http", "url": "http://127.0.0.1:8765/mcp"}
    return {
        "$schema": SERVER_SCHEMA,
        "name": registry_name(owner),
        "title": TITLE,
        "description": SUMMARY,
        "version": __version__,
        **({} if owner == OWNER else {"repository": {"url": _url(owner), "source": "github"}}),
        "packages": [
            {**package, "transport": {"type": "stdio"}, "packageArguments": [serve]},
            {
                **package,
                "transport": http,
                "packageArguments": [serve, {"type": "named", "name": "--http"}],
            },
        ],
    }


def user_config() -> dict[str, Any]:
    """What a bundle and the plugin of Claude Code ask for, in the words that both share."""
    asked = {
        variable.lower(): {
            "type": "string",
            "title": f"{variable} ({who})",
            "description": NO_KEY,
            "sensitive": True,
            "required": False,
        }
        for variable, who in keys().items()
    }
    asked["output"] = _asked("directory", "Folder for pictures", FOLDER[1])
    asked["config"] = _asked("file", "config.json", CONFIG[1])
    return asked


def user_environment() -> dict[str, str]:
    """The variables by which what they ask for reaches the server."""
    env = {variable: f"${{user_config.{variable.lower()}}}" for variable in keys()}
    return env | {FOLDER[0]: "${user_config.output}", CONFIG[0]: "${user_config.config}"}


def bundle() -> dict[str, Any]:
    """manifest.json of the .mcpb bundle, whose host runs uv."""
    return {
        "manifest_version": "0.4",
        "name": PACKAGE,
        "display_name": TITLE,
        "version": __version__,
        "description": SUMMARY,
        "author": AUTHOR,
        "license": "MIT",
        "server": {
            "type": "uv",
            "entry_point": "server.py",
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", "server.py"],
                "env": user_environment(),
            },
        },
        "user_config": user_config(),
        "tools_generated": True,
        "compatibility": {
            "platforms": ["darwin", "win32", "linux"],
            "runtimes": {"python": ">=3.11"},
        },
    }


def claude_plugin() -> dict[str, Any]:
    """plugin.json of the Claude Code plugin."""
    return {
        "name": "ziggie-image",
        "version": __version__,
        "description": SUMMARY,
        "author": AUTHOR,
        "license": "MIT",
        "keywords": ["image-generation", "game-assets", "comfyui", "mcp"],
        "mcpServers": "./.mcp.json",
        "userConfig": user_config(),
    }


def claude_servers() -> dict[str, Any]:
    """.mcp.json of the plugin. A value that is left empty arrives as an empty text."""
    return {"mcpServers": {"ziggie-image": {**_LAUNCH, "env": user_environment()}}}


def claude_marketplace() -> dict[str, Any]:
    """marketplace.json, by which Claude Code finds the plugin in a clone."""
    return {
        "name": PACKAGE,
        "owner": AUTHOR,
        "description": "Pictures and game assets through ziggie-image-mcp.",
        "plugins": [
            {
                "name": "ziggie-image",
                "source": f"./{PLUGIN.as_posix()}",
                "description": SUMMARY,
                "version": __version__,
                "category": "design",
            }
        ],
    }


def gemini_extension() -> dict[str, Any]:
    """gemini-extension.json. Only the variables that it names reach the server."""
    secrets = [(f"{variable} ({who})", NO_KEY, variable) for variable, who in keys().items()]
    plain = [("Folder for pictures", *FOLDER[::-1]), ("config.json", *CONFIG[::-1])]
    return {
        "name": PACKAGE,
        "version": __version__,
        "description": SUMMARY,
        "mcpServers": {"ziggie-image": _LAUNCH},
        "settings": [
            {"name": name, "description": text, "envVar": variable, "sensitive": is_secret}
            for rows, is_secret in ((secrets, True), (plain, False))
            for name, text, variable in rows
        ],
    }


_LAUNCH = {"command": "uvx", "args": [PACKAGE, "serve"]}


def files(owner: str, root: Path = ROOT) -> dict[Path, str]:
    """Each file that says the name, the version or the account, as it should be."""
    documents: dict[str, dict[str, Any]] = {
        "server.json": server(owner),
        "tools/packages/mcpb/manifest.json": bundle(),
        ".claude-plugin/marketplace.json": claude_marketplace(),
        f"{PLUGIN.as_posix()}/.claude-plugin/plugin.json": claude_plugin(),
        f"{PLUGIN.as_posix()}/.mcp.json": claude_servers(),
        "gemini-extension.json": gemini_extension(),
    }
    wanted = {root / at: json.dumps(data, indent=2) + "\n" for at, data in documents.items()}
    for at in ("README.md", "Dockerfile"):
        wanted[root / at] = _NAME.sub(registry_name(owner), _text(root / at))
    wanted[root / "README.md"] = with_links(wanted[root / "README.md"], owner)
    wanted[root / "pyproject.toml"] = _with_urls(_text(root / "pyproject.toml"), owner)
    return wanted


def owner_in(root: Path = ROOT) -> str:
    """The account that server.json names."""
    name = _NAME.search(_text(root / "server.json"))
    if name is None:
        raise ValueError(f"{root / 'server.json'} names no {registry_name(OWNER)}")
    return name[1]


def stale(owner: str, root: Path = ROOT) -> dict[Path, str]:
    """The files that are not as they should be, with what they should hold."""
    return {
        path: text
        for path, text in files(owner, root).items()
        if not path.exists() or _text(path) != text
    }


def with_links(text: str, owner: str) -> str:
    """A page with its links to files: at the forge of an owner, beside it where that is unknown."""
    text = _FORGE_LINK.sub(r"](\1)", text)
    return text if owner == OWNER else _FILE_LINK.sub(rf"]({_url(owner)}/blob/main/\1)", text)


def _asked(kind: str, title: str, text: str) -> dict[str, Any]:
    return {"type": kind, "title": title, "description": text, "required": False}


def _url(owner: str) -> str:
    return f"https://github.com/{owner}/{PACKAGE}"


def _with_urls(text: str, owner: str) -> str:
    without = _URLS.sub("", text)
    if owner == OWNER:
        return without
    urls = {"Repository": "", "Issues": "/issues", "Changelog": "/blob/main/CHANGELOG.md"}
    lines = "".join(f'{name} = "{_url(owner)}{path}"\n' for name, path in urls.items())
    before, mark, after = without.partition("\n[project.optional-dependencies]")
    return f"{before}\n[project.urls]\n{lines}{mark}{after}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main() -> int:
    """Write the files, or say which are not as they should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--owner", help="the account at GitHub that publishes")
    options = parser.parse_args()
    if options.owner and not re.fullmatch(r"[A-Za-z0-9-]+", options.owner):
        parser.error(f"--owner {options.owner!r} is no account at GitHub")
    owner = options.owner or owner_in()
    if owner == OWNER:
        print(UNPUBLISHED, file=sys.stderr)
    old = stale(owner)
    for path, text in old.items():
        print(path.relative_to(ROOT))
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(bool(old) and options.check)


if __name__ == "__main__":
    sys.exit(main())
