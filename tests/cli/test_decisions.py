"""What would be chosen on which machine, by the table of `tests/data/decisions.json`."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from ziggie_image_mcp.cli.main import app
from ziggie_image_mcp.inventory import model_facts

FILE = Path(__file__).parents[1] / "data" / "decisions.json"
ROWS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["rows"]


def named(row: dict[str, Any]) -> str:
    wish = row.get("model") or "-".join(row.get("order", row.get("ask", ())))
    return f"{row['on']} {row['ram']} GB: {wish}".replace(" ", "_")


def marked(row: dict[str, Any]) -> Any:
    marks = [pytest.mark.xfail(reason=row["fails"], strict=True)] if "fails" in row else []
    return pytest.param(row, marks=marks, id=named(row))


@lru_cache
def decided(on: str, ram: int, *words: str) -> dict[str, Any]:
    """The answer of `plan --on ... --json`, on the config that nobody wrote."""
    answer = CliRunner().invoke(app, ["plan", "--on", on, "--ram", str(ram), "--json", *words])
    data: dict[str, Any] = json.loads(answer.stdout)
    return data


def seconds_of(data: dict[str, Any]) -> dict[str, float]:
    """Of each candidate, the load left out, by its row of the catalogue."""
    seconds: dict[str, float] = {}
    for one in cast("list[dict[str, Any]]", data["candidates"]):
        entry = model_facts.recognise(one["model"])
        assert entry is not None
        seconds[entry.id] = one["expected_seconds"] - one.get("load_seconds", 0.0)
    return seconds


def test_the_table_has_sixty_rows_and_each_its_source() -> None:
    assert len(ROWS) >= 60
    assert all(row["source"] for row in ROWS)


@pytest.mark.parametrize("row", [marked(row) for row in ROWS])
def test_a_decision_is_that_of_its_source(row: dict[str, Any]) -> None:
    words = [*row.get("ask", ()), *(["--model", row["model"]] if "model" in row else [])]

    data = decided(row["on"], row["ram"], *words)

    seconds = seconds_of(data)
    if "seconds" in row:
        low, high = row["seconds"]
        assert low <= seconds[row["model"]] <= high
    if "slower_than" in row:
        other = decided(row["slower_than"], row["ram"], *words)
        assert seconds[row["model"]] > seconds_of(other)[row["model"]]
    if "order" in row:
        assert sorted(row["order"], key=seconds.__getitem__) == row["order"]
    if "first" in row:
        assert next(iter(seconds)) == row["first"]
    if "refused" in row:
        assert row["model"] not in seconds
        reasons = {
            reason["code"]
            for one in data["rejected"]
            if (entry := model_facts.recognise(one["model"])) and entry.id == row["model"]
            for reason in one["reasons"]
        }
        assert reasons == {row["refused"]}
