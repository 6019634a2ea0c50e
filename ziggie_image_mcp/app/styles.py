"""Apply a style of the config to a request, as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Any, cast

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.styles import PROMPT, Style, style_named
from ziggie_image_mcp.errors import ConfigError, InvalidRequest, nearest_words
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.jobs import finishing
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.routing.additions import with_prompt_loras
from ziggie_image_mcp.routing.request import AppliedStyle, ImageRequest, task_of
from ziggie_image_mcp.routing.request_checks import MAX_REFERENCES, TAKES, check_request
from ziggie_image_mcp.storage.types import InputImage

MOST_NAMES = 30
"""So many styles are listed where a name is unknown."""

OpenPicture = Callable[[str], InputImage]
"""Takes in a picture that the config names; raises InvalidRequest."""

_VALUES = (
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "seed",
    "transparent",
    "seamless",
    "palette",
    "model",
    "quality",
)
"""Fields of a request that a style sets where the caller did not."""
_SIZE = ("width", "height", "aspect_ratio")


def check_styles(config: Config) -> None:
    """Refuse styles that no request could have, before one is asked for.

    Raises:
        ConfigError: Names the style, the key and what it takes.
    """
    for name, style in config.styles.items():
        try:
            request = _with_values(ImageRequest(prompt="x"), name, style, ())
            check_request(request)
            # a file of a palette is read when it is needed
            finishing.resolved(ImageRequest(prompt="", palette=style.palette or ""), _no_file)
        except InvalidRequest as e:
            raise ConfigError(f"`styles.{name}`: {e}") from e
        except _IsFile:
            continue


def is_word_of_a_vendor(request: ImageRequest, survey: Survey) -> bool:
    """Whether some model takes `style` as a word of its own."""
    task = task_of(request)
    return any("style" in m.tasks[task].options for m in survey.models if task in m.tasks)


def unknown_style(text: str, config: Config) -> InvalidRequest:
    """The error for a name that no style has."""
    names = list(config.styles)
    if not names:
        fix = "config.json has no styles; describe it in the prompt, or add it under `styles`"
        return InvalidRequest("style", text, fix)
    near = nearest_words(text, names, most=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return InvalidRequest("style", text, f"{hint}styles: {', '.join(names[:MOST_NAMES])}{more}")


def with_style(
    request: ImageRequest,
    config: Config,
    open_picture: OpenPicture,
    read: finishing.ReadFile,
    filled: Collection[str] = (),
) -> ImageRequest:
    """The request with all that its style says; the same where its style is none of the config.

    Words, LoRAs and references come together with the caller's. Of single values the caller's wins,
    which the result says.

    Args:
        request: What was asked; `style` names a style.
        config: Has the styles.
        open_picture: For a style's references.
        read: For the file of its palette.
        filled: Fields that the caller did not give, which the style may replace.

    Raises:
        InvalidRequest: There are no words for the style's prompt, or a file of it is not there.
        StorageError: Its pictures cannot be kept.
    """
    name = style_named(request.style, config.styles)
    if not name:
        return request
    style = config.styles[name]
    if not request.prompt.strip():
        raise InvalidRequest("prompt", request.prompt, TAKES["prompt"])
    try:
        styled = _with_values(request, name, style, filled)
        references = tuple(open_picture(one) for one in style.references)
        if style.palette is not None and styled.palette == style.palette:
            styled, _ = finishing.resolved(styled, read)
    except InvalidRequest as e:
        if e.field not in ("references", "palette"):
            raise
        fix = f"its {e.field} {e.value!r} cannot be used: {e.fix}"
        raise InvalidRequest("style", name, fix) from e
    if references:
        together = (*styled.references, *references)
        if len(together) > MAX_REFERENCES:
            fix = f"at most {MAX_REFERENCES}, {len(references)} of which are the style's"
            raise InvalidRequest("references", f"{len(together)} pictures", fix)
        styled = replace(styled, references=together)
    return styled


def _with_values(
    request: ImageRequest, name: str, style: Style, filled: Collection[str]
) -> ImageRequest:
    """What a style says but its pictures."""
    values, remarks = dict[str, Any](), list[str]()
    if style.prompt is not None:
        request = with_prompt_loras(request)
        values["prompt"] = style.prompt.replace(PROMPT, request.prompt.strip())
    if style.negative_prompt is not None:
        both = (request.negative_prompt.strip(), style.negative_prompt)
        values["negative_prompt"] = ", ".join(filter(None, both))
    if style.loras:
        loras = {lora: Lora(id=lora, weight=weight) for lora, weight in style.loras.items()}
        values["loras"] = tuple((loras | {lora.id: lora for lora in request.loras}).values())
    for field in _VALUES:
        value = getattr(style, field)
        if value is None or value is False or value == "random":
            continue
        own = getattr(request, field)
        if own == _DEFAULTS[field] or field in filled:
            values[field] = value
        elif own != value:
            remarks.append(f"{field} {own}, not {value} as style {name} has it")
    values |= _size(request, name, style, filled, remarks)
    used = [field for field, value in values.items() if value is not None]
    used += ["references"] if style.references else []
    remark = f"style {name}: {', '.join(used)}" if used else f"style {name}: nothing of it is used"
    return replace(
        request,
        **values,
        style="",
        applied_style=AppliedStyle(name=name, fields=tuple(used)),
        remarks=(*request.remarks, remark, *remarks),
    )


def _size(
    request: ImageRequest,
    name: str,
    style: Style,
    filled: Collection[str],
    remarks: list[str],
) -> Mapping[str, Any]:
    """The style's size or shape, where the caller named none and no picture has its own."""
    values = {field: getattr(style, field) for field in _SIZE if getattr(style, field) is not None}
    if not values:
        return {}
    wanted = style.aspect_ratio or f"{style.width}x{style.height}"
    if request.image is not None:
        remarks.append(f"the picture keeps its size: style {name} has {wanted}")
        return {}
    if any(getattr(request, field) is not None and field not in filled for field in _SIZE):
        own = request.aspect_ratio or f"{request.width}x{request.height}"
        if own != wanted:
            remarks.append(f"{own}, not {wanted} as style {name} has it")
        return {}
    return dict.fromkeys(_SIZE) | values


_DEFAULTS = {f.name: f.default for f in fields(cast(Any, ImageRequest))}


class _IsFile(Exception):
    """Of a palette that stands in a file."""


def _no_file(path: str) -> bytes:
    raise _IsFile(path)
