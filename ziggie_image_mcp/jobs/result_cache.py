"""Remember what a request with a given seed led to.

All of it may be lost: where the database cannot be used, every request is new.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import anyio

from ziggie_image_mcp.assets.keying import check_alpha, describe_alpha
from ziggie_image_mcp.errors import InvalidOutput, StorageError
from ziggie_image_mcp.jobs import outcomes, version_1, version_2
from ziggie_image_mcp.jobs.asset_contracts import measured
from ziggie_image_mcp.jobs.persist import about_seam
from ziggie_image_mcp.jobs.records import Result
from ziggie_image_mcp.provider.capabilities import OutputFormat
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.routing.emulation import emulation_notes
from ziggie_image_mcp.routing.request import (
    STEERING,
    ImageRequest,
    digest,
    is_processing,
    set_fields,
)
from ziggie_image_mcp.routing.types import NO_EMULATION, Candidate
from ziggie_image_mcp.storage.artifact_store import ArtifactStore, slug
from ziggie_image_mcp.storage.database import Database, LossyDatabase, Schema
from ziggie_image_mcp.storage.input_images import opened
from ziggie_image_mcp.storage.types import StoredImage

if TYPE_CHECKING:
    from ziggie_image_mcp.jobs.result_cache_tables import Tables

CACHE_KEY_VERSION = 3
RESULTS_KEPT = timedelta(days=30)


class ResultCache:
    """The results of every process that uses the same database.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        artifacts: Keeps the pictures. One that is gone is made anew.
        format: Of pictures for which nobody asks another.
        enabled: Where it is not, nothing is looked up or remembered.
        lock_timeout: Seconds to wait while other processes write.
    """

    def __init__(
        self,
        database: str | Path,
        artifacts: ArtifactStore,
        format: OutputFormat,
        *,
        enabled: bool = True,
        lock_timeout: float = 5,
    ) -> None:
        rows = Database(database, _schema, "result cache in", lock_timeout=lock_timeout)
        self._rows = LossyDatabase(rows, "Results are not looked up just now")
        self._artifacts = artifacts
        self.format: OutputFormat = format
        self.enabled = enabled

    @property
    def trouble(self) -> str | None:
        """Why nothing is looked up and kept just now; None while all is well."""
        return self._rows.trouble

    async def find(self, request: ImageRequest, route: Candidate) -> Result | None:
        """The stored pictures of this very request, where its seed was given and they are there."""
        if request.seed is None or not self.enabled:
            return None
        started = time.monotonic()
        for key in self._keys(request, route):
            image_ids = await self._look_up(key)
            if not image_ids:
                continue
            images = await self._images(image_ids, request)
            if images is None:
                await self._forget(key)
                continue
            why = "the stored picture of this very request and seed; nothing was made or charged"
            if request.file_name:
                images = await self._named(images, request.file_name)
            found = await anyio.to_thread.run_sync(self._measures, images, request)
            notes = (*emulation_notes(route.emulation, route.model), *found)
            cached = replace(route, why=why, notes=notes)
            return outcomes.result(request, cached, images, [], started)
        return None

    def _measures(self, images: Sequence[StoredImage], request: ImageRequest) -> list[str]:
        """What is measured on stored pictures, as when they were made."""
        notes: list[str] = []
        for image in images:
            if request.seamless and not is_processing(request):
                notes.append(about_seam(self._artifacts, image.id))
            if request.transparent:
                notes.append(describe_alpha(check_alpha(opened(self._artifacts, image.id))))
        return notes

    async def remember(
        self, request: ImageRequest, route: Candidate, images: Sequence[StoredImage]
    ) -> None:
        """Keep what a request with a given seed led to; what is older than 30 days is forgotten."""
        if request.seed is None or not self.enabled:
            return
        key, ids, now = (
            self._keys(request, route)[0],
            tuple(i.id for i in images),
            datetime.now(UTC),
        )

        def work(tables: Tables) -> None:
            from ziggie_image_mcp.storage.engine import stamp

            tables.drop_results_before(stamp(now - RESULTS_KEPT))
            tables.put_result(key, ids, stamp(now))

        await self._rows.write(work, None)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()

    async def _look_up(self, key: str) -> tuple[str, ...] | None:
        return await self._rows.read(lambda tables: tables.result(key), None)

    async def _forget(self, key: str) -> None:
        await self._rows.write(lambda tables: tables.drop_result(key), None)

    async def _images(
        self, image_ids: Sequence[str], request: ImageRequest
    ) -> list[StoredImage] | None:
        def work() -> list[StoredImage]:
            seed = request.seed or 0
            found = [
                self._artifacts.stored(image_id, (seed + i) % 2**32)
                for i, image_id in enumerate(image_ids)
            ]
            return measured(found, self._artifacts, request)

        try:
            return await anyio.to_thread.run_sync(work)
        except (StorageError, InvalidOutput):  # gone: it is made anew
            return None

    async def _named(self, images: Sequence[StoredImage], hint: str) -> list[StoredImage]:
        """The pictures under the name that is asked for: copies, where they have another."""
        named: list[StoredImage] = []
        for image in images:
            if PurePath(image.path).name.startswith(f"{slug(hint)}-{image.id}"):
                named.append(image)
            else:
                copy = partial(self._artifacts.copy, image, hint)
                named.append(await anyio.to_thread.run_sync(copy))
        return named

    def _keys(self, request: ImageRequest, route: Candidate) -> tuple[str, ...]:
        """The key of this version, and those of earlier ones, which knew no parts of pictures."""
        model, output_format = route.model, request.output_format or self.format
        identity = f"{model.memory.vram_bytes}/{model.memory.ram_bytes}"
        if any(rung.name == model.rung and not rung.exact for rung in model.memory.rungs):
            identity += f"/{model.rung}"  # its pictures differ from those of the model as it is
        facts = (route.request, model, output_format, identity)
        beside = _beside(request)
        emulation = replace(route.emulation, cut_out=None)
        if emulation != NO_EMULATION:  # the provider's request is as one without the option
            made_here = asdict(emulation)
            return (cache_key(*facts, beside=beside | {"emulation": made_here}),)
        if route.placement is not None:
            newest = cache_key(*facts, beside=beside | {"placement": asdict(route.placement)})
            return (newest,)
        newest = cache_key(*facts, beside=beside)
        if request.owner or not version_2.knew(route.request):
            return (newest,)  # earlier versions did not know whose a result was
        older = version_2.cache_key(*facts, beside=beside), version_1.cache_key(*facts)
        return newest, *older


_RESOLVED = frozenset(f.name for f in fields(ProviderRequest)) | {"aspect_ratio", "upscale"}
"""Fields of a request that the provider's request says in its own way."""


def _beside(request: ImageRequest) -> dict[str, Any]:
    """What a request asks of its picture that no field of the provider's request says.

    Whose it is, too: nobody is given another caller's.
    """
    values = set_fields(request)
    return {k: v for k, v in values.items() if k not in _RESOLVED | STEERING}


def cache_key(
    request: ProviderRequest,
    model: Model,
    output_format: str,
    model_fingerprint: str,
    *,
    beside: Mapping[str, Any] | None = None,
) -> str:
    """The name of a result: two requests of one name, with one seed, make the same pictures.

    `model_fingerprint` stands for what the model's id leaves open, as its file's size and time.
    `beside` has what is asked of the picture that `request` does not say.
    Only a request whose seed the caller chose may be looked up: of a random one, other pictures
    are expected.
    """
    guidance = None if request.guidance_scale is None else float(request.guidance_scale)
    values = asdict(replace(request, guidance_scale=guidance, image=None, mask=None, references=()))
    facts = {
        "version": CACHE_KEY_VERSION,
        "request": {k: v for k, v in values.items() if v not in (None, "", False, ())},
        "provider": model.provider,
        "model": model.id,
        "output_format": output_format,
        "fingerprint": model_fingerprint,
    }
    return digest({**facts, "beside": dict(beside)} if beside else facts)


def _schema() -> Schema[Tables]:
    from ziggie_image_mcp.jobs import result_cache_tables

    return result_cache_tables.SCHEMA
