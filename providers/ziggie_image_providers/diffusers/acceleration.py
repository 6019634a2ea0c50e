"""Make one call of a pipeline faster, and leave the model as it was. Imports torch."""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from ziggie_image_providers.diffusers import attention, wire
from ziggie_image_providers.diffusers.faults import Problem


def check(request: wire.WorkerRequest, device: str, dtype: Any) -> None:
    """See before a model is read whether what is asked for works here.

    Raises:
        Problem: It does not; the message says what helps.
    """
    if request.attention:
        why = attention.why_not_on(request.attention, device, dtype.itemsize == 2)
        if why:
            text = f"Attention by {request.attention} is set, and {why}."
            raise Problem("device_missing", f"{text} Set attention to auto or native.")


@contextmanager
def accelerated(pipe: Any, request: wire.WorkerRequest) -> Generator[None]:
    """Make what is called in here faster, by what the request asks for and the model bears.

    Raises:
        Problem: A package that it needs is broken.
    """
    with ExitStack() as stack:
        if request.attention and dispatches(denoiser(pipe)):
            stack.enter_context(_attention_by(request.attention))
        yield


def notes(pipe: Any, request: wire.WorkerRequest) -> tuple[str, ...]:
    """Say what changed the pictures, and what was not done that is set; a sentence each."""
    part, sentences = denoiser(pipe), list[str]()
    if request.attention in ("", attention.NATIVE):
        pass
    elif dispatches(part):
        sentences.append(attention.note(request.attention))
    else:
        kind = type(part).__name__
        sentences.append(
            f"attention by {request.attention} was not used: {kind} leaves it to torch"
        )
    return tuple(sentences)


def denoiser(pipe: Any) -> Any:
    """The part of a pipeline that runs at each step."""
    return getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)


def dispatches(part: Any) -> bool:
    """Whether a denoiser's attention goes by the backend that is set.

    `set_attention_backend` does nothing, without a word, to the processors of UNets, SD3, PixArt
    and SANA: they call torch themselves.
    """
    processors = (getattr(module, "processor", None) for module in part.modules())
    return any(hasattr(one, "_attention_backend") for one in processors)


@contextmanager
def _attention_by(name: str) -> Generator[None]:
    dispatch: Any = importlib.import_module("diffusers.models.attention_dispatch")
    try:
        backend = dispatch.attention_backend(dispatch.AttentionBackendName(name))
        backend.__enter__()
    except RuntimeError as e:  # installed, and it cannot be imported
        raise Problem("dependency_missing", f"{e} Or set attention to auto.") from e
    try:
        yield
    except ValueError as e:
        if "attn_mask" not in str(e):
            raise
        text = f"Attention by {name} takes no mask, and this model needs one"
        raise Problem("rejected", f"{text}: set attention to auto or native.") from e
    finally:
        backend.__exit__(None, None, None)
