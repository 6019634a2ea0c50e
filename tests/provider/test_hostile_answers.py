"""What a backend answers never takes more memory than what was asked for can need."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture

MOST = 300
"""MB above what a good answer takes."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell a program's peak"
)


def packed(start: bytes, megabytes: int = 1600) -> bytes:
    """Zeros behind a start, packed twice: a few KB that would be so many MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(16 * 2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return gzip.compress(head + block * (megabytes // 16))


def huge_png(side: int) -> bytes:
    """A whole picture of one colour, in a few KB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    packer = zlib.compressobj(1)
    row = b"\0" + b"\x80" * side
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def pictures(*images: bytes) -> dict[str, Any]:
    return {"data": [{"b64_json": base64.b64encode(image).decode()} for image in images]}


def bomb(start: bytes, encoding: str = "gzip, gzip", status: int = 200) -> Reply:
    return Reply(status=status, body=packed(start), headers={"content-encoding": encoding})


@cache
def answers() -> dict[str, Reply]:
    """By case; made when a test asks for them: they take seconds and 200 MB."""
    return {
        "good": Reply(body=pictures(picture(1024, 1024))),
        "gzip": bomb(b'{"data": [{"b64_json": "'),
        "gzip-in-an-error": bomb(b'{"error": {"message": "', status=400),
        "base64": Reply(body=pictures(b"\x89PNG\r\n\x1a\n" + bytes(150 * 2**20))),
        "many-values": Reply(body=b'{"data": [' + b"[]," * 4_000_000 + b"1]}"),
        "depth": Reply(body=b"[" * 900_000),
        "many-pixels": Reply(body=pictures(huge_png(8900))),
        "many-addresses": Reply(body={"data": [{"url": f"/a/{i}.png"} for i in range(2000)]}),
        "picture-gzip": Reply(body={"data": [{"url": "/packed.png"}]}),
    }


TELLING = {
    "gzip": "sent more than 13 MB",
    "gzip-in-an-error": "400",
    "base64": "sent more than 13 MB",
    "many-values": "sent JSON of more than 1000000 values",
    "depth": "not in its API's words",
    "many-pixels": "a picture of 8900x8900, more than 4 million pixels",
    "many-addresses": "are gone (HTTP 404)",
    "picture-gzip": "are larger than 9 MB",
    "listing-gzip": "sent more than 32 MB",
}


def hostile(seen: Seen) -> Reply:
    case = seen.path.split("/")[1]
    if case == "a":
        return Reply(status=404)
    if case == "packed.png":
        return bomb(b"\x89PNG\r\n\x1a\n")
    if seen.path.endswith("/models"):
        return bomb(b'{"data": ["') if case == "listing-gzip" else Reply(body={"data": []})
    return answers()[case]


def test_no_answer_takes_more_memory_than_what_was_asked_for_needs(tmp_path: Path) -> None:
    with FakeVendor(hostile) as vendor:
        command = [sys.executable, "-m", "tests.support.hostile_peer", str(tmp_path), vendor.url]
        ended = subprocess.run(
            [*command, "good", *TELLING], capture_output=True, text=True, timeout=120, check=False
        )
    lines = [json.loads(line) for line in ended.stdout.splitlines()]

    assert [line["case"] for line in lines] == ["good", *TELLING], ended.stderr[-2000:]
    idle, *others = lines
    assert not idle["failed"], idle
    for line in others:
        assert line["failed"], line
        assert TELLING[line["case"]] in line["text"], line
        assert line["peak"] - idle["peak"] <= MOST, line
    assert {path for path in vendor.asked if "/a/" in path} == {"GET /a/0.png"}
