"""Make pictures with OpenAI's images API, or with a server that speaks it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote, urljoin

import anyio
import httpx2

from ziggie_image_mcp.provider import (
    FREE,
    NO_COST,
    PROBE_SECONDS,
    ContentRefused,
    Cost,
    Defaults,
    FreeSize,
    Model,
    NotReady,
    Probe,
    ProviderContext,
    ProviderError,
    ProviderInfo,
    ProviderRequest,
    Run,
    SameAsInput,
    Task,
    TaskCapability,
)
from ziggie_image_mcp.provider.addresses import where_is
from ziggie_image_mcp.provider.download import DownloadFailed
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.http import BEARER, Answer, Files, HttpClient, KeyHeader
from ziggie_image_mcp.provider.pricing import Prices, counted_cost, list_cost
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, merge_rows, table
from ziggie_image_mcp.provider.vendor import SyncVendor
from ziggie_image_providers.openai import answers, wire
from ziggie_image_providers.openai import settings as section
from ziggie_image_providers.openai.failures import ERRORS, NoTransparency
from ziggie_image_providers.openai.flavours import Flavour, Route, by_host, flavours, has
from ziggie_image_providers.openai.servers import Server, row_of
from ziggie_image_providers.openai.settings import Row

MOST_PIXELS = 4096 * 4096
"""Of an enlarged picture."""

OUTPUT = "content_filter_results"
FILTERS: tuple[tuple[str, str, int | None], ...] = (
    ("prompt_filter_results", "this prompt", 0),
    (OUTPUT, "the finished pictures, which may be charged", None),
)
"""Where Azure tells of its filter: the field, what was refused, and what that cost."""


class OpenAI(SyncVendor):
    """One request, one answer, nothing to look up afterwards, and no idempotency key."""

    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="OpenAI: GPT Image models, and servers that speak its images API",
        key_names=("OPENAI_API_KEY",),
        home_page="https://platform.openai.com",
    )
    Settings: ClassVar[type[VendorSettings[Any]]] = section.Settings
    table: ClassVar[Mapping[str, ModelRow]] = table(__name__, Row)
    probe_path: ClassVar[str] = "models"
    errors: ClassVar[tuple[Rule, ...]] = ERRORS

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        self._flavour_name: str = settings.flavour
        if settings.flavour == "auto":
            self._flavour_name = by_host(httpx2.URL(settings.base_url).host.lower())
            if not self._flavour_name and where_is(settings) == "vendor":
                self._flavour_name = "openai"  # a gateway to it; servers of one's own are asked
        self._section = settings
        self._opaque: set[str] = set()
        """Models that refused a transparent ground: of some it depends on the account."""
        if by_host(httpx2.URL(settings.base_url).host.lower()) == "azure":
            settings = settings.model_copy(update={"base_url": _azure(settings)})
        super().__init__(name, settings, context)
        if settings.api_version is not None:
            self.http.params["api-version"] = settings.api_version
        for header, value in (
            ("OpenAI-Organization", settings.organization),
            ("OpenAI-Project", settings.project),
        ):
            if value:
                self.http.headers[header] = value
        self._root = HttpClient(
            name,
            settings.model_copy(update={"base_url": _root_of(settings.base_url)}),
            context,
            auth=self.key_headers(),
            key_names=[settings.key_name] if settings.key_name else [],
        )
        self._server = Server(name, self.http, self._root, self.seconds)

    def key_headers(self) -> Sequence[KeyHeader]:
        """Azure's header is another one."""
        known = flavours().get(self._flavour_name)
        if known is None or known.key_header == BEARER.name:
            return self.auth
        return (KeyHeader(known.key_header, prefix=""),)

    def known_rows(self) -> Mapping[str, ModelRow]:
        """OpenAI's models, where it is OpenAI, and what the user's are like."""
        own = self._section.models.items()
        like = {id: self.table[row.like] for id, row in own if row.like}
        return {**self.table, **like} if self._flavour_name == "openai" else like

    @property
    def flavour(self) -> Flavour:
        """Which kind of server it is; the plainest, as long as nobody has asked it."""
        return flavours()[self._flavour_name or "compatible"]

    async def detect(self) -> str:
        """The name of the flavour: asked once, and remembered.

        Raises:
            NotReady: It is an engine that makes no pictures as it is.
            ProviderError: The server does not answer.
        """
        if not self._flavour_name:
            self._flavour_name = await self._server.recognise()
        return self._flavour_name

    async def probe(self) -> Probe:
        """Ask for the list of models, and by it for the flavour."""
        try:
            with anyio.fail_after(PROBE_SECONDS):
                probe = await super().probe()
                if probe.state == "ready":
                    return replace(probe, flavour=await self.detect())
                return probe
        except NotReady as e:
            return Probe(state="wrong_service", message=str(e), url=self.http.url)
        except (ProviderError, TimeoutError) as e:
            message = str(e) or f"{self.http.url} answered too late"
            return Probe(state="unreachable", message=message)

    async def list_models(self) -> Sequence[Model]:
        """List the rows, and what the server lists. OpenAI itself is not asked.

        Raises:
            ProviderError: There is no key, or the server does not answer.
        """
        if await self.detect() == "openai":
            return await super().list_models()
        await self.http.keys()
        flavour = self.flavour
        items = {
            item["id"]: item
            for item in (await self._server.items(flavour.listing) if flavour.listing else ())
            if isinstance(item["id"], str) and has(item, flavour.pictures)
        }
        rows = merge_rows(
            {id: row_of(flavour, id, items.get(id, {})) for id in (*self.rows, *items)}, self.rows
        )
        if flavour.none and not rows:
            what = f"{flavour.title} at {self.http.url} has no model that makes pictures"
            raise NotReady(self.name, f"{what}; {flavour.none}")
        return [
            replace(self.model(id, row), where="vendor", prices=row.prices("vendor"), device="")
            if flavour.foreign and has(items.get(id, {}), flavour.foreign)
            else self.model(id, row)
            for id, row in rows.items()
        ]

    def model(self, id: str, row: Row) -> Model:
        """A row as a model, known by the name too that it has with OpenAI."""
        changes: dict[str, Any] = {}
        if id in self._opaque:
            changes["options"] = row.options - {"transparent"}
        if row.like:
            changes["aliases"] = (*row.aliases, row.like)
        return super().model(id, row.model_copy(update=changes))

    def tasks(self, row: Row) -> Mapping[Task, TaskCapability]:
        """What the server has routes for, and the model can do."""
        able: dict[Task, bool] = {
            "text_to_image": row.paints,
            "image_to_image": row.edits,
            "inpaint": row.edits and row.masks is not False,
        }
        return {
            task: self._capability(row, route)
            for task, route in self.flavour.tasks.items()
            if (task == "upscale" if row.upscales else able.get(task))
        }

    def defaults(self, row: Row) -> Defaults:
        """What goes over the wire alone: a quality only where one is read."""
        route = self.flavour.tasks.get("text_to_image")
        fields = route.fields if route and not row.upscales else ()
        return Defaults(
            steps=row.default_steps if "steps" in fields else None,
            guidance_scale=row.default_guidance if "guidance_scale" in fields else None,
            quality=self._section.quality if "quality" in fields else "",
        )

    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        """One POST, in the words of the server's flavour."""
        await self.detect()
        try:
            return await super().send(request, model, run)
        except NoTransparency:
            self._opaque.add(model.id)
            raise

    def path(self, request: ProviderRequest, model: Model) -> str:
        """Where this task goes; on Azure's classic routes below the deployment."""
        path = self._route(request).path
        return f"deployments/{quote(model.id, safe='')}/{path}" if self._is_classic else path

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """Say the request in the words of the server's flavour."""
        route, settings = self._route(request), self._settings_for(request, model)
        body = wire.body(request, model, self.flavour, route, settings)
        return {k: v for k, v in body.items() if k != "model"} if self._is_classic else body

    def files(self, request: ProviderRequest, model: Model) -> Files:
        """The pictures of a form; the mask as the server reads it."""
        return wire.files(request, self._route(request))

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The pictures, or where the server has put them."""
        items = answers.items_of(answer.json())
        sources = [source for item in items if (source := answers.source_of(item))]
        if not sources:
            for key, stage, charged in FILTERS:
                reasons = {reason for item in items for reason in answers.filtered(item, key)}
                if reasons:
                    what = f"the safety system refused {stage} ({', '.join(sorted(reasons))})"
                    raise ContentRefused(self.name, what, charged=charged)
        return [urljoin(f"{self.http.url}/", s) if isinstance(s, str) else s for s in sources]

    async def fetch(self, source: bytes | str, max_bytes: int) -> bytes:
        """A picture that a server of one's own keeps lies there, and nobody else is asked for it.

        Raises:
            DownloadFailed: It cannot be fetched.
        """
        if self.flavour.own_host and isinstance(source, str) and not self.http.may_ask(source):
            raise DownloadFailed("stand at another host than the server's, which is not asked")
        return await super().fetch(source, max_bytes)

    def seed(self, request: ProviderRequest, model: Model, index: int) -> int | None:
        """In as many bits as the server takes."""
        seed = super().seed(request, model, index)
        return None if seed is None else seed % (self.flavour.max_seed + 1)

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """By the tokens that the answer tells, where the price is one of tokens."""
        if model.prices is FREE:
            return NO_COST
        if not _has_tokens(model.prices):
            return list_cost(request, model, images)
        counts = answers.tokens(answer.data().get("usage"), request)
        return counted_cost(counts, request, model, images)

    def served(self, answer: Answer) -> str:
        """Gateways tell it. Azure's names of deployments say nothing of the model."""
        served = answer.data().get("model")
        return served if isinstance(served, str) and self._flavour_name != "azure" else ""

    def notes(self, answer: Answer, request: ProviderRequest, model: Model) -> Sequence[str]:
        """What was done otherwise, and what was withheld."""
        body = answer.data()
        notes = [f"{name} {value}" for name, value in self._settings_for(request, model).items()]
        notes += answers.differences(body, request)
        notes += wire.changes(request, self.flavour)
        items = answers.items_of(body)
        lost = sum(bool(answers.filtered(i, OUTPUT)) and not answers.source_of(i) for i in items)
        if lost:
            notes.append(f"the safety system withheld {lost} of {len(items)} pictures")
        cost = self.cost(answer, request, model, request.num_images)
        if body.get("usage") and cost.basis == "list" and _has_tokens(model.prices):
            notes.append(answers.about_count(body["usage"], request, model))
        return notes

    async def aclose(self) -> None:
        """Close the connections."""
        await self._root.aclose()
        await super().aclose()

    @property
    def _is_classic(self) -> bool:
        return self._flavour_name == "azure" and self._section.is_classic

    def _settings_for(self, request: ProviderRequest, model: Model) -> dict[str, str]:
        """What the user set that the server and the model read."""
        row = self.rows.get(model.id, Row())
        general = self._section.complexity if row.takes_complexity else None
        values = {"complexity": row.complexity or general, "moderation": self._section.moderation}
        names = self._route(request).settings
        return {name: value for name in names if (value := values[name]) is not None}

    def _capability(self, row: Row, route: Route) -> TaskCapability:
        if row.upscales:
            accepts = FreeSize(
                native_width=512,
                native_height=512,
                min_side=16,
                multiple_of=1,
                max_pixels=MOST_PIXELS // row.upscales**2,
            )
            return TaskCapability(sizes=SameAsInput(accepts=accepts), factors=(row.upscales,))
        optional = frozenset(("transparent",)) - row.options
        return TaskCapability(
            sizes=row.sizes(),
            options=frozenset(option for option in route.fields if option not in optional),
            max_images=min(row.max_images, route.max_images),
            max_references=route.max_references if row.edits else 0,
            mask=route.polarity,
            max_prompt=row.prompt_limit(),
            bounds=route.bounds,
        )

    def _route(self, request: ProviderRequest) -> Route:
        """References make an edit of what is text to image to us."""
        edit = request.task == "text_to_image" and request.reference_ids
        return self.flavour.tasks["image_to_image" if edit else request.task]


def _root_of(url: str) -> str:
    """A base URL without the path of the API."""
    return re.sub(r"(/api)?/v1$", "", url)


def _azure(settings: section.Settings) -> str:
    """The base URL of the routes that are asked, whatever of it the user copied."""
    bare = settings.base_url.removesuffix("/v1").removesuffix("/openai")
    return f"{bare}/openai" if settings.is_classic else f"{bare}/openai/v1"


def _has_tokens(prices: Prices) -> bool:
    """Whether a picture is paid by its tokens."""
    return prices is not FREE and any(r.unit == "image_token_out" for r in prices.rates)
