"""What is laid over a model of ComfyUI's, how it fits, and what is said of it."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.comfyui_answers import Answers, generated, listed, named, silence
from tests.support.fake_comfyui import NODES, OOM, STATS, FakeComfyUI
from ziggie_image_mcp.provider import (
    Control,
    Lora,
    Model,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    ProviderContext,
    ProviderRequest,
    RemoteJob,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_providers.comfyui import ComfyUI, additions, memory, samplers
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Pace

GB = 1_000_000_000
SD1, SDXL = "v1-5-pruned.safetensors", "sd_xl_base_1.0.safetensors"
LORAS = ["pixel-art.safetensors", "SDXL\\Lineart.safetensors"]
NETS = ["control_v11p_sd15_canny.safetensors", "controlnet-union-sdxl-1.0-promax.safetensors"]
BESIDE: dict[str, Any] = {
    "models/loras": LORAS,
    "models/controlnet": NETS,
    "embeddings": ["easynegative"],
    "view_metadata/loras": {"ss_base_model_version": "sd_v1"},
}


def posted(answers: Answers) -> dict[str, Any]:
    [body] = answers.posted
    return copy.deepcopy(body["prompt"])


def of(nodes: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in nodes.values() if node["class_type"] == name]


async def test_what_can_be_laid_over_a_model_is_listed_with_its_family() -> None:
    models = await listed(Answers(BESIDE))

    beside = {m.id: (m.role, m.family, m.title) for m in models.values() if m.role != "model"}
    assert beside == {
        "pixel-art.safetensors": ("lora", "sd1", ""),
        "SDXL\\Lineart.safetensors": ("lora", "sd1", ""),
        NETS[0]: ("control", "sd1", "control: canny"),
        NETS[1]: ("control", "sdxl", beside[NETS[1]][2]),
        "easynegative": ("embedding", None, ""),
    }
    control = models[SD1].tasks["text_to_image"].control
    assert control
    assert control.kinds == {"canny"}
    assert control.computed == frozenset()
    assert models[SD1].tasks["text_to_image"].embeddings


@pytest.mark.parametrize("name", ["pixel-art", "Pixel-Art.safetensors", "sdxl/lineart", "lineart"])
async def test_a_lora_is_found_by_the_names_that_people_give(name: str) -> None:
    answers = Answers(BESIDE)

    await generated(answers, SD1, loras=(Lora(id=name, weight=0.6),))

    [lora] = of(posted(answers), "LoraLoader")
    assert lora["lora_name"] in LORAS
    assert (lora["strength_model"], lora["strength_clip"]) == (0.6, 0.6)


async def test_a_lora_that_is_not_there_is_named_and_nothing_is_posted() -> None:
    answers = Answers(BESIDE)

    with pytest.raises(ModelMissing, match=r"does not have 'pixel-arts'.*nearest: pixel-art"):
        await generated(answers, SD1, loras=(Lora(id="pixel-arts"),))

    assert answers.posted == []


async def test_an_embedding_that_is_not_there_is_named_and_not_painted_as_words() -> None:
    answers = Answers(BESIDE)

    with pytest.raises(ModelMissing, match="no embedding 'badhands'"):
        await generated(answers, SD1, negative_prompt="embedding:badhands, blurry")
    await generated(answers, SD1, negative_prompt="embedding:EasyNegative, blurry")

    assert of(posted(answers), "CLIPTextEncode")[1]["text"] == "embedding:EasyNegative, blurry"


async def test_a_control_picture_is_uploaded_and_its_net_told_the_kind() -> None:
    answers = Answers(BESIDE)
    control = Control(kind="depth", image_id="img", weight=0.7, image=picture(64, 64))

    await generated(answers, SDXL, control=(control,))

    nodes = posted(answers)
    assert of(nodes, "LoadImage") == [{"image": "ziggie/picture.png [temp]"}]
    assert of(nodes, "ControlNetLoader") == [{"control_net_name": NETS[1]}]
    assert of(nodes, "SetUnionControlNetType")[0]["type"] == "depth"
    assert of(nodes, "ControlNetApplyAdvanced")[0]["strength"] == 0.7
    uploads = [r for r in answers.requests if r.url.path.endswith("/upload/image")]
    assert len(uploads) == 1
    assert b'name="type"\r\n\r\ntemp' in uploads[0].content


async def test_a_map_is_made_where_the_server_has_the_node_for_it() -> None:
    nodes = NODES | {"DepthAnythingV2Preprocessor": {"input": {"required": {"image": ["IMAGE"]}}}}
    answers = Answers(BESIDE | {"object_info": nodes})
    control = Control(kind="depth", image_id="i", compute=True, image=picture(64, 64))

    models = await listed(answers)
    await generated(answers, SDXL, control=(control,))

    able = models[SDXL].tasks["text_to_image"].control
    assert able
    assert able.computed == {"depth"}
    assert of(posted(answers), "DepthAnythingV2Preprocessor") == [{"image": ["control_picture", 0]}]


@pytest.mark.parametrize(
    ("sampler", "scheduler", "sent"),
    [
        ("DPM++ 2M Karras", None, ("dpmpp_2m", "karras")),
        ("dpm++ 2m", "Karras", ("dpmpp_2m", "karras")),
        ("DPM++_2M_SDE (Exponential)", None, ("dpmpp_2m_sde", "exponential")),
        ("Euler a", None, ("euler_ancestral", "normal")),
        ("Euler A", "SGM Uniform", ("euler_ancestral", "sgm_uniform")),
        ("UniPC", None, ("uni_pc", "normal")),
        ("dpmpp_3m_sde", "beta", ("dpmpp_3m_sde", "beta")),
        ("Restart", None, None),
    ],
)
async def test_samplers_go_by_their_names_in_other_programs(
    sampler: str, scheduler: str | None, sent: tuple[str, str] | None
) -> None:
    answers = Answers()
    if sent is None:
        with pytest.raises(RequestRejected, match=f"no sampler_name '{sampler}'"):
            await generated(answers, SD1, sampler=sampler, scheduler=scheduler)
        return

    await generated(answers, SD1, sampler=sampler, scheduler=scheduler)

    [values] = of(posted(answers), "KSampler")
    assert (values["sampler_name"], values["scheduler"]) == sent


def test_every_name_of_a_sampler_is_one_that_comfyui_has() -> None:
    own = NODES["KSampler"]["input"]["required"]
    known = {*own["sampler_name"][0], *own["scheduler"][0]}
    words = {*samplers.SAMPLERS.values(), *samplers.SCHEDULERS.values()}

    assert words - known == set()


async def test_a_large_picture_is_said_to_be_made_in_two_passes_and_tiles() -> None:
    answers = Answers()

    result = await generated(answers, SDXL, width=2304, height=2304)
    plain = Answers()
    await generated(plain, SDXL, width=2304, height=2304, _settings={"hires": "never"})

    assert "drawn at 1024x1024 first, and then over at full size (hires pass)" in result.notes
    assert "decoded in tiles" in result.notes
    assert len(of(posted(answers), "KSampler")) == 2
    assert len(of(posted(plain), "KSampler")) == 1


async def test_the_refiner_finishes_what_sdxl_base_begins_where_it_is_there() -> None:
    files = {"models/checkpoints": [SDXL, "sd_xl_refiner_1.0.safetensors"]}
    answers, never = Answers(files), Answers(files)

    result = await generated(answers, SDXL)
    await generated(never, SDXL, _settings={"refiner": "never"})

    assert "finished by sd_xl_refiner_1.0.safetensors" in result.notes
    assert len(of(posted(answers), "KSamplerAdvanced")) == 2
    assert len(of(posted(never), "KSampler")) == 1


async def test_a_node_that_is_missing_is_named_with_its_pack_before_anything_is_posted() -> None:
    answers = Answers()

    with pytest.raises(ModelUnusable, match=r"no node FaceRestore\w+.*node pack facerestore_cf"):
        await generated(answers, SD1, _settings={"faceRestoration": "codeformer.pth"})

    assert answers.posted == []


async def test_an_old_server_that_names_a_node_in_its_refusal_is_understood() -> None:
    """As 0.3.64 answers."""
    body: dict[str, Any] = {
        "error": {
            "type": "invalid_prompt",
            "message": "Cannot execute because node SeamlessTile does not exist.",
            "details": "Node ID '#tile'",
            "extra_info": {},
        },
        "node_errors": {},
    }
    answers = Answers({"prompt": httpx2.Response(400, json=body)})

    with pytest.raises(ModelUnusable, match=r"no node SeamlessTile.*ComfyUI-seamless-tiling"):
        await generated(answers, SD1)


async def test_a_server_that_is_too_old_for_a_family_says_which_version_has_it() -> None:
    files = {"models/diffusion_models": ["qwen_image_2.1.safetensors"]}

    models = await listed(Answers(files))

    fix = models["qwen_image_2.1.safetensors"].fix
    assert "too old for qwen-image models" in fix
    assert "update ComfyUI to 0.37 or later" in fix


async def test_a_gguf_file_is_usable_where_its_node_pack_is() -> None:
    loader = {"UnetLoaderGGUF": {"input": {"required": {"unet_name": [["flux1-dev-Q4_0.gguf"]]}}}}
    with_pack = Answers({"object_info": NODES | loader, "object_info/UnetLoaderGGUF": loader})

    models = await listed(with_pack)
    await generated(with_pack, "flux1-dev-Q4_0.gguf")

    assert models["flux1-dev-Q4_0.gguf"].state == "ready"
    assert of(posted(with_pack), "UnetLoaderGGUF") == [{"unet_name": "flux1-dev-Q4_0.gguf"}]


async def test_the_users_choice_of_a_text_encoder_wins() -> None:
    answers = Answers(
        {"models/text_encoders": ["ViT-L-14-TEXT-detail.safetensors", "my_t5.safetensors"]}
    )

    await generated(
        answers,
        "flux1-schnell.safetensors",
        _settings={"companions": {"t5xxl": "my_t5.safetensors"}},
    )

    [loader] = of(posted(answers), "DualCLIPLoader")
    assert loader["clip_name1"] == "ViT-L-14-TEXT-detail.safetensors"
    assert loader["clip_name2"] == "my_t5.safetensors"


def card(vram: int, ram: int = 16) -> dict[str, Any]:
    devices = [{"name": "cuda:0 NVIDIA GeForce", "type": "cuda", "vram_total": vram * GB}]
    system: dict[str, Any] = dict(STATS["system"]) | {"ram_total": ram * GB}
    return {"system_stats": {"system": system, "devices": devices}}


def sized(folder: str, **files: int) -> dict[str, Any]:
    names = {f"{name}.safetensors": size for name, size in files.items()}
    listed = [{"name": n, "size": s, "pathIndex": 0} for n, s in names.items()]
    return {f"models/{folder}": [*names], f"experiment/models/{folder}": listed}


async def test_with_8_gb_each_model_says_the_rung_on_which_it_runs_or_why_it_cannot() -> None:
    answers = Answers(
        card(8)
        | sized("checkpoints", sd_xl_base=6_938_000_000)
        | sized("diffusion_models", flux1_dev_fp8=11_900_000_000, flux1_dev=23_800_000_000)
        | sized("text_encoders", clip_l=246_000_000, t5xxl_fp16=9_790_000_000)
        | sized("vae", ae=335_000_000)
    )

    models = await listed(answers)

    sdxl, fp8, full = (
        models[f"{n}.safetensors"] for n in ("sd_xl_base", "flux1_dev_fp8", "flux1_dev")
    )
    assert (sdxl.state, sdxl.note, sdxl.slowdown) == ("ready", "", 1.0)
    assert full.state == "unusable"
    assert "ComfyUI has 8.0 GB of GPU memory and 16.0 GB of RAM" in full.fix
    assert fp8.state == "unusable"
    small = Answers(answers.answers | card(8, 32))
    fp8 = (await listed(small))["flux1_dev_fp8.safetensors"]
    assert fp8.state == "ready"
    assert "keeps about 5.1 GB of its 11.9 GB in RAM" in fp8.note
    assert fp8.slowdown > 2


@pytest.mark.parametrize(
    ("free", "side", "most", "count"),
    [(24, 512, 16, 16), (10, 1024, 4, 2), (3, 1024, 4, 1), (80, 1024, 3, 2), (None, 512, 4, 1)],
)
def test_as_many_pictures_are_sampled_together_as_the_memory_bears(
    free: int | None, side: int, most: int, count: int
) -> None:
    bytes_free = None if free is None else free * GB
    assert memory.pictures_at_once(bytes_free, side, side, most) == count


QUICK = Pace(first=0.001, longest=0.01, watched_first=0.02, watched_longest=0.02, patience=0.05)


def at(server: FakeComfyUI, **settings: Any) -> ComfyUI:
    section = Settings.model_validate({"baseUrl": server.url} | settings)
    return ComfyUI("comfyui", section, ProviderContext(data_dir=Path("unused")), pace=QUICK)


async def run(comfy: ComfyUI, num_images: int, **changes: Any) -> tuple[list[int | None], Any]:
    values: dict[str, Any] = {"prompt": "a fox", "width": 64, "height": 64, "seed": 7}
    request = ProviderRequest(**(values | changes), num_images=num_images)
    this = Run(key="a-run", progress=silence)
    try:
        job = await comfy.submit(request, named(SD1), this)
        assert isinstance(job, RemoteJob)
        result = await comfy.collect(job.id, request, named(SD1), this)
    finally:
        await comfy.aclose()
    return [image.seed for image in result.images], result.notes


async def test_pictures_that_fit_together_are_one_prompt_and_keep_their_seeds() -> None:
    async with FakeComfyUI() as server:
        seeds, _ = await run(at(server, maxBatch=4), 5)

    noises = [
        [noise["noise_seed"] for noise in of(p["prompt"], "RandomNoise")] for p in server.prompts
    ]
    assert seeds == [7, 8, 9, 10, 11]
    assert noises == [[7, 8, 9, 10], []]


async def test_pictures_of_two_passes_are_each_a_prompt_of_its_own() -> None:
    """The second pass has one seed for all that are sampled together."""
    async with FakeComfyUI() as server:
        await run(at(server, maxBatch=4), 2, width=1024, height=1024)

    seeds = [[s["seed"] for s in of(p["prompt"], "KSampler")] for p in server.prompts]
    assert seeds == [[7, 7], [8, 8]]


async def test_a_batch_that_does_not_fit_is_halved_and_then_made_in_tiles() -> None:
    endings: list[Any] = ["failed", "failed", "completed", "failed", "completed", "completed"]
    async with FakeComfyUI(endings=endings, error=OOM) as server:
        seeds, notes = await run(at(server, maxBatch=4), 4)

    assert seeds == [7, 8, 9, 10]
    assert any("2 at a time" in note for note in notes)
    assert len({p["prompt_id"] for p in server.prompts}) == len(server.prompts)


async def test_one_picture_that_does_not_fit_is_decoded_in_tiles_once() -> None:
    async with FakeComfyUI(endings=["failed"], error=OOM) as server:
        seeds, notes = await run(at(server), 1)
    async with FakeComfyUI(ending="failed", error=OOM) as hopeless:
        with pytest.raises(OutOfMemory):
            await run(at(hopeless), 1)

    decoders = [[n["class_type"] for n in p["prompt"].values()] for p in server.prompts]
    assert seeds == [7]
    assert notes == ("the memory did not do, so that it was made in tiles",)
    assert ["VAEDecodeTiled" in classes for classes in decoders] == [False, True]
    assert len(hopeless.prompts) == 2


async def test_memory_is_handed_back_after_some_idle_time_and_not_while_others_work() -> None:
    async with FakeComfyUI() as server:
        comfy = at(server, freeAfter=0.05)
        request = ProviderRequest(prompt="a fox", width=64, height=64, seed=7)
        this = Run(key="a-run", progress=silence)
        job = await comfy.submit(request, named(SD1), this)
        assert isinstance(job, RemoteJob)
        await comfy.collect(job.id, request, named(SD1), this)
        while "POST /api/free" not in server.seen:
            await asyncio.sleep(0.01)
        await comfy.aclose()

    assert server.seen.count("POST /api/free") == 1


async def test_the_model_that_others_used_last_counts_as_loaded_and_their_prompts_wait() -> None:
    graph = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": SDXL}}}
    answers = Answers(
        {
            "history": {"id": {"prompt": [3, "id", graph, {}, ["2"]], "outputs": {}, "status": {}}},
            "queue length": {"exec_info": {"queue_remaining": 3}},
        }
    )

    models = await listed(answers)

    assert models[SDXL].state == "loaded"
    assert models[SD1].state == "ready"
    assert {m.queued for m in models.values() if m.role == "model"} == {3}


async def test_pictures_of_the_work_are_asked_for_only_where_somebody_looks() -> None:
    shown: list[bytes] = []
    frame = (1).to_bytes(4, "big") + (1).to_bytes(4, "big")
    async with FakeComfyUI(preview=frame + picture(8, 8)) as server:
        comfy = at(server)
        request = ProviderRequest(prompt="a fox", width=64, height=64, seed=7)
        for show in (None, shown.append):
            this = Run(key=f"run {show is None}", progress=silence, preview=show)
            job = await comfy.submit(request, named(SD1), this)
            assert isinstance(job, RemoteJob)
            await comfy.collect(job.id, request, named(SD1), this)
        await comfy.aclose()

    assert ["extra_data" in p for p in server.prompts] == [False, True]
    assert server.prompts[1]["extra_data"] == {"preview_method": "latent2rgb"}
    assert set(shown) == {picture(8, 8)}


@pytest.mark.parametrize(
    ("file", "metadata", "family"),
    [
        ("a.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ("a.safetensors", {"ss_base_model_version": "sd_v1"}, "sd1"),
        ("a.safetensors", {"modelspec.architecture": "flux-1-dev/lora"}, "flux1"),
        ("a.safetensors", {"ss_base_model_version": "sd3.5-large"}, "sd3"),
        ("flux-realism.safetensors", {}, "flux1"),
        ("Pony/style.safetensors", {}, "sdxl"),
        ("random-flux1-lora.safetensors", {}, "flux1"),
        ("style.safetensors", {}, None),
    ],
)
def test_a_lora_is_for_the_family_that_its_trainer_wrote_or_its_name_says(
    file: str, metadata: dict[str, object], family: str | None
) -> None:
    assert additions.lora_family(file, metadata) == family


@pytest.mark.parametrize(
    ("file", "family", "kinds", "union"),
    [
        ("control_v11p_sd15_openpose.pth", "sd1", {"pose"}, False),
        ("control_v11f1p_sd15_depth_fp16.safetensors", "sd1", {"depth"}, False),
        ("diffusers_xl_canny_full.safetensors", "sdxl", {"canny"}, False),
        ("controlnet-canny-sdxl-1.0/diffusion_pytorch_model.safetensors", "sdxl", {"canny"}, False),
        ("xinsir/controlnet-union-sdxl-1.0-promax.safetensors", "sdxl", None, True),
        ("FLUX.1-dev-Controlnet-Union-Pro-2.0.safetensors", "flux1", None, False),
        ("flux1-dev-controlnet-union.safetensors", "flux1", None, True),
        ("sd3.5_large_controlnet_depth.safetensors", "sd3", {"depth"}, False),
        ("diffusion_pytorch_model.safetensors", None, None, False),
    ],
)
def test_a_control_net_is_told_by_its_name(
    file: str, family: str | None, kinds: set[str] | None, union: bool
) -> None:
    net = additions.control_net(file)

    assert (net.family if net else None) == family
    if net is not None:
        assert net.union == union
        assert kinds is None or net.kinds == kinds


def test_a_model_of_the_contract_says_how_much_slower_it_is() -> None:
    assert Model.__dataclass_fields__["slowdown"].default == 1.0
