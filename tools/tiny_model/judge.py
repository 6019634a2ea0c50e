"""Judge a pipeline on prompts of the world that no training saw, by rules on pixels.

    python tools/tiny_model/judge.py PIPELINE [--known OLD_PIPELINE] [--sheet FILE.png]
    python tools/tiny_model/judge.py drawings

`drawings` judges the world's own pictures: what the rules give to a perfect model. With `--known`
the topics that are not new use only prompts whose words that other pipeline knows, so that
two can be compared.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import rules
import torch
import world
from diffusers import StableDiffusionPipeline
from PIL import Image
from tokenizers import Tokenizer
from train import wrap

FIRST_SEED = 900_000_000
"""Training draws its scenes from 20,000,000 to 90,000,000."""

TOPICS = {"figure": 50, "isolated": 30, "pair": 40, "row": 40, "landscape": 60, "tile": 40}
NEW = ("isolated", "row", "tile")
"""Topics that the first weights were never shown."""

BATCH = 10


def scenes(topic: str, count: int, known: Path | None) -> list[world.Scene]:
    drawn, seed = list[world.Scene](), FIRST_SEED
    vocabulary = set[str]()
    if known:
        vocabulary = set(Tokenizer.from_file(str(known / "tokenizer/tokenizer.json")).get_vocab())
    while len(drawn) < count:
        scene = world.draw(seed, topic)
        seed += 1
        words = set(scene.caption.replace(",", " ").split()) - {"zzz", "qqq"}
        if not vocabulary or topic in NEW or words <= vocabulary:
            drawn.append(scene)
    return drawn


@torch.no_grad()
def make(
    pipeline: StableDiffusionPipeline, prompts: list[str], *, tiles: bool, first: int, steps: int
) -> list[Image.Image]:
    """Draw the prompts, each with a seed of its own."""
    for part in (pipeline.unet, pipeline.vae):
        wrap(part, "circular" if tiles else "zeros")
    pictures = list[Image.Image]()
    for start in range(0, len(prompts), BATCH):
        some = prompts[start : start + BATCH]
        seeds = [torch.Generator("cpu").manual_seed(first + start + i) for i in range(len(some))]
        pictures += pipeline(
            some,
            num_inference_steps=steps,
            guidance_scale=4.0,
            height=world.SIZE,
            width=world.SIZE,
            generator=seeds,
        ).images
    return pictures


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("pipeline")
    options.add_argument("--known", type=Path)
    options.add_argument("--sheet", type=Path)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--topics", nargs="+", default=list(TOPICS))
    options.add_argument("--share", type=float, default=1.0, help="of the prompts")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    pipeline = None
    if given.pipeline != "drawings":
        pipeline = StableDiffusionPipeline.from_pretrained(
            given.pipeline, dtype=torch.float32, local_files_only=True
        )
        pipeline.set_progress_bar_config(disable=True)
    results = defaultdict[str, list[float]](list)
    shown = list[Image.Image]()
    for topic in given.topics:
        drawn = scenes(topic, round(TOPICS[topic] * given.share), given.known)
        prompts = [scene.caption for scene in drawn]
        pictures = [scene.image for scene in drawn]
        if pipeline:
            pictures = make(pipeline, prompts, tiles=topic == "tile", first=1, steps=given.steps)
        shown += pictures
        for picture, scene in zip(pictures, drawn, strict=True):
            marks = rules.judge(np.asarray(picture.convert("RGB")), scene)
            for name, mark in marks.items():
                results[f"{topic}: {name}"].append(float(mark))
            wrong = [name for name, mark in marks.items() if mark < 0.8]
            if wrong and given.sheet:
                print(f"{topic}: {scene.caption}: {', '.join(wrong)}")
    if given.sheet:
        sheet = Image.new("RGB", (20 * 66, (len(shown) + 19) // 20 * 66), "white")
        for i, picture in enumerate(shown):
            sheet.paste(picture, (i % 20 * 66, i // 20 * 66))
        sheet.save(given.sheet)
    for name, marks in results.items():
        print(f"{name:32s} {100 * np.mean(marks):5.1f} %  of {len(marks)}")


if __name__ == "__main__":
    main()
