"""`keys test`: one call that costs nothing for each key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.support.fake_vendors import FakeVendor, Reply, Seen
from ziggie_image_mcp.cli.main import app

KEY = "sk-0123456789abcdef"


def vendor(seen: Seen) -> Reply:
    """One that answers as OpenRouter, as xAI, and as OpenAI with a key that it does not know."""
    if seen.path == "/openai/models":
        return Reply(status=401, body={"error": {"message": f"Incorrect API key: {KEY}"}})
    return Reply(body={"data": {"limit_remaining": 3.25}})


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`keys test` with this config, and keys in the environment."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "XAI_API_KEY", "MODAL_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("MODAL_SECRET", KEY)

    def call(url: str, *arguments: str) -> Result:
        sections: dict[str, Any] = {
            name: {"baseUrl": f"{url}/{name}", "local": False}
            for name in ("openai", "openrouter", "xai", "modal")
        }
        sections["mine"] = {"type": "openai", "baseUrl": f"{url}/mine", "local": False}
        sections |= {name: {"enabled": False} for name in ("comfyui", "diffusers", "builtin")}
        file = tmp_path / "config.json"
        file.write_text(json.dumps({"providers": sections}), encoding="utf-8")
        return CliRunner().invoke(app, ["--config", str(file), "keys", "test", *arguments])

    return call


def test_every_key_is_tried_by_a_get_and_the_balance_is_told(keys: Any) -> None:
    with FakeVendor(vendor) as peer:
        result = keys(peer.url, "--json")
        asked = peer.asked

    rows = {row["provider"]: row for row in json.loads(result.stdout)["keys"]}
    assert rows["openrouter"] | {"message": ""} == {
        "provider": "openrouter",
        "state": "ready",
        "message": "",
        "balance_usd": 3.25,
    }
    assert rows["openai"]["state"] == "unauthorised"
    assert rows["xai"]["state"] == rows["mine"]["state"] == "ready"
    assert "cannot be tried for nothing" in rows["modal"]["message"]
    assert result.exit_code == 1
    assert all(line.startswith("GET ") for line in asked)
    assert KEY not in result.output


def test_one_is_tried_by_its_name_or_its_variable(keys: Any) -> None:
    with FakeVendor(vendor) as peer:
        one = keys(peer.url, "openrouter")
        several = keys(peer.url, "OPENAI_API_KEY", "--json")

    assert one.exit_code == 0
    assert "taken" in one.stdout
    assert "$3.25 left" in " ".join(one.stdout.split())
    assert {row["provider"] for row in json.loads(several.stdout)["keys"]} == {"openai", "mine"}


def test_without_a_key_it_says_how_to_set_one(keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)

    result = keys("http://127.0.0.1:9", "together")

    assert result.exit_code == 1
    assert "keys set together" in result.output
