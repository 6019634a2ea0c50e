"""From a Hub on loopback to a picture, by the command line alone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.test_pull import environment, listed, run
from tests.support.fake_hub import FakeHub

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers")),
    reason='needs pip install "ziggie-image-mcp[local]"',
)


@pytest.mark.timeout(280)  # imports torch twice where no warm process is
def test_a_model_that_was_pulled_makes_a_picture(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    zoo, cache, config = tmp_path / "zoo", tmp_path / "cache", tmp_path / "config.json"
    subprocess.run(
        [sys.executable, "-m", "tests.support.random_models", str(zoo)],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    )
    request.getfixturevalue("warm")  # the command line's processes; the builder's is warm by itself
    settings = {
        "output": {"directory": str(tmp_path / "pictures")},
        "providers": {"comfyui": {"enabled": False}},
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    with FakeHub().serving() as hub:
        hub.add_folder("somebody/tiny-sd", zoo / "sd1")
        env = environment(hub, cache)

        pulled = run(config, env, "models", "pull", "somebody/tiny-sd", "--yes")
        rows = listed(config, env)
        size = ("--width", "64", "--height", "64", "--steps", "2")
        picture = run(
            *(config, env, "generate", "a red fox", "--model", "somebody/tiny-sd", *size, "--json")
        )

    assert pulled.returncode == 0, pulled.stderr
    assert 'generate "a red fox" --model somebody/tiny-sd' in pulled.stdout
    assert [(row["id"], row["usable"]) for row in rows] == [("somebody/tiny-sd", True)]
    assert picture.returncode == 0, picture.stderr
    (image,) = json.loads(picture.stdout)["images"]
    with Image.open(image["path"]) as opened:
        assert opened.size == (64, 64)
    assert json.loads(picture.stdout)["model"] == "somebody/tiny-sd"
