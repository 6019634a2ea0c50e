"""`models remove` in the real process, with the real client of the Hub."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import model_folders
from ziggie_image_mcp.config.config import data_dir

pytestmark = [
    pytest.mark.usefixtures("warm"),
    pytest.mark.skipif(
        importlib.util.find_spec("huggingface_hub") is None,
        reason='needs pip install "ziggie-image-mcp[hub]"',
    ),
]

HOLDS = """
import mmap, sys
with open(sys.argv[2], "rb") as file:
    held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    print("held", flush=True)
    sys.stdin.read()
"""
"""A process that is started like a worker, and maps a file."""


def run(cache: Path, config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
        check=False,
        env={**os.environ, "HF_HUB_CACHE": str(cache)},
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Two repositories in the Hub's cache as its client lays them out."""
    cache = tmp_path / "hub"
    for repo in ("org/one", "org/other"):
        snapshot = model_folders.cached(cache, repo, revision="a" * 40)
        blobs = snapshot.parents[1] / "blobs"
        blobs.mkdir()
        for number, file in enumerate([p for p in snapshot.rglob("*") if p.is_file()]):
            file.replace(blobs / str(number))
            file.symlink_to(os.path.relpath(blobs / str(number), file.parent))
    return cache


def on_disk(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def test_a_repository_of_the_cache_goes_and_the_other_stays(cache: Path, config: Path) -> None:
    before, other = on_disk(cache), on_disk(cache / "models--org--other")

    done = run(cache, config, "models", "remove", "org/one", "--yes", "--json")
    listed = run(cache, config, "models", "--provider", "diffusers", "--json")

    assert done.returncode == 0, done.stderr
    assert not (cache / "models--org--one").exists()
    freed = json.loads(done.stdout)["freed_bytes"]
    assert freed == before - on_disk(cache) - 40  # refs/main, which the client does not count
    assert on_disk(cache / "models--org--other") == other
    assert [row["id"] for row in json.loads(listed.stdout)["models"]] == ["org/other"]
    assert done.stderr.index("folder:") < done.stderr.index("frees:")


def test_a_download_that_broke_off_goes_too(cache: Path, config: Path) -> None:
    blobs = cache / "models--org--half" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "0123.ziggie.incomplete").write_bytes(b"0" * 5000)

    done = run(cache, config, "models", "remove", "org/half", "--yes", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["freed_bytes"] == 5000
    assert not (cache / "models--org--half").exists()


def test_a_file_of_our_own_folder_goes(cache: Path, config: Path) -> None:
    file = data_dir() / "models" / "loras" / "fox.safetensors"
    model_folders.write(file, {"a.lora_A.weight": [4, 9]})

    listed = run(cache, config, "models", "--provider", "diffusers", "--json")
    done = run(cache, config, "models", "remove", "loras/fox.safetensors", "--yes")

    assert [row["id"] for row in json.loads(listed.stdout)["additions"]] == [
        "loras/fox.safetensors"
    ]
    assert done.returncode == 0, done.stderr
    assert not file.exists()


@pytest.mark.parametrize("name", ["mine", "fox.safetensors", "{folder}/mine", "../dir/mine"])
def test_what_lies_in_a_folder_of_the_user_is_never_deleted(
    tmp_path: Path, cache: Path, config: Path, name: str
) -> None:
    folder = tmp_path / "dir"
    model_folders.pipeline(folder / "mine")
    model_folders.write(folder / "fox.safetensors", {"a.lora_A.weight": [4, 9]})
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["providers"]["diffusers"] = {"modelDirs": [str(folder)]}
    config.write_text(json.dumps(settings), encoding="utf-8")
    before = sorted(folder.rglob("*"))

    name = name.format(folder=folder)
    done = run(cache, config, "models", "remove", name, "--yes")

    assert done.returncode == 1
    assert name == "../dir/mine" or f"[REMOVAL_REFUSED] {name} lies in {folder}" in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_file_of_several_is_not_removed_with_the_others(cache: Path, config: Path) -> None:
    snapshot = cache / "models--org--two" / "snapshots" / ("b" * 40)
    for name in ("one", "two"):
        model_folders.write(snapshot / f"{name}.safetensors", {"a.lora_A.weight": [4, 9]})

    done = run(cache, config, "models", "remove", "org/two/one.safetensors", "--yes")

    assert done.returncode == 1
    assert "[REMOVAL_REFUSED] org/two holds two.safetensors too" in done.stderr
    assert (snapshot / "one.safetensors").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads what a process has mapped")
def test_a_name_for_nothing_takes_no_repository_with_it(cache: Path, config: Path) -> None:
    (snapshot,) = (cache / "models--org--one" / "snapshots").glob("*")
    for file in snapshot.rglob("*.safetensors"):
        file.rename(file.with_suffix(".gguf"))
    snapshot.joinpath("lone.safetensors").write_bytes(b"")

    nothing = run(cache, config, "models", "remove", "org/one/none.safetensors", "--yes")
    beside = run(cache, config, "models", "remove", "org/one/lone.safetensors", "--yes")

    assert "[INVALID_REQUEST]" in nothing.stderr
    assert "[REMOVAL_REFUSED] org/one holds " in beside.stderr
    assert snapshot.joinpath("lone.safetensors").exists()


def test_a_model_in_the_memory_of_a_worker_stays(cache: Path, config: Path) -> None:
    file = next(cache.glob("models--org--one/snapshots/*/unet/model.safetensors"))
    words = [sys.executable, "-c", HOLDS, "ziggie_image_providers.diffusers.worker", str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        held = run(cache, config, "models", "remove", "org/one", "--yes")
        free = run(cache, config, "models", "remove", "org/other", "--yes")
        holder.communicate(b"")

    assert held.returncode == 1
    assert (
        f"[MODEL_IN_USE] org/one is in the memory of a worker (process {holder.pid})" in held.stderr
    )
    assert file.exists()
    assert free.returncode == 0, free.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["org/one"], "nobody can be asked here: add --yes to remove"),
        (["org/nothing", "--yes"], "nothing of this name is here"),
        (["../../etc"], "nothing of this name is here"),
        (["x" * 5000], "nothing of this name is here"),
        (["tiny"], "[REMOVAL_REFUSED] tiny lies in"),
    ],
)
def test_what_is_not_there_or_not_agreed_to_is_told(
    cache: Path, config: Path, arguments: list[str], told: str
) -> None:
    before = on_disk(cache)

    done = run(cache, config, "models", "remove", *arguments)

    assert done.returncode == 1
    assert told in done.stderr
    assert on_disk(cache) == before
