"""A raw JSON-RPC peer over stdio: no SDK on this side, so that the wire itself is seen."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

OURS = (sys.executable, "-m", "ziggie_image_mcp")


class Wire:
    """One server process. Every line that it writes to stdout is kept in `lines`."""

    def __init__(self, command: Sequence[str] = OURS, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env) if env is not None else None,
        )
        self.lines: list[str] = []
        self.stderr = b""
        self._read: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            self.lines.append(raw.decode())
            self._read.put(json.loads(raw))
        self._read.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        self.stderr = self.process.stderr.read()

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self, timeout: float = 60) -> dict[str, Any]:
        """The next message of any kind."""
        found = self._read.get(timeout=timeout)
        assert found is not None, f"the server ended: {self.stderr.decode()[-2000:]}"
        return found

    def answer(self, request_id: int, timeout: float = 60) -> dict[str, Any]:
        """The answer to one request; what comes before it is passed over."""
        while True:
            found = self.receive(timeout)
            if found.get("id") == request_id and "method" not in found:
                return found

    def ask(self, request_id: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.send({"id": request_id, "method": method, "params": params})
        return self.answer(request_id)

    def hello(self, version: str = "2025-11-25") -> dict[str, Any]:
        """Open a session of the handshake era."""
        found = self.ask(
            0,
            "initialize",
            {
                "protocolVersion": version,
                "capabilities": {},
                "clientInfo": {"name": "wire", "version": "1"},
            },
        )
        self.send({"method": "notifications/initialized"})
        return found

    def call(self, request_id: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return self.ask(request_id, "tools/call", {"name": tool, "arguments": arguments})

    def end(self, timeout: float = 10) -> int:
        """Close stdin and wait: the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(timeout)
        for thread in self._threads:
            thread.join(timeout)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            if not pipe.closed:
                pipe.close()
