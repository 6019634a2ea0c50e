"""Make a request again out of a picture's file, for the engines that are here now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import gcd
from pathlib import PurePath
from typing import Any, cast

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.model_facts import recognise
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.additions import read_control, with_prompt_loras
from ziggie_image_mcp.routing.asset_wishes import with_contract
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ControlImage, ImageRequest
from ziggie_image_mcp.routing.request_checks import MAX_REFERENCES, MAX_SEED, check_request
from ziggie_image_mcp.storage.picture_ids import PICTURE_ID, named_id, unquoted
from ziggie_image_mcp.storage.types import FileRecipe, InputImage

MOST_UNREAD = 12
"""So much of what is not read, or left out, is told by name."""

MOST_LORAS = 32
"""So many of a file are tried; each takes a plan."""


@dataclass(frozen=True, kw_only=True)
class FilePictures:
    """What else a recipe works from, as far as the caller may name it."""

    references: tuple[InputImage, ...] = ()
    control: tuple[ControlImage, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Value:
    """One thing that the file says, and what it changes of a request."""

    words: str
    """What it is, for what is told: `steps 20`."""
    apply: Callable[[ImageRequest], ImageRequest]


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A request with what a file says."""

    request: ImageRequest
    fields: frozenset[str]
    """Those that are the file's and not the caller's."""


def file_pictures(
    recipe: FileRecipe, open_picture: Callable[..., InputImage]
) -> tuple[FileRecipe, FilePictures]:
    """The pictures that a recipe of ours names, and the recipe with those missing told as unread.

    Args:
        recipe: Of a file.
        open_picture: Gives the picture of an id, for a field; raises InvalidRequest.
    """
    references, control, gone = list[InputImage](), list[ControlImage](), list[str]()
    for image_id in recipe.references:
        try:
            _check_id(image_id, "references", len(references) + len(gone))
            references.append(open_picture(image_id, field="references"))
        except InvalidRequest:
            gone.append(f"reference {image_id}")
    try:
        named = read_control(recipe.control) if recipe.control else []
    except InvalidRequest:
        named, gone = [], [*gone, f"control {recipe.control}"]
    for number, one in enumerate(named):
        try:
            _check_id(one.picture, "control", number)
            image = open_picture(one.picture, field="control")
        except InvalidRequest:
            gone.append(f"control {one.kind}:{one.picture}")
            continue
        control.append(
            ControlImage(kind=one.kind, image=image, weight=one.weight, compute=one.compute)
        )
    recipe = replace(recipe, unread=(*gone, *recipe.unread))
    return recipe, FilePictures(references=tuple(references), control=tuple(control))


def _check_id(text: str, field: str, number: int) -> None:
    """Refuse what is no id: a file that somebody else wrote opens no file and no address here."""
    if PICTURE_ID.fullmatch(text) is None:
        raise InvalidRequest(field, text, "only ids of pictures made here are followed")
    if number >= MAX_REFERENCES:
        raise InvalidRequest(field, text, f"at most {MAX_REFERENCES}")


def shown_name(name: str) -> str:
    """What a picture's file is called in what is told of it."""
    text = unquoted(name)
    if text[:5].lower() == "data:":
        return "the picture"
    return named_id(text) or PurePath(text).name or text


def with_file_recipe(
    request: ImageRequest,
    recipe: FileRecipe,
    name: str,
    context: RoutingContext,
    pictures: FilePictures,
) -> Filled:
    """Take from the file what the caller does not say and some route here can honour.

    The most telling comes first: the model, the size and the seed are kept where they exclude a
    sampler. What is left out, and what the caller has otherwise, the result says.

    Args:
        request: What the caller says.
        recipe: What the file says.
        name: Of the file.
        context: Of any request.
        pictures: That the file names.

    Raises:
        InvalidRequest: Neither says a prompt, or the file's cannot be used.
    """
    explicit = {f for f, value in vars(request).items() if value != _DEFAULTS[f]}
    remarks, missed = list[str](), list[str]()
    prompt = request.prompt if request.prompt.strip() else recipe.prompt
    if not prompt.strip():
        fix = "its file tells no prompt: give one beside it"
        if recipe.unread:
            fix = f"{fix} ({', '.join(recipe.unread[:3])})"
        raise InvalidRequest("like", name, fix)
    current = with_prompt_loras(replace(request, prompt=prompt))
    tagged = tuple(lora for lora in current.loras if lora not in request.loras)
    current = replace(current, loras=request.loras, style="")  # its values come later
    loras = (*recipe.loras, *tagged)
    if len(loras) > MOST_LORAS:
        unread = (*recipe.unread, f"{len(loras) - MOST_LORAS} further LoRAs")
        recipe = replace(recipe, unread=unread)
    recipe = replace(recipe, loras=loras[:MOST_LORAS])
    check_request(current)
    used = ["prompt"] if prompt is not request.prompt else []
    routes = _Routes(context)
    for field, value in _values(recipe, pictures, request):
        own = getattr(request, field)
        if field in explicit and field != "loras":
            if own != getattr(value.apply(request), field):
                remarks.append(f"{field} {_short(own)}, not as {name} has it ({value.words})")
            continue
        try:
            changed = value.apply(current)
            check_request(with_contract(changed))
        except InvalidRequest as e:
            missed.append(f"{value.words} ({_why_not(e)})")
            continue
        if routes.has_one(changed, must=field == "model"):
            current = changed
            used.append(value.words)
        elif field == "model" and routes.has_one(kin := _of_its_family(current, recipe)):
            current = kin
            missed.append(f"{value.words} (not here: another of family {kin.model})")
        elif field == "width" and routes.has_one(shaped := _shaped(current, recipe)):
            current = shaped
            used.append(f"the shape of {value.words}")
            missed.append(f"{value.words} (no route here makes that size)")
        else:
            missed.append(f"{value.words} (no route here takes it)")
    told = [f"like {name} ({recipe.source}): {', '.join(used) or 'nothing of it is used'}"]
    told += [f"not as in {name}: {_first_of(missed)}"] if missed else []
    told += [f"in {name} and not used: {_first_of(recipe.unread)}"] if recipe.unread else []
    current = replace(current, style=request.style)
    changed_fields = {f for f, value in vars(current).items() if value != getattr(request, f)}
    return Filled(
        request=replace(current, remarks=(*request.remarks, *told, *remarks)),
        fields=frozenset(changed_fields),
    )


class _Routes:
    """Whether some route takes a request. What has to be paid counts where the model was named."""

    def __init__(self, context: RoutingContext) -> None:
        self._context = context
        self._paid = False

    def has_one(self, request: ImageRequest, *, must: bool = False) -> bool:
        context = replace(self._context, request=request)
        decided = planner.plan(context)
        if decided.candidates:
            return True
        if not (must or self._paid) or planner.quote(context, decided) is None:
            return False
        self._paid = True
        return True


def _values(
    recipe: FileRecipe, pictures: FilePictures, request: ImageRequest
) -> list[tuple[str, _Value]]:
    """What the file says, each by the field that the caller may say instead, first things first."""
    size = {"width": recipe.width, "height": recipe.height}
    listed: list[tuple[str, _Value]] = []

    def add(field: str, words: str, **changes: Any) -> None:
        listed.append((field, _Value(words=words, apply=lambda r: replace(r, **changes))))

    if recipe.model:
        add("model", f"model {recipe.model}", model=recipe.model)
    if recipe.provider:
        add("provider", f"provider {recipe.provider}", provider=recipe.provider)
    if None not in size.values() and request.aspect_ratio is None:
        add("width", f"size {recipe.width}x{recipe.height}", **size)
    for field in ("seed", "negative_prompt", "guidance_scale", "steps"):
        value = getattr(recipe, field)
        if value not in (None, ""):
            add(field, _words(field, value), **{field: value})
    for lora in recipe.loras:
        laid_over = {one.id for one in request.loras}
        if lora.id not in laid_over:

            def also(r: ImageRequest, one: Any = lora) -> ImageRequest:
                return replace(r, loras=(*r.loras, one))

            words = f"LoRA {lora.id}:{lora.weight:g}"
            listed.append(("loras", _Value(words=words, apply=also)))
    for field in ("transparent", "seamless"):
        if getattr(recipe, field):
            add(field, field, **{field: True})
    if pictures.references:
        words = f"{len(pictures.references)} references"
        add("references", words, references=pictures.references)
    if pictures.control:
        add("control", "control pictures", control=pictures.control)
    for field in ("sampler", "scheduler", "asset"):
        if value := getattr(recipe, field):
            add(field, f"{field} {value}", **{field: value})
    return listed


def _first_of(words: Sequence[str]) -> str:
    more = len(words) - MOST_UNREAD
    return ", ".join(words[:MOST_UNREAD]) + (f" and {more} more" if more > 0 else "")


def _why_not(error: InvalidRequest) -> str:
    """Why a value of a file is none for a request; nobody is there to give another."""
    if error.field == "seed":
        return f"engines here take 0 to {MAX_SEED}"
    return error.fix.partition(", or leave it out")[0]


def _words(field: str, value: object) -> str:
    return "negative_prompt" if field == "negative_prompt" else f"{field} {_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return f"of {len(cast(tuple[object, ...], value))}"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _of_its_family(request: ImageRequest, recipe: FileRecipe) -> ImageRequest:
    """The same with any model of the family that the file's model is known to be of."""
    known = recognise(recipe.model)
    return replace(request, model=known.family if known is not None else recipe.model)


def _shaped(request: ImageRequest, recipe: FileRecipe) -> ImageRequest:
    """The same with the shape of the file's picture, at whatever size a model makes it."""
    width, height = recipe.width or 1, recipe.height or 1
    shared = gcd(width, height)
    wide, high = width // shared, height // shared
    if max(wide, high) > 40:
        wide, high = round(width / height * 20), 20
    if not 1 / 4 <= wide / high <= 4:
        return request
    return replace(request, aspect_ratio=f"{wide}:{high}")


_DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in fields(cast(Any, ImageRequest))}
