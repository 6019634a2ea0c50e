"""Say a job in the worker's words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ziggie_image_mcp.provider import (
    Model,
    ModelMissing,
    Option,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    Task,
    options_of,
    peak_bytes,
)
from ziggie_image_mcp.provider.pictures import decode, is_transparent
from ziggie_image_providers.diffusers import cascade, hires, refiner, samplers, torch_build, wire
from ziggie_image_providers.diffusers.additions import (
    ALONE,
    UNION,
    Addition,
    extras_bytes,
    ip_adapter_for,
    lora_of,
    nets_by_kind,
)
from ziggie_image_providers.diffusers.families import Family
from ziggie_image_providers.diffusers.ladder import Way, peaks
from ziggie_image_providers.diffusers.listing import memory_need, native_side, variant_of
from ziggie_image_providers.diffusers.scan import DiskModel
from ziggie_image_providers.diffusers.settings import Settings

CHANGE, REPAINT = 0.75, 1.0
"""The strength where none is asked for: enough to change, and under a mask all of it."""

COMPILED = "compiled"
"""Below the provider's own folder: what torch keeps of compiled models."""

MOST_FELT = 0.9
"""A strength above this leaves so little of the picture that no steps are added for it."""


TRANSPARENT_WORDS = (
    "This is an RGBA image with transparency.",
    "The image has alpha channel and the background is transparent.",
)
"""Before and after a prompt."""


def worker_request(
    request: ProviderRequest,
    model: Model,
    on_disk: DiskModel,
    *,
    settings: Settings,
    context: ProviderContext,
    additions: Sequence[Addition] = (),
    with_refiner: DiskModel | None = None,
) -> wire.WorkerRequest:
    """Make the worker's request from a provider's.

    Args:
        request: What is asked for.
        model: By what.
        on_disk: The same, as it lies here.
        settings: The provider's.
        context: Of the server.
        additions: The LoRAs and ControlNets that are here.
        with_refiner: Goes on where the model stops, if it can.

    Raises:
        RequestRejected: It asks for what the model does not take.
        ModelMissing: It asks for a LoRA or a kind of control for which nothing is here.
    """
    known, task = on_disk.known, _task(request)
    options = options_of(model, task)
    step = on_disk.multiple_of
    if request.width % step or request.height % step:
        raise RequestRejected(
            model.provider,
            f"{request.width} x {request.height} cannot be made: sides must be multiples of "
            f"{step}.",
        )
    sampler, scheduler = _sampler(request, options, model, on_disk)
    negative: str | None = request.negative_prompt
    if known is None or not known.negative:
        negative = request.negative_prompt or None
    elif known.guidance_argument == "true_cfg_scale":
        negative = request.negative_prompt or " "  # without one there is no guidance at all
    if negative is not None and known is not None and not known.negative:
        raise RequestRejected(model.provider, f"{model.id} takes no negative prompt.")
    width, height = request.width, request.height
    steps, guidance = model.defaults.steps, model.defaults.guidance_scale
    if request.steps is not None and "steps" in options:
        steps = request.steps
    if request.guidance_scale is not None and "guidance_scale" in options:
        guidance = request.guidance_scale
    strength = None
    if request.image is not None:
        strength = request.strength or (CHANGE if request.mask is None else REPAINT)
        by_strength = request.mask is not None or known is None or not known.references
        if steps is not None and by_strength:
            steps = _steps_for(steps, strength, known)
    if known is not None and known.references and request.mask is None:
        strength = None
    loras = [_lora(lora.id, model, known, additions) for lora in request.loras]
    nets = _nets(request, model, on_disk, additions)
    adapter = _ip_adapter(request, model, on_disk, additions)
    looking = extras_bytes([adapter] if adapter else [])
    if with_refiner is not None and refiner.why_left_out(on_disk, steps):
        with_refiner = None
    looking += refiner.weight_bytes(with_refiner) if with_refiner else 0
    extras = extras_bytes([*loras, *nets]) + looking
    first = None
    again = _controls("image_to_image", known)
    goes_over = all(net.net in again for net in nets)
    if task == "text_to_image" and settings.hires == "auto" and goes_over:
        first = hires.first_size(known, native_side(on_disk), width, height)
    memory = memory_need(on_disk)
    rung = next((one for one in model.memory.rungs if one.name == model.rung), None)
    resident = looking if rung is not None and rung.by_layer else extras
    return wire.WorkerRequest(
        path=str(on_disk.path),
        pipeline=on_disk.pipeline,
        single_file=on_disk.single_file,
        config_folder=str(on_disk.config_folder) if on_disk.config_folder else None,
        scheduler_changes=dict(on_disk.scheduler_changes),
        variant=on_disk.variant,
        device=model.device if model.rung else device_wanted(settings, context),
        rung=model.rung,
        dtype=settings.dtype,
        half_precision=known.half_precision if known else "bfloat16",
        weight_bytes=memory.weights + extras if memory else None,
        vram_bytes=peak_bytes(peaks(memory, Way()), width * height) + extras if memory else None,
        may_offload=context.vram_optimization,
        need_bytes=None if rung is None else peak_bytes(rung.peaks, width * height) + resident,
        extras_bytes=resident,
        picture_bytes=None if rung is None else int(rung.peaks[0].bytes_per_pixel * width * height),
        batch_size=settings.batch_size,
        prompt=_prompt(request, options),
        negative_prompt=negative,
        width=width,
        height=height,
        num_images=request.num_images,
        seed=request.seed,
        steps=steps,
        guidance=guidance,
        guidance_argument=known.guidance_argument if known else "guidance_scale",
        sampler=sampler,
        scheduler=scheduler,
        strength=strength,
        run_as=_class_for(task, on_disk, nets),
        by_reference=known is not None and known.references > 0,
        transparent=known is not None and known.transparent,
        image_bytes=len(request.image or b""),
        mask_bytes=len(request.mask or b""),
        reference_bytes=tuple(map(len, request.references)),
        loras=tuple(
            wire.LoraFile(path=str(file.path), weight=lora.weight)
            for file, lora in zip(loras, request.loras, strict=True)
        ),
        nets=tuple(
            wire.Net(
                path=str(net.path),
                net=net.net,
                weight=control.weight,
                mode=UNION[net.net][control.kind] if net.union else None,
                image_bytes=len(control.image or b""),
            )
            for net, control in zip(nets, request.control, strict=True)
        ),
        ip_adapter=wire.IpAdapter(path=str(adapter.path), encoder=str(adapter.encoder))
        if adapter
        else None,
        seamless=request.seamless and "seamless" in options,
        first=first,
        second_as=_class_for("image_to_image", on_disk, nets) if first else "",
        refiner=refiner.in_worker_words(with_refiner) if with_refiner else None,
        stages=cascade.in_worker_words(on_disk, steps),
        attention="" if settings.attention == "auto" else settings.attention,
        step_cache="" if settings.step_cache == "off" else settings.step_cache,
        compile=settings.compile == "on",
        compile_cache=str(context.data_dir / model.provider / COMPILED),
    )


def _task(request: ProviderRequest) -> Task:
    if request.mask is not None:
        return "inpaint"
    return "text_to_image" if request.image is None else "image_to_image"


def _prompt(request: ProviderRequest, options: frozenset[Option]) -> str:
    """The prompt, in the words by which Qwen-Image-2.1 leaves its ground out, after its README."""
    if not request.transparent or "transparent" not in options:
        return request.prompt
    before, after = TRANSPARENT_WORDS
    return f"{before} {request.prompt.strip().rstrip('.')}. {after}"


def _steps_for(steps: int, strength: float, known: Family | None) -> int:
    """As many that a strength is felt: the pipelines run `steps * strength` of them.

    They round down for sd1 and sdxl, so that a small strength would be nothing; all others round
    up, so that a large one would leave nothing of the picture.
    """
    steps = max(steps, math.ceil(1 / strength))
    if known is not None and not known.samplers and strength <= MOST_FELT:
        steps = max(steps, math.ceil(1 / (1 - strength)))
    return steps


def _sampler(
    request: ProviderRequest, options: frozenset[Option], model: Model, on_disk: DiskModel
) -> tuple[str | None, str | None]:
    """The sampler and the scheduler that are asked for, else those that the variant wants."""
    variant = variant_of(on_disk)
    for option, value in (("sampler", request.sampler), ("scheduler", request.scheduler)):
        if value is not None and option not in options:
            text = f"{model.id} takes no {option} {value!r}: only sd1, sd2 and sdxl take one."
            raise RequestRejected(model.provider, text)
    if request.sampler is None and request.scheduler is None and variant is not None:
        return variant.sampler or None, variant.scheduler or None
    try:
        return samplers.choose(request.sampler, request.scheduler)
    except ValueError as e:
        raise RequestRejected(model.provider, f"{model.id}: {e}.") from e


def _lora(name: str, model: Model, known: Family | None, additions: Sequence[Addition]) -> Addition:
    lora = lora_of(name, model.provider, additions)
    if lora is None:
        text = f"There is no LoRA {name!r} in modelDirs: list_models shows what is there."
        raise ModelMissing(model.provider, text)
    if known is None or not known.loras:
        raise RequestRejected(model.provider, f"{model.id} takes no LoRAs.")
    if lora.family not in (None, model.family):
        text = f"{lora.id} is a LoRA for {lora.family}, and {model.id} is {model.family}."
        raise RequestRejected(model.provider, text)
    return lora


def _nets(
    request: ProviderRequest, model: Model, on_disk: DiskModel, additions: Sequence[Addition]
) -> list[Addition]:
    """A ControlNet for each map, all of one class, as the pipelines want them."""
    if not request.control:
        return []
    known, task = on_disk.known, _task(request)
    kinds = [control.kind for control in request.control]
    nets = _together(kinds, _controls(task, known), on_disk.family, additions)
    if nets:
        return nets
    by_text = known is not None and known.text and task != "text_to_image"
    if by_text and (
        nets := _together(kinds, _controls("text_to_image", known), on_disk.family, additions)
    ):
        raise RequestRejected(
            model.provider,
            f"{' and '.join(net.id for net in nets)} can guide {model.id} only where it makes a "
            "picture from a text: leave out the picture to change, or the control.",
        )
    text = (
        f"No ControlNets for {' and '.join(kinds)} together that guide {model.id} are in "
        "modelDirs: list_models shows what is there."
    )
    raise ModelMissing(model.provider, text)


def _together(
    kinds: Sequence[str],
    pipelines: Mapping[str, str],
    family: str | None,
    additions: Sequence[Addition],
) -> list[Addition]:
    """A ControlNet of one class for each kind; none where they are not here."""
    for nets in nets_by_kind(pipelines, family, additions):
        chosen = [nets[kind] for kind in kinds if kind in nets]
        if len(chosen) < len(kinds):
            continue
        if len(chosen) == 1 or chosen[0].net not in ALONE:
            return chosen
    return []


def _ip_adapter(
    request: ProviderRequest, model: Model, on_disk: DiskModel, additions: Sequence[Addition]
) -> Addition | None:
    known = on_disk.known
    if not request.references or (known is not None and known.references):
        return None
    adapter = ip_adapter_for(on_disk.family, additions)
    if known is None or not known.ip_adapter or adapter is None:
        text = f"{model.id} looks at no references: no IP-Adapter for it is in modelDirs."
        raise ModelMissing(model.provider, text)
    return adapter


def _controls(task: Task, known: Family | None) -> dict[str, str]:
    if known is None:
        return {}
    if task == "inpaint":
        return dict(known.inpaint_controls)
    return dict(known.image_to_image_controls if task == "image_to_image" else known.controls)


def _class_for(task: Task, on_disk: DiskModel, nets: Sequence[Addition]) -> str:
    """The class that does a task with the model's parts; empty where its own does."""
    known = on_disk.known
    if nets:
        return _controls(task, known)[nets[0].net]
    if known is None or task not in ("image_to_image", "inpaint"):
        return ""
    name = known.inpaint if task == "inpaint" else known.image_to_image
    return "" if name == on_disk.pipeline else name


def payload(request: ProviderRequest) -> bytes:
    """What goes with the request, in the order of its lengths."""
    maps = (control.image or b"" for control in request.control)
    return b"".join((request.image or b"", request.mask or b"", *maps, *request.references))


def differences(request: ProviderRequest, message: wire.WorkerRequest) -> list[str]:
    """What is done that was not asked for."""
    notes: list[str] = []
    if not message.transparent:
        notes += _laid_on_white(request)
    if request.steps is not None and message.steps not in (None, request.steps):
        less = f"{request.steps} are too few for a strength of {message.strength:g}"
        notes.append(f"made with {message.steps} steps: {less}")
    if message.first is not None:
        notes.append(hires.note(message.first))
    return notes


def _laid_on_white(request: ProviderRequest) -> list[str]:
    """What was transparent, a sentence each; of maps only the lines matter."""
    why = "were laid on white: this model knows no transparency"
    notes: list[str] = []
    if request.image is not None and is_transparent(decode(request.image)):
        notes.append(f"the picture's transparent parts {why}")
    references = enumerate(request.references, 1)
    numbers = [f"{number}" for number, png in references if is_transparent(decode(png))]
    if numbers:
        plural = "s" if len(numbers) > 1 else ""
        notes.append(f"the transparent parts of reference{plural} {', '.join(numbers)} {why}")
    return notes


def refiner_notes(
    with_refiner: DiskModel | None, on_disk: DiskModel, message: wire.WorkerRequest
) -> list[str]:
    """What the refiner did, or why it did nothing; none where none could go on."""
    if with_refiner is None:
        return []
    if message.refiner is not None:
        return [refiner.note(with_refiner)]
    why = refiner.why_left_out(on_disk, message.steps)
    return [f"the refiner {with_refiner.id} was left out: {why}"]


def device_wanted(settings: Settings, context: ProviderContext) -> str:
    """Say where to run: the provider's setting, else the server's, else what torch can use."""
    if settings.device != "auto":
        return settings.device
    if context.gpu not in ("auto", "auto-detect"):
        return context.gpu
    return "auto" if torch_build.uses_gpus() else "cpu"
