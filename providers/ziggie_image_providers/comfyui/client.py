"""Talk to one ComfyUI server: each of its calls that we use, with its failures as our errors."""

from __future__ import annotations

import base64
import logging
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import httpx2
from pydantic import TypeAdapter, ValidationError

from ziggie_image_mcp.errors import InvalidOutput, ProviderError, ProviderUnavailable
from ziggie_image_mcp.provider import http as _http
from ziggie_image_providers.comfyui import failures, wire
from ziggie_image_providers.comfyui.settings import Settings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

FIX = "start ComfyUI, or set providers.comfyui.baseUrl"
CONNECT_SECONDS = 1.5
READ_SECONDS = 30.0
_INTERRUPT_SINCE = (0, 3, 56)
"""Before this version `interrupt` ended whatever ran, and be it somebody else's."""
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


class Client:
    """One server. Connects with the first call; may be used again after `aclose`."""

    def __init__(
        self, name: str, settings: Settings, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._name = name
        self._settings = settings
        self._transport = transport
        url = httpx2.URL(settings.base_url)
        self.url = _http.public_url(url)
        self.loopback = _http.is_loopback(url)
        self.headers = {k: v.get_secret_value() for k, v in settings.headers.items()}
        if url.userinfo:
            login = base64.b64encode(unquote(url.userinfo.decode()).encode()).decode()
            self.headers.setdefault("Authorization", f"Basic {login}")
        self._open: httpx2.AsyncClient | None = None
        self._has_jobs: bool | None = None

    def socket_url(self, client_id: str) -> str:
        """Where the websocket of a client is."""
        return f"ws{self.url.removeprefix('http')}/api/ws?clientId={client_id}"

    def socket_tls(self) -> ssl.SSLContext | None:
        """How to check the websocket's certificate; None leaves it to the default."""
        if self._settings.verify_tls or not self.url.startswith("https"):
            return None
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    async def system(self) -> wire.SystemStats:
        """Ask who is there.

        Raises:
            ProviderUnavailable: Nothing answers, or what answers is not ComfyUI.
        """
        response = await self._send("GET", "system_stats")
        if response.status_code not in (200, 404):
            raise _http.status_error(self._name, response)
        try:
            stats = wire.SystemStats.model_validate_json(response.content)
        except ValidationError as e:
            raise self._somebody_else() from e
        if stats.devices and stats.devices[0].name == "koboldcpp":
            raise self._somebody_else("KoboldCpp, which only imitates ComfyUI")
        return stats

    async def files(self, folder: str) -> tuple[str, ...]:
        """List the files in one of its model folders; none where it has no such folder."""
        response = await self._send("GET", f"models/{folder}")
        if response.status_code == 404:
            return ()
        return self._read(response, wire.NAMES)

    async def sizes(self, folder: str) -> dict[str, int]:
        """The bytes of the files in a folder; none where the server is too old to tell."""
        response = await self._send("GET", f"experiment/models/{folder}")
        if response.status_code == 404:
            return {}
        return {f.name: f.size for f in self._read(response, wire.FILES)}

    async def architecture(self, folder: str, file: str) -> str:
        """What a file's metadata say it is; empty where they say nothing."""
        response = await self._send("GET", f"view_metadata/{folder}", params={"filename": file})
        if response.status_code != 200:
            return ""
        return str(self._read(response, wire.METADATA).get("modelspec.architecture", ""))

    async def choices(self, node: str, input: str) -> tuple[str, ...]:
        """What one input of a class of nodes takes; empty where the server has no such thing."""
        response = await self._send("GET", f"object_info/{quote(node)}")
        if response.status_code == 404:
            return ()
        info = self._read(response, wire.METADATA).get(node, {})
        inputs = info.get("input", {})
        specs = {**inputs.get("optional", {}), **inputs.get("required", {})}
        return wire.options(specs.get(input))

    async def submit(self, nodes: Mapping[str, Any], prompt_id: str, client_id: str) -> str:
        """Put a graph into the queue, and give back the id that it has there.

        Raises:
            ModelMissing: A file that the graph names is not there.
            RequestRejected: Another value is not accepted.
        """
        body = {"prompt": nodes, "prompt_id": prompt_id, "client_id": client_id}
        response = await self._send("POST", "prompt", json=body)
        if response.status_code == 400:
            raise await self._rejection(response)
        submitted = self._read(response, TypeAdapter(wire.Submitted))
        if submitted.node_errors:
            # The sound part of the graph was queued all the same.
            await self.stop(submitted.prompt_id)
            raise await self._refusal(submitted.node_errors.values())
        return submitted.prompt_id

    async def state(self, prompt_id: str) -> wire.JobState | None:
        """Where a job stands, or None when the server does not know it."""
        if self._has_jobs is None:
            probe = await self._send("GET", "jobs", params={"limit": "1"})
            if probe.status_code not in (404, 405):
                self._read(probe, wire.METADATA)
            self._has_jobs = probe.status_code == 200
        if not self._has_jobs:
            return await self._state_by_history(prompt_id)
        response = await self._send("GET", f"jobs/{prompt_id}")
        if response.status_code == 404:
            return None
        return wire.from_job(self._read(response, TypeAdapter(wire.JobReply)))

    async def stop(self, prompt_id: str) -> None:
        """Take a job out of the queue, or interrupt it when it runs. Never raises our errors."""
        try:
            response = await self._send("POST", f"jobs/{prompt_id}/cancel")
            if response.status_code in (404, 405):
                await self._stop_by_queue(prompt_id)
            elif response.status_code != 200:
                raise _http.status_error(self._name, response)
        except ProviderError as e:
            _log.warning("%s: job %s may still run: %s", self._name, prompt_id, e)

    async def picture(self, image: wire.Image) -> bytes:
        """Fetch a finished picture.

        Raises:
            InvalidOutput: It is gone, or is no picture.
        """
        where = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        response = await self._send("GET", "view", params=where)
        if response.next_request is not None:
            response = await self._elsewhere(response.next_request.url)
        if response.status_code == 404:
            raise InvalidOutput(self._name, "ComfyUI finished the job, but its picture is gone")
        if response.status_code != 200:
            raise _http.status_error(self._name, response)
        data = response.content
        webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
        if not webp and not data.startswith(_MAGIC):
            raise InvalidOutput(self._name, "what ComfyUI gave is no PNG, JPEG or WebP picture")
        return data

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._open, self._has_jobs = self._open, None, None
        if client is not None:
            await client.aclose()

    def forget(self) -> None:
        """Take nothing for granted any more: the server may have been replaced."""
        self._has_jobs = None

    async def _state_by_history(self, prompt_id: str) -> wire.JobState | None:
        queue = await self._queue()
        if queue.runs(prompt_id):
            return wire.JobState(status="in_progress")
        if queue.waits(prompt_id):
            return wire.JobState(status="pending")
        # Only after the queue: a job that moves between the two looks is then seen in one.
        response = await self._send("GET", f"history/{prompt_id}")
        entry = self._read(response, wire.HISTORY).get(prompt_id)
        return wire.from_history(entry) if entry else None

    async def _stop_by_queue(self, prompt_id: str) -> None:
        await self._send("POST", "queue", json={"delete": [prompt_id]})
        if not (await self._queue()).runs(prompt_id):
            return
        stats = await self.system()
        if wire.version(stats.system.comfyui_version) < _INTERRUPT_SINCE:
            _log.warning("%s: this ComfyUI is too old to stop one job; it runs on", self._name)
            return
        await self._send("POST", "interrupt", json={"prompt_id": prompt_id})

    async def _queue(self) -> wire.Queue:
        return self._read(await self._send("GET", "queue"), TypeAdapter(wire.Queue))

    async def _rejection(self, response: httpx2.Response) -> ProviderError:
        try:
            rejected = wire.Rejected.model_validate_json(response.content)
        except ValidationError:
            return _http.status_error(self._name, response)
        if rejected.error.type == "missing_node_type":
            node = str(rejected.error.extra_info.get("class_type", ""))
            return failures.missing_node(self._name, node)
        if not rejected.node_errors:
            return _http.status_error(self._name, response, f"It said: {rejected.error.type}.")
        return await self._refusal(rejected.node_errors.values())

    async def _refusal(self, node_errors: Iterable[wire.NodeErrors]) -> ProviderError:
        found = failures.problems(node_errors)
        if not found:
            return ProviderError(self._name, "ComfyUI refused the graph, and did not say why")
        first = found[0]
        known = first.options
        if first.kind == "value_not_in_list" and not known:
            # Longer lists than 20 are left out of the answer.
            known = await self.choices(first.node, first.input)
        return failures.refused(self._name, first, known)

    def _somebody_else(self, who: str = "something else") -> ProviderUnavailable:
        return ProviderUnavailable(
            self._name, f"{who} answers at {self.url}, not ComfyUI; set providers.comfyui.baseUrl"
        )

    def _read(self, response: httpx2.Response, shape: TypeAdapter[_T]) -> _T:
        if response.status_code != 200:
            raise _http.status_error(self._name, response)
        try:
            return shape.validate_json(response.content)
        except ValidationError as e:
            raise self._somebody_else() from e

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
    ) -> httpx2.Response:
        url = f"{self.url}/api/{path}"
        try:
            return await self._client().request(
                method, url, params=params, json=json, headers=self.headers
            )
        except httpx2.RequestError as e:
            raise _http.transport_error(self._name, e, self.url, FIX) from e

    async def _elsewhere(self, url: httpx2.URL) -> httpx2.Response:
        """Fetch what lies with a third party, who is not shown our headers."""
        if url.scheme != "https" and self.url.startswith("https"):
            raise InvalidOutput(self._name, "ComfyUI sent us to an address without TLS")
        try:
            return await self._client().get(url, follow_redirects=True)
        except httpx2.RequestError as e:
            raise _http.transport_error(self._name, e, str(url)) from e

    def _client(self) -> httpx2.AsyncClient:
        if self._open is None:
            self._open = httpx2.AsyncClient(
                transport=self._transport,
                verify=self._settings.verify_tls,
                trust_env=not self.loopback,  # a proxy cannot see this machine's own ports
                timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            )
        return self._open
