"""Find the text encoders and the VAE that a model alone needs, or say which are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ziggie_image_providers.invokeai.families import Kind, Part
from ziggie_image_providers.invokeai.wire import ModelRecord

_PARTS_OF_A_PIPELINE = frozenset({"transformer", "vae", "text_encoder", "tokenizer"})
_SECOND_ENCODER = frozenset({"text_encoder_2", "tokenizer_2"})


def choose(
    record: ModelRecord, kind: Kind, records: Sequence[ModelRecord]
) -> tuple[Mapping[str, ModelRecord], list[str]]:
    """What goes into the loader beside a model.

    Returns:
        Models by the loader's fields, and the words for those that are missing.
    """
    if not kind.parts or _is_whole(record, kind):
        return {}, []
    beside: dict[str, ModelRecord] = {}
    missing: list[str] = []
    for part in kind.parts:
        fitting = next((r for r in records if _fits(r, part)), None)
        if fitting is None:
            missing.append(part.get)
        else:
            beside[part.field] = fitting
    if missing and kind.source:
        source = _source(record, records)
        if source is not None:
            return {**beside, kind.source: source}, []
    return beside, missing


def _is_whole(record: ModelRecord, kind: Kind) -> bool:
    if record.format not in kind.whole:
        return False
    if record.format == "diffusers":
        return True
    # A quantized folder may lack parts: InvokeAI lists those that it has.
    needed = _PARTS_OF_A_PIPELINE
    if any(part.type == "t5_encoder" for part in kind.parts):
        needed |= _SECOND_ENCODER
    return needed <= set(record.submodels or {})


def _fits(record: ModelRecord, part: Part) -> bool:
    if record.type != part.type or (part.bases and record.base not in part.bases):
        return False
    return not part.variant or record.variant in (None, part.variant)


def _source(record: ModelRecord, records: Sequence[ModelRecord]) -> ModelRecord | None:
    """A whole model of the same kind, itself first: InvokeAI takes the parts out of it."""
    alike = [record, *(r for r in records if r.key != record.key)]
    return next(
        (
            r
            for r in alike
            if (r.base, r.type, r.format) == (record.base, "main", "diffusers")
            and (r.variant or "").removesuffix("_base")
            == (record.variant or "").removesuffix("_base")
        ),
        None,
    )
