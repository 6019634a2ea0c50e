"""Make a picture from a Python program, without MCP: python embed.py "a red potion"."""

import sys

import anyio

from ziggie_image_mcp.app import Application, ImageError, ImageRequest


async def tell(done: float, message: str) -> None:
    """Progress: done is 0 to 1."""
    print(f"{done:4.0%} {message}", file=sys.stderr)


async def main(prompt: str) -> None:
    async with Application() as application:  # config.json of the user, or Application(Path(...))
        service = await application.service()
        request = ImageRequest(prompt=prompt, seed=7)
        plan = await service.plan(request)  # nothing is made, loaded or spent
        for route in plan.candidates[:1]:
            print(f"{route.model.provider}/{route.model.id}: {route.why}", file=sys.stderr)
        result = await service.generate(request, tell)
        for image in result.images:
            print(image.path)
            picture: bytes = await service.read(image.id)
            assert picture


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        anyio.run(main, sys.argv[1])
    except ImageError as e:  # its code is stable: NO_ROUTE, PAID_CONSENT_REQUIRED, OVER_BUDGET, ...
        sys.exit(f"{e.code}: {e}")
