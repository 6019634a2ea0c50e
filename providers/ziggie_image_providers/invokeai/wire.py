"""What InvokeAI answers, in the parts that are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from ziggie_image_mcp.provider.json_paths import number

OUTPUT = "out"
"""The id of the node of our graphs whose picture is wanted."""


class _Wire(BaseModel):
    """Unknown keys are left; what is null is as if it was not there."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelRecord(_Wire):
    """A model of any type."""

    key: str
    hash: str = ""
    name: str
    base: str
    type: str
    format: str = ""
    variant: str | None = None
    file_size: int = 0
    provider_id: str = ""
    """Of a vendor's: which."""
    image_encoder_model_id: str | None = None
    """Of an IP adapter in InvokeAI's own format, which names what goes with it."""
    default_settings: dict[str, Any] | None = None
    submodels: dict[str, Any] | None = None

    def identifier(self) -> dict[str, str]:
        """As the nodes of a graph name it."""
        return {name: getattr(self, name) for name in ("key", "hash", "name", "base", "type")}

    def number_set(self, name: str) -> float | None:
        """What the user set for it in InvokeAI's model manager; None where nothing is set."""
        return number((self.default_settings or {}).get(name))

    def text_set(self, name: str) -> str:
        """The same of a text."""
        value = (self.default_settings or {}).get(name)
        return value if isinstance(value, str) else ""


class ModelList(_Wire):
    """All models."""

    models: list[ModelRecord]


class Counts(_Wire):
    """How many items of a batch, or of the queue, stand where."""

    pending: int
    in_progress: int
    waiting: int = 0
    completed: int
    failed: int
    canceled: int
    total: int

    @property
    def open(self) -> int:
        """Those that have not ended."""
        return self.pending + self.in_progress + self.waiting


class Processor(_Wire):
    """What works at the queue."""

    is_started: bool = True


class QueueStatus(_Wire):
    """The queue of all users."""

    queue: Counts
    processor: Processor = Processor()


class Stats(_Wire):
    """What the server's cache of models tells; nothing before its first use."""

    loaded_model_sizes: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _null_is_nothing(cls, value: object) -> object:
        return {} if value is None else value

    def holds(self, record: ModelRecord) -> bool:
        """Whether a model was in memory when the last job ended."""
        name = f"{record.base}:{record.type}:{record.name}:"
        return any(f"{part}:".startswith(name) for part in self.loaded_model_sizes)


class FieldValue(_Wire):
    """What an item of a batch was given."""

    field_name: str
    value: Any = None


class Session(_Wire):
    """The run of a graph."""

    results: dict[str, Any] = {}
    source_prepared_mapping: dict[str, list[str]] = {}
    graph: dict[str, Any] = {}


class Item(_Wire):
    """One picture of a batch."""

    item_id: int
    status: str
    error_type: str | None = None
    error_message: str | None = None
    field_values: list[FieldValue] | None = None
    session: Session = Session()

    @property
    def seed(self) -> int | None:
        """The seed that it was given; None where there is none."""
        values = self.field_values or []
        seeds = (v.value for v in values if v.field_name == "seed" and type(v.value) is int)
        return next(seeds, None)

    @property
    def picture(self) -> str:
        """The name of the picture that our node for the output made; empty where it is not told."""
        for prepared in self.session.source_prepared_mapping.get(OUTPUT, []):
            result = self.session.results.get(prepared)
            for name in _names(result):
                return name
        return ""

    def pictures(self) -> set[str]:
        """The names of all pictures that went into its graph or came out of one of its nodes."""
        graph = self.session.graph
        return {*_names(self.session.results), *_names(graph)}


class Enqueued(_Wire):
    """What came of a batch that was posted."""

    enqueued: int
    requested: int


class Uploaded(_Wire):
    """A picture that was given."""

    image_name: str


ITEMS = TypeAdapter(list[Item])


def _names(value: object) -> Iterator[str]:
    """What stands under `image_name`, however deep."""
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            if key == "image_name" and isinstance(inner, str):
                yield inner
            else:
                yield from _names(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from _names(inner)
