"""Open the frozen data with version 1, let it take the jobs up, and compare with facts.json.

    python check.py [--later [--aged MINUTES]] [--reap-first] [--as-is] [--postgres URL]

With `--later` the times in the data are moved to now, or to so many minutes ago. The URL must be of
a database into which postgres.sql was restored. Says OK, or what differs, and then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import anyio
import standin
import thaw
from pydantic import BaseModel, TypeAdapter
from ziggie_image_mcp.batch import Batch
from ziggie_image_mcp.ledger import usd
from ziggie_image_mcp.registry import Registry, discover, provider_type
from ziggie_image_mcp.types import ImageRequest, Job, Model

from ziggie_image_mcp import batchfile, config, experience, service, slots

PATIENCE = 60.0
REQUESTS = TypeAdapter(tuple[ImageRequest, ...])


async def check(
    data: Path, url: str | None, facts: dict[str, Any], reap_first: bool = False
) -> list[str]:
    wrong: list[str] = []
    known = facts["postgres" if url else "sqlite"]

    def same(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            wrong.append(f"{what}: {found!r}, not {wanted!r}")

    made = standin.build(data, url, who="check")
    office, cashier = made.office, made.cashier
    assert office is not None
    assert cashier is not None
    assert made.experience is not None
    snapshot = await made.experience.snapshot()
    same("latencies", len(snapshot.latencies), len(known["experience"]["latencies"]))
    same("breakers", len(snapshot.breakers), len(known["experience"]["breakers"]))
    holds = {h.id: h for h in await cashier.ledger.holds()}
    same("holds", len(holds), len(known["ledger"]["holds"]))
    if reap_first:
        await cashier.reap(made.registry.providers())
    await office.open()
    with anyio.move_on_after(PATIENCE):
        for name, job in known["jobs"].items():
            view = await office.wait(name, 0.0 if job["delay_until_epoch_ms"] else PATIENCE, quiet)
            if job["delay_until_epoch_ms"] and "2099" not in job["requests"][0]["prompt"]:
                view = await office.wait(name, PATIENCE, quiet)
            assert view is not None, name
            charges = [
                c
                for c in standin.lines_of(data / "vendor.jsonl")
                if c["key"].startswith(f"{name}.")
            ]
            expect = job["expect"]
            got = {"status": view.status, "charges": len(charges)}
            wanted = [expect, *([expect["or"]] if "or" in expect else [])]
            if not any(
                got == {"charges": 0} | {k: v for k, v in w.items() if k != "or"} for w in wanted
            ):
                said = view.made.failures if view.made else view.message
                wrong.append(f"{name} ({job['what']}): {got}, not {wanted}: {said}")
            results = view.made.results if view.made else ()
            for seed, result in zip(job["seeds"], results, strict=False):
                same(f"{name} seed", result.job.seed, seed)
            for ids, result in zip(job["image_ids"], results, strict=False):
                same(f"{name} pictures", [i.id for i in result.images], ids)
                for image in result.images:
                    if not Path(image.path).exists():
                        wrong.append(f"{name}: {image.path} is not there")
            print(f"{name[-12:]} {job['dbos_status']:9} -> {view.status:9} {len(charges)} charged")
    drawn = Counter(line["prompt"] for line in standin.lines_of(data / "engine.jsonl"))
    same("the first of two", drawn["first of two"], 1)
    same("the second of two", drawn["second of two"], 2)

    batch = Batch(made, batchfile.read((data / "batch.jsonl").read_text()), 5000)
    same("batch", batch.id, known["batch"]["id"])
    same("its jobs", sorted(await batch.submit()), sorted(known["batch"]["jobs"]))

    repeat = known["request_id"]
    requests = REQUESTS.validate_python(repeat["requests"])
    view = await made.start(requests, request_id=repeat["request_id"], caller=repeat["caller"])
    same("request_id", view.id, repeat["job_id"])
    (request,) = REQUESTS.validate_python([known["cached"]["request"]])
    view = await made.start([request])
    images = [i.id for r in (view.made.results if view.made else ()) for i in r.images]
    same("cached", (view.id, images), ("", known["cached"]["image_ids"]))

    await cashier.reap(made.registry.providers())
    states = Counter(h.state for h in await cashier.ledger.holds())
    print("holds:", dict(states), "month:", usd((await cashier.spending()).month))
    same("open holds", [h.id for h in await cashier.ledger.open_holds()], [])
    same(
        "holds before",
        {k: v for k, v in holds.items() if v.state == "settled"}.items()
        - {h.id: h for h in await cashier.ledger.holds()}.items(),
        set(),
    )
    await made.aclose()
    return wrong


def keys(facts: dict[str, Any]) -> list[str]:
    """What version 1 computes again."""
    wrong: list[str] = []
    for case in facts["keys"]["fingerprints"]:
        requests = REQUESTS.validate_python(case["requests"])
        if service.fingerprint(requests) != case["fingerprint"]:
            wrong.append(f"fingerprint of {case['requests']}")
    for case in facts["keys"]["batch_ids"]:
        if batchfile.batch_id(batchfile.read(case["text"])) != case["batch_id"]:
            wrong.append(f"batch_id of {case['text']}")
    for case in facts["keys"]["cache_keys"]:
        job, model = Job(**case["job"]), Model(**case["model"])
        key = experience.cache_key(job, model, case["output_format"], case["fingerprint"])
        if key != case["key"]:
            wrong.append(f"cache key of {case['job']}")
    return wrong


async def config_loads() -> list[str]:
    """config.json is taken by `load` and `Registry.open`, and leaves out no key."""
    file = thaw.HERE / "config.json"
    settings = config.load(file, {})
    registry = Registry(settings, Path(tempfile.gettempdir()))
    await registry.open()
    await registry.aclose()
    block = json.loads(file.read_text(encoding="utf-8"))["imageGeneration"]
    wrong = list(_unused(config.Config, block, "config"))
    wrong += _unused(config.ModelSettings, _all(block["models"]), "models")
    sections: dict[str, list[dict[str, Any]]] = {}
    for name, section in block["providers"].items():
        sections.setdefault(section.get("type", name), []).append(section)
    for kind, entry in discover().items():
        own = provider_type(entry).Settings
        wrong += _unused(own, _all(dict(enumerate(sections[kind]))), kind)
        if "models" in own.model_fields:
            row = own.model_fields["models"].annotation.__args__[1]  # type: ignore[union-attr]
            wrong += _unused(row, _all(_all(dict(enumerate(sections[kind])))["models"]), kind)
    common = {"type", "enabled", "budget", "privacy"}
    wrong += sorted(common - {key for those in sections.values() for one in those for key in one})
    print("config.json:", ", ".join(registry.providers()))
    return [f"config.json does not use {key}" for key in wrong]


def _all(those: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    """The values of several sections together, the last winning, but with all of their models."""
    found: dict[str, Any] = {}
    for one in those.values():
        models = found.get("models", {}) | one.get("models", {})
        found |= one | ({"models": models} if models else {})
    return found


def _unused(model: type[BaseModel], given: dict[str, Any], where: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in given:
            yield f"{where}.{key}"
            continue
        for kind in (field.annotation, *get_args(field.annotation)):
            block = isinstance(given[key], dict) and not str(field.annotation).startswith("dict")
            if block and isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _unused(kind, given[key], f"{where}.{key}")


async def quiet(fraction: float, message: str) -> None:
    pass


def _frozen_host(folder: Path) -> str:
    found: str = thaw.facts()["sqlite"]["slots_host"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--later", action="store_true")
    parser.add_argument("--aged", type=int, default=0, metavar="MINUTES")
    parser.add_argument("--reap-first", action="store_true", help="before any job is taken up")
    parser.add_argument("--as-is", action="store_true", help="keep the frozen host's names")
    parser.add_argument("--postgres", metavar="URL")
    given = parser.parse_args()
    facts = thaw.facts()
    kind = "postgres" if given.postgres else "sqlite"
    later = timedelta()
    if given.later:
        later = datetime.now(UTC) - datetime.fromisoformat(facts[kind]["frozen_at"])
        later -= timedelta(minutes=given.aged)
    root = Path(tempfile.mkdtemp(prefix="zim-thaw-"))
    data = root / "data"
    if given.postgres:
        import psycopg

        shutil.copytree(thaw.HERE / "postgres", data)
        host = slots.host(data / "slots-elsewhere")
        with psycopg.connect(given.postgres) as connection:
            for statement in thaw.postgres(
                hostname=socket.gethostname(), slots_host=host, root=data, later=later
            ):
                connection.execute(statement.encode())
    else:
        hostname, naming = socket.gethostname(), slots.host
        if given.as_is:
            hostname, naming = facts["placeholders"]["hostname"], _frozen_host
        thaw.sqlite(data, hostname=hostname, slots_host=naming, later=later)
    wrong = (
        keys(facts)
        + anyio.run(config_loads)
        + anyio.run(check, data, given.postgres, facts, given.reap_first)
    )
    shutil.rmtree(root)
    print("\n".join(wrong) or "OK")
    sys.stdout.flush()
    os._exit(bool(wrong))


if __name__ == "__main__":
    main()
