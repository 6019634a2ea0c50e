"""A vendor on a loopback port that does what a test tells it."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self, cast

from ziggie_image_mcp.provider.testing.fake_socket import CONTINUED, FakeSocket, wants_socket

DRIP_SECONDS = 0.05
"""Between two bytes of what drips."""

ENDLESS_BYTES = 48 * 2**20
"""After so much an endless answer ends all the same: the reader has failed its test."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes

    @property
    def origin(self) -> str:
        """The address that was asked, without the path: where this vendor's pictures may lie."""
        return f"http://{self.headers['host']}"

    @property
    def body(self) -> Any:
        """The JSON that came in."""
        return json.loads(self.content)

    @property
    def is_form(self) -> bool:
        """Whether a multipart form came in."""
        return self.headers.get("content-type", "").startswith("multipart/form-data")

    @property
    def form(self) -> dict[str, str | bytes]:
        """The fields of a multipart form, a file's as bytes."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        found: dict[str, str | bytes] = {}
        for part in message_from_bytes(head + self.content, policy=HTTP).iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found[name] = content if part.get_filename() else content.decode()
        return found


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the vendor does with a request."""

    status: int = 200
    body: Any = None
    """Bytes go out as they are, anything else as JSON. To a websocket a list, or what is iterated
    as it goes out, is several messages."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    then: Literal["answer", "reset", "cut", "hang", "drip", "endless"] = "answer"
    """`reset` breaks off before the answer, `cut` in the middle of its body, `hang` says nothing,
    `drip` sends the body a byte at a time and does not come to its end, `endless` sends the body
    and then zeros. A websocket is closed after the messages, but with `drip`."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, vendor: FakeVendor, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.vendor = vendor

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted = super().get_request()
        self.vendor.connections += 1
        return accepted

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error."""


class FakeVendor:
    """Answers on `url` while its block lasts. What it was asked stands in `seen`, in order."""

    def __init__(self, script: Callable[[Seen], Reply]) -> None:
        self.seen: list[Seen] = []
        self.replies: list[Reply] = []
        """What was answered, in the same order."""
        self.script = script
        """May be exchanged while it runs."""
        self.connections = 0
        self.endless_bytes = 0
        """The most that was sent of one endless answer."""
        self.handshake: Reply | None = None
        """Answers who asks for a websocket, instead of one: a refusal, or a redirect."""
        self.failures: list[Exception] = []
        """What the script raised."""
        self._over = threading.Event()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement

            def handle_one(self) -> None:
                vendor.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Server(self, Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        work = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        work.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def asked(self) -> list[str]:
        """Method and path of all that came in."""
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Reply one request; to one for a websocket, once its first message is here."""
        socket_asked = wants_socket(request)
        if socket_asked and self.handshake is None:
            self._talk(request)
            return
        length = int(request.headers.get("content-length") or 0)
        content = request.rfile.read(length)
        if socket_asked and self.handshake is not None:
            answer = self.handshake
        else:
            answer = self._answer_to(request, content)
        if answer.then == "hang":
            self._over.wait(60)
        if answer.then in ("hang", "reset"):
            _reset(request)
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        kind = "image/png" if isinstance(answer.body, bytes) else "application/json"
        headers = {"content-type": kind, **answer.headers}
        if answer.then == "endless":
            headers["connection"] = "close"
        else:
            more = 1000 if answer.then in ("cut", "drip") else 0
            headers["content-length"] = str(len(body) + more)
        request.send_response(answer.status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        if answer.then == "drip":
            self._drip(request, body)
            return
        request.wfile.write(body)
        if answer.then == "cut":
            _reset(request)
        elif answer.then == "endless":
            request.close_connection = True
            self._pour(request)

    def _answer_to(self, request: BaseHTTPRequestHandler, content: bytes) -> Reply:
        seen = Seen(
            method=request.command,
            path=request.path,
            headers={k.lower(): v for k, v in request.headers.items()},
            content=content,
        )
        try:
            answer = self.script(seen)
        except Exception as e:
            self.failures.append(e)
            answer = Reply(status=500, body={"error": "the test's script failed"})
        self.replies.append(answer)
        self.seen.append(seen)
        return answer

    def _talk(self, request: BaseHTTPRequestHandler) -> None:
        connection = FakeSocket(request)
        connection.accept()
        content = connection.receive()
        if content is None:
            return
        answer = self._answer_to(request, content)
        if answer.then == "hang":
            self._over.wait(60)
        if answer.then in ("hang", "reset"):
            _reset(request)
            return
        try:
            self._send(connection, answer)
        except OSError:
            return  # whoever asked has gone
        if answer.then == "cut":
            _reset(request)
        elif answer.then == "drip":
            self._over.wait(60)
        else:
            connection.close()

    def _send(self, connection: FakeSocket, answer: Reply) -> None:
        several = isinstance(answer.body, list | Iterator)
        bodies = cast("Iterable[Any]", answer.body) if several else [answer.body]
        for body in bodies:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            if answer.then == "endless":
                connection.send(data, last=False)
                self._pour_into(connection)
                return
            connection.send(data, cut=len(data) // 2 if answer.then == "cut" else None)
            if answer.then == "cut":
                return

    def _pour_into(self, connection: FakeSocket) -> None:
        sent, block = 0, b"0" * 2**16
        while sent < ENDLESS_BYTES and not self._over.is_set():
            connection.send(block, kind=CONTINUED, last=False)
            sent += len(block)
            self.endless_bytes = max(self.endless_bytes, sent)

    def _drip(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        for i in itertools.cycle(range(len(body))):
            if self._over.wait(DRIP_SECONDS):
                break
            request.wfile.write(body[i : i + 1])  # until whoever asked has gone

    def _pour(self, request: BaseHTTPRequestHandler) -> None:
        sent, block = 0, b"0" * 2**16
        try:
            while sent < ENDLESS_BYTES and not self._over.is_set():
                request.wfile.write(block)
                sent += len(block)
                self.endless_bytes = max(self.endless_bytes, sent)
        except OSError:
            pass


def _reset(request: BaseHTTPRequestHandler) -> None:
    linger = struct.pack("ii", 1, 0)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    request.connection.close()
    request.close_connection = True
