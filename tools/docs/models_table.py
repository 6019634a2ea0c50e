"""Write the table of models by the memory that they need into docs/choose-engine.md.

    python tools/docs/models_table.py

Out of the catalogue of `models recommend`, so that page and command say the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from ziggie_image_mcp.inventory.licences import find_licence

PAGE = Path(__file__).parents[2] / "docs" / "choose-engine.md"
BEGIN, END = "<!-- models -->", "<!-- end of models -->"


def rows() -> list[dict[str, Any]]:
    """The catalogue's models, those first that need the least memory."""
    data = resources.files("ziggie_image_mcp.inventory").joinpath("recommended_models.json")
    models: list[dict[str, Any]] = json.loads(data.read_text(encoding="utf-8"))["models"]
    return sorted(models, key=lambda row: (row["vram_offload_gb"] or 0, row["disk_gb"]))


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + "\n".join([BEGIN, *_lines(), END]) + rest.partition(END)[2]


def _lines() -> Iterator[str]:
    yield "| model | all in GPU memory | with offloading | main memory | disk | licence |"
    yield "|---|---|---|---|---|---|"
    for row in rows():
        figures = (row["vram_full_gb"], row["vram_offload_gb"], row["ram_gb"], row["disk_gb"])
        cells = [f"{value:g} GB" if value else "" for value in figures]
        licence = row["license"] + ("" if row["commercial"] else "; " + _limit(row["license"]))
        licence += "; terms to accept first" if row["gated"] else ""
        cpu = "; also without a GPU" if row["cpu"] else ""
        yield f"| {row['title']} (`{row['id']}`{cpu}) | {' | '.join(cells)} | {licence} |"


def _limit(name: str) -> str:
    """What a licence says that forbids commercial use: of the weights, and of the pictures."""
    licence = find_licence(name)
    if licence is None or licence.outputs is None:
        return "not commercially"
    pictures = f"[its pictures]({licence.url}) {licence.outputs} ({licence.source})"
    return f"the model not commercially; {pictures}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
