"""Copy the frozen data so that it can be opened as if this were the host that wrote it.

What was written on `frozen-host` below /tmp/zim-version-1 has three names in it that must be
replaced; facts.json tells where each occurs (`places`, per kind of database):

    slots_host  HOST-MAC-HASH of executors, as `slots.host(folder)` gives it for the slots folder
    hostname    of owners of holds (host:pid:start) and of devices (host/gpu)
    root        the data folder, in the paths of stored pictures

Left as they are, the jobs are taken up all the same (version 1 believes the slots' name files, and
on Postgres the beats), but the holds of the dead look like those of another host, and are never
reaped; devices have other names, and the paths of stored pictures lead nowhere.

Times are of November 2026. Version 1 forgets ended jobs after 30 days, lets questions go and asks
vendors about holds after ten minutes, and believes breakers for half a minute; so `later` moves the
times in the columns, though not those inside of orders and outcomes, and no `delay_until`.

Only the standard library is used.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent

_MICROSECONDS = {
    "holds": ("created",),
    "lines_1_turns": ("joined", "granted"),
    "lines_1_executors": ("beat",),
    "lines_1_requests": ("made",),
    "experience_1_breakers": ("open_until",),
    "experience_1_results": ("made",),
}
_MILLISECONDS = {
    "workflow_status": ("created_at", "updated_at", "started_at_epoch_ms", "completed_at"),
    "workflow_input": ("retention_timestamp",),
    "workflow_output": ("retention_timestamp",),
    "operation_outputs": (
        "started_at_epoch_ms",
        "completed_at_epoch_ms",
        "retention_timestamp",
    ),
}


def facts() -> dict[str, Any]:
    """What stands in the data."""
    found: dict[str, Any] = json.loads((HERE / "facts.json").read_text(encoding="utf-8"))
    return found


def sqlite(
    target: Path,
    *,
    hostname: str,
    slots_host: Callable[[Path], str],
    later: timedelta = timedelta(),
) -> None:
    """Copy sqlite/ to `target`, which must not exist, and make it this host's.

    `slots_host` gives the part of executors before the first slash, for the slots folder.
    """
    known = facts()["sqlite"]
    shutil.copytree(HERE / "sqlite", target)
    own = slots_host(target / known["slots_folder"])
    for file in (target / known["slots_folder"]).glob("*.name"):
        text = file.read_text(encoding="utf-8").replace(known["slots_host"], own)
        file.write_text(text, encoding="utf-8")
    for name, statement in statements(
        "sqlite", hostname=hostname, slots_host=own, root=target, later=later
    ):
        with closing(sqlite3.connect(target / f"{name}.sqlite3")) as connection, connection:
            connection.execute(statement)


def postgres(
    *, hostname: str, slots_host: str, root: Path, later: timedelta = timedelta()
) -> list[str]:
    """What to run on a database into which postgres.sql was restored.

    The files of postgres/ belong into `root`; slot files are not needed there, because the beats
    of the dead are old.
    """
    return [
        statement
        for _, statement in statements(
            "postgres", hostname=hostname, slots_host=slots_host, root=root, later=later
        )
    ]


def statements(
    kind: Literal["sqlite", "postgres"],
    *,
    hostname: str,
    slots_host: str,
    root: Path,
    later: timedelta,
) -> Iterator[tuple[str, str]]:
    """The database (or schema) and what to run there."""
    known = facts()[kind]
    frozen: Mapping[str, str] = {
        "slots_host": known["slots_host"],  # first: the host's name is a part of it
        "root": known["root"],
        "hostname": facts()["placeholders"]["hostname"],
    }
    here = {"slots_host": slots_host, "root": root.as_posix(), "hostname": hostname}
    for what, old in frozen.items():
        for place in known["places"][what]:
            database, table, column = place.split(".")
            where = table if kind == "sqlite" else f"{database}.{table}"
            new = here[what].replace("'", "''")
            yield database, f"UPDATE {where} SET {column} = replace({column}, '{old}', '{new}')"
    if not later:
        return
    databases = {place.split(".")[1]: place.split(".")[0] for place in known["tables"]}
    for columns, unit in ((_MICROSECONDS, 1_000_000), (_MILLISECONDS, 1000)):
        for table, names in columns.items():
            by = round(later.total_seconds() * unit)
            where = table if kind == "sqlite" else f"{databases[table]}.{table}"
            for name in names:
                # a turn that was never granted has 0
                yield (
                    databases[table],
                    f"UPDATE {where} SET {name} = {name} + {by} WHERE {name} > 0",
                )
    day = {
        "sqlite": "strftime('{}', created / 1000000, 'unixepoch')",
        "postgres": "to_char(to_timestamp(created / 1000000) AT TIME ZONE 'UTC', '{}')",
    }[kind]
    form = {"sqlite": ("%Y-%m-%d", "%Y-%m"), "postgres": ("YYYY-MM-DD", "YYYY-MM")}[kind]
    table = "holds" if kind == "sqlite" else "public.holds"
    yield (
        databases["holds"],
        f"UPDATE {table} SET day = {day.format(form[0])}, month = {day.format(form[1])}",
    )
