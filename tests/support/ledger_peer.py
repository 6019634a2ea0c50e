"""Processes that share a ledger and are killed, and the shop that charges them.

`Peer` starts this file as a fork server: everything is imported once, and every worker is a fork
that takes milliseconds.
"""

from __future__ import annotations

import http.client
import http.server
import json
import mmap
import os
import random
import signal
import socket
import socketserver
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import anyio
import anyio.to_thread

from tests.support.peer import PeerProcess
from ziggie_image_mcp.billing.caps import Caps
from ziggie_image_mcp.billing.ledger import IllegalMove, Ledger
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.errors import OverBudget
from ziggie_image_mcp.jobs.leases import Leases, queue_database

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
PRICE = 40_000
JOBS_A_DAY = 10
DAY_CAP = 8 * PRICE
MONTH_CAP = 150 * PRICE
CAPS = Caps(per_day=DAY_CAP, per_month=MONTH_CAP)
ENOUGH = 6
"""Jobs that were sent by a process that died before it knew what became of them."""
IMPORTED_BEFORE_FORKING = (
    "anyio._backends._asyncio",
    "filelock",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "ziggie_image_mcp.billing.ledger_tables",
)
FOUND = "found-"
"""Begins the remote id of a job that was looked up at the shop."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the workers are to do.

    crash: reserve, submit, pay and settle job after job, until killed.
    reserve: all at once, each task of each process one reservation under one cap.
    open: every process opens the same new database.
    claim: every process submits the same holds, "0" to str(tasks - 1).
    post_hoc: the control for `reserve`: look at what is spent, pay, and write it down after.
    """

    kind: Literal["crash", "open", "reserve", "claim", "post_hoc"]
    database: str
    charges: str
    """The shop's own log, one line a charge."""
    after_death: Literal["unknown", "look_up", "resubmit"] = "unknown"
    processes: int = 4
    tasks: int = 64
    cap: int = 0
    """Pictures a day."""
    kills: int = 0
    """At least; more until ENOUGH sent jobs of dead processes were met."""
    until_double: bool = False
    """Stop as soon as the shop has charged one job twice."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run."""

    kills: int = 0
    seconds: float = 0
    won: list[list[str]] = field(default_factory=list[list[str]])
    """For each process, the holds that it got."""
    error: str = ""


@dataclass(frozen=True)
class Charge:
    """One line of the shop's log."""

    key: str
    job: int


class Peer(PeerProcess):
    def __init__(self) -> None:
        super().__init__("tests.support.ledger_peer")

    def run(self, run: Run, *, timeout: float = 240) -> Outcome:
        outcome = Outcome(**json.loads(self.ask(json.dumps(asdict(run)), timeout)))
        assert not outcome.error, outcome.error
        return outcome


def charges(log: str | Path) -> list[Charge]:
    """What the shop has charged. A line that a kill cut short was not charged."""
    lines = Path(log).read_text(encoding="utf-8").splitlines() if Path(log).exists() else []
    return [Charge(**json.loads(line)) for line in lines]


def day_of(job: int) -> datetime:
    """Jobs come on many days, so that the caps are reached again and again."""
    return START + timedelta(days=job // JOBS_A_DAY)


# The shop


def shop(listener: socket.socket, run: Run) -> None:
    """Charge for each POST, durably. One request at a time: a look-up sees all that came before."""
    known: dict[str, str] = {}
    log = Path(run.charges).open("a", encoding="utf-8")  # noqa: SIM115 - until it is killed

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:
                return  # the caller died in the middle of it
            charge = Charge(**json.loads(body))
            if run.after_death != "look_up" or charge.key not in known:
                log.write(json.dumps(asdict(charge)) + "\n")
                log.flush()
                os.fsync(log.fileno())
                known[charge.key] = f"r{len(known)}"
            self._answer(200, known[charge.key])

        def do_GET(self) -> None:
            found = known.get(self.path.removeprefix("/"))
            self._answer(404 if found is None else 200, found or "")

        def _answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            if not isinstance(sys.exception(), ConnectionError):  # callers die all the time
                traceback.print_exc()

    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    socketserver.BaseServer.serve_forever(server)


@dataclass(frozen=True)
class Customer:
    """The client side of the shop."""

    port: int

    async def pay(self, key: str, job: int) -> str:
        body = json.dumps(asdict(Charge(key, job))).encode()
        found = await anyio.to_thread.run_sync(self._ask, "POST", "/", body)
        assert found is not None
        return found

    async def find(self, key: str) -> str | None:
        return await anyio.to_thread.run_sync(self._ask, "GET", f"/{key}", None)

    def _ask(self, method: str, path: str, body: bytes | None) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read().decode()
            return text if answer.status == 200 else None
        finally:
            connection.close()


# The workers


class Shared:
    """Two counters that all workers see. They race, and need not be exact."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    @property
    def job(self) -> int:
        """How far the workers got."""
        return int.from_bytes(self._memory[:8])

    @job.setter
    def job(self, value: int) -> None:
        self._memory[:8] = value.to_bytes(8)

    @property
    def lost(self) -> int:
        """How many sent holds of dead processes were met."""
        return int.from_bytes(self._memory[8:])

    @lost.setter
    def lost(self, value: int) -> None:
        self._memory[8:] = value.to_bytes(8)


async def work_until_killed(
    run: Run, customer: Customer, shared: Shared, number: int, ready: int
) -> None:
    ledger, leases = Ledger(run.database), leases_of(run)
    owner = await leases.acquire()
    if number % 4:  # a quarter is killed while it opens the database
        await ledger.open_holds()
    os.write(ready, b".")
    await close_dead_holds(ledger, leases, run, customer, shared)
    job = max(0, shared.job - 2 * run.processes)
    while True:
        await do(ledger, owner, customer, job)
        job += 1
        shared.job = max(job, shared.job)


def leases_of(run: Run) -> Leases:
    """Those of processes of one host."""
    folder = Path(run.charges).with_name("leases")
    return Leases(folder, queue_database(folder / "queue.sqlite3"), shared=False)


async def do(ledger: Ledger, owner: str, customer: Customer, job: int) -> None:
    """One job, as the service will do it. The other workers try the same one."""
    for attempt in range(1, 1000):
        hold_id = f"{job}.{attempt}"
        try:
            hold = await ledger.reserve(
                hold_id,
                provider="shop",
                model="m",
                images=1,
                estimate=PRICE,
                caps=CAPS,
                owner=owner,
                now=day_of(job),
            )
        except OverBudget:
            return
        if hold.state == "released":
            continue  # never sent, so it may be tried again under a new key
        if hold.state == "reserved" and await ledger.submit(hold_id, owner=owner):
            await ledger.remote(hold_id, await customer.pay(hold_id, job))
            await ledger.settle(hold_id, PRICE)
        return


async def close_dead_holds(
    ledger: Ledger, leases: Leases, run: Run, customer: Customer, shared: Shared
) -> None:
    """Bring the holds of dead processes to an end."""
    for hold in await ledger.open_holds():
        if await leases.alive(hold.owner) is not False:
            continue
        try:
            if hold.state == "reserved":
                await ledger.release(hold.id, "Its process died before it was sent.")
                continue
            if run.after_death == "unknown":
                await ledger.unknown(hold.id, "Its process died after it was sent.")
            elif run.after_death == "look_up":
                await look_up(ledger, customer, hold)
            else:
                await customer.pay(hold.id, int(hold.id.partition(".")[0]))
                await ledger.settle(hold.id, PRICE)
            shared.lost += 1
        except IllegalMove:
            pass  # another worker took the hold, or closed it, in the meantime


async def look_up(ledger: Ledger, customer: Customer, hold: Hold) -> None:
    found = await customer.find(hold.id)
    if found is None:
        await ledger.release(hold.id, "The shop has no such job.", not_charged=True)
        return
    if not hold.remote_id:
        await ledger.remote(hold.id, FOUND + found)
    await ledger.settle(hold.id, PRICE)


async def all_at_once(run: Run, customer: Customer, number: int) -> list[str]:
    """Do `run.tasks` things at the same time; give back the holds that were got."""
    won: list[str] = []
    ledger, owner = Ledger(run.database), f"process-{number}"

    async def reserve(hold_id: str, caps: Caps) -> None:
        await ledger.reserve(
            hold_id,
            provider="shop",
            model="m",
            images=1,
            estimate=PRICE,
            caps=caps,
            owner=owner,
            now=START,
        )

    async def open_new(task: int) -> None:
        await ledger.holds()

    async def under_cap(task: int) -> None:
        hold_id = f"{number}-{task}"
        try:
            await reserve(hold_id, Caps(per_day=run.cap * PRICE))
        except OverBudget:
            return
        won.append(hold_id)

    async def claim(task: int) -> None:
        if await ledger.submit(str(task), owner=owner):
            won.append(str(task))

    async def post_hoc(task: int) -> None:
        if (await ledger.spending(START)).day + PRICE > run.cap * PRICE:
            return
        hold_id = f"{number}-{task}"
        await customer.pay(hold_id, task)
        await reserve(hold_id, Caps())
        await ledger.submit(hold_id)
        await ledger.settle(hold_id, PRICE)
        won.append(hold_id)

    tasks: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
        "open": open_new,
        "reserve": under_cap,
        "claim": claim,
        "post_hoc": post_hoc,
    }
    async with anyio.create_task_group() as group:
        for task in range(run.tasks):
            group.start_soon(tasks[run.kind], task)
    await ledger.aclose()
    return won


# The fork server


def fork(work: Callable[[], None]) -> int:
    """Do something in a process of its own; its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def start_worker(run: Run, customer: Customer, shared: Shared, number: int) -> int:
    """A worker that has begun to work."""
    read, write = os.pipe()
    job = partial(work_until_killed, run, customer, shared, number, write)
    pid = fork(lambda: anyio.run(job))
    os.close(write)
    began = os.read(read, 1)
    os.close(read)
    assert began, "a worker failed before it began; see stderr"
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "a worker failed by itself; see stderr"


def crash(run: Run, customer: Customer) -> Outcome:
    """Kill workers at random moments, then close what they left, once in peace."""
    rng = random.Random(run.seed)
    shared = Shared()
    workers: dict[int, float] = {}
    kills = started = 0
    while kills < run.kills or shared.lost < ENOUGH or shared.job < 4 * JOBS_A_DAY:
        assert kills < 10 * run.kills, "the kills never hit the moment between pay and settle"
        while len(workers) < run.processes:
            pid = start_worker(run, customer, shared, started)
            started += 1
            workers[pid] = time.monotonic() + rng.uniform(0.005, 0.12)
        pid = min(workers, key=lambda p: workers[p])
        time.sleep(max(0.0, workers.pop(pid) - time.monotonic()))
        kill(pid)
        kills += 1
        if run.until_double:
            paid = [charge.job for charge in charges(run.charges)]
            if len(paid) > len(set(paid)):
                break
    for pid in workers:
        kill(pid)
    ledger, leases = Ledger(run.database), leases_of(run)
    last = fork(lambda: anyio.run(close_dead_holds, ledger, leases, run, customer, shared))
    _, status = os.waitpid(last, 0)
    assert status == 0, "the last one failed; see stderr"
    return Outcome(kills=kills + len(workers))


def race(run: Run, customer: Customer) -> Outcome:
    """Let all processes go at the same moment."""
    gate, opener = os.pipe()
    readers: list[int] = []
    pids: list[int] = []
    for number in range(run.processes):
        read, write = os.pipe()

        def work(number: int = number, write: int = write) -> None:
            os.close(opener)
            os.read(gate, 1)  # until the gate's other end is closed
            won = anyio.run(all_at_once, run, customer, number)
            with os.fdopen(write, "w") as out:
                json.dump(won, out)

        pids.append(fork(work))
        os.close(write)
        readers.append(read)
    os.close(opener)
    won: list[list[str]] = []
    for read in readers:
        with os.fdopen(read) as answer:
            won.append(json.loads(answer.read() or "null"))
    os.close(gate)
    for pid in pids:
        _, status = os.waitpid(pid, 0)
        assert status == 0, "a process failed; see stderr"
    return Outcome(won=won)


def perform(run: Run) -> Outcome:
    began = time.monotonic()
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    customer = Customer(cast(int, listener.getsockname()[1]))
    open_shop = fork(lambda: shop(listener, run))
    listener.close()
    try:
        outcome = crash(run, customer) if run.kind == "crash" else race(run, customer)
    finally:
        kill(open_shop)
    facts: dict[str, Any] = asdict(outcome) | {"seconds": time.monotonic() - began}
    return Outcome(**facts)


def main() -> None:
    for name in IMPORTED_BEFORE_FORKING:
        with suppress(ModuleNotFoundError):
            import_module(name)
    for line in sys.stdin:
        try:
            outcome = perform(Run(**json.loads(line)))
        except Exception:
            outcome = Outcome(error=traceback.format_exc())
        print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
