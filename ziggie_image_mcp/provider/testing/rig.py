"""What the conformance suite stands on: a provider with its backend, requests, hostile answers."""

from __future__ import annotations

import base64
import functools
import io
import json
import logging
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ziggie_image_mcp.provider.capabilities import MaskPolarity, Option, Task
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest, Run
from ziggie_image_mcp.provider.sizes import Size, bucket_of, native_size
from ziggie_image_mcp.provider.testing.fake_vendor import FakeVendor, Reply, Seen

KEY = "7f1c2a54-93be-4e0d-8a61-2d0f5b6c7e88"
"""Of every run: two submits of one request must be the same on the wire."""

PROMPT = "a red bicycle against a white wall"

OPTION_VALUES: Mapping[Option, tuple[Any, Any]] = {
    "negative_prompt": ("blurry", "low quality"),
    "seed": (7, 8),
    "steps": (3, 4),
    "guidance_scale": (3.0, 4.5),
    "sampler": ("euler", "dpmpp_2m"),
    "scheduler": ("normal", "karras"),
    "strength": (0.6, 0.4),
    "quality": ("low", "high"),
    "transparent": (False, True),
    "seamless": (False, True),
    "style": ("vivid", "natural"),
}

ORIGIN = "{origin}"
"""Stands in recorded answers for the address of the loopback vendor, as http://127.0.0.1:1234."""

IMAGE_TASKS = ("image_to_image", "inpaint", "outpaint", "upscale", "remove_background")
MASK_TASKS = ("inpaint", "outpaint")


@dataclass(kw_only=True)
class Rig:
    """A provider under test, and what it has said and sent."""

    provider: Provider
    vendor: FakeVendor | None = None
    """None where the provider does not speak HTTP."""
    messages: list[str] = field(default_factory=list[str])
    """Of its progress."""

    @property
    def seen(self) -> list[Seen]:
        """What the backend was asked; nothing where the provider does not speak HTTP."""
        return [] if self.vendor is None else self.vendor.seen

    @property
    def http(self) -> FakeVendor:
        """The backend, in checks that only those have who speak HTTP."""
        assert self.vendor is not None, "rig() gave no vendor, so set speaks_http = False"
        return self.vendor

    @property
    def run(self) -> Run:
        """A run that notes its progress."""

        async def progress(share: float, message: str) -> None:
            self.messages.append(message)

        return Run(key=KEY, progress=progress)


def request_for(
    model: Model, task: Task, options: Mapping[Option, tuple[Any, Any]], **changes: Any
) -> ProviderRequest:
    """A request as the core makes it: native size, the model's defaults, pictures where needed."""
    able = model.tasks[task]
    size: Size = changes.pop("size", None) or native_size(able.sizes)
    bucket = bucket_of(able.sizes, size)
    values: dict[str, Any] = {
        "task": task,
        "prompt": PROMPT,
        "width": size.width,
        "height": size.height,
        "bucket": "" if bucket is None else bucket.name,
        "seed": options["seed"][0],
    }
    if "steps" in able.options:
        values["steps"] = model.defaults.steps or options["steps"][0]
    if "guidance_scale" in able.options:
        guidance = model.defaults.guidance_scale
        values["guidance_scale"] = options["guidance_scale"][0] if guidance is None else guidance
    if "quality" in able.options:
        values["quality"] = model.defaults.quality or options["quality"][0]
    if task in IMAGE_TASKS:
        values |= {"image_id": "img_input", "image": canvas(*size)}
        if "strength" in able.options:
            values["strength"] = options["strength"][0]
    if task in MASK_TASKS:
        values |= {"mask_id": "img_mask", "mask": left_half(*size)}
    if task == "upscale" and able.factors:
        values["factor"] = able.factors[0]
    return ProviderRequest(**(values | changes))


@functools.cache
def canvas(width: int, height: int, colour: str = "teal") -> bytes:
    """A plain picture, PNG."""
    from PIL import Image

    return _png(Image.new("RGB", (width, height), colour))


@functools.cache
def left_half(width: int, height: int) -> bytes:
    """A mask whose left half is painted anew, PNG in 8-bit grey."""
    from PIL import Image

    mask = Image.new("L", (width, height), 0)
    mask.paste(255, (0, 0, width // 2, height))
    return _png(mask)


def _png(image: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def halves(mask: bytes, polarity: MaskPolarity) -> tuple[bool, bool]:
    """Whether the left and the right half of a mask are painted anew, read in this polarity."""
    from PIL import Image

    with Image.open(io.BytesIO(mask)) as image:
        if polarity == "alpha":
            assert "A" in image.getbands(), "the mask that went out has no transparency"
            layer = image.getchannel("A")
        else:
            layer = image.convert("L")
        row = layer.height // 2
        left, right = (cast(int, layer.getpixel((layer.width * x // 4, row))) > 127 for x in (1, 3))
    return (left, right) if polarity == "white" else (not left, not right)


def decoded(value: object) -> bytes | None:
    """Bytes of a field that holds a file, base64, or a data URL; None where it holds none."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value.rpartition(",")[2], validate=True) or None
    except ValueError:
        return None


def body_of(seen: Seen) -> object:
    """What a request carries, in a form that can be compared."""
    if not seen.content:
        return None
    if seen.is_form:
        return seen.form
    try:
        return seen.body
    except ValueError:
        return seen.content


def fields_of(seen: Seen) -> Mapping[str, object]:
    """The fields of a JSON object or a form; none where there is neither."""
    body = body_of(seen)
    return cast("Mapping[str, object]", body) if isinstance(body, Mapping) else {}


def sizes_in(fields: Mapping[str, object]) -> tuple[int, int] | None:
    """Width and height among fields: as two of these names, or as one text 64x64."""
    width, height = fields.get("width"), fields.get("height")
    if width is not None and height is not None:
        try:
            return int(str(width)), int(str(height))
        except ValueError:
            return None
    match = re.fullmatch(r"(\d+)x(\d+)", str(fields.get("size", "")))
    return (int(match[1]), int(match[2])) if match else None


def addresses_in(body: object) -> Iterator[str]:
    """Every http address among the texts of a JSON value."""
    if isinstance(body, str) and body.startswith(("http://", "https://")):
        yield body
    elif isinstance(body, Mapping):
        for value in cast("Mapping[str, object]", body).values():
            yield from addresses_in(value)
    elif isinstance(body, list | tuple):
        for value in cast("Sequence[object]", body):
            yield from addresses_in(value)


def replaced(body: Any, old: str, new: str) -> Any:
    """A JSON value in which one text stands for another; bytes stay as they are."""
    if isinstance(body, bytes):
        return body
    return json.loads(json.dumps(body).replace(json.dumps(old), json.dumps(new)))


def always(reply: Reply) -> Callable[[Seen], Reply]:
    """A script that knows one answer."""
    return lambda seen: reply


def at_origin(reply: Reply, seen: Seen) -> Reply:
    """A recorded answer with the vendor's address where ORIGIN stands."""
    if isinstance(reply.body, bytes) or reply.body is None:
        return reply
    text = json.dumps(reply.body).replace(ORIGIN, seen.origin)
    return replace(reply, body=json.loads(text))


def nth(number: int, reply: Reply, script: Callable[[Seen], Reply]) -> Callable[[Seen], Reply]:
    """A script whose answer to the request of this number, from 1 on, is another."""
    count = 0

    def answer(seen: Seen) -> Reply:
        nonlocal count
        count += 1
        return reply if count == number else script(seen)

    return answer


def closed_port() -> int:
    """A port of this machine at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def captured_logs() -> Generator[list[str]]:
    """Everything that is logged in a block, from DEBUG on, the HTTP libraries' own included."""
    lines: list[str] = []
    form = logging.Formatter("%(name)s %(message)s")

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(form.format(record))

    root, collector = logging.getLogger(), Collector(logging.DEBUG)
    loud = [root, *map(logging.getLogger, ("httpx2", "httpcore2", "httpx", "httpcore"))]
    levels = [logger.level for logger in loud]
    root.addHandler(collector)
    for logger in loud:
        logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(collector)
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
