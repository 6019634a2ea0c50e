"""Ask ziggie-image-mcp for a picture: python client.py "a red potion" [URL of a server]."""

import os
import sys
from base64 import b64decode
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult


class ImageError(Exception):
    """What went wrong: its stable code (NO_ROUTE, PAID_CONSENT_REQUIRED...), and words."""


def sentence(error):
    """`code: words`. The SDK wraps what is raised beside its own tasks into groups."""
    if isinstance(error, BaseExceptionGroup):
        return sentence(error.exceptions[0])
    words = error.args if isinstance(error, ImageError) else (type(error).__name__, str(error))
    return ": ".join(words)


async def tell(done, total, message):
    print(f"{done / (total or 1):4.0%} {message or ''}", file=sys.stderr)


async def ask_person(context, params):
    """The question about money. No answer is a no: nothing is ever spent in silence."""
    if sys.stdin.isatty() and input(f"{params.message} [y/N] ").lower() == "y":
        return ElicitResult(action="accept", content={"agree": True})
    return ElicitResult(action="decline")


async def call(client, tool, arguments):
    """What a program wants to know; the same stands in the first text, for models."""
    answer = await client.call_tool(tool, arguments, progress_callback=tell)
    if not answer.is_error:
        return answer.meta["ziggie-image/result"]
    code = (answer.meta or {}).get("ziggie-image/error", {}).get("code", "ERROR")
    raise ImageError(code, answer.content[0].text.removeprefix(f"[{code}] "))


async def generate(client, prompt, request_id="", **options):
    """The bytes of the pictures. Called again with its request_id, it pays nothing twice."""
    asked = {"prompt": prompt, "request_id": request_id or os.urandom(16).hex(), **options}
    data = await call(client, "generate_image", asked)
    job = {"job_id": data.get("job_id", "")}
    until = anyio.current_time() + 600
    while not data.keys() & {"images", "results"}:  # it takes longer than a call may
        if anyio.current_time() > until:
            await call(client, "cancel_job", job)  # stops the engine, too
            raise ImageError("TIMEOUT", f"job {job['job_id']} took too long")
        data = await call(client, "get_job", job)
    images = [image for one in data.get("results", [data]) for image in one["images"]]
    reads = [await client.read_resource(f"image://{image['id']}") for image in images]
    return [b64decode(read.contents[0].blob) for read in reads]


async def main(prompt, url=""):
    command = os.environ.get("IMAGE_COMMAND", "ziggie-image-mcp")
    server = url or StdioServerParameters(command=command, env=dict(os.environ))
    async with AsyncExitStack() as stack:
        try:
            connection = Client(server, elicitation_callback=ask_person)
            client = await stack.enter_async_context(connection)
        except Exception as e:
            raise ImageError("NO_SERVER", f"{url or command}: {sentence(e)}") from e
        for number, data in enumerate(await generate(client, prompt), 1):
            Path(f"picture-{number}.png").write_bytes(data)
            print(f"picture-{number}.png")


if __name__ == "__main__":
    try:
        sys.exit(anyio.run(main, *sys.argv[1:]) if len(sys.argv) in (2, 3) else __doc__)
    except Exception as e:
        sys.exit(sentence(e))
