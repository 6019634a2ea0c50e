"""Build the application: the only place that knows every part."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread

from ziggie_image_mcp.app import leaving
from ziggie_image_mcp.app.leaving import Ending
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing.caps import caps_from
from ziggie_image_mcp.billing.charge import Billing, Checkpoint, pass_by
from ziggie_image_mcp.billing.ledger import Ledger
from ziggie_image_mcp.billing.ledger import default_file as ledger_file
from ziggie_image_mcp.config import config, loader
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.source import ConfigSource
from ziggie_image_mcp.errors import ConfigError, ImageError
from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.hardware_probe import HardwareCache
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import FRESH_SECONDS, SurveyCache
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs.attempt import AttemptTools, as_before
from ziggie_image_mcp.jobs.database import place_of
from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.jobs.executor import Executor
from ziggie_image_mcp.jobs.leases import Leases, all_orphans, lease_folder, queue_database
from ziggie_image_mcp.jobs.monitor import Monitor
from ziggie_image_mcp.jobs.remote_jobs import RemoteJobs
from ziggie_image_mcp.jobs.result_cache import ResultCache
from ziggie_image_mcp.jobs.running import RunningJobs
from ziggie_image_mcp.jobs.scheduler import Scheduler, silent
from ziggie_image_mcp.jobs.snapshots import Snapshots
from ziggie_image_mcp.jobs.upgrade import Upgrade
from ziggie_image_mcp.jobs.workflow import Role, Workflow
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.routing.constraints import falls_back
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.history import default_file as history_file
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.picture_index import PictureIndex

WATCH_AFTER_SECONDS = 3.0
WATCH_SECONDS = 4.0
"""How often an idle server looks whether another one died."""
LEAVE_SECONDS = 3.0

Probe = Callable[[], Awaitable[Hardware]]


def build_service(
    settings: Config,
    data_dir: Path,
    *,
    role: Role = Role.SERVER,
    artifacts: ArtifactStore | None = None,
    providers: Iterable[Provider] = (),
    probe: Probe | None = None,
    checkpoint: Checkpoint = pass_by,
    survey_seconds: float = FRESH_SECONDS,
    refresh: Callable[[], Awaitable[None]] = as_before,
) -> Service:
    """Build the whole graph. Nothing is opened or assigned afterwards.

    Args:
        settings: The user's.
        data_dir: Where state is kept when the settings name no database.
        role: What this process does with jobs.
        artifacts: Where pictures are kept; by default where the settings say.
        providers: Already built ones, instead of those that the settings name.
        probe: Looks at the hardware; by default at this machine's.
        checkpoint: Told where a crash would matter.
        survey_seconds: How long one survey of the providers serves.
        refresh: Takes over settings that were edited in the meantime.

    Raises:
        ConfigError: A provider's budget, privacy or concurrency makes no sense.
    """
    database = settings.database
    if artifacts is None:
        artifacts = ArtifactStore(
            config.output_dir(settings),
            format=settings.output.format,
            metadata=settings.output.metadata,
        )
    disk = artifacts.root if isinstance(artifacts.root, Path) else Path.cwd()
    registry = Registry(settings, data_dir, extra=providers)
    surveys = SurveyCache(registry, survey_seconds)
    hardware = HardwareCache(probe or partial(hardware_probe.probe, disk))
    rows = queue_database(database or data_dir / "lines.sqlite3")
    leases = Leases(lease_folder(data_dir, database), rows, shared=database is not None)
    running = RunningJobs()
    concurrency = loader.provider_concurrency(settings)
    queue = DeviceQueue(rows, leases, running, concurrency=concurrency)
    remote_jobs = RemoteJobs(rows, registry)
    ledger = Ledger(
        database or data_dir / ledger_file().name, witness_folder=loader.default_path().parent
    )
    caps = caps_from(settings.budget, loader.provider_budgets(settings))
    billing = Billing(ledger, caps, leases, checkpoint)
    history = History(database or data_dir / history_file().name)
    cache = ResultCache(
        database or data_dir / history_file().name,
        artifacts,
        settings.output.format,
        enabled=settings.cache,
    )
    snapshots = Snapshots(settings, registry, surveys, hardware, billing, history, queue)
    tools = AttemptTools(
        config=settings,
        registry=registry,
        artifacts=artifacts,
        billing=billing,
        history=history,
        cache=cache,
        queue=queue,
        remote_jobs=remote_jobs,
        running=running,
        checkpoint=checkpoint,
        refresh=refresh,
    )
    executor = Executor(tools, snapshots, surveys)
    workflow = Workflow(database or data_dir / "jobs.sqlite3", leases, executor, role)
    upgrade = Upgrade(workflow, leases, rows)
    keep = timedelta(days=settings.keep_jobs)
    monitor = Monitor(workflow, queue, leases, running, upgrade, remote_jobs, keep)
    scheduler = Scheduler(workflow, queue, leases, running, monitor, remote_jobs, role)
    return Service(
        config=settings,
        registry=registry,
        surveys=surveys,
        hardware=hardware,
        artifacts=artifacts,
        billing=billing,
        history=history,
        cache=cache,
        snapshots=snapshots,
        scheduler=scheduler,
        tools=tools,
        monitor=monitor,
        picture_index=PictureIndex(data_dir, artifacts),
        databases={
            "ledger": database or data_dir / ledger_file().name,
            "device queue": database or data_dir / "lines.sqlite3",
            "record of speeds": database or data_dir / history_file().name,
            "jobs' database": place_of(database or data_dir / "jobs.sqlite3"),
        },
    )


class Application:
    """The service, built at the first use, so that a server starts fast and starts always.

    A wrong config is reported by every call until it is put right; then the next call works.

    Args:
        config_file: Instead of the default one.
        worker: Whether this process is a worker.
        listen: Whether it takes jobs off the queue.
    """

    def __init__(
        self, config_file: Path | None = None, *, worker: bool = False, listen: bool = True
    ) -> None:
        self._file = config_file
        self._source = ConfigSource(config_file)
        self._worker = worker
        self._listen = listen
        self._service: Service | None = None
        self._later = ""
        self._lock = anyio.Lock()

    async def service(self) -> Service:
        """The one service of this process.

        Raises:
            ConfigError: The config, or one provider's section of it, makes no sense.
        """
        async with self._lock:
            if self._service is None:
                service = await anyio.to_thread.run_sync(self._build)
                await service.registry.open()
                self._service = service
            else:
                await self._take_over(self._service)
        return self._service

    async def reaches_out(self) -> bool:
        """Whether the settings let a prompt leave the user's machines; wrong ones count as yes."""
        try:
            settings = await anyio.to_thread.run_sync(loader.load, self._file)
        except ConfigError:
            return True
        local = settings.provider == "local" and not falls_back(settings)
        return settings.privacy != "local_only" and not local

    async def _refresh(self) -> None:
        """Take over what was edited, while jobs run."""
        async with self._lock:
            if self._service is not None:
                await self._take_over(self._service)

    async def _take_over(self, service: Service) -> None:
        """Put config.json in force where it is another; where it is wrong, all stays as it was."""
        config = await anyio.to_thread.run_sync(self._source.changed)
        if config is not None:
            try:
                later = await service.reconfigure(config)
            except ConfigError as e:
                self._source.refuse(e)
            else:
                keys = " and ".join(f"`{key}`" for key in later)
                self._later = (
                    f"{keys} in config.json takes effect at the next start." if keys else ""
                )
        service.config_trouble = self._source.trouble or self._later

    def _build(self) -> Service:
        settings = self._source.load()
        role = Role.SERVER
        if self._worker:
            role = Role.WORKER
        elif settings.workers:
            role = Role.CLIENT
        elif not self._listen:
            role = Role.ALONE
        return build_service(settings, config.data_dir(), role=role, refresh=self._refresh)

    async def watch(self) -> None:
        """Take up the jobs that dead processes of this machine left.

        It looks at the names of files only, as long as there is none.
        """
        await anyio.sleep(WATCH_AFTER_SECONDS)
        while True:
            with suppress(ImageError):  # a wrong config is told by every call
                if any(await anyio.to_thread.run_sync(all_orphans, config.data_dir())):
                    scheduler = (await self.service()).scheduler
                    if await scheduler.orphaned():
                        await scheduler.open()
            await anyio.sleep(WATCH_SECONDS)

    def begin_to_leave(self) -> None:
        """From here on nothing is sent that costs money, and what is paid for is not given up."""
        if self._service is not None:
            self._service.scheduler.leave()

    async def leave(
        self,
        ending: Ending,
        code: int = 0,
        answered: Callable[[], Awaitable[None]] = as_before,
    ) -> None:
        """Finish what is paid for, then end the process where it still runs jobs, as a crash would.

        What they are doing is recorded, and the next process takes them up; to unwind them would
        be to cancel them. The process also ends where a signal came: whatever it waits for then,
        as a line on stdin, may never come. `answered` waits until the clients have their answers.
        """
        service = self._service
        if service is not None:
            left = await leaving.finish_paid(service.scheduler, ending, answered)
            if service.scheduler.busy:
                service.scheduler.freeze()
                paying = {job.charge.provider for job in left if job.charge is not None}
                with anyio.move_on_after(LEAVE_SECONDS):
                    await service.registry.aclose(keep=paying)  # the children that hold GPUs
                if left:
                    leaving.hand_over(left, self._file)
                _end(code)
        if ending.signal:
            with anyio.move_on_after(LEAVE_SECONDS):
                await self.aclose()
            _end(code)

    def end(self) -> None:
        """End the process after the service is closed, where threads would hold it up."""
        if self._service is not None and self._service.scheduler.stuck:
            _end(0)

    async def aclose(self) -> None:
        """Close the service, if it was built."""
        if self._service is not None:
            await self._service.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()


async def run_worker(config_file: Path | None = None) -> None:
    """Take jobs off the queue until the process is told to end.

    Raises:
        ConfigError: The config makes no sense.
        StorageError: The jobs' database cannot be used.
    """
    async with Application(config_file, worker=True) as application:
        await (await application.service()).scheduler.open()
        with leaving.signals() as ending:
            await ending.wait()
            await application.leave(ending)


async def finish(job_ids: Sequence[str], config_file: Path | None = None) -> None:
    """Wait for jobs of a process that ended, taking them up where nobody else does.

    Raises:
        ConfigError: The config makes no sense.
        StorageError: The jobs' database cannot be used.
    """
    async with Application(config_file) as application:
        service = await application.service()
        with leaving.signals() as ending:
            async with anyio.create_task_group() as group:
                for job_id in job_ids:
                    group.start_soon(service.scheduler.wait, job_id, math.inf, silent)
            await application.leave(ending)


def _end(code: int) -> None:
    with suppress(OSError, ValueError):  # its reader may be gone
        sys.stdout.flush()
    os._exit(code)
