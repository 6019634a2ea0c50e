"""Talk to Comfy Cloud: what it has by its API v1, which mirrors ComfyUI's, and jobs by its v2.

API v1 alone tells of models and nodes. Jobs go by v2: there each is stopped by its id, where v1's
`interrupt` stops all that run for the account, and a POST carries an idempotency key.
"""

from __future__ import annotations

import hashlib
from typing import Any

import httpx2
from pydantic import BaseModel, TypeAdapter, ValidationError

from ziggie_image_mcp.provider import (
    CANCEL_SECONDS,
    EngineCrashed,
    OutcomeUnknown,
    ProviderContext,
    ProviderError,
    ProviderUnavailable,
)
from ziggie_image_mcp.provider.addresses import public_url
from ziggie_image_mcp.provider.download import DownloadFailed
from ziggie_image_mcp.provider.http import BEARER, READ_SECONDS, Answer, HttpClient, KeyHeader
from ziggie_image_mcp.provider.pictures import is_picture
from ziggie_image_providers.comfyui import wire
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.cloud_jobs import SUBMITS, Job, Output
from ziggie_image_providers.comfyui.cloud_settings import Settings
from ziggie_image_providers.comfyui.graph import Nodes

KEPT_SECONDS = 24 * 60 * 60
"""How long an uploaded picture is kept: as long as a job may wait in a queue."""

MAX_UPLOAD = 50 * 10**6
"""Bytes of a picture: what API v1 names, the stricter of the two."""

_PICTURE_SECONDS = 300.0
_REDIRECTS = (301, 302, 303, 307, 308)


class _ListedFile(BaseModel):
    name: str


_LISTED = TypeAdapter(list[_ListedFile])


class CloudClient(Client):
    """Comfy Cloud, as far as a ComfyUI server can be taken for it."""

    def __init__(
        self, name: str, settings: Settings, context: ProviderContext, seconds: float
    ) -> None:
        super().__init__(name, settings.as_server(), context, seconds)
        self._http = HttpClient(
            name,
            settings,
            context,
            # v1 reads the one, v2 the other, and both are of one host.
            auth=(KeyHeader("X-API-Key", prefix=""), BEARER),
            key_names=(settings.key_name, settings.key_name),
            rules=SUBMITS,
            read_seconds=min(READ_SECONDS, seconds),
        )
        self.where = "vendor"

    async def keys(self) -> tuple[str, ...]:
        """What may stand in no message.

        Raises:
            AuthenticationFailed: There is no key.
        """
        return await self._http.keys()

    async def account(self) -> str:
        """The account's state, as `active`; empty where what answers does not speak of any."""
        answer = await self._get("user")
        return str(answer.data().get("status") or "")

    # What it has

    async def system(self) -> wire.SystemStats:
        """Its version. What answers is a front door, whose memory is not that of the GPUs."""
        return (await super().system()).model_copy(update={"devices": []})

    async def files(self, folder: str) -> tuple[str, ...]:
        """List the files in one of its model folders; none where it has no such folder."""
        answer = await self._get(f"experiment/models/{folder}", accept=(404,))
        return () if answer.status == 404 else tuple(f.name for f in self._read(answer, _LISTED))

    async def sizes(self, folder: str) -> dict[str, int]:
        """Not told."""
        return {}

    async def embeddings(self) -> tuple[str, ...]:
        """The names of its textual-inversion embeddings, without endings."""
        return tuple(name.rpartition(".")[0] or name for name in await self.files("embeddings"))

    async def metadata(self, folder: str, file: str) -> dict[str, Any]:
        """Not told."""
        return {}

    async def folders(self) -> dict[str, Any]:
        """Not told."""
        return {}

    async def choices(self, node: str, input: str) -> tuple[str, ...]:
        """What one input of a class of nodes takes: there is no route for one class alone."""
        return (await self.nodes()).choices(node, input)

    # A job

    async def upload(self, data: bytes) -> str:
        """Give it a picture for a job, and return the id by which graphs name it.

        Raises:
            ProviderUnavailable: It did not take it. Nothing is ordered yet.
        """
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.png"
        fields = {"content_type": "image/png", "file_path": name, "tags": "input"}
        try:
            answer = await self._http.post_once(
                "api/v2/assets",
                form={**fields, "expires_in": str(KEPT_SECONDS)},
                files=[("file", (name, data, "image/png"))],
                paid=False,
                seconds=_PICTURE_SECONDS,
            )
        except (EngineCrashed, OutcomeUnknown) as e:
            what = f"Comfy Cloud did not take a picture, so nothing was ordered: {e}"
            raise ProviderUnavailable(self._name, what) from e
        id: object = answer.data().get("id")
        if not isinstance(id, str) or not id:
            what = f"{self.url} took a picture and did not say as what; nothing was ordered"
            raise ProviderUnavailable(self._name, what)
        return id

    async def post_job(self, nodes: Nodes, key: str, *, paid: bool) -> Job:
        """Order a run of a graph, once.

        Raises:
            OutcomeUnknown: It was sent, and no answer came that names the job.
            ProviderError: It was refused.
        """
        answer = await self._http.post_once(
            "api/v2/jobs", json={"workflow": nodes}, headers={"Idempotency-Key": key}, paid=paid
        )
        try:
            return Job.model_validate_json(answer.content)
        except ValidationError as e:
            what = f"answered HTTP {answer.status} without the id of a job"
            raise self._http.lost(what, paid=paid) from e

    async def look_up(self, id: str) -> Answer:
        """Where a job stands, in its own words."""
        return await self._get(f"v2/jobs/{id}")

    async def cancel_job(self, id: str) -> Job:
        """Ask for an end at the next step, of this job alone.

        Raises:
            ProviderError: It cannot be asked, or does not know the job.
        """
        answer = await self._http.post_once(
            f"api/v2/jobs/{id}/cancel", paid=False, seconds=CANCEL_SECONDS
        )
        try:
            return Job.model_validate_json(answer.content)
        except ValidationError as e:
            what = "does not tell of the job in its API's words"
            raise ProviderError(self._name, f"{self.url} {what}") from e

    async def output(self, output: Output, max_bytes: int) -> bytes:
        """Fetch a finished picture. Only Comfy's own host is shown the key.

        Raises:
            DownloadFailed: It cannot be fetched.
            ProviderError: Comfy's host does not tell where it lies.
        """
        url = output.url
        if _host(url) in ("", _host(self.url)):
            answer = await self._get(
                f"v2/assets/{output.id}/content",
                accept=_REDIRECTS,
                seconds=_PICTURE_SECONDS,
                max_bytes=max_bytes,
            )
            if answer.ok:
                if not is_picture(answer.content):
                    raise DownloadFailed("are no PNG, JPEG or WebP pictures")
                return answer.content
            url = str(httpx2.URL(f"{self.url}/").join(answer.location))
        return await self._http.download(url, max_bytes=max_bytes)


def _host(url: str) -> str:
    """Scheme, host and port; empty where there is none."""
    try:
        parsed = httpx2.URL(public_url(url)) if url else httpx2.URL("")
    except httpx2.InvalidURL:
        return "?"
    return f"{parsed.scheme}://{parsed.netloc.decode()}" if parsed.host else ""
