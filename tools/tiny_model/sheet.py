"""Draw the contact sheet of docs/tiny-model.md: 16 prompts with the seeds 1 to 4, none chosen.

python tools/tiny_model/sheet.py FOLDER docs/tiny-model.png
"""

from __future__ import annotations

import sys

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw

PROMPTS = (
    "a big blue circle on a yellow background",
    "a red star on a black background",
    "a green heart to the left of a purple ring on a pink background",
    "a small white square on a red background",
    "a red mushroom on a white background",
    "a blue potion on a gray background",
    "a yellow smiley above a cyan gem on a brown background",
    "a pink fish on a green background",
    "a red house on a green field during the day",
    "a pine tree in the snow at night with a full moon",
    "a cactus in the desert at sunset",
    "a yellow sailboat on the sea on a sunny day",
    "mountains on a meadow at sunset with the sun",
    "a city at night",
    "a tree on grass under a cloudy sky with a rainbow",
    "red flowers on a meadow on a sunny day",
)
SEEDS = (1, 2, 3, 4)
SIDE, GAP, TEXT = 128, 6, 34


def main() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(
        sys.argv[1], dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    cell_width, cell_height = 2 * SIDE + GAP, 2 * SIDE + GAP + TEXT
    sheet = Image.new("RGB", (4 * (cell_width + 2 * GAP), 4 * (cell_height + 2 * GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, prompt in enumerate(PROMPTS):
        left = place % 4 * (cell_width + 2 * GAP) + GAP
        top = place // 4 * (cell_height + 2 * GAP) + GAP
        for i, seed in enumerate(SEEDS):
            made = pipeline(
                prompt,
                num_inference_steps=20,
                guidance_scale=4.0,
                height=64,
                width=64,
                generator=torch.Generator("cpu").manual_seed(seed),
            ).images[0]
            shown = made.resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(shown, (left + i % 2 * (SIDE + GAP), top + i // 2 * (SIDE + GAP)))
        words, line, lines = prompt.split(), "", list[str]()
        for word in words:
            if len(line) + len(word) > 40:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        pen.text((left, top + 2 * SIDE + GAP + 3), "\n".join([*lines, line]), fill="black")
    sheet.save(sys.argv[2], optimize=True)


if __name__ == "__main__":
    main()
