"""What is asked of SwarmUI, task by task, and what becomes of its answers."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.fake_swarmui import (
    FLUX,
    MINE,
    REMOTE,
    SD15,
    SDXL,
    VENDORS,
    WAN,
    FakeSwarm,
)
from ziggie_image_mcp.provider import (
    FREE,
    Control,
    Generation,
    InvalidOutput,
    Lora,
    Model,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
    OutOfMemory,
    PriceBook,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.swarmui import SwarmUI
from ziggie_image_providers.swarmui.settings import Settings

Changes = Mapping[str, Any]
PRICES = {"api models/*": {"priceUsd": 0.04}}


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)
PNG = picture(512, 512)
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def provider(url: str, **settings: Any) -> SwarmUI:
    given = Settings.model_validate({"baseUrl": url, **settings})
    return SwarmUI("swarmui", given, ProviderContext(data_dir=Path("unused")))


def job(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {"prompt": "a red bicycle", "width": 512, "height": 512, "seed": 7}
    return ProviderRequest(**{**values, **changes})


async def listed(script: Callable[[Seen], Reply], **settings: Any) -> dict[str, Model]:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url, **settings)
        models = await tested.list_models()
        await tested.aclose()
    return {model.id: model for model in models}


async def made(
    fake: FakeSwarm, model: str, request: ProviderRequest, run: Run = RUN, **settings: Any
) -> Generation:
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url, **settings)
        try:
            found = next(m for m in await tested.list_models() if m.id == model)
            submission = await tested.submit(request, found, run)
        finally:
            await tested.aclose()
    assert isinstance(submission, Generation)
    return submission


async def error_of(
    fake: FakeSwarm, model: str, request: ProviderRequest, **settings: Any
) -> ProviderError:
    with pytest.raises(ProviderError) as error:
        await made(fake, model, request, **settings)
    return error.value


# What goes out


async def test_a_picture_from_a_prompt_has_all_its_values_in_one_message() -> None:
    fake = FakeSwarm()
    request = job(
        negative_prompt="blurry",
        num_images=2,
        steps=12,
        guidance_scale=5.0,
        sampler="DPM++ 2M Karras",
        seamless=True,
    )
    generation = await made(fake, SDXL, request)

    [body] = fake.posted
    assert body == {
        "session_id": "SESSION1",
        "images": 2,
        "model": SDXL,
        "prompt": "a red bicycle",
        "negativeprompt": "blurry",
        "width": 512,
        "height": 512,
        "steps": 12,
        "cfgscale": 5.0,
        "seed": 7,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "seamlesstileable": "true",
        "donotsave": True,
        "nopreviews": True,
    }
    assert [image.seed for image in generation.images] == [7, 8]
    assert generation.notes == ()


async def test_a_change_of_a_picture_has_it_and_its_strength() -> None:
    fake = FakeSwarm()
    request = job(task="image_to_image", image_id="i", image=PNG, strength=0.4, steps=20)
    await made(fake, SD15, request)

    [body] = fake.posted
    assert body == {
        "session_id": "SESSION1",
        "images": 1,
        "model": SD15,
        "prompt": "a red bicycle",
        "width": 512,
        "height": 512,
        "steps": 20,
        "cfgscale": 7.0,
        "seed": 7,
        "initimage": DATA_URL,
        "initimagecreativity": 0.4,
        "donotsave": True,
        "nopreviews": True,
    }


async def test_under_a_mask_white_is_painted_anew() -> None:
    fake = FakeSwarm()
    mask = left_half(512, 512)
    request = job(task="inpaint", image_id="i", image=PNG, mask_id="m", mask=mask, steps=20)
    await made(fake, SD15, request)

    [body] = fake.posted
    sent = base64.b64decode(body.pop("maskimage").partition(",")[2])
    with Image.open(io.BytesIO(sent)) as image:
        assert (image.getpixel((0, 0)), image.getpixel((511, 0))) == (255, 0)
    assert body["initimage"] == DATA_URL
    assert body["initimagecreativity"] == 1.0
    assert set(body) == {
        *("session_id", "images", "model", "prompt", "width", "height", "steps", "cfgscale"),
        *("seed", "initimage", "initimagecreativity", "donotsave", "nopreviews"),
    }


async def test_flux_has_its_guidance_beside_a_cfg_of_one_and_no_negative_prompt() -> None:
    fake = FakeSwarm()
    models = await listed(fake)
    await made(fake, FLUX, job(negative_prompt="blurry", guidance_scale=3.0, steps=20))

    [body] = fake.posted
    assert (body["cfgscale"], body["fluxguidancescale"]) == (1, 3.0)
    assert "negativeprompt" not in body
    assert "negative_prompt" not in models[FLUX].tasks["text_to_image"].options
    assert models[FLUX].family == "flux1"


async def test_loras_and_their_weights_are_two_lists_of_swarmuis_own_names() -> None:
    fake = FakeSwarm()
    await made(fake, SDXL, job(loras=(Lora(id="pixel-art-xl", weight=0.8), Lora(id="mine"))))

    [body] = fake.posted
    assert body["loras"] == ["styles/pixel-art-xl", "mine"]
    assert body["loraweights"] == ["0.8", "1"]


async def test_embeddings_go_out_as_swarmui_reads_them() -> None:
    fake = FakeSwarm()
    words = "embedding:easynegative, embedding:easynegative2"
    with pytest.raises(ModelMissing, match="easynegative2"):
        await made(fake, SD15, job(negative_prompt=words))
    await made(fake, SD15, job(negative_prompt="embedding:easynegative, blurry"))

    assert fake.posted[0]["negativeprompt"] == "<embed:EasyNegative>, blurry"


async def test_control_pictures_go_out_with_the_net_of_the_family_and_who_makes_the_map() -> None:
    fake = FakeSwarm()
    lines = Control(kind="canny", image_id="c", weight=0.7, image=PNG)
    depth = Control(kind="depth", image_id="c", image=PNG, compute=True)
    await made(fake, SD15, job(control=(lines,)))
    await made(fake, SDXL, job(control=(depth, depth)))

    first, second = fake.posted
    assert {k: v for k, v in first.items() if k.startswith("controlnet")} == {
        "controlnetimageinput": DATA_URL,
        "controlnetmodel": "control_v11p_sd15_canny.safetensors",
        "controlnetpreprocessor": "None",
        "controlnetstrength": 0.7,
    }
    assert {k: v for k, v in second.items() if k.startswith("controlnet")} == {
        "controlnetimageinput": DATA_URL,
        "controlnetmodel": "xl_depth.safetensors",
        "controlnetpreprocessor": "MiDaS-DepthMapPreprocessor",
        "controlnetstrength": 1.0,
        "controlnettwoimageinput": DATA_URL,
        "controlnettwomodel": "xl_depth.safetensors",
        "controlnettwopreprocessor": "MiDaS-DepthMapPreprocessor",
        "controlnettwostrength": 1.0,
    }


async def test_a_vae_of_the_users_goes_out_and_one_that_is_not_there_is_refused() -> None:
    fake = FakeSwarm()
    await made(fake, SDXL, job(), vaes={"sd_xl*": "sdxl_vae"})
    error = await error_of(fake, SDXL, job(), vaes={"sd_xl*": "sdxl_vea"})

    assert fake.posted[0]["vae"] == "sdxl_vae.safetensors"
    assert isinstance(error, ModelMissing)
    assert "nearest: sdxl_vae" in str(error)


# What is refused before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": "eulr"}, "no sampler 'eulr'; nearest: euler"),
        ({"scheduler": "karas"}, "no scheduler 'karas'; nearest: karras"),
    ],
)
async def test_a_name_that_swarmui_would_read_as_another_is_refused(
    changes: Changes, words: str
) -> None:
    fake = FakeSwarm()
    error = await error_of(fake, SDXL, job(**changes))

    assert isinstance(error, RequestRejected)
    assert words in str(error)
    assert fake.posted == []


async def test_a_lora_that_is_not_there_is_refused_with_the_nearest() -> None:
    fake = FakeSwarm()
    error = await error_of(fake, SDXL, job(loras=(Lora(id="pixel-art-sd"),)))

    assert isinstance(error, ModelMissing)
    assert "styles/pixel-art-xl" in str(error)
    assert fake.posted == []


async def test_a_strength_at_which_swarmui_would_change_nothing_is_refused() -> None:
    fake = FakeSwarm()
    request = job(task="image_to_image", image_id="i", image=PNG, strength=0.1, steps=4)
    error = await error_of(fake, SD15, request)

    assert isinstance(error, RequestRejected)
    assert "strength=0.1 of 4 steps is none at all" in str(error)
    assert fake.posted == []


async def test_a_model_that_is_gone_is_refused_with_the_nearest() -> None:
    fake = FakeSwarm()
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        known = next(m for m in await tested.list_models() if m.id == SD15)
        model = replace(known, id="dreamshaper_9.safetensors")
        with pytest.raises(ModelMissing, match=r"nearest: dreamshaper_8"):
            await tested.submit(job(), model, RUN)
        await tested.aclose()

    assert fake.posted == []


# What is listed


async def test_families_sizes_and_defaults_come_from_what_swarmui_tells() -> None:
    models = await listed(FakeSwarm())

    rows = {id: (models[id].family, models[id].defaults.steps) for id in (SD15, SDXL, FLUX)}
    assert rows == {SD15: ("sd1", 20), SDXL: ("sdxl", 25), FLUX: ("flux1", 20)}
    assert models[SDXL].state == "loaded"
    assert models[SDXL].device_memory == 12 * 2**30
    assert models["styles/pixel-art-xl"].role == "lora"
    assert (models["xl_depth"].role, models["xl_depth"].family) == ("control", "sdxl")


async def test_what_makes_videos_is_listed_with_the_reason() -> None:
    models = await listed(FakeSwarm())
    error = await error_of(FakeSwarm(), WAN, job())

    assert (models[WAN].state, models[WAN].fix) == ("unusable", "it makes videos")
    assert isinstance(error, ModelUnusable)


async def test_a_model_of_unknown_family_says_so_and_the_user_may_name_it() -> None:
    plain = await listed(FakeSwarm())
    named = await listed(FakeSwarm(), families={"my_merge*": "sdxl"})

    assert (plain[MINE].family, named[MINE].family) == (None, "sdxl")
    assert 'providers.swarmui.families {"my_merge": "sdxl"}' in plain[MINE].note
    assert named[MINE].note == ""


async def test_what_another_server_makes_is_not_free_though_swarmui_lists_it() -> None:
    models = await listed(FakeSwarm())

    assert models[SDXL].prices is FREE
    for id in (REMOTE, VENDORS):  # the second one is listed as a local file
        assert models[id].where == "vendor"
        assert models[id].prices == PriceBook(rates=(), as_of=None, source="")
        assert "another server or a vendor" in models[id].note


async def test_a_vendors_model_with_a_price_of_the_users_is_asked_for_in_few_words() -> None:
    fake = FakeSwarm()
    models = await listed(FakeSwarm(), models=PRICES)
    generation = await made(fake, VENDORS, job(), models=PRICES)

    assert models[VENDORS].tasks["text_to_image"].options == frozenset()
    assert fake.posted[0] == {
        "session_id": "SESSION1",
        "images": 1,
        "model": VENDORS,
        "prompt": "a red bicycle",
        "width": 512,
        "height": 512,
        "donotsave": True,
        "nopreviews": True,
    }
    assert generation.cost.micro_usd == 40_000
    assert generation.images[0].seed is None


async def test_a_price_of_nothing_is_the_users_own_word() -> None:
    models = await listed(FakeSwarm(), models={"juggernautXL_v9": {"priceUsd": 0}})

    assert is_free(models[REMOTE].prices)
    assert models[REMOTE].where == "vendor"
    assert not is_free(models[VENDORS].prices)


async def test_a_vendors_job_whose_socket_breaks_may_have_been_charged() -> None:
    error = await error_of(
        FakeSwarm(then="cut"), VENDORS, job(), models={"api models/*": {"priceUsd": 0.04}}
    )

    assert isinstance(error, OutcomeUnknown)


async def test_a_backend_without_control_nets_offers_none() -> None:
    models = await listed(FakeSwarm(features=("comfyui", "refiners")))

    assert models[SD15].tasks["text_to_image"].control is None
    assert "seamless" not in models[SD15].tasks["text_to_image"].options


async def test_where_comfyui_is_not_behind_it_no_sampler_is_offered() -> None:
    models = await listed(FakeSwarm(features=("refiners",)))

    assert models[SD15].tasks["text_to_image"].options.isdisjoint({"sampler", "scheduler"})


# What comes back


async def test_another_model_taken_in_silence_is_a_failure() -> None:
    fake = FakeSwarm(used={"model": "OfficialStableDiffusion/sd_xl_base_0.9"})
    error = await error_of(fake, SDXL, job())

    assert isinstance(error, InvalidOutput)
    assert "sd_xl_base_0.9, and not with OfficialStableDiffusion/sd_xl_base_1.0" in str(error)


async def test_other_values_than_asked_are_said() -> None:
    fake = FakeSwarm(used={"steps": 8, "sampler": "euler", "seed": 99})
    generation = await made(fake, SDXL, job(steps=12, sampler="dpmpp_2m"))

    assert generation.notes == (
        "SwarmUI used the sampler euler instead of dpmpp_2m",
        "SwarmUI used steps 8 instead of 12",
        "SwarmUI used the seed 99 instead of 7",
    )
    assert generation.images[0].seed == 99


async def test_what_swarmui_made_no_use_of_is_said() -> None:
    fake = FakeSwarm(unused=["seamlesstileable", "donotsave", {"a": 1}, None])
    generation = await made(fake, SDXL, job(seamless=True))

    assert generation.notes == ("SwarmUI says that it made no use of seamlesstileable",)


async def test_pictures_as_its_documents_describe_them_are_read_too() -> None:
    generation = await made(FakeSwarm(nested=True), SD15, job(num_images=2))

    assert [image.seed for image in generation.images] == [7, 8]


async def test_the_small_pictures_of_all_in_one_are_no_picture_of_the_job() -> None:
    generation = await made(FakeSwarm(), SD15, job(num_images=3))

    assert len(generation.images) == 3


async def test_pictures_that_an_extension_sorts_out_are_left_out_and_said() -> None:
    generation = await made(FakeSwarm(drops=(0,)), SD15, job(num_images=2))
    error = await error_of(FakeSwarm(drops=(0,)), SD15, job())

    assert [image.seed for image in generation.images] == [8]
    assert generation.notes == (
        "SwarmUI made 1 pictures of 2; an extension of it sorted the others out",
    )
    assert isinstance(error, InvalidOutput)


async def test_an_error_after_the_first_picture_keeps_that_picture() -> None:
    fake = FakeSwarm(error="CUDA out of memory. Tried to allocate 3 GiB", before=1)
    generation = await made(fake, SD15, job(num_images=3))

    assert len(generation.images) == 1
    assert "SwarmUI made 1 pictures of 3: SwarmUI ran out of memory" in generation.notes[0]


async def test_an_error_of_the_job_is_read_from_the_socket_and_its_session_interrupted() -> None:
    fake = FakeSwarm(error="torch.OutOfMemoryError: Allocation on device")
    error = await error_of(fake, SD15, job())

    assert isinstance(error, OutOfMemory)


async def test_an_end_without_a_picture_is_a_failure_that_says_where_to_look() -> None:
    fake = FakeSwarm(images=[])
    fake.images = ["", ""]
    empty = await error_of(fake, SD15, job())

    assert isinstance(empty, InvalidOutput)
    assert "no picture in base64" in str(empty)
