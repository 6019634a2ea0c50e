"""A ledger that shows less than it had is noticed, also where its witness was damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from ziggie_image_mcp.billing.witness import Witness
from ziggie_image_mcp.errors import StorageError


@pytest.mark.parametrize("text", ["{", "[]", '{"holds": "many"}', ""])
def test_a_damaged_witness_beside_an_empty_ledger_refuses(text: str, tmp_path: Path) -> None:
    witness = Witness(tmp_path, tmp_path / "ledger.sqlite3")
    witness.keep(3)
    witness.file.write_text(text, encoding="utf-8")

    with pytest.raises(StorageError, match="is damaged"):
        witness.check(0, witness.read())
    witness.keep(0)
    assert witness.file.read_text(encoding="utf-8") == text, "what was known is not written over"
    witness.check(3, witness.read())
    witness.keep(4)

    assert witness.read() == 4
