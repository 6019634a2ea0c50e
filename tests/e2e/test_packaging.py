"""The built distributions, and the wheel in a clean environment without extras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import Wire
from tools.packages import bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that is built out of it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and nothing but its dependencies."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(found), "install", "-q", "--no-compile"]
    subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, capture_output=True
    )
    return found


def test_the_wheel_holds_the_data_and_stays_small(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "ziggie_image_mcp/inventory/models.json" in names
    assert "ziggie_image_mcp/py.typed" in names
    assert "ziggie_image_mcp/server/result_app/page.html" in names
    for file in ("model_index.json", "graphs/unet.onnx", "real_esrgan/LICENSE"):
        assert f"ziggie_image_providers/builtin/{file}" in names
    assert len([n for n in names if n.endswith("unet/diffusion_pytorch_model.safetensors")]) == 1
    assert any(n.startswith("ziggie_image_providers/comfyui/graphs/") for n in names)
    assert any(n.endswith(".data/data/share/man/man1/ziggie-image-mcp.1") for n in names)
    assert not any(n.startswith(("tests/", "tools/", "providers/")) for n in names)
    assert wheel.stat().st_size < 26_000_000


def test_the_source_distribution_holds_what_its_tests_read(dist: Path) -> None:
    (built,) = dist.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    for file in (".github/workflows/ci.yml", ".github/ISSUE_TEMPLATE/bug.yml", ".ci/run"):
        assert file in names
    for file in (".claude-plugin/marketplace.json", "mkdocs.yml", "docs/ziggie/client.mjs"):
        assert file in names


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        (("twine", "check", "--strict"), "*"),
        (("check-wheel-contents",), "*.whl"),
        (("validate-pyproject",), "pyproject.toml"),
    ],
    ids=["twine", "check-wheel-contents", "validate-pyproject"],
)
def test_the_index_would_take_what_is_built(
    command: tuple[str, ...], pattern: str, dist: Path
) -> None:
    files = [ROOT / pattern] if pattern.endswith(".toml") else sorted(dist.glob(pattern))
    path = Path(sys.executable).with_name(command[0])

    ended = subprocess.run(
        [str(path), *command[1:], *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert files
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_wheel_says_what_it_is_and_where_its_providers_are(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (meta,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        text = archive.read(meta).decode()
        entries = archive.read(meta.replace("METADATA", "entry_points.txt")).decode()

    for python in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {python}\n" in text
    assert "License-Expression: MIT\n" in text
    assert "Classifier: Operating System :: OS Independent\n" in text
    assert "builtin = ziggie_image_providers.builtin:Builtin" in entries
    assert "<!-- mcp-name: io.github." in text


def test_the_bundle_is_the_wheel_with_what_its_host_runs(wheel: Path, tmp_path: Path) -> None:
    file = tmp_path / "ziggie-image-mcp.mcpb"

    bundle.build(wheel, file)

    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        project = tomllib.loads(archive.read("pyproject.toml").decode())
        assert archive.read(wheel.name) == wheel.read_bytes()
        assert manifest["server"]["entry_point"] in archive.namelist()
    assert project["tool"]["uv"]["sources"]["ziggie-image-mcp"]["path"] == wheel.name
    assert any(pin.startswith("mcp==") for pin in project["tool"]["uv"]["constraint-dependencies"])
    again = tmp_path / "again.mcpb"
    bundle.build(wheel, again)
    assert again.read_bytes() == file.read_bytes()


def test_without_extras_the_server_starts_and_says_what_is_missing(
    python: Path, tmp_path: Path
) -> None:
    home = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "ZIGGIE_IMAGE_PROVIDERS__COMFYUI__BASE_URL": "http://127.0.0.1:9",
    }
    with Wire([str(python), "-I", "-m", "ziggie_image_mcp"], env=home) as wire:
        wire.hello()
        answer = wire.call(1, "list_models", {})
        small = {"prompt": "a red circle", "provider": "builtin", "steps": 1}
        made = wire.call(3, "generate_image", small)["result"]
        failed = wire.call(2, "generate_image", {"prompt": "x", "provider": "diffusers"})
        code = wire.end()

    data: dict[str, Any] = answer["result"]["structuredContent"]
    (tiny,) = [m for m in data["models"] if m["demo"]]
    assert tiny["installed"]
    assert {m["provider"] for m in data["models"]} | {
        s["provider"] for s in data["unavailable"]
    } >= {"builtin", "comfyui"}
    assert failed["result"]["isError"]
    assert "ziggie-image-mcp[local]" in failed["result"]["content"][0]["text"]
    assert not made["isError"], made["content"]
    assert Path(json.loads(made["content"][0]["text"])["images"][0]["path"]).is_file()
    assert code == 0


def test_the_console_script_is_there(python: Path) -> None:
    script = python.parent / ("ziggie-image-mcp.exe" if os.name == "nt" else "ziggie-image-mcp")

    found = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)

    assert found.stdout.startswith("ziggie-image-mcp ")
