"""The server's end of a websocket, for vendors of tests."""

from __future__ import annotations

import struct
from http.server import BaseHTTPRequestHandler

from websockets.utils import accept_key

TEXT, CLOSE = 1, 8
CONTINUED = 0


def wants_socket(request: BaseHTTPRequestHandler) -> bool:
    """Whether a request asks for a websocket."""
    return (request.headers.get("upgrade") or "").lower() == "websocket"


class FakeSocket:
    """One connection, RFC 6455 as far as tests need it: texts both ways, and the end.

    Args:
        request: The one that asked for it.
    """

    def __init__(self, request: BaseHTTPRequestHandler) -> None:
        self._request = request

    def accept(self) -> None:
        """Answer the handshake."""
        accepted = accept_key(self._request.headers.get("sec-websocket-key") or "")
        self._request.send_response(101)
        self._request.send_header("upgrade", "websocket")
        self._request.send_header("connection", "Upgrade")
        self._request.send_header("sec-websocket-accept", accepted)
        self._request.end_headers()
        self._request.close_connection = True

    def receive(self) -> bytes | None:
        """The next text of the client; None once it closes or goes away."""
        text = b""
        while True:
            head = self._read(2)
            if len(head) < 2 or head[0] & 15 == CLOSE:
                return None
            length = head[1] & 127
            if length > 125:
                size = 2 if length == 126 else 8
                length = int.from_bytes(self._read(size), "big")
            mask, data = self._read(4), self._read(length)
            if head[0] & 15 not in (CONTINUED, TEXT):
                continue  # a ping, or the answer to one
            repeated = (mask * (length // 4 + 1))[:length]
            plain = int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")
            text += plain.to_bytes(length, "big")
            if head[0] & 128:
                return text

    def send(
        self, data: bytes, *, kind: int = TEXT, last: bool = True, cut: int | None = None
    ) -> None:
        """Send one frame.

        Args:
            data: What is in it.
            kind: Its opcode.
            last: Whether the message ends with it.
            cut: How many bytes of the data really go out; None for all.
        """
        head = bytes([kind | (128 if last else 0)])
        if len(data) < 126:
            head += bytes([len(data)])
        elif len(data) < 2**16:
            head += struct.pack(">BH", 126, len(data))
        else:
            head += struct.pack(">BQ", 127, len(data))
        self._request.wfile.write(head + data[:cut])

    def close(self) -> None:
        """Say goodbye, and wait for the other to do so."""
        self.send(struct.pack(">H", 1000), kind=CLOSE)
        while self.receive() is not None:
            pass

    def _read(self, count: int) -> bytes:
        try:
            return self._request.rfile.read(count)
        except OSError:
            return b""
