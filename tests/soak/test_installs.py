"""Each way to install, in an environment of its own: the server answers and makes a picture.

Packages come from the index that pip uses here; uv is told the same places.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.wire import Wire
from tools.packages import bundle
from tools.packages.manifests import ROOT

pytestmark = pytest.mark.soak
BIN = Path(sys.executable).parent
SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "steps": 1}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home of its own, with caches of its own, in which no engine is asked for."""
    return {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "ZIGGIE_IMAGE_PROVIDERS__COMFYUI__ENABLED": "false",
        **{name: os.environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ},
    }


def assert_picture(command: list[str], env: dict[str, str]) -> None:
    with Wire(command, env=env) as wire:
        wire.send(
            {
                "id": 0,
                "method": "initialize",
                "params": {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "clientInfo": {"name": "wire", "version": "1"},
                },
            }
        )
        wire.answer(0, timeout=600)  # the packages are downloaded first
        wire.send({"method": "notifications/initialized"})
        made = wire.call(1, "generate_image", SMALL)["result"]
        code = wire.end(30)

    assert code == 0
    assert not made.get("isError"), made
    assert Path(json.loads(made["content"][0]["text"])["images"][0]["path"]).is_file()


def test_uvx_runs_the_wheel(wheel: Path, env: dict[str, str]) -> None:
    assert_picture(["uvx", "--from", str(wheel), "ziggie-image-mcp", "serve"], env)


def test_uvx_runs_the_line_of_the_plugins_where_the_index_has_the_wheel(
    wheel: Path, env: dict[str, str]
) -> None:
    servers = json.loads((ROOT / "gemini-extension.json").read_text(encoding="utf-8"))["mcpServers"]
    launch = servers["ziggie-image"]

    env |= {"UV_FIND_LINKS": str(wheel.parent)}
    assert_picture([launch["command"], *launch["args"]], env)


def test_pipx_installs_the_wheel(wheel: Path, env: dict[str, str], tmp_path: Path) -> None:
    subprocess.run([str(BIN / "pipx"), "install", str(wheel)], env=env, check=True)

    assert_picture([str(tmp_path / "bin" / "ziggie-image-mcp")], env)


def test_the_bundle_runs_as_its_manifest_says(
    wheel: Path, env: dict[str, str], tmp_path: Path
) -> None:
    file, folder = tmp_path / "server.mcpb", tmp_path / "unpacked"
    bundle.build(wheel, file)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    launch = json.loads((folder / "manifest.json").read_text("utf-8"))["server"]["mcp_config"]
    args = [word.replace("${__dirname}", str(folder)) for word in launch["args"]]

    env.pop("UV_CONSTRAINT")
    assert_picture([launch["command"], *args], env | launch["env"])  # nothing was answered
