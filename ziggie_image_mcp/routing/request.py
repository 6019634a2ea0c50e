"""Declare every argument of a request, once.

The tools' signatures, the command line's options, the keys of a batch file, the fingerprint and the
cache key are all read from the fields of `ImageRequest`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from dataclasses import dataclass as plain_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.types import OutputFormat
from ziggie_image_mcp.storage.types import InputImage

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

QualityTier = Literal["draft", "standard", "high"]

FINGERPRINT_VERSION = 2
"""Of fingerprints and batch ids. Version 1 was a hash of Python's repr of all fields."""


@plain_dataclass(frozen=True, kw_only=True)
class Argument:
    """What the surfaces say of a field of `ImageRequest`.

    Attributes:
        about: What it is, for models and people; empty where `generate` has no such argument.
        edit: The same for `edit`.
        options: Its names on the command line; by default `--field-name`.
    """

    about: str = ""
    edit: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ImageRequest:
    """What the caller asked for. None means: the route decides."""

    prompt: Annotated[
        str,
        Argument(
            about="What the picture shows; {red|blue} makes one of each.",
            edit="What the whole result shows.",
        ),
    ]
    negative_prompt: Annotated[
        str, Argument(about="What to keep out.", edit="What to keep out.", options=("--negative",))
    ] = ""
    width: Annotated[int | None, Argument(about="Pixels; with height. Exact or refused.")] = None
    height: Annotated[int | None, Argument(about="Pixels.")] = None
    aspect_ratio: Annotated[
        str | None,
        Argument(
            about='As "16:9", at the size that the model is best at.',
            options=("--aspect",),
        ),
    ] = None
    """The model's own size is shaped to it. Not together with width and height."""
    num_images: Annotated[
        int, Argument(about="How many pictures.", edit="How many.", options=("--count", "-n"))
    ] = 1
    seed: Annotated[
        int | None, Argument(about="Same seed, same picture.", edit="Same seed, same picture.")
    ] = None
    """0 to 2**32 - 1. Picture i of a batch is made with seed + i, modulo 2**32."""
    steps: Annotated[int | None, Argument(about="Denoising steps.", edit="Denoising steps.")] = None
    guidance_scale: Annotated[
        float | None,
        Argument(
            about="How closely to follow the prompt.",
            edit="How closely to follow the prompt.",
            options=("--guidance",),
        ),
    ] = None
    sampler: Annotated[str | None, Argument(about="In the engine's words, as euler.")] = None
    scheduler: Annotated[str | None, Argument(about="In the engine's words, as normal.")] = None
    model: Annotated[
        str | None,
        Argument(
            about="Id or name from list_models.",
            edit="Id or name from list_models.",
            options=("--model", "-m"),
        ),
    ] = None
    provider: Annotated[
        str | None,
        Argument(
            about="auto, local, cloud, or a name from list_models.",
            edit="auto, local, cloud, or a name.",
            options=("--provider", "-p"),
        ),
    ] = None
    quality: Annotated[QualityTier | None, Argument(about="At least this good a model.")] = None
    max_cost_usd: Annotated[
        float | None,
        Argument(
            about="Upper bound for the whole call.",
            edit="Upper bound for the whole call.",
            options=("--max-cost",),
        ),
    ] = None
    """US dollars."""
    allow_paid: Annotated[
        bool,
        Argument(
            about="True only after the user agreed to pay.",
            edit="True only after the user agreed.",
        ),
    ] = False
    """The caller's yes to a paid route; the budget holds all the same."""
    output_format: Annotated[
        OutputFormat | None,
        Argument(about="Of the file.", edit="Of the file.", options=("--format",)),
    ] = None
    file_name: Annotated[
        str,
        Argument(
            about="A hint for the file's name, no path.",
            edit="A hint for the file's name.",
            options=("--name",),
        ),
    ] = ""
    strength: Annotated[float | None, Argument(edit="How much changes; 1 is all.")] = None
    """How much of the image changes: above 0, to 1 where nothing of it is left."""
    image: Annotated[InputImage | None, Argument()] = None
    """The picture to change. Without one the request is text to image."""
    mask: Annotated[InputImage | None, Argument()] = None
    """White is painted anew, black stays; of the same size as the image."""


@plain_dataclass(frozen=True, kw_only=True)
class DeclaredArgument:
    """One field of `ImageRequest` as a surface shows it."""

    name: str
    type: Any
    default: Any
    """`inspect.Parameter.empty` where it must be given."""
    about: str
    options: tuple[str, ...]


@cache
def declared_arguments(kind: Literal["generate", "edit"]) -> tuple[DeclaredArgument, ...]:
    """The arguments that a caller of `generate` or `edit` may give, in the order of the fields."""
    hints = get_type_hints(ImageRequest, include_extras=True)
    declared: list[DeclaredArgument] = []
    for field in fields(cast(Any, ImageRequest)):
        value_type, argument = get_args(hints[field.name])
        about = argument.about if kind == "generate" else argument.edit
        if about:
            empty = inspect.Parameter.empty
            declared.append(
                DeclaredArgument(
                    name=field.name,
                    type=value_type,
                    default=empty if field.default is MISSING else field.default,
                    about=about,
                    options=argument.options or ("--" + field.name.replace("_", "-"),),
                )
            )
    return tuple(declared)


def with_parameters(parameters: Sequence[inspect.Parameter]) -> Callable[[FunctionT], FunctionT]:
    """Let a function that takes `**arguments` show these parameters instead.

    Its own that must be given come first, and its own optional ones last. What reads signatures
    (the MCP SDK, Typer) then sees them all.
    """

    def decorate(function: FunctionT) -> FunctionT:
        own = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        hints.pop("arguments", None)
        kept = [
            p.replace(annotation=hints.get(p.name, p.annotation), kind=p.KEYWORD_ONLY)
            for p in own.parameters.values()
            if p.kind is not p.VAR_KEYWORD
        ]
        needed = [p for p in kept if p.default is p.empty]
        optional = [p for p in kept if p.default is not p.empty]
        shown = cast(Any, function)
        shown.__annotations__ = hints | {p.name: p.annotation for p in parameters}
        shown.__signature__ = own.replace(
            parameters=[*needed, *parameters, *optional],
            return_annotation=hints.get("return", own.return_annotation),
        )
        return function

    return decorate


STEERING = frozenset(
    ("provider", "model", "quality", "max_cost_usd", "allow_paid", "output_format", "file_name")
)
"""Fields that change which route is taken, or where the picture goes, and not what it shows."""


def set_fields(request: ImageRequest) -> dict[str, Any]:
    """The fields that differ from their defaults, as JSON has them."""
    values: dict[str, Any] = _adapter().dump_python(request, mode="json", exclude_defaults=True)
    return values


@cache
def _adapter() -> TypeAdapter[ImageRequest]:
    return TypeAdapter(ImageRequest)


def parse_request(values: Mapping[str, Any]) -> ImageRequest:
    """The request out of JSON values, types checked strictly.

    Raises:
        pydantic.ValidationError: A value is of another type, or a key is unknown.
    """
    return _adapter().validate_json(json.dumps(values), strict=True)


def fingerprint(requests: Sequence[ImageRequest]) -> str:
    """The same for the same requests, in every version that knows the fields that are set."""
    facts = {"version": FINGERPRINT_VERSION, "requests": [set_fields(r) for r in requests]}
    return f"v{FINGERPRINT_VERSION}-{digest(facts)[:24]}"


def digest(facts: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of facts as canonical JSON."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


MAX_SIDE = 16_384
MAX_PROMPT = 10_000
MAX_IMAGES = 16
MAX_SEED = 2**32 - 1


def check_request(request: ImageRequest) -> None:
    """Refuse what no provider could honour.

    Raises:
        InvalidRequest: Names the field, its value and what would be accepted.
    """
    if not request.prompt.strip():
        raise InvalidRequest("prompt", request.prompt, "say what the picture shows")
    for field in ("prompt", "negative_prompt"):
        if len(getattr(request, field)) > MAX_PROMPT:
            raise InvalidRequest(field, getattr(request, field), f"at most {MAX_PROMPT} characters")
    for field, value in (("width", request.width), ("height", request.height)):
        if value is not None and not 16 <= value <= MAX_SIDE:
            raise InvalidRequest(field, value, f"16 to {MAX_SIDE} pixels, or leave it out")
    if (request.width is None) != (request.height is None):
        present = "width" if request.height is None else "height"
        other = "height" if present == "width" else "width"
        raise InvalidRequest(present, getattr(request, present), f"give {other} too, or neither")
    if request.aspect_ratio is not None:
        ratio(request.aspect_ratio)
        if request.width is not None:
            raise InvalidRequest(
                "aspect_ratio", request.aspect_ratio, "give it or width and height, not both"
            )
    if not 1 <= request.num_images <= MAX_IMAGES:
        raise InvalidRequest("num_images", request.num_images, f"1 to {MAX_IMAGES}")
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        raise InvalidRequest("seed", request.seed, f"0 to {MAX_SEED}, or leave it out")
    if request.steps is not None and not 1 <= request.steps <= 500:
        raise InvalidRequest("steps", request.steps, "1 to 500, or leave it out")
    if request.guidance_scale is not None and not (
        math.isfinite(request.guidance_scale) and 0 <= request.guidance_scale <= 50
    ):
        raise InvalidRequest("guidance_scale", request.guidance_scale, "0 to 50, or leave it out")
    if request.strength is not None:
        if not (math.isfinite(request.strength) and 0 < request.strength <= 1):
            raise InvalidRequest("strength", request.strength, "above 0 and up to 1")
        if request.image is None:
            raise InvalidRequest("strength", request.strength, "it needs an image to change")
    if request.mask is not None:
        check_mask(request.image, request.mask)
    limit = request.max_cost_usd
    if limit is not None and not (math.isfinite(limit) and limit >= 0):
        raise InvalidRequest("max_cost_usd", limit, "US dollars, 0 or more, or leave it out")


def ratio(text: str) -> float:
    """Width by height of a text as "16:9".

    Raises:
        InvalidRequest: It is no ratio between 1:4 and 4:1.
    """
    match = re.fullmatch(r"\s*(\d{1,4})\s*[:x/]\s*(\d{1,4})\s*", text)
    if match is None or int(match[1]) == 0 or int(match[2]) == 0:
        raise InvalidRequest("aspect_ratio", text, 'two whole numbers, as "16:9"')
    quotient = int(match[1]) / int(match[2])
    if not 1 / 4 <= quotient <= 4:
        raise InvalidRequest("aspect_ratio", text, "between 1:4 and 4:1")
    return quotient


def check_mask(image: InputImage | None, mask: InputImage) -> None:
    """Refuse a mask that does not lie on its image.

    Raises:
        InvalidRequest: There is no image, or it has another size.
    """
    size = f"{mask.width}x{mask.height}"
    if image is None:
        raise InvalidRequest("mask", size, "it needs an image to lie on")
    if (mask.width, mask.height) != (image.width, image.height):
        fix = f"make it {image.width}x{image.height}, as the image is"
        raise InvalidRequest("mask", size, fix)
