"""Speak HTTP with a backend: bounded reads, one POST per request, keys in no message."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import anyio
import httpx2

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    EngineCrashed,
    EngineGone,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    duration,
)
from ziggie_image_mcp.provider.addresses import is_loopback, origin, public_url, where_is
from ziggie_image_mcp.provider.bounds import ERROR_BYTES, MAX_VALUES, PLAIN_BYTES, values_in
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.error_rules import (
    Problem,
    Rule,
    error_of,
    page_text,
    problem_in,
    scrub,
)
from ziggie_image_mcp.provider.nouns import Where
from ziggie_image_mcp.provider.pictures import MAX_BYTES
from ziggie_image_mcp.provider.settings import HttpSettings, certificates
from ziggie_image_mcp.provider.transport_errors import (
    NOT_SENT,
    says_tls,
    transport_error,
    wait_asked,
)
from ziggie_image_mcp.provider.trust import trusted

CONNECT_SECONDS = 10.0
LOOPBACK_CONNECT_SECONDS = 1.5
READ_SECONDS = 30.0

Files = Sequence[tuple[str, tuple[str, bytes, str]]]
"""The files of a form: field name, and file name, bytes and media type."""


@dataclass(frozen=True)
class KeyHeader:
    """How a key travels: in which header, and behind which word."""

    name: str = "Authorization"
    prefix: str = "Bearer "
    basic: bool = False
    """The key is `user:password`, and goes as Basic authentication."""

    def value(self, key: str) -> str:
        """The header's value."""
        if self.basic:
            return "Basic " + base64.b64encode(key.encode()).decode()
        return self.prefix + key


BEARER = KeyHeader()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a backend answered, read to its end."""

    status: int
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    location: str = field(default="", repr=False)
    """Where a redirect leads."""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body.

        Raises:
            ValueError: It is no JSON.
        """
        try:
            return json.loads(self.content)
        except RecursionError as e:
            raise ValueError("JSON that is nested too deep") from e

    def data(self) -> dict[str, Any]:
        """The body where it is a JSON object, else an empty one."""
        try:
            value: Any = self.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


class HttpClient:
    """The connections to one backend. Connects with the first call; may be used after `aclose`.

    Args:
        provider: The provider's name.
        settings: Where the backend is, and what it is sent with every request.
        context: Gives keys, and the transport.
        auth: The headers of the keys, in the order of `key_names`.
        key_names: The variables that hold the keys.
        rules: The backend's own errors.
        hosts: More hosts of the backend, which get the keys too where a path is a whole address.
        fix: What to do when nothing answers.
        read_seconds: How long an answer may take, where a call does not say.
    """

    def __init__(
        self,
        provider: str,
        settings: HttpSettings,
        context: ProviderContext,
        *,
        auth: Sequence[KeyHeader] = (),
        key_names: Sequence[str] = (),
        rules: Sequence[Rule] = (),
        hosts: Sequence[str] = (),
        fix: str = "",
        read_seconds: float = READ_SECONDS,
    ) -> None:
        url = httpx2.URL(settings.base_url)
        self.url = public_url(url)
        """The base URL, fit for messages."""
        self.loopback = is_loopback(url)
        self.where: Where = where_is(settings)
        self.proxied = self.where == "vendor" and not self.loopback
        """Whether the environment's proxy may stand between: on the user's own network none may."""
        self.headers = {k: v.get_secret_value() for k, v in settings.headers.items()}
        if url.userinfo:
            login = base64.b64encode(unquote(url.userinfo.decode()).encode()).decode()
            self.headers.setdefault("Authorization", f"Basic {login}")
        self.params: dict[str, str] = {}
        """Of the query of every request."""
        self._provider = provider
        self._settings = settings
        self._context = context
        self._auth = tuple(auth)
        self._key_names = tuple(key_names)
        self._rules = tuple(rules)
        self._hosts = tuple(hosts)
        self._fix = fix or f"check providers.{provider}.baseUrl"
        self._read_seconds = read_seconds
        self._client: httpx2.AsyncClient | None = None

    async def keys(self) -> tuple[str, ...]:
        """The keys, in the order of their names.

        Raises:
            AuthenticationFailed: One is missing, or holds what is no key.
        """
        keys: list[str] = []
        for name in self._key_names:
            key = await self._context.secret(name)
            how = (
                f"run `ziggie-image-mcp keys set {name}`, or set {name} in the MCP client's own"
                " config: many clients do not pass on the shell's environment"
            )
            if not key:
                raise AuthenticationFailed(self._provider, f"there is no key in {name}; {how}")
            if not key.isascii() or not key.isprintable() or " " in key:
                raise AuthenticationFailed(self._provider, f"what {name} holds is no key; {how}")
            keys.append(key)
        return tuple(keys)

    async def sent_headers(self) -> dict[str, str]:
        """What goes out with each request, the keys among it, for a socket to the same backend.

        Raises:
            AuthenticationFailed: See `keys`.
        """
        keys = await self.keys()
        return self._headers(keys)

    def _headers(self, keys: Sequence[str]) -> dict[str, str]:
        sent = dict(self.headers)
        sent.update({h.name: h.value(k) for h, k in zip(self._auth, keys, strict=False)})
        return sent

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        """Ask for something that costs nothing; once more where a connection broke.

        Args:
            path: Below the base URL; or a whole address that the backend named, at its own host.
            params: Of the query.
            headers: Beside those of all requests.
            accept: Failing statuses that are an answer all the same, as 404.
            seconds: How long the answer may take.
            max_bytes: How much is read at most; PLAIN_BYTES where it is not said.

        Raises:
            ProviderError: There was no answer, or a failing one.
        """
        keys = await self.keys()

        async def ask() -> Answer:
            return await self._exchange(
                "GET",
                path,
                keys,
                params=params,
                headers=headers,
                seconds=seconds,
                max_bytes=max_bytes,
            )

        try:
            try:
                answer = await ask()
            except (httpx2.ReadError, httpx2.RemoteProtocolError):  # as a connection kept too long
                answer = await ask()
        except (httpx2.RequestError, TimeoutError) as e:
            raise self._no_answer(e) from e
        except _TooLong as e:
            raise ProviderUnavailable(self._provider, f"{self.url} {e}") from e
        if not answer.ok and answer.status not in accept:
            raise self.error(answer, keys)
        return answer

    async def get_json(self, path: str, *, params: Mapping[str, str] | None = None) -> Any:
        """The JSON at a path.

        Raises:
            ProviderError: There was no answer, a failing one, or none in JSON.
        """
        answer = await self.get(path, params=params)
        try:
            return answer.json()
        except ValueError as e:
            message = f"something else answers at {self.url}; {self._fix}"
            raise ProviderUnavailable(self._provider, message) from e

    async def put(self, path: str, *, seconds: float | None = None) -> Answer:
        """Ask for something that costs nothing by a PUT without a body, as for a job to be stopped.

        Args:
            path: As of `get`.
            seconds: How long the answer may take.

        Raises:
            ProviderError: There was no answer. A failing one is given back.
        """
        keys = await self.keys()
        try:
            return await self._exchange("PUT", path, keys, seconds=seconds)
        except (httpx2.RequestError, TimeoutError) as e:
            raise self._no_answer(e) from e
        except _TooLong as e:
            raise ProviderUnavailable(self._provider, f"{self.url} {e}") from e

    async def post_once(
        self,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str] | None = None,
        files: Files = (),
        headers: Mapping[str, str] | None = None,
        paid: bool = True,
        accept: Sequence[int] = (),
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        """Send a request, once and never again.

        Args:
            path: Below the base URL.
            json: The body.
            form: Fields of a multipart form, instead.
            files: Files of that form.
            headers: Beside those of all requests.
            paid: Whether the answer may have cost money when it is lost.
            accept: Failing statuses that are an answer all the same.
            seconds: How long the answer may take.
            max_bytes: How much is read at most; PLAIN_BYTES where it is not said, and
                `bounds.answer_bytes` where pictures are in it.

        Raises:
            OutcomeUnknown: It was sent, may have been charged, and no answer tells.
            RateLimited: It asks to wait; where nothing costs, by a 503 with its `Retry-After` too.
            ProviderError: It was not sent, or refused: not charged but for the error's `charged`.
        """
        keys = await self.keys()
        seconds = self._read_seconds if seconds is None else seconds
        try:
            answer = await self._exchange(
                "POST",
                path,
                keys,
                json=json,
                form=form,
                files=files,
                headers=headers,
                seconds=seconds,
                max_bytes=max_bytes,
            )
        except NOT_SENT as e:
            raise self._no_answer(e) from e
        except TimeoutError as e:
            raise self.lost(f"did not answer within {duration(seconds)}", paid=paid) from e
        except httpx2.RequestError as e:
            error = self.lost(f"broke off ({type(e).__name__})", paid=paid)
            raise error if paid else EngineGone(self._provider, str(error)) from e
        except _TooLong as e:
            raise self.lost(str(e), paid=paid) from e
        if answer.ok or answer.status in accept:
            return answer
        error = self.error(answer, keys)
        speaks = bool(answer.data()) and self._has_rule(answer)  # a page is by what stands before
        if (answer.status == 408 or answer.status >= 500) and not speaks:
            if answer.status == 503 and error.retry_after is not None and not paid:
                wait = error.retry_after  # it made nothing yet, and asking again costs nothing
                raise RateLimited(self._provider, str(error), retry_after=wait) from error
            raise self.lost(f"failed after the request was sent: {error}", paid=paid) from error
        raise error

    def lost(self, what: str, *, paid: bool = True) -> ProviderError:
        """The error of a request that was sent, and of which nobody tells what became.

        Args:
            what: What happened, the middle of a sentence.
            paid: Whether it may have cost money.
        """
        if not paid:
            return EngineCrashed(self._provider, f"{self.url} {what}; see whether it still runs")
        return OutcomeUnknown(
            self._provider,
            f"{self.url} {what.rstrip('.')}. Nobody can tell whether pictures were made and"
            " charged, so nothing is sent again; the vendor's usage page knows.",
        )

    def problem(self, answer: Answer) -> Problem:
        """What a failing answer says."""
        try:
            body: object = answer.json()
        except ValueError:
            body = page_text(answer.content)
        return problem_in(answer.status, body, wait_asked(answer.headers, body))

    def error(self, answer: Answer, keys: Sequence[str] = ()) -> ProviderError:
        """The error that an answer stands for; nothing secret is in it."""
        if answer.status == 400 and says_tls(answer.content):
            return ProviderUnavailable(
                self._provider,
                f"{self.url} speaks TLS; write https:// in providers.{self._provider}.baseUrl",
            )
        return self._error(self.problem(answer), keys)

    async def refusal(self, answer: Answer) -> ProviderError | None:
        """The error that an answer of success stands for by the backend's own rules, or None."""
        return self.error(answer, await self.keys()) if self._has_rule(answer) else None

    async def unreadable(self, answer: Answer, *, paid: bool = True) -> ProviderError:
        """The error of an answer of success that is not in the API's words.

        Args:
            answer: A refusal by the backend's own rules, or what nobody understands: then its
                words are quoted.
            paid: Whether it may have cost money.
        """
        refusal = await self.refusal(answer)
        if refusal is not None:
            return refusal
        words = scrub(self.problem(answer).message, self._secrets(await self.keys()))
        what = f"answered HTTP {answer.status}, but not in its API's words"
        return self.lost(f"{what}: {words}" if words else what, paid=paid)

    def _error(self, problem: Problem, keys: Sequence[str]) -> ProviderError:
        return error_of(self._provider, self.url, problem, self._rules, self._secrets(keys))

    def _secrets(self, keys: Sequence[str]) -> set[str]:
        """What may stand in no message."""
        sent = [*keys, *self.headers.values()]
        sent += [header.value(key) for header, key in zip(self._auth, keys, strict=False)]
        sent += [unquote(httpx2.URL(self._settings.base_url).password)]
        return {word for value in sent for word in (value, value.rpartition(" ")[2])}

    async def job_error(self, message: str, code: str = "") -> ProviderError:
        """The error of a job that failed behind an answer of success, by the backend's own rules.

        Args:
            message: The backend's own words.
            code: Its stable word, where it has one.
        """
        problem = Problem(status=0, codes=(code,) if code else (), message=message)
        return self._error(problem, await self.keys())

    async def download(
        self, url: str, *, trusted_hosts: Sequence[str] = (), max_bytes: int = MAX_BYTES
    ) -> bytes:
        """Fetch a finished picture, without any key.

        Raises:
            DownloadFailed: See `download.fetch`.
        """
        from ziggie_image_mcp.provider.download import Source, fetch

        source = Source(
            home=httpx2.URL(self._settings.base_url),
            private=self.where != "vendor",
            trusted_hosts=tuple(trusted_hosts),
            transport=self._context.transport,
            resolver=self._context.resolver,
        )
        return await fetch(url, source, max_bytes=min(max_bytes, self._context.max_answer_bytes))

    def tls(self) -> ssl.SSLContext | bool:
        """How the backend's certificate is checked."""
        if self._settings.ca_file is not None:
            return certificates(self._settings.ca_file)
        return self._settings.verify_tls

    async def aclose(self) -> None:
        """Close the connections. May be called twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _has_rule(self, answer: Answer) -> bool:
        problem = self.problem(answer)
        return any(rule.applies(problem) for rule in self._rules)

    async def _exchange(
        self,
        method: str,
        path: str,
        keys: Sequence[str],
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
        files: Files = (),
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        sent = {**self._headers(keys), **(headers or {})}
        url = self._address(path)
        with anyio.fail_after(self._read_seconds if seconds is None else seconds):
            async with self._open().stream(
                method,
                url,
                params={**self.params, **(params or {})} or None,
                json=json,
                files=_form_parts(form or {}, files) or None,
                headers=sent,
                follow_redirects=False,
            ) as response:
                most = PLAIN_BYTES if max_bytes is None else max_bytes
                return await read_answer(response, min(most, self._context.max_answer_bytes))

    def may_ask(self, address: str) -> bool:
        """Whether a whole address is at the backend's own host, or another that may have the keys.

        Args:
            address: As an answer of the backend named it.
        """
        try:
            url = httpx2.URL(address)
        except httpx2.InvalidURL:
            return False
        known = url.scheme == "https" and url.port is None and url.host.lower() in self._hosts
        return not url.userinfo and (known or origin(url) == origin(httpx2.URL(self.url)))

    def _address(self, path: str) -> str:
        """The address of a path; a whole one is looked at, since a backend's answer named it.

        Raises:
            ProviderUnavailable: It leads to somebody who shall not have the keys.
        """
        if "://" not in path.partition("?")[0]:
            return f"{self.url}/{path.lstrip('/')}" if path else self.url
        if not self.may_ask(path):
            what = f"{self.url} leads to another host, which was not asked"
            raise ProviderUnavailable(self._provider, what)
        return path

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            connect = LOOPBACK_CONNECT_SECONDS if self.loopback else CONNECT_SECONDS
            verify = self.tls()
            if verify is True and (self.proxied or self._hosts or self.url.startswith("https")):
                verify = trusted()  # SSL_CERT_FILE counts without the proxies too
            elif verify is True:
                verify = False  # it never speaks TLS
            self._client = httpx2.AsyncClient(
                transport=self._context.transport,
                verify=verify,
                trust_env=self.proxied,
                timeout=httpx2.Timeout(None, connect=connect),
                follow_redirects=False,
            )
        return self._client

    def _no_answer(self, error: httpx2.RequestError | TimeoutError) -> ProviderError:
        return transport_error(self._provider, error, self.url, self._fix)


def _form_parts(form: Mapping[str, str], files: Files) -> list[tuple[str, Any]]:
    """The parts of a multipart form, which it is without files too."""
    fields = [(name, (None, value.encode())) for name, value in form.items()]
    return [*fields, *files]


class _TooLong(Exception):
    """Raised when an answer has more bytes than are read; the message is the end of a sentence."""


async def read_answer(response: httpx2.Response, max_bytes: int) -> Answer:
    """A streamed answer, unpacked and read to its end, but not beyond so many bytes.

    What fails has told so by its status: of a long one the beginning is enough.
    """
    content = bytearray()
    async for chunk in response.aiter_bytes():  # unpacked by a MB at most
        content += chunk
        if not response.is_success and len(content) > ERROR_BYTES:
            break
        if len(content) > max_bytes:
            raise _TooLong(f"sent more than {max_bytes >> 20} MB")
    if values_in(content) > MAX_VALUES:
        raise _TooLong(f"sent JSON of more than {MAX_VALUES} values")
    return Answer(
        status=response.status_code,
        content=bytes(content),
        headers={k.lower(): v for k, v in response.headers.items()},
        location=response.headers.get("location", ""),
    )


@asynccontextmanager
async def closing(client: HttpClient) -> AsyncGenerator[HttpClient]:
    """A client for the time of a block."""
    try:
        yield client
    finally:
        await client.aclose()
