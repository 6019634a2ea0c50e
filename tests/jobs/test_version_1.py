"""What version 1 left on users' disks is opened: nothing is lost, and nothing is paid twice."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from tests.support import postgres, version_1
from tests.support.factory import machine
from tests.support.version_1 import Engine, OldWorker, Vendor, facts, log_lines, until
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.batch import Batch
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs import batch_file
from ziggie_image_mcp.jobs import version_1 as old
from ziggie_image_mcp.jobs.leases import host
from ziggie_image_mcp.jobs.monitor import HEARTBEAT_SECONDS
from ziggie_image_mcp.jobs.records import BATCH, JobSpec
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import ProviderRequest
from ziggie_image_mcp.provider.testing import model
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

FAR = "job-e3b0c442-000000000000000000000000000000b2"
"""Is due in 2099."""


async def probe() -> Hardware:
    return machine()


@asynccontextmanager
async def opened(
    data: Path, database: str | None = None, role: Role = Role.SERVER
) -> AsyncGenerator[Service]:
    settings = Config.model_validate(facts()["settings"] | {"database": database})
    service = build_service(
        settings,
        data,
        role=role,
        artifacts=ArtifactStore(data / "pictures"),
        providers=[Engine(data), Vendor(data)],
        probe=probe,
    )
    try:
        yield service
    finally:
        await service.aclose()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The SQLite data of version 1, as if it had been written here a moment ago."""
    folder = tmp_path / "data"
    version_1.thaw().sqlite(
        folder, hostname=socket.gethostname(), slots_host=host, later=version_1.age("sqlite")
    )
    return folder


async def finish(service: Service, kind: str) -> None:
    """Open the jobs, and wait until all that can end has ended."""
    await service.scheduler.open()

    async def done() -> bool:
        views = await service.scheduler.select()
        return all(v.ended for v in views if v.id != FAR) and len(views) == len(
            facts()[kind]["jobs"]
        )

    await until(done)


async def assert_nothing_is_lost(service: Service, kind: str, folder: Path) -> None:
    charged = Counter(line["key"].rsplit(".", 2)[0] for line in log_lines(folder / "vendor.jsonl"))
    for job_id, job in facts()[kind]["jobs"].items():
        view = await service.scheduler.get(job_id)
        assert view is not None, job_id
        outcomes = [job["expect"], *([job["expect"]["or"]] if "or" in job["expect"] else [])]
        assert (view.status, charged[job_id]) in [
            (o["status"], o.get("charges", 0)) for o in outcomes
        ], job_id
        if view.status == "done":
            assert view.outcome is not None
            made = [[i.id for i in r.images] for r in view.outcome.results]
            assert made == job["image_ids"], job_id
            for image_ids in made:
                for image_id in image_ids:
                    service.artifacts.find(image_id)


async def assert_the_ledger_agrees(service: Service, kind: str) -> None:
    """Every hold of version 1 is there; what was over is unchanged to the micro-dollar."""
    holds = {hold.id: hold for hold in await service.billing.ledger.holds()}
    for row in facts()[kind]["ledger"]["holds"]:
        hold = holds[row["id"]]
        assert hold.estimate == row["estimate"]
        if row["state"] in ("settled", "released"):
            assert (hold.state, hold.actual) == (row["state"], row["actual"])
        elif row["provider"] in ("openai", "replicate"):  # unknown, and nobody here to ask
            assert hold.state == "unknown"
    open_holds = {hold.id for hold in await service.billing.ledger.open_holds()}
    assert not {h for h in open_holds if not h.startswith("ask-")}


async def test_every_state_of_version_1_on_sqlite_is_taken_up(data: Path) -> None:
    async with opened(data) as service:
        await finish(service, "sqlite")

        await assert_nothing_is_lost(service, "sqlite", data)
        await assert_the_ledger_agrees(service, "sqlite")


async def test_jobs_are_taken_up_where_the_host_has_another_name_by_now(tmp_path: Path) -> None:
    folder, known = tmp_path / "data", facts()

    def old_host(_: Path) -> str:
        name: str = known["sqlite"]["slots_host"]
        return name

    version_1.thaw().sqlite(
        folder,
        hostname=known["placeholders"]["hostname"],
        slots_host=old_host,
        later=version_1.age("sqlite"),
    )

    async with opened(folder) as service:
        await finish(service, "sqlite")
        statuses = {view.id: view.status for view in await service.scheduler.select()}

    for job_id, job in known["sqlite"]["jobs"].items():
        if not job["holds"]:  # those of a dead owner elsewhere stay as they are
            assert statuses[job_id] == job["expect"]["status"], job_id


QUEUED = "job-e3b0c442-000000000000000000000000000000b1"
RUNNING = "job-e3b0c442-000000000000000000000000000000c2"
DAMAGES = {
    "no JSON": "UPDATE workflow_input SET inputs = 'nothing' WHERE workflow_uuid = ?",
    "no order": """UPDATE workflow_input SET inputs = '{"positionalArgs": ["[]"], "namedArgs": {}}'
        WHERE workflow_uuid = ?""",
    "no row": "DELETE FROM workflow_input WHERE workflow_uuid = ?",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_job_ends_with_its_reason_and_holds_nothing_else_up(
    data: Path, damage: str
) -> None:
    with closing(sqlite3.connect(data / "jobs.sqlite3")) as connection, connection:
        connection.execute(DAMAGES[damage], (QUEUED,))

    async with opened(data) as service:
        await finish(service, "sqlite")
        views = {view.id: view for view in await service.scheduler.select()}

    lost = views.pop(QUEUED)
    assert lost.outcome is not None
    assert (lost.status, lost.outcome.failures[0].code) == ("failed", "JOB_LOST")
    expected = facts()["sqlite"]["jobs"]
    others = [job_id for job_id in views if "or" not in expected[job_id]["expect"]]
    assert {j: views[j].status for j in others} == {
        j: expected[j]["expect"]["status"] for j in others
    }


async def test_a_job_that_was_cancelled_while_its_process_was_dead_stays_cancelled(
    data: Path,
) -> None:
    with closing(sqlite3.connect(data / "lines.sqlite3")) as connection, connection:
        connection.execute("UPDATE lines_1_turns SET cancel = 1 WHERE job_id = ?", (RUNNING,))
    before = len(log_lines(data / "engine.jsonl"))

    async with opened(data) as service:
        await finish(service, "sqlite")
        view = await service.scheduler.get(RUNNING)

    assert view is not None
    assert view.status == "cancelled"
    assert "killed while it was made" not in [
        line["prompt"] for line in log_lines(data / "engine.jsonl")[before:]
    ]


async def test_the_job_of_a_dead_process_waits_and_can_be_cancelled_at_once(data: Path) -> None:
    async with opened(data) as service:
        await service.scheduler.open()
        view = await service.scheduler.get(RUNNING)
        cancelled = await service.scheduler.cancel(RUNNING)

    assert view is not None
    assert (view.status, view.message.split(";")[0]) == ("queued", "its process died")
    assert cancelled is not None
    assert cancelled.status == "cancelled"


async def test_a_job_of_two_requests_keeps_the_one_that_was_made(data: Path) -> None:
    job_id = "job-e3b0c442-000000000000000000000000000000e1"
    before = [line["prompt"] for line in log_lines(data / "engine.jsonl")]

    async with opened(data) as service:
        await finish(service, "sqlite")
        view = await service.scheduler.get(job_id)

    assert view is not None
    assert view.outcome is not None
    seeds = [[image.seed for image in result.images] for result in view.outcome.results]
    assert seeds == [[5101, 5102], [5201]]
    after = Counter(line["prompt"] for line in log_lines(data / "engine.jsonl")[len(before) :])
    assert after["first of two"] == 0
    assert after["second of two"] == 1


async def test_a_delayed_job_keeps_its_time(data: Path) -> None:
    async with opened(data) as service:
        await finish(service, "sqlite")
        view = await service.scheduler.get(FAR)

    with closing(sqlite3.connect(data / "jobs.sqlite3")) as connection:
        rows = connection.execute(
            "SELECT status, application_version, delay_until_epoch_ms FROM workflow_status "
            "WHERE workflow_uuid = ?",
            (FAR,),
        ).fetchall()
    assert view is not None
    assert view.status == "queued"
    [(status, version, due)] = rows
    expected = facts()["sqlite"]["jobs"][FAR]["delay_until_epoch_ms"]
    assert (status, version) == ("DELAYED", "3")
    assert abs(due - expected) < 60_000


async def test_a_request_id_of_version_1_still_stands_for_its_job(data: Path) -> None:
    known = facts()["sqlite"]["request_id"]
    requests = [version_1.request(values) for values in known["requests"]]

    async with opened(data) as service:
        view = await service.start(requests, caller="", request_id=known["request_id"])

    assert view.id == known["job_id"]
    assert view.status == "done"


async def test_a_result_that_version_1_cached_is_found(data: Path) -> None:
    known = facts()["sqlite"]["cached"]

    async with opened(data) as service:
        result = await service.generate(version_1.request(known["request"]))

    assert [image.id for image in result.images] == known["image_ids"]
    assert "stored picture" in result.why


async def test_a_batch_half_done_goes_on_under_its_old_name_and_budget(data: Path) -> None:
    known = facts()["sqlite"]["batch"]
    items = batch_file.read((data / "batch.jsonl").read_text(encoding="utf-8"))

    async with opened(data) as service:
        batch = Batch(service, items, known["budget_micro_usd"])
        jobs = await batch.submit()

        async def tell(done: int, of: int) -> None:
            pass

        ended = await batch.follow(jobs, tell)
        spent = await service.billing.ledger.holds()

    assert batch.id == known["id"]
    assert set(jobs) == set(known["jobs"])
    assert [one.job.status for one in ended] == ["done"] * 6
    paid = [line for line in log_lines(data / "vendor.jsonl") if line["key"].startswith("batch-")]
    assert len(paid) == 2
    group = [h for h in spent if h.id.startswith(f"batch-{known['id']}-")]
    assert sum(h.actual or 0 for h in group) == 2 * version_1.PRICE


async def test_the_names_of_version_1_are_computed_as_it_did() -> None:
    keys = facts()["keys"]

    for known in keys["fingerprints"]:
        requests = [version_1.request(values) for values in known["requests"]]
        assert old.fingerprint(requests) == known["fingerprint"]
    for known in keys["batch_ids"]:
        items = batch_file.read(known["text"])
        name = old.batch_id([(item.line, item.part, item.request) for item in items])
        assert name == known["batch_id"]
    for known in keys["cache_keys"]:
        job = ProviderRequest(**known["job"])
        one = model(known["model"]["provider"], known["model"]["id"])
        key = old.cache_key(job, one, known["output_format"], known["fingerprint"])
        assert key == known["key"]


async def test_a_config_of_version_1_loads_as_it_stands(tmp_path: Path) -> None:
    file = version_1.DATA / "config.json"
    block = json.loads(file.read_text(encoding="utf-8"))["imageGeneration"]

    settings = loader.load(file)
    registry = Registry(settings, tmp_path)
    await registry.open()

    on = {name for name, section in block["providers"].items() if section.get("enabled", True)}
    assert on <= set(registry.providers()) | {r.provider for r in registry.switched_off()}
    assert set(settings.model_dump(by_alias=True, exclude_unset=True)) == set(block)


async def test_on_postgres_every_state_is_taken_up(tmp_path: Path) -> None:
    postgres.skip_where_absent()
    with postgres.server() as server:
        url = restored(server, tmp_path)
        async with opened(tmp_path / "data", url) as service:
            await finish(service, "postgres")

            await assert_nothing_is_lost(service, "postgres", tmp_path / "data")
            await assert_the_ledger_agrees(service, "postgres")


JOBS = 6


async def test_an_old_worker_and_a_new_one_on_one_database_each_end_their_own_jobs(
    tmp_path: Path,
) -> None:
    postgres.skip_where_absent()
    data = tmp_path / "data"
    with postgres.server() as server:
        url = server.serve_dbos("two_versions")
        async with OldWorker(tmp_path, data, url) as worker, opened(data, url, Role.WORKER) as new:
            theirs = await worker.submit(JOBS) + await worker.submit(JOBS, "vendor")
            ours = [f"job-e3b0c442-{i:032x}" for i in range(JOBS)]
            for i, job_id in enumerate(ours):
                await new.scheduler.submit(new_job(job_id, f"new {i}", new))
            await ended(new, theirs + ours)
            statuses = Counter(view.status for view in await new.scheduler.select())

    assert statuses == {"done": 3 * JOBS}
    engine = log_lines(data / "engine.jsonl")
    assert Counter((line["prompt"][:3], line["who"]) for line in engine) == {
        ("old", "version-1"): JOBS,
        ("new", "version-3"): JOBS,
    }
    assert Counter(line["who"] for line in log_lines(data / "vendor.jsonl")) == {"version-1": JOBS}


async def test_the_jobs_of_an_old_worker_that_is_killed_are_taken_up_by_the_new_one(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    halts = {"engine.generate": ["old 0", "old 1"]}
    async with OldWorker(tmp_path, data, halts=halts) as worker, opened(data) as new:
        theirs = await worker.submit(2)
        await new.scheduler.open()

        async def stuck() -> bool:
            return (data / "marks").exists()

        await until(stuck)
        await anyio.sleep(2 * HEARTBEAT_SECONDS)  # the new one looks, and leaves them alone
        while_alive = [await new.scheduler.get(job_id) for job_id in theirs]
        worker.process.kill()
        await ended(new, theirs)
        views = [await new.scheduler.get(job_id) for job_id in theirs]

    assert [view.ended for view in while_alive if view is not None] == [False, False]
    assert [view.status for view in views if view is not None] == ["done", "done"]
    who = Counter(line["who"] for line in log_lines(data / "engine.jsonl"))
    assert who == {"version-1": 1, "version-3": 2}


async def ended(service: Service, job_ids: Sequence[str]) -> None:
    async def done() -> bool:
        views = [await service.scheduler.get(job_id) for job_id in job_ids]
        return all(view is not None and view.ended for view in views)

    await until(done)


def new_job(job_id: str, prompt: str, service: Service) -> JobSpec:
    return JobSpec(
        id=job_id,
        requests=(ImageRequest(prompt=prompt, provider="engine", width=64, height=64),),
        constraints=constraints_of(service.config),
        accepted=datetime.now(UTC),
        priority=BATCH,
    )


def restored(server: postgres.Server, folder: Path) -> str:
    """A database into which version 1's dump was restored, and the folder of its pictures."""
    import psycopg

    server.run("ALTER DATABASE postgres SET default_transaction_isolation = 'read committed'")
    url = server.url("public")
    shutil.copytree(version_1.DATA / "postgres", folder / "data")
    dump = (version_1.DATA / "postgres.sql").read_text(encoding="utf-8")
    statements = version_1.thaw().postgres(
        hostname=socket.gethostname(),
        slots_host=host(folder / "data" / "slots-elsewhere"),
        root=folder / "data",
        later=datetime.now(UTC) - datetime.fromisoformat(facts()["postgres"]["frozen_at"]),
    )
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(dump.encode())
    with psycopg.connect(plain) as connection:
        connection.execute("SET search_path TO public")
        for statement in statements:
            connection.execute(statement.encode())
    return url
