"""Somebody with nothing but a key: the key, one question about money, a picture, what was spent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.e2e.test_paid import client, said
from tests.providers import test_gemini, test_openrouter, test_runware
from tests.support.factory import service
from tests.support.fake_vendors import FakeVendor, Reply, Seen
from ziggie_image_mcp.cli.main import app

KEY = "key-0123456789abcdef0123456789abcdef"
PROMPT = "a red fox in the snow"


@dataclass(frozen=True)
class Vendor:
    """One of the three, and what a picture of its best model costs there."""

    name: str
    variable: str
    drawn: Callable[[Seen], Reply]
    model: str
    usd: float


VENDORS = (
    Vendor("gemini", "GEMINI_API_KEY", test_gemini.drawn, "gemini-nano-banana-2.1", 0.03444),
    Vendor(
        "openrouter",
        "OPENROUTER_API_KEY",
        lambda seen: test_openrouter.drawn(seen, test_openrouter.usage(0.03)),
        "black-forest-labs/flux.2-pro",
        0.03,
    ),
    Vendor("runware", "RUNWARE_API_KEY", test_runware.drawn, "bfl:5@1", 0.03),
)
BY_NAME = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)


@pytest.fixture
def loopback(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendor]:
    """The vendor on this machine: its address is all that is set beside the key."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with FakeVendor(vendor.drawn) as peer:
        start = f"ZIGGIE_IMAGE_PROVIDERS__{vendor.name.upper()}__"
        monkeypatch.setenv(f"{start}BASE_URL", peer.url)
        monkeypatch.setenv(f"{start}LOCAL", "false")
        monkeypatch.setenv(f"{start}LIVE_PRICES", "false")
        yield peer


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


@BY_NAME
def test_three_commands_make_a_picture(vendor: Vendor, loopback: FakeVendor) -> None:
    words = ("generate", PROMPT, "--provider", vendor.name, "--model", vendor.model)

    kept = run("keys", "set", vendor.name, stdin=f"{KEY}\n")
    tried = run("keys", "test", vendor.name)
    unasked = run(*words)
    before = [seen for seen in loopback.seen if seen.method == "POST" and "prompt" in str(seen)]
    cheap = run(*words, "--max-cost", "0.0001")
    made = run(*words, "--max-cost", "0.10")
    spent = run("spend", "--json")

    assert kept.exit_code == 0, kept.output
    assert f"{vendor.variable} is kept in" in kept.output
    assert tried.exit_code == 0, tried.output
    assert unasked.exit_code == 1
    assert "[PAID_CONSENT_REQUIRED]" in unasked.output
    assert "on the command line --max-cost" in unasked.output
    assert "withinBudget" in unasked.output
    assert cheap.exit_code == 1
    assert "max_cost_usd" in cheap.output
    assert not before
    assert made.exit_code == 0, made.output
    assert Path(made.stdout.splitlines()[-1]).is_file()
    assert f"route: {vendor.name}/{vendor.model}" in made.output
    assert json.loads(spent.stdout)["total"]["settled_usd"] == vendor.usd
    for printed in (kept, tried, unasked, made, spent):
        assert KEY not in printed.output


@BY_NAME
@pytest.mark.parametrize("asks", [True, False])
async def test_a_client_asks_once_or_is_told_what_permits_it(
    vendor: Vendor, asks: bool, loopback: FakeVendor, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv(vendor.variable, KEY)
    section = {"baseUrl": loopback.url, "local": False, "livePrices": False}
    off = {name: {"enabled": False} for name in ("comfyui", "diffusers", "builtin")}
    made = service(tmp_path, providers={vendor.name: section, **off})
    call = {"prompt": PROMPT, "model": vendor.model}
    asked: list[str] = []

    async with client(made, "auto", "accept" if asks else "none", asked) as session:
        first = await session.call_tool("generate_image", call)
        again = first
        if not asks:
            amount = said(first).partition("max_cost_usd=")[2].partition(" ")[0]
            agreed = {"allow_paid": True, "max_cost_usd": float(amount)}
            again = await session.call_tool("generate_image", call | agreed)

    assert len(asked) == asks
    assert first.is_error is not asks
    assert not again.is_error, said(again)
    told = json.loads(said(again))
    assert (told["provider"], told["model"]) == (vendor.name, vendor.model)
    assert told["cost_usd"] == vendor.usd
    if not asks:
        assert '"withinBudget" in config.json' in said(first)
