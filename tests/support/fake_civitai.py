"""CivitAI on loopback, with the answers of its documentation. Nothing of it was seen live.

developer.civitai.com/site/reference/model-versions and /models, read 2026-11-29.
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
from typing import Any

MODEL, VERSION = 827184, 2514310


@dataclass(frozen=True)
class Asked:
    """What was asked."""

    path: str
    authorization: str
    range: str


@dataclass
class FakeCivitai:
    """One model with one version. `asked` has all that was asked for."""

    data: bytes
    name: str = "fox.safetensors"
    type: str = "LORA"
    commercial: Any = "{Image,RentCivit}"
    wants_token: bool = False
    drops_after: int = 0
    """Bytes of the file after which the connection breaks once."""
    corrupt: bool = False
    asked: list[Asked] = field(default_factory=list["Asked"])
    url: str = ""

    @contextmanager
    def serving(self) -> Generator[FakeCivitai]:
        civitai = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                civitai.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                del format, args

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def of(self, part: str) -> list[Asked]:
        return [one for one in self.asked if part in one.path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = handler.headers
        token = headers.get("Authorization", "")
        self.asked.append(Asked(handler.path, token, headers.get("Range", "")))
        if handler.path == f"/api/v1/model-versions/{VERSION}":
            _send_json(handler, self._version())
        elif handler.path == f"/api/v1/models/{MODEL}":
            _send_json(handler, self._model())
        elif handler.path == f"/api/download/models/{VERSION}":
            if self.wants_token and not token:
                _send_json(handler, {"error": "Unauthorized"}, 401)
                return
            storage = self.url.replace("127.0.0.1", "localhost")
            handler.send_response(307)
            handler.send_header("Location", f"{storage}/storage/file?signature=abc")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        elif handler.path.startswith("/storage/"):
            self._send_file(handler)
        else:
            _send_json(handler, {"error": "No model with this id"}, 404)

    def _version(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.data).hexdigest().upper()
        return {
            "id": VERSION,
            "modelId": MODEL,
            "name": "v16.0",
            "baseModel": "Illustrious",
            "air": f"urn:air:sdxl:lora:civitai:{MODEL}@{VERSION}",
            "status": "Published",
            "trainedWords": ["fox style", "red fur"],
            "model": {"name": "Red Fox", "type": self.type, "nsfw": False, "poi": False},
            "files": [
                {
                    "id": 2402203,
                    "name": self.name,
                    "type": "Model",
                    "sizeKB": round(len(self.data) / 1024, 2),
                    "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
                    "hashes": {"AutoV2": digest[:10], "SHA256": digest},
                    "downloadUrl": f"{self.url}/api/download/models/{VERSION}",
                    "primary": True,
                }
            ],
            "downloadUrl": f"{self.url}/api/download/models/{VERSION}",
        }

    def _model(self) -> dict[str, Any]:
        return {
            "id": MODEL,
            "name": "Red Fox",
            "type": self.type,
            "allowNoCredit": False,
            "allowCommercialUse": self.commercial,
            "allowDerivatives": True,
            "allowDifferentLicense": False,
            "modelVersions": [{"id": VERSION, "name": "v16.0"}],
        }

    def _send_file(self, handler: BaseHTTPRequestHandler) -> None:
        data = bytes(byte ^ 1 for byte in self.data) if self.corrupt else self.data
        found = re.match(r"bytes=(\d+)-$", handler.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        handler.send_response(206 if found else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        stop, self.drops_after = self.drops_after or len(data), 0
        handler.wfile.write(data[start:stop])


def _send_json(handler: BaseHTTPRequestHandler, body: Any, status: int = 200) -> None:
    raw = json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)
