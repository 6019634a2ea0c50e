"""Read which other machine `plan --on` speaks of: a card's name, or a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import typer
from pydantic import BaseModel, ConfigDict, Field

from ziggie_image_mcp.errors import InvalidRequest

if TYPE_CHECKING:
    from ziggie_image_mcp.inventory.types import Hardware

OnOption = Annotated[
    str | None,
    typer.Option(
        metavar="CARD|FILE.json",
        help='Plan for another machine, as "RTX 4070 12GB", "Apple M3 Max 36GB" or CPU; or a file'
        ' as {"card": "RTX 4090", "ram": 64, "os": "Windows"}.',
    ),
]
RamOption = Annotated[
    float | None, typer.Option(help="With --on: its main memory, GiB; 16 unless said.")
]
OsOption = Annotated[
    str | None, typer.Option(metavar="Linux|Windows|Darwin", help="With --on: its system.")
]

SYSTEMS = ("Linux", "Windows", "Darwin")

_FORM = 'write {"card": "RTX 4090", "ram": 64, "os": "Windows"}; ram and os may be left out'


class MachineFile(BaseModel):
    """What a file says of a machine."""

    model_config = ConfigDict(extra="forbid", strict=True)

    card: str
    ram: float | None = Field(default=None, gt=0, le=65_536)
    """GiB."""
    os: str | None = None


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the options say of it."""

    on: str
    ram: float | None
    os: str | None


def other_machine(wish: Wish) -> Hardware:
    """The machine that the options describe; they win over its file.

    Raises:
        InvalidRequest: The card, its memory, the system or the file make no sense.
    """
    from ziggie_image_mcp.inventory.cards import machine_named

    card, ram, os = wish.on, wish.ram, wish.os
    if card.lower().endswith(".json"):
        file = _read(Path(card))
        card, ram, os = file.card, file.ram if ram is None else ram, os or file.os
    if ram is not None and not 0 < ram <= 65_536:
        raise InvalidRequest("--ram", f"{ram:g}", "give GiB, above 0")
    system = next((name for name in SYSTEMS if name.lower() == (os or "").lower()), "")
    if os and not system:
        raise InvalidRequest("--os", os, f"one of {', '.join(SYSTEMS)}")
    return machine_named(card, ram, system)


def _read(path: Path) -> MachineFile:
    try:
        parsed: Any = json.loads(path.read_text(encoding="utf-8"))
        return MachineFile.model_validate(parsed)
    except OSError as e:
        raise InvalidRequest("--on", str(path), f"{e.strerror}: name a file that is there") from e
    except pydantic.ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidRequest("--on", str(path), f"{where}: {first['msg']}; {_FORM}") from e
    except (ValueError, RecursionError) as e:
        raise InvalidRequest("--on", str(path), f"it is no JSON; {_FORM}") from e
