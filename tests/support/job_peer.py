"""Servers that share a database of jobs and are killed.

They have an engine that takes one job at a time, and a vendor with its own log of charges.

`Peer` starts this file as a fork server: everything is imported once, and every server is a fork
that starts in milliseconds. A run goes in as one line of JSON, and its outcome comes out as one.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

import anyio

from tests.support.factory import machine
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.charge import Billing, Charge, pass_by
from ziggie_image_mcp.billing.ledger import Ledger, caps_from
from ziggie_image_mcp.billing.types import ChargeTask, FreeCall
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import EngineCrashed
from ziggie_image_mcp.inventory.hardware_probe import HardwareCache
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import SurveyCache
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs.attempt import AttemptTools
from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.jobs.executor import Executor
from ziggie_image_mcp.jobs.leases import Leases, lease_folder, queue_database
from ziggie_image_mcp.jobs.monitor import Monitor
from ziggie_image_mcp.jobs.remote_jobs import RemoteJobs
from ziggie_image_mcp.jobs.result_cache import ResultCache
from ziggie_image_mcp.jobs.running import RunningJobs
from ziggie_image_mcp.jobs.scheduler import Scheduler
from ziggie_image_mcp.jobs.snapshots import Snapshots
from ziggie_image_mcp.jobs.upgrade import Upgrade
from ziggie_image_mcp.jobs.workflow import Role, Workflow
from ziggie_image_mcp.provider import (
    Cost,
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    RemoteJob,
    Resolution,
    Submission,
)
from ziggie_image_mcp.provider import Run as ProviderRun
from ziggie_image_mcp.provider.testing import StubProvider, model, picture
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

ROOT = Path(__file__).parents[2]
PRICE = 1_000
BACKLOG = 40
"""Jobs that wait; then no more are accepted, or a slow machine would have no end of them."""
LONG = "long"
"""The prompt of a job that takes several seconds."""
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
    "ziggie_image_mcp.billing.ledger_tables",
    "ziggie_image_mcp.jobs.device_queue_tables",
    "ziggie_image_mcp.jobs.result_cache_tables",
    "ziggie_image_mcp.routing.history_tables",
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the servers are to do, and how often one of them is killed.

    `launches`: one server has one long job, and 20 others come, look around and go.
    `stalled`: a server stands still for so long that another host takes its job, and then goes on.
    `window`: a server with one job kills itself `at` a checkpoint, and another takes the job up.
    Controls, which must lose or charge twice: `unrecovered` leaves the jobs of dead processes
    alone, and `resubmit` sends a job anew when it takes it up.
    """

    folder: str
    database: str | None = None
    kind: Literal["real", "unrecovered", "resubmit", "launches", "stalled", "window"] = "real"
    host: str = ""
    """Servers of different ones cannot see whether the others live."""
    servers: int = 3
    kills: int = 0
    aimed: int = 0
    """Every so many kills, one hits the server that has the engine, while it works."""
    seed: int = 0
    patience: float = 90.0
    """Seconds after the last kill in which all jobs must have ended."""
    provider: Literal["engine", "vendor"] = "engine"
    """Of the one job of `stalled` and `window`."""
    at: str = ""
    """The checkpoint at which a server kills itself."""
    looks_up: bool = True
    """Whether the vendor can tell what became of a request."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of the accepted jobs. `charges` counts how often a job was charged once, twice …"""

    accepted: int = 0
    statuses: dict[str, int] = field(default_factory=dict[str, int])
    lost: int = 0
    charges: dict[str, int] = field(default_factory=dict[str, int])
    uncounted: int = 0
    """Charges that the ledger holds neither as settled nor as unknown."""
    holds: list[str] = field(default_factory=list[str])
    """State and amount of each hold that was not released."""
    overlaps: int = 0
    """How often the engine was given a job while it had one."""
    kills: int = 0
    restarts: int = 0
    """How many jobs of the engine were begun more than once."""
    pictures: int = 0
    moved: float = 0.0
    """Seconds until another host took up the job of one that stood still."""
    error: str = ""


class Peer:
    """The fork server, from the side of a test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.job_peer"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *, timeout: float = 500, **run: Any) -> Outcome:
        """Do a run in this folder; it fails where a server warned of anything but a moved job."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        watchdog = threading.Timer(timeout, self._process.kill)
        watchdog.start()
        try:
            print(json.dumps(asdict(Run(folder=str(folder), **run))), file=stdin, flush=True)
            line = stdout.readline()
        finally:
            watchdog.cancel()
        assert line, "the fork server died or took too long"
        outcome = Outcome(**json.loads(line))
        assert not outcome.error, outcome.error
        warnings = (folder / "stderr").read_text(encoding="utf-8")
        unexpected = [x for x in warnings.splitlines() if "was taken up by another" not in x]
        assert not unexpected, warnings
        return outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=30)  # it ends when its stdin does


# The providers


class Engine(StubProvider):
    """Free, and one job at a time: its lock dies with the process that has it."""

    name = "engine"

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._device = f"gpu{host}"

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, name, device=self._device) for name in ("one", "two")]

    async def submit(self, request: ProviderRequest, model: Model, run: ProviderRun) -> Submission:
        with (self._folder / f"{self._device}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                append(self._folder / "overlaps", request.prompt)
                raise EngineCrashed(self.name, "it was given a job while it had one") from None
            append(self._folder / "begun", request.prompt)
            append(self._folder / "at_work", str(os.getpid()))
            await run.progress(0.5, "halfway")
            await anyio.sleep(8.0 if request.prompt == LONG else random.uniform(0.01, 0.1))
        images = [
            GeneratedImage(data=picture(request.width, request.height), seed=request.seed + i)
            for i in range(request.num_images)
        ]
        return Generation(images=tuple(images))


class Vendor(StubProvider):
    """Charges at `submit`, in a log of its own, and has the picture a little later."""

    name = "vendor"

    def __init__(self, folder: Path, *, looks_up: bool) -> None:
        self._folder = folder
        self._log = folder / "charges"
        self._looks_up = looks_up

    async def list_models(self) -> Sequence[Model]:
        return [model(self.name, "paid", where="vendor", price=PRICE)]

    async def submit(self, request: ProviderRequest, model: Model, run: ProviderRun) -> Submission:
        await anyio.sleep(random.uniform(0, 0.03))
        append(self._log, run.key)
        await anyio.sleep(random.uniform(0, 0.03))
        return RemoteJob(id=f"at-{run.key}")

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: ProviderRun
    ) -> Generation:
        await run.progress(0.5, "being made")
        append(self._folder / "begun", request.prompt)
        for _ in range(80 if request.prompt == LONG else 1):  # standing still makes it longer
            await anyio.sleep(random.uniform(0.02, 0.2))
        images = (GeneratedImage(data=picture(request.width, request.height), seed=None),)
        return Generation(images=images, cost=Cost(micro_usd=PRICE, basis="exact"))

    async def resolve(self, key: str, remote_id: str) -> Resolution:
        if not self._looks_up:
            return Resolution(state="unknowable", reason="this vendor cannot look a request up")
        if key not in lines_of(self._log):
            return Resolution(state="not_sent")
        return Resolution(state="running", remote_id=f"at-{key}")


def append(file: Path, line: str) -> None:
    """One line, whole, whoever else writes."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split() if file.exists() else []


# The servers


class Resubmitting(Billing):
    """The control: it forgets under which hold it sent the job before."""

    @asynccontextmanager
    async def charge(self, task: ChargeTask | FreeCall) -> AsyncGenerator[Charge]:
        if isinstance(task, ChargeTask):
            task = replace(task, id=f"{task.id}~{random.getrandbits(64):x}")
        async with super().charge(task) as charge:
            yield charge


class Unrecovering(Leases):
    """The control: to it nobody is ever dead."""

    async def dead(self) -> list[str]:
        return []


async def probe() -> Hardware:
    return machine()


def build(run: Run) -> Service:
    """The graph of production, or that of a control."""
    if run.kind in ("unrecovered", "resubmit"):
        return control(run)
    folder = Path(run.folder)
    return build_service(
        settings_of(run),
        folder / run.host,
        role=Role.SERVER,
        artifacts=ArtifactStore(folder / "pictures"),
        providers=providers_of(run),
        probe=probe,
        checkpoint=partial(die_at, run.at) if run.at else pass_by,
        survey_seconds=0.0,
    )


def settings_of(run: Run) -> Config:
    budget = {"perImage": 1, "perDay": 100, "perMonth": 100}
    allowed = {"budget": budget, "allowPaidFallback": "withinBudget"}
    return Config.model_validate(allowed | {"database": run.database})


def providers_of(run: Run) -> tuple[Engine, Vendor]:
    folder = Path(run.folder)
    return Engine(folder, run.host), Vendor(folder, looks_up=run.looks_up)


def die_at(checkpoint: str, name: str) -> None:
    if name == checkpoint:
        os.kill(os.getpid(), signal.SIGKILL)


def control(run: Run) -> Service:
    """The same as `build_service` builds, with one part of the protection taken out."""
    folder, config = Path(run.folder), settings_of(run)
    artifacts = ArtifactStore(folder / "pictures")
    registry = Registry(config, folder, extra=providers_of(run))
    surveys, hardware = SurveyCache(registry, 0.0), HardwareCache(probe)
    rows = queue_database(run.database or folder / "lines.sqlite3")
    kind = Unrecovering if run.kind == "unrecovered" else Leases
    leases = kind(lease_folder(folder, run.database), rows, shared=run.database is not None)
    running: RunningJobs = {}
    queue = DeviceQueue(rows, leases, running)
    remote_jobs = RemoteJobs(rows, registry)
    ledger = Ledger(run.database or folder / "ledger.sqlite3")
    charging = Resubmitting if run.kind == "resubmit" else Billing
    billing = charging(ledger, caps_from(config.budget), leases)
    learnt = run.database or folder / "experience.sqlite3"
    history = History(learnt)
    cache = ResultCache(learnt, artifacts, config.output.format)
    snapshots = Snapshots(config, registry, surveys, hardware, billing, history, queue)
    tools = AttemptTools(
        config=config,
        registry=registry,
        artifacts=artifacts,
        billing=billing,
        history=history,
        cache=cache,
        queue=queue,
        remote_jobs=remote_jobs,
        checkpoint=pass_by,
    )
    executor = Executor(tools, snapshots, surveys, running)
    database = run.database or folder / "jobs.sqlite3"
    workflow = Workflow(database, leases, executor, Role.SERVER)
    upgrade = Upgrade(workflow, leases, rows)
    monitor = Monitor(workflow, queue, leases, running, upgrade, remote_jobs, timedelta(days=30))
    return Service(
        config=config,
        registry=registry,
        surveys=surveys,
        hardware=hardware,
        artifacts=artifacts,
        billing=billing,
        history=history,
        cache=cache,
        snapshots=snapshots,
        scheduler=Scheduler(workflow, queue, leases, running, monitor, remote_jobs, Role.SERVER),
    )


async def serve(run: Run) -> None:
    """Accept a job every now and then, and run what is there, until killed."""
    service, folder = build(run), Path(run.folder)
    await service.scheduler.open()
    while True:
        if not (folder / "enough").exists() and backlog(folder) < BACKLOG:
            prompt = f"{random.getrandbits(64):x}"
            name = random.choice(["engine", "engine", "vendor"])
            request = ImageRequest(
                prompt=prompt,
                provider=name,
                model=random.choice(["one", "two"]) if name == "engine" else None,
                width=64,
                height=64,
            )
            with suppress(NoRoute):  # the queue is full
                view = await service.start([request])
                append(folder / "accepted", view.id)
        await anyio.sleep(random.uniform(0.05, 0.3))


def backlog(folder: Path) -> int:
    """How many accepted jobs were not begun."""
    begun = set(lines_of(folder / "begun"))
    return len(lines_of(folder / "accepted")) - len(begun) - len(lines_of(folder / "charges"))


async def one_job(run: Run, prompt: str) -> None:
    service, folder = build(run), Path(run.folder)
    request = ImageRequest(prompt=prompt, provider=run.provider, width=64, height=64)
    view = await service.start([request])
    append(folder / "accepted", view.id)
    await service.job(view.id, math.inf)


async def one_long_job(run: Run) -> None:
    await one_job(run, LONG)
    await anyio.sleep(3)


async def one_short_job(run: Run) -> None:
    await one_job(run, "short")


async def look_around(run: Run) -> None:
    """Open, look for dead processes at least once, and go in good order."""
    service = build(run)
    await service.scheduler.open()
    await anyio.sleep(2.0)
    await service.aclose()


async def until_all_ended(run: Run) -> None:
    service = build(run)
    await service.scheduler.open()
    (job_id,) = lines_of(Path(run.folder) / "accepted")
    view = await service.scheduler.wait(job_id, 60.0, quiet)
    assert view is not None
    assert view.status == "done"
    await service.aclose()


async def watch(run: Run) -> Outcome:
    """Wait until every accepted job has ended, as one more server; then count."""
    service, folder = build(run), Path(run.folder)
    await service.scheduler.open()
    if run.kind == "window":  # it died before it could say that the job was accepted
        views = await service.scheduler.select()
        accepted = [view.id for view in views]
    else:
        accepted = lines_of(folder / "accepted")
    statuses = Counter[str]()
    end = time.monotonic() + run.patience
    for job_id in accepted:
        view = await service.scheduler.wait(job_id, max(0.0, end - time.monotonic()), quiet)
        statuses["missing" if view is None else view.status if view.ended else "open"] += 1
    while (
        run.kind == "real" and await uncounted_charges(service, folder) and time.monotonic() < end
    ):
        await anyio.sleep(0.1)  # of a job whose server died before it could say that it took it
    charged = lines_of(folder / "charges")
    holds = await service.billing.ledger.holds()
    per_job = Counter(key.partition(".")[0] for key in charged)
    begun = Counter(lines_of(folder / "begun"))
    return Outcome(
        accepted=len(accepted),
        statuses=dict(statuses),
        lost=statuses["missing"] + statuses["open"],
        charges={str(k): n for k, n in Counter(per_job.values()).items()},
        uncounted=len(await uncounted_charges(service, folder)),
        holds=[
            f"{h.state} {h.estimate if h.actual is None else h.actual}"
            for h in holds
            if h.state != "released"
        ],
        overlaps=len(lines_of(folder / "overlaps")),
        kills=run.kills,
        restarts=sum(n > 1 for n in begun.values()),
        pictures=len(list((folder / "pictures").rglob("*.png"))),
    )


async def uncounted_charges(service: Service, folder: Path) -> set[str]:
    """Charges that the ledger holds neither as settled nor as unknown."""
    holds = await service.billing.ledger.holds(states=["settled", "unknown"])
    return set(lines_of(folder / "charges")) - {h.id for h in holds}


async def quiet(fraction: float, message: str) -> None:
    pass


# The runs


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


def killed_at_random(run: Run) -> Outcome:
    chance = random.Random(run.seed)
    servers = [fork(run) for _ in range(run.servers)]
    time.sleep(1.0)
    for number in range(run.kills):
        time.sleep(chance.uniform(0.05, 0.6))
        await_more_jobs_than(Path(run.folder), number)
        place = chance.randrange(len(servers))
        if run.aimed and number % run.aimed == run.aimed - 1:
            place = servers.index(at_work(run, servers))
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


def await_more_jobs_than(folder: Path, kills: int) -> None:
    """On a slow machine servers would be killed before they do anything."""
    for _ in range(10_000):
        if len(lines_of(folder / "accepted")) > kills + 1:
            return
        time.sleep(0.002)
    raise AssertionError("no server accepts jobs")


def at_work(run: Run, servers: Sequence[int]) -> int:
    """The server whose engine has just begun a job."""
    before = lines_of(Path(run.folder) / "at_work")
    for _ in range(10_000):
        now = lines_of(Path(run.folder) / "at_work")
        if len(now) > len(before) and int(now[-1]) in servers:
            return int(now[-1])
        time.sleep(0.002)
    raise AssertionError("nobody gave the engine a job")


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


def window(run: Run) -> Outcome:
    _, status = os.waitpid(fork(run, one_short_job), 0)
    assert os.WIFSIGNALED(status), f"the checkpoint {run.at!r} was not passed"
    return anyio.run(watch, replace(run, at=""))


def perform(run: Run) -> Outcome:
    kinds = {"launches": launches, "stalled": stalled, "window": window}
    return kinds.get(run.kind, killed_at_random)(run)


def answer(run: Run) -> None:
    """Do one run in this process and its children, and print its outcome."""
    Path(run.folder).mkdir(parents=True, exist_ok=True)
    with (Path(run.folder) / "stderr").open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)
    try:
        outcome = perform(run)
    except BaseException:
        outcome = Outcome(error=traceback.format_exc())
    print(json.dumps(asdict(outcome)), flush=True)


def main() -> None:
    for name in IMPORTED_BEFORE_FORKING:
        with suppress(ModuleNotFoundError):
            import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            answer(Run(**json.loads(line)))
            os._exit(0)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
