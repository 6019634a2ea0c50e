"""Write the tables of models into docs/providers, out of the tables beside the code.

    python tools/provider_pages.py [--check]

A page has its table between two marks; the rest of it is written by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ziggie_image_mcp.inventory.registry import load_types
from ziggie_image_mcp.provider.settings import ModelRow, RateRow

PAGES = Path(__file__).parents[1] / "docs" / "providers"
BEGIN, END = "<!-- models -->", "<!-- end of models -->"
UNITS: Mapping[str, str] = {
    "request": "a request",
    "image": "a picture",
    "megapixel": "a megapixel",
    "second": "a second",
    "input_image": "a picture given",
    "text_token_in": "a million tokens of text",
    "image_token_in": "a million tokens of pictures given",
    "image_token_out": "a million tokens of pictures",
    "text_token_out": "a million tokens of thoughts",
}
TASKS: Mapping[str, str] = {
    "text_to_image": "text",
    "image_to_image": "edit",
    "inpaint": "inpaint",
    "outpaint": "outpaint",
    "upscale": "upscale",
    "remove_background": "remove background",
}


def block(rows: Mapping[str, ModelRow]) -> str:
    """The table of a provider's models."""
    lines = [
        BEGIN,
        "| model | does | price, US dollars | read on, where |",
        "|---|---|---|---|",
    ]
    for id, row in rows.items():
        edits = ["image_to_image"] if getattr(row, "edits", False) else []
        works = getattr(row, "works", None) or ["text_to_image", *edits]
        does = ", ".join(word for task, word in TASKS.items() if task in works)
        gone = f"; until {row.deprecated_on}" if row.deprecated_on else ""
        source = f"{row.as_of or ''} {row.source}".strip().replace("|", "/")
        lines.append(f"| `{id}` | {does} | {price(row)} | {source}{gone} |")
    return "\n".join([*lines, END])


def price(row: ModelRow) -> str:
    """A row's price in words; of rates that differ by quality or size the span."""
    if row.price_usd is not None:
        return f"{row.price_usd:g} a picture"
    if not row.rates:
        return "none known: live, or yours"
    return "; ".join(_span(unit, row.rates) for unit in dict.fromkeys(r.unit for r in row.rates))


def _span(unit: str, rates: Iterable[RateRow]) -> str:
    scale = 1.0 if "token" in unit else 1e-6
    amounts = [rate.micro_usd * scale for rate in rates if rate.unit == unit]
    low, high = min(amounts), max(amounts)
    figures = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    return f"{figures} {UNITS[unit]}"


def page(name: str, kind: Any) -> str:
    """A page as it should be."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: block(kind.table), text, flags=re.DOTALL)


def paid() -> dict[str, Any]:
    """The vendors that come with the server: those that have a table and a key."""
    usable = load_types().usable
    return {n: k for n, k in usable.items() if k.info.key_names and getattr(k, "table", None)}


def main() -> int:
    """Write the pages, or say which are not as they should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = 0
    for name, kind in paid().items():
        file = PAGES / f"{name}.md"
        wanted = page(name, kind)
        if wanted != file.read_text(encoding="utf-8"):
            stale += 1
            if check:
                print(f"{file} is not as the table has it: run tools/provider_pages.py")
            else:
                file.write_text(wanted, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
