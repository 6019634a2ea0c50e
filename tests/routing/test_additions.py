"""LoRAs and control pictures as people write them, and embeddings and LoRAs in prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.routing.test_planner import ask, context
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.jobs import prompts
from ziggie_image_mcp.provider import FREE, LoraSupport, Model
from ziggie_image_mcp.provider.additions import embedding_names, find_addition
from ziggie_image_mcp.provider.nouns import Lora, Role
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.additions import ControlName, read_control, read_loras
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Plan


@pytest.mark.parametrize(
    ("written", "loras"),
    [
        ("pixel-art:0.8, other", [("pixel-art", 0.8), ("other", 1.0)]),
        ("pixel-art", [("pixel-art", 1.0)]),
        ("sub\\a.safetensors:-1;b:.5", [("sub\\a.safetensors", -1.0), ("b", 0.5)]),
        ("<lora:pixel-art:0.8>", [("pixel-art", 0.8)]),
        ('["a:0.5", "b"]', [("a", 0.5), ("b", 1.0)]),
        (["a", "b:2"], [("a", 1.0), ("b", 2.0)]),
        ([{"name": "a", "weight": 0.5}], [("a", 0.5)]),
        ('[{"id": "a", "scale": "0.5"}]', [("a", 0.5)]),
        ({"a": 0.5, "b": 1}, [("a", 0.5), ("b", 1.0)]),
        ("owner/name:v2:0.7", [("owner/name:v2", 0.7)]),
    ],
)
def test_loras_are_read_as_models_and_people_write_them(
    written: object, loras: list[tuple[str, float]]
) -> None:
    assert [(lora.id, lora.weight) for lora in read_loras(written)] == loras


@pytest.mark.parametrize("written", ["a:9", "a:-4.1", ":0.5", "[", 7, [{"weight": 1}]])
def test_loras_that_cannot_be_meant_are_refused_with_the_form(written: object) -> None:
    with pytest.raises(InvalidRequest, match=r"as `name:0\.8, other`"):
        read_loras(written)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("canny:img_1:0.7", [("canny", "img_1", 0.7, False)]),
        ("make-canny:img_1", [("canny", "img_1", 1.0, False)]),
        (
            "depth:img_1, make-pose:img_2:0.5",
            [("depth", "img_1", 1, False), ("pose", "img_2", 0.5, True)],
        ),
        ("OpenPose:C:\\a\\b.png:1.2", [("pose", "C:\\a\\b.png", 1.2, False)]),
        ("hed:image://img_1", [("softedge", "image://img_1", 1.0, False)]),
        ("depth:data:image/png;base64,AAAA", [("depth", "data:image/png;base64,AAAA", 1.0, False)]),
        ("depth:https://a.test/x.png", [("depth", "https://a.test/x.png", 1.0, False)]),
    ],
)
def test_control_pictures_are_read_with_kind_picture_and_weight(
    written: str, names: list[tuple[str, str, float, bool]]
) -> None:
    assert read_control(written) == [ControlName(*name) for name in names]


@pytest.mark.parametrize("written", ["img_1", "canny:", "canny:img:3", ":img", "canny"])
def test_control_that_cannot_be_meant_is_refused_with_the_form(written: str) -> None:
    with pytest.raises(InvalidRequest, match=r"as `canny:ID:0\.7`"):
        read_control(written)


@pytest.mark.parametrize(
    ("prompt", "rest", "loras"),
    [
        ("a fox <lora:pixel-art:0.8>", "a fox", [("pixel-art", 0.8)]),
        ("<lora:a:1>, a fox, <LoRA:b>", "a fox", [("a", 1.0), ("b", 1.0)]),
        ("a <lyco:a:0.5:0.7> fox", "a fox", [("a", 0.5)]),
        ("a fox, 3 < 4 > 2", "a fox, 3 < 4 > 2", []),
    ],
)
def test_loras_in_a_prompt_are_loras_and_no_words(
    prompt: str, rest: str, loras: list[tuple[str, float]]
) -> None:
    [request] = prompts.alternatives(ImageRequest(prompt=prompt))

    assert request.prompt == rest
    assert [(lora.id, lora.weight) for lora in request.loras] == loras


def test_each_alternative_has_the_loras_of_its_own_words_and_the_argument_wins() -> None:
    asked = ImageRequest(prompt="{red|blue} fox <lora:a:1>", loras=(Lora(id="a", weight=0.3),))

    requests = prompts.alternatives(asked)

    assert [r.prompt for r in requests] == ["red fox", "blue fox"]
    assert {r.loras for r in requests} == {(Lora(id="a", weight=0.3),)}


def test_embeddings_of_a_prompt_are_found_by_their_mark() -> None:
    prompt = "embedding:easynegative, (embedding:sub/bad-hands.pt:1.2), an embedding: words"

    assert embedding_names(prompt) == ["easynegative", "sub/bad-hands.pt"]


def beside(
    id: str, role: Role = "lora", family: str | None = "sdxl", provider: str = "fake"
) -> Model:
    return Model(
        id=id,
        provider=provider,
        where="this_machine",
        tasks={},
        prices=FREE,
        role=role,
        family=family,
    )


def test_an_addition_is_found_by_id_file_or_alias_and_not_where_two_have_the_name() -> None:
    files = [
        beside("SDXL\\Pixel.safetensors"),
        beside("sd15/other.safetensors"),
        beside("a/x"),
        beside("b/x"),
    ]

    assert find_addition("pixel", "lora", files) is files[0]
    assert find_addition("sdxl/pixel", "lora", files) is files[0]
    assert find_addition("x", "lora", files) is None
    assert find_addition("pixel", "embedding", files) is None


def planned(request: dict[str, Any], *additions: Model, **able: Any) -> Plan:
    one = model(family="sdxl")
    capability = replace(one.tasks["text_to_image"], **able)
    ctx = context(replace(one, tasks={"text_to_image": capability}), request=ask(**request))
    survey = Survey(models=ctx.survey.models, additions=additions, rejected=ctx.survey.rejected)
    return planner.plan(replace(ctx, survey=survey))


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("pixel", "", ""),
        ("Pixel.safetensors", "", ""),
        ("pixels", "LORA_MISSING", "pixel.safetensors"),
        ("for-sd1", "FEATURE_UNSUPPORTED", "is a LoRA for sd1"),
        ("of-nobody", "", ""),
        ("elsewhere", "LORA_MISSING", ""),
    ],
)
def test_a_lora_must_be_there_and_be_made_for_the_model(name: str, code: str, words: str) -> None:
    files = (
        beside("pixel.safetensors"),
        beside("for-sd1", family="sd1"),
        beside("of-nobody", family=None),
        beside("elsewhere", provider="another"),
    )

    plan = planned({"loras": (Lora(id=name),)}, *files, loras=LoraSupport())

    reasons = [reason for rejection in plan.rejected for reason in rejection.reasons]
    assert [reason.code for reason in reasons] == ([code] if code else [])
    assert not code or words in reasons[0].have
    assert bool(plan.candidates) == (not code)


@pytest.mark.parametrize(
    ("embeddings", "name", "code"),
    [
        (True, "easynegative", ""),
        (True, "badhands", "EMBEDDING_MISSING"),
        (False, "easynegative", "FEATURE_UNSUPPORTED"),
    ],
)
def test_an_embedding_is_refused_rather_than_painted_as_words(
    embeddings: bool, name: str, code: str
) -> None:
    plan = planned(
        {"prompt": f"a fox embedding:{name}"},
        beside("easynegative", "embedding", None),
        embeddings=embeddings,
    )

    assert [r.code for x in plan.rejected for r in x.reasons] == ([code] if code else [])


def test_a_model_that_moves_its_weights_is_expected_to_take_longer_and_says_so() -> None:
    plain = model(id="plain", seconds=10.0)
    slow = replace(plain, id="slow", slowdown=3.0, note="it keeps 5 GB in RAM")

    plan = planner.plan(context(plain, slow, request=ask()))

    first, second = plan.candidates
    assert (first.model.id, second.model.id) == ("plain", "slow")
    assert second.seconds > 2 * first.seconds
    assert "it keeps 5 GB in RAM" in second.notes


def test_a_server_where_others_wait_comes_after_one_that_is_free() -> None:
    free = model(id="free", provider="a", seconds=10.0, device="http://a")
    busy = replace(free, id="busy", provider="b", device="http://b", queued=3)

    plan = planner.plan(context(busy, free, request=ask()))

    assert [c.model.id for c in plan.candidates] == ["free", "busy"]
    assert plan.candidates[1].wait_seconds == pytest.approx(30, rel=0.1)
