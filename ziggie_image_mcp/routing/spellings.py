"""Read arguments as models and people write them: what means one thing is taken, else refused.

One place for the tools, the command line and batch files, so that all three take the same
spellings and say the same words.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from ziggie_image_mcp.assets.contract import contract_palette_file, contract_text, read_contract
from ziggie_image_mcp.assets.finish import FIND
from ziggie_image_mcp.errors import ImageError, InvalidRequest, plain_key, quote, suggestion
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.routing.additions import read_loras
from ziggie_image_mcp.routing.request_checks import TAKES, shape_of

_UNSET = frozenset(("", "null", "none", "nil", "undefined"))
_AUTOMATIC = frozenset(("auto", "automatic", "default"))
"""Said of an argument that is left to the route."""
PROVIDER_KINDS = frozenset(("auto", "local", "cloud"))
_FREE_TEXTS = frozenset(("prompt", "negative_prompt", "file_name", "request_id", "query", "style"))
_NAMES_OF_PICTURES = frozenset(("image", "image_id", "mask", "references", "control", "like"))
_VALUES: Mapping[str, Mapping[str, str]] = {
    "output_format": {"jpg": "jpeg", "jpe": "jpeg", "pjpeg": "jpeg"},
    "animation": {"png": "apng"},
    "icons": {"favicon": "web", "pwa": "web", "macos": "icns", "windows": "ico", "mobile": "app"},
    "quality": {"low": "draft", "medium": "standard", "normal": "standard", "hd": "high"},
    "preference": {
        "cheap": "cost",
        "cheapest": "cost",
        "price": "cost",
        "fast": "speed",
        "fastest": "speed",
        "best": "quality",
    },
}
"""Other words for a value of an argument."""
_NAMES: Mapping[str, str] = {
    "n": "num_images",
    "count": "num_images",
    "numberofimages": "num_images",
    "numoutputs": "num_images",
    "negative": "negative_prompt",
    "ratio": "aspect_ratio",
    "aspect": "aspect_ratio",
    "cfg": "guidance_scale",
    "cfgscale": "guidance_scale",
    "guidance": "guidance_scale",
    "numinferencesteps": "steps",
    "samplername": "sampler",
    "format": "output_format",
    "filename": "file_name",
    "modelid": "model",
    "modelname": "model",
    "maxcost": "max_cost_usd",
    "imageid": "image",
    "imagepath": "image",
    "inputimage": "image",
    "maskimage": "mask",
    "referenceimages": "references",
    "likeimage": "like",
    "lora": "loras",
    "controlnet": "control",
    "controlimage": "control",
    "colours": "colors",
    "numcolors": "colors",
    "padding": "pad",
    "crop": "trim",
    "tileable": "seamless",
    "grid": "slice",
    "spritesheet": "sheet",
    "atlas": "sheet",
    "framerate": "fps",
    "icon": "icons",
}
"""Other names of arguments, without case and separators, where a tool has none of that name."""
_FILLERS = frozenset(
    ("args", "arguments", "dummy", "input", "kwargs", "noargs", "params", "placeholder")
)
"""What clients send to a tool that takes nothing, because they cannot send nothing."""

_YES = frozenset(("true", "yes", "y", "on", "1"))
_NO = frozenset(("false", "no", "n", "off", "0"))
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[+-]?(?:nan|inf|infinity)")
_LONGEST_NUMBER = 40
_UNITS: Mapping[str, str] = {
    "width": r"\s*(?:px|pixels?)",
    "height": r"\s*(?:px|pixels?)",
    "max_side": r"\s*(?:px|pixels?)",
    "pixel_size": r"\s*(?:px|pixels?)",
    "pad": r"\s*(?:px|pixels?)",
    "wait_seconds": r"\s*(?:s|secs?|seconds?)",
    "max_cost_usd": r"\s*(?:\$|usd|dollars?)",
    "upscale": r"\s*(?:x|times)",
    "fps": r"\s*fps",
}
"""What may stand behind the number."""


class InvalidArguments(ImageError):
    """Raised when arguments are unknown, missing, or not of the kind that they must be."""

    code = "INVALID_ARGUMENT"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(f"{problem.removesuffix('.')}." for problem in problems))
        self.problems = tuple(problems)


class _Unreadable(Exception):
    """Of a value that is not of its kind; says what kind that is."""


def read_arguments(
    given: Mapping[str, object],
    types: Mapping[str, Any],
    *,
    required: Iterable[str] = (),
    owner: str = "",
) -> dict[str, Any]:
    """The arguments that say something, by their own names, each of its own type.

    Args:
        given: As they came: out of JSON, or texts of a command line.
        types: What arguments there are, and of which type.
        required: Those that must be there; nothing that is said of them is taken for nothing.
        owner: Who takes them, for what is said of those that are unknown.

    Raises:
        InvalidArguments: Some are unknown or missing, or their values cannot be meant; says all.
    """
    values, problems = dict[str, Any](), list[str]()
    must = frozenset(required)
    for written, value in given.items():
        name = _name(written, types)
        if name == "size" and isinstance(value, str):
            problems += _put_size(value, values, written)
            continue
        if name not in types:
            if not _says_nothing(value) and not (not types and _is_filler(written)):
                problems.append(_unknown(written, types, owner))
            continue
        if name not in must and _is_unset(name, value):
            continue
        if name in values:
            problems.append(f"{written!r} and another argument both say {name}: give one of them")
            continue
        try:
            values[name] = read_value(name, value, types[name])
        except _Unreadable as e:
            problems.append(f"{name}={_shown(value)} cannot be used: {_fix(name, str(e))}")
    seen = {_name(written, types) for written in given}
    missing = [name for name in must if name not in seen]
    problems += [f"The argument {name!r} is missing: {_fix(name, '')}" for name in missing]
    if problems:
        raise InvalidArguments(problems)
    return values


def read_value(name: str, value: object, annotation: Any) -> Any:
    """One value, of the type that the annotation names."""
    kind = kind_of(annotation)
    if name == "seed" and _word(value) in ("-1", "-1.0", "random"):
        return None
    if name == "expand":
        return _margins(value)
    if name == "loras":
        return _read_loras(value)
    if name == "asset":
        return _read_asset(value)
    if get_origin(kind) is Literal:
        return _choice(name, value, [str(choice) for choice in get_args(kind)])
    if kind is bool:
        return _flag(value)
    if kind is int:
        return _whole_number(name, value)
    if kind is float:
        return _number(name, value)
    text = _text(name, value)
    if name == "aspect_ratio":
        return shape_of(text)
    if name == "provider" and text.lower() in PROVIDER_KINDS:
        return text.lower()
    return text


def provider_named(text: str, names: Iterable[str]) -> str:
    """The provider of this name in any case; the text itself where there is none."""
    names = tuple(names)
    if text in names:
        return text
    return next((name for name in names if name.lower() == text.lower()), text)


def names_in(text: str) -> list[str]:
    """The pictures of an argument that may name several: by commas, or as a list in JSON."""
    if text.lstrip().startswith("["):
        try:
            listed: object = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            return [str(one).strip() for one in cast(list[object], listed) if str(one).strip()]
    parts = text.split(",")
    names: list[str] = []
    while parts:
        part = parts.pop(0).strip()
        if part[:5].lower() == "data:" and parts:  # its comma is its own
            part = f"{part},{parts.pop(0).strip()}"
        names += [part] if part else []
    return names


def one_name(text: str) -> str:
    """The picture of an argument that takes one; a list of one in JSON is that one."""
    names = names_in(text) if text.lstrip().startswith("[") else [text]
    return names[0] if len(names) == 1 else text


def _name(written: str, types: Mapping[str, Any]) -> str:
    """The argument that is meant by a name; the name itself where there is none."""
    if written in types:
        return written
    plain = plain_key(_plain(written))
    by_plain = {plain_key(name): name for name in types}
    if plain in by_plain:
        return by_plain[plain]
    if plain == "size" and {"width", "height"} <= types.keys():
        return "size"
    other = _NAMES.get(plain, "")
    return other if other in types else written


def _put_size(text: str, values: dict[str, Any], written: str) -> list[str]:
    """`size` as OpenAI and others have it: 1024x1024. What is wrong with it."""
    if _word(text) in _UNSET | _AUTOMATIC:
        return []
    match = re.fullmatch(r"(\d{1,5})\s*[x\u00d7*]\s*(\d{1,5})", _word(text))
    if match is None or values.keys() & {"width", "height"}:
        return [f"{written}={_shown(text)} cannot be used: give width and height, in pixels"]
    values |= {"width": int(match[1]), "height": int(match[2])}
    return []


def _is_unset(name: str, value: object) -> bool:
    """Whether a value is what is sent for an optional argument that was left out."""
    if _says_nothing(value):
        return True
    word = _word(value)
    if name in _FREE_TEXTS or name in _NAMES_OF_PICTURES:
        return False
    return word in _AUTOMATIC and (name, word) != ("provider", "auto") and name != "pixel_size"


def _says_nothing(value: object) -> bool:
    return value in (None, [], {}) or (isinstance(value, str) and _word(value) in _UNSET)


def _is_filler(name: str) -> bool:
    plain = plain_key(name)
    return plain in _FILLERS or plain.startswith(("random", "arg")) or not plain.isalpha()


def _unknown(written: str, types: Mapping[str, Any], owner: str) -> str:
    shown = quote(repr(written))
    if not types:
        return f"There is no argument {shown}: {owner or 'this'} takes none"
    hint = suggestion(written, types)
    return f"There is no argument {shown}.{hint} Arguments: {', '.join(types)}"


def _fix(name: str, kind: str) -> str:
    takes = TAKES.get(name, "")
    if not (kind and takes):
        return kind or takes
    return f"{kind}, {takes}" if takes.startswith("or ") else f"{kind}: {takes}"


def kind_of(annotation: Any) -> Any:
    """The type of what an annotation takes, without None and what is said of it."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return annotation
    real = [part for part in get_args(annotation) if part is not NoneType]
    if len(real) == 1 and NoneType in get_args(annotation):
        return kind_of(real[0])
    return annotation


def _plain(text: str) -> str:
    """Full-width signs as their plain ones, no blanks and quotes around."""
    text = unicodedata.normalize("NFKC", text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`":
        text = text[1:-1].strip()
    return text


def _word(value: object) -> str:
    return _plain(str(value)).lower() if isinstance(value, str | int | float) else ""


def _shown(value: object) -> str:
    return quote(json.dumps(value, ensure_ascii=False, default=str))


def _choice(name: str, value: object, choices: Sequence[str]) -> str:
    word = _word(value).removeprefix("image/").strip(". ")
    word = _VALUES.get(name, {}).get(word, word)
    if isinstance(value, bool) or word not in choices:
        raise _Unreadable(", ".join(choices[:-1]) + f" or {choices[-1]}")
    return word


def _flag(value: object) -> bool:
    word = _word(value)
    if word not in _YES | _NO:
        raise _Unreadable("true or false")
    return word in _YES


def _number(name: str, value: object) -> float:
    text = _word(value)
    if name == "max_cost_usd":
        text = text.removeprefix("$").strip()
    if isinstance(value, str) and name in _UNITS:
        text = re.sub(f"(?<=[0-9.]){_UNITS[name]}$", "", text)
    if isinstance(value, bool) or not _NUMBER.fullmatch(text) or len(text) > _LONGEST_NUMBER:
        raise _Unreadable("a number")
    return float(text)


def _whole_number(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**_LONGEST_NUMBER:
            raise _Unreadable("a whole number")
        return value
    text = _word(value)
    if name == "pixel_size" and text in _AUTOMATIC:
        return FIND
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", text) and len(text) <= _LONGEST_NUMBER:
        return int(text)
    try:
        number = _number(name, value)
    except _Unreadable:
        number = 0.5
    if not number.is_integer():
        raise _Unreadable("a whole number")
    return int(number)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value if name in _FREE_TEXTS or name in _NAMES_OF_PICTURES else _plain(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list) and name in _NAMES_OF_PICTURES:
        names = cast(list[object], value)
        if all(isinstance(one, str) for one in names):
            return json.dumps(names, ensure_ascii=False)
    raise _Unreadable("a text")


def _read_loras(value: object) -> tuple[Lora, ...]:
    try:
        return read_loras(_plain(value) if isinstance(value, str) else value)
    except InvalidRequest as e:
        raise _Unreadable(e.fix) from e


def _read_asset(value: object) -> str:
    try:
        text = contract_text(value)
        if not contract_palette_file(text):
            read_contract(text)
    except InvalidRequest as e:
        raise _Unreadable(f"{e.value}: {e.fix}") from e
    return text


def _margins(value: object) -> list[int]:
    """Four numbers of pixels: as a list, as a text with commas, or by the names of the sides."""
    sides = ("left", "top", "right", "bottom")
    parts: list[object] = []
    if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
        parts = [part for part in re.split(r"[,;\s]+", _plain(value)) if part]
    else:
        try:
            read: object = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            read = None
        if isinstance(read, dict) and set(cast(dict[str, object], read)) <= set(sides):
            parts = [cast(dict[str, object], read).get(side, 0) for side in sides]
        elif isinstance(read, list | tuple):
            parts = list(cast(Sequence[object], read))
    if len(parts) != len(sides):
        raise _Unreadable("")
    return [_whole_number("width", part) for part in parts]
