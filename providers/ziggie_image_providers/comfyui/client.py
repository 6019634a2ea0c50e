"""Talk to one ComfyUI server: each of its calls that we use, with its failures as our errors."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter, ValidationError

from ziggie_image_mcp.provider import (
    InvalidOutput,
    ProviderContext,
    ProviderError,
    Where,
    WrongService,
    engines,
)
from ziggie_image_mcp.provider.download import DownloadFailed
from ziggie_image_mcp.provider.engine_server import owned
from ziggie_image_mcp.provider.http import READ_SECONDS, Answer, HttpClient
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_mcp.provider.sockets import certificate_check
from ziggie_image_providers.comfyui import failures, wire
from ziggie_image_providers.comfyui.settings import Settings

_T = TypeVar("_T")

_PICTURE_SECONDS = 300.0
_INTERRUPT_SINCE = (0, 3, 56)
"""Before this version `interrupt` ended whatever ran, and be it somebody else's."""
_REDIRECTS = (301, 302, 303, 307, 308)
_NO_SUCH_ROUTE = (404, 405)


class Client:
    """One server. Connects with the first call; may be used again after `aclose`."""

    def __init__(
        self, name: str, settings: Settings, context: ProviderContext, seconds: float
    ) -> None:
        self._name = name
        self._http = HttpClient(
            name,
            settings,
            context,
            fix=f"start ComfyUI, or set providers.{name}.baseUrl",
            read_seconds=min(READ_SECONDS, seconds),
        )
        self.url = self._http.url
        self.max_bytes = context.max_answer_bytes
        self.where: Where = owned(self._http)
        self.proxied = self._http.proxied
        self.headers = self._http.headers
        self._has_jobs: bool | None = None
        self._nodes: wire.NodeTable | None = None

    def socket_url(self, client_id: str) -> str:
        """Where the websocket of a client is."""
        return f"ws{self.url.removeprefix('http')}/api/ws?clientId={client_id}"

    def socket_tls(self) -> ssl.SSLContext | None:
        """How to check the websocket's certificate; None leaves it to the default."""
        return certificate_check(self._http)

    async def system(self) -> wire.SystemStats:
        """Ask who is there.

        Raises:
            WrongService: What answers is not ComfyUI.
            ProviderError: Nothing answers, or not to us.
        """
        answer = await self._get("system_stats", accept=(404,))
        try:
            stats = wire.SystemStats.model_validate_json(answer.content)
        except ValidationError as e:
            raise failures.wrong_service(self._name, self.url) from e
        if stats.devices and stats.devices[0].name == "koboldcpp":
            who = "KoboldCpp, which only imitates ComfyUI"
            raise failures.wrong_service(self._name, self.url, who)
        return stats

    async def tell_what_answers(self, seconds: float) -> None:
        """Say which engine it is that is not ComfyUI; nothing where nobody knows it.

        Raises:
            WrongService: It is known.
        """
        everything = {route for e in engines.engines().values() for route in e.routes}
        sighting = engines.recognise(await engines.ask(self._http, everything, seconds / 2))
        if sighting is not None and sighting.engine.provider != "comfyui":
            what = f"{engines.about(sighting, self.url)}, and not ComfyUI"
            raise WrongService(self._name, f"{what}; {engines.advice(sighting, self.url)}")

    async def queue_length(self) -> int:
        """How many prompts of anybody wait or run."""
        answer = await self._get("prompt")
        return self._read(answer, TypeAdapter(wire.QueueLength)).exec_info.queue_remaining

    async def files(self, folder: str) -> tuple[str, ...]:
        """List the files in one of its model folders; none where it has no such folder."""
        answer = await self._get(f"models/{folder}", accept=(404,))
        return () if answer.status == 404 else self._read(answer, wire.NAMES)

    async def sizes(self, folder: str) -> dict[str, int]:
        """The bytes of the files in a folder; none where the server is too old to tell."""
        answer = await self._get(f"experiment/models/{folder}", accept=(404,))
        if answer.status == 404:
            return {}
        return {f.name: f.size for f in self._read(answer, wire.FILES)}

    async def embeddings(self) -> tuple[str, ...]:
        """The names of its textual-inversion embeddings, without endings."""
        answer = await self._get("embeddings", accept=_NO_SUCH_ROUTE)
        return self._read(answer, wire.NAMES) if answer.ok else ()

    async def metadata(self, folder: str, file: str) -> dict[str, Any]:
        """What a file of the safetensors format says of itself; nothing where it says nothing."""
        answer = await self._get(
            f"view_metadata/{folder}", params={"filename": file}, accept=range(300, 600)
        )
        found: dict[str, Any] = self._read(answer, wire.METADATA) if answer.ok else {}
        return found

    async def folders(self) -> dict[str, Any]:
        """The places of its model folders, as lists of paths; none where it does not tell."""
        answer = await self._get("internal/folder_paths", accept=range(300, 600), bare=True)
        found: dict[str, Any] = self._read(answer, wire.METADATA) if answer.ok else {}
        return found

    async def nodes(self) -> wire.NodeTable:
        """All classes of nodes with their inputs. Asked once: what is new needs a restart."""
        if self._nodes is None:
            answer = await self._get("object_info", accept=_NO_SUCH_ROUTE)
            found = self._read(answer, wire.METADATA) if answer.ok else {}
            self._nodes = wire.NodeTable(found)
        return self._nodes

    async def choices(self, node: str, input: str) -> tuple[str, ...]:
        """What one input of a class of nodes takes now; empty where there is no such thing."""
        answer = await self._get(f"object_info/{quote(node)}", accept=(404,))
        if answer.status == 404:
            return ()
        found = self._read(answer, wire.METADATA)
        return wire.NodeTable(found).choices(node, input)

    async def upload(self, data: bytes) -> str:
        """Give it a picture for a job, and return the name by which nodes load it.

        It goes to the server's temporary folder under a name made of its content, so that a second
        upload of it changes nothing.
        """
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.png"
        place = {"type": "temp", "subfolder": "ziggie", "overwrite": "true"}
        answer = await self._http.post_once(
            "api/upload/image",
            form=place,
            files=[("image", (name, data, "image/png"))],
            paid=False,
            seconds=_PICTURE_SECONDS,
        )
        stored = self._read(answer, TypeAdapter(wire.Uploaded))
        path = f"{stored.subfolder}/{stored.name}" if stored.subfolder else stored.name
        return path if stored.type == "input" else f"{path} [{stored.type}]"

    async def free(self) -> None:
        """Let it give its models' memory back, once it has nothing to do."""
        await self._post("free", {"unload_models": True, "free_memory": True})

    async def last_model(self) -> str:
        """The model file of the newest prompt of its history; empty where there is none."""
        answer = await self._get("history", params={"max_items": "1"}, accept=range(300, 600))
        return wire.model_of_history(answer.data()) if answer.ok else ""

    async def post_prompt(
        self,
        nodes: Mapping[str, Any],
        prompt_id: str,
        client_id: str,
        *,
        previews: bool = False,
        partner_key: str | None = None,
    ) -> wire.Posted:
        """Put a graph into the queue. The sound part of it runs also where the rest is refused.

        Raises:
            EngineCrashed: It was sent, and no answer came.
            ModelMissing: A file that the graph names is not there.
            RequestRejected: Another value is not accepted.
        """
        body: dict[str, Any] = {"prompt": nodes, "prompt_id": prompt_id, "client_id": client_id}
        extra = {"preview_method": "latent2rgb"} if previews else {}
        if partner_key:
            extra["api_key_comfy_org"] = partner_key
        if extra:
            body["extra_data"] = extra
        answer = await self._post("prompt", body, accept=(400,))
        if answer.status == 400:
            raise await self._rejection(answer)
        return self._read(answer, TypeAdapter(wire.Posted))

    async def refusal(self, node_errors: Iterable[wire.NodeErrors]) -> ProviderError:
        """Say what is wrong with a graph."""
        problems = failures.problems(node_errors)
        if not problems:
            return ProviderError(self._name, "ComfyUI refused the graph, and did not say why")
        first = problems[0]
        options = first.options
        if first.kind == "value_not_in_list" and not options:
            # Longer lists than 20 are left out of the answer.
            options = await self.choices(first.node, first.input)
        return failures.refused(self._name, first, options)

    async def state(self, prompt_id: str) -> wire.PromptState | None:
        """Where a prompt stands, or None when the server does not know it."""
        if self._has_jobs is None:
            jobs = await self._get("jobs", params={"limit": "1"}, accept=_NO_SUCH_ROUTE)
            if jobs.ok:
                self._read(jobs, wire.METADATA)
            self._has_jobs = jobs.ok
        if not self._has_jobs:
            return await self._state_by_history(prompt_id)
        answer = await self._get(f"jobs/{prompt_id}", accept=(404,))
        if answer.status == 404:
            return None
        return wire.from_job(self._read(answer, TypeAdapter(wire.JobReply)))

    async def stop(self, prompt_ids: Sequence[str]) -> bool:
        """Take prompts off the queue, and interrupt the one that runs.

        Returns:
            Whether there was anything to stop.

        Raises:
            ProviderError: The server cannot be asked, or is too old to stop one prompt alone.
        """
        queue = await self._queue()
        if not any(queue.runs(id) or queue.waits(id) for id in prompt_ids):
            return False
        await self._post("queue", {"delete": list(prompt_ids)})
        if any(queue.waits(id) for id in prompt_ids):
            queue = await self._queue()  # one of them may have begun in between
        for id in filter(queue.runs, prompt_ids):
            answer = await self._post(f"jobs/{id}/cancel", accept=_NO_SUCH_ROUTE)
            if not answer.ok:
                await self._interrupt(id)
        return True

    async def picture(self, image: wire.Image, max_bytes: int) -> bytes:
        """Fetch a finished picture.

        Raises:
            InvalidOutput: It is gone, or is no picture.
        """
        where = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        answer = await self._get(
            "view",
            params=where,
            accept=(404, *_REDIRECTS),
            seconds=_PICTURE_SECONDS,
            max_bytes=max_bytes,
        )
        if answer.status == 404:
            raise InvalidOutput(self._name, "ComfyUI finished the job, but its picture is gone")
        if not answer.ok:  # it lies with a third party, who is not shown our headers
            url = httpx2.URL(f"{self.url}/api/view").join(answer.location)
            try:
                return await self._http.download(str(url), max_bytes=max_bytes)
            except DownloadFailed as e:
                raise InvalidOutput(self._name, f"the pictures of ComfyUI {e}") from e
        if media_type(answer.content) == "application/octet-stream":
            raise InvalidOutput(self._name, "what ComfyUI gave is no PNG, JPEG or WebP picture")
        return answer.content

    async def aclose(self) -> None:
        """Close the connections."""
        self.forget()
        await self._http.aclose()

    def forget(self) -> None:
        """Take nothing for granted any more: the server may have been replaced."""
        self._has_jobs = self._nodes = None

    async def _state_by_history(self, prompt_id: str) -> wire.PromptState | None:
        queue = await self._queue()
        if queue.runs(prompt_id):
            return wire.PromptState(status="in_progress")
        if queue.waits(prompt_id):
            return wire.PromptState(status="pending")
        # Only after the queue: a prompt that moves between the two looks is then seen in one.
        answer = await self._get(f"history/{prompt_id}")
        entry = self._read(answer, wire.HISTORY).get(prompt_id)
        return wire.from_history(entry) if entry else None

    async def _interrupt(self, prompt_id: str) -> None:
        stats = await self.system()
        if wire.version(stats.system.comfyui_version) < _INTERRUPT_SINCE:
            raise failures.cannot_stop(self._name)
        await self._post("interrupt", {"prompt_id": prompt_id})

    async def _queue(self) -> wire.Queue:
        return self._read(await self._get("queue"), TypeAdapter(wire.Queue))

    async def _rejection(self, answer: Answer) -> ProviderError:
        try:
            rejection = wire.Rejection.model_validate_json(answer.content)
        except ValidationError:
            return self._http.error(answer)
        if rejection.error.type == "missing_node_type":
            node = str(rejection.error.extra_info.get("class_type", ""))
            return failures.missing_node(self._name, node)
        if node := wire.absent_node(rejection.error):  # as servers of 2025 and before say it
            return failures.missing_node(self._name, node)
        if not rejection.node_errors:
            return failures.graph_refused(self._name, rejection.error.type)
        return await self.refusal(rejection.node_errors.values())

    def _read(self, answer: Answer, shape: TypeAdapter[_T]) -> _T:
        try:
            return shape.validate_json(answer.content)
        except ValidationError as e:
            raise failures.wrong_service(self._name, self.url) from e

    async def _get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        seconds: float | None = None,
        max_bytes: int | None = None,
        bare: bool = False,
    ) -> Answer:
        route = path if bare else f"api/{path}"
        return await self._http.get(
            route, params=params, accept=accept, seconds=seconds, max_bytes=max_bytes
        )

    async def _post(self, path: str, body: object = None, *, accept: Sequence[int] = ()) -> Answer:
        return await self._http.post_once(f"api/{path}", json=body, paid=False, accept=accept)
