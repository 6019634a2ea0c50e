"""Providers of other distributions, built, installed and used by the real command line."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture

PLUGIN = Path(__file__).parents[1] / "support" / "plugin"
ROOT = Path(__file__).parents[2]
KEY = "nimbus-3f9c0a7be2d14c55"

BROKEN = {
    "no_import.py": "import a_package_that_nobody_has\n",
    "no_listing.py": """
from ziggie_image_mcp.provider.testing import FakeProvider


class NoListing(FakeProvider):
    async def list_models(self):
        return [{}["models"]]
""",
    "of_tomorrow.py": """
from ziggie_image_mcp.provider.testing import FakeProvider


class OfTomorrow(FakeProvider):
    contract = 2
""",
}

BROKEN_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "broken-images"
version = "1.0"

[project.entry-points."ziggie_image_mcp.providers"]
noimport = "no_import:NoImport"
nolisting = "no_listing:NoListing"
tomorrow = "of_tomorrow:OfTomorrow"

[tool.hatch.build.targets.wheel]
only-include = ["no_import.py", "no_listing.py", "of_tomorrow.py"]
"""


def install(source: Path, site: Path, scratch: Path) -> None:
    """Build a distribution's wheel and unpack it into a folder, as pip does."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(scratch)]
    subprocess.run([*build, str(source)], check=True, capture_output=True)
    (wheel,) = scratch.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def nimbus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the third party's distribution is installed."""
    folder = tmp_path_factory.mktemp("nimbus")
    source = shutil.copytree(PLUGIN, folder / "source")
    install(source, folder / "site", folder)
    return folder / "site"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a distribution of three broken providers is installed."""
    folder = tmp_path_factory.mktemp("broken")
    source = folder / "source"
    source.mkdir()
    (source / "pyproject.toml").write_text(BROKEN_PROJECT, encoding="utf-8")
    for name, text in BROKEN.items():
        (source / name).write_text(text, encoding="utf-8")
    install(source, folder / "site", folder)
    return folder / "site"


def command(
    *arguments: str, home: Path, sites: tuple[Path, ...], config: Mapping[str, Any]
) -> subprocess.CompletedProcess[str]:
    """Run our command line with these folders on its path."""
    home.mkdir(exist_ok=True)
    file = home / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "providers", *sites))),
        "ZIGGIE_IMAGE_CONFIG": str(file),
        "NIMBUS_API_KEY": KEY,
    }
    run = [sys.executable, "-m", "ziggie_image_mcp", *arguments]
    return subprocess.run(run, env=env, capture_output=True, text=True, check=False)


def models(home: Path, sites: tuple[Path, ...], config: Mapping[str, Any]) -> dict[str, Any]:
    done = command("models", "--json", home=home, sites=sites, config=config)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def reply(seen: Seen) -> Reply:
    png = picture(seen.body["width"], seen.body["height"])
    return Reply(body={"data": [{"b64_json": base64.b64encode(png).decode()}]})


def config(url: str, **more: Any) -> dict[str, Any]:
    off = {name: {"enabled": False} for name in ("comfyui", "diffusers")}
    return {"providers": off | {"nimbus": {"baseUrl": f"{url}/v1"}} | more}


def test_a_third_partys_provider_makes_a_picture(nimbus: Path, tmp_path: Path) -> None:
    with FakeVendor(reply) as vendor:
        settings = config(vendor.url)
        report = models(tmp_path / "home", (nimbus,), settings)
        done = command(
            *("generate", "a red bicycle", "--provider", "nimbus", "--allow-paid", "--json"),
            home=tmp_path / "home",
            sites=(nimbus,),
            config=settings,
        )

    assert [m["id"] for m in report["models"] if m["provider"] == "nimbus"] == ["nimbus-1"]
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["provider"] == "nimbus"
    assert Path(result["images"][0]["path"]).is_file()
    assert vendor.asked == ["POST /v1/images/generations"]
    assert vendor.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("provider", "is_named", "words"),
    [
        ("noimport", False, "PLUGIN_BROKEN: needs a plugin that works, have ModuleNotFoundError"),
        ("noimport", True, "PLUGIN_BROKEN: needs a plugin that works, have ModuleNotFoundError"),
        (
            "nolisting",
            True,
            "have nolisting has a bug (KeyError)",
        ),
        ("tomorrow", False, "CONTRACT_UNSUPPORTED: needs contract 1, have contract 2"),
        ("tomorrow", True, "CONTRACT_UNSUPPORTED: needs contract 1, have contract 2"),
    ],
)
def test_a_broken_provider_is_a_reason_and_harms_no_other(
    nimbus: Path, broken: Path, tmp_path: Path, provider: str, is_named: bool, words: str
) -> None:
    with FakeVendor(reply) as vendor:
        named: dict[str, Any] = {provider: {}} if is_named else {}
        report = models(tmp_path / "home", (nimbus, broken), config(vendor.url, **named))

    why = {s["provider"]: " ".join(s["why_not"]) for s in report["unavailable"]}
    assert words in why[provider]
    assert [m["id"] for m in report["models"] if m["provider"] == "nimbus"] == ["nimbus-1"]


def test_the_distribution_names_its_provider_with_one_line() -> None:
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["project"]["entry-points"] == {
        "ziggie_image_mcp.providers": {"nimbus": "nimbus:Nimbus"}
    }
