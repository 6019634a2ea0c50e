"""Remember, elsewhere than in the ledger, how many holds it has: one that shows less is not it."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.provider.files import read_regular
from ziggie_image_mcp.provider.systems import replace

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ziggie_image_mcp.billing.ledger_tables import Tables

MAX_BYTES = 64 * 1024
DAMAGED = -1

_log = logging.getLogger(__name__)


class Witness:
    """A small file in another folder than the ledger's. Only SQLite needs one.

    Args:
        folder: Where it stands: not that of the ledger, which somebody may delete as a whole.
        ledger: The file that it watches.
    """

    def __init__(self, folder: Path, ledger: Path) -> None:
        self._ledger = ledger
        mark = hashlib.sha256(str(ledger.absolute()).encode()).hexdigest()[:8]
        self.file = folder / f"ledger-{mark}.json"

    def read(self) -> int:
        """How many holds the ledger had at least; `DAMAGED` where the file cannot tell."""
        try:
            text = read_regular(self.file, MAX_BYTES).decode()
            return max(0, int(json.loads(text)["holds"]))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError) as e:
            _log.warning("%s is no witness of the ledger any more: %s", self.file, e)
            return DAMAGED

    def check(self, holds: int, known: int) -> None:
        """Refuse a ledger with fewer holds than were known before it was read.

        Raises:
            StorageError: It was emptied, or is another one.
        """
        if known == DAMAGED and not holds:
            raise StorageError(
                f"The ledger {self._ledger} is empty, and {self.file}, which would tell whether it "
                "was emptied, is damaged, so nobody knows what is spent. Put the ledger back; or, "
                f"if it is new, delete {self.file}."
            )
        if holds < known:
            raise StorageError(
                f"The ledger {self._ledger} was emptied or replaced: it has {holds} holds and had "
                f"{known}, so nobody knows what is spent. Put it back; or, if that was meant, "
                f"delete {self.file}."
            )

    def keep(self, holds: int) -> None:
        """Write down how many holds are committed. The caller has the ledger's lock."""
        known = self.read()
        if holds <= known or (known == DAMAGED and not holds):
            return
        beside = self.file.with_name(f".{self.file.name}.{secrets.token_hex(4)}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            record = {"ledger": str(self._ledger), "holds": holds}
            beside.write_text(json.dumps(record), encoding="utf-8")
            replace(beside, self.file)
        except OSError as e:
            _log.warning("The ledger has no witness, as %s cannot be written: %s", self.file, e)
            with suppress(OSError):
                beside.unlink(missing_ok=True)


class WitnessedSchema:
    """The ledger's tables; whoever writes has the witness know what is committed.

    Args:
        module: The tables.
        witness: Of an SQLite file.
    """

    def __init__(self, module: Any, witness: Witness) -> None:
        self._module = module
        self._witness = witness

    def prepare(self, connection: Connection) -> None:
        """Make the tables where there are none."""
        self._module.prepare(connection)

    def lock_for_writing(self, connection: Connection) -> None:
        """Keep all others from writing until the transaction ends."""
        self._module.lock_for_writing(connection)
        self._witness.keep(self.Tables(connection).last())

    def Tables(self, connection: Connection) -> Tables:
        """What a transaction works on."""
        tables: Tables = self._module.Tables(connection)
        return tables
