"""The values that a shell completes, found only when it asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points

from ziggie_image_mcp.provider.contract import ENTRY_POINT_GROUP


def completing(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """The completion of an option or argument that takes one of these values."""

    def complete(incomplete: str) -> list[str]:
        return sorted(value for value in values() if value.startswith(incomplete))

    return complete


def provider_names() -> set[str]:
    """The installed kinds of provider; none is imported."""
    return {entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)}


def vendor_names() -> set[str]:
    """Those that take a key. They are imported for it."""
    from ziggie_image_mcp.inventory.registry import load_types

    return {name for name, kind in load_types().usable.items() if kind.info.key_names}
