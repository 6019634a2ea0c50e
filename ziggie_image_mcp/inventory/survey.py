"""Ask every provider what it has: once for all who ask at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import anyio

from ziggie_image_mcp.errors import ModelMissing, ProviderBroken, ProviderError, duration
from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.hosted_models import hosted_quality
from ziggie_image_mcp.inventory.registry import Registry, silent_provider
from ziggie_image_mcp.inventory.types import Reason, Rejection, Survey
from ziggie_image_mcp.provider import bulkhead, sizes
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.provider.nouns import Model
from ziggie_image_mcp.provider.pricing import FREE

ANSWER_SECONDS = 5.0
"""What a provider may take to list its models."""

FRESH_SECONDS = 3.0
"""How long one survey serves: a call decides, asks about money and runs on the same one."""


class SurveyCache:
    """The latest survey, taken by one asker for all.

    Args:
        registry: The providers.
        fresh_seconds: How long a survey serves.
        clock: Gives seconds that only go up.
    """

    def __init__(
        self,
        registry: Registry,
        fresh_seconds: float = FRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._fresh_seconds = fresh_seconds
        self._clock = clock
        self._latest: tuple[float, Survey] | None = None
        self._expired = False
        self._lock = anyio.Lock()

    async def take(self) -> Survey:
        """What the providers have, as of a few seconds ago at most.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        async with self._lock:
            if self._latest is None or self._clock() - self._latest[0] > self._fresh_seconds:
                self._expired = False
                survey = await take_survey(self._registry)
                if self._expired:  # while the providers were asked: it may tell what was before
                    return survey
                self._latest = (self._clock(), survey)
            return self._latest[1]

    async def take_since(self, moment: float) -> Survey:
        """What the providers have, as of this moment or later, by the `clock`.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        if self._latest is not None and self._latest[0] < moment:
            self.expire()
        return await self.take()

    @property
    def now(self) -> float:
        """By the clock."""
        return self._clock()

    def expire(self) -> None:
        """What a provider has may have changed: the next asker takes a new survey."""
        self._latest, self._expired = None, True


async def take_survey(registry: Registry) -> Survey:
    """Ask every provider at once what it has. One that fails is listed with its reason.

    Raises:
        ConfigError: A provider's section of the config is wrong.
    """
    await registry.open()
    providers = registry.providers()
    models: dict[str, tuple[Model, ...]] = {}
    silent: dict[str, Rejection] = {}
    refused: list[Rejection] = []

    async def ask(provider: Provider) -> None:
        name = provider.name
        try:
            with anyio.fail_after(ANSWER_SECONDS):
                listed = await bulkhead.call(name, provider.list_models, bulkhead.LISTING)
            models[name] = checked(name, listed, refused, is_here=registry.is_here(name))
            if not listed:
                silent[name] = silent_provider(name, ModelMissing.code, "it lists no model")
        except ProviderError as e:
            silent[name] = silent_provider(name, e.code, str(e))
        except TimeoutError:
            message = f"no answer within {duration(ANSWER_SECONDS)}"
            silent[name] = silent_provider(name, "PROVIDER_TIMEOUT", message)

    async with anyio.create_task_group() as group:
        for provider in providers.values():
            group.start_soon(ask, provider)
    listed = [m for name in providers for m in models.get(name, ())]
    return Survey(
        models=tuple(m for m in listed if m.role == "model"),
        additions=tuple(m for m in listed if m.role != "model"),
        rejected=(
            *registry.switched_off(),
            *(silent[n] for n in providers if n in silent),
            *refused,
        ),
        configured=registry.configured(),
    )


def checked(
    provider: str, listed: Sequence[object], refused: list[Rejection], *, is_here: bool
) -> tuple[Model, ...]:
    """The models that keep to the contract; those that do not go to `refused`."""
    models: dict[str, Model] = {}
    for one in listed:
        try:
            model = bulkhead.MODEL.check(one)
            _check(provider, model, is_here=is_here)
        except ValueError as e:
            model_id = str(getattr(one, "id", "")) or None
            reason = Reason(code=ProviderBroken.code, have=str(e), need="a model by the contract")
            refused.append(Rejection(provider=provider, model=model_id, reasons=(reason,)))
        else:
            known = model_facts.enrich(model) if model.role == "model" else model
            if known.quality is None and known.where == "vendor":
                known = replace(known, quality=hosted_quality(known.id))
            models.setdefault(f"{model.role} {model.id}", known)
    return tuple(models.values())


def _check(provider: str, model: Model, *, is_here: bool) -> None:
    """Refuse a model that contradicts itself, or its provider.

    Raises:
        ValueError: It does.
    """
    if model.provider != provider:
        raise ValueError(f"a model of {model.provider!r}")
    if model.where == "this_machine" and not is_here:
        raise ValueError("this machine, although its address is another's")
    if model.where == "vendor" and model.prices is FREE:
        raise ValueError("FREE, although a vendor runs it")
    for task, able in model.tasks.items():
        native = sizes.native_size(able.sizes)
        if allowed := sizes.problem(able.sizes, native):
            raise ValueError(f"{task} at {native} unasked, although it takes {allowed}")
