"""The tiny model: prompts to pictures of 64 x 64 pixels, step by step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ziggie_image_providers.builtin.noise import randn
from ziggie_image_providers.builtin.scheduler import Array, Scheduler
from ziggie_image_providers.builtin.sessions import Session, open_graph
from ziggie_image_providers.builtin.tokenizer import Reading, Tokenizer

SIDE = 64
"""Pixels of its pictures."""

OnStep = Callable[[int, int], None]
"""Called after every step with its number and the number of steps; raises to end it."""

Pixels = NDArray[np.uint8]
"""Height, width, 3; or height and width of a mask."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture."""

    prompt: str
    negative_prompt: str = ""
    seed: int = 0
    """0 to 2**32 - 1."""
    steps: int = 20
    guidance_scale: float = 4.0
    seamless: bool = False
    strength: float = 1.0
    image: Pixels | None = None
    """SIDE x SIDE, to start from."""
    mask: Pixels | None = None
    """SIDE x SIDE, white where the image is painted anew."""


class TinyModel:
    """The weights in memory, and what they make. For one thread at a time.

    Args:
        folder: The StableDiffusionPipeline directory with the graphs of tools/builtin/export.py.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scheduler = Scheduler(folder / "scheduler")
        self._tokenizer = Tokenizer(folder / "tokenizer")
        vae = json.loads((folder / "vae" / "config.json").read_text("utf-8"))
        self._scale = np.float32(vae["scaling_factor"])
        self._sessions: dict[tuple[str, bool], Session] = {}

    def read(self, text: str) -> Reading:
        """Say what is read of a prompt."""
        return self._tokenizer.read(text)

    def load(self, job: Job) -> None:
        """Open the graphs that a job needs."""
        self._open("text_encoder", seamless=False)
        for name in ("unet", "vae_decoder", *(["vae_encoder"] if job.image is not None else [])):
            self._open(name, seamless=job.seamless)

    def paint(self, job: Job, on_step: OnStep) -> Pixels:
        """Make one picture.

        Equal to diffusers' StableDiffusionPipeline, ...Img2ImgPipeline and ...InpaintPipeline with
        the same weights and a CPU generator of the same seed.
        """
        timesteps = self._scheduler.timesteps(job.steps, job.strength)
        guided = job.guidance_scale > 1
        texts = [job.negative_prompt, job.prompt] if guided else [job.prompt]
        hidden = self._encode_text(texts)
        noise = randn(job.seed, (1, 4, SIDE // 4, SIDE // 4))
        original = None if job.image is None else self._encode(job.image, job.seamless)
        latents = noise
        if original is not None and not (job.mask is not None and job.strength == 1.0):
            latents = self._scheduler.add_noise(original, noise, timesteps[0])
        keep = None if job.mask is None else 1 - _latent_mask(job.mask)
        unet = self._open("unet", seamless=job.seamless)
        for number, timestep in enumerate(timesteps):
            prediction = unet.run(
                latents=np.repeat(latents, len(texts), axis=0),
                timestep=np.array([timestep], np.int64),
                hidden=hidden,
            )
            if guided:
                without, with_prompt = prediction[:1], prediction[1:]
                difference = with_prompt - without
                prediction = np.asarray(without + job.guidance_scale * difference, np.float32)
            latents = self._scheduler.step(prediction, timestep, job.steps, latents)
            if original is not None and keep is not None:
                later = timesteps[number + 1 :]
                kept = self._scheduler.add_noise(original, noise, later[0]) if later else original
                latents = np.asarray(keep * kept + (1 - keep) * latents, np.float32)
            on_step(number + 1, len(timesteps))
        return self._decode(latents, job.seamless)

    def _open(self, name: str, *, seamless: bool) -> Session:
        key = (name, seamless)
        if key not in self._sessions:
            self._sessions[key] = open_graph(self._folder, name, seamless=seamless)
        return self._sessions[key]

    def _encode_text(self, texts: list[str]) -> Array:
        ids = np.array([self._tokenizer.read(text).ids for text in texts], np.int64)
        return self._open("text_encoder", seamless=False).run(ids=ids)

    def _encode(self, image: Pixels, seamless: bool) -> Array:
        pixels = (image.astype(np.float32) / 255).transpose(2, 0, 1)[None] * 2 - 1
        latents = self._open("vae_encoder", seamless=seamless).run(pixels=pixels)
        return latents * self._scale

    def _decode(self, latents: Array, seamless: bool) -> Pixels:
        pixels = self._open("vae_decoder", seamless=seamless).run(latents=latents / self._scale)
        shown = np.clip(pixels[0] / 2 + 0.5, 0, 1).transpose(1, 2, 0)
        return np.asarray((shown * 255).round(), np.uint8)


def _latent_mask(mask: Pixels) -> Array:
    """1 where the picture is painted anew, for each latent: the pixel at its corner decides."""
    return (mask[::4, ::4] >= 127.5).astype(np.float32)[None, None]


def reduce(image: Image.Image) -> Image.Image:
    """Bring a square picture to the side of the model."""
    return image if image.size == (SIDE, SIDE) else image.resize((SIDE, SIDE), Image.Resampling.BOX)
