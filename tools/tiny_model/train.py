"""Train the built-in tiny text-to-image model and save it as a StableDiffusionPipeline directory.

    python tools/tiny_model/train.py --work WORK --out FOLDER [--start PIPELINE]

With `--start` that pipeline is trained further, all but the encoder of its autoencoder; words that
are new to it join its vocabulary. Ordinary pictures are trained with zero padding and every fifth
batch holds seamless tiles, trained with circular padding. Needs torch, diffusers, transformers.
Every phase leaves a checkpoint in WORK and is skipped when its file is there, so a stopped run
continues.
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
from diffusers.models.attention_processor import AttnProcessor
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

MAX_TOKENS = 32
SEED = 20261123
VAE_BATCH = 4
DROP_CAPTION = 0.1
"""Share of captions replaced by the empty one, so that classifier-free guidance works."""

HOLD = 0.36
"""Share of the time at the full learning rate; then it falls in a straight line."""

TILES_EVERY = 5
"""Every so many batches, one of seamless tiles."""

FIRST_POOL, FRESH, POOL = 2048, 8, 60_000
"""Encoded pictures to begin with, new ones per batch, and the most that are kept of one sort."""

FIRST_STEP = 15
"""Time steps below are not trained: 20 to 60 sampling steps never stop there."""


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


def wrap(model: torch.nn.Module, mode: str) -> None:
    """Set the padding of every convolution: "zeros", or "circular" for seamless tiles."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.padding_mode = mode


def pictures(first: int, count: int, topic: str = "") -> tuple[torch.Tensor, list[str]]:
    """Pictures as (count, 3, SIZE, SIZE) in -1..1, and their captions."""
    scenes = [world.draw(SEED + first + i, topic) for i in range(count)]
    pixels = np.stack([np.asarray(s.image) for s in scenes])
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return batch.contiguous(memory_format=torch.channels_last), [s.caption for s in scenes]


def pace(start: float, seconds: float, peak: float) -> tuple[float, bool]:
    """Learning rate by elapsed time (warm up, hold, decay), and the end."""
    done = (time.monotonic() - start) / seconds
    rate = peak * min(1.0, done / 0.01 + 0.02)
    if done > HOLD:
        rate *= max(0.02, (1 - done) / (1 - HOLD))
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


def tune_decoder(work: Path, vae: AutoencoderTiny, minutes: float) -> AutoencoderTiny:
    """Train the decoder alone, so that latents stay what they are: sharper edges and windows."""
    file = work / "decoder.pt"
    if file.exists():
        vae.decoder.load_state_dict(torch.load(file))
        return vae.eval()
    vae.requires_grad_(False).to(memory_format=torch.channels_last)
    vae.decoder.train().requires_grad_(True)
    optimiser = torch.optim.AdamW(
        vae.decoder.parameters(), lr=1e-3, weight_decay=0.0, betas=(0.9, 0.99), fused=True
    )
    start, step, end, kept = time.monotonic(), 0, False, [0.0, 0.0]
    while not end:
        rate, end = pace(start, minutes * 60, 1.5e-3)
        for group in optimiser.param_groups:
            group["lr"] = rate
        tiles = step % TILES_EVERY == TILES_EVERY - 1
        batch, _ = pictures(70_000_000 + step * 8, 8, "tile" if tiles else "")
        wrap(vae, "circular" if tiles else "zeros")
        with torch.autocast("cpu", torch.bfloat16):
            latent = vae.encode(batch).latents
            out = vae.decode(latent + 0.03 * torch.randn_like(latent)).sample
        error = F.mse_loss(out.float(), batch)
        loss = error * 4 + F.l1_loss(out.float(), batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.decoder.parameters(), 1.0)
        optimiser.step()
        psnr = 10 * math.log10(4 / error.item())
        kept[tiles] = psnr if kept[tiles] == 0 else kept[tiles] * 0.98 + psnr * 0.02
        if step % 100 == 0:
            say(start, f"decoder {step} psnr {kept[0]:.2f} tiles {kept[1]:.2f} dB lr {rate:.1e}")
        step += 1
    wrap(vae, "zeros")
    torch.save(vae.decoder.state_dict(), file)
    return vae.eval().requires_grad_(False)


def read(words: PreTrainedTokenizerFast, captions: list[str]) -> torch.Tensor:
    return words(
        captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
    )["input_ids"]


class Pool:
    """Encoded pictures as float16 and the tokens of their captions; it grows in training."""

    def __init__(self, vae: AutoencoderTiny, words: PreTrainedTokenizerFast, topic: str) -> None:
        self.vae, self.words, self.topic = vae, words, topic
        self.latents = torch.empty(0, 4, world.SIZE // 4, world.SIZE // 4, dtype=torch.float16)
        self.tokens = torch.empty(0, MAX_TOKENS, dtype=torch.long)

    @torch.no_grad()
    def add(self, first: int, count: int) -> None:
        """Draw and encode scenes; tiles with the padding that they are decoded with."""
        batch, captions = pictures(1_000_000 + first, count, self.topic)
        wrap(self.vae, "circular" if self.topic == "tile" else "zeros")
        with torch.autocast("cpu", torch.bfloat16):
            latents = self.vae.encode(batch).latents.half()
        wrap(self.vae, "zeros")
        self.latents = torch.cat([self.latents, latents])
        self.tokens = torch.cat([self.tokens, read(self.words, captions)])


def grow(
    old: CLIPTextModel, known: dict[str, int], words: PreTrainedTokenizerFast
) -> CLIPTextModel:
    """The text encoder with a row for each of `words`: its own, its singular's, or the mean."""
    text = new_text_encoder(words)
    state = old.state_dict()
    (name,) = (key for key in state if key.endswith("token_embedding.weight"))
    rows = state[name]
    fresh = rows.mean(0).expand(len(words), -1).clone()
    for word, place in words.get_vocab().items():
        for form in (word, word.removesuffix("s"), word.removesuffix("es")):
            if form in known:
                fresh[place] = rows[known[form]]
                break
    text.load_state_dict(state | {name: fresh})
    return text


def train_unet(
    work: Path,
    out: Path,
    both: torch.nn.ModuleList,
    vae: AutoencoderTiny,
    words: PreTrainedTokenizerFast,
    pools: tuple[Pool, Pool],
    minutes: float,
    batch_size: int,
    peak: float,
) -> None:
    """Train text encoder and UNet; every ten minutes and at the end save their average."""
    both[1].set_attn_processor(AttnProcessor())  # a fifth faster here than the fused attention
    averaged = copy.deepcopy(both).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        both.parameters(), lr=peak, weight_decay=0.01, betas=(0.9, 0.99), fused=True
    )
    alphas = new_scheduler().alphas_cumprod
    empty = read(words, [""])[0]
    random = torch.Generator().manual_seed(SEED)
    start, step, end, kept = time.monotonic(), 0, False, [0.0, 0.0]
    resume = work / "unet-running.pt"
    if resume.exists():
        state = torch.load(resume)
        both.load_state_dict(state["both"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, start = state["step"], start - state["elapsed"]
        for pool, (latents, tokens) in zip(pools, state["pools"], strict=True):
            pool.latents, pool.tokens = latents, tokens
        vae.register_to_config(scaling_factor=state["scale"])
        random.manual_seed(SEED + step)
    scale = vae.config.scaling_factor
    saved = time.monotonic()
    while not end:
        rate, end = pace(start, minutes * 60, peak)
        for group in optimiser.param_groups:
            group["lr"] = rate
        tiles = step % TILES_EVERY == TILES_EVERY - 1
        pool = pools[tiles]
        wrap(both[1], "circular" if tiles else "zeros")
        if len(pool.latents) < POOL:
            pool.add(FIRST_POOL + step * FRESH, FRESH)
        pick = torch.randint(len(pool.latents), (batch_size,), generator=random)
        clean = pool.latents[pick].float() * scale
        ids = pool.tokens[pick].clone()
        ids[torch.rand(batch_size, generator=random) < DROP_CAPTION] = empty
        noise = torch.randn(clean.shape, generator=random)
        # one time step of each stratum per batch: steadier gradients than independent draws
        strata = (torch.arange(batch_size) + torch.rand(batch_size, generator=random)) / batch_size
        steps = (FIRST_STEP + strata * (1000 - FIRST_STEP)).long().clamp(0, 999)
        alpha = alphas[steps][:, None, None, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = both[0](ids).last_hidden_state
            guess = both[1](noisy, steps, hidden).sample
        loss = F.mse_loss(guess.float(), target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimiser.step()
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(both.parameters()), 1 - decay)
        kept[tiles] = loss.item() if kept[tiles] == 0 else kept[tiles] * 0.98 + loss.item() * 0.02
        if step % 50 == 0:
            say(start, f"unet {step} loss {kept[0]:.4f} tiles {kept[1]:.4f} lr {rate:.1e}")
        step += 1
        if end or time.monotonic() - saved > 600:
            saved = time.monotonic()
            state = {"both": both, "averaged": averaged, "optimiser": optimiser}
            torch.save(
                {name: part.state_dict() for name, part in state.items()}
                | {
                    "step": step,
                    "elapsed": saved - start,
                    "scale": scale,
                    "pools": [(pool.latents, pool.tokens) for pool in pools],
                },
                resume,
            )
            save(out, averaged, vae, words)


def save(
    out: Path, models: torch.nn.ModuleList, vae: AutoencoderTiny, words: PreTrainedTokenizerFast
) -> None:
    """Save copies as float16, with configs that name no folder of this machine."""
    text, unet, plain = copy.deepcopy(models[0]), new_unet(), new_vae()
    unet.load_state_dict(models[1].state_dict())
    plain.load_state_dict(vae.state_dict())
    plain.register_to_config(scaling_factor=vae.config.scaling_factor)
    words.backend_tokenizer.no_truncation()
    pipeline = StableDiffusionPipeline(
        vae=plain,
        text_encoder=text,
        tokenizer=words,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16)
    pipeline.save_pretrained(out)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--start", type=Path)
    options.add_argument("--vae-minutes", type=float, default=11)
    options.add_argument("--unet-minutes", type=float, default=103)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--rate", type=float, default=1e-3)
    options.add_argument("--threads", type=int, default=2)
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(SEED)
    given.work.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    if given.start:
        shipped = StableDiffusionPipeline.from_pretrained(
            given.start, dtype=torch.float32, local_files_only=True
        )
        vae, unet = tune_decoder(given.work, shipped.vae, given.vae_minutes), shipped.unet
        text = grow(shipped.text_encoder, shipped.tokenizer.get_vocab(), words)
    else:
        vae = train_vae(given.work, given.vae_minutes)
        text, unet = new_text_encoder(words), new_unet()
    resumed = (given.work / "unet-running.pt").exists()
    pools = (Pool(vae, words, ""), Pool(vae, words, "tile"))
    for pool in pools:
        if not resumed:
            for first in range(0, FIRST_POOL, 64):
                pool.add(first, 64)
    if not given.start and not resumed:
        vae.register_to_config(scaling_factor=1 / pools[0].latents.float().std().item())
    models = torch.nn.ModuleList([text.train(), unet.train().to(memory_format=torch.channels_last)])
    train_unet(
        given.work,
        given.out,
        models,
        vae,
        words,
        pools,
        given.unet_minutes,
        given.batch,
        given.rate,
    )


if __name__ == "__main__":
    main()
