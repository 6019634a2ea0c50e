"""`models pull` of single files: from CivitAI, and into the folders of other engines."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

import anyio
import pytest

from tests.support import model_folders
from tests.support.fake_civitai import MODEL, VERSION, FakeCivitai
from tests.support.fake_comfyui import FILES, FakeComfyUI
from tests.support.fake_hub import FakeHub
from ziggie_image_mcp.config.config import data_dir

pytestmark = pytest.mark.usefixtures("warm")
needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None,
    reason='needs pip install "ziggie-image-mcp[hub]"',
)

AIR = f"urn:air:sdxl:lora:civitai:{MODEL}@{VERSION}"
LORA = {"lora_unet_a_attn2_to_k.lora_down.weight": [4, 2048]}


def run(config: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "CIVITAI"))}
    return subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=90,
        check=False,
        env=plain | {"HF_HUB_CACHE": str(config.parent / "hub")} | env,
    )


@pytest.fixture
def civitai(tmp_path: Path) -> Generator[FakeCivitai]:
    data = model_folders.write(tmp_path / "made", LORA).read_bytes()
    with FakeCivitai(data).serving() as one:
        yield one


def loras() -> Path:
    return data_dir() / "models" / "loras"


@pytest.mark.parametrize("name", [AIR, str(VERSION), f"https://civitai.com/models/{MODEL}"])
def test_a_lora_of_civitai_is_shown_pulled_checked_and_listed(
    civitai: FakeCivitai, config: Path, name: str
) -> None:
    done = run(
        config,
        *("models", "pull", name, "--yes", "--json"),
        CIVITAI_ENDPOINT=civitai.url,
        CIVITAI_TOKEN="secret",
    )
    listed = run(config, "models", "--provider", "diffusers", "--json")
    again = run(config, "models", "pull", name, "--yes", CIVITAI_ENDPOINT=civitai.url)

    assert done.returncode == 0, done.stderr
    told = done.stderr
    assert f"Red Fox v16.0 ({AIR})" in told
    assert "lora for Illustrious" in told
    assert "fox style, red fur" in told
    licence = "pictures may be sold, may run on CivitAI for money; its creator must be named"
    assert licence in told
    assert told.index("licence:") < told.index("file:")
    assert (loras() / "fox.safetensors").read_bytes() == civitai.data
    (row,) = json.loads(done.stdout)["files"]
    assert row["listed_as"] == "loras/fox.safetensors"
    (addition,) = json.loads(listed.stdout)["additions"]
    assert (addition["id"], addition["family"]) == ("loras/fox.safetensors", "sdxl")
    assert again.returncode == 0, again.stderr
    assert len(civitai.of("/storage/")) == 1


def test_the_token_goes_to_civitai_and_not_to_the_storage(
    civitai: FakeCivitai, config: Path
) -> None:
    run(
        config,
        *("models", "pull", AIR, "--yes"),
        CIVITAI_ENDPOINT=civitai.url,
        CIVITAI_TOKEN="secret",
    )

    assert {one.authorization for one in civitai.of("/api/")} == {"Bearer secret"}
    assert [one.authorization for one in civitai.of("/storage/")] == [""]


def test_a_connection_that_breaks_goes_on_where_it_ended(tmp_path: Path, config: Path) -> None:
    data = model_folders.write(tmp_path / "large", {"a.lora_A.weight": [4, 100_000]}).read_bytes()
    with FakeCivitai(data, drops_after=300_000).serving() as civitai:
        done = run(config, "models", "pull", AIR, "--yes", CIVITAI_ENDPOINT=civitai.url)

        assert done.returncode == 0, done.stderr
        assert (loras() / "fox.safetensors").read_bytes() == data
        first, second = civitai.of("/storage/")
        assert (first.range, second.range) == ("", "bytes=300000-")


def test_what_broke_off_is_taken_up_by_the_next_command(civitai: FakeCivitai, config: Path) -> None:
    loras().mkdir(parents=True)
    (loras() / "fox.safetensors.ziggie.incomplete").write_bytes(civitai.data[:100])

    done = run(config, "models", "pull", AIR, "--yes", CIVITAI_ENDPOINT=civitai.url)

    assert done.returncode == 0, done.stderr
    assert [one.range for one in civitai.of("/storage/")] == ["bytes=100-"]
    assert (loras() / "fox.safetensors").read_bytes() == civitai.data


@pytest.mark.parametrize(
    ("change", "name", "told"),
    [
        ({"corrupt": True}, AIR, "[WRONG_CHECKSUM] fox.safetensors"),
        ({"wants_token": True}, AIR, "`ziggie-image-mcp keys set civitai`"),
        (
            {"name": "fox.pt"},
            AIR,
            "[NOT_A_PIPELINE] Version 2514310 of CivitAI has no .safetensors",
        ),
        ({"type": "Upscaler"}, AIR, "add --to comfyui or --to a1111"),
        ({"type": "Workflows"}, AIR, "which no engine loads"),
        ({}, "civitai:5@2514310", "is of model 827184, not 5"),
        ({}, "77", "[REPOSITORY_NOT_FOUND] There is no model-versions 77"),
    ],
)
def test_what_is_not_taken_from_civitai_leaves_nothing(
    civitai: FakeCivitai, config: Path, change: Mapping[str, object], name: str, told: str
) -> None:
    for field, value in change.items():
        setattr(civitai, field, value)

    done = run(config, "models", "pull", name, "--yes", CIVITAI_ENDPOINT=civitai.url)

    assert done.returncode == 1
    assert told in done.stderr
    assert not list(data_dir().rglob("fox*"))


def test_no_commercial_use_is_said_and_a_name_cannot_leave_its_folder(
    civitai: FakeCivitai, config: Path
) -> None:
    civitai.commercial, civitai.name = [], "../../out.safetensors"

    done = run(config, "models", "pull", AIR, "--yes", CIVITAI_ENDPOINT=civitai.url)

    assert done.returncode == 0, done.stderr
    assert "no commercial use is allowed" in done.stderr
    assert (loras() / "out.safetensors").read_bytes() == civitai.data


def test_the_key_of_civitai_is_kept_like_those_of_providers(
    civitai: FakeCivitai, config: Path
) -> None:
    words = [sys.executable, "-m", "ziggie_image_mcp", "--config", str(config)]
    kept = subprocess.run(
        [*words, "keys", "set", "civitai"],
        input="secret\n",
        capture_output=True,
        text=True,
        check=False,
    )
    done = run(config, "models", "pull", AIR, "--yes", CIVITAI_ENDPOINT=civitai.url)
    listed = run(config, "keys", "list", "--json")
    tested = run(config, "keys", "test", "civitai")

    assert kept.returncode == 0, kept.stderr
    assert "no provider asks" not in kept.stderr
    assert done.returncode == 0, done.stderr
    assert {one.authorization for one in civitai.of("/api/")} == {"Bearer secret"}
    assert {"provider": "civitai", "variable": "CIVITAI_TOKEN", "found_in": ["file"]} in json.loads(
        listed.stdout
    )["keys"]
    assert tested.returncode == 1
    assert "`models pull` tries it" in tested.stderr


class InFolder(Mapping[str, Sequence[str]]):
    """The files of a ComfyUI as they are on the disk when it is asked."""

    def __init__(self, models: Path) -> None:
        self._models = models

    def __getitem__(self, name: str) -> Sequence[str]:
        return sorted(p.name for p in (self._models / name).glob("*.safetensors"))

    def __iter__(self) -> Iterator[str]:
        return iter(FILES)

    def __len__(self) -> int:
        return len(FILES)


@needs_hub
async def test_a_model_of_the_catalogue_is_put_where_comfyui_sees_it_at_once(
    tmp_path: Path, config: Path
) -> None:
    installed = tmp_path / "ComfyUI"
    (installed / "models").mkdir(parents=True)
    weights = model_folders.write(tmp_path / "w", {"w": [50]}).read_bytes()
    repo = "stabilityai/stable-diffusion-xl-base-1.0"
    async with FakeComfyUI(files=InFolder(installed / "models")) as comfyui:
        with FakeHub().serving() as hub:
            hub.add(repo, {"sd_xl_base_1.0.safetensors": weights, "model_index.json": b"{}"})
            section = {"baseUrl": comfyui.url, "folder": str(installed)}
            settings = {"providers": {"comfyui": section}}
            config.write_text(json.dumps(settings), encoding="utf-8")

            done = await anyio.to_thread.run_sync(
                lambda: run(
                    config,
                    *("models", "pull", "sdxl-base", "--to", "comfyui", "--yes", "--json"),
                    HF_ENDPOINT=hub.url,
                )
            )

    assert done.returncode == 0, done.stderr
    assert "licence:" in done.stderr
    (row,) = json.loads(done.stdout)["files"]
    assert Path(row["file"]) == installed / "models" / "checkpoints" / "sd_xl_base_1.0.safetensors"
    assert Path(row["file"]).read_bytes() == weights
    assert row["listed_as"] == "sd_xl_base_1.0.safetensors"
    assert set(hub.sent) == {"sd_xl_base_1.0.safetensors"}


@needs_hub
def test_the_parts_of_a_model_go_into_the_folder_of_each(tmp_path: Path, config: Path) -> None:
    (tmp_path / "ComfyUI" / "models").mkdir(parents=True)
    flux, encoders = "black-forest-labs/FLUX.1-schnell", "comfyanonymous/flux_text_encoders"
    with FakeHub().serving() as hub:
        hub.add(flux, {"flux1-schnell.safetensors": b"1" * 50, "ae.safetensors": b"2" * 50})
        names = ("clip_l.safetensors", "t5xxl_fp16.safetensors", "t5xxl_fp8.safetensors")
        hub.add(encoders, {name: name.encode() for name in names})

        done = run(
            config,
            *("models", "pull", "flux1-schnell", "--to", "comfyui", "--yes"),
            *("--folder", str(tmp_path / "ComfyUI")),
            HF_ENDPOINT=hub.url,
        )

    assert done.returncode == 0, done.stderr
    models = tmp_path / "ComfyUI" / "models"
    assert {p.relative_to(models).as_posix() for p in models.rglob("*.*")} == {
        "diffusion_models/flux1-schnell.safetensors",
        "text_encoders/clip_l.safetensors",
        "text_encoders/t5xxl_fp16.safetensors",
        "vae/ae.safetensors",
    }


@needs_hub
@pytest.mark.parametrize(
    ("engine", "tags", "more", "place"),
    [
        ("comfyui", ["lora"], [], "models/loras"),
        ("a1111", ["lora"], [], "models/Lora"),
        ("a1111", ["controlnet"], [], "models/ControlNet"),
        ("comfyui", [], ["--kind", "upscaler"], "models/upscale_models"),
        ("a1111", [], ["--kind", "checkpoint"], "models/Stable-diffusion"),
    ],
)
def test_a_file_of_the_hub_goes_where_its_kind_belongs(
    tmp_path: Path, config: Path, engine: str, tags: list[str], more: list[str], place: str
) -> None:
    (tmp_path / "engine" / "models").mkdir(parents=True)
    with FakeHub().serving() as hub:
        hub.add("somebody/fox", {"fox.safetensors": b"1" * 50}, tags=tags)

        done = run(
            config,
            *("models", "pull", "somebody/fox", "--to", engine, "--yes", *more),
            *("--folder", str(tmp_path / "engine" / "models")),
            HF_ENDPOINT=hub.url,
        )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "engine" / place / "fox.safetensors").read_bytes() == b"1" * 50


@needs_hub
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sdxl-base", "--to", "comfyui"], "config set providers.comfyui.folder DIR"),
        (["somebody/fox", "--to", "comfyui", "--folder", "{dir}"], "add --kind lora"),
        (["somebody/fox", "--to", "drawthings"], "give one of comfyui, a1111"),
        (
            ["somebody/fox", "--to", "comfyui", "--folder", "{dir}/none"],
            "holds its folder `models`",
        ),
        (["lumina2", "--to", "comfyui", "--folder", "{dir}"], "single files are not known here"),
        (["somebody/fox", "--folder", "{dir}"], "--to comfyui or --to a1111"),
        (
            ["somebody/fox", "--to", "comfyui", "--folder", "{dir}", "--kind", "vae"],
            "is there already, with other content",
        ),
        (
            ["somebody/fox", "--to", "comfyui", "--folder", "{dir}", "--kind", "hat"],
            "give one of checkpoint, diffusion_model",
        ),
    ],
)
def test_what_has_no_place_is_refused_before_anything_comes(
    tmp_path: Path, config: Path, arguments: list[str], told: str
) -> None:
    other = tmp_path / "engine" / "models" / "vae" / "fox.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    with FakeHub().serving() as hub:
        hub.add("somebody/fox", {"fox.safetensors": b"1" * 50})
        words = [word.format(dir=tmp_path / "engine") for word in arguments]

        done = run(config, "models", "pull", *words, HF_ENDPOINT=hub.url)

    assert done.returncode == 1
    assert told in done.stderr
    assert hub.sent == {}
    assert other.read_bytes() == b"mine"
