"""Text encoders as files of their own."""

import importlib
from pathlib import Path

import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.text_encoders.hunyuan_video
import comfy.text_encoders.sd3_clip
import torch
import vocabularies
from weights import Tensors, random_tensors, save


def transformer(model: torch.nn.Module, name: str, prefix: str = "") -> Tensors:
    """The weights of an encoder under the names of its transformer."""
    inner = model.transformer
    assert isinstance(inner, torch.nn.Module)
    return random_tensors(inner, name, prefix)


def marked(tensors: Tensors, mark: str, shape: tuple[int, ...] = (1,)) -> Tensors:
    """Add the key of a far layer that detection looks for, though it is not there."""
    return tensors | {mark: torch.zeros(shape, dtype=torch.float8_e4m3fn)}


def clip_l(path: Path) -> None:
    save(transformer(comfy.sd1_clip.SDClipModel(), path.stem), path)


def clip_g(path: Path) -> None:
    tensors = transformer(comfy.sdxl_clip.SDXLClipG(), path.stem)
    save(marked(tensors, "text_model.encoder.layers.30.mlp.fc1.weight"), path)


def t5xxl_tensors(name: str, prefix: str = "") -> Tensors:
    tensors = transformer(comfy.text_encoders.sd3_clip.T5XXLModel(), name, prefix)
    mark = prefix + "encoder.block.23.layer.1.DenseReluDense.wi_1.weight"
    return marked(tensors, mark, shape=(10240, 4096))  # Either side is looked at.


def t5xxl(path: Path) -> None:
    save(t5xxl_tensors(path.stem), path)


def qwen3_4b(path: Path) -> None:
    """For FLUX.2 klein and Z-Image."""
    z_image = importlib.import_module("comfy.text_encoders.z_image")
    save(transformer(z_image.Qwen3_4BModel(), path.stem), path)


def mistral(path: Path) -> None:
    """For FLUX.2 dev."""
    flux = importlib.import_module("comfy.text_encoders.flux")
    tensors = transformer(flux.Mistral3_24BModel(), path.stem) | {
        "tekken_model": vocabularies.tekken()
    }
    save(marked(tensors, "model.layers.39.post_attention_layernorm.weight"), path)


def gemma(path: Path) -> None:
    """For Lumina 2."""
    lumina = importlib.import_module("comfy.text_encoders.lumina2")
    save(
        transformer(lumina.Gemma2_2BModel(), path.stem)
        | {"spiece_model": vocabularies.sentence_pieces()},
        path,
    )


def qwen2_5_vl(path: Path) -> None:
    """For Qwen-Image; it sees pictures too."""
    qwen = importlib.import_module("comfy.text_encoders.qwen_image")
    save(transformer(qwen.Qwen25_7BVLIModel(), path.stem), path)


def llama(path: Path) -> None:
    """For HiDream."""
    save(
        transformer(
            comfy.text_encoders.hunyuan_video.LLAMAModel(layer="all", layer_idx=None), path.stem
        ),
        path,
    )
