"""Say in plain data what there is and what would be done: models, machine, plans, results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from pydantic import BaseModel

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing import payback
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.errors import InvalidRequest, duration, suggestion
from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.detection import Detected, unused
from ziggie_image_mcp.inventory.engine_status import probe_all, status_sentence, urls_of
from ziggie_image_mcp.inventory.folder_scan import scan_folder
from ziggie_image_mcp.inventory.licences import condition_of
from ziggie_image_mcp.inventory.model_facts import plain
from ziggie_image_mcp.inventory.tier_texts import tier_text
from ziggie_image_mcp.inventory.types import Gpu, Rejection, Survey, lacks_key, reason_sentence
from ziggie_image_mcp.provider import pricing
from ziggie_image_mcp.provider.nouns import (
    Balance,
    Model,
    Probe,
    ProviderRequest,
    is_local,
    is_present,
)
from ziggie_image_mcp.provider.redaction import hidden
from ziggie_image_mcp.provider.sizes import corners, native_size
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.circuit_breaker import is_open
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.spellings import provider_named
from ziggie_image_mcp.routing.types import (
    PROVIDER_QUEUE,
    Candidate,
    CircuitBreaker,
    HistorySnapshot,
    Plan,
    QueueStatus,
)
from ziggie_image_mcp.storage.types import InputImage

SPEED_ROWS = 12
_ANY = ImageRequest(prompt="a picture")


class ModelRow(BaseModel):
    """One model of one provider."""

    id: str
    provider: str
    title: str
    family: str | None
    memory_gb: float | None
    """What it needs, of the GPU or else of the machine; None where the engine sees to it."""
    local: bool
    usable: bool
    why_not: list[str]
    installed: bool
    how_to_install: str
    features: list[str]
    native_size: str
    max_side: int
    usd_per_image: float | None
    expected_seconds: float | None
    quality: float | None
    license: str
    license_condition: str
    """What a user must know before use; empty where there is nothing, or nothing is known."""
    commercial_use: bool | None
    demo: bool
    note: str = ""
    """What a caller should know of running it here; empty where there is nothing."""


class Silent(BaseModel):
    """A provider that has nothing to offer now."""

    provider: str
    why_not: list[str]


class Addition(BaseModel):
    """What is asked for beside a model: a LoRA, a control model, an embedding."""

    kind: str
    id: str
    provider: str
    family: str | None
    about: str


class ModelReport(BaseModel):
    """What list_models answers."""

    models: list[ModelRow]
    left_out: int
    additions: list[Addition]
    additions_left_out: int
    unavailable: list[Silent]
    real_model: str
    """How to get one, where only the demo is here."""
    styles: list[str]
    """What `style` of a call may name."""


class FolderReport(BaseModel):
    """What lies in a folder."""

    folder: str
    models: list[ModelRow]
    additions: list[Addition]
    unavailable: list[Silent]
    settings: list[str]
    """The keys of the config in which the folder can be named."""


class GpuRow(BaseModel):
    """One GPU."""

    name: str
    vram_gb: float | None
    vram_free_gb: float | None


class Engine(BaseModel):
    """One provider and its state."""

    provider: str
    running: bool
    usable_models: int
    detail: str


class Choice(BaseModel):
    """One of the three ways to make pictures here."""

    possible: bool
    route: str | None
    expected_seconds: float | None
    usd_per_image: float | None
    text: str


class HardwareReport(BaseModel):
    """What check_hardware answers."""

    os: str
    cpu: str | None
    cpu_cores: int | None
    ram_gb: float | None
    ram_free_gb: float | None
    disk_free_gb: float | None
    gpus: list[GpuRow]
    tier: str
    tier_means: str
    engines: list[Engine]
    other_engines: list[str]
    """Those that answer and that no provider speaks with: what each is, and what to do."""
    paused: list[str]
    waiting: list[str]
    speeds: list[str]
    spent_today_usd: float
    spent_this_month_usd: float
    unknown_charges: int
    advice: str
    real_model: str
    """How to get one, where only the demo is here."""
    local: Choice
    cloud: Choice
    automatic: Choice
    picture_folder: str
    notes: list[str]


async def models(
    service: Service,
    *,
    provider: str = "",
    query: str = "",
    usable_only: bool = False,
    most: int | None = None,
) -> ModelReport:
    """List the models of all providers with what stands against each, `most` of them at most.

    Where some are left out, they are those that cannot be used.
    """
    context = await service.snapshot(_ANY)
    return _model_report(
        context, provider=provider, query=query, usable_only=usable_only, most=most
    )


async def folder(service: Service, path: Path) -> FolderReport:
    """List what lies in a folder, which the config need not name, with what stands against each.

    Raises:
        InvalidRequest: There is no such folder.
    """
    scan = await scan_folder(service.registry, path)
    context = replace(await service.snapshot(_ANY), survey=scan.survey)
    report = _model_report(context)
    return FolderReport(
        folder=str(path),
        models=report.models,
        additions=report.additions,
        unavailable=report.unavailable,
        settings=list(scan.keys),
    )


def _model_report(
    context: RoutingContext,
    *,
    provider: str = "",
    query: str = "",
    usable_only: bool = False,
    most: int | None = None,
) -> ModelReport:
    plan = _plan_for_all(context)
    wanted = _wanted(provider, context.survey)
    chances = {(c.model.provider, c.model.id): c for c in plan.candidates}
    reasons = {(r.provider, r.model): r for r in plan.rejected}
    rows: list[ModelRow] = []
    for model in context.survey.models:
        key = (model.provider, model.id)
        if not wanted(model.provider, is_local(model)):
            continue
        names = (model.id, model.title, *model.aliases)
        if query and not any(plain(query) in plain(n) for n in names):
            continue
        if usable_only and key not in chances:
            continue
        rows.append(_row(model, chances.get(key), reasons.get(key)))
    if most is not None:
        rows = sorted(rows, key=lambda row: not row.usable)[:most]
    beside = [
        Addition(kind=a.role, id=a.id, provider=a.provider, family=a.family, about=a.title)
        for a in context.survey.additions
        if wanted(a.provider, is_local(a)) and (not query or plain(query) in plain(a.id))
    ]
    return ModelReport(
        models=rows,
        additions=beside[:most],
        additions_left_out=len(beside) - len(beside[:most]),
        left_out=len(context.survey.models) - len(rows),
        unavailable=[
            Silent(provider=r.provider, why_not=sentences(r))
            for r in plan.rejected
            if r.model is None and wanted(r.provider, not lacks_key(r))
        ],
        real_model=plan.advice,
        styles=list(context.config.styles),
    )


def _wanted(word: str, survey: Survey) -> Callable[[str, bool], bool]:
    """Whether a provider is among those that are asked for: by its name, or as local or cloud.

    Raises:
        InvalidRequest: There is none of this name.
    """
    kind = word.strip().lower()
    if kind in ("", "auto", "all", "any"):
        return lambda name, local: True
    if kind in ("local", "cloud"):
        return lambda name, local: local is (kind == "local")
    listed = {m.provider for m in (*survey.models, *survey.additions)}
    known = sorted(listed | {r.provider for r in survey.rejected})
    named = provider_named(word.strip(), known)
    if named not in known:
        fix = f"local, cloud or one of {', '.join(known)}, or leave it out for all"
        raise InvalidRequest("provider", word, f"{fix}.{suggestion(word, known)}")
    return lambda name, local: name == named


def _plan_for_all(context: RoutingContext) -> Plan:
    """What would become of each model at what it is for: a picture from a text, else its own task.

    The candidates are in no order.
    """
    decided = planner.plan(context)
    others = [m for m in context.survey.models if m.tasks and "text_to_image" not in m.tasks]
    if not others:
        return decided
    is_other = {(m.provider, m.id) for m in others}
    candidates = list(decided.candidates)
    rejected = [r for r in decided.rejected if (r.provider, r.model) not in is_other]
    for model in others:
        survey = replace(context.survey, models=(model,), rejected=())
        plan = planner.plan(replace(context, survey=survey, request=_at_its_task(model)))
        candidates += plan.candidates
        rejected += plan.rejected
    return replace(decided, candidates=tuple(candidates), rejected=tuple(rejected))


def _at_its_task(model: Model) -> ImageRequest:
    """A request that a model without text to image is made for."""
    task, able = next(iter(model.tasks.items()))
    size = native_size(able.sizes)
    picture = InputImage(id="", width=size.width, height=size.height)
    return replace(
        _ANY,
        image=picture,
        mask=picture if able.mask is not None else None,
        upscale=next(iter(able.factors), 2) if task == "upscale" else None,
        remove_background=task == "remove_background",
    )


def _usd_per_image(model: Model) -> float | None:
    """What a picture of the model's own size costs at most; None when unknown."""
    task = next(iter(model.tasks), None)
    if task is None or pricing.is_free(model.prices):
        return 0.0 if pricing.is_free(model.prices) else None
    width, height = native_size(model.tasks[task].sizes)
    request = ProviderRequest(
        task=task,
        prompt=_ANY.prompt,
        width=width,
        height=height,
        quality=model.defaults.quality,
    )
    estimate = pricing.estimate(request, model)
    return None if estimate is None else estimate.upper / 1e6


def _row(model: Model, chance: Candidate | None, rejection: Rejection | None) -> ModelRow:
    able = next(iter(model.tasks.values()), None)
    return ModelRow(
        id=model.id,
        provider=model.provider,
        title=model.title or model.id,
        family=model.family,
        memory_gb=_gb(model.memory.vram_bytes or model.memory.ram_bytes),
        local=is_local(model),
        usable=chance is not None,
        why_not=sentences(rejection) if rejection else [],
        installed=is_present(model),
        how_to_install=model.fix,
        features=sorted(
            {*model.tasks, *(o for able in model.tasks.values() for o in able.options)}
        ),
        native_size=str(native_size(able.sizes)) if able else "",
        max_side=max((max(size) for size in corners(able.sizes)), default=0) if able else 0,
        usd_per_image=_usd_per_image(model),
        expected_seconds=round(chance.seconds, 2) if chance else None,
        quality=model.quality,
        license=model.license,
        license_condition=condition_of(model.license),
        commercial_use=model.commercial_use,
        demo=model.demo,
        note=model.note,
    )


async def machine(service: Service) -> HardwareReport:
    """Describe this machine, its engines, and what local, cloud and automatic mode would do."""
    this_machine = await service.hardware()
    tier = hardware_probe.tier(this_machine)
    context = await service.snapshot(_ANY)
    plan = _plan_for_all(context)
    vendors = {m.provider for m in context.survey.models if m.where == "vendor"}
    vendors -= {m.provider for m in context.survey.models if m.where != "vendor"}
    own = {n: p for n, p in service.registry.providers().items() if n not in vendors}
    statuses: dict[str, tuple[Probe, Balance | None]] = {}
    detected: list[Detected] = []

    async def probe() -> None:
        statuses.update(await probe_all(own))

    async def detect() -> None:
        detected.extend(await service.detector.take())

    async with anyio.create_task_group() as group:
        group.start_soon(probe)
        group.start_soon(detect)
    engines: list[Engine] = []
    for name in service.registry.providers():
        silent = [r for r in plan.rejected if r.provider == name and r.model is None]
        usable = [c for c in plan.candidates if c.model.provider == name]
        blocked = [r for r in plan.rejected if r.provider == name and r.model is not None]
        detail = " ".join(s for r in silent for s in sentences(r))
        if not detail:
            detail = f"{len(usable)} usable of {len(usable) + len(blocked)} models"
            if any(c.model.demo for c in usable):
                detail += ", the demo among them"
            status = status_sentence(*statuses[name]) if name in statuses else ""
            detail += f"; {status}" if status else ""
        engines.append(
            Engine(provider=name, running=not silent, usable_models=len(usable), detail=detail)
        )
    return HardwareReport(
        os=this_machine.os,
        cpu=this_machine.cpu,
        cpu_cores=this_machine.cpu_cores,
        ram_gb=_gb(this_machine.ram_total),
        ram_free_gb=_gb(this_machine.ram_available),
        disk_free_gb=_gb(this_machine.disk_free),
        gpus=[_gpu(g) for g in this_machine.gpus],
        tier=tier,
        tier_means=tier_text(tier, this_machine),
        engines=engines,
        other_engines=[
            f"{what}; {fix}"
            for what, fix in unused(
                detected,
                urls_of(statuses),
                " ".join(engine.detail for engine in engines),
            )
        ],
        paused=[_pause(b) for b in context.history.breakers.values() if is_open(b, context.now)],
        waiting=[
            _queue_sentence(line)
            for line in context.history.queues.values()
            if line.running and (line.waiting or not line.device.startswith(PROVIDER_QUEUE))
        ],
        speeds=_speeds(context.history),
        spent_today_usd=context.spending.day / 1e6,
        spent_this_month_usd=context.spending.month / 1e6,
        unknown_charges=context.spending.unknown,
        advice=await _advice(service) if context.spending.month else "",
        real_model=plan.advice,
        local=_choice(context, "local"),
        cloud=_choice(context, "cloud"),
        automatic=_choice(context, "automatic"),
        picture_folder=hidden(str(service.artifacts.root)),
        notes=[*this_machine.notes, *service.troubles],
    )


async def _advice(service: Service) -> str:
    """When a GPU would pay at this user's own use. Said, never used to decide."""
    now = datetime.now(UTC)
    holds = await service.billing.ledger.holds(now - timedelta(days=payback.LOOK_BACK_DAYS))
    return payback.advise(payback.usage(holds, now)).text


def _pause(breaker: CircuitBreaker) -> str:
    until = f"{breaker.open_until:%H:%M:%S} UTC" if breaker.open_until else "now"
    return f"{breaker.provider}/{breaker.model} until {until}: {breaker.code}: {breaker.reason}"


def _queue_sentence(line: QueueStatus) -> str:
    others = f"{line.waiting} waiting, " if line.waiting else ""
    device = line.device.removeprefix(PROVIDER_QUEUE)
    return f"{device}: {others}about {duration(line.seconds)} until it is free"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What was measured of a model on this machine."""

    model: str
    """With its provider, as `builtin/tiny`."""
    what: str
    """What was timed, in words."""
    seconds: float
    """The moving mean."""
    runs: int


def measured(history: HistorySnapshot) -> list[Speed]:
    """What was learnt of speed, the most often seen first."""
    rows = [(x, size_and_steps(x.bucket)) for x in history.latencies.values()]
    for x in history.loads.values():
        first = f"{size_and_steps(x.bucket)}, the first after loading" if x.bucket else ""
        rows.append((x, first or "loading the model"))
    rows.sort(key=lambda row: (-row[0].samples, row[0].provider, row[0].model, row[1]))
    return [
        Speed(model=f"{x.provider}/{x.model}", what=what, seconds=x.seconds, runs=x.samples)
        for x, what in rows
    ]


def _speeds(history: HistorySnapshot) -> list[str]:
    return [
        f"{x.model} {x.what}: {duration(x.seconds)}, {x.runs} run{'s' if x.runs > 1 else ''}"
        for x in measured(history)[:SPEED_ROWS]
    ]


def size_and_steps(bucket: str) -> str:
    """A bucket as people read it: 0.0039 MP, 17 to 32 steps."""
    size, _, most = bucket.partition("MP")
    steps = int(most.removeprefix("/") or 0)
    return f"{float(size):.2g} MP" + (f", {steps // 2 + 1} to {steps} steps" if steps > 1 else "")


def _choice(context: RoutingContext, kind: str) -> Choice:
    """What this mode would do, whichever is set now; a paid route is open, since a yes opens it."""
    mode = "auto" if kind == "automatic" else kind
    request = ImageRequest(prompt="a picture", provider=mode, allow_paid=True)
    config = context.config.model_copy(update={"provider": mode})
    if context.config.provider == "local" and context.config.allow_paid_fallback == "never":
        config = config.model_copy(update={"allow_paid_fallback": "ask"})  # it went with `local`
    return _describe(planner.plan(replace(context, request=request, config=config)), kind)


def _describe(plan: Plan, kind: str) -> Choice:
    """A demo makes no local generation: only `automatic`, which takes what there is, counts it."""
    best = next(iter(plan.candidates), None)
    if best is not None and (kind == "automatic" or not best.model.demo):
        cost = best.cost_micro_usd
        text = f"{best.model.provider}/{best.model.id}: about {duration(best.seconds)}"
        text += f" and {usd(cost)} per picture" if cost else " per picture, free"
        return Choice(
            possible=True,
            route=f"{best.model.provider}/{best.model.id}",
            expected_seconds=round(best.seconds, 2),
            usd_per_image=cost / 1e6,
            text=f"{text}; {best.why}",
        )
    add = "`ziggie-image-mcp keys set openai` adds one"
    text = {
        "local": "Not possible now: no local engine runs and no real local model is installed.",
        "cloud": f"Not possible now: no paid provider is open; {add}.",
        "automatic": "Not possible now: no route is open; the list of models says why.",
    }[kind]
    if kind == "cloud" and (against := _against_paying(plan)):
        text = f"Not possible now: {against}"
    return Choice(possible=False, route=None, expected_seconds=None, usd_per_image=None, text=text)


def _against_paying(plan: Plan) -> str:
    """What stands against the paid model that lacks least; empty where there is none at all."""
    for rejection in plan.rejected:
        codes = {reason.code for reason in rejection.reasons}
        if rejection.model is not None and not codes & {"MODE_EXCLUDED", "FEATURE_UNSUPPORTED"}:
            name = f"{rejection.provider}/{rejection.model}"
            return f"{name}: {reason_sentence(rejection.reasons[0])}"
    return ""


def sentences(rejection: Rejection) -> list[str]:
    """Each reason as one sentence."""
    return [reason_sentence(reason) for reason in rejection.reasons]


def _gb(size: int | None) -> float | None:
    return None if size is None else round(size / 1e9, 1)


def _gpu(gpu: Gpu) -> GpuRow:
    return GpuRow(name=gpu.name, vram_gb=_gb(gpu.vram_total), vram_free_gb=_gb(gpu.vram_free))
