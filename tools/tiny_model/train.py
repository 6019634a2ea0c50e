"""Train the built-in tiny text-to-image model and save it as a StableDiffusionPipeline directory.

    python tools/tiny_model/train.py --work WORK --out FOLDER

Needs torch, diffusers, transformers and about 2.5 hours on two CPU cores. Every phase leaves a
checkpoint in WORK and is skipped when its file is there, so a stopped run continues.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import world
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

MAX_TOKENS = 32
SEED = 20261123
VAE_BATCH = 4
DROP_CAPTION = 0.12
"""Share of captions replaced by the empty one, so that classifier-free guidance works."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Words of the world only; every other word reads as <unk>."""
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    vocab = {word: i for i, word in enumerate(special + world.vocabulary())}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("removed")]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=MAX_TOKENS,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
    )


def new_vae() -> AutoencoderTiny:
    """Compress 64 x 64 x 3 to 16 x 16 x 4; norms would lose the colour of a flat picture."""
    return AutoencoderTiny(
        encoder_block_out_channels=(32, 32, 32),
        decoder_block_out_channels=(32, 32, 32),
        num_encoder_blocks=(1, 2, 2),
        num_decoder_blocks=(2, 2, 1),
        latent_channels=4,
    )


def new_text_encoder(words: PreTrainedTokenizerFast) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=6,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=192,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def new_unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=world.SIZE // 4,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 160),
        layers_per_block=1,
        cross_attention_dim=192,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def new_scheduler() -> DDIMScheduler:
    """v-prediction with zero terminal SNR: pure black and pure white grounds come out right."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
    )


def pictures(first: int, count: int) -> tuple[torch.Tensor, list[str]]:
    """Pictures as (count, 3, SIZE, SIZE) in -1..1, and their captions."""
    scenes = [world.draw(SEED + first + i) for i in range(count)]
    pixels = np.stack([np.asarray(s.image) for s in scenes])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last), [s.caption for s in scenes]


def pace(start: float, seconds: float, peak: float) -> tuple[float, bool]:
    """Learning rate by elapsed time (warm up, hold, decay over the last third), and the end."""
    done = (time.monotonic() - start) / seconds
    rate = peak * min(1.0, done / 0.01 + 0.02)
    if done > 0.67:
        rate *= max(0.02, (1 - done) / 0.33)
    return rate, done >= 1


def say(start: float, text: str) -> None:
    print(f"{time.monotonic() - start:6.0f} s  {text}", flush=True)


def train_vae(work: Path, minutes: float) -> AutoencoderTiny:
    torch.manual_seed(SEED)
    vae = new_vae().to(memory_format=torch.channels_last)
    file = work / "vae.pt"
    if file.exists():
        vae.load_state_dict(torch.load(file))
        return vae.eval()
    optimiser = torch.optim.AdamW(vae.parameters(), lr=1e-3, weight_decay=0.0, betas=(0.9, 0.99))
    start, step, end = time.monotonic(), 0, False
    while not end:
        rate, end = pace(start, minutes * 60, 2e-3)
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch, _ = pictures(step * VAE_BATCH, VAE_BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            latent = vae.encode(batch).latents
            # a little noise keeps neighbouring latents decodable
            out = vae.decode(latent + 0.02 * torch.randn_like(latent)).sample
        out = out.float()
        error = F.mse_loss(out, batch)
        loss = error * 4 + F.l1_loss(out, batch) + 1e-4 * latent.float().pow(2).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        if step % 200 == 0:
            psnr = 10 * math.log10(4 / error.item())
            print(
                f"vae {step} psnr {psnr:.2f} dB lr {rate:.1e} {time.monotonic() - start:.0f} s",
                flush=True,
            )
        step += 1
    vae.eval()
    torch.save(vae.state_dict(), file)
    return vae


@torch.no_grad()
def encode(work: Path, vae: AutoencoderTiny, count: int) -> tuple[torch.Tensor, list[str], float]:
    """Latents of `count` scenes as float16, their captions, and the scaling factor."""
    file = work / "latents.pt"
    if file.exists():
        saved = torch.load(file)
        return saved["latents"], saved["captions"], saved["scale"]
    chunks: list[torch.Tensor] = []
    captions: list[str] = []
    held_out, _ = pictures(50_000_000, 128)
    rebuilt = vae.decode(vae.encode(held_out).latents).sample.clamp(-1, 1)
    print(
        f"vae held-out psnr {10 * math.log10(4 / F.mse_loss(rebuilt, held_out).item()):.2f} dB",
        flush=True,
    )
    for first in range(0, count, 64):
        batch, texts = pictures(1_000_000 + first, 64)
        with torch.autocast("cpu", torch.bfloat16):
            mean = vae.encode(batch).latents
        chunks.append(mean.half())
        captions += texts
    latents = torch.cat(chunks)
    scale = 1 / latents[:4096].float().std().item()
    torch.save({"latents": latents, "captions": captions, "scale": scale}, file)
    return latents, captions, scale


def train_unet(
    work: Path,
    words: PreTrainedTokenizerFast,
    latents: torch.Tensor,
    captions: list[str],
    scale: float,
    minutes: float,
    batch_size: int,
) -> tuple[CLIPTextModel, UNet2DConditionModel]:
    torch.manual_seed(SEED)
    text, unet = new_text_encoder(words), new_unet().to(memory_format=torch.channels_last)
    file = work / "unet.pt"
    both = torch.nn.ModuleList([text, unet])
    averaged = copy.deepcopy(both).eval().requires_grad_(False)
    if file.exists():
        averaged.load_state_dict(torch.load(file))
        return averaged[0], averaged[1]
    print(
        f"unet {sum(p.numel() for p in unet.parameters()) / 1e6:.2f} M, "
        f"text {sum(p.numel() for p in text.parameters()) / 1e6:.2f} M, "
        f"{len(words)} words, scale {scale:.4f}",
        flush=True,
    )
    optimiser = torch.optim.AdamW(both.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.99))
    scheduler = new_scheduler()
    alphas = scheduler.alphas_cumprod
    tokens = words(
        captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
    )["input_ids"]
    empty = words("", padding="max_length", max_length=MAX_TOKENS, return_tensors="pt")["input_ids"]
    random = torch.Generator().manual_seed(SEED)
    start, step, end, kept = time.monotonic(), 0, False, 0.0
    saved = start
    resume = work / "unet-running.pt"
    if resume.exists():
        state = torch.load(resume)
        both.load_state_dict(state["both"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, start = state["step"], start - state["elapsed"]
        random.manual_seed(SEED + step)
    while not end:
        rate, end = pace(start, minutes * 60, 1e-3)
        for group in optimiser.param_groups:
            group["lr"] = rate
        pick = torch.randint(len(latents), (batch_size,), generator=random)
        clean = latents[pick].float() * scale
        ids = tokens[pick].clone()
        ids[torch.rand(batch_size, generator=random) < DROP_CAPTION] = empty[0]
        noise = torch.randn(clean.shape, generator=random)
        # one time step of each stratum per batch: steadier gradients than independent draws
        strata = (torch.arange(batch_size) + torch.rand(batch_size, generator=random)) / batch_size
        steps = (strata * 1000).long().clamp(0, 999)
        alpha = alphas[steps][:, None, None, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = text(ids).last_hidden_state
            guess = unet(noisy, steps, hidden).sample
        loss = F.mse_loss(guess.float(), target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        decay = min(0.9985, (1 + step) / (10 + step))
        with torch.no_grad():
            for mine, theirs in zip(averaged.parameters(), both.parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
        kept = loss.item() if kept == 0.0 else kept * 0.98 + loss.item() * 0.02
        if step % 100 == 0:
            print(
                f"unet {step} loss {kept:.4f} lr {rate:.1e} {time.monotonic() - start:.0f} s",
                flush=True,
            )
        step += 1
        if time.monotonic() - saved > 600:
            saved = time.monotonic()
            torch.save(
                {
                    "both": both.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "elapsed": saved - start,
                },
                resume,
            )
    torch.save(averaged.state_dict(), file)
    return averaged[0], averaged[1]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--vae-minutes", type=float, default=11)
    options.add_argument("--unet-minutes", type=float, default=103)
    options.add_argument("--scenes", type=int, default=64_000)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--threads", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    vae = train_vae(given.work, given.vae_minutes)
    latents, captions, scale = encode(given.work, vae, given.scenes)
    vae.register_to_config(scaling_factor=scale)
    text, unet = train_unet(
        given.work, words, latents, captions, scale, given.unet_minutes, given.batch
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=words,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16)
    pipeline.save_pretrained(given.out)


if __name__ == "__main__":
    main()
