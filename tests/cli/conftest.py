"""What tests of the command line share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config with the tiny model only."""
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file
