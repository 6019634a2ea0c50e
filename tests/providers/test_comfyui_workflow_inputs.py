"""Where a workflow takes what is found as its author meant it, and filled in without harm."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_providers.comfyui.workflow.checks import (
    Choice,
    missing_nodes,
    model_files,
    needed_files_missing,
    output_nodes,
    paid_nodes,
)
from ziggie_image_providers.comfyui.workflow.file import ApiGraph, WorkflowUnreadable
from ziggie_image_providers.comfyui.workflow.fill import defaults, fill
from ziggie_image_providers.comfyui.workflow.inputs import Inputs, Role, find_inputs
from ziggie_image_providers.comfyui.workflow.trace import Port


def node(kind: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"_meta": {"title": title}} if title else {}
    return {"class_type": kind, "inputs": inputs, **meta}


SD: ApiGraph = {
    "3": node(
        "KSampler",
        seed=5,
        steps=20,
        cfg=7.5,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
        model=["4", 0],
        positive=["6", 0],
        negative=["7", 0],
        latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "6": node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="a cat", clip=["4", 1]),
    "7": node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="ugly", clip=["4", 1]),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", images=["8", 0], filename_prefix="ComfyUI"),
}
SD_PORTS: dict[Role, tuple[Port, ...]] = {
    "prompt": (("6", "text"),),
    "negative_prompt": (("7", "text"),),
    "guidance_scale": (("3", "cfg"),),
    "seed": (("3", "seed"),),
    "steps": (("3", "steps"),),
    "scheduler": (("3", "scheduler"),),
    "sampler": (("3", "sampler_name"),),
    "width": (("5", "width"),),
    "height": (("5", "height"),),
    "batch": (("5", "batch_size"),),
}


def with_nodes(graph: ApiGraph, inputs: dict[str, dict[str, Any]], **nodes: Any) -> ApiGraph:
    """A graph with more nodes, and other inputs of some."""
    changed = {**copy.deepcopy(graph), **nodes}
    for id, more in inputs.items():
        changed[id]["inputs"] |= more
    return changed


def test_a_plain_workflow_needs_no_word_of_its_author() -> None:
    assert find_inputs(SD, {}) == Inputs(ports=SD_PORTS)


FLUX: ApiGraph = {
    "1": node("UNETLoader", unet_name="flux1-dev.safetensors"),
    "2": node("DualCLIPLoader", clip_name1="clip_l.safetensors", clip_name2="t5.safetensors"),
    "3": node("CLIPTextEncode", text=["20", 0], clip=["2", 0]),
    "4": node("FluxGuidance", guidance=3.5, conditioning=["3", 0]),
    "5": node("BasicGuider", model=["1", 0], conditioning=["4", 0]),
    "6": node("RandomNoise", noise_seed=9),
    "7": node("KSamplerSelect", sampler_name="euler"),
    "8": node("BasicScheduler", scheduler="simple", steps=25, denoise=1, model=["1", 0]),
    "9": node("EmptySD3LatentImage", width=["21", 0], height=["22", 0], batch_size=1),
    "10": node(
        "SamplerCustomAdvanced",
        noise=["6", 0],
        guider=["5", 0],
        sampler=["7", 0],
        sigmas=["8", 0],
        latent_image=["9", 0],
    ),
    "20": node("PrimitiveStringMultiline", value="a dog"),
    "21": node("PrimitiveInt", value=1024),
    "22": node("ResolutionSelector", aspect_ratio="1:1", megapixels=1.0, multiple=8),
}


def test_a_workflow_of_separate_sampler_nodes_is_traced_through_all_of_them() -> None:
    inputs = find_inputs(FLUX, {})

    assert inputs.ports == {
        "prompt": (("20", "value"),),
        "guidance_scale": (("4", "guidance"),),
        "seed": (("6", "noise_seed"),),
        "steps": (("8", "steps"),),
        "scheduler": (("8", "scheduler"),),
        "sampler": (("7", "sampler_name"),),
        "width": (("21", "value"),),
        "height": (("9", "height"),),
        "batch": (("9", "batch_size"),),
    }


def test_a_side_that_nodes_compute_is_set_wherever_it_goes() -> None:
    graph = with_nodes(
        FLUX, {"9": {"height": ["22", 1]}}, up=node("Flux2Scheduler", height=["22", 1], width=1)
    )

    assert find_inputs(graph, {}).ports["height"] == (("9", "height"), ("up", "height"))


def switched(state: bool) -> ApiGraph:
    return with_nodes(
        SD,
        {"6": {"text": ["s", 0]}},
        s=node("ComfySwitchNode", switch=["b", 0], on_false=["p", 0], on_true=["q", 0]),
        b=node("PrimitiveBoolean", value=state),
        p=node("PrimitiveString", value="a cat"),
        q=node("TextGenerate", prompt=["c", 0], max_length=10),
        c=node("StringConcatenate", string_a=["r", 0], string_b=["u", 0], delimiter=""),
        r=node("PrimitiveString", value="You improve prompts."),
        u=node("PrimitiveString", value="a cat"),
    )


@pytest.mark.parametrize(
    ("graph", "role", "ports"),
    [
        (switched(False), "prompt", [("p", "value")]),
        (switched(True), "prompt", [("u", "value")]),
        (
            with_nodes(
                SD,
                {"3": {"positive": ["c", 0], "negative": ["c", 1]}},
                c=node(
                    "ControlNetApplyAdvanced",
                    strength=1.0,
                    positive=["6", 0],
                    negative=["7", 0],
                    image=["l", 0],
                ),
                l=node("LoadImage", image="pose.png"),
            ),
            "negative_prompt",
            [("7", "text")],
        ),
        (
            with_nodes(
                SD,
                {"3": {"positive": ["c", 0]}},
                c=node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["d", 0]),
                d=node("CLIPTextEncodeFlux", clip_l="short", t5xxl="long", guidance=3.5),
            ),
            "prompt",
            [("6", "text"), ("d", "clip_l"), ("d", "t5xxl")],
        ),
        (
            with_nodes(
                SD,
                {"3": {"negative": ["z", 0]}},
                z=node("ConditioningZeroOut", conditioning=["6", 0]),
            ),
            "negative_prompt",
            [],
        ),
        (
            with_nodes(
                SD,
                {"3": {"positive": ["z", 0]}},
                z=node("ConditioningZeroOut", conditioning=["6", 0]),
            ),
            "prompt",
            [],
        ),
        (with_nodes(SD, {"3": {"negative": ["6", 0]}}), "negative_prompt", []),
        (
            with_nodes(SD, {"5": {"width": ["m", 0]}}, m=node("Math", value=2, a=5, b=["m2", 0])),
            "width",
            [("5", "width")],
        ),
        (
            with_nodes(
                FLUX,
                {"9": {"width": 640}, "8": {"width": 640, "height": 9}},
            ),
            "width",
            [("9", "width"), ("8", "width")],
        ),
        (
            with_nodes(
                SD,
                {"3": {"positive": ["e", 1], "negative": ["e", 2]}},
                e=node("Efficient Loader", positive="a cat", negative="ugly"),
            ),
            "negative_prompt",
            [("e", "negative")],
        ),
        (
            with_nodes(SD, {"3": {"seed": ["n", 0]}}, n=node("Seed (rgthree)", seed=3)),
            "seed",
            [("n", "seed")],
        ),
        (
            with_nodes(
                SD,
                {"3": {"cfg": 1.0, "positive": ["g", 0]}},
                g=node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
            ),
            "guidance_scale",
            [("g", "guidance")],
        ),
    ],
)
def test_a_conditioning_is_followed_to_where_its_words_stand(
    graph: ApiGraph, role: Any, ports: list[tuple[str, str]]
) -> None:
    assert list(find_inputs(graph, {}).ports.get(role, ())) == ports


def test_a_second_pass_shares_the_seed_and_keeps_steps_of_its_own() -> None:
    second: dict[str, Any] = {
        **SD["3"]["inputs"],
        "steps": 8,
        "denoise": 0.5,
        "latent_image": ["up", 0],
    }
    late_first: ApiGraph = {"30": node("KSampler", **second), **SD}
    graph = with_nodes(
        late_first,
        {"8": {"samples": ["30", 0]}},
        up=node("LatentUpscaleBy", samples=["3", 0], scale_by=2.0),
    )

    ports = find_inputs(graph, {}).ports

    assert ports["seed"] == (("3", "seed"), ("30", "seed"))
    assert ports["steps"] == (("3", "steps"),)
    assert ports["width"] == (("5", "width"),)
    assert "strength" not in ports


def test_a_sampler_without_a_prompt_is_no_sampler_of_the_picture() -> None:
    depth = node("KSampler", seed=1, steps=1, cfg=1.0, positive=["e", 0], latent_image=["5", 0])
    graph = with_nodes(SD, {"6": {"hint": ["d", 0]}}, d=depth, e=node("LotusConditioning"))

    assert find_inputs(graph, {}).ports["steps"] == (("3", "steps"),)


def edit(**more: Any) -> ApiGraph:
    return with_nodes(
        SD,
        {"3": {"latent_image": ["e", 0], "denoise": 0.6}},
        e=node("VAEEncode", pixels=["l", 0], vae=["4", 2]),
        l=node("LoadImage", image="in.png"),
        **more,
    )


def test_a_picture_to_start_from_brings_image_and_strength() -> None:
    ports = find_inputs(edit(r=node("LoadImage", image="ref.png")), {}).ports

    assert ports["image"] == (("l", "image"),)
    assert ports["strength"] == (("3", "denoise"),)
    assert ports["reference"] == (("r", "image"),)
    assert "width" not in ports


@pytest.mark.parametrize(
    ("mask", "port"),
    [
        (["l", 1], ("l", "image")),
        (["m", 0], ("m", "image")),
    ],
    ids=["of the picture", "of its own"],
)
def test_a_mask_is_that_of_the_picture_or_one_of_its_own(
    mask: list[Any], port: tuple[str, str]
) -> None:
    graph = edit(m=node("LoadImageMask", image="mask.png", channel="red"))
    graph["e"] = node("VAEEncodeForInpaint", pixels=["l", 0], mask=mask, grow_mask_by=6)

    ports = find_inputs(graph, {}).ports

    assert ports["image"] == (("l", "image"),)
    assert ports["mask"] == (port,)


def test_a_picture_that_the_user_names_still_lends_its_mask() -> None:
    graph = edit()
    graph["e"] = node("VAEEncodeForInpaint", pixels=["l", 0], mask=["l", 1], grow_mask_by=6)

    ports = find_inputs(graph, {"image": "l.image"}).ports

    assert ports["image"] == ports["mask"] == (("l", "image"),)


def test_the_first_of_several_pictures_is_the_one_to_edit_where_none_is_started_from() -> None:
    graph = with_nodes(
        SD, {}, a=node("LoadImage", image="a.png"), b=node("LoadImage", image="b.png")
    )

    ports = find_inputs(graph, {}).ports

    assert (ports["image"], ports["reference"]) == ((("a", "image"),), (("b", "image"),))


def test_a_workflow_without_a_sampler_is_read_by_the_names_of_its_inputs() -> None:
    graph = {
        "1": node("PartnerImage", prompt="a cat", seed=1, size="auto"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="x"),
    }

    assert find_inputs(graph, {}).ports == {
        "prompt": (("1", "prompt"),),
        "seed": (("1", "seed"),),
    }


@pytest.mark.parametrize(
    ("title", "kind", "inputs", "role", "port"),
    [
        ("INPUT_PROMPT", "PrimitiveString", {"value": "x"}, "prompt", "value"),
        ("Positive Prompt", "CLIPTextEncode", {"text": "x"}, "prompt", "text"),
        ("CLIP Text Encode (Positive Prompt)", "CLIPTextEncode", {"text": ""}, "prompt", "text"),
        ("CLIP Text Encode (Negative Prompt)", "Encode", {"text": ""}, "negative_prompt", "text"),
        ("ziggie:prompt", "Any", {"string": "x"}, "prompt", "string"),
        (" Negative ", "CLIPTextEncode", {"text": ""}, "negative_prompt", "text"),
        ("Seed", "PrimitiveInt", {"value": 1}, "seed", "value"),
        ("noise-seed", "RandomNoise", {"noise_seed": 1}, "seed", "noise_seed"),
        ("WIDTH", "PrimitiveInt", {"value": 1}, "width", "value"),
        ("batch size", "PrimitiveInt", {"value": 1}, "batch", "value"),
        ("CFG", "PrimitiveFloat", {"value": 1.0}, "guidance_scale", "value"),
        ("Mask", "LoadImage", {"image": "m.png"}, "mask", "image"),
        ("Denoise", "PrimitiveFloat", {"value": 1.0}, "strength", "value"),
    ],
)
def test_a_title_wins_over_tracing(
    title: str, kind: str, inputs: dict[str, Any], role: Any, port: str
) -> None:
    graph = with_nodes(SD, {}, t=node(kind, title, **inputs))

    assert find_inputs(graph, {}).ports[role] == (("t", port),)


@pytest.mark.parametrize(
    ("title", "inputs"),
    [
        ("CLIP Text Encode (Prompt)", {"text": "x"}),
        ("Prompt", {"value": 5}),
        ("Prompt", {"text": ["6", 0]}),
        ("Seed", {"value": True}),
        ("Width", {"other": 5}),
        ("My width", {"width": 5}),
    ],
)
def test_a_title_that_fits_no_input_says_nothing(title: str, inputs: dict[str, Any]) -> None:
    graph = with_nodes(SD, {}, t=node("Any", title, **inputs))

    assert find_inputs(graph, {}).ports == SD_PORTS


def test_of_two_nodes_with_a_title_the_one_in_use_is_meant() -> None:
    graph = with_nodes(
        SD,
        {"3": {"steps": ["s", 0]}},
        s=node("ComfySwitchNode", switch=False, on_false=["a", 0], on_true=["b", 0]),
        b=node("PrimitiveInt", "Steps", value=8),
        a=node("PrimitiveInt", "Steps", value=20),
    )

    assert find_inputs(graph, {}).ports["steps"] == (("a", "value"),)


def test_several_pictures_titled_reference_keep_their_order() -> None:
    graph = edit(
        a=node("LoadImage", "Reference Image 1", image="a.png"),
        b=node("LoadImage", "Reference Image 2", image="b.png"),
    )

    assert find_inputs(graph, {}).ports["reference"] == (("a", "image"), ("b", "image"))


def test_the_users_word_wins_over_all_and_its_inputs_serve_nothing_else() -> None:
    graph = with_nodes(SD, {}, t=node("PrimitiveString", "Prompt", value="x"))

    ports = find_inputs(graph, {"prompt": "7.text", "cfg": ["3.cfg", "3.inputs.denoise"]}).ports

    assert ports["prompt"] == (("7", "text"),)
    assert ports["guidance_scale"] == (("3", "cfg"), ("3", "denoise"))
    assert "negative_prompt" not in ports
    assert ports["seed"] == (("3", "seed"),)


def test_an_input_at_its_default_can_be_named_where_the_server_knows_it() -> None:
    info: dict[str, Any] = {"EmptyLatentImage": {"input": {"optional": {"tile": ["INT", {}]}}}}
    graph = with_nodes(SD, {}, **{"57:27": node("SaveAs", **{"format.depth": "8"})})

    ports = find_inputs(graph, {"width": "5.tile", "steps": "57:27.format.depth"}, info).ports

    assert ports["width"] == (("5", "tile"),)
    assert ports["steps"] == (("57:27", "format.depth"),)


@pytest.mark.parametrize(
    ("explicit", "words"),
    [
        ({"promt": "6.text"}, "takes no 'promt'; it may take prompt"),
        ({"prompt": "66.text"}, "has no node '66'; it has 6"),
        ({"prompt": "text"}, "has no node 'text'; it has 3, 4, 5"),
        ({"prompt": "6.txet"}, r"node 6 \(CLIPTextEncode\) has no input 'txet'; it has text"),
        ({"seed": ["3.seed", "3"]}, "has no input ''"),
    ],
)
def test_a_word_that_names_nothing_is_answered_with_the_nearest(explicit: Any, words: str) -> None:
    with pytest.raises(WorkflowUnreadable, match=words):
        find_inputs(SD, explicit)


def test_filling_changes_a_copy_and_keeps_what_is_a_whole_number() -> None:
    before = copy.deepcopy(SD)
    inputs = find_inputs(SD, {})

    filled = fill(
        SD,
        inputs,
        {"prompt": "a fox", "seed": 8, "guidance_scale": 4, "width": 640.0, "mask": "m.png"},
        prefix="job-1",
    )

    assert before == SD
    assert filled["6"]["inputs"]["text"] == "a fox"
    assert filled["3"]["inputs"]["seed"] == 8
    assert repr(filled["3"]["inputs"]["cfg"]) == "4.0"
    assert repr(filled["5"]["inputs"]["width"]) == "640"
    assert filled["5"]["inputs"]["height"] == 768
    assert filled["9"]["inputs"] == {"images": ["8", 0], "filename_prefix": "job-1"}


def test_several_values_are_dealt_out_and_one_goes_everywhere() -> None:
    graph = {c: node("LoadImage", image=f"{c}.png") for c in "abc"}
    inputs = Inputs(ports={"reference": (("a", "image"), ("b", "image"), ("c", "image"))})

    dealt = fill(graph, inputs, {"reference": ("1.png", "2.png")})
    same = fill(graph, inputs, {"reference": "1.png"})

    assert [n["inputs"]["image"] for n in dealt.values()] == ["1.png", "2.png", "c.png"]
    assert {n["inputs"]["image"] for n in same.values()} == {"1.png"}


def test_a_link_gives_way_to_a_value() -> None:
    filled = fill(FLUX, find_inputs(FLUX, {}), {"height": 512})

    assert filled["9"]["inputs"]["height"] == 512


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PARAM_PROMPT", "a fox"),
        ("${prompt}", "a fox"),
        ("${prompt}, oil on canvas", "a fox, oil on canvas"),
        ("PARAM_PROMPT, PARAM_INT_STEPS", "a fox, 12"),
        ("PARAM_INT_STEPS", 12),
        ("${steps:30}", 12),
        ("${seed:0}", 0),
        ("${cfg:7.5}", 7.5),
        ("${sampler:euler}", "euler"),
        ("${cfg:nan}", "nan"),
        ("${seed}", "${seed}"),
        ("${colour:red} $prompt {x}", "${colour:red} $prompt {x}"),
        ("PARAM_OTHER", "PARAM_OTHER"),
    ],
)
def test_tokens_in_texts_are_places_for_values(text: str, value: object) -> None:
    graph = with_nodes(SD, {"6": {"text": text}})

    filled = fill(graph, Inputs(), {"prompt": "a fox", "steps": 12})

    assert filled["6"]["inputs"]["text"] == value


def test_a_prompt_of_digits_stays_a_text() -> None:
    graph = with_nodes(SD, {"6": {"text": "${prompt}"}})

    assert fill(graph, Inputs(), {"prompt": "1984"})["6"]["inputs"]["text"] == "1984"


def test_a_token_is_a_place_that_tracing_leaves_alone() -> None:
    graph = with_nodes(SD, {"6": {"text": "${prompt}, oil"}, "3": {"seed": "PARAM_INT_SEED"}})

    inputs = find_inputs(graph, {})

    assert inputs.tokens == {"prompt", "seed"}
    assert not {"prompt", "seed"} & set(inputs.ports)
    assert "prompt" in inputs
    assert "mask" not in inputs


def test_what_a_user_writes_is_never_read_as_a_token() -> None:
    graph = with_nodes(SD, {"6": {"text": "${prompt}!"}})

    filled = fill(graph, find_inputs(graph, {}), {"prompt": "${seed} PARAM_SEED", "seed": 4})

    assert filled["6"]["inputs"]["text"] == "${seed} PARAM_SEED!"


def test_what_stands_in_a_workflow_is_its_default() -> None:
    values = defaults(FLUX, find_inputs(FLUX, {}))

    assert values == {
        "prompt": "a dog",
        "guidance_scale": 3.5,
        "seed": 9,
        "steps": 25,
        "scheduler": "simple",
        "sampler": "euler",
        "width": 1024,
        "batch": 1,
    }  # its height is computed


INFO: dict[str, Any] = {
    "KSampler": {
        "input": {"required": {"sampler_name": [["lcm"]], "scheduler": [["normal"]]}},
    },
    "CheckpointLoaderSimple": {
        "input": {"required": {"ckpt_name": ["COMBO", {"options": ["other.safetensors"]}]}}
    },
    "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}},
    "Remote": {"input": {"required": {"voice": ["COMBO", {"options": [], "remote": {"r": 1}}]}}},
    "SaveImage": {"output_node": True},
    "PartnerImage": {"api_node": True},
    "OldPartner": {"python_module": "comfy_api_nodes.nodes_old"},
}


def test_what_a_workflow_needs_of_a_server_is_told() -> None:
    graph = edit(p=node("PartnerImage"), q=node("PartnerImage"), o=node("OldPartner"))

    assert output_nodes(graph, INFO) == ("9",)
    assert paid_nodes(graph, INFO) == ("OldPartner", "PartnerImage")
    assert missing_nodes(graph, INFO) == (
        "CLIPTextEncode",
        "EmptyLatentImage",
        "VAEDecode",
        "VAEEncode",
    )
    assert model_files(graph) == (Choice(node="4", input="ckpt_name", value="sd15.safetensors"),)
    assert needed_files_missing(graph, INFO) == (
        Choice(node="3", input="sampler_name", value="euler"),
        Choice(node="4", input="ckpt_name", value="sd15.safetensors"),
    )


def test_a_server_that_has_all_misses_nothing() -> None:
    graph = {"1": node("KSampler", sampler_name="lcm"), "2": node("LoadImage", image="mine.png")}
    graph["3"] = node("Remote", voice="listed elsewhere")

    assert needed_files_missing(graph, INFO) == ()
    assert missing_nodes(graph, INFO) == ()
    assert paid_nodes(graph, INFO) == ()


IDS = st.sampled_from(["1", "2", "3", "4", "5"])
NAMES = st.sampled_from(
    [
        *("positive", "negative", "guider", "conditioning", "latent_image", "samples", "pixels"),
        *("mask", "image", "text", "prompt", "value", "seed", "noise", "sigmas", "steps", "cfg"),
        *("width", "height", "switch", "on_true", "on_false", "string_a", "replace"),
    ]
)
LINKS = st.tuples(IDS, st.integers(0, 1)).map(list)
VALUES = LINKS | st.integers() | st.text(max_size=5) | st.booleans()
NODES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from(["KSampler", "LoadImage", "ConditioningZeroOut", "X"]),
        "inputs": st.dictionaries(NAMES, VALUES, max_size=8),
    }
)


@given(st.fixed_dictionaries(dict.fromkeys("12345", NODES)))
def test_any_tangle_of_nodes_is_traced_to_an_end(graph: ApiGraph) -> None:
    inputs = find_inputs(graph, {})

    filled = fill(graph, inputs, dict.fromkeys(inputs.ports, 1))

    claims = [port for role, ports in inputs.ports.items() if role != "mask" for port in ports]
    assert len(set(claims)) == len(claims)
    assert all(name in graph[id]["inputs"] for id, name in claims)
    assert filled.keys() == graph.keys()
