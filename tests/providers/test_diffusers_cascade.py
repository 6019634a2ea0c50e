"""The stages of DeepFloyd IF are found, joined and counted. No torch is needed."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import cached, pipeline
from ziggie_image_mcp.inventory.licences import condition_of
from ziggie_image_mcp.inventory.model_facts import enrich
from ziggie_image_mcp.inventory.pace import work_seconds
from ziggie_image_mcp.provider import (
    FreeSize,
    Model,
    ModelUnusable,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    Run,
    options_of,
)
from ziggie_image_mcp.routing.scoring import base_seconds
from ziggie_image_providers.diffusers import Diffusers, cascade, wire
from ziggie_image_providers.diffusers.folder_settings import needs_sentencepiece
from ziggie_image_providers.diffusers.ladder import RUNTIME_GPU
from ziggie_image_providers.diffusers.listing import describe, missing_packages
from ziggie_image_providers.diffusers.scan import DiskModel, find, locate, scan
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.worker_request import worker_request

FIRST, SECOND, THIRD = "IFPipeline", "IFSuperResolutionPipeline", "StableDiffusionUpscalePipeline"
NOISES: dict[str, Any] = {"image_noising_scheduler": ["diffusers", "DDPMScheduler"]}
CHECKER = ["deepfloyd_if", "IFSafetyChecker"]
GET_SECOND = "models pull DeepFloyd/IF-II-L-v1.0 --without text_encoder"
GET_THIRD = "models pull stabilityai/stable-diffusion-x4-upscaler"


def first(base: Path, name: str = "IF-I-M-v1.0") -> Path:
    parts = {"unet": 4000, "text_encoder": 9000, "safety_checker": 300, "watermarker": 10}
    return reading(4096, pipeline(base / name, FIRST, parts=parts, safety_checker=CHECKER))


def second(base: Path, name: str = "IF-II-M-v1.0", size: int = 1000, width: int = 4096) -> Path:
    """With the text encoder that its repository has, without weights, as it is pulled."""
    text: dict[str, Any] = {"text_encoder": ["transformers", "T5EncoderModel"]}
    path = pipeline(base / name, SECOND, parts={"unet": size}, **text, **NOISES)
    (path / "image_noising_scheduler").mkdir()
    (path / "image_noising_scheduler" / "scheduler_config.json").write_text("{}", encoding="utf-8")
    return reading(width, path)


def third(base: Path, name: str = "stable-diffusion-x4-upscaler") -> Path:
    parts = {"unet": 500, "text_encoder": 200, "vae": 100}
    return pipeline(base / name, THIRD, parts=parts, safety_checker=[None, None])


def reading(width: int, folder: Path) -> Path:
    """The same with a UNet that reads texts of this width, and draws 64 px."""
    config = {"encoder_hid_dim": width, "sample_size": 64}
    (folder / "unet" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def listed(on_disk: DiskModel) -> Model:
    return describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False)


def sides(model: Model) -> tuple[int, int]:
    sizes = model.tasks["text_to_image"].sizes
    assert isinstance(sizes, FreeSize)
    return sizes.native_width, sizes.multiple_of


def request_of(on_disk: DiskModel, **changes: Any) -> wire.WorkerRequest:
    values: dict[str, Any] = {"prompt": "a fox", "width": 1024, "height": 1024, **changes}
    return worker_request(
        ProviderRequest(**values),
        listed(on_disk),
        on_disk,
        settings=Settings(),
        context=ProviderContext(data_dir=on_disk.path),
    )


def test_three_stages_are_one_model_of_1024_px_that_needs_the_weights_of_all(
    tmp_path: Path,
) -> None:
    paths = (first(tmp_path), second(tmp_path), third(tmp_path))

    models = find([tmp_path], None)

    joined = models["IF-I-M-v1.0"]
    model = listed(joined)
    assert [stage.path for stage in joined.later] == list(paths[1:])
    assert sides(model) == (1024, 128)
    assert (model.state, model.fix, model.note, model.quality) == ("ready", "", "", None)
    assert (model.family, model.commercial_use) == ("deepfloyd", False)
    assert options_of(model, "text_to_image") >= {"seed", "steps", "negative_prompt"}
    assert list(model.tasks) == ["text_to_image"]
    weights = 2 * (4000 + 9000 + 300 + 10 + 1000 + 500 + 200 + 100)
    full, offload = model.memory.rungs[:2]
    assert full.peaks[0].bytes == weights + RUNTIME_GPU
    assert offload.peaks[0].bytes == 2 * 9000 + RUNTIME_GPU  # of the largest part alone
    assert offload.ram_bytes == weights
    assert request_of(joined).weight_bytes == weights


@pytest.mark.parametrize(
    ("later", "side", "step", "commands"),
    [((), 64, 8, (GET_SECOND, GET_THIRD)), ((second,), 256, 32, (GET_THIRD,))],
)
def test_without_a_later_stage_it_draws_less_and_says_what_gets_it(
    tmp_path: Path, later: tuple[Any, ...], side: int, step: int, commands: tuple[str, ...]
) -> None:
    first(tmp_path)
    for stage in later:
        stage(tmp_path)

    model = listed(find([tmp_path], None)["IF-I-M-v1.0"])

    assert sides(model) == (side, step)
    assert model.state == "ready"
    assert model.quality in cascade.QUALITY
    assert f"draws {side} px" in model.note
    assert model.fix == model.note
    assert [GET_SECOND in model.note, GET_THIRD in model.note] == [
        GET_SECOND in commands,
        GET_THIRD in commands,
    ]


@pytest.mark.parametrize("name", ["IF-I-XL-v1.0", "IF-I-L-v1.0", "IF-I-M-v1.0", "my own copy"])
def test_its_licences_are_told_whatever_its_folders_are_called(tmp_path: Path, name: str) -> None:
    first(tmp_path, name)
    second(tmp_path, "larger")
    alone = listed(find([tmp_path], None)[name])
    third(tmp_path, "upscaler")

    models = find([tmp_path], None)

    joined = listed(models[name])
    assert (alone.license, alone.commercial_use) == ("DeepFloyd IF License", False)
    assert joined.license == f"{alone.license}, with a later stage under CreativeML OpenRAIL++-M"
    assert joined.commercial_use is False
    assert "forbids" in condition_of(joined.license)
    assert "non-commercial research only" in condition_of(joined.license)
    assert listed(models["larger"]).license == "DeepFloyd IF License"
    assert listed(models["upscaler"]).license == "CreativeML OpenRAIL++-M"


@pytest.mark.parametrize(("native", "least"), [(64, 64), (512, 128), (1024, 256), (96, 96)])
def test_the_least_side_is_one_that_its_stages_can_draw(
    tmp_path: Path, native: int, least: int
) -> None:
    for folder in (first(tmp_path), second(tmp_path), third(tmp_path)):
        config = folder / "unet" / "config.json"
        values = {"encoder_hid_dim": 4096, "sample_size": native // 16}
        config.write_text(json.dumps(values), encoding="utf-8")

    sizes = listed(find([tmp_path], None)["IF-I-M-v1.0"]).tasks["text_to_image"].sizes

    assert isinstance(sizes, FreeSize)
    assert sizes.min_side == least


def test_the_expected_seconds_are_those_of_the_stages_that_are_here(tmp_path: Path) -> None:
    name = "IF-I-XL-v1.0"
    first(tmp_path, name)
    alone = listed(find([tmp_path], None)[name])
    second(tmp_path)
    two = listed(find([tmp_path], None)[name])
    third(tmp_path)

    three = listed(find([tmp_path], None)[name])

    seconds = [base_seconds(enrich(model), "cpu", 0.01) for model in (alone, two, three)]
    work = [100 * 2 * 4000e-9 * 0.25, 50 * 2 * 1000e-9 * 4, 75 * 2 * 500e-9 * 4]
    assert alone.work == pytest.approx(work[0])
    assert two.work == pytest.approx(sum(work[:2]))
    assert three.work == pytest.approx(sum(work))
    assert seconds == sorted(set(seconds))


@pytest.mark.parametrize("name", ["IF-I-XL-v1.0", "lenient"])
def test_what_its_folder_is_called_changes_no_seconds(tmp_path: Path, name: str) -> None:
    first(tmp_path, name)

    seconds = base_seconds(enrich(listed(find([tmp_path], None)[name])), "cpu", 0.01)

    assert seconds == pytest.approx(work_seconds(100 * 2 * 4000e-9 * 0.25, "deepfloyd", 0.01))


def test_an_upscaler_without_the_second_stage_is_not_the_second(tmp_path: Path) -> None:
    first(tmp_path)
    third(tmp_path)

    models = find([tmp_path], None)

    assert models["IF-I-M-v1.0"].later == ()
    assert GET_SECOND in said(models["stable-diffusion-x4-upscaler"])


@pytest.mark.parametrize("stage", [second, third])
def test_a_later_stage_alone_is_listed_with_why_it_draws_nothing(
    tmp_path: Path, stage: Any
) -> None:
    folder = stage(tmp_path)

    (model,) = find([tmp_path], None).values()

    assert model.path == folder
    assert listed(model).state == "unusable"
    assert listed(model).tasks == {}
    assert "draws nothing alone" in said(model)
    assert "models pull DeepFloyd/IF-I-XL-v1.0" in said(model)


def test_a_later_stage_names_the_model_that_uses_it_or_what_is_used_in_its_place(
    tmp_path: Path,
) -> None:
    first(tmp_path)
    second(tmp_path)
    second(tmp_path, "IF-II-L-v1.0", size=3000)
    third(tmp_path)

    models = find([tmp_path], None)

    assert [stage.id for stage in models["IF-I-M-v1.0"].later] == [
        "IF-II-L-v1.0",
        "stable-diffusion-x4-upscaler",
    ]
    assert "ask for IF-I-M-v1.0, which uses it" in said(models["IF-II-L-v1.0"])
    assert "ask for IF-I-M-v1.0" in said(models["stable-diffusion-x4-upscaler"])
    assert "IF-I-M-v1.0 takes IF-II-L-v1.0" in said(models["IF-II-M-v1.0"])


def test_a_stage_that_is_damaged_or_reads_another_text_is_not_used(tmp_path: Path) -> None:
    first(tmp_path)
    (second(tmp_path, "half") / "unet" / "model.safetensors").unlink()
    second(tmp_path, "other", width=512)

    models = find([tmp_path], None)

    assert models["IF-I-M-v1.0"].later == ()
    assert "lacks complete weights for unet" in said(models["half"])
    assert "another encoder" in said(models["other"])


def test_the_stages_are_found_wherever_they_lie_and_however_the_first_is_named(
    tmp_path: Path,
) -> None:
    folders, cache = tmp_path / "models", tmp_path / "hub"
    path = first(folders)
    snapshot = cached(cache, "DeepFloyd/IF-II-M-v1.0", pipeline=SECOND, parts={"unet": 9})
    (snapshot / "model_index.json").write_text(
        (second(tmp_path / "elsewhere") / "model_index.json").read_text("utf-8"), "utf-8"
    )
    (snapshot / "image_noising_scheduler").mkdir()
    (snapshot / "image_noising_scheduler" / "scheduler_config.json").write_text("{}", "utf-8")
    reading(4096, snapshot)
    ways = [
        find([folders], cache)["IF-I-M-v1.0"],
        locate("IF-I-M-v1.0", [folders], cache),
        locate(str(path), [folders], cache),
        scan(folders, cache)["IF-I-M-v1.0"],
    ]

    for model in ways:
        assert model is not None
        assert [stage.path for stage in model.later] == [snapshot]
    assert list(scan(folders, cache)) == ["IF-I-M-v1.0"]
    stage = locate("DeepFloyd/IF-II-M-v1.0", [folders], cache)
    assert stage is not None
    assert "ask for IF-I-M-v1.0" in said(stage)


def test_a_scanned_folder_is_joined_to_what_other_folders_and_the_cache_have(
    tmp_path: Path,
) -> None:
    firsts, later, cache = tmp_path / "firsts", tmp_path / "later", tmp_path / "hub"
    first(firsts)
    second(later)
    third(later)
    snapshot = cached(cache, "DeepFloyd/IF-I-M-v1.0", pipeline=FIRST, parts={"unet": 4000})
    reading(4096, snapshot)

    joined = scan(firsts, None, model_dirs=[later])
    local = scan(later, None, model_dirs=[firsts])
    by_cache = scan(later, cache)

    assert list(joined) == ["IF-I-M-v1.0"]
    assert sides(listed(joined["IF-I-M-v1.0"])) == (1024, 128)
    assert listed(joined["IF-I-M-v1.0"]).note == ""
    for models, name in ((local, "IF-I-M-v1.0"), (by_cache, "DeepFloyd/IF-I-M-v1.0")):
        assert list(models) == ["IF-II-M-v1.0", "stable-diffusion-x4-upscaler"]
        assert all(f"ask for {name}, which uses it" in said(one) for one in models.values())


def test_a_damaged_first_stage_is_told_by_the_later_ones(tmp_path: Path) -> None:
    folder = first(tmp_path, "if-1")
    (folder / "unet" / "model.safetensors").unlink()
    second(tmp_path, "if-2")

    models = find([tmp_path], None)

    assert "cannot be used: if-1 lacks complete weights for unet" in said(models["if-2"])
    assert listed(models["if-1"]).quality is None


def test_the_later_stages_take_their_share_of_the_steps_and_their_own_guidance(
    tmp_path: Path,
) -> None:
    first(tmp_path)
    second(tmp_path)
    third(tmp_path)
    model = find([tmp_path], None)["IF-I-M-v1.0"]

    usual, fewer = request_of(model), request_of(model, steps=27, guidance_scale=5.0)

    assert [usual.steps, *(stage.steps for stage in usual.stages)] == [100, 50, 75]
    assert [usual.guidance, *(stage.guidance for stage in usual.stages)] == [7.0, 4.0, 9.0]
    assert [fewer.steps, *(stage.steps for stage in fewer.stages)] == [27, 14, 21]
    assert [fewer.guidance, *(stage.guidance for stage in fewer.stages)] == [5.0, 4.0, 9.0]
    limit = listed(model).tasks["text_to_image"].max_prompt
    assert limit is not None
    assert (usual.half_precision, limit.count) == ("float16", 76)
    with pytest.raises(RequestRejected, match="multiples of 128"):
        request_of(model, width=1024 + 64)


def test_a_watermark_is_told_where_there_is_room_for_one(tmp_path: Path) -> None:
    first(tmp_path)
    model = find([tmp_path], None)["IF-I-M-v1.0"]

    told = {
        side: cascade.notes(
            model,
            request_of(model, width=64, height=64).model_copy(
                update={"width": side, "height": side}
            ),
        )
        for side in (16, 17, 64)
    }

    assert told[16] == []
    assert told[17] == told[64] == ["the model lays a watermark over the lower right corner"]


@pytest.mark.skipif(
    bool(missing_packages()),
    reason='needs pip install "ziggie-image-mcp[local]"',
)
async def test_a_later_stage_asked_for_by_name_gives_its_reason_before_anything_is_loaded(
    tmp_path: Path,
) -> None:
    second(tmp_path)
    provider = Diffusers(
        "diffusers",
        Settings.model_validate({"modelDirs": [str(tmp_path)], "useHubCache": False}),
        ProviderContext(data_dir=tmp_path / "data"),
    )
    (model,) = await provider.list_models()
    request = ProviderRequest(prompt="a fox", width=256, height=256)

    with pytest.raises(ModelUnusable, match="the second stage of DeepFloyd IF"):
        await provider.submit(request, model, Run(key="k", progress=silence))

    assert not (await provider.probe()).loaded_model


@pytest.mark.parametrize(
    ("files", "needed"),
    [(("spiece.model",), True), (("spiece.model", "tokenizer.json"), False), ((), False)],
)
def test_a_tokenizer_that_only_sentencepiece_reads_is_told(
    tmp_path: Path, files: tuple[str, ...], needed: bool
) -> None:
    folder = first(tmp_path)
    for name in files:
        (folder / "tokenizer" / name).write_text("{}", encoding="utf-8")

    assert needs_sentencepiece(folder) == needed


def published_lists() -> dict[str, int]:
    """How long the lists of noise levels of diffusers are, which is not imported."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "pipelines" / "deepfloyd_if" / "timesteps.py"
    lists = re.findall(r"(\w+)_timesteps = \[(.*?)\]", file.read_text("utf-8"), re.S)
    return {name: levels.count(",") for name, levels in lists}


@pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None,
    reason='needs pip install "ziggie-image-mcp[local]"',
)
def test_the_noise_levels_that_were_published_for_a_number_of_steps_are_taken() -> None:
    lists = published_lists()

    chosen = {
        (steps, number): name
        for number in (1, 2)
        for steps in range(1, 201)
        if (name := cascade.noise_levels(steps, number))
    }

    assert {steps for steps, _ in chosen} == {27, 50, 100, 185}
    assert all(lists[name] == steps for (steps, _), name in chosen.items())
    assert (chosen[27, 1], chosen[27, 2], chosen[100, 1]) == ("fast27", "smart27", "smart100")


def said(model: DiskModel) -> str:
    assert model.trouble is not None
    return model.trouble.text


async def silence(share: float, text: str) -> None:
    """Take progress and do nothing."""
