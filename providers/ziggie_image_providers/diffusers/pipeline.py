"""Make pictures with the pipeline in memory. Only the worker process imports this."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from PIL.Image import Resampling

from ziggie_image_mcp.provider.pictures import decode, on_white, to_png
from ziggie_image_providers.diffusers import (
    acceleration,
    adapters,
    cascade_pipeline,
    control,
    hires,
    ip_adapter,
    refiner,
    refiner_pipeline,
    seamless,
    sharing,
    wire,
)
from ziggie_image_providers.diffusers.families import FIRST_STAGE, T5_OF_IF
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.loading import (
    diffusers,
    held,
    parameters,
    torch,
    transformers,
)
from ziggie_image_providers.diffusers.one_colour import check_colours
from ziggie_image_providers.diffusers.prompt_embeddings import remembered
from ziggie_image_providers.diffusers.samplers import SAMPLERS, settings_of
from ziggie_image_providers.diffusers.steps import OnStep, watched
from ziggie_image_providers.diffusers.vae_memory import slice_vae, tile_vae
from ziggie_image_providers.diffusers.weights import TILED_ABOVE

QUOTED = 80
"""Characters of what was not read."""


REFINED_WITH = (
    "prompt",
    "negative_prompt",
    "generator",
    "num_inference_steps",
    "num_images_per_prompt",
    "guidance_scale",
)
"""What the refiner is told as the base was."""


class Inputs(NamedTuple):
    """The pictures that a request works from."""

    image: Any = None
    mask: Any = None
    maps: tuple[Any, ...] = ()
    """What its ControlNets go by."""
    references: tuple[Any, ...] = ()


def prepare(request: wire.WorkerRequest) -> tuple[str, ...]:
    """Lay over the model what the request asks for, and nothing else; say what should be known.

    Raises:
        Problem: A LoRA or an IP-Adapter does not fit the model.
    """
    if not request.nets:
        control.forget()
    if request.refiner is None:
        refiner_pipeline.forget()
    ip_adapter.lay(request.ip_adapter)
    return adapters.lay(request.loras)


def inputs(request: wire.WorkerRequest, payload: bytes) -> Inputs:
    """The pictures in a request's payload; transparent parts on white, where the class wants so."""
    lengths = (
        request.image_bytes,
        request.mask_bytes,
        *(net.image_bytes for net in request.nets),
        *request.reference_bytes,
    )
    pictures: list[bytes] = []
    for length in lengths:
        pictures.append(payload[:length])
        payload = payload[length:]
    image, mask, *others = pictures
    shown = decode if request.transparent else _decode_on_white
    colours = [shown(picture) for picture in others]
    return Inputs(
        image=shown(image) if image else None,
        mask=decode(mask).convert("L") if mask else None,
        maps=tuple(colours[: len(request.nets)]),
        references=tuple(colours[len(request.nets) :]),
    )


def _decode_on_white(data: bytes) -> Any:
    return on_white(decode(data))


def pictures(
    request: wire.WorkerRequest, numbers: Sequence[int], on_step: OnStep, inputs: Inputs
) -> Sequence[bytes]:
    """Make the pictures of these numbers at once, as PNG.

    Raises:
        Problem: One is blank, or a safety filter took it.
    """
    held.batch = max(held.batch, len(numbers))
    return acceleration.attempt(
        lambda usable: _in_one_way(usable, numbers, on_step, inputs), request, held.unfit
    )


def _in_one_way(
    request: wire.WorkerRequest, numbers: Sequence[int], on_step: OnStep, inputs: Inputs
) -> list[bytes]:
    """Make pictures as the request says, with nothing left out where it fails."""
    if request.first is None:
        return [to_png(image) for image in _run(request, numbers, on_step, inputs)]
    return [to_png(_in_two_passes(request, number, on_step, inputs)) for number in numbers]


def _in_two_passes(
    request: wire.WorkerRequest, number: int, on_step: OnStep, inputs: Inputs
) -> Any:
    """Draw a picture small, then over in its size."""
    assert request.first is not None
    steps, again = request.steps or 1, hires.second_steps(request.steps)
    total = steps + max(1, int(again * hires.STRENGTH))
    small = request.model_copy(
        update={"width": request.first.width, "height": request.first.height, "first": None}
    )
    image = _run(small, [number], lambda at, _: on_step(at, total), inputs)[0]
    large = small.model_copy(
        update={
            "width": request.width,
            "height": request.height,
            "run_as": request.second_as,
            "steps": again,
            "strength": hires.STRENGTH,
            "refiner": None,
        }
    )
    image = image.convert("RGB").resize((request.width, request.height), Resampling.LANCZOS)
    return _run(
        large,
        [number],
        lambda at, _: on_step(min(steps + at, total), total),
        inputs._replace(image=image),
    )[0]


def _run(
    request: wire.WorkerRequest, numbers: Sequence[int], on_step: OnStep, inputs: Inputs
) -> list[Any]:
    """One pass of a pipeline, with its refiner where there is one, or with all of its stages."""
    if request.pipeline == FIRST_STAGE:
        return cascade_pipeline.draw(request, seed(request, numbers[0]), on_step, _call)
    pipe = _pipe(request)
    _swap_scheduler(pipe, request.sampler, request.scheduler)
    large = request.width * request.height > TILED_ABOVE
    tile_vae(pipe, (held.tiled or large) and not request.seamless)
    slice_vae(pipe, len(numbers) > 1)
    words = arguments(request, numbers, parameters(pipe), inputs)
    if request.refiner is None:
        output = _call(pipe, words, request, on_step)
    else:
        output = _call_with_refiner(pipe, request.refiner, words, request, on_step)
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        raise Problem("refused", "The model's own safety checker refused the picture.")
    return check_colours(list(output.images))


def _call_with_refiner(
    pipe: Any,
    which: wire.Refiner,
    words: Mapping[str, Any],
    request: wire.WorkerRequest,
    on_step: OnStep,
) -> Any:
    """Draw with the base until little noise is left, and with the refiner from there."""
    total, done, refined = request.steps or refiner.LEAST_STEPS, 0, 0

    def base_step(at: int, _: int) -> None:
        nonlocal done
        done = at
        on_step(min(at, total), total)

    def refiner_step(at: int, _: int) -> None:
        nonlocal refined
        refined = at
        on_step(min(done + at, total), total)

    end = {"denoising_end": refiner.BASE_SHARE, "output_type": "latent"}
    latents = _call(pipe, {**words, **end}, request, base_step).images
    second = refiner_pipeline.refining(which, pipe.scheduler)
    same = {name: value for name, value in words.items() if name in REFINED_WITH}
    start = {"image": latents, "denoising_start": refiner.BASE_SHARE}
    output = _call(second, {**same, **start}, request, refiner_step)
    if not refined:
        raise Problem("rejected", "No step is left for the refiner: ask for more steps.")
    return output


def _call(pipe: Any, words: Mapping[str, Any], request: wire.WorkerRequest, on_step: OnStep) -> Any:
    with (
        seamless.circular(pipe, request.seamless),
        remembered(pipe, adapters.state(request.loras)),
        watched(pipe, parameters(pipe), request.steps, on_step) as extra,
        acceleration.accelerated(pipe, request, held.rung),
        warnings.catch_warnings(),
    ):
        # What is no number becomes a black picture with nothing but this warning.
        warnings.filterwarnings("error", message="invalid value", category=RuntimeWarning)
        return pipe(**words, **extra)


def notes(request: wire.WorkerRequest) -> tuple[str, ...]:
    """Say what was not read of a request, and what was done otherwise; a sentence each."""
    return _unread_words(request) + acceleration.notes(held.pipe, request, held.rung, held.unfit)


def _unread_words(request: wire.WorkerRequest) -> tuple[str, ...]:
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
    if request.by_reference and inputs.mask is None:
        asked["image"] = inputs.image
        looked_at = [*filter(None, [inputs.image]), *inputs.references]
        if looked_at:
            asked["image"] = looked_at if len(looked_at) > 1 else looked_at[0]
    if request.nets:
        asked |= control.words(request.nets, inputs.maps, parameters)
    if request.ip_adapter is not None:
        asked |= ip_adapter.words(inputs.references)
    words = {name: value for name, value in asked.items() if value is not None}
    missing = sorted(words.keys() - parameters.keys())
    if missing:
        raise Problem("rejected", f"{request.pipeline} takes no {', '.join(missing)}.")
    return words | _peculiar(request, parameters, inputs)


def _peculiar(
    request: wire.WorkerRequest, parameters: Mapping[str, inspect.Parameter], inputs: Inputs
) -> dict[str, Any]:
    """What single classes must be told to do what others do anyway."""
    more: dict[str, Any] = {}
    if "image_reference" in parameters and inputs.references:  # FLUX.2 klein, beside a mask
        more["image_reference"] = inputs.references[0]
    if "max_area" in parameters:  # FLUX.1 Kontext makes one megapixel of every size
        more["max_area"] = request.width * request.height
    if "_auto_resize" in parameters and inputs.image is not None:  # and of the picture it changes
        more["_auto_resize"] = False
    levels = held.pipe.config.get("sample_sigmas") if held.pipe is not None else None
    if levels and request.steps not in (None, len(levels)):  # Qwen-Image-2.1 would keep to these
        more["sigmas"] = [1 - step / request.steps for step in range(request.steps)]
    if "intermediate_timesteps" in parameters and request.steps != 2:  # SANA Sprint, beyond its two
        more["intermediate_timesteps"] = None
    return more


def _pipe(request: wire.WorkerRequest) -> Any:
    """The pipeline in memory, or one of the same parts for another task."""
    if request.nets:
        return control.controlled(request.run_as, request.nets)
    return sharing.share(request.run_as) if request.run_as else held.pipe


def _readers(pipe: Any) -> list[tuple[Any, int]]:
    """The tokenizers of its text encoders, each with how many tokens the encoder is given."""
    longest = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    readers: list[tuple[Any, int]] = []
    for name, part in pipe.components.items():
        encoder = getattr(pipe, name.replace("tokenizer", "text_encoder"), None)
        tokenizing = isinstance(part, transformers.PreTrainedTokenizerBase)
        if not name.startswith("tokenizer") or encoder is None or not tokenizing:
            continue
        limit = T5_OF_IF if type(pipe).__name__ == FIRST_STAGE else part.model_max_length
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


def _swap_scheduler(pipe: Any, sampler: str | None, scheduler: str | None) -> None:
    if sampler is None and scheduler is None:
        if held.scheduler is not None:
            pipe.scheduler = held.scheduler
        return
    kind: Any = held.scheduler.__class__
    if sampler is not None:
        kind = getattr(diffusers, SAMPLERS[sampler].scheduler_class)
    settings = settings_of(sampler, scheduler)
    unknown = settings.keys() - inspect.signature(kind.__init__).parameters.keys()
    if unknown and scheduler != "normal":
        raise Problem(
            "rejected",
            f"The model's own sampler ({kind.__name__}) takes no scheduler {scheduler}: name a "
            "sampler too, as dpmpp_2m.",
        )
    settings = {name: value for name, value in settings.items() if name not in unknown}
    pipe.scheduler = kind.from_config(held.scheduler.config, **settings)
