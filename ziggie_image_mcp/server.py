"""Speak MCP: arguments in, content out, errors in words that a model can act on."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any, Literal

import anyio
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import (
    AcceptedElicitation,
    Context,
    Elicit,
    ElicitationResult,
    MCPServer,
    RequestStateSecurity,
    Resolve,
)
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import (
    Annotations,
    CallToolResult,
    ContentBlock,
    ImageContent,
    InputRequiredResult,
    ResourceLink,
    TextContent,
    ToolAnnotations,
)
from pydantic import AnyUrl, BaseModel, Field

from ziggie_image_mcp import __version__, policy, prompts, report
from ziggie_image_mcp.errors import ImageError, ImageNotFound
from ziggie_image_mcp.inputs import Margins
from ziggie_image_mcp.orders import JobView
from ziggie_image_mcp.outcome import revived
from ziggie_image_mcp.report import HardwareReport, ModelReport
from ziggie_image_mcp.reporter import Reporter
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import PREVIEW_SIDE, media_type
from ziggie_image_mcp.tooling import strict
from ziggie_image_mcp.types import ImageRequest, OutputFormat, Preview, QualityTier, StoredImage

META = "ziggie-image/result"
PREVIEW_SIDE_MANY = 512
PLAN_ROWS, MODEL_ROWS = 20, 60
"""A thousand files would fill the model's context: so many candidates, rejections and models."""
WAIT_SECONDS = 45.0
"""Clients give up on a call after 60 seconds."""

INSTRUCTIONS = (
    "Makes pictures on this machine's best route: local engines first, nothing is spent unasked. "
    "Call generate_image with a prompt; leave model, provider and size out unless the user asks "
    "for them. The result shows a small preview and the path of the full file; a job_id instead "
    "means that it is still being made: call get_job. When it says NO_ROUTE, read the reasons: "
    "each has a fix. list_models shows the models, check_hardware what this machine can do, "
    "view_image a stored picture again. dry_run=true explains the route without making anything."
)

Open = Callable[[], Awaitable[Service]]
"""Gives the service, built at the first call; raises ConfigError until the config is right."""


class Spend(BaseModel):
    """The answer to the question about money."""

    agree: bool = Field(description="Spend up to this amount on this picture.")


def one_request(
    prompt: str,
    negative_prompt: str,
    width: int | None,
    height: int | None,
    aspect_ratio: str | None,
    num_images: int,
    seed: int | None,
    steps: int | None,
    guidance_scale: float | None,
    model: str | None,
    provider: str | None,
    quality: QualityTier | None,
    max_cost_usd: float | None,
    allow_paid: bool,
    output_format: OutputFormat | None,
    file_name: str,
) -> ImageRequest:
    """The arguments of generate_image as one value."""
    return ImageRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        aspect_ratio=aspect_ratio,
        num_images=num_images,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        model=model,
        provider=provider,
        quality=quality,
        max_cost_usd=max_cost_usd,
        allow_paid=allow_paid,
        output_format=output_format,
        file_name=file_name,
    )


async def one_edit(
    ctx: Context[Open],
    prompt: str,
    image: str,
    mask: str,
    expand: list[int] | None,
    strength: float | None,
    negative_prompt: str,
    num_images: int,
    seed: int | None,
    steps: int | None,
    model: str | None,
    provider: str | None,
    max_cost_usd: float | None,
    allow_paid: bool,
    file_name: str,
) -> ImageRequest:
    """The arguments of edit_image as one value. The pictures are taken in."""
    asked = ImageRequest(
        prompt=prompt,
        strength=strength,
        negative_prompt=negative_prompt,
        num_images=num_images,
        seed=seed,
        steps=steps,
        model=model,
        provider=provider,
        max_cost_usd=max_cost_usd,
        allow_paid=allow_paid,
        file_name=file_name,
    )
    service = await ctx.request_context.lifespan_context()
    margins = Margins(*expand) if expand else None
    return await service.given(asked, image, mask, margins, reach="ids" if _caller() else "roots")


async def ask_to_spend(
    ctx: Context[Open], request: Annotated[ImageRequest, Resolve(one_request)], dry_run: bool
) -> Spend | Elicit[Spend]:
    """Ask before a call of generate_image that only money can serve."""
    return await _question(ctx, request, dry_run)


async def ask_to_spend_on_edit(
    ctx: Context[Open], request: Annotated[ImageRequest, Resolve(one_edit)], dry_run: bool
) -> Spend | Elicit[Spend]:
    """The same for edit_image."""
    return await _question(ctx, request, dry_run)


async def _question(
    ctx: Context[Open], request: ImageRequest, dry_run: bool
) -> Spend | Elicit[Spend]:
    """Ask the person before a call that only money can serve. No way to ask is a no."""
    capabilities = ctx.client_capabilities
    if dry_run or request.allow_paid or capabilities is None or capabilities.elicitation is None:
        return Spend(agree=False)
    if prompts.count(request.prompt) > 1:  # a yes is for one price of one picture's route
        return Spend(agree=False)
    try:
        quote = await (await ctx.request_context.lifespan_context()).ask(request)
    except ImageError:
        return Spend(agree=False)  # the call itself meets the same error and tells it
    if quote is None:
        return Spend(agree=False)
    pictures = "1 picture" if quote.images == 1 else f"{quote.images} pictures"
    leaves = "The prompt leaves" if request.image is None else "Prompt and picture leave"
    return Elicit(
        f"No free route can make this. Spend up to ${quote.micro_usd / 1e6:.4f} on {pictures} by "
        f"{quote.provider}/{quote.model}? {leaves} this machine.",
        Spend,
    )


async def generate_image(
    ctx: Context[Open],
    request: Annotated[ImageRequest, Resolve(one_request)],
    consent: Annotated[ElicitationResult[Spend], Resolve(ask_to_spend)],
    prompt: Annotated[
        str, Field(description="What the picture shows; {red|blue} makes one of each.")
    ],
    negative_prompt: Annotated[str, Field(description="What to keep out.")] = "",
    width: Annotated[
        int | None, Field(ge=16, le=16384, description="Pixels; with height. Exact or refused.")
    ] = None,
    height: Annotated[int | None, Field(ge=16, le=16384)] = None,
    aspect_ratio: Annotated[
        str | None, Field(description='As "16:9", at the size that the model is best at.')
    ] = None,
    num_images: Annotated[int, Field(ge=1, le=16)] = 1,
    seed: Annotated[
        int | None, Field(ge=0, le=2**32 - 1, description="Same seed, same picture.")
    ] = None,
    steps: Annotated[int | None, Field(ge=1, le=500)] = None,
    guidance_scale: Annotated[float | None, Field(ge=0, le=50)] = None,
    model: Annotated[str | None, Field(description="Id or name from list_models.")] = None,
    provider: Annotated[
        str | None, Field(description="auto, local, cloud, or a name from list_models.")
    ] = None,
    quality: Annotated[QualityTier | None, Field(description="At least this good a model.")] = None,
    max_cost_usd: Annotated[
        float | None, Field(ge=0, description="Upper bound for the whole call.")
    ] = None,
    allow_paid: Annotated[
        bool, Field(description="True only after the user agreed to pay.")
    ] = False,
    output_format: OutputFormat | None = None,
    file_name: Annotated[str, Field(description="A hint for the file's name, no path.")] = "",
    dry_run: Annotated[
        bool, Field(description="Only say which routes would be tried, and why not others.")
    ] = False,
    wait_seconds: Annotated[
        float, Field(ge=0, le=3600, description="Then the answer is a job_id for get_job.")
    ] = WAIT_SECONDS,
    request_id: Annotated[
        str, Field(max_length=200, description="Repeats with the same id get the first job.")
    ] = "",
) -> CallToolResult:
    """Make one or more pictures from a text.

    The best allowed route is chosen and the next one tried if it fails; the answer says why.
    Returns JSON text, a small preview, and a link to the full file.
    """
    return await _made(ctx, request, consent, dry_run, wait_seconds, request_id)


async def edit_image(
    ctx: Context[Open],
    request: Annotated[ImageRequest, Resolve(one_edit)],
    consent: Annotated[ElicitationResult[Spend], Resolve(ask_to_spend_on_edit)],
    image: Annotated[str, Field(description="Id of a picture made here, or a file's path.")],
    prompt: Annotated[str, Field(description="What the whole result shows.")],
    mask: Annotated[str, Field(description="Same size: white is painted anew, black stays.")] = "",
    expand: Annotated[
        list[int] | None,
        Field(
            min_length=4,
            max_length=4,
            description="Outpaint: pixels to add [left, top, right, bottom].",
        ),
    ] = None,
    strength: Annotated[
        float | None, Field(gt=0, le=1, description="How much changes; 1 is all.")
    ] = None,
    negative_prompt: str = "",
    num_images: Annotated[int, Field(ge=1, le=16)] = 1,
    seed: Annotated[int | None, Field(ge=0, le=2**32 - 1)] = None,
    steps: Annotated[int | None, Field(ge=1, le=500)] = None,
    model: str | None = None,
    provider: str | None = None,
    max_cost_usd: Annotated[float | None, Field(ge=0)] = None,
    allow_paid: bool = False,
    file_name: str = "",
    dry_run: bool = False,
    wait_seconds: Annotated[float, Field(ge=0, le=3600)] = WAIT_SECONDS,
    request_id: Annotated[str, Field(max_length=200)] = "",
) -> CallToolResult:
    """Change a picture: as a whole, under a mask, or beyond its edges.

    Arguments and answer are those of generate_image.
    """
    return await _made(ctx, request, consent, dry_run, wait_seconds, request_id)


async def _made(
    ctx: Context[Open],
    request: ImageRequest,
    consent: ElicitationResult[Spend],
    dry_run: bool,
    wait_seconds: float,
    request_id: str,
) -> CallToolResult:
    """Do what was asked, as far as it goes in `wait_seconds`."""
    service = await ctx.request_context.lifespan_context()
    requests = _alternatives(request)
    if dry_run:
        data = report.plan_data(await service.plan(requests[0]), PLAN_ROWS)
        if len(requests) > 1:
            data["prompts"] = [r.prompt for r in requests]
            data["each_of_them"] = "takes such a route and costs as much"
        return CallToolResult(content=[_text(data)], _meta={META: data})
    agreed = isinstance(consent, AcceptedElicitation) and consent.data.agree
    offer = await service.ask(request) if agreed else None
    if not agreed:
        declined = not isinstance(consent, AcceptedElicitation)
        await service.unask(request, sure=declined)
    caller = _caller()
    async with Reporter(ctx) as reporter:
        view = await service.start(
            requests,
            yes=offer,
            caller=caller or "",
            request_id=request_id,
            progress=reporter.report,
        )
        try:
            if not view.ended:
                view = await service.job(view.id, wait_seconds, reporter.report, caller)
        except anyio.get_cancelled_exc_class():
            if not request_id:  # with one, the client means to ask again
                with anyio.CancelScope(shield=True):
                    await service.cancel(view.id, caller)
            raise
    return await _answer(service, view)


def _alternatives(request: ImageRequest) -> list[ImageRequest]:
    """`{red|blue} car` is two requests; together they make no more pictures than one may."""
    most = max(1, policy.MAX_IMAGES // max(1, request.num_images))
    made = prompts.expand(request.prompt, limit=most)
    return [replace(request, prompt=prompt) for prompt in made]


async def get_job(
    ctx: Context[Open],
    job_id: str,
    wait_seconds: Annotated[float, Field(ge=0, le=3600)] = WAIT_SECONDS,
) -> CallToolResult:
    """Wait for a job of generate_image and return its pictures."""
    service = await ctx.request_context.lifespan_context()
    async with Reporter(ctx) as reporter:
        view = await service.job(job_id, wait_seconds, reporter.report, _caller())
    return await _answer(service, view)


async def cancel_job(ctx: Context[Open], job_id: str) -> CallToolResult:
    """Stop a job, also while its picture is being made."""
    service = await ctx.request_context.lifespan_context()
    data = report.job_data(await service.cancel(job_id, _caller()))
    return CallToolResult(content=[_text(data)], _meta={META: data})


def _caller() -> str | None:
    """Whose jobs a call may see; None on this machine's own pipe, and where no token is asked."""
    token = get_access_token()
    return None if token is None else token.client_id


async def _answer(service: Service, view: JobView) -> CallToolResult:
    """The pictures of a job, or how far it is."""
    if view.made is None:
        data = report.job_data(view)
        return CallToolResult(content=[_text(data)], _meta={META: data})
    if not view.made.results:
        raise revived(view.made.failures[0])
    data = report.made_data(view)
    content: list[ContentBlock] = [_text(data)]
    images = [image for result in view.made.results for image in result.images]
    side = PREVIEW_SIDE if len(images) == 1 else PREVIEW_SIDE_MANY
    for image in images:
        content.append(_image(await service.preview(image.id, side=side, share=len(images))))
    content += [_link(image) for image in images]
    return CallToolResult(content=content, _meta={META: data})


async def list_models(
    ctx: Context[Open],
    provider: Annotated[str, Field(description="Only this provider.")] = "",
    query: Annotated[str, Field(description="Only names that contain this.")] = "",
    usable_only: Annotated[bool, Field(description="Only what would run now.")] = False,
) -> ModelReport:
    """List models per provider: what each can do, whether it fits this machine, and if not why."""
    service = await ctx.request_context.lifespan_context()
    return await report.models(
        service, provider=provider, query=query, usable_only=usable_only, most=MODEL_ROWS
    )


async def check_hardware(ctx: Context[Open]) -> HardwareReport:
    """Show GPU, memory, disk, engines, and what local, cloud and automatic mode would do."""
    return await report.machine(await ctx.request_context.lifespan_context())


async def view_image(
    ctx: Context[Open],
    image_id: Annotated[str, Field(description="An id from generate_image.")],
    max_side: Annotated[int, Field(ge=32, le=1568, description="Pixels.")] = PREVIEW_SIDE,
) -> CallToolResult:
    """Look again at a stored picture."""
    service = await ctx.request_context.lifespan_context()
    preview, path = await service.view(image_id, max_side)
    data = {"id": image_id, "path": path, "shown": f"{preview.width}x{preview.height}"}
    return CallToolResult(content=[_text(data), _image(preview)], _meta={META: data})


class _Server(MCPServer[Open]):
    """MCPServer, but a picture's resource says what kind of picture it is."""

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Open, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        contents = await super().read_resource(uri, context)
        if not isinstance(contents, InputRequiredResult):
            contents = list(contents)
            for item in contents:
                if isinstance(item.content, bytes):
                    item.mime_type = media_type(item.content)
        return contents


def make_server(
    opener: Open,
    *,
    auth: AuthSettings | None = None,
    token_verifier: TokenVerifier | None = None,
    state_keys: Sequence[bytes] = (),
) -> MCPServer[Open]:
    """Build the server around a way to open the service; nothing is opened here.

    Servers of the same `state_keys` may each go on with a question that another one asked.
    """
    # What is not said is the protocol's default: may change things, may destroy, an open world.
    looking = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    making = ToolAnnotations(destructive_hint=False)
    stopping = ToolAnnotations(idempotent_hint=True, open_world_hint=False)
    server = _Server(
        "ziggie-image-mcp",
        title="Ziggie images",
        instructions=INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
        lifespan=_lifespan(opener),
        auth=auth,
        token_verifier=token_verifier,
        request_state_security=RequestStateSecurity(keys=state_keys) if state_keys else None,
        tools=[
            strict(generate_image, "Generate image", making),
            strict(edit_image, "Edit image", making),
            strict(list_models, "List models", looking),
            strict(check_hardware, "Check hardware", looking),
            strict(view_image, "View image", looking),
            strict(get_job, "Get job", looking),
            strict(cancel_job, "Cancel job", stopping),
        ],
    )

    @server.resource(
        "image://{image_id}",
        name="image",
        title="Picture",
        description="A stored picture by its id.",
        mime_type="image/png",
    )
    async def image(image_id: str, ctx: Context[Open]) -> bytes:  # pyright: ignore[reportUnusedFunction]
        try:
            return await (await ctx.request_context.lifespan_context()).read(image_id)
        except ImageNotFound as e:
            raise ResourceNotFoundError(str(e)) from e
        except ImageError as e:
            raise ResourceError(f"[{e.code}] {e}") from e

    return server


def _lifespan(opener: Open) -> Any:
    @asynccontextmanager
    async def lifespan(_: MCPServer[Open]) -> AsyncGenerator[Open]:
        yield opener

    return lifespan


def _text(data: dict[str, Any]) -> TextContent:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return TextContent(type="text", text=text)


def _image(preview: Preview) -> ImageContent:
    data = report.base64_text(preview.data)
    return ImageContent(type="image", data=data, mime_type=preview.media_type)


def _link(image: StoredImage) -> ResourceLink:
    audience: list[Literal["user", "assistant"]] = ["user"]
    return ResourceLink(
        type="resource_link",
        uri=f"image://{image.id}",
        name=PurePath(image.path).name,
        mime_type=image.media_type,
        size=image.bytes,
        annotations=Annotations(audience=audience),
    )
