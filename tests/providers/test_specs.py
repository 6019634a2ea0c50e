"""The specs of vendors catch what is wrong, whatever form a spec has."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.specs import problems
from ziggie_image_mcp.provider.testing import Seen

pytestmark = pytest.mark.spec

TOGETHER = "/paths/~1images~1generations/post/requestBody/content/application~1json/schema"
PRICES = "/paths/~1models~1pricing/get/responses/200/content/application~1json/schema"
CORE = "/paths/~1v2beta~1stable-image~1generate~1core/schema"
KLEIN = {
    "taskType": "imageInference",
    "taskUUID": "9f0c",
    "model": "runware:400@4",
    "positivePrompt": "a cat",
    "width": 512,
    "height": 512,
}
CONTENT: dict[str, Any] = {"parts": [{"inlineData": {"mimeType": "image/png", "data": "aWk="}}]}
EDIT = "/ImageEditMultipartFields/ImageEditParamsBase"
REFERENCE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aWk="}}

RIGHT: list[tuple[str, str, Any]] = [
    ("openai", "CreateImageRequest", {"prompt": "a cat", "n": 2}),
    ("openai-sdk-3.57", "ImageGenerateParams", {"prompt": "a cat", "complexity": "low"}),
    ("openai-sdk-3.57", EDIT, {"prompt": "a cat", "image": "binary", "quality": "max"}),
    ("gemini-genai-3.6", "GenerateContentResponse", {"candidates": [{"content": CONTENT}]}),
    ("fal-queue", "QueueStatus", {"status": "IN_QUEUE", "queue_position": 1}),
    ("together", TOGETHER, {"prompt": "a cat", "model": "m"}),
    ("together", "ImageResponse", {"id": "1", "model": "m", "object": "list", "data": []}),
    ("xai-images", "ImageGenerationRequest", {"prompt": "a cat", "resolution": "2k"}),
    ("runware-sdk-1.8", "BflFlux2Klein4bParams", KLEIN),
    ("runware-sdk-1.8", "BflFlux2Klein4bParams", KLEIN | {"lora": [{"model": "x"}]}),
    ("bfl-flux3", "Flux3ImageInputs", {"prompt": "a cat", "images": ["https://x.test/a.png"]}),
    ("openrouter", "ImageGenerationRequest", {"model": "m", "prompt": "a cat"}),
    (
        "openrouter-sdk-1.3.84",
        "ImageGenerationRequest",
        {"model": "m", "prompt": "a cat", "input_references": [REFERENCE]},
    ),
]

WRONG: list[tuple[str, str, Any, str]] = [
    ("openai", "CreateImageRequest", {"prompt": "a cat", "seed": 1}, "$: unknown key seed"),
    ("openai-sdk-3.57", EDIT, {"prompt": "a cat"}, "'image' is a required property"),
    (
        "gemini-genai-3.6",
        "GenerateContentResponse",
        {"candidates": [{"content": CONTENT | {"text": "x"}}]},
        "$.candidates[0].content: unknown key text",
    ),
    ("together", TOGETHER, {"prompt": "a cat", "model": "m", "size": "1x1"}, "unknown key size"),
    ("fal", PRICES, {"prices": [{"cost": 1}]}, "$.prices[0]: unknown key cost"),
    ("runware-sdk-1.8", "BflFlux2Klein4bParams", KLEIN | {"width": "512"}, "'512' is not of type"),
    ("runware-sdk-1.8", "BflFlux2Klein4bParams", KLEIN | {"size": 1}, "unknown key size"),
    ("runware-sdk-1.8", "BflFlux2Klein4bParams", KLEIN | {"model": "x"}, "'x' is not one of"),
    (
        "openrouter-sdk-1.3.84",
        "ImageGenerationRequest",
        {"model": "m", "prompt": "a cat", "input_references": [REFERENCE | {"weight": 1}]},
        "$.input_references[0]: unknown key weight",
    ),
]


@pytest.mark.parametrize(("vendor", "pointer", "value"), RIGHT)
def test_what_keeps_to_a_spec_has_no_problems(vendor: str, pointer: str, value: Any) -> None:
    assert problems(vendor, pointer, value) == []


@pytest.mark.parametrize(("vendor", "pointer", "value", "problem"), WRONG)
def test_what_a_spec_lacks_is_a_problem_at_every_level(
    vendor: str, pointer: str, value: Any, problem: str
) -> None:
    assert problem in "\n".join(problems(vendor, pointer, value))


def form(*fields: tuple[str, str]) -> Seen:
    parts = [f'--x\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields]
    return Seen(
        method="POST",
        path="/",
        headers={"content-type": "multipart/form-data; boundary=x"},
        content=("".join(parts) + "--x--\r\n").encode(),
    )


def test_the_texts_of_a_form_are_read_as_what_the_spec_wants() -> None:
    assert problems("stability", CORE, form(("prompt", "12"), ("seed", "7"))) == []
    assert (
        "not of type 'number'"
        in problems("stability", CORE, form(("prompt", "a"), ("seed", "x")))[0]
    )
    assert (
        "unknown key size" in problems("stability", CORE, form(("prompt", "a"), ("size", "1")))[0]
    )


def test_a_list_of_a_form_keeps_its_brackets_to_itself() -> None:
    assert (
        problems("openai", "CreateImageEditRequest", form(("prompt", "a"), ("image[]", "x"))) == []
    )
