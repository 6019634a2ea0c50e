"""Weights for two large autoencoders that hand colours through, as `vaes.taesd` does for the small.

Every block is made to pass its input on. Three channels carry red, green and blue, lifted so far
above zero that activations leave them alone; in Wan's a fourth is so large that its norms, which
divide by the length over all channels, do too.
"""

from pathlib import Path

import comfy.latent_formats
import comfy.ldm.models.autoencoder
import comfy.ldm.wan.vae
import torch
from weights import Tensors, draw, save

LIFT = 20.0
LARGE = 1000.0
GAIN = 2.0  # Latents run from -2 to 2 where colours run from -1 to 1.


def flux2(path: Path) -> None:
    """FLUX.2's, which is known by the statistics of its latents."""
    sizes = {"double_z": True, "z_channels": 32, "resolution": 256, "in_channels": 3, "out_ch": 3}
    sizes |= {"ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": []}
    sizes |= {"dropout": 0.0, "batch_norm_latent": True}
    model = comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=sizes, embed_dim=32)
    tensors = carrying(model, channels=3)
    tensors |= {key: value for key, value in model.state_dict().items() if key.startswith("bn.")}
    for name in ("quant_conv", "post_quant_conv"):
        identity(tensors[f"{name}.weight"])

    identity(tensors["encoder.conv_in.weight"])
    tensors["encoder.conv_in.bias"][:3] = LIFT
    identity(tensors["encoder.conv_out.weight"], channels=3, gain=GAIN)
    tensors["encoder.conv_out.bias"][:3] = -GAIN * LIFT
    tensors["encoder.conv_out.bias"][32:] = -30  # No spread.
    tensors["decoder.conv_in.weight"][:3, :, 1, 1] = tint(path.stem, 32)
    tensors["decoder.conv_in.bias"][:3] = LIFT
    identity(tensors["decoder.conv_out.weight"])
    tensors["decoder.conv_out.bias"] -= LIFT
    save(tensors, path)


def wan(path: Path) -> None:
    """Qwen-Image's, which is that of the video model Wan 2.1."""
    model = comfy.ldm.wan.vae.WanVAE(z_dim=16, temperal_downsample=[False, True, True])
    tensors = carrying(model, channels=4)
    latents = comfy.latent_formats.Wan21()
    mean, deviation = latents.latents_mean.flatten(), latents.latents_std.flatten()
    for name in ("conv1", "conv2"):
        identity(tensors[f"{name}.weight"])

    for part in ("encoder", "decoder"):
        tensors[f"{part}.conv1.bias"][:4] = torch.tensor([LIFT, LIFT, LIFT, LARGE])
        norm = tensors[f"{part}.head.0.gamma"]
        norm[:3] = LARGE / len(norm) ** 0.5
        norm[3:] = 0
    identity(tensors["encoder.conv1.weight"])
    head = tensors["encoder.head.2.weight"]
    for colour in range(3):
        head[colour, colour, -1, 1, 1] = GAIN * deviation[colour]
    tensors["encoder.head.2.bias"][:16] = mean
    tensors["encoder.head.2.bias"][:3] -= GAIN * LIFT * deviation[:3]
    matrix = tint(path.stem, 16) / deviation
    tensors["decoder.conv1.weight"][:3, :, -1, 1, 1] = matrix
    tensors["decoder.conv1.bias"][:3] -= matrix @ mean
    identity(tensors["decoder.head.2.weight"], channels=3)
    tensors["decoder.head.2.bias"] -= LIFT
    save(tensors, path)


def carrying(model: torch.nn.Module, channels: int) -> Tensors:
    """Weights that hand the first channels from block to block, and add nothing."""
    tensors = {key: torch.zeros(value.shape) for key, value in model.state_dict().items()}
    for key, value in tensors.items():
        if key.endswith("shortcut.weight"):
            identity(value, channels)
        elif key.endswith(("sample.conv.weight", "resample.1.weight")):
            if key.startswith("decoder"):
                identity(value, channels)
            else:
                for channel in range(channels):
                    value[channel, channel, :2, :2] = 0.25
    return tensors


def identity(kernel: torch.Tensor, channels: int | None = None, gain: float = 1.0) -> None:
    """Let a convolution pass its channels; what looks back in time looks at the present."""
    centre = tuple(size // 2 for size in kernel.shape[2:])
    if kernel.ndim == 5:
        centre = (kernel.shape[2] - 1, *centre[1:])
    for channel in range(min(*kernel.shape[:2], channels or kernel.shape[0])):
        kernel[(channel, channel, *centre)] = gain


def tint(name: str, channels: int) -> torch.Tensor:
    """How much of each latent channel goes into red, green and blue."""
    matrix = draw({"tint": (3, channels)}, name)["tint"].float() * 0.2
    matrix[:, :3] += torch.eye(3) / GAIN
    return matrix
