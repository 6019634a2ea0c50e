"""Keep what the text encoders made of the last prompts. Imports torch."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from ziggie_image_providers.diffusers.loading import held, torch

KEPT = 8
"""Results of `encode_prompt` at most: some families ask once for a prompt with its negative, others
once for each. One of T5 is 4 MB."""

Scalar = (str, int, float, type(None), torch.device)


class Parked(NamedTuple):
    """A tensor in main memory, and where it belongs."""

    device: Any
    tensor: Any


@contextmanager
def remembered(pipe: Any, loras: tuple[object, ...]) -> Generator[None]:
    """Answer `pipe.encode_prompt` from what is kept, as long as it is only given words.

    Its results depend on nothing else: with pictures or tensors it is asked itself. Where it is not
    asked, an encoder that waits in main memory stays there.

    Args:
        pipe: The pipeline in memory, or another of the same parts.
        loras: What lies over its encoders, with the weights.
    """
    encode = getattr(pipe, "encode_prompt", None)
    if encode is None:
        yield
        return
    signature, parts = inspect.signature(encode), pipe.components
    # A refiner is of the class that changes pictures, without the first encoder.
    encoders = [n for n, part in parts.items() if n.startswith("text_encoder") and part is not None]

    def answer(*values: Any, **named: Any) -> Any:
        words = signature.bind(*values, **named).arguments
        if not _is_plain(words):
            return encode(*values, **named)
        key = f"{type(pipe).__name__} {encoders} {loras!r} {sorted(words.items())!r}"
        if key in held.embeddings:
            kept = held.embeddings.pop(key)
        else:
            result = encode(*values, **named)
            if not _is_kept(result):
                return result
            kept = _parked(result)
        held.embeddings[key] = kept  # the last one is the newest
        while len(held.embeddings) > KEPT:
            del held.embeddings[next(iter(held.embeddings))]
        return _copied(kept)

    pipe.encode_prompt = answer
    try:
        yield
    finally:
        del pipe.encode_prompt


def _is_plain(value: object) -> bool:
    """Whether it is made of words and numbers alone, which its form in writing tells apart."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, cast("list[object]", value)))
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return all(_is_plain(k) and _is_plain(v) for k, v in items)
    return isinstance(value, Scalar)


def _is_kept(result: object) -> bool:
    """Whether it is made of tensors, words and numbers alone."""
    if type(result) in (list, tuple):
        return all(map(_is_kept, cast("list[object]", result)))
    return isinstance(result, (*Scalar, torch.Tensor))


def _parked(result: Any) -> Any:
    """The same with its tensors in main memory."""
    if isinstance(result, torch.Tensor):
        return Parked(result.device, result.detach().to("cpu", copy=True))
    if isinstance(result, list | tuple):
        parts = [_parked(part) for part in cast("list[Any]", result)]
        return parts if isinstance(result, list) else tuple(parts)
    return result


def _copied(kept: Any) -> Any:
    """The result again; the pipeline may write into it."""
    if isinstance(kept, Parked):
        return kept.tensor.to(kept.device, copy=True)
    if isinstance(kept, list | tuple):
        parts = [_copied(part) for part in cast("list[Any]", kept)]
        return parts if isinstance(kept, list) else tuple(parts)
    return kept
