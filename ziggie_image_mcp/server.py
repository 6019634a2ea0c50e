"""Speak MCP: arguments in, content out, errors in words that a model can act on."""

from __future__ import annotations

import difflib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any, Literal, cast

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
    Resolve,
)
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp.server.mcpserver.tools import Tool
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
from pydantic import AnyUrl, BaseModel, Field, ValidationError

from ziggie_image_mcp import __version__, policy, prompts, report
from ziggie_image_mcp.errors import ImageError, ImageNotFound
from ziggie_image_mcp.orders import JobView
from ziggie_image_mcp.outcome import revived
from ziggie_image_mcp.report import HardwareReport, ModelReport
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import PREVIEW_SIDE, media_type
from ziggie_image_mcp.types import ImageRequest, OutputFormat, Preview, QualityTier, StoredImage

META = "ziggie-image/result"
HEARTBEAT_SECONDS = 4.0
"""Clients give up on a silent call; the protocol's rule here is a word every five seconds."""
PREVIEW_SIDE_MANY = 512
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


class _Tool(Tool):
    """A tool that refuses unknown arguments and words every anticipated error for the model."""

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as e:
            if isinstance(e.__cause__, ImageError):
                raise ToolError(f"[{e.__cause__.code}] {e.__cause__}") from e.__cause__
            if isinstance(e.__cause__, ValidationError):
                said = " ".join(_explain(e.__cause__, list(self.parameters["properties"])))
                raise ToolError(f"[INVALID_ARGUMENT] {said}") from e.__cause__
            raise


def _tool(fn: Callable[..., Any], title: str, annotations: ToolAnnotations) -> _Tool:
    tool = cast(_Tool, _Tool.from_function(fn, title=title, annotations=annotations))
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.parameters = _short(arguments.model_json_schema(by_alias=True))
    if tool.fn_metadata.output_schema is not None:
        tool.fn_metadata.output_schema = _short(tool.fn_metadata.output_schema)
    return tool


def _short(schema: object) -> Any:
    """Leave out what costs the model's context and tells it nothing: titles, null branches."""
    if isinstance(schema, list):
        return [_short(part) for part in cast(list[object], schema)]
    if not isinstance(schema, dict):
        return schema
    whole = cast(dict[str, object], schema)
    short = {
        key: _short(value)
        for key, value in whole.items()
        if not (key == "title" and isinstance(value, str))
        and not (key == "default" and value is None)
    }
    branches: list[Any] = short.get("anyOf", [])
    real: list[dict[str, Any]] = [b for b in branches if b != {"type": "null"}]
    if len(real) != 1 or len(branches) != 2 or not isinstance(real[0].get("type"), str):
        return short
    del short["anyOf"]
    one = real[0] | {"type": [real[0]["type"], "null"]}
    if "enum" in one:
        one["enum"] = [*one["enum"], None]
    return one | short


def _explain(error: ValidationError, known: list[str]) -> Iterable[str]:
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            yield f"There is no argument {name!r}.{meant} Arguments: {', '.join(known)}."
        elif problem["type"] == "missing":
            yield f"The argument {name!r} is missing."
        else:
            given = json.dumps(problem["input"], default=str)[:80]
            yield f"{name}={given}: {problem['msg']}."


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


async def ask_to_spend(
    ctx: Context[Open], request: Annotated[ImageRequest, Resolve(one_request)], dry_run: bool
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
    return Elicit(
        f"No free route can make this. Spend up to ${quote.micro_usd / 1e6:.4f} on {pictures} by "
        f"{quote.provider}/{quote.model}? The prompt leaves this machine.",
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
    service = await ctx.request_context.lifespan_context()
    requests = _alternatives(request)
    if dry_run:
        data = report.plan_data(await service.plan(requests[0]))
        if len(requests) > 1:
            data["prompts"] = [r.prompt for r in requests]
            data["each_of_them"] = "takes such a route and costs as much"
        return CallToolResult(content=[_text(data)], _meta={META: data})
    agreed = isinstance(consent, AcceptedElicitation) and consent.data.agree
    offer = await service.ask(request) if agreed else None
    if not agreed:
        await service.unask(request)
    caller = _caller()
    async with _Reporter(ctx) as reporter:
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
    async with _Reporter(ctx) as reporter:
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
    return await report.models(service, provider=provider, query=query, usable_only=usable_only)


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
    opener: Open, *, auth: AuthSettings | None = None, token_verifier: TokenVerifier | None = None
) -> MCPServer[Open]:
    """Build the server around a way to open the service; nothing is opened here."""
    looking = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    making = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
    )
    stopping = ToolAnnotations(
        read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
    )
    server = _Server(
        "ziggie-image-mcp",
        title="Ziggie images",
        instructions=INSTRUCTIONS,
        version=__version__,
        log_level="WARNING",
        lifespan=_lifespan(opener),
        auth=auth,
        token_verifier=token_verifier,
        tools=[
            _tool(generate_image, "Generate image", making),
            _tool(list_models, "List models", looking),
            _tool(check_hardware, "Check hardware", looking),
            _tool(view_image, "View image", looking),
            _tool(get_job, "Get job", looking),
            _tool(cancel_job, "Cancel job", stopping),
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


class _Reporter:
    """Tell the client about progress, and at least every few seconds that the work goes on.

    The protocol wants each value above the last, so a repeated word moves the bar by a hair.
    """

    def __init__(self, ctx: Context[Open]) -> None:
        self._ctx = ctx
        self._value = -1.0
        self._message = "working"
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> _Reporter:
        await self._group.__aenter__()
        self._group.start_soon(self._beat)
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        self._group.cancel_scope.cancel()
        try:
            return await self._group.__aexit__(*exc)
        except BaseExceptionGroup as group:
            # one failure is that failure: the work's own error, not a group around it
            inner: Sequence[BaseException] = group.exceptions
            if len(inner) == 1:
                raise inner[0] from inner[0].__cause__
            raise

    async def report(self, fraction: float, message: str) -> None:
        self._message = message
        await self._send(fraction)

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(HEARTBEAT_SECONDS)
            await self._send(self._value)

    async def _send(self, fraction: float) -> None:
        if fraction <= self._value:
            fraction = self._value + (1.0 - self._value) * 0.001
        self._value = fraction
        await self._ctx.report_progress(fraction, 1.0, self._message)


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
