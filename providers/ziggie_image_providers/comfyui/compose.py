"""Compose the graph of a job out of fragments, in the order in which ComfyUI works."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ziggie_image_mcp.provider import ProviderRequest
from ziggie_image_mcp.provider.sizes import REPEATS_ABOVE, Size, first_pass_size
from ziggie_image_providers.comfyui.graph import Graph, Nodes
from ziggie_image_providers.comfyui.kinds import Kind

CHANGE, REPAINT = 0.75, 1.0
"""The strength where none is asked for: enough to change, and under a mask all of it."""

HIRES_DENOISE = 0.5
"""How much of the larger picture is drawn anew: what ComfyUI's own examples of two passes take."""

HANDOVER_SHARE = 0.8
"""Of the steps of SDXL's base model, after which its refiner goes on: ComfyUI's own example."""

BATCH_SCALE = math.sqrt(1 + 14.614641**2) / 14.614641
"""What noise alone is multiplied with beyond sigma, where sampling begins at the largest sigma of
SD 1.5, 2 and XL: comfy/model_sampling.py, EPS.noise_scaling."""

BATCH_SAMPLERS = frozenset(
    ("euler", "heun", "dpm_2", "lms", "dpmpp_2m", "ddim", "uni_pc", "uni_pc_bh2", "ipndm", "deis")
)
"""Those that draw no noise on the way, so that a picture of several is the one that it is alone."""

BATCH_SCHEDULERS = frozenset(("normal", "karras", "exponential", "sgm_uniform", "simple", "beta"))
"""Those that begin at the largest sigma."""


@dataclass(frozen=True, kw_only=True)
class LoraFile:
    """A LoRA as the server names it."""

    file: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class ControlFile:
    """A control picture, and what makes it count."""

    picture: str
    """As the server names it after the upload."""
    net: str
    weight: float
    union_type: str = ""
    """What a net of several kinds is told; empty where it is of one kind."""
    preprocessor: str = ""
    """The class of the node that makes the map; empty where the picture is it."""
    patch: bool = False


@dataclass(frozen=True, kw_only=True)
class GraphJob:
    """All that a graph is made of."""

    request: ProviderRequest
    """Its sampler and scheduler in ComfyUI's words; seed and number of pictures are not read."""
    kind: Kind
    file: str
    whole: bool
    """Whether the file holds text encoders and VAE too."""
    checkpoint: bool
    """Whether it lies among the checkpoints."""
    gguf: bool = False
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What it needs beside it: `clip_1` and so on, and `vae`."""
    seeds: Sequence[int] = (0,)
    """One for each picture."""
    prefix: str = "ziggie"
    """How the server shall name the files. Of this job alone: a graph that is the same to the last
    letter is answered from a cache, with a file that may be gone."""
    picture: str = ""
    mask: str = ""
    references: Sequence[str] = ()
    loras: Sequence[LoraFile] = ()
    control: Sequence[ControlFile] = ()
    base: Size | None = None
    """Where the picture is drawn smaller first."""
    seamless: bool = False
    tiled: bool = False
    refiner: str = ""
    face_model: str = ""


def compose(job: GraphJob) -> Nodes:
    """The graph of a job."""
    graph = Graph()
    _load(graph, job)
    for lora in job.loras:
        name = "lora" if job.kind.clip_lora else "lora_model"
        graph.add(name, lora=lora.file, weight=lora.weight)
    for class_type, values in job.kind.patches:
        graph.add_node("patch", class_type, "MODEL", model=graph.port("MODEL"), **values)
    if job.seamless:
        graph.add("seamless")
    _speak(graph, job)
    for control in job.control:
        _control(graph, control)
    _begin(graph, job)
    _sample(graph, job)
    graph.add("decode_tiled" if job.tiled else "decode")
    if job.face_model:
        graph.add("face", face_model=job.face_model)
    graph.add("save", prefix=job.prefix)
    return graph.nodes


def compose_upscale(file: str, picture: str, size: Size, prefix: str) -> Nodes:
    """The graph that enlarges a picture to a size."""
    graph = Graph()
    graph.add("upscale", file=file, picture=picture, width=size.width, height=size.height)
    graph.add("save", prefix=prefix)
    return graph.nodes


def base_size(kind: Kind, size: Size) -> Size | None:
    """The size in which a picture is drawn first; None where it can be drawn at once.

    UNets repeat themselves beyond one and a half times their native area, transformers later.
    """
    above = REPEATS_ABOVE if kind.latent == "EmptyLatentImage" else 2.5
    return first_pass_size(size, kind.side**2, step=max(kind.multiple_of, 16), above=above)


def batches(kind: Kind, request: ProviderRequest) -> bool:
    """Whether several pictures can be sampled together, each the one that it is alone."""
    return (
        kind.noise == "epsilon"
        and not kind.sigmas
        and request.task == "text_to_image"
        and (request.sampler or kind.sampler) in BATCH_SAMPLERS
        and (request.scheduler or kind.scheduler) in BATCH_SCHEDULERS
    )


def _load(graph: Graph, job: GraphJob) -> None:
    if job.checkpoint:
        graph.add("load_checkpoint", file=job.file)
    else:
        graph.add("load_model_gguf" if job.gguf else "load_model", file=job.file)
    if job.whole:
        return
    clips = {name: file for name, file in job.parts.items() if name.startswith("clip_")}
    type = job.kind.parts.type if job.kind.parts else ""
    [loader] = graph.add(f"load_clip_{len(clips)}", clip_type=type, **clips)
    if any(file.lower().endswith(".gguf") for file in clips.values()):
        graph.nodes[loader]["class_type"] += "GGUF"
    if "vae" in job.parts:
        graph.add("load_vae", vae=job.parts["vae"])


def _speak(graph: Graph, job: GraphJob) -> None:
    """Prompts, and the pictures that the model sees with them."""
    request, kind = job.request, job.kind
    guidance = request.guidance_scale if request.guidance_scale is not None else kind.guidance
    values = {
        "prompt": request.prompt,
        "negative": request.negative_prompt if kind.takes_negative else "",
        "guidance": guidance,
    }
    nodes = graph.add(kind.text, **values)
    seen = [job.picture, *job.references] if job.picture and kind.edit else [*job.references]
    if kind.text == "text_qwen_edit":
        for i, name in enumerate(seen, 1):
            [picture] = graph.add("reference_picture", reference=name)
            for node in nodes[:2]:
                graph.set(node, **{f"image{i}": [picture, 0]})
    elif kind.text == "text_qwen_2_1":
        for i, name in enumerate(seen, 1):
            [picture] = graph.add("reference_picture", reference=name)
            graph.set(nodes[0], vae=graph.port("VAE"), **{f"images.image_{i}": [picture, 0]})
    elif kind.references:
        for name in seen:
            graph.add("reference", reference=name)
    else:
        for name in seen:
            graph.add("reference_adapter", reference=name, weight=1.0)


def _control(graph: Graph, control: ControlFile) -> None:
    graph.add("control_picture", control=control.picture)
    if control.preprocessor:
        picture = graph.port("CONTROL")
        graph.add_node("preprocessor", control.preprocessor, "CONTROL", image=picture)
    values = {"control_net": control.net, "weight": control.weight}
    if control.patch:
        graph.add("control_patch", **values)
    elif control.union_type:
        graph.add("control_union", control_type=control.union_type, **values)
    else:
        graph.add("control", **values)


def _begin(graph: Graph, job: GraphJob) -> None:
    """What the sampler begins with."""
    kind, size = job.kind, Size(job.request.width, job.request.height)
    if job.picture and not (kind.edit and not job.mask):
        graph.add("picture", picture=job.picture)
    if job.mask:
        graph.add("mask", mask=job.mask)
        graph.add("latent_inpaint" if kind.inpaint else "latent_masked")
    elif job.picture and kind.picture == "pix2pix":
        graph.add("latent_pix2pix")
    elif job.picture and not kind.edit:
        graph.add("latent_picture")
    else:
        base = job.base or size
        values = {"base_width": base.width, "base_height": base.height}
        graph.add("latent_empty", latent=kind.latent, **values)


def _sample(graph: Graph, job: GraphJob) -> None:
    request, kind = job.request, job.kind
    cfg = 1.0
    if kind.guidance is not None and kind.guidance_is == "cfg":
        scale = request.guidance_scale
        cfg = kind.guidance if scale is None else scale
    values: dict[str, object] = {
        "seed": job.seeds[0],
        "steps": request.steps or kind.steps,
        "cfg": cfg,
        "sampler": request.sampler or kind.sampler,
        "scheduler": request.scheduler or kind.scheduler,
        "denoise": _denoise(job),
        "width": job.base.width if job.base else request.width,
        "height": job.base.height if job.base else request.height,
    }
    if len(job.seeds) > 1:
        _sample_batch(graph, job, values)
    elif job.refiner:
        handover = max(1, round(HANDOVER_SHARE * (request.steps or kind.steps)))
        words = {
            "prompt": request.prompt,
            "negative": request.negative_prompt if kind.takes_negative else "",
        }
        graph.add("sample_refined", refiner=job.refiner, handover=handover, **words, **values)
    else:
        _sample_once(graph, kind, values)
    if job.base is not None:
        values |= {"width": request.width, "height": request.height, "denoise": HIRES_DENOISE}
        graph.add("hires", **values)
        _sample_once(graph, kind, values)


def _sample_once(graph: Graph, kind: Kind, values: dict[str, object]) -> None:
    if not kind.sigmas:
        graph.add("sample", **values)
        return
    graph.add(kind.sigmas, **values)
    if kind.sigmas == "sigmas_flux2" and values["denoise"] != 1.0:
        graph.add("sigmas_part", **values)
    graph.add("sample_custom", **values)


def _sample_batch(graph: Graph, job: GraphJob, values: dict[str, object]) -> None:
    graph.add("sigmas", **values)
    graph.hand_on("LATENT", "EMPTY")
    for i, seed in enumerate(job.seeds):
        graph.add("batch_noise", seed=seed)
        if i:
            graph.add("batch_join")
        else:
            graph.hand_on("NOISY", "BATCH")
    graph.add("batch_scale", noise_scale=BATCH_SCALE)
    graph.add("sample_batch", **values)


def _denoise(job: GraphJob) -> float:
    if not job.picture or job.kind.edit or job.kind.picture:
        return 1.0
    return job.request.strength or (REPAINT if job.mask else CHANGE)
