"""Freeze what version 1 writes, with its jobs and its money in every state.

    python make.py OUTDIR [--postgres URL --pg-dump PROGRAM]

Version 1's package must be importable as `ziggie_image_mcp`. With a URL, which must be of an empty
Postgres database, the same states are made there too, and dumped. Written to OUTDIR:

    sqlite/                 a data folder: databases, slot files, pictures, the vendor's log
    postgres.sql            the same states on one Postgres database
    postgres/               its pictures, and the vendor's log
    facts.json              what stands in there, and what becomes of it
    core.zip                the package `ziggie_image_mcp` itself

How: seven processes of version 1, on one data folder (always /tmp/zim-version-1/KIND, so that the
paths in the data are the same each time). The first ends in good order. The other six come to a
stand at known moments, and are then killed together by SIGKILL, so that none of them takes up the
jobs of another. They believe to be on a host called `frozen-host` with the MAC address NODE, so
that these names can be found in the data and be replaced: see thaw.py.

The same each time: ids, prompts, requests, amounts, owners' hosts, executors' tokens, the vendor's
remote ids. Not the same: times, process ids, and the seeds of requests that named none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import standin
from pydantic import TypeAdapter
from ziggie_image_mcp.batch import Batch
from ziggie_image_mcp.ledger import Caps, Ledger, owner_id
from ziggie_image_mcp.office import BATCH
from ziggie_image_mcp.orders import JobView, Made, Order, loaded
from ziggie_image_mcp.service import Service, fingerprint
from ziggie_image_mcp.terms import of as terms_of
from ziggie_image_mcp.types import GivenImage, ImageRequest, Job, Model, Quote

from ziggie_image_mcp import batchfile, config, experience, paid, service, slots
from ziggie_image_mcp.errors import ProviderUnavailable

COMMIT = "63275c9"
ROOT = Path("/tmp/zim-version-1")
HOST = "frozen-host"
NODE = 0x20_0000_0BEEF
CLEAN_SLOT = "first"
KILLED = ("paid", "making", "waiting", "two", "worker", "submitter")
PATIENCE = 60.0
BATCH_BUDGET = 5_000
BATCH_TEXT = """\
# Six requests, of which a killed worker had done three.
{"prompt": "batch free one", "provider": "engine", "width": 64, "height": 64, "seed": 9001}
{"prompt": "batch paid {morning|evening}", "provider": "vendor", "width": 64, "height": 64}
{"prompt": "batch killed", "provider": "engine", "width": 64, "height": 64, "seed": 9004}

{"prompt": "batch queued", "provider": "engine", "width": 64, "height": 64, "seed": 9006}
{"prompt": "batch also queued", "provider": "engine", "width": 64, "height": 64}
"""
FAR = datetime(2099, 1, 1, tzinfo=UTC)


def job_id(tail: str) -> str:
    """An id of the real form, of the caller ""."""
    return f"job-{hashlib.sha256(b'').hexdigest()[:8]}-{tail.rjust(32, '0')}"


def asked(prompt: str, provider: str = "engine", **more: Any) -> ImageRequest:
    more.setdefault("allow_paid", provider == "vendor")
    return ImageRequest(prompt=prompt, provider=provider, width=64, height=64, **more)


REFUSED, CANCELLED = job_id("a3"), job_id("a4")
FREE, PAID, FREE_AGAIN = job_id("a1"), job_id("a2"), job_id("a5")
QUEUED, DELAYED_FAR, DELAYED_PAST = job_id("b1"), job_id("b2"), job_id("b3")
WAITING, MAKING = job_id("c1"), job_id("c2")
RESERVED, SUBMITTED, CHARGED = job_id("d1"), job_id("d2"), job_id("d3")
REMOTE, SAVED = job_id("d4"), job_id("d5")
TWO = job_id("e1")
REPEATED, CACHED = job_id("f1"), job_id("f2")

REQUESTS: dict[str, tuple[ImageRequest, ...]] = {
    FREE: (asked("finished for free"),),
    PAID: (asked("finished for money", "vendor"),),
    REFUSED: (asked("refuse this one"),),
    CANCELLED: (asked("cancelled while it was made"),),
    FREE_AGAIN: (asked("finished for free, with a loaded model", negative_prompt="fog"),),
    QUEUED: (asked("queued and never taken", seed=1101, steps=12),),
    DELAYED_FAR: (asked("due in 2099", seed=1102),),
    DELAYED_PAST: (asked("due soon after", seed=1103),),
    WAITING: (asked("killed while it waited for the device"),),
    MAKING: (asked("killed while it was made", num_images=2),),
    RESERVED: (asked("killed with the money reserved", "vendor"),),
    SUBMITTED: (asked("killed before the vendor saw it", "vendor"),),
    CHARGED: (asked("killed before its remote id was kept", "vendor"),),
    REMOTE: (asked("killed while the vendor made it", "vendor", num_images=2),),
    SAVED: (asked("killed before it was settled", "vendor"),),
    TWO: (asked("first of two", seed=5101, num_images=2), asked("second of two", seed=5201)),
    REPEATED: (asked("asked twice under one name", seed=6101, guidance_scale=7.5),),
    CACHED: (asked("made before", seed=7101, num_images=2),),
}
QUESTION = ImageRequest(prompt="may this cost money?", width=64, height=64, num_images=3)

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # the letter of the brief and what it is; what version 1 makes of it when it takes it up
    FREE: ("a", "a finished free job", {"status": "done", "charges": 0}),
    PAID: ("a", "a finished paid job", {"status": "done", "charges": 1}),
    REFUSED: ("a", "a failed job: the engine refused it", {"status": "failed", "charges": 0}),
    CANCELLED: ("a", "a cancelled job", {"status": "cancelled", "charges": 0}),
    FREE_AGAIN: ("a", "another finished free job", {"status": "done", "charges": 0}),
    QUEUED: ("b", "queued by a server without hands, never taken", {"status": "done"}),
    DELAYED_FAR: ("b", "delayed until 2099", {"status": "queued"}),
    DELAYED_PAST: ("b", "delayed; its time came after the kill", {"status": "done"}),
    WAITING: ("c", "killed while it waited for the device", {"status": "done"}),
    MAKING: ("c", "killed while the engine made its pictures", {"status": "done"}),
    RESERVED: ("d", "killed with its money reserved", {"status": "done", "charges": 1}),
    SUBMITTED: (
        "d",
        "killed after ledger.submit, before the vendor saw it. Whoever takes the job up finds "
        "nothing at the vendor, and says unknown. But where the hold is older than ten minutes and "
        "Cashier.reap comes first, it is released, and the job is sent under the hold's id with +",
        {"status": "unknown", "charges": 0, "or": {"status": "done", "charges": 1}},
    ),
    CHARGED: ("d", "killed before the remote id was stored", {"status": "done", "charges": 1}),
    REMOTE: ("d", "killed after the remote id was stored", {"status": "done", "charges": 1}),
    SAVED: ("d", "killed after the pictures were saved", {"status": "done", "charges": 1}),
    TWO: ("e", "two requests: the first is done, the second was made", {"status": "done"}),
    REPEATED: ("g", "asked for with a request_id, done", {"status": "done"}),
    CACHED: ("j", "seeded and done: its pictures are cached", {"status": "done"}),
}


# What the processes do


async def start(made: Service, known: str, **more: Any) -> JobView:
    """Service.start under a known id; the service itself would take a random one."""
    service.new_id = lambda caller: known
    view = await made.start(REQUESTS[known], **more)
    assert view.id == known, view
    return view


async def first(data: Path, url: str | None) -> None:
    """What is finished, what was spent, what was learnt; this process ends in good order."""
    halts = {"engine.generate": [REQUESTS[CANCELLED][0].prompt]}
    made = standin.build(data, url, halts=halts, who=CLEAN_SLOT)
    assert made.cashier is not None
    assert made.experience is not None
    await spend_a_month(made.cashier.ledger)
    await learn(made.experience)
    for known in (REFUSED, FREE, PAID, FREE_AGAIN, CACHED):
        await start(made, known)
        await made.job(known, PATIENCE)
    await start(made, REPEATED, request_id="repeat-me", caller="")
    await made.job(REPEATED, PATIENCE)
    await start(made, CANCELLED)
    await until(lambda: marked(data, "engine.generate", REQUESTS[CANCELLED][0].prompt))
    await made.cancel(CANCELLED)
    await made.aclose()


async def spend_a_month(ledger: Ledger) -> None:
    """Sixty settled holds over thirty days, eight released, two unknown."""
    chance = random.Random(1)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    models = (
        ("openai", "gpt-image-2.5-flare", 13_170),
        ("replicate", "black-forest-labs/flux-schnell", 3_000),
        ("vendor", "model", standin.PRICE),
    )
    for i in range(70):
        now = midnight - timedelta(days=30 - i * 30 // 70, minutes=-chance.randrange(1440))
        provider, model, price = models[i % 2 if i in (20, 51) else chance.randrange(3)]
        images = chance.choice((1, 1, 1, 2, 4))
        hold = f"{job_id(f'{i:x}'.rjust(4, '0').rjust(32, '1'))}.0.0"
        await ledger.reserve(
            hold,
            provider=provider,
            model=model,
            images=images,
            estimate=price * images,
            caps=Caps(),
            owner=owner_id(),
            now=now,
        )
        if i % 9 == 4:
            if i % 2:
                await ledger.submit(hold)
            await ledger.release(hold, "it was not needed", not_charged=bool(i % 2))
            continue
        await ledger.submit(hold)
        if i in (20, 51):
            await ledger.unknown(hold, "outcome unknown: no answer came")
            continue
        await ledger.remote(hold, standin.remote_id(hold))
        less = chance.choice((0, 0, 0, 170, -120))  # now and then the price was out of date
        await ledger.settle(hold, price * images - less)


async def learn(memory: experience.Experience) -> None:
    """Latencies of three models, and a breaker that is open for half a minute."""
    now = datetime.now(UTC)
    for seconds in (4.0, 5.0, 4.5, 6.0):
        await memory.succeeded(
            "engine", "other", bucket="1MP/32", seconds_per_image=seconds, now=now
        )
    for seconds in (9.0, 11.0):
        await memory.succeeded(
            "openai", "gpt-image-2.5-flare", bucket="1MP", seconds_per_image=seconds, now=now
        )
    for _ in range(3):
        down = ProviderUnavailable("elsewhere", "nobody answers at elsewhere")
        await memory.failed("elsewhere", "model", down, now)
    for _ in range(2):
        await memory.failed("elsewhere", "second", down, now)


async def paid_ones(data: Path, url: str | None) -> None:
    """Five paid jobs, each of which stands still where the record of the money has moved on."""
    halts = {
        "ledger.submit": [f"{RESERVED}.0.0"],
        "vendor.submit": [f"{SUBMITTED}.0.0"],
        "vendor.charged": [f"{CHARGED}.0.0"],
        "vendor.collect": [f"{REMOTE}.0.0"],
        "ledger.settle": [f"{SAVED}.0.0"],
    }
    made = standin.build(data, url, halts=halts, listen=False, who="paid")
    for known in (RESERVED, SUBMITTED, CHARGED, REMOTE, SAVED):
        await start(made, known)
    await anyio.sleep_forever()


async def making(data: Path, url: str | None) -> None:
    halts = {"engine.generate": [REQUESTS[MAKING][0].prompt]}
    made = standin.build(data, url, halts=halts, listen=False, who="making")
    await start(made, MAKING)
    await anyio.sleep_forever()


async def waiting(data: Path, url: str | None) -> None:
    """Comes when the device is taken, and says so."""
    made = standin.build(data, url, listen=False, who="waiting")
    assert made.office is not None
    await start(made, WAITING)
    while (view := await made.office.get(WAITING)) is None or "waiting for" not in view.message:
        await anyio.sleep(0.05)
    mark(data, "waiting", WAITING)
    await anyio.sleep_forever()


async def two(data: Path, url: str | None) -> None:
    """On a device of its own: `gpu` is taken."""
    halts = {"engine.generate": [REQUESTS[TWO][1].prompt]}
    made = standin.build(data, url, halts=halts, device="gpu-2", listen=False, who="two")
    await start(made, TWO)
    await anyio.sleep_forever()


async def worker(data: Path, url: str | None) -> None:
    """Takes what is on the queue."""
    halts = {"engine.generate": ["batch killed"]}
    made = standin.build(data, url, halts=halts, device="gpu-3", who="worker")
    assert made.office is not None
    await made.office.open()
    mark(data, "open", "worker")
    await anyio.sleep_forever()


async def submitter(data: Path, url: str | None) -> None:
    """A server that leaves the work to workers. It submits the last things when the worker stands.

    The worker is stopped (SIGSTOP) meanwhile, so that what is then submitted is never taken.
    """
    asker = standin.build(data, url, paid_only=True, listen=False, who="submitter")
    asker.office = None
    quote = await asker.ask(QUESTION)
    assert quote is not None
    (data / "marks" / "quote.json").write_text(json.dumps(asdict(quote)))
    made = standin.build(data, url, workers=True, listen=False, who="submitter")
    office = made.office
    assert office is not None
    batch = Batch(made, batchfile.read(BATCH_TEXT), BATCH_BUDGET)
    submit = office.submit

    async def one_by_one(order: Order, **more: Any) -> None:
        if order.id.endswith("-4"):  # the first three are done by then
            while await office.open_among(f"batch-{batch.id}-", [v.id for v in await ended()]):
                await anyio.sleep(0.05)
        if order.id.endswith("-6"):
            mark(data, "halfway", "batch")
            await until(lambda: marked(data, "stopped", "worker"))
        await submit(order, **more)

    async def ended() -> Sequence[JobView]:
        return await office.select(f"batch-{batch.id}-")

    office.submit = one_by_one  # type: ignore[method-assign]
    await batch.submit()
    await start(made, QUEUED)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    for known, at in ((DELAYED_FAR, FAR), (DELAYED_PAST, soon)):
        order = Order(
            id=known,
            requests=REQUESTS[known],
            terms=terms_of(made.config),
            accepted=datetime.now(UTC),
        )
        await submit(order, priority=BATCH, at=at)
    mark(data, "submitted", "all")
    await anyio.sleep_forever()


ROLES: Mapping[str, Callable[[Path, str | None], Awaitable[None]]] = {
    CLEAN_SLOT: first,
    "paid": paid_ones,
    "making": making,
    "waiting": waiting,
    "two": two,
    "worker": worker,
    "submitter": submitter,
}


def play(role: str, data: Path, url: str | None) -> None:
    """One process of version 1, on a host of a known name."""
    count = iter(range(1000))
    place = 0 if role == CLEAN_SLOT else KILLED.index(role) + 1

    def token_hex(size: int) -> str:
        return f"{place:x}{next(count):0{2 * size - 1}x}"

    known = SimpleNamespace(token_hex=token_hex, randbits=secrets.randbits)
    slots.secrets = paid.secrets = known  # type: ignore
    socket.gethostname = lambda: HOST
    uuid.getnode = lambda: NODE
    anyio.run(ROLES[role], data, url)


# The one that starts and kills them


def freeze(data: Path, url: str | None) -> datetime:
    """Let the processes come to a stand, and kill them all at once; when that was."""
    (data / "marks").mkdir(parents=True)
    group = 0
    running: dict[str, subprocess.Popen[bytes]] = {}

    def begin(role: str) -> subprocess.Popen[bytes]:
        nonlocal group
        command = [sys.executable, __file__, str(data), "--role", role, *([url] if url else [])]
        running[role] = subprocess.Popen(command, process_group=group)
        return running[role]

    def wait_for(moment: str, name: str) -> None:
        end = time.monotonic() + PATIENCE
        while not marked(data, moment, name):
            dead = [role for role, p in running.items() if p.poll() is not None]
            if dead or time.monotonic() > end:
                raise RuntimeError(f"{moment} of {name} was not reached; dead: {dead}")
            time.sleep(0.02)

    ended = begin(CLEAN_SLOT)
    if ended.wait(timeout=PATIENCE):
        raise RuntimeError("the first process failed")
    del running[CLEAN_SLOT]
    try:
        group = begin("worker").pid
        wait_for("open", "worker")
        begin("paid")
        begin("making")
        wait_for("engine.generate", REQUESTS[MAKING][0].prompt)
        begin("waiting")
        begin("two")
        for moment, known in (
            ("ledger.submit", RESERVED),
            ("vendor.submit", SUBMITTED),
            ("vendor.charged", CHARGED),
            ("vendor.collect", REMOTE),
            ("ledger.settle", SAVED),
        ):
            wait_for(moment, f"{known}.0.0")
        wait_for("waiting", WAITING)
        wait_for("engine.generate", REQUESTS[TWO][1].prompt)
        begin("submitter")
        wait_for("halfway", "batch")
        wait_for("engine.generate", "batch killed")
        time.sleep(1.0)  # progress is told to the database every quarter of a second
        running["worker"].send_signal(signal.SIGSTOP)
        mark(data, "stopped", "worker")
        wait_for("submitted", "all")
    finally:
        os.killpg(group, signal.SIGKILL)
        for process in running.values():
            process.wait()
    frozen = datetime.now(UTC)
    (data / "batch.jsonl").write_text(BATCH_TEXT, encoding="utf-8")
    for file in data.glob("*.sqlite3"):
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    time.sleep(max(0.0, 3.5 - (datetime.now(UTC) - frozen).total_seconds()))
    return frozen


# Facts


Rows = dict[str, list[dict[str, Any]]]


def sqlite_rows(data: Path) -> Rows:
    """Every table of every file, as `file.table`."""
    found: Rows = {}
    for file in sorted(data.glob("*.sqlite3")):
        connection = sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)
        connection.row_factory = sqlite3.Row
        query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        for (table,) in connection.execute(query).fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
            found[f"{file.stem}.{table}"] = [dict(row) for row in rows]
        connection.close()
    return found


def postgres_rows(url: str) -> Rows:
    """Every table, as `schema.table`."""
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(url, row_factory=dict_row) as connection:
        tables = connection.execute(
            "SELECT table_schema AS s, table_name AS t FROM information_schema.tables "
            "WHERE table_schema IN ('public', 'dbos') AND table_type = 'BASE TABLE' ORDER BY 1, 2"
        ).fetchall()
        return {
            f"{r['s']}.{r['t']}": connection.execute(
                f'SELECT * FROM "{r["s"]}"."{r["t"]}"'.encode()
            ).fetchall()
            for r in tables
        }


def places(rows: Rows, text: str) -> dict[str, int]:
    """In which columns a text occurs, and how often."""
    found: Counter[str] = Counter()
    for table, those in rows.items():
        for row in those:
            for column, value in row.items():
                if isinstance(value, str) and text in value:
                    found[f"{table}.{column}"] += 1
    return dict(sorted(found.items()))


def table(rows: Rows, name: str) -> list[dict[str, Any]]:
    return next(those for key, those in rows.items() if key.endswith(f".{name}"))


def facts_of(data: Path, rows: Rows, frozen: datetime, slots_folder: Path) -> dict[str, Any]:
    """What stands in one data folder, read from its tables, not from what was meant."""
    holds = sorted(table(rows, "holds"), key=lambda h: (h["created"], h["id"]))
    turns = {t["job_id"]: t for t in table(rows, "lines_1_turns")}
    vendor = standin.lines_of(data / "vendor.jsonl")
    steps: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(table(rows, "operation_outputs"), key=lambda r: r["function_id"]):
        steps.setdefault(row["workflow_uuid"], []).append(row)
    batch = batchfile.batch_id(batchfile.read(BATCH_TEXT))
    jobs: dict[str, Any] = {}
    for row in sorted(table(rows, "workflow_status"), key=lambda r: r["workflow_uuid"]):
        known = row["workflow_uuid"]
        group, what, expect = KINDS.get(known) or batch_kind(known, row["status"])
        order = loaded(Order, argument(payload(rows, known, "input", "inputs")))
        plans = [recorded(s) for s in steps.get(known, ()) if s["function_name"][:5] == "plan-"]
        output = payload(rows, known, "output", "output")
        made = loaded(Made, json.loads(output)) if output else None
        jobs[known] = {
            "group": group,
            "what": what,
            "dbos_status": row["status"],
            "executor": row["executor_id"],
            "queue": row["queue_name"],
            "delay_until_epoch_ms": row["delay_until_epoch_ms"],
            "requests": [plain(r) for r in order.requests],
            "order": {k: v for k, v in plain(order).items() if k not in ("requests", "routes")},
            "routes": len(order.routes),
            "steps": [s["function_name"] for s in steps.get(known, ())],
            "seeds": [p["routes"][0]["job"]["seed"] for p in plans],
            "image_ids": [
                [image_id(order, index, i) for i in range(request.num_images)]
                for index, request in enumerate(order.requests)
            ],
            "results": [
                {
                    "image_ids": [i.id for i in r.images],
                    "seeds": [i.seed for i in r.images],
                    "cost_micro_usd": r.cost_micro_usd,
                    "provider": r.model.provider,
                }
                for r in (made.results if made else ())
            ],
            "failures": [f.code for f in (made.failures if made else ())],
            "turn": turns.get(known),
            "holds": [h for h in holds if h["id"].startswith(f"{known}.")],
            "charges": [c for c in vendor if c["key"].startswith(f"{known}.")],
            "expect": expect,
        }
    totals: dict[str, dict[str, Any]] = {}
    for hold in holds:
        key = f"{hold['provider']}/{hold['state']}"
        own = totals.setdefault(key, {"count": 0, "estimate": 0, "actual": 0})
        own["count"] += 1
        own["estimate"] += hold["estimate"]
        own["actual"] += hold["actual"] or 0
    request = table(rows, "lines_1_requests")
    question = next(h for h in holds if h["id"].startswith("ask-"))
    quote: dict[str, Any] = json.loads((data / "marks" / "quote.json").read_text())
    assert TypeAdapter(Quote).validate_python(quote).hold == question["id"]
    output = payload(rows, CACHED, "output", "output")
    cached = loaded(Made, json.loads(output)).results[0]
    key = experience.cache_key(cached.job, cached.model, "png", "None/None")
    results = table(rows, "experience_1_results")
    assert [r["image_ids"] for r in results if r["key"] == key]
    spent = anyio.run(spending, rows, frozen)
    executors = {
        e
        for those in rows.values()
        for row in those
        for e in row.values()
        if isinstance(e, str) and e.startswith(f"{HOST}-")
    }
    return {
        "frozen_at": frozen.isoformat(),
        "root": str(data),
        "executors": sorted(executors),
        "slot_files": {f.name: f.read_text() for f in sorted(slots_folder.glob("*.name"))},
        "slots_folder": slots_folder.name,
        "slots_host": slots_host(slots_folder),
        "owners": sorted({h["owner"] for h in holds}),
        "devices": sorted(d["device"] for d in table(rows, "lines_1_devices")),
        "tables": {name: len(those) for name, those in rows.items()},
        "places": {
            "slots_host": places(rows, slots_host(slots_folder)),
            "hostname": places(rows, HOST),
            "root": places(rows, str(data)),
        },
        "jobs": jobs,
        "request_id": {
            "caller": "",
            "request_id": "repeat-me",
            "job_id": REPEATED,
            "requests": [plain(r) for r in REQUESTS[REPEATED]],
            "rows": request,
        },
        "question": {"request": plain(QUESTION), "quote": quote, "hold": question},
        "batch": {
            "id": batch,
            "budget_micro_usd": BATCH_BUDGET,
            "jobs": {k: j["dbos_status"] for k, j in jobs.items() if k.startswith("batch-")},
        },
        "ledger": {"totals": totals, "holds": holds, "spending_at_freeze": spent},
        "lines": {
            "turns": list(turns.values()),
            "devices": table(rows, "lines_1_devices"),
            "executors": table(rows, "lines_1_executors"),
        },
        "experience": {
            "latencies": table(rows, "experience_1_latencies"),
            "breakers": table(rows, "experience_1_breakers"),
            "results": results,
        },
        "cached": {
            "key": key,
            "job": plain(cached.job),
            "model": plain(cached.model),
            "output_format": "png",
            "fingerprint": "None/None",
            "image_ids": [i.id for i in cached.images],
            "request": plain(REQUESTS[CACHED][0]),
        },
        "vendor": vendor,
        "engine": standin.lines_of(data / "engine.jsonl"),
        "pictures": sorted(p.name for p in (data / "pictures").rglob("*.png")),
    }


async def spending(rows: Rows, now: datetime) -> dict[str, Any]:
    """What version 1's ledger says was spent at the moment of the freeze, read from a copy."""
    copy = ROOT / "copy.sqlite3"
    copy.unlink(missing_ok=True)
    ledger = Ledger(copy)
    await ledger.holds()
    await ledger.aclose()
    with sqlite3.connect(copy) as connection:
        for hold in table(rows, "holds"):
            connection.execute(
                f"INSERT INTO holds ({', '.join(hold)}) VALUES ({', '.join('?' * len(hold))})",
                list(hold.values()),
            )
    connection.close()
    found = asdict(await ledger.spending(now))
    await ledger.aclose()
    copy.unlink()
    return found


def batch_kind(known: str, status: str) -> tuple[str, str, dict[str, Any]]:
    what = {"SUCCESS": "done", "PENDING": "killed while it was made", "ENQUEUED": "queued"}[status]
    paid_for = "-3." in known
    return "f", f"of the batch: {what}", {"status": "done", "charges": int(paid_for)}


def image_id(order: Order, index: int, i: int) -> str:
    """As `keeper` names a picture of the first try of a request, in whatever process it is made."""
    token = hashlib.sha256(f"{order.id}.{index}.0.{i}".encode()).hexdigest()[:16]
    return f"{order.accepted:%Y%m%d}-{token}"


def payload(rows: Rows, known: str, kind: str, column: str) -> str:
    """DBOS keeps what goes into a workflow and comes out of it in tables of their own."""
    own = [r for r in table(rows, f"workflow_{kind}") if r["workflow_uuid"] == known]
    return own[0][column] or "" if own else ""


def argument(inputs: str) -> str:
    """The one text that version 1 gives to a workflow."""
    given: dict[str, Any] = json.loads(inputs)
    text: str = given["positionalArgs"][0]
    return text


def recorded(step: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.loads(step["output"]))
    return found


def plain(value: object) -> Any:
    """A dataclass as JSON gives it."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def slots_host(folder: Path) -> str:
    """As `slots.host`, on the frozen host."""
    where = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:6]
    return f"{HOST}-{NODE:x}-{where}"


# Keys that a later version must be able to compute again


def keys() -> dict[str, Any]:
    whole = ImageRequest(
        prompt='a "quoted" star\nover Zürich \N{SNOWMAN}',
        negative_prompt="it's fog",
        width=640,
        height=512,
        aspect_ratio=None,
        num_images=3,
        seed=4_294_967_295,
        steps=30,
        guidance_scale=6.5,
        sampler="euler",
        scheduler="normal",
        model="sdxl",
        provider="local",
        quality="high",
        max_cost_usd=0.1,
        allow_paid=True,
        output_format="webp",
        file_name="star",
        image=GivenImage(id="20261128-0123456789abcdef", width=640, height=512),
        mask=GivenImage(id="20261128-fedcba9876543210", width=640, height=512),
        strength=0.75,
    )
    diverse: list[tuple[ImageRequest, ...]] = [
        (ImageRequest(prompt="a red star"),),
        (ImageRequest(prompt="a red star", aspect_ratio="16:9", quality="draft"),),
        (ImageRequest(prompt="a red star", guidance_scale=7.0, steps=4, seed=0),),
        (ImageRequest(prompt="a 'red' \\ \"blue\" star\t\u0000\U0001f680", max_cost_usd=1e-7),),
        (whole,),
        (
            ImageRequest(
                prompt="x", image=GivenImage(id="20261128-0123456789abcdef", width=9, height=9)
            ),
        ),
        (ImageRequest(prompt="one of two"), ImageRequest(prompt="two of two", provider="auto")),
        REQUESTS[REPEATED],
        (QUESTION,),
    ]
    jobs = [
        Job(
            prompt="a red star",
            negative_prompt="",
            width=1024,
            height=1024,
            num_images=1,
            seed=1,
            steps=None,
            guidance_scale=None,
        ),
        Job(
            prompt="Zürich \N{SNOWMAN}",
            negative_prompt="fog",
            width=832,
            height=1216,
            num_images=4,
            seed=4_294_967_295,
            steps=25,
            guidance_scale=7,  # becomes 7.0
            sampler="euler",
            scheduler="karras",
        ),
        Job(
            prompt="changed",
            negative_prompt="",
            width=64,
            height=64,
            num_images=1,
            seed=0,
            steps=4,
            guidance_scale=1.5,
            strength=0.75,
            image_id="20261128-0123456789abcdef",
            image=b"not part of the key",
        ),
        Job(
            prompt="painted",
            negative_prompt="x",
            width=64,
            height=64,
            num_images=2,
            seed=5,
            steps=20,
            guidance_scale=0.0,
            image_id="20261128-0123456789abcdef",
            mask_id="20261128-fedcba9876543210",
        ),
    ]
    model = Model(id="sd_xl_base_1.0.safetensors", provider="comfyui", local=True)
    flux = Model(id="black-forest-labs/flux-dev", provider="replicate", local=False)
    cases = [
        (jobs[0], model, "png", "None/None"),
        (jobs[1], model, "webp", "6900000000/8000000000"),
        (jobs[2], flux, "jpeg", "None/None"),
        (jobs[3], model, "png", "123/None"),
    ]
    texts = [
        BATCH_TEXT,
        '"a red star"\n',
        "\ufeff// a comment\n\n"
        '{"prompt": "a {red|blue|green} star", "seed": 7, "guidance_scale": 7}\n'
        '{"prompt": "escaped \\\\{braces\\\\}", "quality": "high", "max_cost_usd": 0.5}\n',
        '{"prompt": "Zürich \\u2603", "aspect_ratio": "3:2", "num_images": 2, '
        '"output_format": "webp", "file_name": "city", "negative_prompt": "it\'s fog"}\n'
        '{"prompt": "Zürich", "model": "sdxl", "provider": "local", "steps": 30, '
        '"sampler": "euler", "scheduler": "normal", "width": 640, "height": 512}',
    ]
    return {
        "request_fields": [f.name for f in fields(ImageRequest)],
        "fingerprints": [
            {
                "requests": [plain(r) for r in those],
                "repr": repr(those),
                "fingerprint": fingerprint(those),
            }
            for those in diverse
        ],
        "batch_ids": [
            {
                "text": text,
                "items": [
                    {"line": i.line, "part": i.part, "name": i.name, "request": plain(i.request)}
                    for i in batchfile.read(text)
                ],
                "batch_id": batchfile.batch_id(batchfile.read(text)),
            }
            for text in texts
        ],
        "cache_keys": [
            {
                "job": plain_job(job),
                "model": {"id": m.id, "provider": m.provider, "local": m.local},
                "output_format": form,
                "fingerprint": mark,
                "key": experience.cache_key(job, m, form, mark),
            }
            for job, m, form, mark in cases
        ],
    }


def plain_job(job: Job) -> dict[str, Any]:
    """Without the bytes, which no key has in it."""
    found = asdict(job)
    del found["image"], found["mask"]
    return found


# Small things


def mark(data: Path, moment: str, name: str) -> None:
    (data / "marks" / f"{moment}@{name}").touch()


def marked(data: Path, moment: str, name: str) -> bool:
    return (data / "marks" / f"{moment}@{name}").exists()


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not true():
            await anyio.sleep(0.02)


def dump(url: str, program: str) -> str:
    """The database as SQL. Only INSERTs, so that any client can run it."""
    options = ("--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=100")
    done = subprocess.run([program, *options, url], capture_output=True, text=True, check=True)
    # \restrict is psql's own, newer than PostgreSQL 15.0, and has a random word in it
    kept = [x for x in done.stdout.splitlines() if not x.startswith(("\\restrict", "\\unrestrict"))]
    return "\n".join(kept) + "\n"


def zip_core(file: Path) -> None:
    """The package that is running; the same bytes each time."""
    import zipfile

    package = Path(service.__file__).parent
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(package.iterdir()):
            if path.suffix in (".py", ".json", ".typed"):
                entry = zipfile.ZipInfo(f"{package.name}/{path.name}", (2026, 11, 28, 0, 0, 0))
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--postgres", metavar="URL")
    parser.add_argument("--pg-dump", default="pg_dump")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        play(given.role[0], given.outdir, given.role[1] if given.role[1:] else None)
        return
    shutil.rmtree(ROOT, ignore_errors=True)
    packages = ("dbos", "SQLAlchemy", "pydantic", "filelock", "psycopg")
    facts: dict[str, Any] = {
        "version_1": COMMIT,
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in packages},
        "settings": standin.SETTINGS,
        "price_micro_usd": standin.PRICE,
        "placeholders": {"hostname": HOST, "node": f"{NODE:x}"},
        "config_keys": sorted(config.json_schema()["properties"]),
        "keys": keys(),
    }
    zip_core(given.outdir / "core.zip")
    kinds: list[tuple[str, str | None]] = [("sqlite", None)]
    if given.postgres:
        kinds.append(("postgres", given.postgres))
    for kind, url in kinds:
        data, out = ROOT / kind, given.outdir / kind
        frozen = freeze(data, url)
        folder = next(data.glob("slots-*"))
        rows = postgres_rows(url) if url else sqlite_rows(data)
        facts[kind] = facts_of(data, rows, frozen, folder)
        shutil.rmtree(data / "marks")
        shutil.rmtree(out, ignore_errors=True)
        left_out = shutil.ignore_patterns("slots-*") if url else None
        shutil.copytree(data, out, ignore=left_out)
        if url:
            (given.outdir / "postgres.sql").write_text(dump(url, given.pg_dump), encoding="utf-8")
        print(f"{kind}: {sum(f.stat().st_size for f in out.rglob('*') if f.is_file())} bytes")
    text = json.dumps(facts, indent=1, default=str)
    (given.outdir / "facts.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
