"""Talk to one InvokeAI server: each of its calls that we use, with its failures as our errors."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter, ValidationError

from ziggie_image_mcp.provider import AuthenticationFailed, ProviderContext, engines
from ziggie_image_mcp.provider.engine_server import EngineServer
from ziggie_image_mcp.provider.engines import Sighting
from ziggie_image_mcp.provider.http import Answer, HttpClient
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_providers.invokeai import failures, wire
from ziggie_image_providers.invokeai.settings import Settings

_T = TypeVar("_T", bound=BaseModel)

QUEUE = "v1/queue/default"
PICTURE_SECONDS = 300.0
POLL_SECONDS = 10.0
"""What an answer about a job may take: a server that loads a model is slow."""
TOKEN_SHARE = 0.8
"""So much of the time for which a login holds it is used."""


class Server(EngineServer[Settings]):
    """One server.

    Args:
        name: The provider's name.
        settings: Where it is, and which variable holds a login.
        context: Gives keys, and the transport.
        seconds: How long an answer may take at most.
    """

    kind = "invokeai"
    how_to_start = "start InvokeAI"
    errors = failures.ERRORS

    def __init__(
        self, name: str, settings: Settings, context: ProviderContext, seconds: float
    ) -> None:
        super().__init__(name, settings, context, seconds)
        self._poll_seconds = min(POLL_SECONDS, seconds)
        self._login_ends: dict[str, float] = {}
        """By address: until when a login there holds."""

    async def find(self) -> Sighting:
        """Ask who is there; where no address is set, wherever engines are looked for.

        Raises:
            WrongService: What answers is not InvokeAI.
            ProviderError: Nothing answers, or not to us.
        """

        async def identify(http: HttpClient, seconds: float) -> Sighting:
            seconds = min(seconds, self._seconds)
            return await engines.identify(http, self._name, self.kind, seconds)

        return await self._places.find(identify)

    async def models(self) -> list[wire.ModelRecord]:
        """All models of all types."""
        return self._read(await self._get("v2/models/"), wire.ModelList).models

    async def queue(self) -> wire.QueueStatus:
        """How many jobs of anybody wait or run."""
        return self._read(await self._get(f"{QUEUE}/status"), wire.QueueStatus)

    async def stats(self) -> wire.Stats:
        """What is in memory; nothing where it does not tell, as to those who are no admins."""
        answer = await self._get("v2/models/stats", accept=range(300, 600))
        return self._read(answer, wire.Stats) if answer.ok else wire.Stats()

    async def upload(self, data: bytes) -> str:
        """Give it a picture for a job, and return the name by which nodes take it."""
        query = "image_category=general&is_intermediate=true"

        async def post() -> Answer:
            return await self.http.post_once(
                f"api/v1/images/upload?{query}",
                files=[("file", ("ziggie.png", data, "image/png"))],
                paid=False,
                seconds=PICTURE_SECONDS,
            )

        return self._read(await self._asked(post), wire.Uploaded).image_name

    async def enqueue(self, batch: Mapping[str, Any]) -> wire.Enqueued:
        """Put a graph into the queue, once for each picture.

        Raises:
            EngineCrashed: It was sent, and no answer came.
            RequestRejected: The graph is not accepted.
        """
        answer = await self._post(f"{QUEUE}/enqueue_batch", {"prepend": False, "batch": batch})
        return self._read(answer, wire.Enqueued)

    async def counts(self, destination: str) -> wire.Counts:
        """Where the items with this destination stand; all 0 where it has none."""
        path, query = f"{QUEUE}/counts_by_destination", {"destination": destination}
        answer = await self._get(path, params=query, seconds=self._poll_seconds)
        return self._read(answer, wire.Counts)

    async def items(self, destination: str) -> list[wire.Item]:
        """The items with this destination, with all that their graphs made."""
        answer = await self._get(f"{QUEUE}/list_all", params={"destination": destination})
        try:
            return wire.ITEMS.validate_json(answer.content)
        except ValidationError as e:
            raise failures.other_words(self._name, self.http.url) from e

    async def cancel(self, destination: str) -> bool:
        """End the items with this destination, those that wait and the one that runs.

        Returns:
            Whether there was anything to end.
        """

        async def put() -> Answer:
            query = f"destination={quote(destination)}"
            answer = await self.http.put(f"api/{QUEUE}/cancel_by_destination?{query}")
            if not answer.ok:
                raise self.http.error(answer, await self.http.keys())
            return answer

        canceled = (await self._asked(put)).data().get("canceled")
        return isinstance(canceled, int) and canceled > 0

    async def picture(self, image_name: str, max_bytes: int) -> bytes:
        """Fetch a finished picture.

        Raises:
            InvalidOutput: It is gone, or is no picture.
        """
        answer = await self._get(
            f"v1/images/i/{quote(image_name, safe='')}/full",
            accept=(404,),
            seconds=PICTURE_SECONDS,
            max_bytes=max_bytes,
        )
        if not answer.ok or media_type(answer.content) == "application/octet-stream":
            raise failures.gone(self._name)
        return answer.content

    async def delete(self, image_names: Sequence[str]) -> None:
        """Take pictures away; those that are not there are left out."""
        await self._post("v1/images/delete", {"image_names": list(image_names)})

    async def _get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        async def get() -> Answer:
            return await self.http.get(
                f"api/{path}", params=params, accept=accept, seconds=seconds, max_bytes=max_bytes
            )

        return await self._asked(get)

    async def _post(self, path: str, body: object) -> Answer:
        async def post() -> Answer:
            return await self.http.post_once(f"api/{path}", json=body, paid=False)

        return await self._asked(post)

    async def _asked(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask, as a user where a login is set; once more where that login had ended.

        What was refused for its login was not done: a POST may be sent again.
        """
        if self._settings.key_name is None:
            return await ask()
        if time.monotonic() >= self._login_ends.get(self.http.url, 0.0):
            await self._log_in(self._settings.key_name)
            return await ask()
        try:
            return await ask()
        except AuthenticationFailed:
            await self._log_in(self._settings.key_name)
            return await ask()

    async def _log_in(self, key_name: str) -> None:
        self.http.headers.pop("Authorization", None)
        [login] = await self.http.keys()
        email, colon, password = login.partition(":")
        if not colon:
            raise failures.bad_login(self._name, key_name)
        body = {"email": email, "password": password, "remember_me": False}
        path = "api/v1/auth/login"
        answer = await self.http.post_once(path, json=body, paid=False, accept=(401, 403, 422))
        if answer.status == 403:  # it runs for one user, and wants no login
            self._login_ends[self.http.url] = math.inf
            return
        token, lasts = answer.data().get("token"), answer.data().get("expires_in")
        if not answer.ok or not isinstance(token, str) or not token.isascii():
            raise failures.bad_login(self._name, key_name)
        self.http.headers["Authorization"] = f"Bearer {token}"
        seconds = lasts if isinstance(lasts, int | float) else 0.0
        self._login_ends[self.http.url] = time.monotonic() + TOKEN_SHARE * seconds

    def _read(self, answer: Answer, shape: type[_T]) -> _T:
        try:
            return TypeAdapter(shape).validate_json(answer.content)
        except ValidationError as e:
            raise failures.other_words(self._name, self.http.url) from e
