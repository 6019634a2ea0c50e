"""No page says what the user's report says and what was found to be otherwise (its errata)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "providers/*.md", "config.example.json", "*ocker*")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.name != "CHANGELOG.md"
)

RETRACTED: tuple[tuple[str, str, str], ...] = (
    (
        "E1",
        r"schnell(?!.{0,9}fp8).{0,120}models/checkpoints",
        "schnell in models/checkpoints",
    ),
    ("E2", r"data\.vram_free", "return response.data.vram_free > 2000"),
    ("E3", r"/ws(?![\w/?])(?!.{0,60}clientId)", "ws://localhost:8188/ws"),
    ("E5", r"\.to\(.cuda.\)|\bexec\(", 'pipe.to("cuda"); exec(`python ${prompt}`)'),
    ("E6", r"\bCFG\b.{0,40}\b7 ?[-\u2013] ?9\b", "Adjust CFG Scale: sweet spot (7-9)"),
    (
        "E7",
        r"\b(HiDream|SD 3\.5|FLUX)(?!.*(bit|bf16|fp8|fp16|disk|weights)).*\b\d+ ?GB of VRAM"
        r"|\b(HiDream|SD 3\.5 Large|FLUX\.1-\w+)\b[^|]*\|[^|]*\|[^|]*\| \d+ ?GB \|",
        "| **FLUX.1-dev** | 9.5/10 | Medium | 8GB | Non-Commercial |",
    ),
    (
        "E8",
        r"3840 ?[x\u00d7] ?2560.*PixArt|PixArt.*3840|HiDream.*\b4K\b",
        "HiDream-I1: experimental, 4K capable",
    ),
    ("E9", r"fully open.?source", "Fully Open Source (Commercial Use OK)"),
    (
        "E10",
        r"(Playground|DeepFloyd)[^|]*\|.*\| Open \|",
        "| **DeepFloyd IF** | 9.0/10 | Slow | 24GB | Open | Text rendering |",
    ),
    (
        "E12",
        r"comfyui-boot:latest|/opt/ComfyUI|\bcu1(18|21)\b|docker-compose up|^version:",
        "image: yanwk/comfyui-boot:latest",
    ),
    (
        "E13",
        r"saladtechnologies.*8188|\bai-dock/comfyui|98 ?% deployment",
        "ai-dock/comfyui:latest",
    ),
    ("E14", r"whl/cu12[14]", "--index-url https://download.pytorch.org/whl/cu121"),
    (
        "E15",
        r"Forge\b(?! Neo).{0,40}\bactive development|Fooocus.{0,60}(SD ?3|SD ?1\.5)",
        "Forge: active development",
    ),
    ("E16", r"Fooocus(?!-API).{0,80}(\b7860\b|\b8 ?GB)", "Fooocus needs 8GB of VRAM, port 7860"),
    ("E17", r"(?<!not )(?<!not `)invokeai-configure|36\.8 ?s", "invokeai-configure"),
    ("E18", r"huggingface-cli", "Use `huggingface-cli download`"),
    ("E19", r"RTX 30\d\d.{0,40}~\d+(\.\d+)? ?s", "RTX 3060: 512x512: ~2 seconds"),
    ("E20", r"\b2x faster\b", "ComfyUI is consistently 2x faster"),
    ("E21", r"\$0\.015 (a|per) second|\$0\.003-0\.008", "SDXL: $0.003-0.008 per image"),
    ("E22", r"\$400-550", "Total Initial Investment: $400-550"),
    ("E23", r"Break-even point: ~?50|~50 images", "Break-even point: ~50 images/day"),
    ("E25", r"Tiled VAE Decoder", 'Add "Tiled VAE Decoder" node'),
    (
        "E26",
        r"[Mm]ost extensions.{0,30}MIT|MIT.{0,30}[Mm]ost extensions",
        "MIT/Permissive: Most extensions",
    ),
    ("E27", r"[Yy]ou own (the )?generated (images|pictures)", "You own generated images"),
)
"""Which erratum, a pattern of what is not to be said, and how the report says it."""


@pytest.mark.parametrize(("which", "pattern", "report"), RETRACTED, ids=lambda v: v[:3])
def test_what_was_retracted_stands_nowhere(which: str, pattern: str, report: str) -> None:
    retracted = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    assert retracted.search(report), "the pattern does not know the report's own words"
    said = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PAGES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if retracted.search(line)
    ]

    assert said == []


def test_the_pages_are_looked_at() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in PAGES}

    assert {"README.md", "docs/docker.md", "docs/engines/a1111.md", "Dockerfile"} <= names
