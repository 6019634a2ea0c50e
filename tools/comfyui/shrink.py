"""Make ComfyUI's classes small, so that models of random weights need no gigabytes.

`models.py` applies it before it builds the files, and the server applies it through our custom
nodes. Text encoders keep their widths, which detection reads; layers and vocabularies shrink.
"""

import dataclasses
import functools
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

VOCABULARY = 2048
LAYERS = 3
JSON_SIZES = {
    "num_hidden_layers": LAYERS,
    "intermediate_size": 64,
    "num_layers": LAYERS,
    "d_ff": 64,
    "vocab_size": VOCABULARY,
}
LUMINA = {
    2304: {"dim": 192, "n_heads": 2, "n_kv_heads": 2, "ffn_dim_multiplier": 1.0},
    3840: {"dim": 384, "n_heads": 3, "n_kv_heads": 3, "ffn_dim_multiplier": 1.0},
}


def apply() -> None:
    """Patch the classes of the ComfyUI that is on the path, once a process."""
    if getattr(torch.nn.functional.embedding, "small", False):
        return
    _fold_vocabularies()
    _shrink_clip_and_t5()
    _shrink_language_models()
    _shrink_diffusers_unets()
    _shrink_transformers()
    _shrink_vae()


def _fold_vocabularies() -> None:
    """Let every token find a row in a small table of embeddings."""
    embedding = torch.nn.functional.embedding

    @functools.wraps(embedding)
    def fold(tokens: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return embedding(tokens % weight.shape[0], weight, *args, **kwargs)

    fold.small = True  # type: ignore[attr-defined]
    torch.nn.functional.embedding = fold


def _shrink_clip_and_t5() -> None:
    """Shrink what CLIP and T5 read from their JSON files."""
    clip = importlib.import_module("comfy.sd1_clip")
    build = clip.SDClipModel.__init__

    @functools.wraps(build)
    def small(
        self: Any,
        *args: Any,
        textmodel_json_config: Any = None,
        model_options: Any = None,
        **kwargs: Any,
    ) -> None:
        options = dict(model_options or {})
        if textmodel_json_config is None:
            textmodel_json_config = Path(clip.__file__).with_name("sd1_clip_config.json")
            options.setdefault("model_name", "clip_l")
        if not isinstance(textmodel_json_config, dict):
            textmodel_json_config = json.loads(
                Path(textmodel_json_config).read_text(encoding="utf-8")
            )
        config = {
            name: JSON_SIZES.get(name, value) for name, value in textmodel_json_config.items()
        }
        if config.get("model_type") == "t5":
            config["num_heads"] = 4
        if isinstance(kwargs.get("layer"), list):
            kwargs["layer"] = list(range(len(kwargs["layer"])))
        build(self, *args, textmodel_json_config=config, model_options=options, **kwargs)

    clip.SDClipModel.__init__ = small
    embeddings = importlib.import_module("comfy.clip_model").CLIPEmbeddings
    embeddings.__init__ = functools.partialmethod(embeddings.__init__, vocab_size=VOCABULARY)


def _shrink_language_models() -> None:
    """Shrink the dataclasses that Llama, Qwen, Gemma and Mistral are built from, and Qwen's eye."""
    llama = importlib.import_module("comfy.text_encoders.llama")
    for value in list(vars(llama).values()):
        if dataclasses.is_dataclass(value) and "num_hidden_layers" in {
            field.name for field in dataclasses.fields(value)
        }:
            value.__init__ = _small_config(value.__init__)
    try:
        vision = importlib.import_module("comfy.text_encoders.qwen_vl").Qwen2VLVisionTransformer
    except ImportError:
        return
    vision.__init__ = functools.partialmethod(vision.__init__, intermediate_size=64, num_layers=2)


def _small_config(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def small(self: Any, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.vocab_size, self.intermediate_size, self.num_hidden_layers = VOCABULARY, 64, LAYERS
        if not getattr(
            self, "qkv_bias", False
        ):  # The width of Qwen 2.5's biases is what it is known by.
            self.num_key_value_heads = 1
        self.num_attention_heads = self.num_key_value_heads

    return small


def _shrink_diffusers_unets() -> None:
    """Let a ControlNet in the format of diffusers be as narrow as our UNets.

    Its widths come from a table.
    """
    detection = importlib.import_module("comfy.model_detection")
    detect = detection.unet_config_from_diffusers_unet

    @functools.wraps(detect)
    def narrow(*args: Any, **kwargs: Any) -> dict[str, Any] | None:
        config = detect(*args, **kwargs)
        if config:
            config["channel_mult"] = [1] * len(config["channel_mult"])
        return config  # type: ignore[no-any-return]

    detection.unet_config_from_diffusers_unet = narrow


def _shrink_transformers() -> None:
    """Narrow the transformers whose detection knows but one width.

    Lumina 2 and Z-Image are told apart by theirs, so detection is shown what ours stands for.
    """
    _resize(
        "comfy.ldm.qwen_image.model",
        "QwenImageTransformer2DModel",
        lambda numbers: {"num_attention_heads": 1},
    )
    narrow = {"hidden_size": 128, "num_heads": 1}  # Old versions take FLUX.1 to be 3072 wide.
    _resize("comfy.ldm.flux.model", "Flux", lambda numbers: narrow)
    chroma = {**narrow, "out_dim": 128, "hidden_dim": 64}
    _resize("comfy.ldm.chroma.model", "Chroma", lambda numbers: chroma)
    _resize("comfy.ldm.wan.vae", "WanVAE", lambda numbers: {"dim": 8})
    hidream = {
        "num_attention_heads": 1,
        "num_layers": 1,
        "num_single_layers": 1,
        "llama_layers": [0, 1],
    }
    _resize("comfy.ldm.hidream.model", "HiDreamImageTransformer2DModel", lambda numbers: hidream)
    _resize("comfy.ldm.lumina.model", "NextDiT", lambda numbers: LUMINA[numbers["dim"]])

    detection = importlib.import_module("comfy.model_detection")
    detect = detection.detect_unet_config

    @functools.wraps(detect)
    def widened(tensors: dict[str, torch.Tensor], prefix: str, *args: Any, **kwargs: Any) -> Any:
        key = f"{prefix}cap_embedder.1.weight"
        if key in tensors:
            width = {small["dim"]: real for real, small in LUMINA.items()}.get(
                tensors[key].shape[0]
            )
            if width:
                tensors = {
                    **tensors,
                    key: torch.empty((width, tensors[key].shape[1]), device="meta"),
                }
        return detect(tensors, prefix, *args, **kwargs)

    detection.detect_unet_config = widened


def _resize(module: str, kind: str, sizes: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    try:
        target = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError):  # A version older than the family.
        return
    build = target.__init__

    @functools.wraps(build)
    def small(self: Any, **numbers: Any) -> None:
        build(self, **{**numbers, **sizes(numbers)})

    target.__init__ = small


def _shrink_vae() -> None:
    """Narrow the autoencoder whose encoder has a fixed width.

    The norms before its last layers would take the colours away, so they go.
    """
    autoencoder = importlib.import_module("comfy.ldm.models.autoencoder").AutoencoderKL
    build = autoencoder.__init__

    @functools.wraps(build)
    def small(self: Any, *, ddconfig: dict[str, Any], **kwargs: Any) -> None:
        kwargs.pop("decoder_ddconfig", None)
        build(self, ddconfig={**ddconfig, "ch": 32}, **kwargs)
        self.encoder.norm_out = self.decoder.norm_out = torch.nn.Identity()

    autoencoder.__init__ = small
