"""Servers that pay real adapters' vendors, and are killed while they do.

`Peer` starts this file as a fork server. The vendors are the test's: they outlive every server.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio

from tests.support import job_peer
from tests.support.job_peer import await_more_jobs_than, make_pictures, probe, quiet
from tests.support.job_providers import append, lines_of
from tests.support.peer import PeerProcess
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

AT_ONCE = 3
"""Calls that a server has under way."""

IMPORTED_BEFORE_FORKING = (
    *job_peer.IMPORTED_BEFORE_FORKING,
    *(f"ziggie_image_providers.{name}" for name in ("bfl", "comfyui", "runware", "xai")),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the servers are to do, and how often one of them is killed."""

    folder: str
    settings: dict[str, Any]
    """config.json, but for ComfyUI, which the run has itself."""
    keys: dict[str, str]
    pins: tuple[str, ...]
    """What calls ask for as their provider, one of which is taken by chance."""
    kills: int
    seed: int
    servers: int = 2
    patience: float = 90.0
    """Seconds after the last kill in which all jobs must have ended."""


@dataclass(frozen=True, kw_only=True)
class PaidJob:
    """What became of a job."""

    id: str
    prompt: str
    status: str
    pictures: int
    """Of those that it gave, how many lie in the store."""
    failure: str
    """Why it made none."""


@dataclass(frozen=True, kw_only=True)
class PaidHold:
    """A line of the ledger."""

    job: str
    provider: str
    state: str
    remote_id: str
    estimate: int
    actual: int | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of all jobs, and what the ledger says of them."""

    jobs: list[PaidJob] = field(default_factory=list[PaidJob])
    holds: list[PaidHold] = field(default_factory=list[PaidHold])
    error: str = ""


class Peer(PeerProcess):
    def __init__(self) -> None:
        super().__init__("tests.support.paid_peer")

    def run(self, run: Run, timeout: float) -> Outcome:
        """Do a run; it fails where a server warned of anything but a moved job."""
        answer: Mapping[str, Any] = json.loads(self.ask(json.dumps(asdict(run)), timeout))
        assert not answer["error"], answer["error"]
        warnings = (Path(run.folder) / "stderr").read_text(encoding="utf-8")
        unexpected = [x for x in warnings.splitlines() if "was taken up by another" not in x]
        assert not unexpected, warnings
        return Outcome(
            jobs=[PaidJob(**job) for job in answer["jobs"]],
            holds=[PaidHold(**hold) for hold in answer["holds"]],
        )


# The servers


def build(run: Run) -> Service:
    folder = Path(run.folder)
    (comfyui,) = lines_of(folder / "comfyui")
    providers = {**run.settings["providers"], "comfyui": {"baseUrl": comfyui}}
    return build_service(
        Config.model_validate({**run.settings, "providers": providers}),
        folder,
        role=Role.SERVER,
        artifacts=ArtifactStore(folder / "pictures"),
        probe=probe,
    )


async def serve(run: Run) -> None:
    """Make one call after another, and go on with those of the dead, until killed."""
    service = build(run)
    await service.scheduler.open()
    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(keep_calling, run, service)
        await anyio.sleep_forever()


async def keep_calling(run: Run, service: Service) -> None:
    folder = Path(run.folder)
    while not (folder / "enough").exists():
        prompt = f"{random.getrandbits(64):x}"
        view = await service.start([ImageRequest(prompt=prompt, provider=random.choice(run.pins))])
        append(folder / "accepted", view.id)
        with suppress(ImageError):
            await service.job(view.id, math.inf)


async def watch(run: Run) -> Outcome:
    """Wait until every job has ended, as one more server, and see what there is."""
    service = build(run)
    await service.scheduler.open()
    end = time.monotonic() + run.patience
    jobs: list[PaidJob] = []
    for id in [view.id for view in await service.scheduler.select()]:
        view = await service.scheduler.wait(id, max(0.0, end - time.monotonic()), quiet)
        assert view is not None
        assert view.spec is not None
        results = () if view.outcome is None else view.outcome.results
        failures = () if view.outcome is None else view.outcome.failures
        jobs.append(
            PaidJob(
                id=id,
                prompt=view.spec.requests[0].prompt,
                status=view.status if view.ended else "open",
                pictures=sum(Path(i.path).is_file() for r in results for i in r.images),
                failure=" ".join(f"{f.code}: {f.message}" for f in failures),
            )
        )
    holds = [
        PaidHold(
            job=h.id.partition(".")[0],
            provider=h.provider,
            state=h.state,
            remote_id=h.remote_id,
            estimate=h.estimate,
            actual=h.actual,
        )
        for h in await service.billing.ledger.holds()
    ]
    await service.aclose()
    return Outcome(jobs=jobs, holds=holds)


# The run


def fork(run: Run, work: Any = serve) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            random.seed()
            anyio.run(work, run)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def perform(run: Run) -> Outcome:
    chance, folder = random.Random(run.seed), Path(run.folder)
    engine = fork(run, make_pictures)
    try:
        while not lines_of(folder / "comfyui"):
            time.sleep(0.02)
        servers = [fork(run) for _ in range(run.servers)]
        for number in range(run.kills):
            await_more_jobs_than(folder, 2 * number)
            time.sleep(chance.uniform(0.05, 0.8))
            place = chance.randrange(len(servers))
            end(servers[place])
            servers[place] = fork(run)
        (folder / "enough").touch()
        for pid in servers:
            end(pid)
        return anyio.run(watch, run)
    finally:
        end(engine)


def answer(run: Run) -> None:
    """Do one run in this process and its children, and print its outcome."""
    os.environ.update(run.keys)
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
