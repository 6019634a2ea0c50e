"""Make one call of a pipeline faster, and leave the model as it was. Imports torch.

What is off takes no part in a call: its pictures are equal to the bit to those of diffusers alone.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ziggie_image_providers.diffusers import attention, compiling, step_cache, wire
from ziggie_image_providers.diffusers.faults import Problem, first_line, is_out_of_memory
from ziggie_image_providers.diffusers.light_imports import (
    add_compile_seconds,
    compile_seconds,
    import_compiler,
)

COMPILER_ERRORS = ("torch._dynamo", "torch._inductor", "triton")
"""The modules of what they raise."""

COMPILED = "_ziggie_compiled"
"""The attribute of a denoiser whose blocks were compiled."""

RECOMPILE_LIMIT = 64
"""For so many sizes and kinds of input blocks are compiled; torch's 8 would leave the others as
they are without a word."""


def check(request: wire.WorkerRequest, device: str, dtype: Any) -> dict[str, str]:
    """See before a model is read whether what is asked for works here.

    Returns:
        Why not, of what `auto` chose: by the name of a backend, or `wire.COMPILE`.

    Raises:
        Problem: What the settings name does not; the message says what helps.
    """
    unfit: dict[str, str] = {}
    if request.attention:
        why = attention.why_not_on(request.attention, device, dtype.itemsize == 2)
        if why and "attention" in request.by_auto:
            unfit[request.attention] = why
        elif why:
            text = f"Attention by {request.attention} is set, and {why}."
            raise Problem("device_missing", f"{text} Set attention to auto or native.")
    if request.compile and (why := compiling.why_not_on(device)):
        if "compile" not in request.by_auto:
            raise Problem("dependency_missing", f"compile is on, and {why}; or set compile to off.")
        unfit[wire.COMPILE] = why
    return unfit


def attempt(
    make: Callable[[wire.WorkerRequest], Sequence[bytes]],
    request: wire.WorkerRequest,
    unfit: dict[str, str],
) -> Sequence[bytes]:
    """Make pictures, and where that fails with what `auto` chose, anew without it.

    Args:
        make: Makes the pictures of a request.
        request: What is asked for.
        unfit: As `check` gives it for this model; what fails here is added.
    """
    usable = request.without(unfit)
    used = usable.chosen_by_auto()
    if not used:
        return make(usable)
    began, compiling = time.perf_counter(), compile_seconds()
    try:
        return make(usable)
    except Exception as e:
        if isinstance(e, Problem) and e.fault != "invalid_output":
            raise
        why = first_line(e)
    add_compile_seconds(time.perf_counter() - began - (compile_seconds() - compiling))
    failing = dict.fromkeys(used, f"it failed ({why})")
    pictures = make(usable.without(failing))  # what fails without it too, failed by itself
    unfit |= failing
    return pictures


@contextmanager
def accelerated(pipe: Any, request: wire.WorkerRequest, rung: str) -> Generator[None]:
    """Make what is called in here faster, by what the request asks for and the model bears.

    Raises:
        Problem: What the settings name does not work; what `auto` chose raises what it may.
    """
    part = denoiser(pipe)
    with ExitStack() as stack:
        if request.attention and dispatches(part):
            named = "attention" not in request.by_auto
            stack.enter_context(_attention_by(request.attention, named))
        if step_cache.works(request.step_cache, type(pipe).__name__):
            stack.enter_context(_cached_by(request.step_cache, part))
        if request.compile and not _why_not_compiled(part, request, type(pipe).__name__, rung):
            stack.enter_context(_compiled(part, request))
        elif getattr(part, COMPILED, False):
            compiler: Any = importlib.import_module("torch.compiler")
            stack.enter_context(compiler.set_stance("force_eager"))
        yield


def notes(
    pipe: Any, request: wire.WorkerRequest, rung: str, unfit: Mapping[str, str]
) -> tuple[str, ...]:
    """Say what changed the pictures, and what was not done that is set; a sentence each."""
    part, sentences = denoiser(pipe), list[str]()
    for name in request.chosen_by_auto():
        if name in unfit:
            what = wire.in_words(name)
            sentences.append(f"{what}, which auto chose, was not used: {unfit[name]}")
    request = request.without(unfit)
    kind, pipeline = type(part).__name__, request.run_as or type(pipe).__name__
    if request.attention in ("", attention.NATIVE):
        pass
    elif dispatches(part):
        sentences.append(attention.note(request.attention))
    else:
        sentences.append(
            f"attention by {request.attention} was not used: {kind} leaves it to torch"
        )
    if request.step_cache:
        sentences.append(step_cache.note(request.step_cache, pipeline))
    if request.compile:
        why = _why_not_compiled(part, request, pipeline, rung)
        sentences.append(f"the model was not compiled: {why}" if why else compiling.NOTE)
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


def _why_not_compiled(part: Any, request: wire.WorkerRequest, pipeline: str, rung: str) -> str:
    cached = step_cache.works(request.step_cache, pipeline)
    names = getattr(part, "_repeated_blocks", None) or ()
    blocks = any(type(module).__name__ in names for module in part.modules())
    return compiling.why_not_used(request, rung, cached, blocks)


@contextmanager
def _attention_by(name: str, named: bool) -> Generator[None]:
    """Attention by a backend; what it lacks is explained where the settings name it."""
    dispatch: Any = importlib.import_module("diffusers.models.attention_dispatch")
    try:
        backend = dispatch.attention_backend(dispatch.AttentionBackendName(name))
        backend.__enter__()
    except RuntimeError as e:  # installed, and it cannot be imported
        if not named:
            raise
        raise Problem("dependency_missing", f"{e} Or set attention to auto.") from e
    try:
        yield
    except ValueError as e:
        if "attn_mask" not in str(e) or not named:
            raise
        text = f"Attention by {name} takes no mask, and this model needs one"
        raise Problem("rejected", f"{text}: set attention to auto or native.") from e
    finally:
        backend.__exit__(None, None, None)


@contextmanager
def _cached_by(name: str, part: Any) -> Generator[None]:
    """Each call has a cache of its own: what a picture is depends on no picture before it."""
    hooks: Any = importlib.import_module("diffusers.hooks")
    part.enable_cache(getattr(hooks, step_cache.CONFIGS[name])())
    try:
        yield
    finally:
        part.disable_cache()


@contextmanager
def _compiled(part: Any, request: wire.WorkerRequest) -> Generator[None]:
    """Compile its blocks where that was not done; the first call with them takes minutes."""
    try:
        if not getattr(part, COMPILED, False):
            if request.compile_cache:
                os.environ.setdefault(compiling.CACHE_VARIABLE, request.compile_cache)
            compiler = import_compiler()
            compiler.config.recompile_limit = RECOMPILE_LIMIT
            setattr(part, COMPILED, True)
            part.compile_repeated_blocks()
        yield
    except Exception as e:
        if not _is_of_compiler(e):
            raise
        uncompile(part)
        if "compile" in request.by_auto or is_out_of_memory(e):
            raise
        text = f"The model could not be compiled ({first_line(e)}): set compile to off."
        raise Problem("crashed", text) from e


def _is_of_compiler(error: BaseException | None) -> bool:
    """Whether the compiler raised it, or what it was raised from."""
    while error is not None:
        if type(error).__module__.startswith(COMPILER_ERRORS):
            return True
        error = error.__cause__ or error.__context__
    return False


def uncompile(part: Any) -> None:
    """Let its blocks run as they are, by undoing what `torch.nn.Module.compile` set."""
    for module in part.modules():
        module.__dict__.pop("_compiled_call_impl", None)
    setattr(part, COMPILED, False)
