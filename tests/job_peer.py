"""Servers that share a database of jobs and are killed.

They have an engine that takes one job at a time, and a vendor with its own log of charges.

python -m tests.job_peer RUN, where RUN is the JSON of a Run; the outcome is one line of JSON.
Everything is imported once, and every server is a fork that starts in milliseconds.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import anyio

from tests.house import machine
from ziggie_image_mcp.config import Config, provider_budgets
from ziggie_image_mcp.errors import EngineCrashed, NoRoute
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.ledger import Ledger, caps_from
from ziggie_image_mcp.maker import Maker
from ziggie_image_mcp.office import Office
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import Store
from ziggie_image_mcp.testing import model, picture
from ziggie_image_mcp.types import (
    GeneratedImage,
    Generation,
    Hardware,
    ImageRequest,
    Job,
    Model,
    Progress,
    Submission,
)

PRICE = 1_000
IMPORTED_BEFORE_FORKING = (
    "anyio._backends._asyncio",
    "dbos",
    "dbos._serialization",
    "filelock",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "psutil",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "ziggie_image_mcp.experience_schema",
    "ziggie_image_mcp.ledger_schema",
    "ziggie_image_mcp.lines_schema",
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the servers are to do, and how often one of them is killed.

    `launches`: one server has one long job, and 20 others come, look around and go.
    `stalled`: a server stands still for so long that another host takes its job, and then goes on.
    Controls, which must lose or charge twice: `unburied` leaves the jobs of the dead alone, and
    `resubmit` sends a job anew when it takes it up.
    """

    folder: str
    database: str | None = None
    kind: Literal["real", "unburied", "resubmit", "launches", "stalled"] = "real"
    host: str = ""
    """Servers of different ones cannot see whether the others live."""
    servers: int = 3
    kills: int = 0
    seed: int = 0
    patience: float = 90.0
    """Seconds after the last kill in which all jobs must have ended."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of the accepted jobs. `charges` counts how often a job was charged once, twice …"""

    accepted: int
    statuses: dict[str, int]
    lost: int
    charges: dict[str, int]
    uncounted: int
    """Charges that the ledger holds neither as settled nor as unknown."""
    overlaps: int
    """How often the engine was given a job while it had one."""
    kills: int
    restarts: int
    """How many jobs of the engine were begun more than once."""
    pictures: int
    moved: float = 0.0
    """Seconds until another host took up the job of one that stood still."""


class Engine:
    """Free, and one job at a time: its lock dies with the process that has it."""

    name = "engine"

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._device = f"gpu{host}"

    async def models(self) -> Sequence[Model]:
        return [model(self.name, name, device=self._device) for name in ("one", "two")]

    async def generate(self, job: Job, model: Model, progress: Progress) -> Generation:
        with (self._folder / f"{self._device}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                append(self._folder / "overlaps", job.prompt)
                raise EngineCrashed(self.name, "it was given a job while it had one") from None
            append(self._folder / "begun", job.prompt)
            await progress(0.5, "halfway")
            await anyio.sleep(8.0 if job.prompt == "long" else random.uniform(0.01, 0.1))
        images = [
            GeneratedImage(data=picture(job.width, job.height), seed=job.seed + i)
            for i in range(job.num_images)
        ]
        return Generation(images=tuple(images))

    async def aclose(self) -> None:
        pass


class Vendor:
    """Charges at `submit`, in a log of its own, and has the picture a little later."""

    name = "vendor"

    def __init__(self, folder: Path) -> None:
        self._log = folder / "charges"

    async def models(self) -> Sequence[Model]:
        return [model(self.name, "paid", local=False, price_micro_usd=PRICE)]

    async def submit(self, job: Job, model: Model, key: str) -> Submission:
        await anyio.sleep(random.uniform(0, 0.03))
        append(self._log, key)
        await anyio.sleep(random.uniform(0, 0.03))
        return Submission(remote_id=f"at-{key}")

    async def collect(
        self, remote_id: str, job: Job, model: Model, progress: Progress
    ) -> Generation:
        await progress(0.5, "being made")
        await anyio.sleep(random.uniform(0.02, 0.2))
        images = (GeneratedImage(data=picture(job.width, job.height), seed=None),)
        return Generation(images=images, cost_micro_usd=PRICE)

    async def find(self, key: str) -> str | None:
        return f"at-{key}" if key in lines_of(self._log) else None

    async def aclose(self) -> None:
        pass


class Resubmitting(Cashier):
    """The control: it forgets under which hold it sent the job before."""

    async def run(
        self,
        provider: Any,
        candidate: Any,
        progress: Any,
        hold_id: str,
        keep: Any,
        kept: Any,
        group: Any = None,
    ) -> Any:
        fresh = f"{hold_id}~{random.getrandbits(64):x}"
        return await super().run(provider, candidate, progress, fresh, keep, kept, group)


class Unburied(Office):
    """The control: nobody looks after the dead."""

    async def _reap(self) -> None:
        pass


def append(file: Path, line: str) -> None:
    """One line, whole, whoever else writes."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def lines_of(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def build(run: Run) -> Service:
    folder = Path(run.folder)

    async def probe() -> Hardware:
        return machine()

    budget = {"perImage": 1, "perDay": 100, "perMonth": 100}
    settings = Config.model_validate({"budget": budget, "allowPaidFallback": "withinBudget"})
    registry = Registry(settings, folder, extra=[Engine(folder, run.host), Vendor(folder)])
    ledger = Ledger(run.database or folder / "ledger.sqlite3")
    kind = Resubmitting if run.kind == "resubmit" else Cashier
    made = Service(
        settings,
        registry,
        Store(folder / "pictures"),
        probe,
        kind(ledger, caps_from(settings.budget, provider_budgets(settings))),
        Experience(run.database or folder / "experience.sqlite3"),
    )
    office = Unburied if run.kind == "unburied" else Office
    made.office = office(run.database, folder / run.host, made.maker.make)
    assert isinstance(made.maker, Maker)
    return made


async def serve(run: Run) -> None:
    """Accept a job every now and then, and run what is there, until killed."""
    service, folder = build(run), Path(run.folder)
    assert service.office is not None
    await service.office.open()
    while True:
        if not (folder / "enough").exists():
            prompt = f"{random.getrandbits(64):x}"
            name = random.choice(["engine", "engine", "vendor"])
            request = ImageRequest(
                prompt=prompt,
                provider=name,
                model=random.choice(["one", "two"]) if name == "engine" else None,
                width=64,
                height=64,
            )
            with suppress(NoRoute):  # the line is full
                view = await service.start([request])
                append(folder / "accepted", view.id)
        await anyio.sleep(random.uniform(0.05, 0.3))


async def one_long_job(run: Run) -> None:
    service, folder = build(run), Path(run.folder)
    request = ImageRequest(prompt="long", provider="engine", width=64, height=64)
    view = await service.start([request])
    append(folder / "accepted", view.id)
    await service.job(view.id, math.inf)
    await anyio.sleep(3)


async def look_around(run: Run) -> None:
    """Open, look for the dead at least once, and go in good order."""
    service = build(run)
    assert service.office is not None
    await service.office.open()
    await anyio.sleep(2.0)
    await service.aclose()


async def watch(run: Run) -> Outcome:
    """Wait until every accepted job has ended, as one more server; then count."""
    service, folder = build(run), Path(run.folder)
    assert service.office is not None
    await service.office.open()
    accepted, statuses = lines_of(folder / "accepted"), Counter[str]()
    end = time.monotonic() + run.patience
    for job_id in accepted:
        view = await service.office.wait(job_id, max(0.0, end - time.monotonic()), quiet)
        statuses["missing" if view is None else view.status if view.ended else "open"] += 1
    charged = lines_of(folder / "charges")
    assert service.cashier is not None
    held = {h.id for h in await service.cashier.ledger.holds(states=["settled", "unknown"])}
    per_job = Counter(key.partition(".")[0] for key in charged)
    begun = Counter(lines_of(folder / "begun"))
    return Outcome(
        accepted=len(accepted),
        statuses=dict(statuses),
        lost=statuses["missing"] + statuses["open"],
        charges={str(k): n for k, n in Counter(per_job.values()).items()},
        uncounted=len(set(charged) - held),
        overlaps=len(lines_of(folder / "overlaps")),
        kills=run.kills,
        restarts=sum(n > 1 for n in begun.values()),
        pictures=len(list((folder / "pictures").rglob("*.png"))),
    )


async def quiet(fraction: float, message: str) -> None:
    pass


def fork(run: Run, work: Callable[[Run], Awaitable[None]] = serve) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            random.seed()
            anyio.run(work, run)
            code = 0
        except BaseException as e:
            print(f"server: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return pid


def main(run: Run) -> Outcome:
    chance = random.Random(run.seed)
    Path(run.folder).mkdir(parents=True, exist_ok=True)
    for name in IMPORTED_BEFORE_FORKING:
        import_module(name)
    if run.kind == "launches":
        return launches(run)
    if run.kind == "stalled":
        return stalled(run)
    servers = [fork(run) for _ in range(run.servers)]
    time.sleep(1.0)
    for _ in range(run.kills):
        time.sleep(chance.uniform(0.05, 0.6))
        place = chance.randrange(len(servers))
        os.kill(servers[place], signal.SIGKILL)
        os.waitpid(servers[place], 0)
        servers[place] = fork(run)
    (Path(run.folder) / "enough").touch()
    time.sleep(0.5)
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return anyio.run(watch, run)


def launches(run: Run) -> Outcome:
    first = fork(run, one_long_job)
    while not lines_of(Path(run.folder) / "begun"):
        time.sleep(0.05)
    for _ in range(4):
        others = [fork(run, look_around) for _ in range(5)]
        for pid in others:
            assert os.waitpid(pid, 0)[1] == 0
    os.waitpid(first, 0)
    return anyio.run(watch, run)


def stalled(run: Run) -> Outcome:
    here, there = replace(run, host="here"), replace(run, host="there")
    begun = Path(run.folder) / "begun"
    first = fork(here, one_long_job)
    while not lines_of(begun):
        time.sleep(0.05)
    os.kill(first, signal.SIGSTOP)
    stopped = time.monotonic()
    other = fork(there, until_all_ended)
    while len(lines_of(begun)) < 2:
        time.sleep(0.05)
    moved = time.monotonic() - stopped
    assert os.waitpid(other, 0)[1] == 0
    os.kill(first, signal.SIGCONT)
    assert os.waitpid(first, 0)[1] == 0
    return replace(anyio.run(watch, there), moved=moved)


async def until_all_ended(run: Run) -> None:
    service = build(run)
    assert service.office is not None
    await service.office.open()
    (job_id,) = lines_of(Path(run.folder) / "accepted")
    view = await service.office.wait(job_id, 60.0, quiet)
    assert view is not None
    assert view.status == "done"
    await service.aclose()


if __name__ == "__main__":
    found = main(Run(**json.loads(sys.argv[1])))
    print(json.dumps(asdict(found)), flush=True)
    os._exit(0)
