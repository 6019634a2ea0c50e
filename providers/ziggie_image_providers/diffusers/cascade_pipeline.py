"""Draw with the stages of DeepFloyd IF, one after the other. Only the worker process imports it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.cascade import is_marked, noise_levels
from ziggie_image_providers.diffusers.disk_model import ENLARGED
from ziggie_image_providers.diffusers.families import LATER_STAGES
from ziggie_image_providers.diffusers.faults import Problem
from ziggie_image_providers.diffusers.ladder import MODEL_OFFLOAD, parse
from ziggie_image_providers.diffusers.loading import diffusers, held, torch
from ziggie_image_providers.diffusers.one_colour import check_colours
from ziggie_image_providers.diffusers.prompt_embeddings import remembered
from ziggie_image_providers.diffusers.steps import OnStep
from ziggie_image_providers.diffusers.vae_memory import tile_vae
from ziggie_image_providers.diffusers.weights import TILED_ABOVE

NOISE = {LATER_STAGES[0]: 250, LATER_STAGES[1]: 100}
"""How much each later stage lays over the picture before it draws: the class's own, and what the
documentation of diffusers gives for the upscaler behind IF."""

Call = Callable[[Any, Mapping[str, Any], wire.WorkerRequest, OnStep], Any]
"""Calls a pipeline with its words, and tells of each step."""


def draw(request: wire.WorkerRequest, seed: int, on_step: OnStep, call: Call) -> list[Any]:
    """One picture, by as many stages as the request has.

    Args:
        request: For the model in memory, which is the first stage.
        seed: Of its noise, in all stages.
        on_step: Told of the steps of all stages together.
        call: Calls the pipeline of a stage.

    Raises:
        Problem: The picture is broken, or the model's own checker took it.
    """
    first, noise = held.pipe, torch.Generator("cpu").manual_seed(seed)
    steps = [request.steps or 0, *(stage.steps for stage in request.stages)]
    total = sum(steps)
    scale = ENLARGED ** len(request.stages)
    words = {"width": request.width // scale, "height": request.height // scale}
    words |= _levels(steps[0], 1) | {"guidance_scale": request.guidance}
    with _moved_away_at_the_end():
        text = _read_text(request)
        image = call(
            first,
            {**words, **text, "generator": noise, "output_type": "pt"},
            request,
            _told_after(0, steps[0], total, on_step),
        ).images
        # What makes a denoiser faster is of the first stage: the notes tell of that alone.
        plain = request.model_copy(update={"compile": False, "step_cache": "", "attention": ""})
        for number, stage in enumerate(request.stages, 1):
            scale //= ENLARGED
            image = call(
                _pipeline(stage, request),
                _words(stage, request, image, text, scale) | {"generator": noise},
                plain.model_copy(update={"steps": steps[number]}),
                _told_after(sum(steps[:number]), steps[number], total, on_step),
            ).images
        if not request.stages or request.stages[-1].pipeline != LATER_STAGES[1]:
            image = _from_zero_to_one(image)
        return _checked(image, text["prompt_embeds"].dtype)


def _told_after(done: int, own: int, total: int, on_step: OnStep) -> OnStep:
    """Tells of a stage's steps as of those of all, after what the stages before have done."""
    return lambda at, _: on_step(done + min(at, own), total)


def _read_text(request: wire.WorkerRequest) -> dict[str, Any]:
    """The prompts as T5 reads them, once for both stages of IF; the second guides always.

    As they are but for their case: what cleans captions needs packages, and strikes out words.
    """
    with remembered(held.pipe, ()):
        prompt, negative = held.pipe.encode_prompt(
            request.prompt,
            do_classifier_free_guidance=True,
            negative_prompt=request.negative_prompt or "",
            clean_caption=False,
        )
    return {"prompt_embeds": prompt, "negative_prompt_embeds": negative}


def _words(
    stage: wire.Stage, request: wire.WorkerRequest, image: Any, text: Mapping[str, Any], scale: int
) -> dict[str, Any]:
    """What a later stage is told; `scale` is by how much its picture is smaller than the last."""
    words: dict[str, Any] = {
        "guidance_scale": stage.guidance,
        "noise_level": NOISE[stage.pipeline],
        "output_type": "pt",
    }
    if stage.pipeline == LATER_STAGES[0]:
        size = {"width": request.width // scale, "height": request.height // scale}
        return {**words, **size, **text, **_levels(stage.steps, 2), "image": image}
    return {
        **words,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or "",
        "num_inference_steps": stage.steps,
        "image": _from_zero_to_one(image),
    }


def _levels(steps: int, number: int) -> dict[str, Any]:
    """The noise levels that the model's authors published for so many steps, else even ones."""
    name = noise_levels(steps, number)
    lists = diffusers.pipelines.deepfloyd_if
    published = {"timesteps": getattr(lists, f"{name}_timesteps")} if name else {}
    return {"num_inference_steps": steps, **published}


def _pipeline(stage: wire.Stage, request: wire.WorkerRequest) -> Any:
    """The pipeline of a later stage, which was read with the model."""
    _, pipe = held.stages[stage.path]
    tile_vae(pipe, held.tiled or request.width * request.height > TILED_ABOVE)
    return pipe


def _from_zero_to_one(image: Any) -> Any:
    """What a stage of IF drew, which goes from -1 to 1.

    The upscaler would take it as it is, and what has nothing darker than grey for 0 to 1.
    """
    return (image / 2 + 0.5).clamp(0, 1)


def _checked(image: Any, dtype: Any) -> list[Any]:
    """The pictures, seen by the model's own checker and with its watermark, where it has them."""
    first = held.pipe
    if not image.isfinite().all():
        text = "The model computed what is no number; the weights of a stage may be damaged."
        raise Problem("invalid_output", text)
    numbers = image.permute(0, 2, 3, 1).float().cpu().numpy()
    numbers, unsafe, marked = first.run_safety_checker(numbers, first._execution_device, dtype)
    if any(unsafe or ()):
        raise Problem("refused", "The model's own safety checker refused the picture.")
    if any(marked or ()):
        text = "The model's own checker sees somebody's watermark in the picture"
        raise Problem("invalid_output", f"{text}: take another seed or other words.")
    pictures = check_colours(first.numpy_to_pil(numbers))
    if first.watermarker is not None and is_marked(*pictures[0].size):
        # Its class would lay it outside of what is not square.
        first.watermarker.apply_watermark(pictures, min(pictures[0].size))
    return pictures


@contextmanager
def _moved_away_at_the_end() -> Generator[None]:
    """Leave no part of a stage on the GPU where parts wait in main memory, whatever happens."""
    try:
        yield
    finally:
        if parse(held.rung).offload == MODEL_OFFLOAD:
            for pipe in (held.pipe, *(pipe for _, pipe in held.stages.values())):
                pipe.maybe_free_model_hooks()
