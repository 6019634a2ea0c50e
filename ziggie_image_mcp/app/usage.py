"""Say what was made by which route, and what the cheapest vendor would have charged for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.billing import payback, spend_report, usage_report
from ziggie_image_mcp.billing.usage_report import Line, Offer, PictureCount, Power
from ziggie_image_mcp.config.config import data_dir
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import take_survey
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.capabilities import Task
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.provider.pricing import Estimate, is_free
from ziggie_image_mcp.provider.sizes import bucket_of, nearest_size

_WORDS = "a picture as most people describe one, in a sentence or two of some twenty words"
"""Stands in for prompts, which are not kept here, where a vendor charges for their length."""
_SOURCE = "source"
"""Stands in for the id of a picture to change."""


@dataclass(frozen=True, kw_only=True)
class UsageReport:
    """What was made in some days, at what cost."""

    first: date
    last: date
    counted_since: date | None
    """The day on which counting began; None where nothing was counted yet."""
    lines: Sequence[Line]
    """A line for each route on each day, the oldest first."""
    routes: Sequence[Line]
    """A line for each route, the one with the most pictures first."""
    total: Line
    power: Power
    vendor_models: Sequence[str]
    """The vendors' models among which the cheapest was looked for."""
    vendors_without_prices: Sequence[str]
    """Vendors that could not be compared: they tell no prices without a key or settings."""
    advice: payback.Advice | None
    """When a GPU pays at this use; None where no picture has a price."""
    trouble: str = ""
    """Why what was counted cannot be read."""


async def report(
    service: Service,
    *,
    days: int,
    watts: float | None = None,
    usd_per_kwh: float = payback.USD_PER_KWH,
    gpu_usd: float | None = None,
    with_money: bool = True,
) -> UsageReport:
    """Add up the pictures of the last days.

    Args:
        service: Knows what was made, and who charges what.
        days: Up to and with today (UTC).
        watts: What an engine draws while it works; None: by the GPU's name.
        usd_per_kwh: The price of electricity.
        gpu_usd: What a GPU would cost; None: those of the source report.
        with_money: Whether there is a ledger to look at.

    Raises:
        ConfigError: A provider's section of the config is wrong.
        StorageError: The ledger cannot be read.
    """
    start = spend_report.first_moment(datetime.now(UTC).date(), days)
    first, today = start.date(), start.date() + timedelta(days=days - 1)
    since, counts = await service.history.pictures(first)
    holds = await service.billing.ledger.holds(start) if with_money else []
    machine = await service.hardware()
    power = usage_report.power_of(
        [gpu.name for gpu in machine.gpus], watts=watts, usd_per_kwh=usd_per_kwh
    )
    offers = await _priced_models(service)
    lines = usage_report.daily_lines(counts, holds, power, offers.cheapest)
    average = usage_report.average(lines, first, today)
    setups = payback.own_setups(gpu_usd=gpu_usd, watts=watts if gpu_usd is not None else None)
    return UsageReport(
        first=first,
        last=today,
        counted_since=since,
        lines=lines,
        routes=usage_report.by_route(lines),
        total=usage_report.total(lines),
        power=power,
        vendor_models=[f"{model.provider}/{model.id}" for model, _ in offers.models],
        vendors_without_prices=offers.without,
        advice=None
        if average is None
        else payback.advise(
            average,
            setups=setups,
            usd_per_kwh=usd_per_kwh,
            subject="Your pictures, at what the cheapest vendor takes",
        ),
        trouble=service.history.trouble or "",
    )


_Estimator = Callable[[ProviderRequest, Model], Estimate | None]


class _Offers:
    """The paid models that are known, each with who estimates its price."""

    def __init__(self, models: Sequence[tuple[Model, _Estimator]], without: Sequence[str]) -> None:
        self.models = models
        self.without = without
        """Vendors whose prices are told to nobody without a key."""
        self._known: dict[tuple[Task, int, int], Offer | None] = {}

    def cheapest(self, count: PictureCount) -> Offer | None:
        """The lowest price of one such picture, in the size that is nearest."""
        kind = count.task, count.width, count.height
        if kind not in self._known:
            offers = [_offer(model, estimate, count) for model, estimate in self.models]
            self._known[kind] = min(
                (offer for offer in offers if offer is not None),
                key=lambda offer: (offer.micro_usd, offer.route),
                default=None,
            )
        return self._known[kind]


def _offer(model: Model, estimate: _Estimator, count: PictureCount) -> Offer | None:
    able = model.tasks.get(count.task)
    factor = None
    if able is None:
        return None
    width, height = count.width, count.height
    if count.task == "upscale":
        factor = min(able.factors, default=2)
        width, height = max(1, width // factor), max(1, height // factor)
    size = nearest_size(able.sizes, width, height)
    bucket = bucket_of(able.sizes, size)
    request = ProviderRequest(
        task=count.task,
        prompt=_WORDS,
        width=size.width,
        height=size.height,
        bucket=bucket.name if bucket else "",
        steps=model.defaults.steps,
        guidance_scale=model.defaults.guidance_scale,
        quality=model.defaults.quality,
        factor=factor,
        image_id="" if count.task == "text_to_image" else _SOURCE,
        mask_id=_SOURCE if count.task == "inpaint" else "",
    )
    price = estimate(request, model)
    if price is None:
        return None
    return Offer(route=f"{model.provider}/{model.id}", micro_usd=price.expected)


async def _priced_models(service: Service) -> _Offers:
    """The paid models of the providers that are set up, and of the vendors that are not."""
    survey = await service.survey()
    models = [(model, service.registry.estimate) for model in survey.models if _is_offer(model)]
    vendors = await service.registry.vendors_without_key()
    usable = [vendor for vendor in vendors.values() if vendor is not None]
    if usable:
        others = Registry(service.config, data_dir(), extra=usable)
        try:
            survey = await take_survey(others)
        finally:
            for vendor in usable:
                await bulkhead.close(vendor)
        models += [(model, others.estimate) for model in survey.models if _is_offer(model)]
    return _Offers(models, sorted(vendors.keys() - {model.provider for model, _ in models}))


def _is_offer(model: Model) -> bool:
    gone = model.deprecated_on is not None and model.deprecated_on <= datetime.now(UTC).date()
    return model.where == "vendor" and not is_free(model.prices) and not gone
