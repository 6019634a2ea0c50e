"""Say in plain data what the gallery shows: pictures, jobs, engines."""

from __future__ import annotations

import math
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread

from ziggie_image_mcp.app import reports
from ziggie_image_mcp.app.answers import outcome_data
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import InvalidRequest, StorageError
from ziggie_image_mcp.inventory.types import reason_sentence
from ziggie_image_mcp.jobs import owners
from ziggie_image_mcp.jobs.records import Failure, JobView, Result
from ziggie_image_mcp.storage import thumbnails
from ziggie_image_mcp.storage.artifact_store import not_found
from ziggie_image_mcp.storage.engine import storable
from ziggie_image_mcp.storage.picture_search import IndexedPicture, Search
from ziggie_image_mcp.storage.sidecars import facts_in

PICTURES_A_PAGE = 60
MOST_PAGES = 100_000
PROMPT_CHARACTERS = 300
"""Of the prompt of a picture in a list."""
MOST_WORDS = 200
"""Characters of what is searched for."""
ENDED_JOBS = 30
MODEL_ROWS = 500
MOST_DEPTH = 20
"""Of lists and objects in a recipe."""
_NOT_RECIPE = frozenset({"id", "file", "made", "prompt", "negative_prompt", "provider", "model"})


def search_of(words: str, model: str, first: str, last: str, caller: str | None) -> Search:
    """What is searched for, among the pictures that the caller may see.

    Raises:
        InvalidRequest: A day is none, or the words are too many.
    """
    if len(words) > MOST_WORDS:
        raise InvalidRequest("query", words, f"at most {MOST_WORDS} characters")
    return Search(
        words=words,
        model=model,
        first=_day("first", first),
        last=_day("last", last),
        owner=None if caller is None else owners.picture_mark(caller),
    )


def _day(field: str, text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day.year >= date.max.year:
        raise InvalidRequest(field, text, "give a day as 2026-11-24")
    return day


async def pictures(service: Service, search: Search, page: int) -> dict[str, Any]:
    """One page of the pictures, newest first, and the models to choose from.

    Raises:
        InvalidRequest: There is no such page.
        StorageError: The pictures or their index cannot be read.
    """
    if not 1 <= page <= MOST_PAGES:
        raise InvalidRequest("page", page, f"1 to {MOST_PAGES}")
    index = service.picture_index

    def work() -> dict[str, Any]:
        left = index.catch_up()
        found = index.search(search, most=PICTURES_A_PAGE, skip=(page - 1) * PICTURES_A_PAGE)
        return {
            "pictures": [_row(picture) for picture in found.pictures],
            "total": found.total,
            "page": page,
            "a_page": PICTURES_A_PAGE,
            "pages": max(1, -(-found.total // PICTURES_A_PAGE)),
            "not_indexed_yet": left,
            "models": [
                {"model": f"{one.provider}/{one.model}", "pictures": one.pictures}
                for one in index.models(search.owner)
            ],
        }

    return await anyio.to_thread.run_sync(work)


def _row(picture: IndexedPicture) -> dict[str, Any]:
    return {
        "id": picture.id,
        "prompt": picture.prompt[:PROMPT_CHARACTERS],
        "model": f"{picture.provider}/{picture.model}" if picture.model else "",
        "made": picture.made,
    }


async def picture(service: Service, image_id: str, caller: str | None) -> dict[str, Any]:
    """All that is known of a picture: its recipe, and what became of the job that made it.

    Raises:
        ImageNotFound: No picture has this id, or it is another caller's.
        StorageError: It cannot be read.
    """
    known = await indexed(service, image_id, caller)
    files = service.artifacts.files
    facts = cast(
        dict[str, object], _plain(facts_in(await _read(service, known.day, known.sidecar)))
    )
    data: dict[str, Any] = {
        **_row(known),
        "prompt": known.prompt,
        "negative_prompt": str(facts.get("negative_prompt") or ""),
        "name": known.name,
        "path": files.path(known.day, known.name),
        "recipe": {
            name: value
            for name, value in facts.items()
            if name not in _NOT_RECIPE and value not in (None, "")
        },
    }
    try:
        prefix = owners.job_prefix(caller)
        made = datetime.fromisoformat(known.made)
        view = await service.scheduler.job_of_picture(image_id, made, prefix)
    except StorageError as e:
        return {**data, "job_unknown": str(e)}
    except OverflowError:  # the very first or last of days
        return {**data, "job_unknown": "It does not tell when it was made."}
    result = None if view is None else _result_with(view, image_id)
    if view is None or result is None:
        return {**data, "job_unknown": "The job that made it is no longer kept."}
    return {
        **data,
        "job": {
            "id": view.id,
            "why": result.why,
            "seconds": round(result.seconds, 2),
            "cost_usd": result.cost_micro_usd / 1e6,
            "pictures": len(result.images),
            "notes": list(result.notes),
        },
    }


def _plain(value: object, depth: int = 0) -> object:
    """The same as every reader of JSON takes it: no NaN, no half of a surrogate pair, not deep."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | dict) and depth == MOST_DEPTH:
        return "(nested too deeply to show)"
    if isinstance(value, list):
        return [_plain(part, depth + 1) for part in cast(list[object], value)]
    if isinstance(value, dict):
        parts = cast(dict[str, object], value)
        return {storable(key): _plain(part, depth + 1) for key, part in parts.items()}
    return value


def _result_with(view: JobView, image_id: str) -> Result | None:
    results = () if view.outcome is None else view.outcome.results
    return next((r for r in results if any(i.id == image_id for i in r.images)), None)


async def indexed(service: Service, image_id: str, caller: str | None) -> IndexedPicture:
    """What the index knows of a picture that the caller may see.

    Raises:
        ImageNotFound: No picture has this id, or it is another caller's.
        StorageError: The pictures or their index cannot be read.
    """
    known = None
    if owners.picture_belongs(image_id, caller):
        known = await anyio.to_thread.run_sync(service.picture_index.find, image_id)
        if known is None:  # it may be newer than the last look, or not be read yet
            await anyio.to_thread.run_sync(service.picture_index.take_in, image_id)
            known = await anyio.to_thread.run_sync(service.picture_index.find, image_id)
    if known is None:
        raise not_found(image_id)
    return known


async def thumbnail(service: Service, image_id: str, caller: str | None) -> bytes:
    """A picture's thumbnail, WebP.

    Raises:
        ImageNotFound: No picture has this id, or it is another caller's.
        InvalidOutput: Its file is no picture any more.
        StorageError: It cannot be read.
    """
    files = service.artifacts.files
    if owners.picture_belongs(image_id, caller):
        small = await anyio.to_thread.run_sync(thumbnails.kept, files, image_id)
        if small is not None:
            return small
    known = await indexed(service, image_id, caller)
    small = None
    if await anyio.to_thread.run_sync(_is_within, service, known.day, known.name):
        small = await anyio.to_thread.run_sync(
            thumbnails.thumbnail, files, known.day, known.name, known.id
        )
    if small is None:
        raise not_found(image_id)
    return small


async def file(service: Service, image_id: str, caller: str | None) -> tuple[str, bytes]:
    """A picture's file, whole: its name and its bytes.

    Raises:
        ImageNotFound: No picture has this id, or it is another caller's.
        StorageError: It cannot be read.
    """
    known = await indexed(service, image_id, caller)
    data = await _read(service, known.day, known.name)
    if data is None:
        raise not_found(image_id)
    return known.name, data


async def _read(service: Service, day: str, name: str) -> bytes | None:
    """A file of the store; None where there is none, or it is a link that leads out of it."""

    def work() -> bytes | None:
        return service.artifacts.files.get(day, name) if _is_within(service, day, name) else None

    return await anyio.to_thread.run_sync(work)


def _is_within(service: Service, day: str, name: str) -> bool:
    root = service.artifacts.root
    if not isinstance(root, Path):
        return True
    try:
        return (root / day / name).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a ring of links
        return False


async def jobs(service: Service, caller: str | None, *, only_open: bool = False) -> dict[str, Any]:
    """The caller's open jobs, and the last that ended unless `only_open`.

    Raises:
        StorageError: The jobs' database cannot be used.
    """
    prefix = owners.job_prefix(caller)
    going = await service.scheduler.select(prefix, only_open=True)
    data: dict[str, Any] = {"open": [job_row(view) for view in going]}
    if not only_open:
        latest = await service.scheduler.select(prefix, limit=ENDED_JOBS + len(going))
        data["ended"] = [job_row(view) for view in latest if view.ended][:ENDED_JOBS]
    return data


def job_row(view: JobView) -> dict[str, Any]:
    """A job, with what went wrong and how to put it right."""
    requests = () if view.spec is None else view.spec.requests
    data: dict[str, Any] = {
        "id": view.id,
        "status": view.status,
        "begun": "" if view.created is None else view.created.isoformat(timespec="seconds"),
        "prompt": " / ".join(r.prompt for r in requests)[:PROMPT_CHARACTERS],
        "fraction": round(view.fraction, 3),
        "doing": view.message,
    }
    if view.outcome is not None:
        made = outcome_data(view) if view.outcome.results else {}
        data["cost_usd"] = view.outcome.cost_micro_usd / 1e6
        data["why"] = made.get("why", "")
        data["pictures"] = [i.id for r in view.outcome.results for i in r.images]
        data["failures"] = [_failure(failure) for failure in view.outcome.failures]
    return data


def _failure(failure: Failure) -> dict[str, str]:
    fix = failure.fix
    if not fix and failure.rejected:
        fix = reason_sentence(failure.rejected[0].reasons[0])
    return {"code": failure.code, "message": failure.message, "fix": fix}


async def machine(service: Service) -> dict[str, Any]:
    """Models and engines with their state and what would put it right.

    Raises:
        ConfigError: A provider's section of the config is wrong.
    """
    report = await reports.machine(service)
    models = await reports.models(service, most=MODEL_ROWS)
    return {"machine": report.model_dump(mode="json"), "models": models.model_dump(mode="json")}
