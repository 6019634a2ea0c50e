"""Take snapshots of the world: all that a decision about a request looks at, at one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import anyio

from ziggie_image_mcp.billing.charge import Billing
from ziggie_image_mcp.billing.types import Consent, Quote, Spending
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.config.loader import own_hosts, provider_budgets, provider_privacy
from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.hardware_probe import HardwareCache
from ziggie_image_mcp.inventory.recommend import current_setup
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import SurveyCache
from ziggie_image_mcp.inventory.types import Hardware, Survey
from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.routing.constraints import Constraints, apply_constraints, falls_back
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.history import History
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.rules import knows
from ziggie_image_mcp.routing.spellings import provider_named
from ziggie_image_mcp.routing.types import Bulk, QueueStatus

LEDGER_SECONDS = 1.5
"""How long a decision waits for a ledger that another process holds."""


class Snapshots:
    """Asks each source once per snapshot, the slow ones side by side.

    Args:
        config: The user's settings.
        registry: The providers.
        surveys: What the providers have.
        hardware: What this machine is.
        billing: What is spent.
        history: What was learnt.
        queue: Who waits for which device.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        surveys: SurveyCache,
        hardware: HardwareCache,
        billing: Billing,
        history: History,
        queue: DeviceQueue,
    ) -> None:
        self.reconfigure(config)
        self._registry = registry
        self._surveys = surveys
        self._hardware = hardware
        self._billing = billing
        self._history = history
        self._queue = queue
        self._reconciled = False

    def reconfigure(self, config: Config) -> None:
        """Decide by these settings from now on.

        Raises:
            ConfigError: A provider's budget or privacy makes no sense; then nothing is changed.
        """
        budgets, promises = provider_budgets(config), provider_privacy(config)
        self._config, self._own_budgets, self._promises = config, budgets, promises
        self._own_hosts = own_hosts(config)

    async def take(
        self,
        request: ImageRequest,
        *,
        constraints: Constraints | None = None,
        consent: Quote | None = None,
        bulk: Bulk | None = None,
    ) -> RoutingContext:
        """Everything that the decision about this request looks at.

        The `constraints` hold where they are stricter than those of the config. The hold behind a
        `consent` is this request's own: it does not stand in its way. `bulk` says what the request
        is asked for together with.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        asked = self._surveys.now
        survey, machine = await self._look()
        if not knows(request.model, survey, self._config):  # it may have been copied in just now
            survey = await self._surveys.take_since(asked)
        if constraints is not None and request.provider in (None, "auto"):
            pinned = None if falls_back(constraints) else constraints.provider
            if pinned == self._config.provider:  # as for a plan: rules of `routes` hold beside it
                pinned = None
            request = replace(request, provider=pinned)
        elif request.provider is not None:
            named = provider_named(request.provider, self._registry.providers())
            request = replace(request, provider=named)
        config = self._config
        history = await self._history.snapshot()
        return RoutingContext(
            request=request,
            survey=survey,
            hardware=machine,
            tier=hardware_probe.tier(machine),
            gpu_memory=hardware_probe.gpu_memory(machine),
            config=config if constraints is None else apply_constraints(config, constraints),
            own_budgets=self._own_budgets,
            promises=self._promises,
            own_hosts=self._own_hosts,
            estimate=self._registry.estimate,
            spending=await self._spending(survey, [consent.hold] if consent else ()),
            history=replace(history, queues=await self._queues()),
            setup=current_setup(
                vendors=config.privacy != "local_only" and config.allow_paid_fallback != "never"
            ),
            bulk=bulk,
            consent=None
            if consent is None or not consent.agreed
            else Consent(
                provider=consent.provider, model=consent.model, micro_usd=consent.micro_usd
            ),
        )

    async def without_holds(
        self, context: RoutingContext, holds: Collection[str]
    ) -> RoutingContext:
        """The same snapshot, with these holds not counted as spent.

        Raises:
            StorageError: The ledger cannot be read.
        """
        return replace(context, spending=await self._billing.spending(holds))

    async def _look(self) -> tuple[Survey, Hardware]:
        surveys: list[Survey] = []
        machines: list[Hardware] = []

        async def survey() -> None:
            surveys.append(await self._surveys.take())

        async def probe() -> None:
            machines.append(await self._hardware.take())

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(survey)
                group.start_soon(probe)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__
        return surveys[0], machines[0]

    async def _spending(self, survey: Survey, own: Collection[str]) -> Spending:
        """The ledger is opened only where somebody asks for money.

        One that cannot be used stands against paid models, and against nothing else.
        """
        if not has_paid_models(survey):
            return Spending()
        try:
            if not self._reconciled:
                await self._spending_now(own)  # it tells whether the ledger is held
                await self._billing.reconcile(self._registry.providers())
                self._reconciled = True
            return await self._spending_now(own)
        except StorageError as e:
            return Spending(trouble=str(e))

    async def _queues(self) -> Mapping[str, QueueStatus]:
        """Who waits for which device; a database that another process holds is not waited for."""
        with anyio.move_on_after(LEDGER_SECONDS):
            return await self._queue.statuses()
        return {}

    async def _spending_now(self, own: Collection[str]) -> Spending:
        """What is spent; a ledger that another process holds is not waited for long.

        Raises:
            StorageError: It cannot be used now.
        """
        with anyio.move_on_after(LEDGER_SECONDS):
            return await self._billing.spending(own)
        if self._billing.ledger.held is not None:
            raise StorageError(self._billing.ledger.held)
        return await self._billing.spending(own)


def has_paid_models(survey: Survey) -> bool:
    """Whether any model costs, or may cost, money."""
    return any(not is_free(m.prices) for m in survey.models)
