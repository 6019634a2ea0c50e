"""Ask ziggie-image-mcp for a picture: python client.py "a red potion" [URL of a server]."""

import base64
import os
import sys
from pathlib import Path

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.types import ElicitResult, TextContent

SERVER = StdioServerParameters(
    command=sys.executable, args=["-m", "ziggie_image_mcp"], env=dict(os.environ)
)
RESULT, ERROR = "ziggie-image/result", "ziggie-image/error"


class ImageError(Exception):
    """What went wrong: its stable code (NO_ROUTE, PAID_CONSENT_REQUIRED...), and words."""


async def tell(done, total, message):
    print(f"{done / (total or 1):4.0%} {message or ''}", file=sys.stderr)


async def ask_person(context, params):
    """The question about money. No answer is a no: nothing is ever spent in silence."""
    if sys.stdin.isatty() and input(f"{params.message} [y/N] ").lower() == "y":
        return ElicitResult(action="accept", content={"agree": True})
    return ElicitResult(action="decline")


def data_of(answer):
    """What a program wants to know; the same stands in the first text, for models."""
    if not answer.is_error:
        return answer.meta[RESULT]
    texts = [block.text for block in answer.content if isinstance(block, TextContent)]
    raise ImageError((answer.meta or {}).get(ERROR, {}).get("code", ""), *texts)


async def generate(client, prompt, request_id="", **options):
    """The bytes of the pictures. Called again with its request_id, it pays nothing twice."""

    async def call(tool, arguments):
        return data_of(await client.call_tool(tool, arguments, progress_callback=tell))

    asked = {"prompt": prompt, "request_id": request_id or os.urandom(16).hex(), **options}
    data = await call("generate_image", asked)
    job = {"job_id": data.get("job_id", "")}
    try:
        with anyio.fail_after(600):
            while not data.keys() & {"images", "results"}:  # it takes longer than a call may
                data = await call("get_job", job)
    except TimeoutError:
        await call("cancel_job", job)  # stops the engine, too
        raise
    images = [image for one in data.get("results", [data]) for image in one["images"]]
    return [await picture(client, image["id"]) for image in images]


async def picture(client, image_id):
    read = await client.read_resource(f"image://{image_id}")
    return base64.b64decode(read.contents[0].blob)


async def main(prompt, server=SERVER):
    async with Client(server, elicitation_callback=ask_person) as client:
        try:
            pictures = await generate(client, prompt)
        except (ImageError, MCPError) as e:
            sys.exit(" ".join(map(str, e.args)))
    for number, data in enumerate(pictures, 1):
        Path(f"picture-{number}.png").write_bytes(data)
        print(f"picture-{number}.png")


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:3])
