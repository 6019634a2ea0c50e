"""A model on loopback that asks for one picture, and keeps what it is then shown.

It speaks as much of three vendors' APIs as their own command lines need: Anthropic's messages,
OpenAI's responses, Gemini's generateContent. Nothing leaves the machine and no account is needed.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

TOOL = "generate_image"
ARGUMENTS = {"prompt": "a red circle on a white background", "seed": 7}
SEARCH, CLAUDE_TOOL = "ToolSearch", f"mcp__ziggie-image__{TOOL}"
"""Claude Code from 2.1.332 shows the tools of servers only to a model that searched for them."""
GOODBYE = "Here is your picture."
Json = dict[str, Any]


@dataclass
class Record:
    """What the model was shown."""

    tools: list[str] = field(default_factory=list[str])
    """Names, as the client spells them."""
    text: str = ""
    pictures: list[str] = field(default_factory=list[str])
    answered: bool = False
    """Whether a result came at all."""
    asked: int = 0
    """How often the model was asked."""
    searched: bool = False
    """Whether it had to search for the tool first."""
    without_tool: int = 0
    """Of these, how often our tool was not among the tools."""

    def add(self, text: str) -> None:
        """Keep a text of the result."""
        self.text += text + "\n"

    def add_picture(self, data: str) -> None:
        """Keep what a picture of the result is: it must decode."""
        from PIL import Image

        raw = base64.b64decode(data.rpartition(",")[2])
        with Image.open(io.BytesIO(raw)) as picture:
            picture.load()
            size = f"{picture.format} {picture.width}x{picture.height}"
        self.pictures.append(f"{size}, {len(raw) / 1000:.0f} KB")


@contextmanager
def serving() -> Generator[tuple[str, Record]]:
    """Serve on a free port; gives the address, and what the model has seen so far."""
    record = Record()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, "application/json", b'{"data": [], "models": []}')

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = cast(Json, json.loads(body or b"{}"))
            path = self.path.partition("?")[0]
            if path.endswith("/count_tokens") or path.endswith(":countTokens"):
                self._send(200, "application/json", b'{"input_tokens": 9, "totalTokens": 9}')
            elif path.endswith("/messages"):
                self._answer(anthropic(asked, record), stream=bool(asked.get("stream")))
            elif path.endswith("/responses"):
                self._answer(openai(asked, record), stream=True)
            elif path.endswith(("enerateContent",)):
                self._answer(gemini(asked, record), stream=":stream" in path)
            else:
                self._send(200, "application/json", b"{}")

        def _answer(self, events: Iterator[Json], *, stream: bool) -> None:
            several = list(events)
            if not stream:
                self._send(200, "application/json", json.dumps(several[-1]).encode())
                return
            lines: list[str] = []
            for event in several[:-1] if "type" in several[0] else several:
                kind = f"event: {event['type']}\n" if "type" in event else ""
                lines.append(f"{kind}data: {json.dumps(event)}\n\n")
            self._send(200, "text/event-stream", "".join(lines).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the client's own output is what counts."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", record
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _next(record: Record, names: list[str], *, has_result: bool) -> str:
    """The tool to call now; empty for none."""
    record.asked += 1
    record.tools = names or record.tools
    if has_result or record.answered:
        return ""
    own = next((name for name in names if name.endswith(TOOL)), "")
    record.without_tool += not own
    return own


def anthropic(asked: Json, record: Record) -> Iterator[Json]:
    """The events of POST /v1/messages; the whole message comes last."""
    blocks = [
        block
        for message in asked.get("messages", [])
        if isinstance(message["content"], list)
        for block in message["content"]
    ]
    done = {b["tool_use_id"]: b for b in blocks if b["type"] == "tool_result"}
    results = [done["call_1"]] if "call_1" in done else []
    for part in results[-1].get("content", []) if results and not record.answered else []:
        if part["type"] == "text":
            record.add(part["text"])
        elif part["type"] == "image":
            record.add_picture(part["source"]["data"])
    record.answered = record.answered or bool(results)
    names = [str(tool.get("name", "")) for tool in asked.get("tools", [])]
    if SEARCH in names and "call_0" in done:  # it may be called now, listed or not
        names.append(CLAUDE_TOOL)
    name = _next(record, names, has_result=bool(results))
    call, arguments = "call_1", ARGUMENTS
    if not name and SEARCH in names and not done:
        name, call, arguments = SEARCH, "call_0", {"query": f"select:{CLAUDE_TOOL}"}
        record.searched = True
    block: Json = {"type": "text", "text": GOODBYE}
    delta: Json = {"type": "text_delta", "text": GOODBYE}
    empty: Json = {"type": "text", "text": ""}
    if name:
        block = {"type": "tool_use", "id": call, "name": name, "input": arguments}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        empty = {**block, "input": {}}
    stop = "tool_use" if name else "end_turn"
    message: Json = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": asked.get("model", "mock"),
        "content": [block],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 9},
    }
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": empty}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": {"output_tokens": 9},
    }
    yield {"type": "message_stop"}
    yield message


def openai(asked: Json, record: Record) -> Iterator[Json]:
    """The events of POST /v1/responses; the whole response comes last."""
    inputs = asked.get("input", [])
    results = [i for i in inputs if i.get("type") == "function_call_output"]
    output = results[-1]["output"] if results and not record.answered else []
    for part in [{"type": "input_text", "text": output}] if isinstance(output, str) else output:
        if part["type"] == "input_text":
            record.add(part["text"])
        elif part["type"] == "input_image":
            record.add_picture(part["image_url"])
    record.answered = record.answered or bool(results)
    spaces: dict[str, str] = {}
    names: list[str] = []
    for tool in asked.get("tools", []):
        if tool["type"] == "namespace":  # newer versions: one of these per server
            spaces |= {inner["name"]: tool["name"] for inner in tool["tools"]}
            names += [inner["name"] for inner in tool["tools"]]
        else:
            names.append(str(tool.get("name", tool["type"])))
    name = _next(record, names, has_result=bool(results))
    item: Json = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": GOODBYE, "annotations": []}],
    }
    if name:
        item = {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": name,
            "arguments": json.dumps(ARGUMENTS),
        }
        if name in spaces:
            item["namespace"] = spaces[name]
    usage = {
        "input_tokens": 9,
        "output_tokens": 9,
        "total_tokens": 18,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    response: Json = {"id": "resp_1", "object": "response", "status": "completed"}
    response |= {"output": [item], "usage": usage}
    yield {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": response}
    yield response


def gemini(asked: Json, record: Record) -> Iterator[Json]:
    """The one chunk of :streamGenerateContent, which is :generateContent's answer too."""
    parts = [p for content in asked.get("contents", []) for p in content.get("parts", [])]
    at = next((i for i, p in enumerate(parts) if "functionResponse" in p), None)
    if at is not None and not record.answered:
        answer = parts[at]["functionResponse"]
        for part in [*answer.get("parts", []), *parts[at + 1 :]]:
            if "inlineData" in part:
                record.add_picture(part["inlineData"]["data"])
        record.add(json.dumps(answer.get("response", {}), ensure_ascii=False))
        record.answered = True
    names = [
        str(declared["name"])
        for tool in asked.get("tools", [])
        for declared in tool.get("functionDeclarations", [])
    ]
    name = _next(record, names, has_result=at is not None)
    part: Json = {"functionCall": {"name": name, "args": ARGUMENTS}} if name else {"text": GOODBYE}
    yield {
        "candidates": [
            {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        ],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18},
        "modelVersion": "mock",
    }
