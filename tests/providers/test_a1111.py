"""What goes out to each server of the family, and what is made of its answers."""

from __future__ import annotations

import base64
import io
import json
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.fake_a1111 import FLUX, NF4, NOT_FOUND, SD15, SDXL, FakeWebUI
from ziggie_image_mcp.provider import (
    Control,
    EngineGone,
    Generation,
    InvalidOutput,
    Lora,
    Model,
    ModelMissing,
    ModelUnusable,
    OutOfMemory,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderUnavailable,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, picture
from ziggie_image_providers.a1111 import A1111
from ziggie_image_providers.a1111.settings import Settings

SDXL_ID, SD15_ID = "sd_xl_base_1.0.safetensors", "v1-5-pruned-emaonly.safetensors"
JOB = ProviderRequest(
    prompt="a red bicycle",
    negative_prompt="blurry",
    width=512,
    height=512,
    seed=7,
    steps=20,
    guidance_scale=7.0,
)
PNG = base64.b64encode(picture(512, 512)).decode()


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


def provider(url: str, **settings: Any) -> A1111:
    given = Settings.model_validate({"baseUrl": url, **settings})
    return A1111("a1111", given, ProviderContext(data_dir=Path("unused")))


async def listed(fake: FakeWebUI, **settings: Any) -> dict[str, Model]:
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url, **settings)
        models = await tested.list_models()
        await tested.aclose()
    return {m.id: m for m in models}


async def made(
    fake: FakeWebUI, id: str, request: ProviderRequest = JOB, **settings: Any
) -> Generation:
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url, **settings)
        try:
            model = next(m for m in await tested.list_models() if m.id == id)
            generation = await tested.submit(request, model, RUN)
        finally:
            await tested.aclose()
    assert isinstance(generation, Generation)
    return generation


def job(**changes: Any) -> ProviderRequest:
    return replace(JOB, **changes)


def edit(mask: bool = False, **changes: Any) -> ProviderRequest:
    task = "inpaint" if mask else "image_to_image"
    half = Image.new("L", (512, 512), 0)
    half.paste(255, (0, 0, 256, 512))
    out = io.BytesIO()
    half.save(out, "PNG")
    given = {"mask_id": "m", "mask": out.getvalue()} if mask else {}
    return job(task=task, image_id="i", image=picture(512, 512), **given, **changes)


# What goes out


async def test_a_picture_from_text_goes_out_whole() -> None:
    fake = FakeWebUI()

    await made(fake, SD15_ID, job(num_images=2))

    assert fake.posted == [
        {
            "prompt": "a red bicycle",
            "negative_prompt": "blurry",
            "width": 512,
            "height": 512,
            "seed": 7,
            "steps": 20,
            "cfg_scale": 7.0,
            "sampler_name": "DPM++ 2M",
            "scheduler": "Karras",
            "batch_size": 1,
            "n_iter": 2,
            "send_images": True,
            "save_images": False,
            "force_task_id": "ziggie-our-key",
            "override_settings": {"sd_model_checkpoint": SD15},
            "override_settings_restore_afterwards": False,
        }
    ]


async def test_an_edit_carries_the_picture_and_its_strength() -> None:
    fake = FakeWebUI()

    await made(fake, SD15_ID, edit(strength=0.4))

    [body] = fake.posted
    assert "POST sdapi/v1/img2img" in fake.asked
    assert base64.b64decode(body["init_images"][0]) == picture(512, 512)
    assert (body["denoising_strength"], body["resize_mode"]) == (0.4, 0)
    assert "mask" not in body


async def test_under_a_mask_white_is_painted_anew_in_the_whole_picture() -> None:
    fake = FakeWebUI()

    await made(fake, SD15_ID, edit(mask=True))

    [body] = fake.posted
    with Image.open(io.BytesIO(base64.b64decode(body["mask"]))) as mask:
        assert (mask.getpixel((0, 0)), mask.getpixel((511, 0))) == (255, 0)
    settings = ("denoising_strength", "inpainting_fill", "inpaint_full_res")
    assert [body[k] for k in settings] == [1.0, 1, False]
    assert body["inpainting_mask_invert"] == 0


async def test_an_upscaler_enlarges_by_the_factor() -> None:
    fake = FakeWebUI()
    request = job(task="upscale", image_id="i", image=picture(64, 48), factor=2)
    generation = await made(fake, "R-ESRGAN 4x+", replace(request, width=64, height=48))

    with Image.open(io.BytesIO(generation.images[0].data)) as image:
        assert image.size == (128, 96)
    [body] = fake.posted
    assert {k: v for k, v in body.items() if k != "image"} == {
        "resize_mode": 0,
        "upscaling_resize": 2,
        "upscaler_1": "R-ESRGAN 4x+",
    }


async def test_what_is_no_model_among_the_upscalers_is_left_out() -> None:
    models = await listed(FakeWebUI())

    assert [m.id for m in models.values() if "upscale" in m.tasks] == ["R-ESRGAN 4x+"]


async def test_a_large_picture_is_drawn_smaller_first_and_says_so() -> None:
    fake = FakeWebUI()
    generation = await made(fake, SD15_ID, job(width=1024, height=1536))

    [body] = fake.posted
    assert (body["width"], body["height"]) == (416, 624)
    assert (body["hr_resize_x"], body["hr_resize_y"]) == (1024, 1536)
    assert (body["enable_hr"], body["hr_upscaler"]) == (True, "Latent")
    assert generation.notes == ("drawn at 416x624 first, and then over at full size (hires pass)",)
    assert await made(fake, SD15_ID, job(width=1024, height=1536), hires="never")
    assert "enable_hr" not in fake.posted[-1]


async def test_forges_second_pass_has_its_modules_and_the_guidance_of_the_first() -> None:
    fake = FakeWebUI("forge")
    await made(fake, SD15_ID, job(width=1024, height=1024))

    [body] = fake.posted
    assert body["hr_additional_modules"] == ["Use same choices"]
    assert body["hr_cfg"] == 7.0


async def test_loras_stand_as_tags_behind_the_prompt_by_the_servers_own_names() -> None:
    fake = FakeWebUI()
    await made(fake, SDXL_ID, job(loras=(Lora(id="pixelart", weight=0.8), Lora(id="mine"))))

    [body] = fake.posted
    assert body["prompt"] == "a red bicycle <lora:pixel-art-xl:0.8> <lora:mine:1>"


async def test_embeddings_go_out_by_their_bare_names() -> None:
    fake = FakeWebUI()
    await made(fake, SD15_ID, job(negative_prompt="embedding:easynegative, blurry"))

    assert fake.posted[0]["negative_prompt"] == "EasyNegative, blurry"


async def test_sd_next_lists_embeddings_in_a_row_and_is_not_asked_for_schedulers() -> None:
    fake = FakeWebUI("sdnext")
    models = await listed(fake)
    await made(fake, SD15_ID, job(negative_prompt="embedding:easynegative"))

    assert models["EasyNegative"].role == "embedding"
    assert fake.posted[0]["negative_prompt"] == "EasyNegative"
    assert "GET sdapi/v1/schedulers" not in fake.asked


async def test_control_is_a_unit_of_the_extension_with_the_net_of_the_family() -> None:
    fake = FakeWebUI()
    lines = Control(kind="canny", image_id="c", weight=0.7, image=picture(512, 512))
    depth = Control(kind="depth", image_id="c", image=picture(512, 512), compute=True)
    await made(fake, SD15_ID, job(control=(lines,)))
    await made(fake, SDXL_ID, job(control=(depth,)))

    units = [body["alwayson_scripts"]["controlnet"]["args"][0] for body in fake.posted]
    words = ("module", "model", "weight", "enabled", "save_detected_map")
    assert [[unit[k] for k in words] for unit in units] == [
        ["None", "control_v11p_sd15_canny [d14c016b]", 0.7, True, False],
        ["depth_midas", "diffusers_xl_depth [0a1b2c3d]", 1.0, True, False],
    ]
    assert "input_image" not in units[0]
    assert base64.b64decode(units[0]["image"]) == picture(512, 512)


async def test_without_the_extension_no_control_is_offered() -> None:
    models = await listed(FakeWebUI(nets=None))

    assert models[SD15_ID].tasks["text_to_image"].control is None
    assert not [m for m in models.values() if m.role == "control"]


# Names that these servers would exchange in silence


@pytest.mark.parametrize(
    ("asked", "sampler", "scheduler"),
    [
        ("dpmpp_2m", "DPM++ 2M", None),
        ("DPM++ 2M Karras", "DPM++ 2M", "Karras"),
        ("euler_ancestral", "Euler a", None),
        ("k_euler", "Euler", None),
    ],
)
async def test_samplers_go_by_the_names_of_all_engines(
    asked: str, sampler: str, scheduler: str | None
) -> None:
    fake = FakeWebUI()
    await made(fake, SD15_ID, job(sampler=asked))

    [body] = fake.posted
    assert (body["sampler_name"], body.get("scheduler")) == (sampler, scheduler)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sampler": "eulr"}, RequestRejected, "no sampler 'eulr'; nearest: Euler"),
        ({"scheduler": "karas"}, RequestRejected, "no scheduler 'karas'; nearest: Karras"),
        ({"loras": (Lora(id="pixel-art"),)}, ModelMissing, "nearest: pixel-art-xl"),
        ({"prompt": "embedding:esynegative"}, ModelMissing, "nearest: EasyNegative"),
        (
            {"control": (Control(kind="pose", image_id="c", image=PNG.encode()),)},
            ModelMissing,
            "no control net for pose and sd1",
        ),
    ],
)
async def test_a_name_that_it_does_not_have_is_refused_before_anything_is_sent(
    changes: dict[str, Any], error: type[ProviderError], message: str
) -> None:
    fake = FakeWebUI()
    with pytest.raises(error, match=message):
        await made(fake, SD15_ID, job(**changes))

    assert fake.posted == []


async def test_a_model_that_went_away_is_refused_before_anything_is_sent() -> None:
    fake = FakeWebUI()
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        model = (await tested.list_models())[0]
        gone = replace(model, id="sd_xl_bas_1.0.safetensors")
        with pytest.raises(ModelMissing, match=r"nearest: sd_xl_base_1\.0"):
            await tested.submit(JOB, gone, RUN)
        await tested.aclose()

    assert fake.posted == []


async def test_a_picture_of_another_model_is_an_error() -> None:
    fake = FakeWebUI(info={"sd_model_name": "other", "sd_model_hash": "ffff"})

    with pytest.raises(InvalidOutput, match=f"made the picture with other, and not with {SD15_ID}"):
        await made(fake, SD15_ID)


async def test_a_model_is_known_by_its_hash_too() -> None:
    fake = FakeWebUI(info={"sd_model_name": "renamed"})

    assert await made(fake, SD15_ID)


async def test_what_was_done_otherwise_is_said() -> None:
    fake = FakeWebUI(
        info={
            "sampler_name": "Euler",
            "extra_generation_params": {"Schedule type": "Simple"},
            "steps": 15,
            "all_seeds": [99],
        }
    )
    generation = await made(fake, SD15_ID)

    assert generation.notes == (
        "AUTOMATIC1111 used the sampler Euler instead of DPM++ 2M",
        "AUTOMATIC1111 used the scheduler Simple instead of Karras",
        "AUTOMATIC1111 used steps 15 instead of 20",
        "AUTOMATIC1111 used the seed 99 instead of 7",
    )
    assert generation.images[0].seed == 99


async def test_grids_before_and_maps_behind_the_pictures_are_left_out() -> None:
    colours = ("grey", "red", "blue", "white")
    images = [base64.b64encode(picture(8, 8, c)).decode() for c in colours]
    fake = FakeWebUI(images=images, info={"index_of_first_image": 1})
    generation = await made(fake, SD15_ID, job(num_images=2))

    assert [i.data for i in generation.images] == [picture(8, 8, c) for c in ("red", "blue")]
    assert [i.seed for i in generation.images] == [7, 8]


async def test_fewer_pictures_than_asked_are_said() -> None:
    fake = FakeWebUI(images=[PNG], info={"all_seeds": [7]})
    generation = await made(fake, SD15_ID, job(num_images=2))

    assert len(generation.images) == 1
    assert "1 pictures of 2" in generation.notes[0]


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
async def test_pictures_come_as_the_server_is_set_to_encode_them(format: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (512, 512)).save(out, format)
    fake = FakeWebUI(images=[base64.b64encode(out.getvalue()).decode()])
    generation = await made(fake, SD15_ID)

    assert generation.images[0].data == out.getvalue()


async def test_an_answer_without_pictures_is_a_failure_as_sdnext_gives_it() -> None:
    fake = FakeWebUI("sdnext", images=[])

    with pytest.raises(OutOfMemory, match=r"SD\.Next answered without a picture"):
        await made(fake, SD15_ID)


async def test_a_type_error_of_sdnext_is_quoted() -> None:
    fake = FakeWebUI("sdnext", answer=Reply(status=500, body="unsupported operand"))

    with pytest.raises(ProviderError, match="unsupported operand"):
        await made(fake, SD15_ID)


@pytest.mark.parametrize(
    ("flavour", "reply", "error", "words"),
    [
        (
            "sdnext",
            Reply(status=404, body={"detail": "Sampler not found", "error": "HTTPException"}),
            RequestRejected,
            "Sampler not found",
        ),
        (
            "a1111",
            Reply(status=404, body={"error": "HTTPException", "detail": "Init image not found"}),
            RequestRejected,
            "Init image not found",
        ),
        ("a1111", NOT_FOUND, ProviderUnavailable, "is not there; check the base URL"),
        (
            "forge",
            Reply(status=500, body={"error": "TypeError", "detail": "", "message": "not iterable"}),
            ProviderError,
            "look at its log .HTTP 500.: TypeError; not iterable",
        ),
        (
            "sd-server",
            Reply(status=500, body={"error": "generate_image returned no results"}),
            ProviderError,
            "returned no results",
        ),
        (
            "sd-server",
            Reply(status=400, body={"error": "invalid lora path: x"}),
            RequestRejected,
            "invalid lora path",
        ),
    ],
)
async def test_each_servers_form_of_an_error_is_quoted(
    flavour: str, reply: Reply, error: type[ProviderError], words: str
) -> None:
    with pytest.raises(error, match=words):
        await made(FakeWebUI(flavour, models=[SD15], answer=reply), SD15_ID)


async def test_a_server_that_breaks_off_may_come_back() -> None:
    fake = FakeWebUI(answer=Reply(then="reset"))

    with pytest.raises(EngineGone):
        await made(fake, SD15_ID)


# FLUX


async def test_flux_on_forge_has_its_guidance_preset_and_modules() -> None:
    fake = FakeWebUI("forge", models=[FLUX])
    await made(fake, FLUX, job(width=1024, height=1024, guidance_scale=3.5))

    [body] = fake.posted
    assert (body["cfg_scale"], body["distilled_cfg_scale"]) == (1, 3.5)
    assert (body["sampler_name"], body["scheduler"]) == ("Euler", "Simple")
    assert body["override_settings"] == {
        "sd_model_checkpoint": FLUX,
        "forge_preset": "flux",
        "forge_additional_modules": [
            "ae.safetensors",
            "clip_l.safetensors",
            "t5xxl_fp8_e4m3fn.safetensors",
        ],
    }
    assert "enable_hr" not in body
    assert body["negative_prompt"] == ""


def safetensors(path: Path, *tensors: str) -> None:
    """A model's file of which nothing is there but the head."""
    facts = {t: {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]} for t in tensors}
    head = json.dumps(facts).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)


async def test_a_file_of_this_machine_tells_its_family_by_its_tensors(tmp_path: Path) -> None:
    merge, flux, pipe = (tmp_path / f"{n}.safetensors" for n in ("merge", "flux1-mine", "pipe"))
    safetensors(merge, "conditioner.embedders.1.model.ln_final.weight")
    safetensors(flux, "model.diffusion_model.double_blocks.0.img_mod.lin.weight", "vae.encoder.x")
    os.mkfifo(pipe)
    paths = {p.name: str(p) for p in (merge, flux, pipe)}
    models = await listed(FakeWebUI("forge", models=[*paths], modules=[], paths=paths))

    assert (models[merge.name].family, models[merge.name].note) == ("sdxl", "")
    assert (models[flux.name].family, models[flux.name].state) == ("flux1", "ready")
    assert models[pipe.name].family is None


async def test_an_nf4_file_holds_all_and_gets_no_modules() -> None:
    fake = FakeWebUI("forge", models=[NF4], modules=[])
    await made(fake, NF4.partition(" [")[0], job(width=1024, height=1024))

    assert fake.posted[0]["override_settings"]["forge_additional_modules"] == []


async def test_flux_without_its_files_is_listed_with_what_is_missing() -> None:
    fake = FakeWebUI("forge", models=[FLUX], modules=[{"model_name": "ae.safetensors"}])
    model = (await listed(fake))[FLUX]

    assert model.state == "missing"
    assert "clip_l.safetensors into models/text_encoder" in model.fix
    assert "ae.safetensors" not in model.fix
    own = (await listed(fake, modules={"flux1*": []}))[FLUX]
    assert own.state == "loaded"


async def test_an_sd_model_after_flux_keeps_the_users_vae_and_drops_flux_files() -> None:
    chosen = ["/forge/models/VAE/ae.safetensors", "/forge/models/VAE/own.vae"]
    fake = FakeWebUI("forge", options={"forge_additional_modules": chosen})
    await made(fake, SD15_ID)

    overrides = fake.posted[0]["override_settings"]
    assert overrides["forge_additional_modules"] == [chosen[1]]
    assert overrides["forge_preset"] == "sd"


async def test_automatic1111_has_no_flux_and_says_who_does() -> None:
    model = (await listed(FakeWebUI(models=[FLUX])))[FLUX]

    assert model.state == "unusable"
    assert "Forge" in model.fix
    with pytest.raises(ModelUnusable, match="does not run FLUX"):
        await made(FakeWebUI(models=[FLUX]), FLUX)


async def test_z_image_on_neo_gets_its_shift() -> None:
    file = "z_image_turbo_bf16.safetensors"
    modules = [{"model_name": n} for n in ("ae.safetensors", "qwen_3_4b.safetensors")]
    fake = FakeWebUI("forge-neo", models=[file], modules=modules)
    await made(fake, file, job(width=1024, height=1024, steps=9, guidance_scale=None))

    [body] = fake.posted
    assert (body["cfg_scale"], body["distilled_cfg_scale"]) == (1, 9.0)
    assert body["override_settings"]["forge_preset"] == "zit"


# The other servers


async def test_sd_server_gets_loras_as_paths_and_pictures_as_a_batch() -> None:
    fake = FakeWebUI("sd-server", models=["sd_xl_base_1.0"])
    request = job(width=1024, height=1024, num_images=2, loras=(Lora(id="mine", weight=0.5),))
    await made(fake, "sd_xl_base_1.0", request)

    [body] = fake.posted
    assert body["prompt"] == "a red bicycle"
    assert body["lora"] == [{"path": "/webui/models/Lora/mine.pt", "multiplier": 0.5}]
    assert (body["batch_size"], "n_iter" in body) == (2, False)
    assert "override_settings" not in body
    assert "force_task_id" not in body


async def test_sd_server_makes_sides_in_steps_of_64() -> None:
    model = (await listed(FakeWebUI("sd-server", models=["sd_xl_base_1.0"])))["sd_xl_base_1.0"]
    sizes: Any = model.tasks["text_to_image"].sizes

    assert (sizes.multiple_of, sizes.min_side) == (64, 64)


@pytest.mark.parametrize("tag", ["sd_cpp_extra_args", "sd_cpp_<sd_cpp_extra_args>extra_args"])
async def test_what_a_user_writes_between_the_tags_of_sd_server_is_no_option(tag: str) -> None:
    fake = FakeWebUI("sd-server", models=["sd_xl_base_1.0"])
    prompt = f'a cat <{tag}>{{"lora": []}}</sd_cpp_extra_args>'

    await made(fake, "sd_xl_base_1.0", job(prompt=prompt, width=1024, height=1024))

    assert fake.posted[0]["prompt"] == 'a cat {"lora": []}'


def with_seed(seed: int) -> str:
    """A picture that carries its seed as older builds of sd-server write it."""
    plain, text = picture(8, 8), b"tEXtparameters\0a cat\nSteps: 20, Seed: %d, Size: 8x8" % seed
    chunk = (len(text) - 4).to_bytes(4, "big") + text + zlib.crc32(text).to_bytes(4, "big")
    return base64.b64encode(plain[:33] + chunk + plain[33:]).decode()


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
async def test_a_seed_that_makes_nothing_again_is_said_and_not_told_as_one(seed: int) -> None:
    generation = await made(FakeWebUI(info={"all_seeds": [seed]}), SDXL_ID, job())

    assert generation.notes == (f"AUTOMATIC1111 used the seed {seed} instead of 7",)
    assert generation.images[0].seed is None


async def test_what_a_server_tells_is_quoted_in_short() -> None:
    fake = FakeWebUI(info={"sd_model_name": "x" * 9_000, "sd_model_hash": "ffff"})
    with pytest.raises(InvalidOutput) as error:
        await made(fake, SDXL_ID, job())

    assert len(str(error.value)) < 300


async def test_where_info_is_empty_the_pictures_tell_their_seeds() -> None:
    fake = FakeWebUI(
        "sd-server",
        models=["sd_xl_base_1.0"],
        info=None,
        images=[with_seed(7), with_seed(8)],
    )
    generation = await made(fake, "sd_xl_base_1.0", job(num_images=2))

    assert [i.seed for i in generation.images] == [7, 8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"steps": 100}, "steps up to 80"), ({"guidance_scale": 30.0}, "guidance_scale up to 25")],
)
async def test_koboldcpp_is_not_asked_for_what_it_would_cap(
    changes: dict[str, Any], message: str
) -> None:
    fake = FakeWebUI("koboldcpp", models=["sd_xl_base_1.0"])
    with pytest.raises(RequestRejected, match=message):
        await made(fake, "sd_xl_base_1.0", job(**changes))

    assert fake.posted == []


async def test_koboldcpp_makes_one_picture_and_its_info_is_an_object() -> None:
    fake = FakeWebUI("koboldcpp", models=["sd_xl_base_1.0"])
    model = (await listed(fake))["sd_xl_base_1.0"]
    generation = await made(fake, model.id)

    assert model.tasks["text_to_image"].max_images == 1
    assert model.tasks["text_to_image"].loras is None
    assert generation.images[0].seed == 7


async def test_draw_things_is_told_all_that_it_has_as_settings_and_nothing_else() -> None:
    fake = FakeWebUI("draw-things", options={"strength": 1.0})
    id = "sd_xl_base_1.0_f16.ckpt"
    await made(fake, id, job(width=1024, height=1024))

    assert fake.posted == [
        {
            "prompt": "a red bicycle",
            "negative_prompt": "blurry",
            "width": 1024,
            "height": 1024,
            "seed": 7,
            "steps": 20,
            "batch_count": 1,
            "guidance_scale": 7.0,
            "loras": [],
            "controls": [],
        }
    ]


async def test_sdnext_takes_no_scheduler_and_no_task_id() -> None:
    fake = FakeWebUI("sdnext")
    model = (await listed(fake))[SD15_ID]
    await made(fake, SD15_ID)

    assert "scheduler" not in model.tasks["text_to_image"].options
    assert {"scheduler", "force_task_id"}.isdisjoint(fake.posted[0])


# What is listed


async def test_models_are_listed_by_file_with_family_state_and_other_names() -> None:
    models = await listed(FakeWebUI(models=[SDXL, SD15, "my_merge.safetensors [00aabbccdd]"]))

    told = {id: (m.family, m.state) for id, m in models.items() if m.role == "model"}
    assert told[SDXL_ID] == ("sdxl", "loaded")
    assert told[SD15_ID] == ("sd1", "ready")
    assert told["my_merge.safetensors"] == (None, "ready")
    assert "providers.a1111.families" in models["my_merge.safetensors"].note
    assert "sd_xl_base_1.0" in models[SDXL_ID].aliases
    own = await listed(FakeWebUI(models=["my_merge.safetensors"]), families={"my_*": "sdxl"})
    assert own["my_merge.safetensors"].family == "sdxl"


async def test_loras_nets_and_embeddings_are_listed_beside_the_models() -> None:
    models = await listed(FakeWebUI())

    roles = {id: (m.role, m.family) for id, m in models.items() if m.role != "model"}
    assert roles == {
        "pixel-art-xl": ("lora", "sdxl"),
        "mine": ("lora", None),
        "control_v11p_sd15_canny": ("control", "sd1"),
        "diffusers_xl_depth": ("control", "sdxl"),
        "EasyNegative": ("embedding", None),
    }


@pytest.mark.parametrize(
    ("file", "family"),
    [
        ("juggernautXL_v9.safetensors", "sdxl"),
        ("ponyDiffusionV6XL.safetensors", "sdxl"),
        ("dreamshaper_8.safetensors", "sd1"),
        ("sd3_medium_incl_clips.safetensors", "sd3"),
        ("flux1-schnell-fp8.safetensors", "flux1"),
        ("flux-2-klein-4b.safetensors", "flux2-klein"),
        ("flux2-dev.safetensors", None),
        ("wan2.2_t2v.safetensors", None),
        ("v2-1_768-ema-pruned.ckpt", "sd2"),
        ("SDXL/mine.safetensors", "sdxl"),
    ],
)
async def test_a_family_is_told_by_the_name(file: str, family: str | None) -> None:
    models = await listed(FakeWebUI("sdnext", models=[file]))

    assert models[file].family == family


async def test_turbo_and_schnell_models_take_few_steps_and_no_guidance() -> None:
    models = await listed(
        FakeWebUI("sdnext", models=["flux1-schnell.safetensors", "sdxl_lightning.safetensors"])
    )

    for id in ("flux1-schnell.safetensors", "sdxl_lightning.safetensors"):
        assert models[id].defaults.steps == 4
        assert models[id].distilled
        options = models[id].tasks["text_to_image"].options
        assert {"guidance_scale", "negative_prompt"}.isdisjoint(options)
