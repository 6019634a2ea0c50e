"""A workflow as the editor saves it becomes what the editor itself would send."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_providers.comfyui.workflow.file import WorkflowUnreadable
from ziggie_image_providers.comfyui.workflow.ui_format import to_api

SUB = "5f0c1c9e-0000-4000-8000-000000000001"
OUTER = "5f0c1c9e-0000-4000-8000-000000000002"


def node_class(*, output: bool = False, optional: Any = None, **required: Any) -> dict[str, Any]:
    return {"input": {"required": required, "optional": optional or {}}, "output_node": output}


INFO: dict[str, Any] = {
    "Load": node_class(ckpt_name=[["a.safetensors", "b.safetensors"], {}]),
    "Lora": node_class(model=["MODEL"], clip=["CLIP"], strength=["FLOAT", {"default": 1.0}]),
    "Encode": node_class(text=["STRING", {"multiline": True}], clip=["CLIP"]),
    "Empty": node_class(width=["INT", {}], height=["INT", {}], batch_size=["INT", {"default": 1}]),
    "Sample": node_class(
        model=["MODEL"],
        seed=["INT", {"control_after_generate": True}],
        steps=["INT", {"default": 20}],
        sampler_name=[["euler", "lcm"]],
        positive=["CONDITIONING"],
        latent_image=["LATENT"],
    ),
    "OldSample": node_class(noise_seed=["INT", {}], cfg=["FLOAT", {}]),
    "LoadImage": node_class(image=[["in.png"], {"image_upload": True}], channel=[["r", "a"]]),
    "Save": node_class(output=True, images=["IMAGE"], filename_prefix=["STRING", {"default": "C"}]),
    "SaveAs": node_class(
        output=True,
        images=["IMAGE"],
        format=[
            "COMFY_DYNAMICCOMBO_V3",
            {
                "options": [
                    {
                        "key": "png",
                        "inputs": {"required": {"depth": ["COMBO", {"options": ["8", "16"]}]}},
                    },
                    {"key": "exr", "inputs": {"required": {}}},
                ]
            },
        ],
        filename_prefix=["STRING", {}],
    ),
    "Batch": node_class(images=["COMFY_AUTOGROW_V3", {"template": {"prefix": "image", "min": 1}}]),
    "Int": node_class(value=["INT", {"control_after_generate": "fixed"}]),
    "Show": node_class(output=True, source=["*", {}]),
    "Compare": node_class(output=True, image_a=["IMAGE"], view=["SLIDER", {"socketless": True}]),
    "Floats": node_class(values=["STRING", {}], floats=["FLOAT", {"forceInput": True}]),
}


def node(
    id: int, kind: str, values: Any = None, inputs: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A node whose `inputs` name a link each; a `*` behind the name makes it a field."""
    slots = [
        {
            "name": name.removesuffix("*"),
            "type": more.get("types", {}).get(name, "IMAGE"),
            "link": link,
            **({"widget": {"name": name.removesuffix("*")}} if name.endswith("*") else {}),
        }
        for name, link in (inputs or {}).items()
    ]
    outputs = [{"name": kind, "type": kind} for kind in more.get("outputs", ["IMAGE"])]
    return {
        "id": id,
        "type": kind,
        "mode": more.get("mode", 0),
        "title": more.get("title"),
        "inputs": slots,
        "outputs": outputs,
        "widgets_values": values,
        "properties": more.get("properties", {}),
        "pos": [0, 0],
        "flags": {},
    }


def canvas(nodes: list[dict[str, Any]], links: list[Any], **more: Any) -> dict[str, Any]:
    """A workflow; a link is (id, origin, its slot, target, its slot)."""
    rows: list[Any] = [[*link, "IMAGE"] if isinstance(link, tuple) else link for link in links]
    return {"nodes": nodes, "links": rows, "version": 0.4, **more}


def subgraph(id: str, inputs: list[str], nodes: list[Any], links: list[Any]) -> dict[str, Any]:
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    return {
        "id": id,
        "name": "Part",
        "inputs": [{"id": name, "name": name, "type": "*"} for name in inputs],
        "nodes": nodes,
        "links": [dict(zip(names, link, strict=True)) for link in links],
    }


def inputs_of(ui: dict[str, Any]) -> dict[str, Any]:
    return {id: node["inputs"] for id, node in to_api(ui, INFO).items()}


def test_fields_get_their_names_and_links_their_nodes() -> None:
    ui = canvas(
        [
            node(1, "Empty", [512, 768, 2]),
            node(3, "Sample", [7, "randomize", 20, "lcm"], {"model": 4, "latent_image": 1}),
            node(4, "Load", ["a.safetensors"], title="My model"),
            node(5, "Save", ["pic"], {"images": 2}),
        ],
        [(1, 1, 0, 3, 1), (2, 3, 0, 5, 0), (4, 4, 0, 3, 0)],
    )

    graph = to_api(ui, INFO)

    assert graph == {
        "1": {
            "class_type": "Empty",
            "inputs": {"width": 512, "height": 768, "batch_size": 2},
            "_meta": {"title": "Empty"},
        },
        "3": {
            "class_type": "Sample",
            "inputs": {
                "seed": 7,
                "steps": 20,
                "sampler_name": "lcm",
                "model": ["4", 0],
                "latent_image": ["1", 0],
            },
            "_meta": {"title": "Sample"},
        },
        "4": {
            "class_type": "Load",
            "inputs": {"ckpt_name": "a.safetensors"},
            "_meta": {"title": "My model"},
        },
        "5": {
            "class_type": "Save",
            "inputs": {"filename_prefix": "pic", "images": ["3", 0]},
            "_meta": {"title": "Save"},
        },
    }


@pytest.mark.parametrize(
    ("kind", "values", "fields"),
    [
        ("Sample", [7, "fixed", 20, "lcm"], {"seed": 7, "steps": 20, "sampler_name": "lcm"}),
        ("Sample", [7, True, 20, "lcm"], {"seed": 7, "steps": 20, "sampler_name": "lcm"}),
        ("OldSample", [7, "randomize", 2.5], {"noise_seed": 7, "cfg": 2.5}),
        ("OldSample", [7, 2.5], {"noise_seed": 7, "cfg": 2.5}),
        ("Int", [4, "fixed"], {"value": 4}),
        ("LoadImage", ["x.png", "image", "a"], {"image": "x.png", "channel": "a"}),
        ("Empty", [64, 64], {"width": 64, "height": 64, "batch_size": 1}),
        ("Empty", {"width": 8, "height": 9, "preview": {}}, {"width": 8, "height": 9}),
        ("CustomCombo", ["b", 1, "a", "b", ""], {"choice": "b", "index": 1}),
        ("Floats", ["text"], {"values": "text"}),
        ("Floats", [["a", 1]], None),
    ],
)
def test_what_the_editor_saves_for_itself_is_skipped(
    kind: str, values: Any, fields: dict[str, Any] | None
) -> None:
    ui = canvas([node(1, kind, values), node(2, "Show", None, {"source": 1})], [(1, 1, 0, 2, 0)])
    info = {**INFO, "CustomCombo": node_class(choice=["COMBO", {"options": []}])}

    if fields is None:
        with pytest.raises(WorkflowUnreadable, match="another version"):
            to_api(ui, info)
    else:
        assert to_api(ui, info)["1"]["inputs"] == fields


def test_the_order_of_fields_is_the_servers_and_not_that_of_the_names() -> None:
    info = copy.deepcopy(INFO)
    info["Empty"]["input_order"] = {"required": ["height", "width", "batch_size"]}
    ui = canvas(
        [node(1, "Empty", [1, 2, 3]), node(2, "Show", [], {"source": 1})], [(1, 1, 0, 2, 0)]
    )

    inputs = to_api(ui, info)["1"]["inputs"]

    assert inputs == {"height": 1, "width": 2, "batch_size": 3}


def test_a_choice_brings_fields_with_dotted_names() -> None:
    ui = canvas(
        [node(1, "Empty", [1, 1, 1]), node(2, "SaveAs", ["png", "16", "pre"], {"images": 1})],
        [(1, 1, 0, 2, 0)],
    )

    assert inputs_of(ui)["2"] == {
        "format": "png",
        "format.depth": "16",
        "filename_prefix": "pre",
        "images": ["1", 0],
    }


def test_inputs_that_grow_keep_their_dotted_names() -> None:
    ui = canvas(
        [
            node(1, "Empty", [1, 1, 1]),
            node(2, "Batch", None, {"images.image0": 1, "images.image1": 2, "images.image2": None}),
            node(3, "Save", ["x"], {"images": 3}),
        ],
        [(1, 1, 0, 2, 0), (2, 1, 0, 2, 1), (3, 2, 0, 3, 0)],
    )

    assert inputs_of(ui)["2"] == {"images.image0": ["1", 0], "images.image1": ["1", 0]}


def test_a_drawing_of_the_editor_is_given_as_nothing() -> None:
    ui = canvas(
        [node(1, "Empty", [1, 1, 1]), node(2, "Compare", [], {"image_a": 1})], [(1, 1, 0, 2, 0)]
    )

    assert inputs_of(ui)["2"] == {"image_a": ["1", 0], "view": ""}


def test_notes_reroutes_and_primitives_stay_with_the_editor() -> None:
    ui = canvas(
        [
            node(1, "Note", ["remember"]),
            node(2, "MarkdownNote", ["# this"]),
            node(3, "PrimitiveNode", [640, "fixed"]),
            node(4, "Empty", [1, 2, 1], {"width*": 1}),
            node(5, "Reroute", None, {"": 2}, mode=2),
            node(6, "Reroute", None, {"": 3}),
            node(7, "Save", ["x"], {"images": 4}),
        ],
        [(1, 3, 0, 4, 0), (2, 4, 0, 5, 0), (3, 5, 0, 6, 0), (4, 6, 0, 7, 0), None],
    )

    inputs = inputs_of(ui)

    assert inputs["4"] == {"width": 640, "height": 2, "batch_size": 1}
    assert inputs["7"]["images"] == ["4", 0]
    assert set(inputs) == {"4", "7"}


def test_a_named_wire_is_followed() -> None:
    ui = canvas(
        [
            node(1, "Empty", [1, 2, 1]),
            node(2, "SetNode", ["wire"], {"IMAGE": 1}),
            node(3, "GetNode", ["wire"]),
            node(4, "Save", ["x"], {"images": 2}),
        ],
        [(1, 1, 0, 2, 0), (2, 3, 0, 4, 0)],
    )

    assert inputs_of(ui)["4"]["images"] == ["1", 0]


def test_a_bypassed_node_lets_through_what_has_the_type_of_its_output() -> None:
    types = {"model": "MODEL", "clip": "CLIP"}
    ui = canvas(
        [
            node(1, "Load", ["a.safetensors"], outputs=["MODEL", "CLIP"]),
            node(
                2,
                "Lora",
                [0.5],
                {"clip": 2, "model": 1},
                types=types,
                outputs=["MODEL", "CLIP"],
                mode=4,
            ),
            node(3, "Show", [], {"source": 3}),
            node(4, "Show", [], {"source": 4}),
        ],
        [(1, 1, 0, 2, 1), (2, 1, 1, 2, 0), (3, 2, 0, 3, 0), (4, 2, 1, 4, 0)],
    )

    inputs = inputs_of(ui)

    assert inputs["3"] == {"source": ["1", 0]}
    assert inputs["4"] == {"source": ["1", 1]}
    assert "2" not in inputs


def test_a_bypassed_node_prefers_an_input_of_the_very_type() -> None:
    ui = canvas(
        [
            node(1, "Empty", [1, 1, 1]),
            node(2, "Load", ["a.safetensors"]),
            node(3, "Anything", [], {"any": 1, "image": 2}, types={"any": "*"}, mode=4),
            node(4, "Show", [], {"source": 3}),
        ],
        [(1, 2, 0, 3, 0), (2, 1, 0, 3, 1), (3, 3, 0, 4, 0)],
    )

    assert inputs_of(ui)["4"] == {"source": ["1", 0]}


def test_what_stands_in_a_field_that_is_linked_does_not_matter() -> None:
    ui = canvas(
        [
            node(1, "Int", [64, "fixed"]),
            node(2, "Empty", ["", 1, 1], {"width*": 1}),
            node(3, "Save", ["x"], {"images": 2}),
        ],
        [(1, 1, 0, 2, 0), (2, 2, 0, 3, 0)],
    )

    assert inputs_of(ui)["2"]["width"] == ["1", 0]


def test_a_muted_node_and_the_output_that_waits_for_it_are_left_out() -> None:
    ui = canvas(
        [
            node(1, "Empty", [1, 2, 1], mode=2),
            node(2, "Show", [], {"source": 1}),
            node(3, "Empty", [1, 2, 1]),
            node(4, "Save", ["x"], {"images": 2}),
        ],
        [(1, 1, 0, 2, 0), (2, 3, 0, 4, 0)],
    )

    assert set(inputs_of(ui)) == {"3", "4"}


def test_what_leads_to_no_output_is_left_out() -> None:
    ui = canvas(
        [
            node(1, "Empty", [1, 2, 1]),
            node(2, "Save", ["x"], {"images": 1}),
            node(3, "Encode", ["unused"]),
            node(4, "NotInstalled", [1]),
        ],
        [(1, 1, 0, 2, 0)],
    )

    assert set(inputs_of(ui)) == {"1", "2"}


PART = subgraph(
    SUB,
    ["width", "label"],
    [
        node(3, "Empty", [100, 200, 1], {"width*": 11}),
        node(4, "Show", [], {"source": 12}),
        node(5, "Encode", ["inner"], {"text*": 13}),
        node(6, "Show", [], {"source": 14}),
    ],
    [
        (11, -10, 0, 3, 0),
        (12, -10, 0, 4, 0),
        (13, -10, 1, 5, 0),
        (14, 5, 0, 6, 0),
        (15, 3, 0, -20, 0),
    ],
)

OWN = {"proxyWidgets": [["-1", "width"], ["5", "text"]]}


@pytest.mark.parametrize(
    ("use", "width", "text"),
    [
        (node(9, SUB, [], properties={"proxyWidgets": [["3", "width"]]}), 100, "inner"),
        (node(9, SUB, None), 100, "inner"),
        (node(9, SUB, [300, "outer"]), 300, "outer"),
        (
            node(9, SUB, [300, "o"], properties={"proxyWidgets": [["-1", "width"], ["5", "text"]]}),
            300,
            "o",
        ),
        (node(9, SUB, {"width": 300}), 300, "inner"),
        (node(9, SUB, [300, "outer"], {"width*": 1}), 640, "outer"),
    ],
    ids=["proxies", "no values", "own values", "proxies with values", "by name", "linked"],
)
def test_a_subgraph_takes_the_values_of_its_use(use: Any, width: int, text: str) -> None:
    ui = canvas(
        [node(1, "PrimitiveNode", [640, "fixed"]), use, node(2, "Save", ["x"], {"images": 2})],
        [(1, 1, 0, 9, 0), (2, 9, 0, 2, 0)],
        definitions={"subgraphs": [PART]},
    )

    inputs = inputs_of(ui)

    assert inputs["9:3"]["width"] == width
    assert inputs["9:4"] == {"source": width}
    assert inputs["9:5"]["text"] == text
    assert inputs["2"]["images"] == ["9:3", 0]


def test_a_subgraph_used_twice_becomes_two_sets_of_nodes() -> None:
    ui = canvas(
        [
            node(8, SUB, [300, "a"]),
            node(9, SUB, [400, "b"]),
            node(1, "Save", ["x"], {"images": 1}),
            node(2, "Save", ["x"], {"images": 2}),
        ],
        [(1, 8, 0, 1, 0), (2, 9, 0, 2, 0)],
        definitions={"subgraphs": [PART]},
    )

    inputs = inputs_of(ui)

    assert (inputs["8:3"]["width"], inputs["9:3"]["width"]) == (300, 400)
    assert (inputs["1"]["images"], inputs["2"]["images"]) == (["8:3", 0], ["9:3", 0])


def test_subgraphs_nest() -> None:
    outer = subgraph(
        OUTER,
        ["side"],
        [node(7, SUB, [300, "a"], {"width*": 21})],
        [(21, -10, 0, 7, 0), (22, 7, 0, -20, 0)],
    )
    ui = canvas(
        [node(9, OUTER, [500]), node(1, "Save", ["x"], {"images": 1})],
        [(1, 9, 0, 1, 0)],
        definitions={"subgraphs": [PART, outer]},
    )

    inputs = inputs_of(ui)

    assert inputs["9:7:3"]["width"] == 500
    assert inputs["9:7:4"] == {"source": 500}
    assert inputs["1"]["images"] == ["9:7:3", 0]


@pytest.mark.parametrize("mode", [2, 4])
def test_a_subgraph_out_of_use_is_left_out_whole(mode: int) -> None:
    ui = canvas(
        [
            node(1, "Empty", [1, 1, 1]),
            node(9, SUB, [300, "a"], {"width": 1}, mode=mode),
            node(2, "Show", [], {"source": 2}),
            node(3, "Save", ["x"], {"images": 3}),
        ],
        [(1, 1, 0, 9, 0), (2, 9, 0, 2, 0), (3, 1, 0, 3, 0)],
        definitions={"subgraphs": [PART]},
    )

    inputs = inputs_of(ui)

    assert not [id for id in inputs if id.startswith("9:")]
    assert inputs.get("2") == ({"source": ["1", 0]} if mode == 4 else None)


def looped() -> dict[str, Any]:
    part = subgraph(SUB, [], [node(1, SUB), node(2, SUB)], [])
    return canvas([node(1, SUB)], [], definitions={"subgraphs": [part]})


def doubling() -> dict[str, Any]:
    ids = [f"part-{n}" for n in range(14)]
    parts = [
        subgraph(id, [], [node(n, inner) for n in range(4)] if inner else [], [])
        for id, inner in zip(ids, [*ids[1:], ""], strict=True)
    ]
    return canvas([node(1, ids[0])], [], definitions={"subgraphs": parts})


SAVE = node(2, "Save", ["x"], {"images": 1})


@pytest.mark.parametrize(
    ("ui", "words"),
    [
        ({"nodes": []}, "no active node"),
        ({"nodes": "x"}, "not as ComfyUI saves it"),
        ({"nodes": [{"type": "Save"}]}, "not as ComfyUI saves it"),
        (canvas([node(1, "Save"), node(1, "Save")], []), "one id"),
        (canvas([node(1, "Fancy", properties={"cnr_id": "fancy-pack"}), SAVE], [(1, 1, 0, 2, 0)]),
         r"node 1 \(Fancy\): this ComfyUI has no Fancy; install fancy-pack"),
        (canvas([node(1, "New", properties={"cnr_id": "comfy-core"}), SAVE], [(1, 1, 0, 2, 0)]),
         "update ComfyUI"),
        (canvas([node(1, "Empty", [1, 1, 1]), node(2, "MySave", [], {"images": 1})],
                [(1, 1, 0, 2, 0)]), "has no MySave"),
        (canvas([node(1, "Empty", ["wide", 1, 1]), SAVE], [(1, 1, 0, 2, 0)]),
         r"node 1 \(Empty\): its `width` reads 'wide'"),
        (canvas([node(1, "Empty", [1, 1, 1]), node(2, "SaveAs", ["gif"], {"images": 1})],
                [(1, 1, 0, 2, 0)]), "its `format` reads 'gif'"),
        (canvas([node(1, "Reroute", None, {"": 2}), node(3, "Reroute", None, {"": 3}), SAVE],
                [(1, 1, 0, 2, 0), (2, 3, 0, 1, 0), (3, 1, 0, 3, 0)]), "circle"),
        (canvas([node(1, "GetNode", ["wire"]), SAVE], [(1, 1, 0, 2, 0)]), "no SetNode sets"),
        (canvas([node(1, "Empty", [1, float("inf"), 1]), SAVE], [(1, 1, 0, 2, 0)]), "no number"),
        (canvas([node(n, "Note") for n in range(5001)], []), "more than 5000"),
        (looped(), "nested too deep"),
        (doubling(), "more than 5000"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_refused_with_what_to_do(ui: Any, words: str) -> None:
    with pytest.raises(WorkflowUnreadable, match=words):
        to_api(ui, INFO)


def test_links_that_only_the_editor_knows_are_not_guessed() -> None:
    info = {**INFO, "Anything Everywhere": node_class(output=True, anything=["*"])}
    ui = canvas(
        [node(1, "Load", ["a.safetensors"]), node(2, "Anything Everywhere", [], {"anything": 1})],
        [(1, 1, 0, 2, 0)],
    )

    with pytest.raises(WorkflowUnreadable, match="links without lines"):
        to_api(ui, info)


WHOLE = json.dumps(
    canvas(
        [
            node(1, "PrimitiveNode", [640, "fixed"]),
            node(9, SUB, [300, "outer"], {"width*": 1}),
            node(5, "Reroute", None, {"": 2}),
            node(2, "Save", ["x"], {"images": 3}),
        ],
        [(1, 1, 0, 9, 0), (2, 9, 0, 5, 0), (3, 5, 0, 2, 0)],
        definitions={"subgraphs": [PART]},
    )
)
JUNK = st.sampled_from(["null", "-1", "0", "9", '""', "[]", "{}", '"3"', "true", "[[]]", "1e999"])


@given(st.data())
def test_a_damaged_workflow_is_converted_or_refused(data: st.DataObject) -> None:
    parts = WHOLE.split(": ")
    at = data.draw(st.integers(1, len(parts) - 1))
    _, comma, rest = parts[at].partition(",")
    parts[at] = data.draw(JUNK) + comma + rest
    try:
        ui = json.loads(": ".join(parts))
    except ValueError:
        return

    with contextlib.suppress(WorkflowUnreadable):
        assert to_api(ui, INFO)
