"""Decide how a request is run on a server: files, passes, tiles; and what is said of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from ziggie_image_mcp.provider import (
    Model,
    ModelMissing,
    ModelUnusable,
    ProviderRequest,
    RequestRejected,
    options_of,
)
from ziggie_image_mcp.provider.additions import embedding_names, find_addition
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_providers.comfyui import capabilities, failures
from ziggie_image_providers.comfyui.compose import (
    ControlFile,
    GraphJob,
    LoraFile,
    base_size,
    batches,
)
from ziggie_image_providers.comfyui.kinds import data
from ziggie_image_providers.comfyui.listing import Contents, Entry
from ziggie_image_providers.comfyui.samplers import in_own_words
from ziggie_image_providers.comfyui.settings import Settings

TILED_PIXELS = 2048 * 2048
"""A larger picture is decoded in tiles: ComfyUI's own VAE takes some 8 GB for it in one piece."""

Upload = Callable[[bytes], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """How a request is run."""

    job: GraphJob
    """Without seeds, prefix and pictures."""
    notes: tuple[str, ...] = ()
    batches: bool = False
    """Whether several pictures may be sampled together."""


def draft(
    name: str, request: ProviderRequest, entry: Entry, contents: Contents, settings: Settings
) -> Draft:
    """Decide.

    Raises:
        RequestRejected: ComfyUI would not take a value, or would change it in silence.
        ModelMissing: A LoRA, embedding or control net is not there.
    """
    assert entry.kind, "only usable models come here"
    kind = entry.kind
    request = _checked(name, request, entry, contents)
    notes: list[str] = []
    base = None
    if request.task == "text_to_image" and settings.hires == "auto":
        base = base_size(kind, Size(request.width, request.height))
    if base is not None:
        notes.append(f"drawn at {base} first, and then over at full size (hires pass)")
    refiner = ""
    if kind.refined and request.task == "text_to_image" and settings.refiner == "auto":
        refiner = contents.refiner
        if refiner:
            notes.append(f"finished by {refiner}")
    if settings.face_restoration:
        notes.append(f"faces restored by {settings.face_restoration}")
    tiled = request.width * request.height > TILED_PIXELS
    if tiled:
        notes.append("decoded in tiles")
    loras: list[LoraFile] = []
    for lora in request.loras:
        found = _lora(name, lora.id, contents)
        loras.append(LoraFile(file=found.id, weight=lora.weight))
        if found.family is None:
            notes.append(f"ComfyUI ignores the LoRA {found.id} if it is for another family")
    job = GraphJob(
        request=request,
        kind=kind,
        file=entry.file,
        whole=entry.whole,
        checkpoint=entry.folder == "checkpoints",
        gguf=entry.gguf,
        parts=entry.parts,
        loras=loras,
        base=base,
        seamless=request.seamless and "seamless" in options_of(entry.model, request.task),
        tiled=tiled,
        refiner=refiner,
        face_model=settings.face_restoration,
    )
    able = batches(kind, request) and base is None and not refiner and not request.control
    return Draft(job=job, notes=tuple(notes), batches=able)


async def with_pictures(
    job: GraphJob, name: str, contents: Contents, family: str | None, upload: Upload
) -> GraphJob:
    """The job with its pictures as the server calls them."""
    request = job.request
    control: list[ControlFile] = []
    for item in request.control:
        assert item.image, "the core gives the picture"
        net = next(
            (
                n
                for n in contents.nets
                if n.family == family
                and item.kind in n.kinds
                and n.patch == (job.kind.control == "patch")
            ),
            None,
        )
        if net is None:
            raise ModelMissing(name, f"ComfyUI has no control net for {item.kind} and {family}")
        types = data().union_types.get(family or "", {})
        control.append(
            ControlFile(
                picture=await upload(item.image),
                net=net.file,
                weight=item.weight,
                union_type=types.get(item.kind, "auto") if net.union else "",
                preprocessor=(
                    capabilities.preprocessor(item.kind, contents.nodes) if item.compute else ""
                ),
                patch=net.patch,
            )
        )
    return replace(
        job,
        picture=await upload(request.image) if request.image else "",
        mask=await upload(request.mask) if request.mask else "",
        references=[await upload(picture) for picture in request.references],
        control=control,
    )


def _checked(
    name: str, request: ProviderRequest, entry: Entry, contents: Contents
) -> ProviderRequest:
    """The request in ComfyUI's words."""
    assert entry.kind
    step = entry.kind.multiple_of
    if request.width % step or request.height % step:
        raise RequestRejected(  # ComfyUI would cut it down in silence
            name,
            f"{entry.model.id} makes sides in multiples of {step} px only,"
            f" not {request.width}x{request.height}",
        )
    sampler, scheduler = in_own_words(request.sampler or "", request.scheduler or "")
    for input, value, written in (
        ("sampler_name", sampler, request.sampler),
        ("scheduler", scheduler, request.scheduler or request.sampler),
    ):
        choices = contents.nodes.choices("KSampler", input)
        if value and choices and value not in choices:
            near = failures.nearest(value, choices)
            raise RequestRejected(name, f"ComfyUI has no {input} {written!r}{near}")
    for embedding in embedding_names(f"{request.prompt}\n{request.negative_prompt}"):
        if find_addition(embedding, "embedding", contents.additions) is None:
            near = failures.nearest(embedding, [a.id for a in contents.additions])
            raise ModelMissing(name, f"ComfyUI has no embedding {embedding!r}{near}")
    return replace(request, sampler=sampler or None, scheduler=scheduler or None)


def _lora(name: str, lora: str, contents: Contents) -> Model:
    found = find_addition(lora, "lora", contents.additions)
    if found is None:
        loras = [a.id for a in contents.additions if a.role == "lora"]
        raise failures.missing(name, lora, "loras", loras)
    return found


def check_nodes(name: str, classes: set[str], contents: Contents) -> None:
    """Refuse a graph of which the server lacks a node.

    Raises:
        ModelUnusable: It does; says which, and what brings it.
    """
    missing = contents.nodes.missing(classes)
    if missing:
        raise ModelUnusable(name, failures.missing_node_text(missing[0]))
