"""A template for vendors whose models differ only in names: rows say where each value stands."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, JsonValue

from ziggie_image_mcp.errors import RequestRejected
from ziggie_image_mcp.provider.capabilities import (
    Bucket,
    Buckets,
    ControlSupport,
    FreeSize,
    LoraSupport,
    MaskPolarity,
    Option,
    SameAsInput,
    SizeRule,
    Task,
    TaskCapability,
)
from ziggie_image_mcp.provider.http import Files
from ziggie_image_mcp.provider.json_paths import put
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.nouns import Defaults, Model, ProviderRequest, options_of
from ziggie_image_mcp.provider.settings import ModelRow, Section
from ziggie_image_mcp.provider.vendor import Vendor, to_data_url

MIB = 2**20

Word = Literal[
    "prompt",
    "width",
    "height",
    "size",
    "bucket",
    "ratio",
    "tier",
    "num_images",
    "factor",
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "strength",
    "quality",
    "transparent",
    "seamless",
    "style",
]
"""Our words for what a model may take besides pictures. `size` is width and height as one text;
`bucket` the name of a size in `shapes`, of which `ratio` is what stands before a blank, and `tier`
what stands behind it, as in `16:9 2K`."""

_OPTIONS: frozenset[str] = frozenset(get_args(Option))


_SIZES: frozenset[Word] = frozenset(("width", "height", "size", "bucket", "ratio", "tier"))


class TaskFields(Section):
    """What is otherwise in one task of a model."""

    path: str = ""
    """Where its requests go."""
    inputs: dict[Word, str] = Field(default={})
    """Laid over the row's; an empty path takes a word away."""
    always: dict[str, JsonValue] = Field(default={})
    """Beside the row's."""


class LoraFields(Section):
    """How a model takes LoRAs, which requests name by whatever the vendor takes."""

    path: str
    """Of the list, as `loras[]`."""
    name: str
    weight: str
    """The keys of one."""
    max_count: int = Field(default=3, ge=1)


class ControlFields(Section):
    """How a model takes pictures that guide the composition."""

    path: str
    """Of the picture; below a list, as `controlnets[].image`, each has its own entry."""
    weight: str = ""
    kind: str = ""
    """Paths of the others; empty where they are not said."""
    kinds: dict[str, str] = Field(default={})
    """Of finished maps: our word, and the vendor's."""
    computed: dict[str, str] = Field(default={})
    """Of maps that the vendor makes out of a picture."""
    max_count: int = Field(default=1, ge=1)
    required: bool = False
    """Whether the model makes nothing without one."""


class FieldRow(ModelRow):
    """The facts of one model. In config.json only what differs need be given.

    Where a value goes in the model's body is said as a path: `parameters.n`, `image[]` for one
    more of a list, `messages[0]` for the first.
    """

    path: str = ""
    """Where its requests go, below the base URL; `{model}` is its id. Empty: the vendor's usual."""
    works: frozenset[Task] = Field(default=frozenset(("text_to_image",)), min_length=1)
    """The tasks that it does."""
    by_task: dict[Task, TaskFields] = Field(default={})
    inputs: dict[Word, str] = Field(default={"prompt": "prompt"})
    """Our word to a path; what is not here the model does not take."""
    always: dict[str, JsonValue] = Field(default={})
    """By path: sent with every job, as output_format."""
    size_separator: str = "x"
    """Between width and height in `size`."""
    transparent_word: str = "transparent"
    """What asks for a transparent ground."""
    images: tuple[str, ...] = ()
    """Paths of pictures to work from, in their order; a last one with [] takes all the others."""
    references: tuple[str, ...] = ()
    """Paths of references where they do not follow upon the picture to change."""
    max_inputs: int = Field(default=1, ge=1)
    """How many pictures it takes, that to change and references together."""
    edits_with_references: bool = True
    """False where a picture to change is taken alone."""
    encoding: Literal["data_url", "base64"] = "data_url"
    """How it takes them."""
    max_input_bytes: int = Field(default=25 * MIB, ge=1)
    max_input_pixels: int | None = Field(default=None, ge=1)
    mask: str = ""
    """Path of a mask; empty where it takes none."""
    mask_polarity: MaskPolarity = "alpha"
    max_mask_bytes: int = Field(default=4 * MIB - 1, ge=1)
    max_seed: int = Field(default=2**32 - 1, ge=1)
    default_quality: str = ""
    bounds: dict[Option, tuple[float, float]] = Field(default={})
    """The least and the most of a number, as of steps."""
    factors: tuple[int, ...] = ()
    """Of an upscaler: how many times the sides may grow."""
    loras: LoraFields | None = None
    control: ControlFields | None = None


class FieldVendor(Vendor):
    """A vendor whose rows say all of what a request needs. Its table holds `FieldRow`s.

    Comes before `SyncVendor` or `PolledVendor` among the bases.
    """

    max_body_bytes: ClassVar[int | None] = None
    """Of one request, its pictures included: in JSON as base64."""

    # What the models can do

    def tasks(self, row: Any) -> Mapping[Task, TaskCapability]:
        """What the row says that it works at."""
        return {task: self._capability(row, task) for task in sorted(row.works)}

    def defaults(self, row: Any) -> Defaults:
        """The quality too."""
        return replace(super().defaults(row), quality=row.default_quality)

    def _capability(self, row: FieldRow, task: Task) -> TaskCapability:
        words = inputs_of(row, task)
        able = replace(
            self.capability(row),
            options=frozenset(word for word in words if word in _OPTIONS),  # type: ignore[misc]
            max_images=row.max_images if "num_images" in words else 1,
            bounds={option: both for option, both in row.bounds.items() if option in words},
            loras=_lora_support(row),
            control=_control_support(row),
        )
        own = row.references or row.images
        if task == "text_to_image":
            guided = row.control is not None and row.control.required
            if not (row.shapes or guided or self.takes_size(words)):
                able = replace(able, sizes=_as_it_comes(row))
            return replace(able, max_references=row.max_inputs if own else 0)
        if task in ("upscale", "remove_background"):
            factors = row.factors if task == "upscale" else ()
            prompt = able.max_prompt if "prompt" in words else None
            same = _same_size(able.sizes)
            return replace(able, sizes=same, factors=factors, max_prompt=prompt)
        others = row.max_inputs - 1 if row.edits_with_references else 0
        polarity = row.mask_polarity if row.mask and task in ("inpaint", "outpaint") else None
        return replace(able, max_references=others, mask=polarity)

    def takes_size(self, words: Mapping[Word, str]) -> bool:
        """Sometimes overridden: whether a model without `shapes` is told a size."""
        return not _SIZES.isdisjoint(words)

    # A request

    def row(self, model: Model) -> Any:
        """The row of a model."""
        return self.rows.get(model.id) or FieldRow()

    def path(self, request: ProviderRequest, model: Model) -> str:
        """Where the row says, or the vendor's usual place."""
        row: FieldRow = self.row(model)
        task = row.by_task.get(request.task)
        path = (task.path if task else "") or row.path or self.post
        return path.replace("{model}", model.id)

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """Say the request in the words of the row."""
        row: FieldRow = self.row(model)
        body: dict[str, Any] = {}
        if not self.form:
            for path, picture in self._pictures(request, row):
                put(body, path, self.encoded(picture, row))
        values, options = self.values(request, model), options_of(model, request.task)
        for word, path in inputs_of(row, request.task).items():
            if values[word] is not None and (word not in _OPTIONS or word in options):
                put(body, path, values[word])
        for lora in request.loras if row.loras else ():
            assert row.loras is not None
            put(body, row.loras.path, {row.loras.name: lora.id, row.loras.weight: lora.weight})
        self._put_control(body, request, row)
        for path, value in always_of(row, request.task).items():
            put(body, path, value)
        return body

    def values(self, request: ProviderRequest, model: Model) -> dict[Word, Any]:
        """Sometimes overridden: our words, with what this request says by each; None: nothing."""
        row: FieldRow = self.row(model)
        ratio, _, tier = request.bucket.partition(" ")
        return {
            "prompt": request.prompt or None,
            "width": request.width,
            "height": request.height,
            "size": f"{request.width}{row.size_separator}{request.height}",
            "bucket": request.bucket or None,
            "ratio": ratio or None,
            "tier": tier or None,
            "num_images": request.num_images,
            "factor": request.factor,
            "negative_prompt": request.negative_prompt or None,
            "seed": request.seed % (row.max_seed + 1),
            "steps": request.steps,
            "guidance_scale": request.guidance_scale,
            "sampler": request.sampler,
            "scheduler": request.scheduler,
            "strength": request.strength,
            "quality": request.quality or None,
            "transparent": row.transparent_word if request.transparent else None,
            "seamless": request.seamless or None,
            "style": request.style or None,
        }

    def files(self, request: ProviderRequest, model: Model) -> Files:
        """The pictures of a form."""
        if not self.form:
            return ()
        named = self._pictures(request, self.row(model))
        return [
            (path, (f"picture{i}.png", picture, "image/png"))
            for i, (path, picture) in enumerate(named)
        ]

    def check(
        self, request: ProviderRequest, model: Model, body: Mapping[str, Any], files: Files
    ) -> None:
        """Refuse pictures that are too large to be taken.

        Raises:
            RequestRejected: One is, or all together are.
        """
        self._check_pictures(request, self.row(model))
        if self.max_body_bytes is not None:
            size = len(json.dumps(body).encode()) + sum(len(data) for _, (_, data, _) in files)
            if size > self.max_body_bytes:
                most = self.max_body_bytes if self.form else self.max_body_bytes * 3 // 4
                raise self._too_large("all the pictures together are", most)

    def seed(self, request: ProviderRequest, model: Model, index: int) -> int | None:
        """The seed that the model was given: some take smaller ones only."""
        seed = super().seed(request, model, index)
        return None if seed is None else seed % (self.row(model).max_seed + 1)

    def encoded(self, picture: bytes, row: Any) -> str:
        """Sometimes overridden: a picture as text in the body."""
        if row.encoding == "data_url":
            return to_data_url(picture)
        return base64.b64encode(picture).decode()

    def _pictures(self, request: ProviderRequest, row: FieldRow) -> list[tuple[str, bytes]]:
        """The pictures of a request, each with where it goes: to change, references, mask."""
        first = [] if request.image is None else [request.image]
        if row.references:
            named = list(_placed(row.images, first))
            named += _placed(row.references, request.references)
        else:
            named = list(_placed(row.images, [*first, *request.references]))
        if request.mask is not None and row.mask:
            named.append((row.mask, convert_mask(request.mask, row.mask_polarity)))
        if self.form and row.control:
            named += [(row.control.path, c.image) for c in request.control if c.image]
        return named

    def _put_control(self, body: dict[str, Any], request: ProviderRequest, row: FieldRow) -> None:
        fields = row.control
        if fields is None:
            return
        for control in request.control:
            words = fields.computed if control.compute else fields.kinds
            first = fields.path
            if control.image is not None and not self.form:
                put(body, first, self.encoded(control.image, row))
            else:
                first = ""
            for path, value in (
                (fields.weight, control.weight),
                (fields.kind, words.get(control.kind)),
            ):
                if path and value is not None:
                    put(body, _same_entry(path) if first else path, value)

    def _check_pictures(self, request: ProviderRequest, row: FieldRow) -> None:
        pictures = [] if request.image is None else [request.image]
        for picture in (*pictures, *request.references):
            if len(picture) > row.max_input_bytes:
                raise self._too_large("a picture to work from is", row.max_input_bytes)
            most = row.max_input_pixels
            if most is not None and pixels(picture) > most:
                what = f"a picture has more than {most / 1e6:.1f} million pixels; scale it down"
                raise RequestRejected(self.name, what)
        if request.mask is not None and row.mask:
            mask = convert_mask(request.mask, row.mask_polarity)
            if len(mask) > row.max_mask_bytes:
                raise self._too_large("the mask is", row.max_mask_bytes)

    def _too_large(self, what: str, most: int) -> RequestRejected:
        message = f"{what} larger than the {most / MIB:.3g} MiB that {self.name} takes"
        return RequestRejected(self.name, f"{message}; use smaller ones. Nothing was sent.")


def inputs_of(row: FieldRow, task: Task) -> Mapping[Word, str]:
    """The paths of our words in one task of a model."""
    changes = row.by_task.get(task)
    merged = row.inputs | (changes.inputs if changes else {})
    return {word: path for word, path in merged.items() if path}


def always_of(row: FieldRow, task: Task) -> Mapping[str, JsonValue]:
    """What goes out with every request of one task of a model, by path."""
    changes = row.by_task.get(task)
    return row.always | (changes.always if changes else {})


def pixels(png: bytes) -> int:
    """Of a PNG, by its head; 0 of anything else."""
    if len(png) < 24 or not png.startswith(b"\x89PNG"):
        return 0
    width, height = struct.unpack(">II", png[16:24])
    return int(width * height)


def _placed(paths: Sequence[str], pictures: Sequence[bytes]) -> list[tuple[str, bytes]]:
    """Each picture with its path; the last path is that of all the others."""
    return [(paths[min(i, len(paths) - 1)], picture) for i, picture in enumerate(pictures) if paths]


def _same_entry(path: str) -> str:
    """The path to the last entry of a list rather than to one more."""
    return path.replace("[]", "[-1]")


def _lora_support(row: FieldRow) -> LoraSupport | None:
    if row.loras is None:
        return None
    return LoraSupport(max_count=row.loras.max_count, listed=False)


def _control_support(row: FieldRow) -> ControlSupport | None:
    if row.control is None:
        return None
    return ControlSupport(
        kinds=frozenset(row.control.kinds),
        computed=frozenset(row.control.computed),
        max_count=row.control.max_count,
        required=row.control.required,
    )


def _as_it_comes(row: FieldRow) -> SizeRule:
    """Of a model that takes no size: its native one is a promise of nothing."""
    native = Bucket(width=row.native_width, height=row.native_height)
    return Buckets(sizes=(native,), exact=False)


def _same_size(sizes: SizeRule) -> SizeRule:
    return SameAsInput(accepts=sizes) if isinstance(sizes, FreeSize) else sizes
