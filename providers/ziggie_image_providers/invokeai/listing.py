"""Say what an InvokeAI can run, and what can be laid over it, as models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ziggie_image_mcp.provider import (
    FREE,
    ControlSupport,
    Defaults,
    FreeSize,
    LoraSupport,
    Memory,
    Model,
    Option,
    PriceBook,
    SameAsInput,
    Task,
    TaskCapability,
    Where,
)
from ziggie_image_providers.invokeai import families, parts
from ziggie_image_providers.invokeai.families import EXTERNAL, Kind
from ziggie_image_providers.invokeai.wire import ModelRecord, Stats

MAX_IMAGES = 16
MAX_CONTROL, MAX_REFERENCES = 3, 4
FACTORS = (2, 4)
MOST_PIXELS = 4096 * 4096
GUIDANCE = (1.0, 100.0)
CONTROL_WEIGHTS = (-1.0, 2.0)

ESRGAN: Mapping[str, str] = {
    "RealESRGAN_x4plus": "RealESRGAN_x4plus.pth",
    "RealESRGAN_x4plus_anime_6B": "RealESRGAN_x4plus_anime_6B.pth",
    "RealESRGAN_x2plus": "RealESRGAN_x2plus.pth",
}
"""Upscalers that InvokeAI knows without a model of its listing, with their files."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model with what is needed to run it."""

    model: Model
    record: ModelRecord | None = None
    """None for an upscaler that is no model of the listing."""
    kind: Kind | None = None
    """None for an upscaler."""
    parts: Mapping[str, ModelRecord] | None = None
    """What goes with it, by the field of the loader."""
    file: str = ""
    """Of an upscaler that is no model of the listing."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All that a server has for us."""

    entries: Mapping[str, Entry]
    additions: tuple[Model, ...]
    records: Mapping[tuple[str, str], ModelRecord]
    """What can be laid over a model, by InvokeAI's type and the id under which it is listed."""

    def of(self, type: str, base: str) -> list[ModelRecord]:
        """The models of a type that go with those of a base."""
        return [r for (kind, _), r in self.records.items() if kind == type and r.base == base]


class Lister:
    """Makes models out of a server's records.

    Args:
        name: The provider's name.
        where: Whose host it is on.
        device: Its address.
    """

    def __init__(self, name: str, where: Where, device: str) -> None:
        self._name = name
        self._where: Where = where
        self._device = device

    def read(self, records: Sequence[ModelRecord], stats: Stats, waiting: int) -> Listing:
        """What a server has.

        Args:
            records: Its models of all types.
            stats: Which are in memory.
            waiting: How many jobs wait or run there.
        """
        ids = _ids(records)
        laid = {(r.type, ids[r.key]): r for r in records if r.type in _ROLES}
        listing = Listing(entries={}, additions=(), records=laid)
        entries: dict[str, Entry] = {}
        for record in records:
            entry = self._entry(record, ids[record.key], records, listing)
            if entry is not None:
                ready = entry.kind and entry.model.state == "ready"
                state = "loaded" if ready and stats.holds(record) else entry.model.state
                model = replace(entry.model, queued=waiting, state=state)
                entries[model.id] = replace(entry, model=model)
        for id, file in ESRGAN.items():
            model = replace(self._upscaler(id), queued=waiting, note=_FETCHED)
            entries.setdefault(id, Entry(model=model, file=file))
        additions = (self._addition(record, id) for (_, id), record in laid.items())
        return replace(
            listing, entries=entries, additions=tuple(a for a in additions if a is not None)
        )

    def _entry(
        self, record: ModelRecord, id: str, records: Sequence[ModelRecord], listing: Listing
    ) -> Entry | None:
        if record.type == "external_image_generator" or record.base == EXTERNAL:
            return Entry(model=self._external(record, id), record=record)
        if record.type == "spandrel_image_to_image":
            return Entry(model=self._upscaler(id), record=record)
        if record.type != "main":
            return None
        kind = families.kind_of(record.base, record.variant or "", record.name)
        if kind is None or kind.why_not:
            why = kind.why_not if kind else _NO_GRAPH.format(base=record.base)
            model = replace(
                self._model(id), family=kind.family if kind else None, state="unusable", fix=why
            )
            return Entry(model=model, record=record, kind=kind)
        beside, missing = parts.choose(record, kind, records)
        model = replace(
            self._model(id),
            family=kind.family,
            tasks=_tasks(record, kind, listing),
            distilled=kind.distilled,
            defaults=_defaults(record, kind),
        )
        if missing:
            fix = f"install {' and '.join(missing)} in InvokeAI's model manager"
            model = replace(model, state="missing", fix=fix)
        return Entry(model=model, record=record, kind=kind, parts=beside)

    def _model(self, id: str) -> Model:
        return Model(
            id=id,
            provider=self._name,
            where=self._where,
            tasks={},
            prices=FREE,
            device=self._device,
            memory=Memory(managed=True),
        )

    def _external(self, record: ModelRecord, id: str) -> Model:
        """A vendor's: listed, never free, and never run."""
        whose = record.provider_id or "a vendor"
        fix = (
            f"InvokeAI hands it to {whose}, for money, and does not tell how much; use that"
            " vendor's own provider, which knows its prices and asks before it spends"
        )
        prices = PriceBook(rates=())
        return replace(
            self._model(id), where="vendor", prices=prices, state="unusable", fix=fix, device=""
        )

    def _upscaler(self, id: str) -> Model:
        accepts = FreeSize(
            native_width=512,
            native_height=512,
            min_side=1,
            max_side=4096,
            multiple_of=1,
            max_pixels=MOST_PIXELS // max(FACTORS) ** 2,
        )
        able = TaskCapability(sizes=SameAsInput(accepts=accepts), factors=FACTORS)
        return replace(self._model(id), family="upscaler", tasks={"upscale": able})

    def _addition(self, record: ModelRecord, id: str) -> Model | None:
        kind = families.kind_of(record.base)
        family = kind.family if kind else None
        match record.type:
            case "lora":
                return replace(self._model(id), role="lora", family=family)
            case "embedding":
                return replace(self._model(id), role="embedding", family=family)
            case "controlnet":
                if kind is None or not (kinds := _kinds(record, kind)):
                    return None
                title = f"control: {', '.join(sorted(kinds))}"
                return replace(self._model(id), role="control", family=family, title=title)
            case _:
                return None


_ROLES = ("lora", "embedding", "controlnet", "ip_adapter")
_FETCHED = "InvokeAI downloads this upscaler's file from GitHub when it is first used"
_NO_GRAPH = "this provider makes no graphs for models of the base {base}; use it in InvokeAI's page"


def net_for(picture: str, base: str, kind: Kind, listing: Listing) -> ModelRecord | None:
    """The control net for a kind of picture; one for this kind alone comes before one for many."""
    fitting = [r for r in listing.of("controlnet", base) if picture in _kinds(r, kind)]
    return min(fitting, key=lambda record: len(_kinds(record, kind)), default=None)


def _kinds(net: ModelRecord, kind: Kind) -> frozenset[str]:
    return families.control_kinds(net.name, net.text_set("preprocessor"), kind)


def _ids(records: Sequence[ModelRecord]) -> Mapping[str, str]:
    """An id for each key: the name, and where that is not the only one, with its base or key."""
    names = Counter(record.name for record in records)
    longer = Counter(f"{record.name} ({record.base} {record.type})" for record in records)
    ids: dict[str, str] = {}
    for record in records:
        id = record.name
        if names[id] > 1:
            id = f"{record.name} ({record.base} {record.type})"
            if longer[id] > 1:
                id = f"{record.name} ({record.key})"
        ids[record.key] = id
    return ids


def _defaults(record: ModelRecord, kind: Kind) -> Defaults:
    """What the user set in InvokeAI's model manager, or else what the family is run with."""
    steps = record.number_set("steps")
    guidance = record.number_set("cfg_scale" if kind.denoise.negative else "guidance")
    return Defaults(
        steps=int(steps) if steps else kind.steps,
        guidance_scale=None if kind.guidance is None else guidance or kind.guidance,
    )


def _tasks(record: ModelRecord, kind: Kind, listing: Listing) -> Mapping[Task, TaskCapability]:
    options = _options(kind)
    step = kind.multiple_of
    sides = [record.number_set(name) or kind.side for name in ("width", "height")]
    width, height = (min(int(side) // step * step, kind.max_side) for side in sides)
    references = MAX_REFERENCES if kind.reference or _has_adapter(record, kind, listing) else 0
    plain = TaskCapability(
        sizes=FreeSize(
            native_width=width,
            native_height=height,
            min_side=64,
            max_side=kind.max_side,
            multiple_of=step,
        ),
        options=options - {"strength"},
        max_images=MAX_IMAGES,
        max_references=references,
        loras=LoraSupport() if kind.lora and listing.of("lora", record.base) else None,
        control=_control(record.base, kind, listing),
        embeddings=bool(kind.embeddings and listing.of("embedding", record.base)),
        bounds={"guidance_scale": GUIDANCE},
    )
    edit = replace(plain, options=options)
    if kind.reference:  # changed as the prompt says, and not by its strength
        edit = replace(plain, max_references=MAX_REFERENCES - 1)
    masked = replace(plain, options=options, mask="black")
    tasks: Mapping[Task, TaskCapability] = {
        "text_to_image": plain,
        "image_to_image": edit,
        "inpaint": masked,
    }
    return {task: able for task, able in tasks.items() if task in kind.tasks}


def _has_adapter(record: ModelRecord, kind: Kind, listing: Listing) -> bool:
    return kind.ip_adapter and bool(listing.of("ip_adapter", record.base))


def _options(kind: Kind) -> frozenset[Option]:
    options: set[Option] = {"seed", "steps", "strength"}
    if kind.guidance is not None:
        options.add("guidance_scale")
        if kind.denoise.negative:
            options.add("negative_prompt")
    if kind.samplers:
        options.add("sampler")
        if any(name.endswith("_k") for name in families.data().samplers[kind.samplers]):
            options.add("scheduler")
    if kind.seamless:
        options.add("seamless")
    return frozenset(options)


def _control(base: str, kind: Kind, listing: Listing) -> ControlSupport | None:
    if kind.control is None:
        return None
    kinds = frozenset(
        one for record in listing.of("controlnet", base) for one in _kinds(record, kind)
    )
    if not kinds:
        return None
    computed = kinds.intersection(families.data().nodes)
    return ControlSupport(kinds=kinds, computed=computed, max_count=MAX_CONTROL)
