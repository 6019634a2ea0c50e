"""Execute jobs: the only place that knows the order of a job.

Choose the routes; for each of them wait for the device, reserve, call, keep the pictures, settle
and learn (`attempt.Attempt`); next, or stop. Each choice and each attempt is a step that is
recorded once: a process that takes a job up goes the same way by what is recorded.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import anyio
import anyio.lowlevel

from ziggie_image_mcp.billing.money import micro_usd
from ziggie_image_mcp.errors import (
    ImageError,
    OutOfMemory,
    OverBudget,
    ProviderError,
    ProviderUnavailable,
    StorageError,
)
from ziggie_image_mcp.inventory.survey import SurveyCache
from ziggie_image_mcp.inventory.types import Rejection, reason_sentence
from ziggie_image_mcp.jobs import outcomes, retry, workflow
from ziggie_image_mcp.jobs.attempt import Attempt, AttemptTools
from ziggie_image_mcp.jobs.errors import GenerationFailed, JobLost, JobMoved
from ziggie_image_mcp.jobs.outcomes import cost_of_attempts
from ziggie_image_mcp.jobs.records import (
    AttemptOutcome,
    AttemptRecord,
    Choice,
    Failure,
    JobOutcome,
    JobSpec,
    Result,
    dump,
    load,
)
from ziggie_image_mcp.jobs.reroll import Rerolls
from ziggie_image_mcp.jobs.running import RunningJob
from ziggie_image_mcp.jobs.snapshots import Snapshots
from ziggie_image_mcp.provider.nouns import is_local
from ziggie_image_mcp.routing import explain, planner
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.fit import as_large
from ziggie_image_mcp.routing.fit_ladder import lower
from ziggie_image_mcp.routing.types import Candidate, Plan

MAX_ATTEMPTS = 3

MAX_RECOVERIES = 20
"""How often a job may be taken up again. One that brings down every process must end."""

_log = logging.getLogger(__name__)


class Executor:
    """Executes jobs, in whatever process.

    Args:
        tools: What attempts work with.
        snapshots: Shows the world to decisions.
        surveys: Expire when an attempt failed or loaded a model: what they show is wrong then.
    """

    def __init__(
        self,
        tools: AttemptTools,
        snapshots: Snapshots,
        surveys: SurveyCache,
    ) -> None:
        self._tools = tools
        self._snapshots = snapshots
        self._surveys = surveys
        self._running = tools.running

    async def run(self, job_id: str, text: str) -> str:
        """Execute a job, begun here or taken up after a restart; its outcome, for the record.

        Raises:
            JobMoved: Another process took this one for dead, and has the job.
        """
        await self._end_earlier_run(job_id)
        await self._tools.refresh()
        job = RunningJob(job_id, config=self._tools.config)
        self._running[job_id] = job
        queue = self._tools.queue
        try:
            with job.scope:
                spec = load(JobSpec, text)
                entrance = await retry.until_stored(
                    partial(queue.enter, job_id, spec.priority), job
                )
                recoveries = entrance.recoveries
                job.entered, job.taken_up = True, recoveries > 0
                if entrance.cancelled:
                    stop = partial(self._tools.remote_jobs.stop, [job_id])
                    await retry.until_stored(stop, job)
                    job.scope.cancel()
                elif spec.failure is not None:
                    job.outcome = JobOutcome(failures=(spec.failure,))
                elif recoveries > MAX_RECOVERIES:
                    message = f"It brought down its process {recoveries} times."
                    job.outcome = outcomes.failed_outcome(JobLost(message))
                else:
                    job.outcome = await self._execute(spec, job)
            if job.moved:
                self._running.left_some = True
                raise JobMoved
            if job.outcome is None:
                job.outcome = outcomes.cancelled_outcome(sum(job.costs.values()))
            with anyio.CancelScope(shield=True):
                await queue.leave(job_id)
            self._tools.checkpoint("left the queue")
            return dump(job.outcome)
        except JobMoved:
            raise
        except Exception as e:
            if job.moved:  # the process ends, and what it worked with is closed
                self._running.left_some = True
                raise JobMoved from e
            if isinstance(e, ImageError):
                raise
            # A bug of ours: the job ends as lost, and its operator sees why.
            _log.exception("Job %s was lost", job_id)
            raise
        finally:
            job.changed.set()
            job.finished.set()
            if self._running.get(job_id) is job:
                del self._running[job_id]

    async def _end_earlier_run(self, job_id: str) -> None:
        """A process that stood still may get its own job back from those who took it for dead."""
        earlier = self._running.get(job_id)
        if earlier is not None:
            earlier.moved = True
            earlier.scope.cancel()
            await earlier.finished.wait()

    async def _execute(self, spec: JobSpec, job: RunningJob) -> JobOutcome:
        """Execute every request of a job. What fails is told, and the rest goes on."""
        results = list(spec.done)
        failures: list[Failure] = []
        spent = 0
        for index in range(len(spec.requests)):
            attempts: list[AttemptRecord] = []
            try:
                results.append(await self._request(spec, job, index, spent, attempts))
            except ImageError as e:
                failures.append(replace(outcomes.failure(e), index=index))
            spent += cost_of_attempts(attempts)
        for quote in filter(None, spec.consents):
            try:
                await self._tools.billing.reservations.release(quote.hold, "it was not needed")
            except StorageError as e:  # what became of the job matters more
                _log.warning("The hold %s stays, as %s", quote.hold, e)
        return JobOutcome(results=tuple(results), failures=tuple(failures), cost_micro_usd=spent)

    async def _request(
        self,
        spec: JobSpec,
        job: RunningJob,
        index: int,
        spent: int,
        attempts: list[AttemptRecord],
    ) -> Result:
        """Execute one request of a job, of which `spent` micro-dollars are used up.

        Its attempts are added to `attempts`.

        A process that takes the job up goes the same way by what is recorded, so nothing here may
        turn on the time, on the config or on what else is there: that belongs into a step.
        """
        request, started, entered = spec.requests[index], time.monotonic(), datetime.now(UTC)
        choice = load(
            Choice,
            await _step(spec, f"choose-{index}", partial(self._choose, spec, index)),
        )
        if job.taken_up or choice.begun is not None:
            started -= outcomes.seconds_before(choice.begun or spec.accepted, entered)
        if choice.failure is not None:
            raise outcomes.revived(choice.failure)
        if choice.stored is not None:
            return choice.stored
        limit = None if request.max_cost_usd is None else micro_usd(request.max_cost_usd) - spent
        out_of_reach: set[str] = set()
        too_large: list[Candidate] = []
        left_out: list[Rejection] = []
        routes, rerolls = list(choice.routes), Rerolls(request=request)
        for place, route in enumerate(routes):
            if route.model.provider in out_of_reach or len(attempts) == MAX_ATTEMPTS:
                continue
            if not _affordable(spec, limit, cost_of_attempts(attempts), route):
                continue
            if reason := next(filter(None, (as_large(route, r) for r in too_large)), None):
                model = route.model
                left_out.append(
                    Rejection(provider=model.provider, model=model.id, reasons=(reason,))
                )
                continue
            rest = routes[place + 1 :] if len(attempts) + 1 < MAX_ATTEMPTS else ()
            attempt = Attempt(
                self._tools,
                spec,
                job,
                index=index,
                number=len(attempts),
                route=route,
                others=_is_alternative(route, rest, out_of_reach),
                objection=partial(self._objection, spec, job, index),
                last=not any(
                    r.model.provider not in {*out_of_reach, route.model.provider}
                    and _affordable(spec, limit, cost_of_attempts(attempts), r)
                    for r in rest
                ),
            )
            step = f"attempt-{index}-{len(attempts)}"
            outcome = load(AttemptOutcome, await _step(spec, step, partial(_record, attempt, job)))
            attempts.append(outcome.attempt)
            loaded = is_local(route.model) and route.model.state != "loaded"
            if loaded or outcome.failure is not None:
                self._surveys.expire()
            if outcome.failure is None:
                may = len(attempts) < MAX_ATTEMPTS
                if (again := rerolls.next_route(route, outcome, may=may)) is not None:
                    job.report(0.0, f"{outcome.problem}: once more with another seed")
                    routes.insert(place + 1, again)
                    continue
            if outcome.failure is not None or outcome.problem:
                route, outcome = rerolls.best() or (route, outcome)
            if outcome.failure is None:
                notes = (*outcome.notes, *rerolls.notes(route, outcome))
                return outcomes.result(request, route, outcome.images, attempts, started, notes)
            error = outcomes.revived(outcome.failure)
            if not isinstance(error, ProviderError | OverBudget) or (
                isinstance(error, ProviderError) and not error.fallback
            ):
                raise outcomes.with_attempts(error, attempts)
            if outcome.late:
                break
            if isinstance(error, ProviderError) and error.scope in ("account", "provider"):
                out_of_reach.add(route.model.provider)
            if isinstance(error, OutOfMemory):
                too_large.append(route)
                if (less := lower(route.model)) is not None and len(attempts) < MAX_ATTEMPTS:
                    routes.insert(place + 1, replace(route, model=less))
                    job.report(0.0, f"memory ran out: once more by {less.rung}")
                    continue
            job.report(0.0, f"{route.model.provider} failed ({error.code})")
            if len(choice.routes) == 1:
                rejected, hint = await self._remaining(spec, index, spent, attempts)
                if hint:
                    raise GenerationFailed(attempts, rejected, hint)
                raise outcomes.with_attempts(error, attempts)
        rejected, hint = await self._remaining(spec, index, spent, attempts)
        raise GenerationFailed(attempts, (*left_out, *rejected), hint)

    async def _choose(self, spec: JobSpec, index: int) -> str:
        request, begun = spec.requests[index], datetime.now(UTC)
        try:
            routes = spec.routes
            if not routes or spec.constraints != constraints_of(self._tools.config):
                context = await self._snapshots.take(
                    request,
                    constraints=spec.constraints,
                    consent=spec.consent(index),
                    bulk=spec.bulk,
                )
                plan = planner.plan(context)
                closed = explain.nothing_open([(context, plan)])
                if closed is not None:
                    raise closed
                routes = worth_trying(plan)
        except ImageError as e:
            return dump(Choice(failure=outcomes.failure(e)))
        # A single request was looked for when it was accepted, and came with its routes.
        stored = None if spec.routes else await self._tools.cache.find(request, routes[0])
        seed = secrets.randbits(32) if request.seed is None else request.seed
        chosen = tuple(replace(r, request=replace(r.request, seed=seed)) for r in routes)
        return dump(Choice(routes=chosen, stored=stored, begun=begun))

    async def _objection(
        self, spec: JobSpec, job: RunningJob, index: int, route: Candidate
    ) -> ImageError | None:
        """Why a route that was chosen by other settings may not be taken by those of now."""
        await self._tools.refresh()
        config, name = self._tools.config, route.model.provider
        if config is job.config and constraints_of(config) == spec.constraints:
            return None
        context = await self._snapshots.take(
            spec.requests[index],
            constraints=spec.constraints,
            consent=spec.consent(index),
            bulk=spec.bulk,
        )
        plan = planner.plan(context)
        now = [
            c for c in plan.candidates if (c.model.provider, c.model.id) == (name, route.model.id)
        ]
        if any(c.cost_micro_usd <= route.cost_micro_usd for c in now):
            return None
        reasons = [
            reason_sentence(reason)
            for rejection in plan.rejected
            if rejection.provider == name and rejection.model in (None, route.model.id)
            for reason in rejection.reasons
        ]
        why = " ".join(reasons) or ("it costs more" if now else "it is gone from there")
        message = f"the settings were changed, and do not allow it any more: {why}"
        return ProviderUnavailable(name, message, scope="request")

    async def _remaining(
        self, spec: JobSpec, index: int, spent: int, attempts: Sequence[AttemptRecord]
    ) -> tuple[tuple[Rejection, ...], str]:
        """Why the others were left out, and what money could still do after `spent` before.

        What failed before matters more than that this cannot be told: then only that is said.
        """
        try:
            context = await self._snapshots.take(
                spec.requests[index],
                constraints=spec.constraints,
                consent=spec.consent(index),
                bulk=spec.bulk,
            )
            plan = planner.plan(context)
        except ImageError as e:
            return (), f"Why other routes were left out cannot be told: {e}"
        attempted = {(a.provider, a.model) for a in attempts}
        spent += cost_of_attempts(attempts)
        return plan.rejected, explain.explain_money(context, plan, attempted, spent)


async def _step(spec: JobSpec, name: str, work: Callable[[], Awaitable[str]]) -> str:
    """Do this once in the job's life: what a dead process recorded is given instead."""
    carried = spec.carried.get(name)
    if carried is not None:
        return carried
    return await workflow.step(name, work)


async def _record(attempt: Attempt, job: RunningJob) -> str:
    outcome = await attempt.run()
    if job.moved:  # what came of it here is not what comes of it
        job.scope.cancel()
        await anyio.lowlevel.checkpoint()
    return dump(outcome)


def _affordable(spec: JobSpec, limit: int | None, spent: int, route: Candidate) -> bool:
    """Whether a route may be taken after so much was paid in vain.

    max_cost_usd is for the whole call. A yes that names no amount is a yes to one charge, unless
    the job's constraints or the batch have a budget to spend without questions.
    """
    if not route.cost_micro_usd:
        return True
    if limit is not None:
        return spent + route.cost_micro_usd <= limit
    if not spent:
        return True
    unasked = spec.constraints.allow_paid_fallback == "withinBudget"
    return unasked or spec.group_micro_usd is not None


def _is_alternative(route: Candidate, rest: Sequence[Candidate], out_of_reach: set[str]) -> bool:
    """Whether another provider's route comes later that costs no more."""
    return any(
        r.cost_micro_usd <= route.cost_micro_usd
        and r.model.provider not in {*out_of_reach, route.model.provider}
        for r in rest
    )


def worth_trying(plan: Plan) -> tuple[Candidate, ...]:
    """The candidates that a job can come to: no more of a provider than there are attempts."""
    counts: dict[str, int] = {}
    routes: list[Candidate] = []
    for candidate in plan.candidates:
        name = candidate.model.provider
        counts[name] = counts.get(name, 0) + 1
        if counts[name] <= MAX_ATTEMPTS:
            routes.append(candidate)
    return tuple(routes)
