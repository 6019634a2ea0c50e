"""What registries and clients read of the package, held to their schemas and to the code."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped, unused-ignore]
import pytest

from tools.packages import manifests
from ziggie_image_mcp import __version__
from ziggie_image_mcp.assets.contract import read_contract
from ziggie_image_mcp.inventory.registry import load_types

ROOT = manifests.ROOT
SCHEMAS = Path(__file__).parents[1] / "data" / "schemas"


def held_to(schema: str, data: dict[str, Any]) -> None:
    rules = json.loads((SCHEMAS / schema).read_text(encoding="utf-8"))
    jsonschema.validate(data, rules)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with those files that are edited rather than written anew."""
    for name in ("README.md", "Dockerfile", "pyproject.toml", "server.json"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_every_file_is_what_the_code_says() -> None:
    stale = manifests.stale(manifests.owner_in())

    assert not stale, f"run tools/packages/manifests.py: {[str(path) for path in stale]}"


def test_the_registry_takes_server_json() -> None:
    data = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))

    held_to("server.schema.json", data)
    assert data["version"] == __version__
    assert {package["version"] for package in data["packages"]} == {__version__}
    with pytest.raises(jsonschema.ValidationError):
        held_to("server.schema.json", data | {"description": "x" * 101})


def test_readme_and_image_carry_the_name_by_which_the_registry_proves_whose_they_are() -> None:
    name = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))["name"]

    assert f"<!-- mcp-name: {name} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
    label = f'LABEL io.modelcontextprotocol.server.name="{name}"'
    assert label in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_bundles_manifest_keeps_its_schema_and_asks_for_every_key() -> None:
    data = manifests.bundle()

    held_to("mcpb-manifest-v0.4.schema.json", data)
    keys = {v for kind in load_types().usable.values() for v in kind.info.key_names}
    env = data["server"]["mcp_config"]["env"]
    assert keys <= env.keys()
    asked = {re.fullmatch(r"\$\{user_config\.(\w+)\}", value) for value in env.values()}
    assert {match[1] for match in asked if match} == data["user_config"].keys()
    assert {n for n, q in data["user_config"].items() if q.get("sensitive")} == {
        key.lower() for key in keys
    }


def test_the_plugin_of_claude_code_is_where_its_marketplace_says() -> None:
    market = json.loads((ROOT / ".claude-plugin/marketplace.json").read_text(encoding="utf-8"))
    (row,) = market["plugins"]
    plugin = ROOT / row["source"]
    data = json.loads((plugin / ".claude-plugin/plugin.json").read_text(encoding="utf-8"))
    servers = json.loads((plugin / data["mcpServers"]).read_text(encoding="utf-8"))["mcpServers"]
    (skill,) = plugin.glob("skills/*/SKILL.md")
    head = skill.read_text(encoding="utf-8").split("---")[1]

    assert (row["name"], row["version"]) == (data["name"], data["version"])
    assert servers["ziggie-image"]["command"] == "uvx"
    assert f"name: {skill.parent.name}\n" in head
    assert "description: " in head


def test_the_skill_calls_only_tools_and_contracts_that_there_are() -> None:
    text = next((ROOT / manifests.PLUGIN).glob("skills/*/SKILL.md")).read_text(encoding="utf-8")
    calls = [json.loads(found) for found in re.findall(r"`(\{.*?\})`", text)]

    assert len(calls) == 3
    for call in calls:
        read_contract(call["asset"])
    named = set(re.findall(r"`(\w+_(?:image|models|job))`", text))
    tools = {snap.stem for snap in (ROOT / "tests/server/toolsnaps").glob("*.json")}
    assert len(named) >= 4
    assert named <= tools


def test_the_plugin_of_claude_code_hands_on_what_it_asks_for() -> None:
    plugin, servers = manifests.claude_plugin(), manifests.claude_servers()
    env = servers["mcpServers"]["ziggie-image"]["env"]

    assert {*manifests.keys(), manifests.FOLDER[0], manifests.CONFIG[0]} == env.keys()
    named = {re.fullmatch(r"\$\{user_config\.(\w+)\}", value) for value in env.values()}
    assert {match[1] for match in named if match} == plugin["userConfig"].keys()
    for question in plugin["userConfig"].values():
        assert question["type"] in {"string", "directory", "file"}  # as Claude Code 2.1.332 has it
        assert question.keys() >= {"title", "description"}
        assert question["required"] is False


def test_an_extension_of_gemini_hands_on_every_key_the_folder_and_the_settings() -> None:
    data = manifests.gemini_extension()
    settings = data["settings"]

    assert re.fullmatch(r"[a-z0-9-]+", data["name"])
    assert {row["envVar"] for row in settings if row["sensitive"]} == manifests.keys().keys()
    plain = {row["envVar"] for row in settings if not row["sensitive"]}
    assert plain == {manifests.FOLDER[0], manifests.CONFIG[0]}
    assert len({row["name"] for row in settings}) == len(settings)


def test_one_command_puts_the_publishing_account_everywhere(copy: Path) -> None:
    for path, text in manifests.files("acme-1", copy).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    assert manifests.owner_in(copy) == "acme-1"
    assert not manifests.stale("acme-1", copy)
    texts = [path.read_text(encoding="utf-8") for path in copy.rglob("*") if path.is_file()]
    assert not any(manifests.OWNER in text for text in texts)
    project = tomllib.loads((copy / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Repository"] == "https://github.com/acme-1/ziggie-image-mcp"
    assert project["optional-dependencies"].keys() >= {"local", "dev"}
    readme = (copy / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    assert f"]({project['urls']['Repository']}/blob/main/docs/install.md)" in readme
    data = json.loads((copy / "server.json").read_text(encoding="utf-8"))
    held_to("server.schema.json", data)
    assert data["repository"]["url"] == project["urls"]["Repository"]


def test_the_account_is_taken_out_again_without_a_trace(copy: Path) -> None:
    edited = [copy / name for name in ("README.md", "Dockerfile", "pyproject.toml")]
    before = [path.read_text(encoding="utf-8") for path in edited]
    for owner in ("acme", "other", manifests.OWNER):
        for path, text in manifests.files(owner, copy).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    assert [path.read_text(encoding="utf-8") for path in edited] == before


def test_before_somebody_publishes_it_the_script_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["manifests.py", "--check"])

    assert manifests.main() == 0

    says_so = manifests.UNPUBLISHED in capsys.readouterr().err
    assert says_so == (manifests.owner_in() == manifests.OWNER)
