"""Make pictures with the pipeline in memory. Only the worker process imports this."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ziggie_image_mcp.provider.pictures import decode, on_white, to_png
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.families import SAMPLERS
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.ladder import MODEL_OFFLOAD, parse
from ziggie_image_providers.diffusers.loading import (
    diffusers,
    held,
    parameters,
    torch,
    transformers,
)
from ziggie_image_providers.diffusers.weights import TILED_ABOVE

OnStep = Callable[[int, int], None]
"""Called after every step with its number and the number of steps; raises to end it."""

QUOTED = 80
"""Characters of what was not read."""


class Inputs(NamedTuple):
    """The pictures that a request works from."""

    image: Any = None
    mask: Any = None


def inputs(request: wire.WorkerRequest, payload: bytes) -> Inputs:
    """The pictures in a request's payload; transparent parts are laid on white."""
    if not request.image_bytes:
        return Inputs()
    image = on_white(decode(payload[: request.image_bytes]))
    if not request.mask_bytes:
        return Inputs(image)
    return Inputs(image, decode(payload[request.image_bytes :]).convert("L"))


def pictures(
    request: wire.WorkerRequest, numbers: Sequence[int], on_step: OnStep, inputs: Inputs
) -> list[bytes]:
    """Make the pictures of these numbers at once, as PNG.

    Raises:
        Problem: One is blank, or a safety filter took it.
    """
    held.batch = max(held.batch, len(numbers))
    return [to_png(image) for image in _run(request, numbers, on_step, inputs)]


def _run(
    request: wire.WorkerRequest, numbers: Sequence[int], on_step: OnStep, inputs: Inputs
) -> list[Any]:
    """One pass of a pipeline."""
    pipe = _pipe(inputs)
    _swap_scheduler(pipe, request.sampler)
    _tile(pipe, held.tiled or request.width * request.height > TILED_ABOVE)
    _slice(pipe, len(numbers) > 1)
    words = arguments(request, numbers, parameters(pipe), inputs)
    with (
        _watched(pipe, parameters(pipe), request.steps, on_step) as extra,
        warnings.catch_warnings(),
    ):
        # What is no number becomes a black picture with nothing but this warning.
        warnings.filterwarnings("error", message="invalid value", category=RuntimeWarning)
        output = pipe(**words, **extra)
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        raise Problem("refused", "The model's own safety checker refused the picture.")
    images = list(output.images)
    if any(all(low == high for low, high in _extrema(image)) for image in images):
        raise Problem(
            "invalid_output", "The picture is of one colour: the model's weights may be damaged."
        )
    return images


def unread(request: wire.WorkerRequest) -> tuple[str, ...]:
    """Say what no text encoder reads of the prompts, a sentence each.

    Exact where a pipeline gives the prompt to its encoders as it is. One that wraps it in words of
    its own reads a little less than is counted here.
    """
    sentences: list[str] = []
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        ends = [_unread(tokenizer, limit, text or "") for tokenizer, limit in _readers(held.pipe)]
        if ends and all(end for _, end in ends):
            limit, end = max(ends)
            quoted = end if len(end) <= QUOTED else end[: QUOTED - 3] + "..."
            sentences.append(f'the model reads {limit} tokens of a {name}; not read: "{quoted}"')
    return tuple(sentences)


def seed(request: wire.WorkerRequest, number: int) -> int:
    """Say which seed a picture of a request is made with."""
    return (request.seed + number) % 2**32


def arguments(
    request: wire.WorkerRequest,
    numbers: Sequence[int],
    parameters: Mapping[str, inspect.Parameter],
    inputs: Inputs,
) -> dict[str, Any]:
    """Say the request in the words of the pipeline.

    Raises:
        Problem: The pipeline has no such word.
    """
    # A generator of the CPU gives the same noise whatever the device.
    noise = [torch.Generator("cpu").manual_seed(seed(request, number)) for number in numbers]
    asked: dict[str, Any] = {
        "prompt": request.prompt,
        "width": request.width,
        "height": request.height,
        "generator": noise if len(noise) > 1 else noise[0],
        "num_images_per_prompt": len(noise) if len(noise) > 1 else None,
        "num_inference_steps": request.steps,
        request.guidance_argument: request.guidance,
        "negative_prompt": request.negative_prompt,
        "image": inputs.image,
        "mask_image": inputs.mask,
        "strength": request.strength,
    }
    if inputs.image is not None:  # which has the size
        asked = {k: v for k, v in asked.items() if k in parameters or k not in ("width", "height")}
    words = {name: value for name, value in asked.items() if value is not None}
    missing = sorted(words.keys() - parameters.keys())
    if missing:
        raise Problem("rejected", f"{request.pipeline} takes no {', '.join(missing)}.")
    return words


def _pipe(inputs: Inputs) -> Any:
    """The pipeline in memory, or one of the same parts for work from pictures."""
    if inputs.image is None:
        return held.pipe
    kind = "AutoPipelineForImage2Image" if inputs.mask is None else "AutoPipelineForInpainting"
    if kind not in held.edits:
        pipe = getattr(diffusers, kind).from_pipe(held.pipe)
        pipe.set_progress_bar_config(disable=True)
        if parse(held.rung).offload == MODEL_OFFLOAD:  # each pipeline moves its parts by itself
            pipe.enable_model_cpu_offload(device=held.device)
        held.edits[kind] = pipe
    return held.edits[kind]


def _readers(pipe: Any) -> list[tuple[Any, int]]:
    """The tokenizers of its text encoders, each with how many tokens the encoder is given."""
    longest = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    readers: list[tuple[Any, int]] = []
    for name, part in pipe.components.items():
        encoder = getattr(pipe, name.replace("tokenizer", "text_encoder"), None)
        tokenizing = isinstance(part, transformers.PreTrainedTokenizerBase)
        if not name.startswith("tokenizer") or encoder is None or not tokenizing:
            continue
        limit = part.model_max_length
        if longest is not None and not isinstance(part, transformers.CLIPTokenizer):
            limit = longest.default
        readers.append((part, int(limit)))
    return readers


def _unread(tokenizer: Any, limit: int, text: str) -> tuple[int, str]:
    """The limit, and the end of a text that is beyond it."""
    fast = bool(tokenizer.is_fast)
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast)
    count = limit - len(tokenizer("").input_ids)  # beginning and end are marked by tokens too
    if len(encoding.input_ids) <= count:
        return limit, ""
    end = text[encoding.offset_mapping[count][0] :] if fast else ""
    return limit, " ".join((end or tokenizer.decode(encoding.input_ids[count:])).split())


def _swap_scheduler(pipe: Any, sampler: str | None) -> None:
    if sampler is None:
        if held.scheduler is not None:
            pipe.scheduler = held.scheduler
        return
    name, settings = SAMPLERS[sampler]
    pipe.scheduler = getattr(diffusers, name).from_config(held.scheduler.config, **settings)


def _slice(pipe: Any, sliced: bool) -> None:
    """Let the VAE decode one picture after another, for that sets the peak of memory."""
    vae: Any = getattr(pipe, "vae", None)
    if vae is not None and hasattr(vae, "enable_slicing"):
        vae.enable_slicing() if sliced else vae.disable_slicing()


def _tile(pipe: Any, tiled: bool) -> None:
    vae: Any = getattr(pipe, "vae", None)
    if vae is not None and hasattr(vae, "enable_tiling"):
        vae.enable_tiling() if tiled else vae.disable_tiling()


@contextmanager
def _watched(
    pipe: Any, parameters: Mapping[str, inspect.Parameter], steps: int | None, on_step: OnStep
) -> Generator[dict[str, Any]]:
    """Hear of every step: by the pipeline's callback, else by its scheduler."""
    if "callback_on_step_end" in parameters:

        def callback(pipe: Any, at: int, _: Any, values: dict[str, Any]) -> dict[str, Any]:
            on_step(at + 1, int(getattr(pipe, "_num_timesteps", None) or steps or at + 1))
            return values

        yield {"callback_on_step_end": callback}
        return
    step, done = pipe.scheduler.step, 0

    def counted(*values: Any, **named: Any) -> Any:
        nonlocal done
        result = step(*values, **named)
        done += 1
        on_step(done, max(done, steps or 0))
        return result

    pipe.scheduler.step = counted
    try:
        yield {}
    finally:
        del pipe.scheduler.step


def _extrema(image: Any) -> list[tuple[int, int]]:
    return list(image.convert("RGB").getextrema())
