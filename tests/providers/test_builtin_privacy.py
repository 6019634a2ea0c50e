"""The runtime of the built-in engine tells nobody what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")
"""What the process needs; not what tells onnxruntime that it is in a CI, where it is silent."""

PARTS = {
    "the demo model": ["--width", "64", "--height", "64"],
    "the upscaler after it": ["--width", "256", "--height", "256"],
}


@pytest.mark.parametrize("arguments", PARTS.values(), ids=PARTS)
def test_no_number_for_this_machine_is_made(tmp_path: Path, arguments: list[str]) -> None:
    env = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        env[name] = str(tmp_path)
    command = [sys.executable, "-m", "ziggie_image_mcp", "generate", "a red star", *arguments]

    subprocess.run(command, env=env, cwd=tmp_path, check=True, capture_output=True)

    names = {path.name for path in tmp_path.rglob("*")}
    assert any(name.endswith(".png") for name in names)
    assert not names & {"Microsoft", ".onnxruntime", "deviceid", "onnxruntime.db"}


ONNXRUNTIME = """
import os

SEEN = os.environ.get("ORT_DISABLE_TELEMETRY")

def disable_telemetry_events():
    print("told", SEEN)
"""
RAPIDOCR = """
import onnxruntime

class RapidOCR:
    def __init__(self, params):
        pass

    def __call__(self, pixels):
        return type("Answer", (), {"txts": []})
"""
NUDENET = """
import onnxruntime

class NudeDetector:
    def detect(self, pixels):
        return []
"""
USES = {
    "reading of text": "from ziggie_image_mcp.assets import text_reading\n"
    "text_reading.read_lines(Image.new('RGB', (9, 9)))",
    "looking for nudity": "from ziggie_image_mcp.assets import unsafe_check\n"
    "unsafe_check.find_unsafe(Image.new('RGB', (9, 9)))",
}


@pytest.mark.parametrize(
    ("use", "before"), [("reading of text", None), ("looking for nudity", "0")]
)
def test_another_package_brings_onnxruntime_along_silent_and_the_environment_stays(
    tmp_path: Path, use: str, before: str | None
) -> None:
    for name, text in (("onnxruntime", ONNXRUNTIME), ("rapidocr", RAPIDOCR), ("nudenet", NUDENET)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    env = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    env |= {"PYTHONPATH": str(tmp_path)}
    env |= {} if before is None else {"ORT_DISABLE_TELEMETRY": before}
    script = f"import os\nfrom PIL import Image\n{USES[use]}\n"
    script += "print('after', os.environ.get('ORT_DISABLE_TELEMETRY'))"

    done = subprocess.run(
        [sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True
    )

    assert done.stdout.splitlines() == ["told 1", f"after {before}"]
