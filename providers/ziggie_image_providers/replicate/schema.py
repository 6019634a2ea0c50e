"""Read the input schema of a Replicate model as a row: any model, by its own words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ziggie_image_mcp.provider import Option, Task
from ziggie_image_mcp.provider.fields import Word
from ziggie_image_mcp.provider.json_paths import number, objects, values
from ziggie_image_providers.replicate.settings import Row

NAMES: Mapping[Word, tuple[str, ...]] = {
    "prompt": ("prompt", "text", "caption"),
    "negative_prompt": ("negative_prompt",),
    "seed": ("seed",),
    "steps": ("num_inference_steps", "steps", "num_steps"),
    "guidance_scale": ("guidance_scale", "guidance", "cfg_scale", "cfg"),
    "num_images": ("num_outputs", "num_images", "number_of_images"),
    "strength": ("prompt_strength", "strength"),
    "quality": ("quality",),
    "factor": ("scale", "upscale_factor", "scale_factor"),
}
"""What models of many owners call our words, the commonest first."""

IMAGES = ("image", "input_image", "image_input", "input_images", "images", "init_image")
MASKS = ("mask", "mask_image", "inpaint_mask")
MOST_INPUTS = 4
"""Pictures that a list takes, where its schema does not say."""


class Unreadable(Exception):
    """Raised when a model cannot be used by its schema alone; the message says what to set."""


def row_from(entry: Mapping[str, Any], own: Row) -> Row:
    """The row of a model, by its schema; what the user's row says of itself wins.

    Args:
        entry: The answer of /v1/models/{owner}/{name}.
        own: The user's row.

    Raises:
        Unreadable: Something is missing that only the user can say.
    """
    schemas = next(objects(entry, "latest_version.openapi_schema.components.schemas"), None) or {}
    properties = {
        str(name): _resolved(cast("dict[str, Any]", field), schemas)
        for name, field in (next(objects(schemas, "Input.properties"), None) or {}).items()
        if isinstance(field, dict)
    }
    if not properties:
        raise Unreadable("its page tells no inputs; set `inputs` in its row")
    inputs: dict[Word, str] = {
        word: name for word, names in NAMES.items() if (name := _first(names, properties))
    }
    facts: dict[str, Any] = {**_sizes(properties, inputs)}
    if not _words(properties.get(inputs.get("quality", ""), {})):
        inputs.pop("quality", None)  # a number, or a free text: not our low, medium and high
    image = _first(IMAGES, properties)
    if image:
        several = properties[image].get("type") == "array"
        facts["images"] = (f"{image}[]" if several else image,)
        most = number(properties[image].get("maxItems"))
        facts["max_inputs"] = (int(most) if most else MOST_INPUTS) if several else 1
    mask = _first(MASKS, properties)
    if mask and "mask_polarity" in own.model_fields_set:  # each model reads it in its own way
        facts["mask"] = mask
    grounds = _words(properties.get("background", {}))
    if "transparent" in grounds:
        inputs["transparent"] = "background"
    always: dict[str, Any] = {}
    if "png" in _words(properties.get("output_format", {})):
        always["output_format"] = "png"
    count = properties.get(inputs.get("num_images", ""), {})
    facts["max_images"] = max(1, min(10, int(number(count.get("maximum")) or 1)))
    seed = number(properties.get("seed", {}).get("maximum"))
    facts["max_seed"] = int(seed) if seed and seed >= 1 else 2**31 - 1
    facts["default_steps"] = _default(properties, inputs.get("steps"), whole=True)
    facts["default_guidance"] = _default(properties, inputs.get("guidance_scale"))
    if "quality" in inputs:
        facts["default_quality"] = str(properties[inputs["quality"]].get("default") or "")
    facts["bounds"] = _bounds(properties, inputs)
    if "factor" in inputs:
        facts["factors"] = _factors(properties[inputs["factor"]])
    required = [str(name) for name in values(schemas, "Input.required[]")]
    facts["works"] = _works(facts, inputs, image, required)
    facts["inputs"] = inputs
    changes = {key: fact for key, fact in facts.items() if key not in own.model_fields_set}
    row = own.model_copy(update={**changes, "always": always | own.always})
    _check(row, required)
    return row


def _check(row: Row, required: list[str]) -> None:
    """Raises Unreadable where the model wants what nobody would send."""
    paths = (*row.inputs.values(), *row.images, row.mask)
    known = {re.split(r"[.\[]", path)[0] for path in paths}
    missing = [name for name in required if name not in known and name not in row.always]
    if missing:
        raise Unreadable(f"it wants {', '.join(missing)}; set it in `always` of its row")
    if not row.works:
        raise Unreadable("what it does cannot be told from its inputs; set `works` in its row")


def _works(
    facts: Mapping[str, Any], inputs: Mapping[Word, str], image: str, required: list[str]
) -> frozenset[Task]:
    if "prompt" not in inputs:
        return frozenset(("upscale",)) if image and facts.get("factors") else frozenset()
    works: set[Task] = set() if image in required else {"text_to_image"}
    if image:
        works.add("image_to_image")
    if facts.get("mask"):
        works.add("inpaint")
    return frozenset(works)


def _sizes(properties: Mapping[str, Any], inputs: dict[Word, str]) -> dict[str, Any]:
    """The size rule; and into `inputs` by which of them it is said."""
    for name in ("size", "resolution", "image_size", "aspect_ratio"):
        shapes = _shapes(_words(properties.get(name, {})))
        if shapes:
            inputs["bucket"] = name
            return {"shapes": shapes, "exact_shapes": all("x" in word for word in shapes)}
    if "width" in properties and "height" in properties:
        width, height = properties["width"], properties["height"]
        inputs |= {"width": "width", "height": "height"}
        sides = [int(word) for word in _words(width) if word.isdigit()]
        if sides:
            shapes = {f"{w}x{h}": (w, h) for w in sides for h in sides}
            return {"shapes": dict(sorted(shapes.items(), key=_from_native))}
        low = max(int(number(field.get("minimum")) or 256) for field in (width, height))
        high = min(int(number(field.get("maximum")) or 1440) for field in (width, height))
        step = int(number(width.get("multipleOf")) or 16)
        default = int(number(width.get("default")) or min(1024, high))
        return {"min_side": low, "max_side": high, "multiple_of": step} | {
            "native_width": default,
            "native_height": int(number(height.get("default")) or default),
        }
    if "prompt" not in inputs:
        return {"min_side": 16, "max_side": 4096, "multiple_of": 1}  # that of the picture given
    return {"shapes": {"as the model likes": (1024, 1024)}, "exact_shapes": False}


def _shapes(words: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The sizes among words as 1024x1024, or of a megapixel by those as 16:9; a square first."""
    found: dict[str, tuple[int, int]] = {}
    for word in words:
        if match := re.fullmatch(r"(\d{2,4})[x*](\d{2,4})", word):
            found[word] = (int(match[1]), int(match[2]))
        elif match := re.fullmatch(r"([1-9]\d?):([1-9]\d?)", word):
            ratio = int(match[1]) / int(match[2])
            found[word] = (_side(math.sqrt(2**20 * ratio)), _side(math.sqrt(2**20 / ratio)))
    return dict(sorted(found.items(), key=lambda item: item[1][0] != item[1][1]))


def _from_native(item: tuple[str, tuple[int, int]]) -> float:
    """How far a size is from a square of a megapixel."""
    width, height = item[1]
    return abs(math.log(width * height / 2**20)) + abs(math.log(width / height))


def _side(pixels: float) -> int:
    return round(pixels / 16) * 16


def _bounds(
    properties: Mapping[str, Any], inputs: Mapping[Word, str]
) -> dict[Option, tuple[float, float]]:
    """Between what numbers lie, where the schema says both."""
    found: dict[Option, tuple[float, float]] = {}
    bounded: tuple[Option, ...] = ("steps", "guidance_scale", "strength")
    for option in bounded:
        field = properties.get(inputs.get(option, ""), {})
        low, high = number(field.get("minimum")), number(field.get("maximum"))
        if low is not None and high is not None:
            found[option] = (low, high)
    return found


def _factors(field: Mapping[str, Any]) -> tuple[int, ...]:
    words = [int(word) for word in _words(field) if word.isdigit()]
    if words:
        return tuple(sorted(words))
    low, high = number(field.get("minimum")) or 1, number(field.get("maximum")) or 4
    return tuple(factor for factor in (2, 4) if low <= factor <= high)


def _default(properties: Mapping[str, Any], name: str | None, *, whole: bool = False) -> Any:
    value = number(properties[name].get("default")) if name else None
    if value is None or value < (1 if whole else 0):
        return None
    return int(value) if whole else value


def _resolved(field: dict[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """A property, with what it refers to: Replicate keeps enumerations apart."""
    found = dict(field)
    for part in (field, *objects(field, "allOf[]")):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if isinstance(schemas.get(name), dict):
            found = cast("dict[str, Any]", schemas[name]) | found
    return found


def _words(field: Mapping[str, Any]) -> list[str]:
    return [str(word) for word in values(field, "enum[]")]


def _first(names: Iterable[str], properties: Mapping[str, Any]) -> str:
    return next((name for name in names if name in properties), "")
