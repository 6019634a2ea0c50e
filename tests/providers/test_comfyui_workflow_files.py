"""Workflows are read out of every file that ComfyUI writes, and nothing else gets through."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ziggie_image_providers.comfyui.workflow import file as workflow_file
from ziggie_image_providers.comfyui.workflow.file import WorkflowUnreadable, read_workflow

API: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64}, "_meta": {"title": "Start"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}
UI: dict[str, Any] = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    data = buffer.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def text(name: str, content: str) -> bytes:
    return chunk(b"tEXt", name.encode() + b"\0" + content.encode())


def picture(kind: str, tags: dict[int, str]) -> bytes:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, kind, exif=exif.tobytes())
    return buffer.getvalue()


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "data",
    [
        encoded(API),
        b"\xef\xbb\xbf" + encoded(API),
        encoded({"prompt": API}),
        encoded({"prompt": API, "client_id": "me", "extra_data": {}}),
        png(text("prompt", json.dumps(API))),
        png(chunk(b"zTXt", b"prompt\0\0" + zlib.compress(encoded(API)))),
        png(chunk(b"iTXt", b"prompt\0\0\0\0\0" + encoded(API))),
        png(chunk(b"iTXt", b"prompt\0\1\0en\0\0" + zlib.compress(encoded(API)))),
        picture("WEBP", {0x0110: f"prompt:{json.dumps(API)}"}),
        picture("JPEG", {0x0110: f"prompt:{json.dumps(API)}"}),
    ],
    ids=["json", "bom", "wrapped", "posted", "tEXt", "zTXt", "iTXt", "iTXt-z", "webp", "jpeg"],
)
def test_a_graph_is_read_out_of_whatever_carries_it(data: bytes) -> None:
    workflow = read_workflow(data, "mine")

    assert workflow.api == API
    assert workflow.ui is None


@pytest.mark.parametrize(
    "data",
    [
        encoded(UI),
        encoded({"workflow": UI}),
        png(text("workflow", json.dumps(UI))),
        picture("WEBP", {0x010F: f"workflow:{json.dumps(UI)}"}),
    ],
    ids=["json", "wrapped", "png", "webp"],
)
def test_what_the_editor_saved_is_read_as_such(data: bytes) -> None:
    workflow = read_workflow(data, "mine")

    assert workflow.api is None
    assert workflow.ui == UI


@pytest.mark.parametrize(
    "data",
    [
        png(text("prompt", json.dumps(API)), text("workflow", json.dumps(UI))),
        encoded({"prompt": API, "extra_data": {"extra_pnginfo": {"workflow": UI}}}),
    ],
    ids=["png", "posted"],
)
def test_both_formats_are_read_where_both_are_there(data: bytes) -> None:
    workflow = read_workflow(data, "mine")

    assert (workflow.api, workflow.ui) == (API, UI)


def test_what_old_servers_wrote_beside_the_inputs_is_left_out() -> None:
    node = '{"1": {"class_type": "A", "inputs": {}, "is_changed": [NaN]}}'

    workflow = read_workflow(png(text("prompt", node)), "mine")

    assert workflow.api == {"1": {"class_type": "A", "inputs": {}}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b'{"a":' * 200_000, "no JSON"),
        (b"9" * 10_000, "no JSON"),
        (b"[]", "no workflow"),
        (b"{}", "no workflow"),
        (b'"text"', "no workflow"),
        (encoded({"1": {"inputs": {}}}), "node 1 has no class_type"),
        (encoded({"1": {"class_type": "", "inputs": {}}}), "node 1 has no class_type"),
        (encoded({"1": {"class_type": 5, "inputs": {}}}), "node 1 has no class_type"),
        (encoded({"1": {"class_type": "A"}}), "node 1 has no inputs"),
        (encoded({"1": {"class_type": "A", "inputs": []}}), "node 1 has no inputs"),
        (encoded({**API, "note": "hello"}), "node note has no class_type"),
        (encoded({"1": {"class_type": "A", "inputs": {"x": ["9", 0]}}}), "linked to node 9"),
        (b'{"1": {"class_type": "A", "inputs": {"x": NaN}}}', "no number"),
        (b'{"1": {"class_type": "A", "inputs": {"x": [1e999]}}}', "no number"),
        (b'{"1": {"class_type": "A", "inputs": {"x": %s1%s}}}' % (b"[" * 99, b"]" * 99), "deep"),
        (b'{"1": {"class_type": "A", "inputs": {}}, "1": {}}', "'1' twice"),
        (encoded({str(n): API["1"] for n in range(5001)}), "more than 5000 nodes"),
        (png(), "picture without a workflow"),
        (png(text("parameters", "a cat, Steps: 20")), "picture without a workflow"),
        (png(text("prompt", "{")), "no JSON"),
        (png(chunk(b"zTXt", b"prompt\0\0junk")), "damaged"),
        (png()[:40], "picture without a workflow"),
        (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xff", "picture without a workflow"),
        (picture("JPEG", {0x0110: "Canon"}), "picture without a workflow"),
        (b"\xff\xd8\xff", "damaged"),
        (b"RIFF\0\0\0\0WEBP", "damaged"),
    ],
)
def test_what_is_no_workflow_is_refused_with_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(WorkflowUnreadable, match=words):
        read_workflow(data, "mine.json")


@pytest.mark.parametrize(
    "make",
    [
        lambda: b" " * (workflow_file.MAX_TEXT_BYTES + 1),
        lambda: png(chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b" " * 2**25))),
        lambda: bytes(workflow_file.MAX_BYTES + 1),
    ],
    ids=["json", "compressed", "file"],
)
def test_no_file_takes_more_memory_than_a_workflow_needs(make: Callable[[], bytes]) -> None:
    with pytest.raises(WorkflowUnreadable, match="more than"):
        read_workflow(make(), "mine")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\0\0\0\0WEBP"):
        with pytest.raises(WorkflowUnreadable):
            read_workflow(start + data, "mine")
