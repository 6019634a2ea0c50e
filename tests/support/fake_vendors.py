"""Vendors on loopback ports that do what a test tells them, held to the vendors' published specs.

The specs lie outside the repository, in ../shared/specs; without them nothing is held to them.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self, cast

from ziggie_image_mcp.provider.testing import picture

SPECS = Path(__file__).parents[2].parent / "shared" / "specs"
NO_SPECS = f"the vendors' specs are not in {SPECS}"
PNG = b"\x89PNG\r\n\x1a\n and so on"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)

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
class Answer:
    """What a vendor does with a request."""

    status: int = 200
    body: Any = None
    """Bytes go out as they are, anything else as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    then: Literal["answer", "reset", "hang"] = "answer"


class FakeVendor:
    """Answers on `url` while its block lasts. What it was asked stands in `seen`, in order."""

    def __init__(self, script: Callable[[Seen], Answer]) -> None:
        self.seen: list[Seen] = []
        self.script = script
        self._over = threading.Event()
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                vendor.handle(self)

            def do_POST(self) -> None:
                vendor.handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
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
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("content-length") or 0)
        seen = Seen(
            method=request.command,
            path=request.path,
            headers={k.lower(): v for k, v in request.headers.items()},
            content=request.rfile.read(length),
        )
        self.seen.append(seen)
        answer = self.script(seen)
        if answer.then == "hang":
            self._over.wait(10)
        if answer.then != "answer":
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()
            request.close_connection = True
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        request.send_response(answer.status)
        kind = "image/png" if isinstance(answer.body, bytes) else "application/json"
        headers = {"content-type": kind, **answer.headers, "content-length": str(len(body))}
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


# What the vendors say, as recorded in the project's notes on paid providers


def openai_answer(pictures: int = 1) -> dict[str, Any]:
    return {
        "created": 1_795_000_000,
        "data": [{"b64_json": "iVBORw0KGgogYW5kIHNvIG9u"} for _ in range(pictures)],
        "background": "opaque",
        "output_format": "png",
        "size": "1024x1024",
        "quality": "medium",
        "usage": {
            "input_tokens": 20,
            "output_tokens": 440 * pictures,
            "total_tokens": 20 + 440 * pictures,
            "input_tokens_details": {"text_tokens": 20, "image_tokens": 0},
        },
    }


def openai_pictures(data: bytes) -> dict[str, Any]:
    return openai_answer() | {"data": [{"b64_json": base64.b64encode(data).decode()}]}


def painted(seen: Seen) -> Answer:
    """OpenAI makes a picture."""
    return Answer(body=openai_pictures(picture(1024, 1024)))


def openai_error(code: str | None, kind: str = "invalid_request_error", said: str = "No.") -> Any:
    return {"error": {"message": said, "type": kind, "code": code, "param": None}}


def prediction(status: str = "starting", url: str = "", **more: Any) -> dict[str, Any]:
    base = url or "https://api.replicate.com"
    return {
        "id": "gm3qorzdhgbfurvjtvhg6dckhu",
        "model": "black-forest-labs/flux-schnell",
        "version": "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",
        "input": {"prompt": "a cat"},
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "status": status,
        "created_at": "2026-11-23T12:00:00.000Z",
        "urls": {
            "web": "https://replicate.com/p/gm3qorzdhgbfurvjtvhg6dckhu",
            "get": f"{base}/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu",
            "cancel": f"{base}/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu/cancel",
        },
        **more,
    }


# The published specs


def has_specs() -> bool:
    return SPECS.is_dir()


def problems(vendor: str, pointer: str, value: Any) -> list[str]:
    """What is wrong with a value by one schema of a vendor's spec; unknown keys are wrong too.

    Args:
        vendor: `openai` or `replicate`.
        pointer: The schema's name in the spec's components.
        value: A request's or an answer's body.
    """
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]

    spec = _nullable(json.loads((SPECS / f"{vendor}.json").read_text(encoding="utf-8")))
    components = spec["components"]
    schema = {"$ref": f"#/components/schemas/{pointer}", "components": components}
    validator = cast(Any, Draft202012Validator(schema))
    found = [f"{e.json_path}: {e.message}" for e in validator.iter_errors(value)]
    known = components["schemas"][pointer]["properties"]
    return found + [f"unknown key {key}" for key in value if key not in known]


def _nullable(schema: object) -> Any:
    """OpenAPI 3.0's `nullable`, which these specs still use, in JSON Schema's words."""
    if isinstance(schema, list):
        return [_nullable(item) for item in cast("list[object]", schema)]
    if not isinstance(schema, dict):
        return schema
    known = cast(dict[str, Any], schema)
    made = {key: _nullable(value) for key, value in known.items()}
    if known.get("nullable") is True and isinstance(known.get("type"), str):
        made["type"] = [known["type"], "null"]
    return made
