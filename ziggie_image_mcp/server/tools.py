"""Speak MCP: arguments in, content out, errors in words that a model can act on."""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Annotated, Any, cast

import anyio
from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import (
    Context,
    Elicit,
    ElicitationResult,
    MCPServer,
    RequestStateSecurity,
    Resolve,
)
from mcp.types import (
    CallToolResult,
    ToolAnnotations,
)
from pydantic import Field

from ziggie_image_mcp import __version__
from ziggie_image_mcp.app import reports
from ziggie_image_mcp.app.answers import job_data, plan_data
from ziggie_image_mcp.app.processing import NOTHING, Processing
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.assets.region import Margins
from ziggie_image_mcp.errors import ConsentRequired, InvalidRequest
from ziggie_image_mcp.jobs import prompts
from ziggie_image_mcp.jobs.records import JobView
from ziggie_image_mcp.routing import explain
from ziggie_image_mcp.routing.request import ImageRequest, input_notes
from ziggie_image_mcp.routing.request_checks import MAX_VIEW_SIDE
from ziggie_image_mcp.routing.route_rules import bulk_of
from ziggie_image_mcp.routing.spellings import names_in, one_name
from ziggie_image_mcp.server.apps import name_app, result_apps
from ziggie_image_mcp.server.arguments import (
    ControlText,
    DryRun,
    Expand,
    JobId,
    Like,
    References,
    RequestId,
    WaitSeconds,
    check_call,
    patience_of,
    takes_edit,
    takes_processing,
    takes_request,
)
from ziggie_image_mcp.server.callers import caller as _caller
from ziggie_image_mcp.server.callers import reach
from ziggie_image_mcp.server.completions import add_completions
from ziggie_image_mcp.server.content import (
    META,
    Link,
    data_answer,
    image_content,
    job_answer,
    text_content,
)
from ziggie_image_mcp.server.downloads import Downloads
from ziggie_image_mcp.server.leaving import while_heard
from ziggie_image_mcp.server.mcp_server import ImageServer, Open, warned
from ziggie_image_mcp.server.notices import Notices
from ziggie_image_mcp.server.pictures import listed, show_pictures
from ziggie_image_mcp.server.ping import answer_ping
from ziggie_image_mcp.server.progress import ProgressStream
from ziggie_image_mcp.server.prompts import add_prompts
from ziggie_image_mcp.server.request_log import answer_mistakes, log_request
from ziggie_image_mcp.server.spending import Answered, NotAsked, Spend, caller_of, question
from ziggie_image_mcp.server.strict_tool import StrictTool, strict
from ziggie_image_mcp.storage.artifact_store import PREVIEW_SIDE
from ziggie_image_mcp.storage.picture_ids import named_id

PLAN_ROWS, MODEL_ROWS = 20, 60
"""A thousand files would fill the model's context: so many candidates, rejections and models."""
LATE_SECONDS = 0.5

INSTRUCTIONS = (
    "Makes pictures on this machine's best route: local engines first, nothing is spent unasked. "
    "Call generate_image with a prompt; leave model, provider and size out unless the user asks "
    "for them. The result shows a small preview and the path of the full file; a job_id instead "
    "means that it is still being made: call get_job. When it says NO_ROUTE, read the reasons: "
    "each has a fix. list_models shows the models, check_hardware what this machine can do, "
    "view_image a stored picture again, process_image works on it. dry_run=true explains "
    "the route without making anything."
)


@takes_request
async def one_request(
    ctx: Context[Open], references: str, control: str, like: str, **arguments: Any
) -> ImageRequest:
    """The arguments of generate_image as one value. The pictures are taken in."""
    request = await _with_pictures(ctx, ImageRequest(**arguments), references, control)
    if not (request.style or request.asset or like.strip()):
        return request
    service = await ctx.request_context.lifespan_context()
    return await service.completed(request, one_name(like), reach=reach())


async def _with_pictures(
    ctx: Context[Open], request: ImageRequest, references: str, control: str
) -> ImageRequest:
    """The request with the pictures that it follows."""
    if names := names_in(references):
        service = await ctx.request_context.lifespan_context()
        request = await service.with_references(request, names, reach=reach())
    if control.strip():
        service = await ctx.request_context.lifespan_context()
        request = await service.with_control(request, control, reach=reach())
    return request


@takes_edit
async def one_edit(
    ctx: Context[Open],
    image: str,
    mask: str,
    expand: list[int],
    references: str,
    control: str,
    **arguments: Any,
) -> ImageRequest:
    """The arguments of edit_image as one value. The pictures are taken in."""
    service = await ctx.request_context.lifespan_context()
    margins = Margins(*expand) if expand else None
    request = await _with_pictures(ctx, ImageRequest(**arguments), references, control)
    names = one_name(image), one_name(mask)
    request = await service.with_input_images(request, *names, margins, reach=reach())
    return await service.completed(request, reach=reach())


async def ask_to_spend(
    ctx: Context[Open],
    request: Annotated[ImageRequest, Resolve(one_request)],
    dry_run: bool,
    wait_seconds: float | None,
    request_id: str,
) -> Spend | Elicit[Spend]:
    """Ask before a call of generate_image that only money can serve."""
    check_call(wait_seconds, request_id)
    return await _question(ctx, request, dry_run)


async def ask_to_spend_on_edit(
    ctx: Context[Open],
    request: Annotated[ImageRequest, Resolve(one_edit)],
    dry_run: bool,
    wait_seconds: float | None,
    request_id: str,
) -> Spend | Elicit[Spend]:
    """The same for edit_image."""
    check_call(wait_seconds, request_id)
    return await _question(ctx, request, dry_run)


@takes_processing
async def one_processing(ctx: Context[Open], image: str, **arguments: Any) -> Processing:
    """The arguments of process_image. The pictures are taken in, and keyed where they can be."""
    names = names_in(image)
    service = await ctx.request_context.lifespan_context()
    return await service.prepare(ImageRequest(prompt="", **arguments), names, reach=reach())


async def ask_to_spend_on_processing(
    ctx: Context[Open],
    processing: Annotated[Processing, Resolve(one_processing)],
    wait_seconds: float | None,
) -> Spend | Elicit[Spend]:
    """The same for process_image."""
    check_call(wait_seconds)
    return await question(ctx, processing.requests)


async def _question(
    ctx: Context[Open], request: ImageRequest, dry_run: bool
) -> Spend | Elicit[Spend]:
    if dry_run:
        return NotAsked()
    return await question(ctx, prompts.alternatives(request))


@takes_request
async def generate_image(
    ctx: Context[Open],
    request: Annotated[ImageRequest, Resolve(one_request)],
    consent: Annotated[ElicitationResult[Spend], Resolve(ask_to_spend)],
    references: References = "",
    control: ControlText = "",
    like: Like = "",
    dry_run: DryRun = False,
    wait_seconds: WaitSeconds = None,
    request_id: RequestId = "",
    **arguments: Any,
) -> CallToolResult:
    """Make pictures from a text.

    The best allowed route is tried first; the answer says why: JSON, a preview, a link.
    """
    return await _generate(ctx, request, consent, dry_run, wait_seconds, request_id)


@takes_edit
async def edit_image(
    ctx: Context[Open],
    request: Annotated[ImageRequest, Resolve(one_edit)],
    consent: Annotated[ElicitationResult[Spend], Resolve(ask_to_spend_on_edit)],
    image: Annotated[str, Field(description="Id or path.")],
    mask: Annotated[str, Field(description="Same size; white is painted anew.")] = "",
    expand: Expand = (),
    references: References = "",
    control: ControlText = "",
    dry_run: DryRun = False,
    wait_seconds: WaitSeconds = None,
    request_id: RequestId = "",
    **arguments: Any,
) -> CallToolResult:
    """Change a picture: as a whole, under a mask, or beyond its edges.

    Arguments and answer are those of generate_image.
    """
    return await _generate(ctx, request, consent, dry_run, wait_seconds, request_id)


@takes_processing
async def process_image(
    ctx: Context[Open],
    processing: Annotated[Processing, Resolve(one_processing)],
    consent: Annotated[ElicitationResult[Spend], Resolve(ask_to_spend_on_processing)],
    image: Annotated[str, Field(description="Id or path; several with commas.")],
    wait_seconds: WaitSeconds = None,
    **arguments: Any,
) -> CallToolResult:
    """Work on finished pictures.

    The order: remove_background, upscale, seamless, pixel_size, trim, pad, width and height,
    colors or palette, slice, sheet, animation, icons. Several keep one grid and palette.
    """
    return await _run(ctx, processing.requests, consent, wait_seconds, processing=processing)


async def _generate(
    ctx: Context[Open],
    request: ImageRequest,
    consent: ElicitationResult[Spend],
    dry_run: bool,
    wait_seconds: float | None,
    request_id: str,
) -> CallToolResult:
    """Do what was asked, as far as it goes in `wait_seconds`."""
    check_call(wait_seconds, request_id)
    service = await ctx.request_context.lifespan_context()
    requests = prompts.alternatives(request)
    if dry_run:
        bulk = bulk_of(requests)
        plans = [await service.plan(one, bulk) for one in requests]
        data = plan_data(plans[0], PLAN_ROWS)
        if notes := [*input_notes(request), *data.get("notes", ())]:
            data["notes"] = notes
        if len(requests) > 1:
            data["prompts"] = [one.prompt for one in requests]
            data["each_of_them"] = "takes a route of its own; the first one's is shown"
            data["cost_usd_in_all"] = explain.cost_of(plans) / 1e6
        return CallToolResult(content=[text_content(data)], _meta={META: data})
    return await _run(ctx, requests, consent, wait_seconds, request_id)


async def _run(
    ctx: Context[Open],
    requests: Sequence[ImageRequest],
    consent: ElicitationResult[Spend],
    wait_seconds: float | None,
    request_id: str = "",
    processing: Processing = NOTHING,
) -> CallToolResult:
    """Begin the job of a call, and wait for it."""
    service = await ctx.request_context.lifespan_context()
    patience = patience_of(ctx, wait_seconds)
    answer = await Answered.of(service, requests, consent, caller_of(ctx))
    caller, began = _caller(), anyio.current_time()
    async with while_heard(ctx) as hearing, ProgressStream(ctx) as progress:
        try:
            view = await service.start(
                answer.requests,
                consent=answer.offer,
                caller=caller or "",
                request_id=request_id,
                progress=progress.report,
                patience=patience + LATE_SECONDS,
                processing=processing,
            )
        except ConsentRequired as e:
            raise answer.worded(e) from e
        rest = max(patience - (anyio.current_time() - began), min(patience, 1.0))
        try:
            if not view.ended:
                view = await service.job(view.id, rest, progress.report, caller)
        except anyio.get_cancelled_exc_class():
            if not request_id:  # with one, the client means to ask again
                with anyio.CancelScope(shield=True):
                    await service.scheduler.abandon(view.id, lost=hearing.lost)
            raise
    return await _answer(ctx, service, view)


async def get_job(
    ctx: Context[Open],
    job_id: JobId,
    wait_seconds: Annotated[float | None, Field(description="At most so long.")] = None,
) -> CallToolResult:
    """Wait for a job and return its pictures."""
    check_call(wait_seconds)
    service = await ctx.request_context.lifespan_context()
    patience = patience_of(ctx, wait_seconds)
    async with ProgressStream(ctx) as progress:
        view = await service.job(job_id, patience, progress.report, _caller())
    return await _answer(ctx, service, view)


async def _answer(ctx: Context[Open], service: Service, view: JobView) -> CallToolResult:
    """The pictures of a job. What a worker made, nobody else here was told of."""
    server = cast(ImageServer, ctx.mcp_server)
    if view.ended and service.scheduler.leaves_work:
        server.notices.new_pictures()
    return await job_answer(service, view, _link(ctx))


def _link(ctx: Context[Open]) -> Link:
    """Gives the links to whole pictures, and to what belongs to them."""
    return partial(cast(ImageServer, ctx.mcp_server).downloads.link, ctx)


async def cancel_job(ctx: Context[Open], job_id: JobId) -> CallToolResult:
    """Stop a job."""
    service = await ctx.request_context.lifespan_context()
    data = job_data(await service.cancel(job_id, _caller()))
    return CallToolResult(content=[text_content(data)], _meta={META: data})


async def list_models(
    ctx: Context[Open],
    provider: Annotated[str, Field(description="Only this provider.")] = "",
    query: Annotated[str, Field(description="Part of a name.")] = "",
    usable_only: Annotated[bool, Field(description="Only what would run now.")] = False,
) -> CallToolResult:
    """List models: what each can do, whether it fits this machine, and why not."""
    service = await ctx.request_context.lifespan_context()
    report = await reports.models(
        service, provider=provider, query=query, usable_only=usable_only, most=MODEL_ROWS
    )
    return data_answer(report.model_dump(mode="json"))


async def check_hardware(ctx: Context[Open]) -> CallToolResult:
    """Show GPU, memory, disk, engines, and what local, cloud and automatic mode would do."""
    report = await reports.machine(await ctx.request_context.lifespan_context())
    return data_answer(report.model_dump(mode="json"))


async def view_image(
    ctx: Context[Open],
    image_id: Annotated[str, Field(description="An id from generate_image.")],
    max_side: Annotated[int, Field(description="Pixels.")] = PREVIEW_SIDE,
) -> CallToolResult:
    """Look again at a stored picture."""
    if not 32 <= max_side <= MAX_VIEW_SIDE:
        raise InvalidRequest("max_side", max_side, f"32 to {MAX_VIEW_SIDE} pixels")
    service = await ctx.request_context.lifespan_context()
    own_id = named_id(one_name(image_id)) or image_id
    preview, path = await service.view(own_id, max_side, _caller())
    data = {"id": own_id, "path": path, "shown": f"{preview.width}x{preview.height}"}
    if link := _link(ctx)(own_id, ""):
        data["download"] = link
    if not service.config.output.previews:
        data["shown"] = "nothing: output.previews is false in config.json"
        return CallToolResult(content=[text_content(data)], _meta={META: data})
    return CallToolResult(content=[text_content(data), image_content(preview)], _meta={META: data})


def make_server(
    opener: Open,
    *,
    auth: AuthSettings | None = None,
    token_verifier: TokenVerifier | None = None,
    state_keys: Sequence[bytes] = (),
    verbose: bool = False,
    reaches_out: Callable[[], Awaitable[bool]] | None = None,
) -> ImageServer:
    """Build the server around a way to open the service; nothing is opened here.

    Servers of the same `state_keys` may each go on with a question that another one asked. One
    that is `verbose` tells of each request on stderr. `reaches_out` tells whether the settings let
    a prompt leave the user's machines: then the tools that make pictures say that they work with
    an open world.
    """
    notices = Notices()
    link_key = hmac.digest(state_keys[0], b"download links", "sha256") if state_keys else None
    downloads = Downloads(opener, link_key)
    server = ImageServer(
        "ziggie-image-mcp",
        partial(listed, opener),
        downloads,
        notices,
        title="Ziggie images",
        instructions=INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
        lifespan=_lifespan(opener, notices),
        subscriptions=notices.bus,
        auth=auth,
        token_verifier=token_verifier,
        request_state_security=RequestStateSecurity(keys=state_keys) if state_keys else None,
        middleware=[
            *([log_request] if verbose else []),
            answer_mistakes,
            answer_ping,
            notices.watch,
            name_app,
        ],
        extensions=[result_apps()],
        reaches_out=reaches_out,
        tools=_tools(),
    )

    show_pictures(server, opener, downloads)
    add_prompts(server)
    add_completions(server, opener)
    return server


@cache
def _tools() -> Sequence[StrictTool]:
    """The same for each server of a process: their schemas take a tenth of a second."""
    # What is not said is the protocol's default: may change things, may destroy, an open world.
    looking = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    making = ToolAnnotations(destructive_hint=False)
    stopping = ToolAnnotations(idempotent_hint=True, open_world_hint=False)
    return [
        strict(generate_image, making),
        strict(edit_image, making),
        strict(process_image, making),
        strict(list_models, looking),
        strict(check_hardware, looking),
        strict(view_image, looking),
        strict(get_job, looking),
        strict(cancel_job, stopping),
    ]


def _lifespan(opener: Open, notices: Notices) -> Any:
    @asynccontextmanager
    async def lifespan(_: MCPServer[Open]) -> AsyncGenerator[Open]:
        async with anyio.create_task_group() as group:
            group.start_soon(notices.send)
            yield warned(opener, notices.attach)
            group.cancel_scope.cancel()

    return lifespan
