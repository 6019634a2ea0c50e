"""Write the table of licences into docs/licences.md, out of the data beside the code.

python tools/licence_page.py
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ziggie_image_mcp.inventory.licences import find_licence, licences
from ziggie_image_mcp.inventory.model_facts import entries

PAGE = Path(__file__).parents[1] / "docs" / "licences.md"
BEGIN, END = "<!-- licences -->", "<!-- end of licences -->"
WHO = {
    "anyone": "anyone",
    "conditional": "with a condition",
    "noncommercial": "not commercially",
}


def table() -> str:
    """A row for each licence that is known."""
    models: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries():
        if (found := find_licence(entry.license)) is not None:
            models[found.name].append(entry.title)
    lines = [
        BEGIN,
        "| licence | models | who may use the weights | condition | of the pictures | from |",
        "|---|---|---|---|---|---|",
    ]
    for licence in licences():
        cells = (
            f"[{licence.name}]({licence.url})",
            ", ".join(models[licence.name]),
            WHO[licence.weights],
            licence.condition,
            licence.outputs or "not read",
            licence.source,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, END])


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + table() + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
