"""Ask a running ComfyUI for one small picture per model: check.py [--server URL] [NAME ...]."""

import argparse
import fnmatch
import json
import struct
import sys
import time
import urllib.error
import urllib.request
import uuid
import zlib
from typing import Any

from check_graphs import CASES

Graph = dict[str, Any]


def call(url: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read() or "null")


def upload(server: str, name: str, pixels: list[bytes]) -> None:
    """Send a picture of RGB rows to the server's input folder."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", len(pixels[0]) // 3, len(pixels), 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + row for row in pixels))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    border = uuid.uuid4().hex
    fields = f'--{border}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
    fields += f'--{border}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
    body = (
        f"{fields}Content-Type: image/png\r\n\r\n".encode() + png + f"\r\n--{border}--\r\n".encode()
    )
    call(f"{server}/api/upload/image", body, f"multipart/form-data; boundary={border}")


def picture(side: int = 128) -> list[bytes]:
    """Red on the left, blue below, a white square in the middle."""
    rows = []
    for y in range(side):
        inside = range(side // 4, 3 * side // 4) if side // 4 <= y < 3 * side // 4 else range(0)
        rows.append(
            b"".join(
                b"\xff" * 3 if x in inside else bytes((220 - x, 40, 60 + y)) for x in range(side)
            )
        )
    return rows


def mask(side: int = 128) -> list[bytes]:
    return [b"\xff" * 3 * (side // 2) + b"\0" * 3 * (side - side // 2)] * side


def run(server: str, graph: Graph) -> tuple[str, list[str]]:
    """Run a graph; say what went wrong, and the names of its pictures."""
    try:
        posted = call(f"{server}/api/prompt", json.dumps({"prompt": graph}).encode())
    except urllib.error.HTTPError as error:
        return refusal(json.loads(error.read())), []
    while not (history := call(f"{server}/api/history/{posted['prompt_id']}")):
        time.sleep(0.1)
    entry = history[posted["prompt_id"]]
    pictures = [
        file["filename"]
        for output in entry["outputs"].values()
        for file in output.get("images", [])
    ]
    for kind, message in entry["status"]["messages"]:
        if kind == "execution_error":
            return f"{message['node_type']}: {message['exception_message'][:300]}", pictures
    return "" if pictures else "no picture", pictures


def refusal(answer: Graph) -> str:
    """Why a graph was not taken."""
    for node in answer["node_errors"].values():
        for error in node["errors"]:
            return f"{node['class_type']}: {error['message']}: {error['details']}"[:160]
    return str(answer["error"]["message"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("names", nargs="*", default=["*"])
    arguments = parser.parse_args()
    upload(arguments.server, "check.png", picture())
    upload(arguments.server, "check-mask.png", mask())
    failures = 0
    for name, graph in CASES.items():
        if any(fnmatch.fnmatch(name, pattern) for pattern in arguments.names):
            start = time.monotonic()
            wrong, pictures = run(arguments.server, graph)
            failures += bool(wrong)
            print(f"{name}: {wrong or pictures[0]} ({time.monotonic() - start:.1f} s)", flush=True)
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
