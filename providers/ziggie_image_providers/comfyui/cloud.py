"""Make pictures on Comfy Cloud, with the graphs that a ComfyUI server is given."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import anyio

from ziggie_image_mcp.provider import (
    STOP_SECONDS,
    UNKNOWN_COST,
    AuthenticationFailed,
    Balance,
    CancelOutcome,
    Cost,
    Estimate,
    GeneratedImage,
    Generation,
    InvalidOutput,
    Model,
    ModelMissing,
    ModelUnusable,
    OutcomeUnknown,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RemoteJob,
    RequestRejected,
    Run,
    Submission,
    TaskCapability,
    duration,
)
from ziggie_image_mcp.provider.bounds import picture_bytes
from ziggie_image_mcp.provider.delivery import Polled, RemoteStatus
from ziggie_image_mcp.provider.download import DownloadFailed
from ziggie_image_mcp.provider.local_engine import DEFAULT_SECONDS, probed
from ziggie_image_mcp.provider.pricing import estimate, is_free
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_providers.comfyui import cloud_jobs, drafting, failures, groups
from ziggie_image_providers.comfyui import cloud_settings as section
from ziggie_image_providers.comfyui.cloud_client import MAX_UPLOAD, CloudClient
from ziggie_image_providers.comfyui.cloud_graph import join, save_nodes, with_assets
from ziggie_image_providers.comfyui.cloud_jobs import Job, Output
from ziggie_image_providers.comfyui.compose import compose, compose_upscale
from ziggie_image_providers.comfyui.drafting import Draft
from ziggie_image_providers.comfyui.graph import Nodes
from ziggie_image_providers.comfyui.listing import Contents, Entry, Listing

MAX_IMAGES = 8
"""Of one request: they are one job, which fails or succeeds as a whole, and a plan bounds its time
(`per-workflow runtime caps`, which nobody names)."""

_LEAVING_SECONDS = 0.8
"""How long a cancelled submit waits for the answer to its POST, and then again for a cancel."""

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


class PriceUnknown(ProviderError):
    """Raised when nothing bounds what a run may cost."""

    code = "PRICE_UNKNOWN"
    scope = "provider"


class ComfyCloud(Polled):
    """Comfy Cloud: the adapter of ComfyUI servers, at a vendor.

    All pictures of a request are one job, so that it is ordered by one POST and stopped by its id.
    Nobody tells what a job costs: what the user's section says bounds it.
    """

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="Comfy Cloud: Stable Diffusion, FLUX, Qwen-Image and others on rented GPUs; needs"
        " a plan with API access, and a price in config.json",
        key_names=("COMFY_API_KEY",),
        home_page="https://www.comfy.org/cloud",
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings
    fetch_pauses: ClassVar[tuple[float, ...]] = (0.0, 1.0, 2.0)
    """Before each try to fetch a picture that is paid for, seconds."""
    stop_seconds: ClassVar[float] = STOP_SECONDS

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        self.name = name
        self.seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        self._settings = settings
        self._as_server = settings.as_server()
        self._client = CloudClient(name, settings, context, self.seconds)
        self._listing = Listing(name, self._client, self._as_server)
        self._contents = Contents()
        self._notes: dict[str, tuple[str, ...]] = {}
        """By remote id: those of submitted requests that nobody collects yet."""
        self._collecting: set[str] = set()

    async def probe(self) -> Probe:
        """Ask after the account, and how many of its jobs wait or run."""
        return await probed(self._client.url, self._account)

    async def _account(self) -> Probe:
        account = await self._client.account()
        if not account:
            message = f"something else answers at {self._client.url}, not Comfy Cloud"
            return Probe(state="wrong_service", message=message)
        length = await self._client.queue_length()
        if account == "waitlisted":
            message = "the account waits to be let into Comfy Cloud"
            return Probe(state="unauthorised", message=message)
        return Probe(state="ready", queue_length=length)

    async def list_models(self) -> Sequence[Model]:
        """List the models that it has, usable or not, and what can be laid over them.

        Raises:
            PriceUnknown: Nothing bounds what one of them may cost. Nobody was asked.
        """
        await self._client.keys()
        if not self._settings.is_priced:
            prefix = f"providers.{self.name}"
            raise PriceUnknown(
                self.name,
                "Comfy Cloud tells no price of a run, and unknown is not free; set"
                f" {prefix}.priceUsd to what a picture may cost at most, or"
                f" {prefix}.pricePerSecondUsd to what a second of its GPU costs: then"
                f" {prefix}.timeout, now {duration(self.seconds)}, is the most that is reserved",
            )
        await self._list()
        if not self._contents.entries:
            raise ModelMissing(self.name, f"{self._client.url} lists no model")
        models = (e.model for e in self._contents.entries.values())
        return [*models, *self._contents.additions]

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """The bound that the user set."""
        return estimate(request, model)

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Upload the pictures to work from, and order one job with all pictures.

        Raises:
            OutcomeUnknown: It was sent, and no answer came with the id of a job.
            ProviderError: It was refused.
        """
        entry = await self._entry(model)
        draft = None
        if entry.kind is not None:
            draft = drafting.draft(self.name, request, entry, self._contents, self._as_server)
        nodes = await self._graph(request, entry, draft, run)
        await run.progress(0.05, f"sent to {self.name}")
        job = await self._post(nodes, model, run)
        notes = [] if draft is None else [*draft.notes]
        if request.negative_prompt and request.guidance_scale == 1:
            notes.append("at guidance_scale 1 ComfyUI leaves the negative prompt out")
        self._notes[job.id] = tuple(notes)
        return RemoteJob(id=job.id)

    async def collect(
        self, remote_id: str, request: ProviderRequest, model: Model, run: Run
    ) -> Generation:
        """Wait for the job, and fetch its pictures at once.

        Raises:
            OutcomeUnknown: Comfy Cloud no longer tells.
            ProviderError: The job failed, and cost its `charged`.
        """
        self._collecting.add(remote_id)
        try:
            return await super().collect(remote_id, request, model, run)
        finally:
            self._collecting.discard(remote_id)
            self._notes.pop(remote_id, None)

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET. A job that is waited for is stopped once it has run for too long.

        Raises:
            OutcomeUnknown: Nobody will tell any more.
        """
        if not _JOB_ID.fullmatch(remote_id):
            raise OutcomeUnknown(self.name, "this is no id of a job at Comfy Cloud")
        try:
            answer = await self._client.look_up(remote_id)
        except (AuthenticationFailed, ProviderUnavailable, ProviderTimeout, RateLimited):
            raise  # the job goes on, and another question may be answered
        except ProviderError as e:
            raise OutcomeUnknown(self.name, f"{e}; look on platform.comfy.org") from e
        job = Job.model_validate_json(answer.content)
        overdue = job.seconds is not None and job.seconds >= self.seconds
        if job.status == "running" and overdue and remote_id in self._collecting:
            with contextlib.suppress(ProviderError):  # it is asked again with the next look
                await self._client.cancel_job(remote_id)
        status = RemoteStatus(state=job.state, answer=answer, message=job.words)
        if job.progress is not None:
            status = replace(status, fraction=job.progress.value)
        return status if job.state != "failed" else replace(status, error=await self._error(job))

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch the pictures.

        Raises:
            InvalidOutput: There is none, or one cannot be had; they are charged.
        """
        assert status.answer is not None, "look() gives it"
        job = Job.model_validate_json(status.answer.content)
        cost = self._cost(job)
        outputs = _outputs(job, request.num_images)
        if not outputs or len(outputs) > request.num_images:
            what = f"{len(outputs)} pictures of {request.num_images}" if outputs else "no picture"
            what = f"Comfy Cloud finished the job and made {what}"
            raise InvalidOutput(self.name, what, charged=cost.micro_usd)
        images: list[GeneratedImage] = []
        notes = [*self._notes.get(remote_id, ())]
        for i, output in outputs:
            try:
                data = await self._fetch(output, picture_bytes(request))
            except (DownloadFailed, ProviderError) as e:
                why = str(e) if isinstance(e, DownloadFailed) else f"cannot be had: {e}"
                what = f"Comfy Cloud made the pictures and charges for them, but they {why}"
                free = is_free(model.prices)
                charged = cost.micro_usd
                raise InvalidOutput(self.name, what, charged=charged, fallback=free) from e
            seed = None if i is None else (request.seed + i) % 2**32
            images.append(GeneratedImage(data=data, seed=seed))
        if len(images) < request.num_images:
            notes.append(f"Comfy Cloud made {len(images)} pictures of {request.num_images}")
        return Generation(images=tuple(images), notes=tuple(notes), cost=cost)

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """One POST, which is a wish, and a look at what came of it.

        It takes effect at the next step, and what the GPU has done by then is charged.
        """
        self._notes.pop(remote_id, None)
        if not _JOB_ID.fullmatch(remote_id):
            return CancelOutcome(state="unsupported")
        accepted = False
        with anyio.move_on_after(self.stop_seconds):
            try:
                job = await self._client.cancel_job(remote_id)
                while job.state in ("waiting", "running"):
                    accepted = accepted or job.status == "canceling"
                    await anyio.sleep(0.3)
                    answer = await self._client.look_up(remote_id)
                    job = Job.model_validate_json(answer.content)
            except (ProviderError, ValueError):
                pass  # what was said before counts
            else:
                if job.status != "canceled":
                    return CancelOutcome(state="too_late")
                return CancelOutcome(state="stopped", cost=self._cost(job))
        return CancelOutcome(state="stopped" if accepted else "too_late", cost=UNKNOWN_COST)

    async def balance(self) -> Balance | None:
        """Not told: no route of its API names the credits that are left."""
        return None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    # Steps

    async def _list(self) -> None:
        found = await self._listing.contents()
        entries = {id: self._at_vendor(entry) for id, entry in found.entries.items()}
        additions = tuple(self._priced(model) for model in found.additions)
        self._contents = replace(found, entries=entries, additions=additions)

    def _at_vendor(self, entry: Entry) -> Entry:
        model = self._priced(entry.model)
        tasks = {task: _fewer(able) for task, able in model.tasks.items()}
        fix = model.fix
        if model.state == "missing":
            lacking = fix.removeprefix("put ")
            fix = f"Comfy Cloud lacks what it needs: {lacking}; import that there, or name another"
            fix += f" file under providers.{self.name}.companions"
        return replace(entry, model=replace(model, tasks=tasks, fix=fix))

    def _priced(self, model: Model) -> Model:
        prices = self._settings.prices(model.id, self.seconds)
        return replace(model, prices=prices, where="vendor", device="")

    async def _entry(self, model: Model) -> Entry:
        if model.id not in self._contents.entries:
            await self._list()
        entry = self._contents.entries.get(model.id)
        if entry is None:
            near = failures.nearest(model.id, list(self._contents.entries))
            raise ModelMissing(self.name, f"Comfy Cloud does not have {model.id!r}{near}")
        if entry.model.state == "unusable":
            raise ModelUnusable(self.name, entry.model.fix)
        if entry.model.state == "missing":
            raise ModelMissing(self.name, entry.model.fix)
        return entry

    async def _graph(
        self, request: ProviderRequest, entry: Entry, draft: Draft | None, run: Run
    ) -> Nodes:
        """The graph of all pictures; those to work from are uploaded, each once."""
        uploaded: dict[bytes, str] = {}

        async def upload(data: bytes) -> str:
            if data not in uploaded:
                if len(data) > MAX_UPLOAD:
                    what = f"Comfy Cloud takes pictures of at most {MAX_UPLOAD // 10**6} MB"
                    raise RequestRejected(self.name, f"{what}; use smaller ones")
                uploaded[data] = await self._client.upload(data)
            return uploaded[data]

        prefix = f"ziggie/{groups.prompt_id(run.key, 0)}"
        if draft is None:
            assert request.image, "the core gives the picture"
            times = request.factor or 1
            size = Size(request.width * times, request.height * times)
            picture = await upload(request.image)
            return with_assets(compose_upscale(entry.file, picture, size, prefix))
        family = entry.model.family
        job = await drafting.with_pictures(draft.job, self.name, self._contents, family, upload)
        graphs = [
            compose(replace(job, seeds=[(request.seed + i) % 2**32], prefix=f"{prefix}_{i}"))
            for i in range(request.num_images)
        ]
        nodes = with_assets(join(graphs))
        drafting.check_nodes(self.name, {n["class_type"] for n in nodes.values()}, self._contents)
        return nodes

    async def _post(self, nodes: Nodes, model: Model, run: Run) -> Job:
        key, paid = groups.prompt_id(run.key, 0), not is_free(model.prices)
        posting = asyncio.create_task(self._client.post_job(nodes, key, paid=paid))
        try:
            return await asyncio.shield(posting)
        except asyncio.CancelledError:
            # Which job it became, only the answer tells; without it nobody could stop it.
            with anyio.move_on_after(_LEAVING_SECONDS, shield=True):
                await asyncio.wait({posting})
            if not posting.cancel() and not posting.cancelled() and not posting.exception():
                with anyio.move_on_after(_LEAVING_SECONDS, shield=True):
                    if run.is_ours():
                        await self.cancel(posting.result().id)
            raise

    async def _fetch(self, output: Output, max_bytes: int) -> bytes:
        for pause in self.fetch_pauses[:-1]:
            await anyio.sleep(pause)
            with contextlib.suppress(ProviderUnavailable, ProviderTimeout, RateLimited):
                return await self._client.output(output, max_bytes)
        await anyio.sleep(self.fetch_pauses[-1])
        return await self._client.output(output, max_bytes)

    def _cost(self, job: Job) -> Cost:
        return cloud_jobs.cost(job, self._settings.price_per_second_usd)

    async def _error(self, job: Job) -> ProviderError:
        charged, keys = self._cost(job).micro_usd, await self._client.keys()
        return cloud_jobs.failure(self.name, job, charged, self.seconds, keys)


def _outputs(job: Job, count: int) -> list[tuple[int | None, Output]]:
    """The pictures of a job in the order of the request, each with its number where it is told."""
    pictures = [output for output in job.outputs if output.type == "image"]
    number = {id: i for i, id in enumerate(save_nodes(count))}
    ours = {number[o.node_id]: o for o in pictures if o.node_id in number}
    if ours:
        return [(i, ours[i]) for i in sorted(ours)]
    return [(0 if count == 1 else None, output) for output in pictures]


def _fewer(able: TaskCapability) -> TaskCapability:
    return replace(able, max_images=min(able.max_images, MAX_IMAGES))
