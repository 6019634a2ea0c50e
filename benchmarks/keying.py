"""How long does keying take, and how near to the truth does it come?

python benchmarks/keying.py [SCENES]

Scenes of the tiny model's world on the ground that keying asks for: noise of 6, a gradient of 15,
JPEG 85. Beside them the same with a soft shadow, and a plain threshold key. The time is that of a
picture of 1024 pixels, its processor's seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.alpha_scenes import AlphaError, AlphaScene, draw_scene, measure, threshold_key
from ziggie_image_mcp.assets.keying import KeyedPicture, remove_flat_ground


def keyed(scene: AlphaScene) -> Image.Image | None:
    result = remove_flat_ground(scene.image)
    return result.image if isinstance(result, KeyedPicture) else None


def summary(name: str, errors: list[AlphaError], count: int) -> None:
    rows = np.array([(e.whole, e.band, e.colour) for e in errors])
    mean, most = rows.mean(axis=0), rows.max(axis=0)
    print(
        f"{name:28} {len(errors)} of {count}: alpha {mean[0]:.4f} (most {most[0]:.4f}), "
        f"in the band {mean[1]:.3f} ({most[1]:.3f}), colour {mean[2]:.1f} ({most[2]:.1f})"
    )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for name, shadow in (("keyed", False), ("keyed, with a soft shadow", True)):
        scenes = [draw_scene(seed, shadow=shadow) for seed in range(count)]
        pairs = [(keyed(scene), scene) for scene in scenes]
        summary(name, [measure(cut, scene) for cut, scene in pairs if cut is not None], count)
    plain = [measure(threshold_key(s), s) for s in map(draw_scene, range(count))]
    summary("a plain threshold key", plain, count)
    seconds: list[float] = []
    for seed in range(8):
        scene = draw_scene(seed, 1024)
        began = time.process_time()
        keyed(scene)
        seconds.append(time.process_time() - began)
    print(f"1024 pixels: {np.median(seconds):.2f} s of processor, at most {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
