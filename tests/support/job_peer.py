"""Servers that share a database of jobs and are killed.

They have an engine that takes one job at a time, and a vendor with its own log of charges.

`Peer` starts this file as a fork server: everything is imported once, and every server is a fork
that starts in milliseconds.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import anyio

from tests.support import job_providers
from tests.support.factory import machine
from tests.support.job_providers import LONG, SIDE, SlowComfyUI, append, lines_of
from tests.support.peer import PeerProcess
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.caps import caps_from
from ziggie_image_mcp.billing.charge import Billing, Charge, pass_by
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.types import ChargeTask, FreeCall
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ImageError
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
from ziggie_image_mcp.provider import Provider
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.picture_index import PictureIndex

BACKLOG = 40
"""Jobs that wait; then no more are accepted, or a slow machine would have no end of them."""
IMPORTED_BEFORE_FORKING = (
    "aiobotocore.session",
    "anyio._backends._asyncio",
    "dbos",
    "dbos._serialization",
    "filelock",
    "PIL.Image",
    "PIL.PngImagePlugin",
    "psutil",
    "s3fs",
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

    `launches`: one server has one long job, and others come five at a time, look around and go.
    `stalled`: a server stands still for so long that another host takes its job, and then goes on.
    `window`: a server with one job kills itself `at` a checkpoint, and another takes the job up.
    `hosts`: the same at one checkpoint after another, each server on a host of its own.
    Controls, which must lose or charge twice: `unrecovered` leaves the jobs of dead processes
    alone, and `resubmit` sends a job anew when it takes it up.
    """

    folder: str
    database: str | None = None
    kind: Literal["real", "unrecovered", "resubmit", "launches", "stalled", "window", "hosts"] = (
        "real"
    )
    host: str = ""
    """Servers of different ones cannot see whether the others live."""
    servers: int = 3
    kills: int = 0
    aimed: int = 0
    """Every so many kills, one hits the server that has the engine, while it works."""
    rounds: int = 1
    """Of `launches`."""
    seed: int = 0
    patience: float = 90.0
    """Seconds after the last kill in which all jobs must have ended."""
    provider: Literal["engine", "vendor"] = "engine"
    """Of the one job of `stalled` and `window`."""
    at: str = ""
    """The checkpoint at which a server kills itself; several, separated by commas, of `hosts`."""
    shapes: tuple[str, ...] = ("engine", "engine", "vendor")
    """The providers of the jobs of `real`, one of which is taken by chance."""
    pictures: str = ""
    """Where pictures are kept; else in the folder."""
    cap: float = 100
    """US dollars a day."""
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
    thrown_away: int = 0
    """Charged jobs that gave no picture although the vendor can tell of them, or failed."""
    hidden: int = 0
    """Jobs of unknown outcome that the ledger does not show as such, and the other way round."""
    posted: dict[str, int] = field(default_factory=dict[str, int])
    """How often ComfyUI got a job once, twice ..."""
    refused: str = ""
    """What one more job was told at the end of `hosts`."""
    moved: float = 0.0
    """Seconds until another host took up the job of one that stood still."""
    error: str = ""


class Peer(PeerProcess):
    def __init__(self) -> None:
        super().__init__("tests.support.job_peer")

    def run(self, folder: Path, *, timeout: float = 280, **run: Any) -> Outcome:
        """Do a run in this folder; it fails where a server warned of anything but a moved job."""
        outcome = Outcome(
            **json.loads(self.ask(json.dumps(asdict(Run(folder=str(folder), **run))), timeout))
        )
        assert not outcome.error, outcome.error
        warnings = (folder / "stderr").read_text(encoding="utf-8")
        unexpected = [x for x in warnings.splitlines() if "was taken up by another" not in x]
        assert not unexpected, warnings
        return outcome


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
        artifacts=store_of(run),
        providers=providers_of(run),
        probe=probe,
        checkpoint=partial(die_at, run.at) if run.at else pass_by,
        survey_seconds=0.0,
    )


def settings_of(run: Run) -> Config:
    budget = {"perImage": 1, "perDay": run.cap, "perMonth": 100}
    allowed = {"budget": budget, "allowPaidFallback": "withinBudget"}
    return Config.model_validate(allowed | {"database": run.database})


def providers_of(run: Run) -> list[Provider]:
    folder = Path(run.folder)
    return job_providers.providers(folder, run.host, run.shapes, looks_up=run.looks_up)


def store_of(run: Run) -> ArtifactStore:
    return ArtifactStore(run.pictures or Path(run.folder) / "pictures")


def die_at(checkpoint: str, name: str) -> None:
    if name == checkpoint:
        os.kill(os.getpid(), signal.SIGKILL)


def control(run: Run) -> Service:
    """The same as `build_service` builds, with one part of the protection taken out."""
    folder, config = Path(run.folder), settings_of(run)
    artifacts = store_of(run)
    registry = Registry(config, folder, extra=providers_of(run))
    surveys, hardware = SurveyCache(registry, 0.0), HardwareCache(probe)
    rows = queue_database(run.database or folder / "lines.sqlite3")
    kind = Unrecovering if run.kind == "unrecovered" else Leases
    leases = kind(lease_folder(folder, run.database), rows, shared=run.database is not None)
    running = RunningJobs()
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
        running=running,
        checkpoint=pass_by,
    )
    executor = Executor(tools, snapshots, surveys)
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
        tools=tools,
        monitor=monitor,
        picture_index=PictureIndex(folder, artifacts),
    )


async def serve(run: Run) -> None:
    """Accept a job every now and then, and run what is there, until killed."""
    service, folder = build(run), Path(run.folder)
    await service.scheduler.open()
    while True:
        if not (folder / "enough").exists() and backlog(folder) < BACKLOG:
            prompt = f"{random.getrandbits(64):x}"
            name = random.choice(run.shapes)
            request = ImageRequest(
                prompt=prompt,
                provider=name,
                model=random.choice(["one", "two"]) if name == "engine" else None,
                width=SIDE,
                height=SIDE,
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
    request = ImageRequest(prompt=prompt, provider=run.provider, width=SIDE, height=SIDE)
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
    if run.kind in ("window", "hosts"):  # it died before it could say that the job was accepted
        views = await service.scheduler.select()
        accepted = [view.id for view in views]
    else:
        accepted = lines_of(folder / "accepted")
    statuses, by_status = Counter[str](), dict[str, set[str]]()
    end = time.monotonic() + run.patience
    for job_id in accepted:
        view = await service.scheduler.wait(job_id, max(0.0, end - time.monotonic()), quiet)
        status = "missing" if view is None else view.status if view.ended else "open"
        statuses[status] += 1
        by_status.setdefault(status, set()).add(job_id)
    while (
        run.kind == "real" and await uncounted_charges(service, folder) and time.monotonic() < end
    ):
        await anyio.sleep(0.1)  # of a job whose server died before it could say that it took it
    charged = lines_of(folder / "charges")
    holds = await service.billing.ledger.holds()
    per_job = Counter(key.partition(".")[0] for key in charged)
    begun = Counter(lines_of(folder / "begun"))
    told = {h.id.partition(".")[0] for h in holds if h.state == "unknown"} & set(accepted)
    unknown = by_status.get("unknown", set())
    thrown_away = set(per_job) & (set(accepted) - by_status.get("done", set()) - unknown)
    if run.looks_up:
        polled = {h.id.partition(".")[0] for h in holds if h.provider == "vendor"}
        thrown_away |= set(per_job) & unknown & polled
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
        thrown_away=len(thrown_away),
        hidden=len(told ^ unknown),
        posted=_counts(lines_of(folder / "posted")),
        refused=await one_more(service) if run.kind == "hosts" else "",
        overlaps=len(lines_of(folder / "overlaps")),
        kills=run.kills,
        restarts=sum(n > 1 for n in begun.values()),
        pictures=pictures_in(run),
    )


def _counts(lines: Sequence[str]) -> dict[str, int]:
    return {str(times): n for times, n in Counter(Counter(lines).values()).items()}


def pictures_in(run: Run) -> int:
    """How many pictures are kept."""
    files, _, root = import_module("fsspec").get_fs_token_paths(str(store_of(run).root))
    return len([name for name in files.find(root[0]) if name.endswith(".png")])


async def one_more(service: Service) -> str:
    """What a further paid job is told; empty where it is made."""
    request = ImageRequest(prompt="one more", provider="vendor", width=SIDE, height=SIDE)
    try:
        await service.generate(request)
    except ImageError as e:
        return f"{e.code}: {e}"
    return ""


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


async def make_pictures(run: Run) -> None:
    """A ComfyUI, for as long as the run lasts."""
    await SlowComfyUI(Path(run.folder)).work()


def killed_at_random(run: Run) -> Outcome:
    chance = random.Random(run.seed)
    if "comfyui" not in run.shapes:
        return _killed_at_random(run, chance)
    engine = fork(run, make_pictures)
    try:
        while not lines_of(Path(run.folder) / "comfyui"):
            time.sleep(0.02)
        return _killed_at_random(run, chance)
    finally:
        os.kill(engine, signal.SIGKILL)
        os.waitpid(engine, 0)


def _killed_at_random(run: Run, chance: random.Random) -> Outcome:
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
    for _ in range(run.rounds):
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
    stop(first, run)
    stopped = time.monotonic()
    other = fork(there, until_all_ended)
    while len(lines_of(begun)) < 2:
        time.sleep(0.05)
    moved = time.monotonic() - stopped
    assert os.waitpid(other, 0)[1] == 0
    os.kill(first, signal.SIGCONT)
    assert os.waitpid(first, 0)[1] == 0
    return replace(anyio.run(watch, there), moved=moved)


def stop(server: int, run: Run) -> None:
    """Not while it holds the database: then nobody could write to it until the server goes on."""
    assert run.database is not None
    path = run.database.removeprefix("sqlite:///")
    while True:
        os.kill(server, signal.SIGSTOP)
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as ours:
            try:
                ours.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(server, signal.SIGCONT)
                time.sleep(0.01)
            else:
                return


def window(run: Run) -> Outcome:
    _, status = os.waitpid(fork(run, one_short_job), 0)
    assert os.WIFSIGNALED(status), f"the checkpoint {run.at!r} was not passed"
    return anyio.run(watch, replace(run, at=""))


def hosts(run: Run) -> Outcome:
    """At each checkpoint a host dies; one that sees none of them goes on with all they had."""
    for number, at in enumerate(run.at.split(",")):
        doomed = fork(replace(run, host=f"host{number}", at=at), one_short_job)
        _, status = os.waitpid(doomed, 0)
        assert os.WIFSIGNALED(status), f"the checkpoint {at!r} was not passed"
    return anyio.run(watch, replace(run, host="survivor", at=""))


def perform(run: Run) -> Outcome:
    kinds = {"launches": launches, "stalled": stalled, "window": window, "hosts": hosts}
    return kinds.get(run.kind, killed_at_random)(run)


def answer(run: Run) -> None:
    """Do one run in this process and its children, and print its outcome."""
    Path(run.folder).mkdir(parents=True, exist_ok=True)
    with (Path(run.folder) / "stderr").open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 2)
    try:
        outcome = perform(replace(run, shapes=tuple(run.shapes)))
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
