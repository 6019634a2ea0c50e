"""Tell what a transformer in GGUF is, and which folder of diffusers lends it all else.

A GGUF file holds the transformer alone. Text encoders, VAE, tokenizers, scheduler and the
transformer's settings come from a folder of the same architecture, whose own transformer need not
be there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import gguf_file
from ziggie_image_providers.diffusers.checkpoint_tensors import lacking
from ziggie_image_providers.diffusers.disk_model import DiskModel, useless
from ziggie_image_providers.diffusers.families import PIPELINES
from ziggie_image_providers.diffusers.model_folder import (
    CONFIG,
    INDEX,
    components,
    folder,
    read_json,
)

TRANSFORMER = "transformer"

Shapes = Mapping[str, tuple[int, ...]]

_PREFIX = "model.diffusion_model."
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
"""Of a file's name, as of qwen-image-edit_2509 and QwenImageEdit."""
_EDITING = ("kontext", "edit")
"""Words in a file's name of models that have the tensors of another class's, and do other work."""
_PLUS = ("2509", "2511", "plus")
"""Words in the name of a Qwen-Image-Edit that looks at several pictures."""


@dataclass(frozen=True, kw_only=True)
class _Architecture:
    """A transformer that diffusers reads from one file."""

    family: str
    sign: str
    """Found in the name of a tensor that only it has."""
    transformer: str
    """The class of diffusers."""
    blocks: Mapping[str, str]
    """How its blocks begin, and the setting that counts them."""
    repo: Callable[[Shapes, frozenset[str]], str]
    """Whose folder lends the rest, by its tensors and the words of its file's name; empty where
    the engine runs no such folder."""


def _flux(shapes: Shapes, words: frozenset[str]) -> str:
    kind = "dev" if "guidance_in.in_layer.weight" in shapes else "schnell"
    if "kontext" in words:
        kind = "Kontext-dev"
    channels = _side(shapes, "img_in.weight", -1, 64)
    if channels != _FLUX_CHANNELS:  # with 128 it is Canny-dev or Depth-dev
        kind = "Fill-dev" if channels == _FILL_CHANNELS else ""
    return f"black-forest-labs/FLUX.1-{kind}" if kind else ""


def _flux2(shapes: Shapes, words: frozenset[str]) -> str:
    del words
    width = _side(shapes, "img_in.weight", 0, 6144)
    kind = {3072: "klein-4B", 4096: "klein-9B"}.get(width, "dev")
    return f"black-forest-labs/FLUX.2-{kind}"


def _sd3(shapes: Shapes, words: frozenset[str]) -> str:
    del words
    if "joint_blocks.24.x_block.attn.qkv.weight" in shapes:
        return "stabilityai/stable-diffusion-3.5-large"
    if any(_DUAL in name for name in shapes):
        return "stabilityai/stable-diffusion-3.5-medium"
    return "stabilityai/stable-diffusion-3-medium-diffusers"


def _qwen(shapes: Shapes, words: frozenset[str]) -> str:
    if _LAYERED in shapes or "layered" in words:
        return ""
    if "edit" not in words:
        return "Qwen/Qwen-Image"
    version = next((f"-{word}" for word in ("2511", "2509") if word in words), "")
    return f"Qwen/Qwen-Image-Edit{version}"


def _always(repo: str) -> Callable[[Shapes, frozenset[str]], str]:
    return lambda shapes, words: repo


def _side(shapes: Shapes, name: str, at: int, usual: int) -> int:
    """One side of a tensor; the usual one where it is not there, or has none."""
    shape = shapes.get(name) or (usual,)
    return shape[at]


_FLUX_CHANNELS, _FILL_CHANNELS = 64, 384
"""Of a patch of the picture: of FLUX.1, and with those of the mask and what is under it."""
_DUAL = ".x_block.attn2."
"""In SD 3.5 medium, and not in SD 3 medium."""
_LAYERED = "time_text_embed.addition_t_embedding.weight"
"""Of Qwen-Image-Layered."""


_FLUX_BLOCKS = {"double_blocks": "num_layers", "single_blocks": "num_single_layers"}

_ARCHITECTURES = (
    _Architecture(
        family="sd3",
        sign=r"^joint_blocks\.0\.context_block\.attn\.qkv\.weight$",
        transformer="SD3Transformer2DModel",
        blocks={"joint_blocks": "num_layers"},
        repo=_sd3,
    ),
    _Architecture(
        family="flux2",
        sign=r"^double_stream_modulation_img\.lin\.weight$",
        transformer="Flux2Transformer2DModel",
        blocks=_FLUX_BLOCKS,
        repo=_flux2,
    ),
    _Architecture(
        family="chroma",
        sign=r"^distilled_guidance_layer\.",
        transformer="ChromaTransformer2DModel",
        blocks=_FLUX_BLOCKS,
        repo=_always("lodestones/Chroma1-HD"),
    ),
    _Architecture(
        family="flux1",
        sign=r"^double_blocks\.0\.img_attn\.qkv\.weight$",
        transformer="FluxTransformer2DModel",
        blocks=_FLUX_BLOCKS,
        repo=_flux,
    ),
    _Architecture(
        family="hidream",
        sign=r"^double_stream_blocks\.0\.block\.",
        transformer="HiDreamImageTransformer2DModel",
        blocks={"double_stream_blocks": "num_layers", "single_stream_blocks": "num_single_layers"},
        repo=_always("HiDream-ai/HiDream-I1-Fast"),
    ),
    _Architecture(
        family="qwen-image",
        sign=r"^transformer_blocks\.0\.img_mod\.1\.weight$",
        transformer="QwenImageTransformer2DModel",
        blocks={"transformer_blocks": "num_layers"},
        repo=_qwen,
    ),
    _Architecture(
        family="z-image",
        sign=r"^noise_refiner\.0\.attention\.",
        transformer="ZImageTransformer2DModel",
        blocks={"layers": "n_layers", "noise_refiner": "n_refiner_layers"},
        repo=_always("Tongyi-MAI/Z-Image-Turbo"),
    ),
    _Architecture(
        family="lumina",
        sign=r"^noise_refiner\.0\.attention\.",
        transformer="Lumina2Transformer2DModel",
        blocks={"layers": "num_layers", "noise_refiner": "num_refiner_layers"},
        repo=_always("Alpha-VLLM/Lumina-Image-2.0"),
    ),
)
"""Those of SINGLE_FILE_LOADABLE_CLASSES of diffusers 0.42.1 (loaders/single_file_model.py) that
a pipeline here runs. Names of tensors are those that its converters read."""

_LUMINA_WIDTH = 2304
"""Of the text that Lumina 2 reads; Z-Image has the same names, and another width."""

_WITH_UNET = ("input_blocks.0.0.weight", "down_blocks.0.resnets.0.conv1.weight")


def gguf_model(path: Path, id: str, donors: Mapping[Path, str], base: str = "") -> DiskModel:
    """Look at one GGUF file.

    Args:
        path: The file.
        id: What to call it.
        donors: Folders of diffusers that may lend what it lacks, with their ids.
        base: The id or path of the one that was set; empty for the only one that fits.

    Raises:
        Damaged: It is no GGUF file, or cut off.
        OSError: It cannot be read.
    """
    try:
        header = gguf_file.read(path)
    except gguf_file.OtherVersion as e:
        text = f"{e}, and only 2 and 3 are read: take another file of this model, or convert it."
        return useless(path, id, text)
    shapes = {name.removeprefix(_PREFIX): shape for name, (_, shape) in header.tensors.items()}
    architecture = _architecture(shapes)
    if architecture is None:
        return useless(path, id, f"{path.name} {_why_not(header, shapes)}")
    family = architecture.family
    what = f"{path.name} is a {family} transformer in GGUF"
    if header.unread:
        text = (
            f"{what} with {', '.join(header.unread)}, which diffusers does not read: take one of "
            "Q2_K to Q8_0 or BF16; ComfyUI-GGUF may take it."
        )
        return useless(path, id, text, family=family)
    counts = {key: _count(shapes, name) for name, key in architecture.blocks.items()}
    problem = lacking(family, shapes, counts)
    if problem:
        text = f"{path.name} is no whole {family} transformer ({problem}): download it again."
        return useless(path, id, text, family=family)
    words = _words(path.stem)
    repo = architecture.repo(shapes, words)
    fitting = [one for one in donors if _fits(one, architecture, shapes)]
    if not base:  # what is set is taken whatever the file is called
        fitting = [one for one in fitting if _does_the_same(one, words)]
    whole = {one: lent for one in fitting if (lent := _lent(one)).trouble is None}
    chosen = _choose(whole, donors, path.stem, base)
    if chosen is None and not (repo or base):
        return useless(path, id, f"{what}, of a kind that this engine does not run.", family=family)
    if chosen is None:
        text = _which_base(what, id, [donors[one] for one in whole], base) or (
            f"{what}: a folder of diffusers lends it text encoders, VAE and settings, and none "
            f"{_what_is_missing(fitting, donors)}: ziggie-image-mcp models pull {repo} "
            "--without transformer"
        )
        return useless(path, id, text, family=family, kind="missing")
    lent = whole[chosen]
    return replace(
        lent,
        id=id,
        path=path,
        parts={**lent.parts, TRANSFORMER: gguf_file.part(header.tensors)},
        single_file=True,
        config_folder=chosen,
    )


def _architecture(shapes: Shapes) -> _Architecture | None:
    for one in _ARCHITECTURES:
        if any(re.search(one.sign, name) for name in shapes):
            width = _side(shapes, "cap_embedder.1.weight", 0, 0)
            if one.family != "z-image" or width != _LUMINA_WIDTH:
                return one
    return None


def _why_not(header: gguf_file.Header, shapes: Shapes) -> str:
    if any(name in shapes for name in _WITH_UNET):
        return "is a UNet in GGUF: this engine takes transformers in GGUF; ComfyUI-GGUF takes it."
    told = f" ({header.architecture})" if header.architecture else ""
    return f"is a GGUF file of no family{told} that this engine takes."


def _words(stem: str) -> frozenset[str]:
    """The words of a file's name, in small letters; qwenimageedit is three."""
    found = {word.lower() for word in _WORDS.findall(stem)}
    return frozenset(found | ({"edit"} if any(w.endswith("imageedit") for w in found) else set()))


def _does_the_same(donor: Path, words: frozenset[str]) -> bool:
    """Whether a folder's pipeline does what the name of a file says."""
    pipeline = str(read_json(donor / INDEX).get("_class_name", "")).lower()
    if any((word in words) != (word in pipeline) for word in _EDITING):
        return False
    return "edit" not in words or any(one in words for one in _PLUS) == ("plus" in pipeline)


def _fits(donor: Path, architecture: _Architecture, shapes: Shapes) -> bool:
    """Whether a folder's transformer is built as the file's is."""
    index = read_json(donor / INDEX)
    pipeline = str(index.get("_class_name", ""))
    classes = dict(components(index))
    if pipeline not in PIPELINES or classes.get(TRANSFORMER) != architecture.transformer:
        return False
    layout = read_json(donor / TRANSFORMER / CONFIG)
    for beginning, setting in architecture.blocks.items():
        if layout.get(setting) != _count(shapes, beginning):
            return False
    return _agrees(shapes, layout)


def _count(shapes: Shapes, beginning: str) -> int:
    """How many blocks there are whose names begin so."""
    pattern = re.compile(rf"^{beginning}\.(\d+)\.")
    return len({found[1] for name in shapes if (found := pattern.match(name))})


def _agrees(shapes: Shapes, layout: Mapping[str, Any]) -> bool:
    """Whether tensors that only some models of a family have go with the settings."""
    if "double_blocks.0.img_mod.lin.weight" in shapes:  # FLUX.1
        guided = "guidance_in.in_layer.weight" in shapes
        channels = _side(shapes, "img_in.weight", -1, 0)
        return (layout.get("guidance_embeds"), layout.get("in_channels")) == (guided, channels)
    if "joint_blocks.0.x_block.attn.qkv.weight" in shapes:  # SD 3, whose 3.5 medium has more
        dual = any(_DUAL in name for name in shapes)
        return bool(layout.get("dual_attention_layers")) == dual
    return bool(layout.get("use_additional_t_cond")) == (_LAYERED in shapes)


def _lent(donor: Path) -> DiskModel:
    """What a folder is without its transformer."""
    lent = folder(donor, "", always=True, without=TRANSFORMER)
    assert lent is not None
    return lent


def _choose(
    whole: Mapping[Path, DiskModel], donors: Mapping[Path, str], stem: str, base: str
) -> Path | None:
    """The folder that was set, else the only one, else the one after which the file is named."""
    if base:
        return next((one for one in whole if base in (donors[one], str(one))), None)
    if len(whole) == 1:
        return next(iter(whole))
    named = [one for one in whole if _plain(donors[one].rpartition("/")[2]) in _plain(stem)]
    return named[0] if len(named) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _which_base(what: str, id: str, fitting: Sequence[str], base: str) -> str:
    """Say that a setting must tell the folder, or tells one that does not fit; empty else."""
    setting = f'providers.diffusers.ggufBases {{"{id}": '
    if base:
        others = " or ".join(fitting) or "none here"
        return f"{what}, and {base}, which ggufBases names, does not fit it; what fits: {others}."
    if not fitting:
        return ""
    return (
        f"{what}, and {' and '.join(fitting)} could lend it text encoders, VAE and settings: set "
        f'{setting}"{fitting[0]}"}} or another of them.'
    )


def _what_is_missing(fitting: Sequence[Path], donors: Mapping[Path, str]) -> str:
    """Why no folder lends it, in the middle of a sentence."""
    troubles = [(donors[one], _lent(one).trouble) for one in fitting]
    name, trouble = next(iter(troubles), ("", None))
    if trouble is None:
        return "of its architecture is here"
    return f"is whole ({name}: {trouble.text.rstrip('.')})"
