"""Draw the contact sheet of docs/tiny-model.md: 28 prompts with the seeds 1 to 4, none chosen.

python tools/tiny_model/sheet.py FOLDER docs/tiny-model.png

Tiles are made with circular padding and shown repeated, two by two.
"""

from __future__ import annotations

import sys
import textwrap

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw
from train import wrap

PROMPTS = (
    "a big blue circle on a yellow background",
    "a red star on a black background",
    "a green heart to the left of a purple ring on a pink background",
    "a small white square on a red background",
    "an isolated red mushroom on a plain white background",
    "a blue potion on a gray background",
    "a yellow smiley above a cyan gem on a brown background",
    "a pink fish on a green background",
    "two green apples on a white background",
    "three red circles on a white background",
    "four yellow stars in a row on a blue background",
    "three purple mushrooms on an orange background",
    "a red square in the top left corner on a white background",
    "an orange diamond on the right on a black background",
    "a white flower at the bottom on a blue background",
    "a sword isolated on white",
    "a red house on a green field during the day",
    "a pine tree in the snow at night with a full moon",
    "a cactus in the desert at sunset",
    "a yellow sailboat on the sea on a sunny day",
    "mountains on a meadow at sunset with the sun on the left",
    "a city at night",
    "a tree on grass under a cloudy sky with a rainbow",
    "red flowers on a meadow on a sunny day",
)
TILES = (
    "red brick wall, seamless texture",
    "a seamless texture of gray stone",
    "seamless blue water tile",
    "a seamless pattern of white dots on a red background",
)
SEEDS = (1, 2, 3, 4)
SIDE, GAP, TEXT, ACROSS = 128, 6, 34, 4


def make(pipeline: StableDiffusionPipeline, prompt: str, seed: int) -> Image.Image:
    return pipeline(
        prompt,
        num_inference_steps=20,
        guidance_scale=4.0,
        height=64,
        width=64,
        generator=torch.Generator("cpu").manual_seed(seed),
    ).images[0]


def shown(pipeline: StableDiffusionPipeline, prompt: str, seed: int) -> Image.Image:
    """The picture, enlarged; a tile with its repetitions."""
    picture = make(pipeline, prompt, seed)
    if prompt not in TILES:
        return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    four = Image.new("RGB", (SIDE, SIDE))
    for x in (0, 64):
        for y in (0, 64):
            four.paste(picture, (x, y))
    return four


def main() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        sys.argv[1], dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    cell = 2 * SIDE + 3 * GAP
    rows = (len(PROMPTS) + len(TILES)) // ACROSS
    sheet = Image.new("RGB", (ACROSS * cell, rows * (cell + TEXT)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, prompt in enumerate(PROMPTS + TILES):
        for part in (pipeline.unet, pipeline.vae):
            wrap(part, "circular" if prompt in TILES else "zeros")
        left, top = place % ACROSS * cell + GAP, place // ACROSS * (cell + TEXT) + GAP
        for i, seed in enumerate(SEEDS):
            corner = (left + i % 2 * (SIDE + GAP), top + i // 2 * (SIDE + GAP))
            sheet.paste(shown(pipeline, prompt, seed), corner)
        text = "\n".join(textwrap.wrap(prompt, 42))
        pen.text((left, top + 2 * SIDE + GAP + 3), text, fill="black")
    sheet.save(sys.argv[2], optimize=True)


if __name__ == "__main__":
    main()
