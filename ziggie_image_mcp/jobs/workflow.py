"""Keep jobs so that they outlive their process: a thin cover of DBOS Transact, the only one.

A job is a text in and a text out, executed through recorded steps. DBOS is imported at `open`,
which takes half a second; it allows one instance per process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import anyio

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.jobs.database import JobsDatabase
from ziggie_image_mcp.jobs.errors import JobMoved
from ziggie_image_mcp.jobs.leases import Leases

if TYPE_CHECKING:
    from dbos._sys_db import WorkflowStatus


_log = logging.getLogger(__name__)

QUEUE = "pictures"
"""Batches, jobs for workers, and jobs whose process died go through this queue."""

CONCURRENCY = 8
"""Jobs of the queue that one process runs at once; each device still takes one at a time."""

POLL_SECONDS = 0.5
VERSION = "3"
"""Of what is recorded of a job: DBOS gives a process only jobs of its own version."""


class JobRunner(Protocol):
    """Executes jobs: the executor."""

    async def run(self, job_id: str, text: str) -> str:
        """Execute one job: its id and its text give its outcome.

        Raises:
            JobMoved: Another process has the job; nothing may be recorded.
        """
        ...


class Role(Enum):
    """What a process does with jobs."""

    SERVER = "runs those that it is asked for, and takes others off the queue"
    WORKER = "takes jobs off the queue"
    CLIENT = "leaves jobs to workers and takes none off the queue"
    ALONE = "runs those that it is asked for, and takes none off the queue"

    @property
    def listens(self) -> bool:
        """Whether it takes jobs off the queue."""
        return self in (Role.SERVER, Role.WORKER)

    @property
    def runs(self) -> bool:
        """Whether the jobs that it is asked for run in this process."""
        return self is not Role.CLIENT


State = Literal["queued", "running", "ended", "cancelled", "broken"]

_STATES: dict[str, State] = {
    "ENQUEUED": "queued",
    "DELAYED": "queued",
    "PENDING": "running",
    "SUCCESS": "ended",
    "CANCELLED": "cancelled",
    "ERROR": "broken",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "broken",
}


@dataclass(frozen=True, kw_only=True)
class WorkflowRecord:
    """What is known of one job."""

    id: str
    state: State
    created: datetime
    owner: str
    """The lease of the process that runs it, or ran it."""
    version: str
    delayed_until: int = 0
    """Milliseconds since 1970, UTC; 0 where it may begin at once."""
    input: str | None = None
    output: str | None = None
    error: str = ""
    """The class of the error that broke it, a bug of ours: what that says is not for callers.

    Empty where the job brought its process down again and again.
    """


ONE_AT_A_TIME = (
    "Another service of this process runs jobs: open one Application, use it for all requests, "
    "and close it before the next."
)

_open: Workflow | None = None
"""DBOS knows one in a process."""


def _hold(workflow: Workflow | None) -> None:
    global _open
    _open = workflow


class Workflow:
    """The jobs of every process that uses the same database.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        leases: This process' lease, under whose name it runs jobs.
        runner: Executes jobs.
        role: Whether this process takes jobs off the queue.
    """

    def __init__(self, database: str | Path, leases: Leases, runner: JobRunner, role: Role) -> None:
        self.database = JobsDatabase(database)
        self._leases = leases
        self._runner = runner
        self._listen = role.listens
        self._function: Any = None
        self._threads: Any = None
        """Of the event loop before DBOS gave it its own."""
        self._log: tuple[int, list[logging.Handler], bool] = (logging.NOTSET, [], True)
        """Level, handlers and whether it goes on to the root, of `dbos` before it was opened."""

    async def open(self) -> None:
        """Connect, and begin to take jobs off the queue. On the thread of the event loop.

        Raises:
            StorageError: The database cannot be used.
        """
        if _open is not None:
            raise StorageError(ONE_AT_A_TIME)
        _hold(self)
        try:
            await self._launch()
        except BaseException:
            _hold(None)
            raise
        self.database.opened()

    async def _launch(self) -> None:
        from dbos import DBOS, DBOSConfig
        from dbos._serialization import DBOSPortableJSONSerializer

        place = self.database.place
        if isinstance(place, Path) and place.exists():
            await self.database.unlocked(writes=True)  # DBOS waits on the thread of the event loop
        runner = self._runner

        async def job(text: str) -> str:
            assert DBOS.workflow_id is not None
            _current.set(self)
            try:
                outcome = await runner.run(DBOS.workflow_id, text)
            except JobMoved:
                raise asyncio.CancelledError from None  # so that DBOS records nothing
            await self.database.until_writable()  # DBOS would drop what it cannot record
            return outcome

        self._keep_log()
        self._function = DBOS.workflow(name="job")(job)
        settings: DBOSConfig = {
            "name": "ziggie-image-mcp",
            "system_database_url": _url(place),
            "application_version": VERSION,
            "executor_id": await self._leases.acquire(),
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "CRITICAL",
            # We send no DBOS messages, and nothing is read where none is awaited; but to leave is
            # to wait for the thread that looks for some.
            "notification_listener_polling_interval_sec": 0.1 if self._listen else 0.05,
        }
        with self.database.errors():
            if isinstance(place, Path):
                place.parent.mkdir(parents=True, exist_ok=True)
            # Private, and all that there is to ask: None where nothing used it yet.
            self._threads = getattr(asyncio.get_running_loop(), "_default_executor", None)
            DBOS(config=settings)
            try:
                DBOS.listen_queues([QUEUE] if self._listen else [])
                DBOS.launch()
                with anyio.CancelScope(shield=True):
                    await DBOS.register_queue_async(
                        QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLL_SECONDS
                    )
            except BaseException:  # it is open as a whole, or not at all
                DBOS.destroy()
                self.give_back()
                raise

    async def start(self, job_id: str, text: str) -> None:
        """Begin a job here and now. The same id again does nothing."""
        from dbos import DBOS, SetWorkflowID

        async with self.database.usable(writes=True):
            with SetWorkflowID(job_id):
                await DBOS.start_workflow_async(self._function, text)

    async def enqueue(self, job_id: str, text: str, *, delay: float = 0.0) -> None:
        """Leave a job to whoever takes it, not before `delay` seconds. Twice the same is once."""
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

        async with self.database.usable(writes=True):
            with SetWorkflowID(job_id):
                if delay > 0:
                    with SetEnqueueOptions(delay_seconds=delay):
                        await DBOS.enqueue_workflow_async(QUEUE, self._function, text)
                else:
                    await DBOS.enqueue_workflow_async(QUEUE, self._function, text)

    async def get(self, job_id: str) -> WorkflowRecord | None:
        """One job, with its text and its outcome."""
        from ziggie_image_mcp.storage.engine import storable

        ids = [storable(job_id)]
        records = await self._list(workflow_ids=ids, load_input=True, load_output=True)
        return records[0] if records else None

    async def select(
        self,
        prefix: str = "",
        *,
        states: Collection[State] = (),
        owner: str = "",
        version: str = "",
        before: datetime | None = None,
        limit: int | None = None,
        whole: bool = False,
    ) -> list[WorkflowRecord]:
        """Jobs, newest first; without their texts and outcomes unless `whole`."""
        from ziggie_image_mcp.storage.engine import storable

        query: dict[str, Any] = {"sort_desc": True, "load_input": whole, "load_output": whole}
        if prefix:
            query["workflow_id_prefix"] = storable(prefix)
        if states:
            query["status"] = [name for name, state in _STATES.items() if state in states]
        if owner:
            query["executor_id"] = owner
        if version:
            query["app_version"] = version
        if before is not None:
            query["end_time"] = before.astimezone(UTC).isoformat()
        if limit is not None:
            query["limit"] = limit
        return await self._list(**query)

    async def steps(self, job_id: str) -> dict[str, str]:
        """What is recorded of a job's steps, by their names."""
        from dbos import DBOS

        async with self.database.usable(writes=False):
            steps = await DBOS.list_workflow_steps_async(job_id)
        return {s["function_name"]: s["output"] for s in steps if isinstance(s["output"], str)}

    async def cancel(self, job_id: str) -> None:
        """Stop a job before its next step. One that has ended stays as it is."""
        from dbos import DBOS

        async with self.database.usable(writes=True):
            await DBOS.cancel_workflow_async(job_id)

    async def resume(self, job_ids: Sequence[str]) -> None:
        """Put jobs whose process died back onto the queue; their recorded steps stay done."""
        from dbos import DBOS

        async with self.database.usable(writes=True):
            await DBOS.resume_workflows_async(list(job_ids), queue_name=QUEUE)

    async def delete(self, job_ids: Sequence[str]) -> None:
        """Forget jobs and their outcomes."""
        from dbos import DBOS

        async with self.database.usable(writes=True):
            await DBOS.delete_workflows_async(list(job_ids))

    def close(self) -> None:
        """Leave: what runs here stays as it is recorded, for another process to take up."""
        from dbos import DBOS

        DBOS.destroy()
        _hold(None)

    def _keep_log(self) -> None:
        log = logging.getLogger("dbos")
        self._log = log.level, list(log.handlers), log.propagate
        log.handlers.clear()  # it holds the stderr of its import, which may be closed by now
        log.propagate = True
        log.setLevel(logging.CRITICAL)

    def give_back(self) -> None:
        """Let the host have its event loop's threads and the log of `dbos` as they were.

        DBOS gave the loop its own threads, which are gone with it, and the log a handler.
        """
        log = logging.getLogger("dbos")
        level, log.handlers[:], log.propagate = self._log
        log.setLevel(level)
        log.addFilter(_is_not_of_a_job)
        threads = self._threads or ThreadPoolExecutor(thread_name_prefix="asyncio")
        asyncio.get_running_loop().set_default_executor(threads)

    async def _list(self, **query: Any) -> list[WorkflowRecord]:
        from dbos import DBOS

        async with self.database.usable(writes=False):
            rows = await DBOS.list_workflows_async(**query)
        return [_job(row) for row in rows]


_current: ContextVar[Workflow] = ContextVar("workflow")
"""The one that runs the job of this task."""


def _is_not_of_a_job(_record: logging.LogRecord) -> bool:
    """Let what DBOS says of our own jobs be dropped: some end after their service is closed."""
    return _current.get(None) is None


async def step(name: str, work: Callable[[], Awaitable[str]]) -> str:
    """Do this once in a job's life: after a restart the recorded text is given instead."""
    from dbos import DBOS

    results: list[str] = []
    errors: list[Exception] = []

    async def recorded() -> str:
        try:
            results.append(await work())
        except Exception as e:
            errors.append(e)
            raise
        return results[0]

    database = _current.get().database
    await database.until_writable()
    try:
        with database.errors():
            return await DBOS.run_step_async({"name": name}, recorded)
    except StorageError as e:
        if errors:  # the work's own, which is no matter of the database
            raise errors[0] from errors[0].__cause__
        if not results:
            raise
        # It is done; who takes the job up after a crash finds it as if that had come before.
        _log.warning("The step %s could not be recorded: %s", name, e)
        return results[0]


def _job(row: WorkflowStatus) -> WorkflowRecord:
    return WorkflowRecord(
        id=row.workflow_id,
        state=_STATES[row.status],
        created=datetime.fromtimestamp((row.created_at or 0) / 1000, UTC),
        owner=row.executor_id or "",
        version=row.app_version or "",
        delayed_until=row.delay_until_epoch_ms or 0,
        input=_text(row.input),
        output=row.output,
        error="" if row.error is None else type(row.error).__name__,
    )


def _text(recorded: Any) -> str | None:
    """The text that a job was begun with; None where its record is damaged or was not read."""
    try:
        text = recorded["args"][0]
    except (TypeError, KeyError, IndexError):
        return None
    return text if isinstance(text, str) else None


def _url(place: str | Path) -> str:
    from ziggie_image_mcp.storage import engine as database_engine

    if isinstance(place, Path):
        return f"sqlite:///{place.as_posix()}"
    url = database_engine.parsed(place)
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
