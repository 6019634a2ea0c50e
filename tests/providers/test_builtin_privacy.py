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
