"""The built wheel in a clean environment without extras: what a new user gets."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import Wire

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
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
    assert not any(n.startswith(("tests/", "tools/", "providers/")) for n in names)
    assert wheel.stat().st_size < 26_000_000


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
    assert code == 0


def test_the_console_script_is_there(python: Path) -> None:
    script = python.parent / ("ziggie-image-mcp.exe" if os.name == "nt" else "ziggie-image-mcp")

    found = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)

    assert found.stdout.startswith("ziggie-image-mcp ")
