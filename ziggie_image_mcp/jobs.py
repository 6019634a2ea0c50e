"""Keep jobs so that they outlive their process: a thin cover of DBOS Transact.

A job is a text in and a text out, made by one function through recorded steps. DBOS is imported at
`open`, which takes half a second; it allows one instance per process.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dbos._sys_db import WorkflowStatus

QUEUE = "pictures"
"""Batches, jobs for workers, and jobs whose process died go through this queue."""

CONCURRENCY = 8
"""Jobs of the queue that one process has in hand at once; each device still takes one at a time."""

POLL_SECONDS = 0.5
RECOVERIES = 20
"""How often a job may be taken up again. One that brings down every process must end."""

Run = Callable[[str, str], Awaitable[str]]
"""Makes one job: its id and its text give its outcome."""

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

_run: Run | None = None
_registered: list[Callable[..., Any]] = []


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is known of one job."""

    id: str
    state: State
    created: datetime
    executor: str
    input: str | None = None
    output: str | None = None
    error: str = ""
    """Why it is broken: a bug of ours, or it brought its process down again and again."""


class Jobs:
    """The jobs of every process that uses the same database.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        executor: This process, as no other ever was called.
        run: Makes a job.
        listen: Whether this process takes jobs off the queue.
    """

    def __init__(
        self, database: str | Path, executor: str, run: Run, *, listen: bool = True
    ) -> None:
        self._database = database
        self._executor = executor
        self._run = run
        self._listen = listen

    async def open(self) -> None:
        """Connect, and begin to take jobs off the queue. On the thread of the event loop."""
        global _run
        from dbos import DBOS, DBOSConfig
        from dbos._serialization import DBOSPortableJSONSerializer

        if not _registered:
            register = DBOS.workflow(name="order", max_recovery_attempts=RECOVERIES)
            _registered.append(register(_order))
        _run = self._run
        settings: DBOSConfig = {
            "name": "ziggie-image-mcp",
            "system_database_url": _url(self._database),
            "application_version": "1",
            "executor_id": self._executor,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "CRITICAL",
            # We send no DBOS messages; to leave is to wait for the thread that looks for some.
            "notification_listener_polling_interval_sec": 1.0 if self._listen else 0.05,
        }
        own_log = logging.getLogger("dbos")
        own_log.handlers.clear()  # it holds the stderr of its import, which may be closed by now
        own_log.propagate = True
        DBOS(config=settings)
        DBOS.listen_queues([QUEUE] if self._listen else [])
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLL_SECONDS
        )

    async def start(self, job_id: str, text: str) -> None:
        """Begin a job here and now. The same id again does nothing."""
        from dbos import DBOS, SetWorkflowID

        with SetWorkflowID(job_id):
            await DBOS.start_workflow_async(_registered[0], text)

    async def enqueue(self, job_id: str, text: str, *, delay: float = 0.0) -> None:
        """Leave a job to whoever takes it, not before `delay` seconds. Twice the same is once."""
        from dbos import DBOS, SetEnqueueOptions, SetWorkflowID

        with SetWorkflowID(job_id):
            if delay > 0:
                with SetEnqueueOptions(delay_seconds=delay):
                    await DBOS.enqueue_workflow_async(QUEUE, _registered[0], text)
            else:
                await DBOS.enqueue_workflow_async(QUEUE, _registered[0], text)

    async def get(self, job_id: str) -> Job | None:
        """One job, with its text and its outcome."""
        found = await self._list(workflow_ids=[job_id], load_input=True, load_output=True)
        return found[0] if found else None

    async def select(
        self,
        prefix: str = "",
        *,
        states: Collection[State] = (),
        executor: str = "",
        before: datetime | None = None,
        limit: int | None = None,
        whole: bool = False,
    ) -> list[Job]:
        """Jobs, newest first; without their texts and outcomes unless `whole`."""
        wanted: dict[str, Any] = {"sort_desc": True, "load_input": whole, "load_output": whole}
        if prefix:
            wanted["workflow_id_prefix"] = prefix
        if states:
            wanted["status"] = [name for name, state in _STATES.items() if state in states]
        if executor:
            wanted["executor_id"] = executor
        if before is not None:
            wanted["end_time"] = before.astimezone(UTC).isoformat()
        if limit is not None:
            wanted["limit"] = limit
        return await self._list(**wanted)

    async def cancel(self, job_id: str) -> None:
        """Stop a job before its next step. One that has ended stays as it is."""
        from dbos import DBOS

        await DBOS.cancel_workflow_async(job_id)

    async def resume(self, job_id: str) -> None:
        """Put a job whose process died back onto the queue; its recorded steps stay done."""
        from dbos import DBOS

        await DBOS.resume_workflow_async(job_id, queue_name=QUEUE)

    async def delete(self, job_ids: Sequence[str]) -> None:
        """Forget jobs and their outcomes."""
        from dbos import DBOS

        await DBOS.delete_workflows_async(list(job_ids))

    def close(self) -> None:
        """Leave: what runs here stays as it is recorded, for another process to take up."""
        from dbos import DBOS

        DBOS.destroy()

    async def _list(self, **wanted: Any) -> list[Job]:
        from dbos import DBOS

        return [_job(row) for row in await DBOS.list_workflows_async(**wanted)]


async def step(name: str, work: Callable[[], Awaitable[str]]) -> str:
    """Do this once in a job's life: after a restart the recorded text is given instead."""
    from dbos import DBOS

    async def recorded() -> str:
        return await work()

    return await DBOS.run_step_async({"name": name}, recorded)


async def _order(text: str) -> str:
    from dbos import DBOS

    assert _run is not None
    assert DBOS.workflow_id is not None
    return await _run(DBOS.workflow_id, text)


def _job(row: WorkflowStatus) -> Job:
    given: Any = row.input
    return Job(
        id=row.workflow_id,
        state=_STATES[row.status],
        created=datetime.fromtimestamp((row.created_at or 0) / 1000, UTC),
        executor=row.executor_id or "",
        input=given["args"][0] if given else None,
        output=row.output,
        error="" if row.error is None else f"{type(row.error).__name__}: {row.error}",
    )


def _url(database: str | Path) -> str:
    """Where DBOS keeps its tables: in a Postgres, or in an SQLite file beside the named one.

    DBOS opens SQLite in its own way, so it does not share a file with the other tables.
    """
    from ziggie_image_mcp import database_engine

    url = database_engine.parsed(database)
    if url.drivername != "sqlite":
        return url.set(drivername="postgresql").render_as_string(hide_password=False)
    file = Path(str(url.database)).absolute()
    if isinstance(database, str):
        file = file.with_name(f"{file.stem}-jobs{file.suffix}")
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{file.as_posix()}"
