"""Say which routes would be tried, and why not the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import typer

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.cli import machines
from ziggie_image_mcp.cli.console import (
    config_option,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.errors import ImageError, duration

if TYPE_CHECKING:
    from ziggie_image_mcp.app.processing import Processing
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.routing.context import RoutingContext
    from ziggie_image_mcp.routing.request import ImageRequest
    from ziggie_image_mcp.routing.types import Plan


def show(
    ctx: typer.Context, prepare: Callable[[Service], Awaitable[Processing]], *, as_json: bool
) -> None:
    """Say what would be done with what was prepared. Nothing is made."""
    from ziggie_image_mcp.app.answers import plan_data
    from ziggie_image_mcp.routing import explain
    from ziggie_image_mcp.routing.route_rules import bulk_of

    async def work(
        service: Service,
    ) -> tuple[list[tuple[RoutingContext, Plan]], list[str], list[str]]:
        work = await prepare(service)
        bulk = bulk_of(work.requests)
        decisions = [
            (await service.snapshot(r, bulk), await service.plan(r, bulk)) for r in work.requests
        ]
        notes = ["; ".join((one.why, *one.proofs)) for one in work.made]
        return decisions, [r.prompt for r in work.requests], [*work.remarks, *notes]

    decisions, alternatives, notes = with_service(ctx, work)
    closed = explain.nothing_open(decisions) if decisions else None
    if as_json:
        data: dict[str, Any] = (
            plan_data(decisions[0][1]) if decisions else {"dry_run": True, "candidates": []}
        )
        if len(alternatives) > 1:
            data["prompts"] = alternatives
        if notes:
            data["notes"] = [*cast(list[str], data.get("notes", [])), *notes]
        print_json(data)
    else:
        if decisions:
            _print_plan(decisions[0][1], alternatives)
        for note in notes:
            err.print(f"note: {note}")
    if closed is not None:
        fail(closed)


def show_on(
    ctx: typer.Context, request: ImageRequest, wish: machines.Wish, *, as_json: bool
) -> None:
    """Say what another machine would do with a request. Nothing is made, probed or asked."""
    from ziggie_image_mcp.app import other_machine
    from ziggie_image_mcp.app.answers import plan_data
    from ziggie_image_mcp.config import loader
    from ziggie_image_mcp.inventory import cards, hardware_probe
    from ziggie_image_mcp.routing.request_checks import check_request

    try:
        check_request(request)
        machine = machines.other_machine(wish)
        decision = other_machine.plan_on(machine, request, loader.load(config_option(ctx)))
    except ImageError as e:
        fail(e)
    tier = hardware_probe.tier(machine)
    gpu = machine.gpus[0].name if machine.gpus else "CPU"
    card = cards.card_named(gpu) if machine.gpus else None
    ram = round((machine.ram_total or 0) / cards.GIB, 2)
    speed = cards.speed_of(machine, tier)
    source = cards.class_source(tier) if card is None else card.source
    if as_json:
        about = {"card": gpu, "ram_gib": ram, "os": machine.os, "tier": tier, "speed": speed}
        facts = {"on": {**about, "speed_from": source}, "models": other_machine.MODELS}
        print_json({**plan_data(decision), **facts})
    else:
        out.print(
            f"On {gpu}, {ram:g} GiB of RAM, {machine.os}; {speed:g} times as fast as an RTX 4070."
        )
        out.print(f"Speed by: {source}", markup=False)
        out.print(f"Models: {other_machine.MODELS}.", markup=False)
        _print_plan(decision, [request.prompt])
    if not decision.candidates:
        raise typer.Exit(ExitCode.FAILED)


def _print_plan(decision: Plan, alternatives: list[str]) -> None:
    from ziggie_image_mcp.jobs import prompts
    from ziggie_image_mcp.routing.types import delivered_size

    routes = new_table(
        *("", "route", "size", "time", "price", "score", "why"),
        title="Would be tried",
        whole=["route"],
    )
    for place, c in enumerate(decision.candidates, 1):
        routes.add_row(
            str(place),
            f"{c.model.provider}/{c.model.id}",
            str(delivered_size(c)),
            duration(c.seconds),
            usd(c.cost_micro_usd) if c.cost_micro_usd else "free",
            f"{c.score:.5f}",
            c.why,
        )
    if decision.rule:
        out.print(f"By {decision.rule}.", markup=False)
    if decision.candidates:
        print_table(routes)
        if len(alternatives) > 1:
            out.print(f"Each of {len(alternatives)} prompts takes such a route.")
        if doubt := prompts.doubt(decision.candidates[0].request.prompt):
            out.print(f"note: {doubt}", markup=False)
        for note in decision.candidates[0].notes:
            out.print(f"note: {note}", markup=False)
    else:
        out.print("No route is open.")
        if decision.advice:
            out.print(f"note: {decision.advice}", markup=False)
    if decision.rejected:
        others = new_table(
            *("what", "code", "has", "needs", "fix"), title="Left out", whole=["what", "code"]
        )
        for r in decision.rejected:
            what = r.provider + (f"/{r.model}" if r.model else "")
            for x in r.reasons:
                others.add_row(what, x.code, x.have, x.need, x.fix)
        print_table(others)
