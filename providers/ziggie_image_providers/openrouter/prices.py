"""Read OpenRouter's prices of a model's endpoints as our rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ziggie_image_mcp.provider.fields import FieldRow
from ziggie_image_mcp.provider.json_paths import number, objects
from ziggie_image_mcp.provider.live_prices import near
from ziggie_image_mcp.provider.pricing import Unit
from ziggie_image_mcp.provider.settings import RateRow

UNITS: Mapping[tuple[str, str], Unit] = {
    ("output_image", "image"): "image",
    ("output_image", "megapixel"): "megapixel",
    ("output_image", "request"): "request",
    ("output_image", "token"): "image_token_out",
    ("input_image", "image"): "input_image",
    ("input_image", "token"): "image_token_in",
    ("input_reference", "image"): "input_image",
    ("input_reference", "token"): "image_token_in",
    ("input_text", "token"): "text_token_in",
}
"""OpenRouter's `billable` and `unit`, and ours."""

UNPRICED = ("input_font",)
"""What we never send."""


def rates_of(entry: object, row: FieldRow) -> Sequence[RateRow]:
    """The rates of a model: of each unit the dearest endpoint's. None where one cannot be read.

    Args:
        entry: The answer of /images/models/{model}/endpoints.
        row: What the table knows: how many tokens a picture takes, and the sizes of its tiers.
    """
    rates: dict[tuple[Unit, int | None], float] = {}
    for told in objects(entry, "endpoints[].pricing[]"):
        if told.get("billable") in UNPRICED:
            continue
        unit = UNITS.get((str(told.get("billable")), str(told.get("unit"))))
        usd, variant = number(told.get("cost_usd")), told.get("variant")
        if unit is None or usd is None or usd < 0 or not _is_possible(unit, usd * 1e6, row):
            return ()
        key = (unit, _pixels_of(variant, row) if isinstance(variant, str) else None)
        rates[key] = max(usd * 1e6, rates.get(key, 0.0))
    made: list[RateRow] = []
    for (unit, pixels), micro_usd in sorted(rates.items(), key=_by_size):
        rate = RateRow(unit=unit, micro_usd=micro_usd, max_pixels=pixels)
        if unit.endswith(("_out", "image_token_in")):
            counts = [known for known in row.rates if known.unit == unit and known.most]
            if not counts:
                return ()  # nobody knows how many tokens a picture takes
            made += [known.model_copy(update={"micro_usd": micro_usd}) for known in counts]
        else:
            made.append(rate)
    return made if any(r.unit in ("image", "megapixel", "image_token_out") for r in made) else ()


def _pixels_of(variant: str, row: FieldRow) -> int | None:
    """The area of the largest size of a tier; None where the word is none of the row's tiers."""
    areas = [w * h for name, (w, h) in row.shapes.items() if name.endswith(f" {variant}")]
    return max(areas, default=None)


def _by_size(item: tuple[tuple[Unit, int | None], float]) -> tuple[str, float]:
    (unit, pixels), _ = item
    return unit, float("inf") if pixels is None else pixels


def _is_possible(unit: Unit, micro_usd: float, row: FieldRow) -> bool:
    """Whether a price may be one: what is made is never free, and tokens are near the table's."""
    known = [rate.micro_usd for rate in row.rates if rate.unit == unit]
    if known and "token" in unit:
        return near(micro_usd, max(known))
    made = unit in ("image", "megapixel", "request", "image_token_out")
    return micro_usd > 0 if made else micro_usd >= 0
