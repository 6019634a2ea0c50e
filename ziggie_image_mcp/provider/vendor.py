"""A template for vendors that are asked over HTTP: each step can be said in the vendor's words."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote

import anyio

from ziggie_image_mcp.errors import InvalidOutput, ProviderError, ProviderUnavailable
from ziggie_image_mcp.provider.bounds import answer_bytes, picture_bytes
from ziggie_image_mcp.provider.capabilities import MaskPolarity, Task, TaskCapability
from ziggie_image_mcp.provider.contract import (
    PROBE_SECONDS,
    STOP_SECONDS,
    ProviderContext,
    ProviderInfo,
)
from ziggie_image_mcp.provider.delivery import MALFORMED, AnswersAtOnce, Polled, RemoteStatus
from ziggie_image_mcp.provider.download import DownloadFailed
from ziggie_image_mcp.provider.error_rules import Rule
from ziggie_image_mcp.provider.http import (
    BEARER,
    READ_SECONDS,
    Answer,
    Files,
    HttpClient,
    KeyHeader,
)
from ziggie_image_mcp.provider.json_paths import number, values
from ziggie_image_mcp.provider.live_prices import LivePrices, Rates
from ziggie_image_mcp.provider.nouns import (
    Balance,
    CancelOutcome,
    Defaults,
    GeneratedImage,
    Generation,
    Model,
    Probe,
    ProviderRequest,
    RemoteJob,
    Run,
    Submission,
    Where,
    is_same_model,
    options_of,
)
from ziggie_image_mcp.provider.pricing import (
    UNKNOWN_COST,
    Cost,
    Estimate,
    estimate,
    is_free,
    is_own,
    list_cost,
)
from ziggie_image_mcp.provider.settings import ModelRow, VendorSettings, merge_rows

DEFAULT_SECONDS = 300.0

STOP_PAUSE = 0.3
"""Between two looks at a job that is to stop, seconds."""

MOST_CREDITS = 1e12
"""Nobody has so many: what tells more is misread."""


class Vendor:
    """What vendors have in common. A subclass says `info`, `Settings`, `payload` and `pictures`.

    `SyncVendor` is for those whose answer is the pictures, `PolledVendor` for those that name a job
    and are asked after it.
    """

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo]
    Settings: ClassVar[type[VendorSettings[Any]]]
    auth: ClassVar[tuple[KeyHeader, ...]] = (BEARER,)
    """The headers of its keys, in the order of `info.key_names`."""
    post: ClassVar[str] = ""
    """Where requests go, below the base URL."""
    errors: ClassVar[tuple[Rule, ...]] = ()
    """What its failing answers mean, where it is not the usual."""
    table: ClassVar[Mapping[str, ModelRow]] = {}
    """The models that come with it, by id; mostly `settings.table(__name__, ModelRow)`."""
    probe_path: ClassVar[str] = ""
    """What can be asked for nothing to see whether key and address are right."""
    api_hosts: ClassVar[tuple[str, ...]] = ()
    """Hosts of its API beside the base URL's, where its answers lead there."""
    trusted_hosts: ClassVar[tuple[str, ...]] = ()
    """Where its finished pictures lie."""
    model_path: ClassVar[str] = ""
    """Where its answers say which model made a picture; empty where they do not."""
    accept: ClassVar[tuple[int, ...]] = ()
    """Failing statuses that answer a request all the same."""
    mask: ClassVar[MaskPolarity | None] = None
    """Of the masks that it takes."""
    form: ClassVar[bool] = False
    """Whether every request goes as a multipart form; one with `files` does anyway."""

    def __init__(self, name: str, settings: VendorSettings[Any], context: ProviderContext) -> None:
        self.name = name
        self.settings = settings
        self.seconds = settings.timeout or context.timeout or DEFAULT_SECONDS
        names = (settings.key_name, *self.info.key_names[1:]) if settings.key_name else ()
        self.http = HttpClient(
            name,
            settings,
            context,
            auth=self.key_headers(),
            key_names=[n for n in names if n],
            rules=self.errors,
            hosts=self.api_hosts,
            read_seconds=self.seconds,
        )
        self.where: Where = self.http.where
        file = context.data_dir / "prices" / f"{name}.json"
        self._live_prices = LivePrices(file, self.http.url, self.read_prices)
        self.rows: dict[str, Any] = merge_rows(self.known_rows(), settings.models)

    def key_headers(self) -> Sequence[KeyHeader]:
        """Sometimes overridden: where the address decides how a key travels."""
        return self.auth

    async def probe(self) -> Probe:
        """Sometimes overridden: by a path that also tells flavour and version."""
        try:
            await self.http.keys()
            with anyio.fail_after(PROBE_SECONDS):
                probe = await self.try_key()
                return probe if self.http.where == "vendor" else replace(probe, url=self.http.url)
        except TimeoutError:
            return Probe(state="unreachable", message=f"{self.http.url} answered too late")
        except ProviderError as e:
            unauthorised = e.code == "AUTHENTICATION_FAILED"
            return Probe(state="unauthorised" if unauthorised else "unreachable", message=str(e))

    async def try_key(self) -> Probe:
        """Sometimes overridden: one call that costs nothing, and shows whether the key is taken.

        Raises:
            ProviderError: It is not, or nobody answers.
        """
        if not self.probe_path:
            message = "its key is there, and cannot be tried for nothing"
            return Probe(state="ready", message=message)
        await self.http.get_json(self.probe_path)
        return Probe(state="ready")

    async def list_models(self) -> Sequence[Model]:
        """Usually inherited: the rows of the table and of the config. Asks nobody but for the key.

        Raises:
            AuthenticationFailed: There is no key.
        """
        await self.http.keys()
        return await self.priced([self.model(id, row) for id, row in self.rows.items()])

    async def read_prices(self) -> Rates:
        """Overridden where the vendor tells its prices for nothing: by GETs alone.

        Raises:
            ProviderError: It does not tell.
        """
        return {}

    async def priced(self, models: Sequence[Model]) -> Sequence[Model]:
        """Models with the vendor's own prices of today, where it tells them; the user's win."""
        if not self.settings.live_prices or type(self).read_prices is Vendor.read_prices:
            return models
        books = await self._live_prices.books()
        return [
            replace(model, prices=books[model.id])
            if model.id in books and not (is_free(model.prices) or is_own(model.prices))
            else model
            for model in models
        ]

    def known_rows(self) -> Mapping[str, ModelRow]:
        """Usually inherited: the rows that come with the provider."""
        return self.table

    def model(self, id: str, row: Any) -> Model:
        """Usually inherited: a row as a model."""
        return Model(
            id=id,
            provider=self.name,
            where=self.where,
            tasks=self.tasks(row),
            prices=row.prices(self.where),
            family=row.family,
            title=row.title,
            aliases=row.aliases,
            license=row.license,
            commercial_use=row.commercial_use,
            device=self.http.url if self.where == "this_machine" else "",
            defaults=self.defaults(row),
            distilled=row.distilled,
            quality=row.quality,
            seconds=row.seconds,
            deprecated_on=row.deprecated_on,
        )

    def tasks(self, row: Any) -> Mapping[Task, TaskCapability]:
        """Overridden by vendors that do more than text to image."""
        return {"text_to_image": self.capability(row)}

    def capability(self, row: Any) -> TaskCapability:
        """Usually inherited: what a row says of text to image."""
        return TaskCapability(
            sizes=row.sizes(),
            options=row.options,
            max_images=row.max_images,
            max_prompt=row.prompt_limit(),
        )

    def defaults(self, row: Any) -> Defaults:
        """Overridden where the config decides a quality."""
        return Defaults(steps=row.default_steps, guidance_scale=row.default_guidance)

    def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
        """Usually inherited: what the price book says."""
        return estimate(request, model)

    def path(self, request: ProviderRequest, model: Model) -> str:
        """Sometimes overridden: where this request goes."""
        return self.post

    def payload(self, request: ProviderRequest, model: Model) -> dict[str, Any]:
        """The body in the vendor's words. Must be overridden."""
        raise NotImplementedError

    def files(self, request: ProviderRequest, model: Model) -> Files:
        """Overridden where pictures go as files of a form; then the body goes as its fields."""
        return ()

    def check(
        self, request: ProviderRequest, model: Model, body: Mapping[str, Any], files: Files
    ) -> None:
        """Sometimes overridden: what can be refused before anything is sent.

        Raises:
            RequestRejected: It can.
        """

    def wrapped(self, body: dict[str, Any], run: Run) -> object:
        """Sometimes overridden: where the body stands in something else, as a list of tasks."""
        return body

    def headers(self, request: ProviderRequest, model: Model, run: Run) -> Mapping[str, str]:
        """Sometimes overridden: headers of this request alone, as an idempotency key."""
        return {}

    async def send(self, request: ProviderRequest, model: Model, run: Run) -> Answer:
        """Usually inherited: one POST."""
        body, files = self.payload(request, model), self.files(request, model)
        self.check(request, model, body, files)
        is_form = self.form or bool(files)
        await run.progress(0.05, f"sent to {self.name}")
        return await self.http.post_once(
            self.path(request, model),
            json=None if is_form else self.wrapped(body, run),
            form={k: form_value(v) for k, v in body.items()} if is_form else None,
            files=files,
            headers=self.headers(request, model, run),
            paid=not is_free(model.prices),
            accept=self.accept,
            max_bytes=answer_bytes(request),
        )

    def pictures(self, answer: Answer) -> Sequence[bytes | str]:
        """The pictures of an answer: bytes, or addresses to fetch them from. Must be overridden.

        Raises:
            ContentRefused: The answer is a refusal behind a status of success.
        """
        raise NotImplementedError

    def cost(self, answer: Answer, request: ProviderRequest, model: Model, images: int) -> Cost:
        """Overridden where the answer tells what it cost; else the list price of what came."""
        return list_cost(request, model, images)

    def seed(self, request: ProviderRequest, model: Model, index: int) -> int | None:
        """Overridden where the answer tells seeds. One request has one seed, whatever the count."""
        honoured = "seed" in options_of(model, request.task)
        return request.seed if honoured and index == 0 else None

    def served(self, answer: Answer) -> str:
        """Usually inherited: which model the answer says that it was; another one is noticed."""
        told = values(answer.data(), self.model_path) if self.model_path else ()
        return next((name for name in told if isinstance(name, str)), "")

    def notes(self, answer: Answer, request: ProviderRequest, model: Model) -> Sequence[str]:
        """Sometimes overridden: what the caller should know."""
        return ()

    async def generation(
        self, answer: Answer, request: ProviderRequest, model: Model
    ) -> Generation:
        """Usually inherited: an answer as pictures, fetched and with their cost.

        Raises:
            InvalidOutput: There is none, or one cannot be fetched; it cost what it cost.
            OutcomeUnknown: It is not in the API's words.
        """
        asked = request.num_images
        try:
            sources = self.pictures(answer)
            cost = self.cost(answer, request, model, min(len(sources) or asked, asked))
            notes = [*self.notes(answer, request, model)] if sources else []
            served = self.served(answer)
        except MALFORMED as e:
            raise await self.http.unreadable(answer, paid=not is_free(model.prices)) from e
        if not sources:
            refusal = await self.http.refusal(answer)
            if refusal is not None:
                raise refusal
            what = f"{self.name} answered without a picture, and may charge for it"
            raise InvalidOutput(self.name, what, charged=cost.micro_usd)
        if len(sources) > asked:
            these = "first is" if asked == 1 else f"first {asked} are"
            notes.append(f"{self.name} made {len(sources)} pictures of {asked}; the {these} kept")
        if served and not is_same_model(served, model):
            notes.append(f"{self.name} says that {served} made it, and not {model.id}")
        images: list[GeneratedImage] = []
        lost: list[DownloadFailed] = []
        for index, source in enumerate(sources[:asked]):
            try:
                data = await self.fetch(source, picture_bytes(request))
            except DownloadFailed as e:
                lost.append(e)
                continue
            images.append(GeneratedImage(data=data, seed=self.seed(request, model, index)))
        if lost and not images:
            what = f"{self.name} made the pictures and charges for them, but they {lost[0]}"
            free = is_free(model.prices)  # else they are paid for, and others would be too
            raise InvalidOutput(self.name, what, charged=cost.micro_usd, fallback=free) from lost[0]
        if lost:
            notes.append(f"{len(lost)} pictures of {self.name}, which charges for them, {lost[0]}")
        return Generation(images=tuple(images), notes=tuple(notes), cost=cost)

    async def fetch(self, source: bytes | str, max_bytes: int) -> bytes:
        """Usually inherited: a picture's bytes, from its address where it has one.

        Raises:
            DownloadFailed: It cannot be fetched.
        """
        if isinstance(source, bytes):
            return source
        return await self.http.download(
            source, trusted_hosts=self.trusted_hosts, max_bytes=max_bytes
        )

    async def balance(self) -> Balance | None:
        """Overridden where it costs nothing to ask."""
        return None

    async def balance_at(self, path: str, field: str, micro_usd: float) -> Balance:
        """A balance by one GET.

        Args:
            path: What is asked.
            field: Of the answer: how many credits are left.
            micro_usd: What one of them is worth.

        Raises:
            ProviderError: It is not told.
        """
        for amount in values(await self.http.get_json(path), field):
            told = number(amount)
            if told is not None and abs(told) < MOST_CREDITS:
                return Balance(micro_usd=math.floor(told * micro_usd))
        raise ProviderUnavailable(self.name, f"{self.http.url} does not tell what is left")

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()


class SyncVendor(AnswersAtOnce, Vendor):
    """A vendor whose answer is the pictures."""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One request, one answer."""
        return await self.generation(await self.send(request, model, run), request, model)


class PolledVendor(Polled, Vendor):
    """A vendor that names a job, which is asked after and then fetched.

    A subclass says `job_id`, `status_path` and `status`, and `cancel_path` where jobs can be
    stopped.
    """

    def job_id(self, answer: Answer) -> str:
        """The id of the job in the answer to a request. Must be overridden."""
        raise NotImplementedError

    def status_path(self, remote_id: str) -> str:
        """Where a job is asked after, below the base URL. Must be overridden."""
        raise NotImplementedError

    async def status(self, answer: Answer) -> RemoteStatus:
        """What such an answer says; of a failure by `http.job_error`. Must be overridden."""
        raise NotImplementedError

    def cancel_path(self, remote_id: str) -> str:
        """Where a job is stopped by a POST. Empty where that cannot be."""
        return ""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """One POST, which names the job."""
        answer = await self.send(request, model, run)
        try:
            remote_id = self.job_id(answer)
        except MALFORMED:
            remote_id = ""
        if not remote_id:
            what = f"answered HTTP {answer.status} without the id of a job"
            raise self.http.lost(what, paid=not is_free(model.prices))
        return RemoteJob(id=remote_id)

    async def look(self, remote_id: str) -> RemoteStatus:
        """One GET."""
        seconds = min(READ_SECONDS, self.seconds)
        answer = await self.http.get(self.status_path(remote_id), seconds=seconds)
        return replace(await self.status(answer), answer=answer)

    async def finish(
        self, remote_id: str, status: RemoteStatus, request: ProviderRequest, model: Model
    ) -> Generation:
        """Fetch what the last answer names."""
        assert status.answer is not None, "look() gives it"
        return await self.generation(status.answer, request, model)

    async def cancel_by_put(self, path: str, remote_id: str) -> CancelOutcome:
        """One PUT, which is a wish, and looks at what comes of it, as long as a cancel may take.

        A job that was withdrawn may be charged all the same: then its error says what.
        """
        with anyio.move_on_after(STOP_SECONDS):
            try:
                answer = await self.http.put(path, seconds=STOP_SECONDS)
                if answer.status != 202:
                    return CancelOutcome(state="too_late")
                while True:
                    status = await self._look(remote_id)
                    if status.state == "failed":
                        return CancelOutcome(state="stopped", cost=_cost_of(status))
                    if status.state == "succeeded":
                        break
                    await anyio.sleep(STOP_PAUSE)
            except ProviderError:
                pass  # what nobody tells was not stopped
        return CancelOutcome(state="too_late")

    async def cancel(self, remote_id: str) -> CancelOutcome:
        """One POST, and a look at what came of it."""
        path = self.cancel_path(remote_id)
        if not path:
            return CancelOutcome(state="unsupported")
        with anyio.move_on_after(STOP_SECONDS):
            try:
                await self.http.post_once(path, paid=False)
                status = await self._look(remote_id)
            except ProviderError:
                return CancelOutcome(state="too_late")
            if status.state == "failed":
                return CancelOutcome(state="stopped", cost=_cost_of(status))
        return CancelOutcome(state="too_late")


def _cost_of(status: RemoteStatus) -> Cost:
    """What a job cost that ended without a picture."""
    charged = status.error.charged if status.error else None
    return UNKNOWN_COST if charged is None else Cost(micro_usd=charged, basis="exact")


def from_base64(text: object) -> bytes | None:
    """A picture out of base64, or out of a data URL; None where it is none.

    It may come in lines, without its padding, and with the signs that are for addresses.
    """
    if not isinstance(text, str):
        return None
    if text[:64].lstrip()[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            return None
        text = unquote(text)
    digits = text.translate(_BASE64).rstrip("=")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True) or None
    except ValueError:
        return None


_BASE64 = str.maketrans("-_", "+/", " \t\r\n")


def sources_at(body: object, paths: Sequence[str]) -> list[bytes | str]:
    """The pictures at the first of these paths where there are any: bytes, or their addresses.

    Of several paths below one list, as `data[].b64_json` and `data[].url`, each entry has its own.
    """
    lists: dict[str, list[str]] = {}
    for path in paths:
        start, dots, key = path.rpartition("[].")
        lists.setdefault(f"{start}[]" if dots else path, []).append(key if dots else "")
    for start, keys in lists.items():
        found: list[bytes | str] = []
        for entry in values(body, start):
            each = (text for key in keys for text in (values(entry, key) if key else (entry,)))
            text = next((text for text in each if isinstance(text, str) and text), "")
            if text:
                found.append(text if _is_address(text) else from_base64(text) or b"")
        if found:
            return found
    return []


def _is_address(text: str) -> bool:
    return "://" in text[:16] and not text.startswith("data:")


def to_data_url(data: bytes, media_type: str = "image/png") -> str:
    """A picture as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def form_value(value: object) -> str:
    """A value as a form's field writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
