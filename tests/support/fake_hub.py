"""A Hub on loopback, as the real huggingface_hub client asks it by HF_ENDPOINT.

Answers as the Hub's: a model's info with sizes and checksums, files by HEAD and GET with ranges,
what lies in LFS by way of another address, and the headers of its refusals. Faults are switched on.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?$")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


@dataclass
class Repo:
    """What a repository holds."""

    files: dict[str, bytes]
    license: str = "apache-2.0"
    gated: str | bool = False
    tags: list[str] = field(default_factory=list[str])
    commit: str = COMMIT
    refuse: int = 0
    """The status with which a gated repository's files are refused."""
    corrupt: set[str] = field(default_factory=set[str])
    """Files that arrive with other bytes."""
    stall_after: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes of a file after which nothing more comes."""
    pretend_sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Bytes that the info tells of a file, instead of its own."""


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    range: str
    authorization: str


class FakeHub:
    """The server. `requests` has all that was asked, `sent` the bytes of each file."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.sent: dict[str, int] = {}
        self.stalled = threading.Event()
        """A file stopped coming."""
        self.over = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            def do_HEAD(self) -> None:
                hub.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @contextmanager
    def serving(self) -> Generator[FakeHub]:
        self._thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def add(self, name: str, files: dict[str, bytes], **more: Any) -> Repo:
        self.repos[name] = Repo(files=files, **more)
        return self.repos[name]

    def add_folder(self, name: str, folder: Path, **more: Any) -> Repo:
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        content = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}
        return self.add(name, content, **more)

    def asked(self, method: str, part: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and part in r.path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        headers = handler.headers
        self.requests.append(
            Request(
                handler.command, path, headers.get("Range", ""), headers.get("Authorization", "")
            )
        )
        if found := _API.match(path):
            self._info(handler, found[1], found[2] or "main")
        elif found := _RESOLVE.match(path):
            self._resolve(handler, found[1], found[2], found[3])
        elif path.startswith("/cdn/"):
            name, _, file = path.removeprefix("/cdn/").partition("//")
            self._send_file(handler, self.repos[name], file)
        else:
            _refuse(handler, 404, "", "Sorry, we can't find the page you are looking for.")

    def _info(self, handler: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        repo = self.repos.get(name)
        if repo is None:
            _refuse(handler, 401, "RepoNotFound", "Invalid username or password.")
            return
        if revision not in ("main", repo.commit):
            _refuse(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        body = {
            "id": name,
            "modelId": name,
            "sha": repo.commit,
            "private": False,
            "gated": repo.gated,
            "cardData": {"license": repo.license},
            "tags": ["diffusers", f"license:{repo.license}", *repo.tags],
            "siblings": [
                _sibling(path, data, repo.pretend_sizes.get(path, len(data)))
                for path, data in repo.files.items()
            ],
        }
        _send(handler, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(
        self, handler: BaseHTTPRequestHandler, name: str, revision: str, path: str
    ) -> None:
        repo = self.repos.get(name)
        if repo is None:
            _refuse(handler, 401, "RepoNotFound", "Invalid username or password.")
        elif repo.refuse:
            text = f"Access to model {name} is restricted and you are not in the authorized list."
            _refuse(handler, repo.refuse, "GatedRepo", text)
        elif revision not in ("main", repo.commit):
            _refuse(handler, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif path not in repo.files:
            _refuse(handler, 404, "EntryNotFound", "Entry not found")
        elif is_lfs(path):
            data = repo.files[path]
            headers = {
                "Location": f"{self.url}/cdn/{name}//{path}",
                "X-Repo-Commit": repo.commit,
                "X-Linked-Size": str(len(data)),
                "X-Linked-ETag": f'"{hashlib.sha256(data).hexdigest()}"',
                "Accept-Ranges": "bytes",
            }
            _send(handler, 302, b"", headers)
        else:
            self._send_file(handler, repo, path)

    def _send_file(self, handler: BaseHTTPRequestHandler, repo: Repo, path: str) -> None:
        data = repo.files[path]
        headers = {
            "X-Repo-Commit": repo.commit,
            "ETag": f'"{hashlib.sha256(data).hexdigest() if is_lfs(path) else git_oid(data)}"',
            "Accept-Ranges": "bytes",
        }
        if path in repo.corrupt:
            data = bytes(byte ^ 1 for byte in data)
        status, start = 200, 0
        if found := re.match(r"bytes=(\d+)-$", handler.headers.get("Range", "")):
            status, start = 206, int(found[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        part = data[start:]
        stop = repo.stall_after.get(path)
        if handler.command == "HEAD" or stop is None:
            _send(handler, status, part, headers)
            self._count(handler, path, len(part))
            return
        _begin(handler, status, len(part), headers)
        handler.wfile.write(part[: max(stop - start, 0)])
        handler.wfile.flush()
        self._count(handler, path, max(stop - start, 0))
        self.stalled.set()
        self.over.wait(300)

    def _count(self, handler: BaseHTTPRequestHandler, path: str, size: int) -> None:
        if handler.command == "GET":
            self.sent[path] = self.sent.get(path, 0) + size


def is_lfs(path: str) -> bool:
    return path.endswith((".safetensors", ".bin", ".ckpt", ".onnx"))


def git_oid(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def _sibling(path: str, data: bytes, size: int) -> dict[str, Any]:
    row: dict[str, Any] = {"rfilename": path, "size": size, "blobId": git_oid(data)}
    if is_lfs(path):
        digest = hashlib.sha256(data).hexdigest()
        row["lfs"] = {"size": size, "sha256": digest, "pointerSize": 134}
    return row


def _begin(
    handler: BaseHTTPRequestHandler, status: int, length: int, headers: dict[str, str]
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()


def _send(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
) -> None:
    _begin(handler, status, len(body), headers)
    if handler.command != "HEAD":
        try:
            handler.wfile.write(body)
        except ConnectionError:
            handler.close_connection = True  # who asked has gone


def _refuse(handler: BaseHTTPRequestHandler, status: int, code: str, message: str) -> None:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    _send(handler, status, json.dumps({"error": message}).encode(), headers)
