"""Declare every argument of a request, once.

The tools' signatures, the command line's options, the keys of a batch file, the fingerprint and the
cache key are all read from the fields of `ImageRequest`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from dataclasses import dataclass as plain_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, WithJsonSchema
from pydantic.dataclasses import dataclass

from ziggie_image_mcp.assets.framing import Resample
from ziggie_image_mcp.assets.icons import IconSet
from ziggie_image_mcp.assets.sheet_names import AnimationFormat
from ziggie_image_mcp.config.config import Preference, QualityTier, Work
from ziggie_image_mcp.provider.capabilities import Option, OutputFormat, ProcessedFormat, Task
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.storage.types import InputImage

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

Surface = Literal["generate", "edit", "process"]
"""Where a caller gives arguments: a tool, and the command of that name."""

_TEXT = WithJsonSchema({"type": "string"})

FINGERPRINT_VERSION = 2
"""Of fingerprints and batch ids. Version 1 was a hash of Python's repr of all fields."""


@plain_dataclass(frozen=True, kw_only=True)
class Argument:
    """What the surfaces say of a field of `ImageRequest`.

    Attributes:
        about: What it is, for models and people; empty where `generate` has no such argument.
        edit: The same for `edit`.
        process: The same for `process`.
        options: Its names on the command line; by default `--field-name`.
        others: Its type where it is not `process` that takes it, and fewer values are meant.
    """

    about: str = ""
    edit: str = ""
    process: str = ""
    options: tuple[str, ...] = ()
    others: Any = None


@plain_dataclass(frozen=True, kw_only=True)
class ControlImage:
    """A picture that guides the composition."""

    kind: str
    """As canny, depth, pose."""
    image: InputImage
    weight: float = 1.0
    compute: bool = False
    """True: the engine makes the map out of the picture; False: the picture is the map."""


@plain_dataclass(frozen=True, kw_only=True)
class AppliedStyle:
    """A style of the config whose values a request has."""

    name: str
    fields: tuple[str, ...] = ()
    """Of the request, which have them."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ImageRequest:
    """What the caller asked for. None means: the route decides."""

    prompt: Annotated[
        str,
        Argument(
            about="What it shows; {red|blue} makes one of each.",
            edit="What the whole result shows.",
        ),
    ]
    negative_prompt: Annotated[
        str, Argument(about="What to keep out.", edit="What to keep out.", options=("--negative",))
    ] = ""
    width: Annotated[
        int | None,
        Argument(
            about="Pixels, exactly; with height.",
            edit="Pixels; with height.",
            process="Pixels; with height.",
        ),
    ] = None
    height: Annotated[int | None, Argument(about="Pixels.", edit="Pixels.", process="Pixels.")] = (
        None
    )
    aspect_ratio: Annotated[
        str | None,
        Argument(
            about="As 16:9.",
            options=("--aspect",),
        ),
    ] = None
    """The model's own size is shaped to it. Not together with width and height."""
    num_images: Annotated[
        int, Argument(about="How many.", edit="How many.", options=("--count", "-n"))
    ] = 1
    seed: Annotated[
        int | None, Argument(about="Same seed, same picture.", edit="Same seed, same picture.")
    ] = None
    """0 to 2**32 - 1. Picture i of a batch is made with seed + i, modulo 2**32."""
    steps: Annotated[int | None, Argument(about="Denoising steps.", edit="Denoising steps.")] = None
    guidance_scale: Annotated[
        float | None,
        Argument(
            about="How literally, as 7.",
            edit="How literally, as 7.",
            options=("--guidance",),
        ),
    ] = None
    sampler: Annotated[str | None, Argument(about="As euler or DPM++ 2M.", edit="As euler.")] = None
    scheduler: Annotated[str | None, Argument(about="As karras.", edit="As karras.")] = None
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
            about="auto, local, cloud, or a name.",
            edit="auto, local, cloud, or a name.",
            process="auto, local, cloud, or a name.",
            options=("--provider", "-p"),
        ),
    ] = None
    quality: Annotated[QualityTier | None, Argument(about="At least.")] = None
    preference: Annotated[Preference | None, Argument(about="What counts most.")] = None
    max_cost_usd: Annotated[
        float | None,
        Argument(
            about="For the whole call.",
            edit="For the whole call.",
            process="For the whole call.",
            options=("--max-cost",),
        ),
    ] = None
    """US dollars."""
    allow_paid: Annotated[
        bool,
        Argument(
            about="Only after the user agreed.",
            edit="Only after the user agreed.",
            process="Only after the user agreed.",
        ),
    ] = False
    """The caller's yes to a paid route; the budget holds all the same."""
    output_format: Annotated[
        ProcessedFormat | None,
        _TEXT,
        Argument(
            about="png, webp or jpeg.",
            edit="png, webp or jpeg.",
            process="png, webp, jpeg, svg, gif.",
            options=("--format",),
            others=OutputFormat | None,
        ),
    ] = None
    """An SVG or a GIF stands beside the picture, which is PNG then."""
    file_name: Annotated[
        str,
        Argument(
            about="A hint, no path.",
            edit="A hint, no path.",
            process="A hint, no path.",
            options=("--name",),
        ),
    ] = ""
    strength: Annotated[float | None, Argument(edit="How much changes; 1 is all.")] = None
    """How much of the image changes: above 0, to 1 where nothing of it is left."""
    image: Annotated[InputImage | None, Argument()] = None
    """The picture to change. Without one the request is text to image."""
    mask: Annotated[InputImage | None, Argument()] = None
    """White is painted anew, black stays; of the same size as the image."""
    references: Annotated[tuple[InputImage, ...], Argument()] = ()
    """Pictures of what should appear, or of the style."""
    loras: Annotated[
        tuple[Lora, ...],
        _TEXT,
        Argument(about="As name:0.8, other.", edit="As name:0.8, other."),
    ] = ()
    """Laid over the model, each with its weight."""
    control: Annotated[tuple[ControlImage, ...], Argument()] = ()
    transparent: Annotated[bool, Argument(about="A transparent ground.")] = False
    """Checked on the file: where nothing of it is transparent, the attempt failed."""
    seamless: Annotated[
        bool, Argument(about="Edges meet: a tile.", process="Edges meet: a tile.")
    ] = False
    """The result says what was measured."""
    style: Annotated[str, Argument(about="As configured.", edit="As configured.")] = ""
    """One of `styles` in the config until it is applied; else a word of the vendor's own."""
    upscale: Annotated[int | None, Argument(process="2 or 4 times.")] = None
    """Together with `remove_background`, of an image whose ground is removed already."""
    remove_background: Annotated[bool, Argument(process="Cut the subject out.")] = False
    """Checked on the file, as `transparent` is."""
    pixel_size: Annotated[int | None, Argument(process="Pixel art: a cell's side; 0 finds it.")] = (
        None
    )
    """Pixels of a cell, each of which becomes one pixel."""
    colors: Annotated[int | None, Argument(process="At most so many.")] = None
    palette: Annotated[str, Argument(process="As pico-8, a file, or #hex #hex.")] = ""
    """A name, colours, or the path of a .hex, .gpl or .png file."""
    trim: Annotated[bool, Argument(process="Cut to the subject.")] = False
    pad: Annotated[int | None, Argument(process="Transparent pixels around.")] = None
    resample: Annotated[Resample | None, _TEXT, Argument(process="nearest or lanczos.")] = None
    """By default nearest for pixel art and few colours, else lanczos."""
    asset: Annotated[str, Argument(about="As kind=sprite size=32x32 palette=pico-8 frames=4.")] = ""
    """A contract that each picture keeps to the pixel, as `assets.contract` reads it."""
    slice: Annotated[str, Argument(process="As 4x2, or 32x32px.")] = ""
    """Columns x rows, or the size of a cell in pixels."""
    sheet: Annotated[str, Argument(process="As texturepacker, godot.")] = ""
    """Formats of the data beside it, with commas: texturepacker, godot, unity, tiled; atlas."""
    columns: Annotated[int | None, Argument(process="Of the sheet.")] = None
    """By default as many as make it nearly square."""
    animation: Annotated[AnimationFormat | None, _TEXT, Argument(process="gif, apng or webp.")] = (
        None
    )
    fps: Annotated[int | None, Argument(process="1 to 60.")] = None
    """Frames a second of an animation; 10 by default."""
    icons: Annotated[IconSet | None, _TEXT, Argument(process="ico, icns, web or app.")] = None
    applied_style: Annotated[AppliedStyle | None, Argument()] = None
    remarks: Annotated[tuple[str, ...], Argument()] = ()
    """What its result says of the request itself: what came out of a style or a file."""
    owner: Annotated[str, Argument()] = ""
    """The mark of the caller whose pictures these will be; empty for this machine's owner."""


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
def declared_arguments(kind: Surface) -> tuple[DeclaredArgument, ...]:
    """The arguments that a caller may give there, in the order of the fields."""
    hints = get_type_hints(ImageRequest, include_extras=True)
    declared: list[DeclaredArgument] = []
    for field in fields(cast(Any, ImageRequest)):
        value_type, *schema, argument = get_args(hints[field.name])
        abouts: Mapping[Surface, str] = {
            "generate": argument.about,
            "edit": argument.edit,
            "process": argument.process,
        }
        about = abouts[kind]
        if argument.others is not None and kind != "process":
            value_type = argument.others
        if about:
            empty = inspect.Parameter.empty
            declared.append(
                DeclaredArgument(
                    name=field.name,
                    type=Annotated[value_type, *schema] if schema else value_type,
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


PROCESSING_TASKS = frozenset[Task](("upscale", "remove_background"))
"""Those that work on a finished picture and make none."""

STEERING = frozenset(
    (
        "provider",
        "model",
        "quality",
        "preference",
        "max_cost_usd",
        "allow_paid",
        "output_format",
        "file_name",
    )
)
"""Fields that change which route is taken, or where the picture goes, and not what it shows."""


def set_fields(request: ImageRequest) -> dict[str, Any]:
    """The fields that differ from their defaults, as JSON has them."""
    values: dict[str, Any] = _adapter().dump_python(request, mode="json", exclude_defaults=True)
    values.pop("remarks", None)
    references = values.get("references", ())
    guides = (item["image"] for item in values.get("control", ()))
    for image in (values.get("image"), values.get("mask"), *references, *guides):
        if image is not None:  # what follows from the picture, or is only said of it
            image.pop("box", None)
            image.pop("note", None)
    return values


def input_notes(request: ImageRequest) -> tuple[str, ...]:
    """What is said of a request itself, and of the pictures that it works from."""
    guides = (item.image for item in request.control)
    given = (request.image, request.mask, *request.references, *guides)
    notes = (image.note for image in given if image is not None and image.note)
    return tuple(dict.fromkeys((*request.remarks, *notes)))


def leave_out(request: ImageRequest, *names: str) -> str:
    """How a request is made without some fields: also where a style gave them."""
    style = request.applied_style
    if style is not None and set(names) & set(style.fields):
        return f"leave out style {style.name}, which asks for it"
    return f"leave out {', '.join(names)}"


def task_of(request: ImageRequest) -> Work:
    """What a model must be able to do to serve this request."""
    if request.upscale is not None:
        return "upscale"
    if request.remove_background:
        return "remove_background"
    if request.image is None:
        return "text_to_image"
    return "image_to_image" if request.mask is None else "inpaint"


def is_processing(request: ImageRequest) -> bool:
    """Whether a finished picture is worked on: its size and edges are then made here."""
    return task_of(request) in PROCESSING_TASKS


def options_asked(request: ImageRequest) -> frozenset[Option]:
    """What a model must honour beside the task to serve this request."""
    asked: dict[Option, bool] = {
        "strength": request.strength is not None,
        "negative_prompt": bool(request.negative_prompt.strip()),
        "seed": request.seed is not None,
        "steps": request.steps is not None,
        "guidance_scale": request.guidance_scale is not None,
        "sampler": request.sampler is not None,
        "scheduler": request.scheduler is not None,
        "transparent": request.transparent,
        "seamless": request.seamless and not is_processing(request),
        "style": bool(request.style),
    }
    return frozenset(option for option, is_asked in asked.items() if is_asked)


@cache
def _adapter() -> TypeAdapter[ImageRequest]:
    return TypeAdapter(ImageRequest)


def fingerprint(requests: Sequence[ImageRequest]) -> str:
    """The same for the same requests, in every version that knows the fields that are set."""
    facts = {"version": FINGERPRINT_VERSION, "requests": [set_fields(r) for r in requests]}
    return f"v{FINGERPRINT_VERSION}-{digest(facts)[:24]}"


def digest(facts: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of facts as canonical JSON."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
