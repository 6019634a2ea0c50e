"""The group `models`: what is listed without a command's name, and what is recommended."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import model_folders

pytestmark = pytest.mark.usefixtures("warm")


def run(*arguments: str, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *arguments, "--config", str(config)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["tiny"],
        ["--usable", "tiny"],
        ["list", "tiny"],
        ["--provider", "builtin", "tiny"],
        ["-p", "builtin", "--usable", "tiny"],
    ],
)
def test_without_a_command_models_are_listed(words: list[str], config: Path) -> None:
    done = run("models", *words, "--json", config=config)

    assert done.returncode == 0, done.stderr
    assert [row["id"] for row in json.loads(done.stdout)["models"]] == ["tiny"]


def test_options_may_stand_before_the_commands_name(config: Path) -> None:
    done = run("models", "--config", str(config), "--json", "recommend", config=config)

    assert done.returncode == 0, done.stderr
    assert {"models", "left_out"} == set(json.loads(done.stdout))


def test_help_names_the_commands(config: Path) -> None:
    done = run("models", "--help", config=config)

    assert all(name in done.stdout for name in ("list", "recommend", "pull"))


def test_a_model_of_an_engine_with_one_way_is_not_measured(config: Path) -> None:
    done = run("models", "measure", "tiny", config=config)
    half = run("models", "measure", "tiny", "--width", "64", config=config)

    assert done.returncode != 0
    assert "it runs by builtin, which has one way" in done.stderr
    assert "give both, or none" in half.stderr


def test_what_is_recommended_has_size_pace_reason_and_the_command(config: Path) -> None:
    data = json.loads(run("models", "recommend", "--json", config=config).stdout)
    text = run("models", "recommend", config=config).stdout

    assert data["models"] or data["left_out"]
    for row in data["models"]:
        assert row["disk_gb"] > 0
        assert row["why"]
        assert row["pace"]
        assert row["commands"][-1] == f"ziggie-image-mcp models pull {row['name']}"
        assert row["name"] in text
    for row in data["left_out"]:
        assert f"left out: {row['name']}: {row['why_not']}" in text
    if data["models"]:
        assert text.rstrip().endswith(data["models"][0]["commands"][-1])


def test_a_licence_wish_that_is_none_is_refused(config: Path) -> None:
    done = run("models", "recommend", "--license", "mine", config=config)

    assert done.returncode == 1
    assert "license='mine' cannot be used: give commercial or any" in done.stderr


@pytest.fixture
def folder(config: Path, tmp_path: Path) -> Path:
    """A folder that the config names, with a VAE, a LoRA and a checkpoint without its settings."""
    lora = {"lora_unet_a_attn2_to_k.lora_down.weight": [4, 768]}
    model_folders.write(tmp_path / "dir" / "soft.safetensors", {"decoder.conv_in.weight": [9]})
    model_folders.write(tmp_path / "dir" / "fox.safetensors", lora)
    model_folders.write(tmp_path / "dir" / "sd.safetensors", model_folders.sd1_tensors())
    settings = json.loads(config.read_text(encoding="utf-8"))
    own = {"modelDirs": [str(tmp_path / "dir")], "useHubCache": False}
    settings["providers"]["diffusers"] = own
    config.write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path / "dir"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("soft.safetensors", "soft.safetensors is a VAE. A model brings its own"),
        ("fox", "'fox' is a LoRA of diffusers, laid over a model and none itself"),
        ("sd", "models pull stable-diffusion-v1-5/stable-diffusion-v1-5"),
    ],
)
def test_what_cannot_be_used_gives_its_own_reason_first(
    config: Path, name: str, reason: str
) -> None:
    done = run("generate", "a fox", "--model", name, config=config)

    assert done.returncode == 1
    assert reason in done.stderr
    assert all(reason in done.stderr.partition(later)[0] for later in ("builtin/tiny", "comfyui"))


@pytest.mark.usefixtures("folder")
def test_what_lies_there_is_listed_with_its_role_and_why_not(config: Path) -> None:
    done = run("models", "--provider", "diffusers", "--json", config=config)

    report = json.loads(done.stdout)
    assert {(row["id"], row["usable"]) for row in report["models"]} == {
        ("soft.safetensors", False),
        ("sd.safetensors", False),
    }
    assert [(row["kind"], row["id"], row["family"]) for row in report["additions"]] == [
        ("lora", "fox.safetensors", "sd1")
    ]


def test_a_folder_that_the_config_does_not_name_is_scanned_and_can_be_put_there(
    config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new ones"
    model_folders.pipeline(folder / "whole")
    model_folders.write(folder / "soft.safetensors", {"decoder.conv_in.weight": [9]})
    model_folders.write(folder / "fox.safetensors", {"a.lora_A.weight": [4, 9]})

    scanned = run("models", "scan", str(folder), config=config)
    before = run("models", "whole", "--json", config=config)
    words = shlex.split(scanned.stdout.splitlines()[-1])
    put = run(*words[1:], config=config)
    after = run("models", "--provider", "diffusers", "--json", config=config)
    again = run("models", "scan", str(folder), "--json", config=config)

    assert scanned.returncode == 0, scanned.stderr
    assert scanned.stdout.count("soft.safetensors is a VAE") == 1
    assert "lora diffusers/fox.safetensors" in scanned.stdout
    assert words[:4] == ["ziggie-image-mcp", "config", "set", "providers.diffusers.modelDirs"]
    assert json.loads(before.stdout)["models"] == []
    assert put.returncode == 0, put.stderr
    report = json.loads(again.stdout)
    listed = json.loads(after.stdout)["models"]
    assert report["commands"] == []
    assert {(row["id"], tuple(row["why_not"])) for row in report["models"]} == {
        (row["id"], tuple(row["why_not"]))
        for row in listed
        if row["id"] in ("whole", "soft.safetensors")
    }


def test_what_is_no_folder_cannot_be_scanned(config: Path, tmp_path: Path) -> None:
    done = run("models", "scan", str(tmp_path / "nowhere"), config=config)

    assert done.returncode == 1
    assert "it is no folder here" in done.stderr


def test_what_a_usable_model_lacks_is_said_once(tmp_path: Path, config: Path) -> None:
    parts = {"unet": 4000, "text_encoder": 9000}
    model_folders.pipeline(tmp_path / "models" / "IF-I-M-v1.0", "IFPipeline", parts=parts)

    done = run("models", "scan", str(tmp_path / "models"), config=config)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("without its second stage") == 1
