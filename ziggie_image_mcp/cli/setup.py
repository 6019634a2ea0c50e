"""The command that asks how pictures are to be made here, and writes it into config.json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from ziggie_image_mcp.cli import config_file
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    print_json,
    print_plain,
    run,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.config.config import Budget, Config, Preference
from ziggie_image_mcp.errors import ConfigError, ImageError, InvalidRequest, suggestion

if TYPE_CHECKING:
    from ziggie_image_mcp.app import reports
    from ziggie_image_mcp.app.service import Service

app = typer.Typer()

MODES = {"local": "Use local generation", "cloud": "Use a cloud API", "auto": "Automatic"}
"""The three boxes, by the value of `provider` that each stands for."""
BUDGETS = {"per_image": "picture", "per_day": "day", "per_month": "month"}
ANY = "any"
NONE = "none"
ATTEMPTS = 3
"""At one question of a person."""

Answers = dict[tuple[str, ...], object]
"""What is to be set; None takes a setting out of the file."""


@app.command("setup")
def setup(
    ctx: typer.Context,
    mode: Annotated[str, typer.Option(help="local, cloud or auto.")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="A model's id, or any.")] = "",
    preference: Annotated[str, typer.Option(help="cost, balanced, speed or quality.")] = "",
    budget_per_image: Annotated[str, typer.Option(help="US dollars, or none.")] = "",
    budget_per_day: Annotated[str, typer.Option(help="US dollars, or none.")] = "",
    budget_per_month: Annotated[str, typer.Option(help="US dollars, or none.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Choose local, cloud or automatic generation, a model, a preference and a budget.

    Asks at a terminal; elsewhere it takes the options, and --yes. What is not answered stays.
    """
    from ziggie_image_mcp.app import reports

    async def work(service: Service) -> tuple[reports.HardwareReport, reports.ModelReport, Config]:
        machine = await reports.machine(service)
        models = await reports.models(service)
        return machine, models, loader.load(config_option(ctx))

    machine, models, before = with_service(ctx, work)
    ids = [row.id for row in models.models]
    budgets = dict(zip(BUDGETS, (budget_per_image, budget_per_day, budget_per_month), strict=True))
    asks = sys.stdin.isatty() and not yes
    _show_boxes(machine)
    try:
        answers: Answers = {}
        usable = [r.id for r in models.models if r.usable]
        answers |= _until_right(mode, lambda: _mode(mode, before, asks), asks)
        answers |= _until_right(model, lambda: _model(model, ids, usable, before, asks), asks)
        answers |= _until_right(preference, lambda: _preference(preference, before, asks), asks)
        for name, text in budgets.items():
            answers |= _until_right(text, partial(_budget, name, text, before, asks), asks)
        file = config_file.read(loader.find(config_option(ctx)))
        changes, text = _text(file, answers)
    except ImageError as e:
        fail(e)
    for keys, value in changes:
        shown = "not set" if value is None else config_file.shown(value)
        err.print(f"  {'.'.join(keys)}: {shown}")
    if changes and not yes:
        _agree(asks, f"Write this into {file.path}?")

    async def write() -> None:
        if changes:
            await config_file.check(text, file.path)
            config_file.replace(file, text)

    run(write)
    chosen = cast(str, answers.get(("provider",), before.provider))
    if chosen != "local" and not machine.cloud.possible:
        err.print(f"note: cloud: {machine.cloud.text}")
    written = {".".join(keys): value for keys, value in changes}
    if as_json:
        print_json({"path": str(file.path), "written": written})
        return
    print_plain(str(file.path))
    if not changes:
        err.print("note: it is so already; nothing was changed")


def _until_right(option: str, answer: Callable[[], Answers], asks: bool) -> Answers:
    """An answer, asked for again where it cannot be taken: those before it would be lost.

    Raises:
        InvalidRequest: It was an option, or no attempt was right.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
            return answer()
        except InvalidRequest as e:
            if option or not asks or not left:
                raise
            err.print(f"{e.value!r} cannot be used: {e.fix}", markup=False)
    return {}


def _show_boxes(machine: reports.HardwareReport) -> None:
    gpus = ", ".join(f"{g.name} ({g.vram_gb} GB)" for g in machine.gpus) or "no GPU found"
    err.print(f"This machine: {machine.cpu or machine.os}, {machine.ram_gb} GB, {gpus}")
    for choice, name in zip((machine.local, machine.cloud, machine.automatic), MODES, strict=True):
        err.print(f"[{'x' if choice.possible else ' '}] {name}: {MODES[name]}\n    {choice.text}")


def _mode(text: str, before: Config, asks: bool) -> Answers:
    text = text or (_ask("How? local, cloud or auto", before.provider) if asks else "")
    if not text or text == before.provider:
        return {}
    name = {"automatic": "auto"}.get(text.lower(), text.lower())
    if name not in MODES:
        raise InvalidRequest("--mode", text, f"say {', '.join(MODES)}{suggestion(name, MODES)}")
    return {("provider",): name}


def _model(
    text: str, ids: Sequence[str], usable: Sequence[str], before: Config, asks: bool
) -> Answers:
    if not text and asks:
        err.print(f"Models that would run now: {', '.join(dict.fromkeys(usable)) or 'none'}")
        text = _ask("Which model where a request names none? any, or an id", _default(before))
    if not text or text == _default(before):
        return {}
    if text.lower() == ANY:
        return {("defaultModel",): None}
    if text not in ids:
        hint = suggestion(text, ids)
        raise InvalidRequest("--model", text, f"say {ANY}, or an id of `models`{hint}")
    return {("defaultModel",): text}


def _default(before: Config) -> str:
    return before.default_model or ANY


def _preference(text: str, before: Config, asks: bool) -> Answers:
    choices = get_args(Preference)
    if not text and asks:
        text = _ask(f"What matters? {', '.join(choices)}", before.preference)
    if not text or text == before.preference:
        return {}
    if text.lower() not in choices:
        fix = f"say {', '.join(choices)}{suggestion(text, choices)}"
        raise InvalidRequest("--preference", text, fix)
    return {("preference",): text.lower()}


def _budget(name: str, text: str, before: Config, asks: bool) -> Answers:
    """A cap on money. Nothing but an answer ever sets one: without one nothing is spent unasked."""
    keys, _ = loader.setting_named(f"budget.{name}")
    own = cast(float | None, getattr(before.budget, name))
    current = NONE if own is None else f"{own:.6f}".rstrip("0").rstrip(".")
    if not text and asks:
        text = _ask(f"US dollars that may be spent per {BUDGETS[name]}, or none", current)
    if not text or text == current:
        return {}
    if text.lower() == NONE:
        return {keys: None}
    try:
        amount = float(text.strip().removeprefix("$"))
        getattr(Budget.model_validate({name: amount}), name)
    except ValueError as e:
        option = f"--budget-{name.replace('_', '-')}"
        raise InvalidRequest(option, text, "say US dollars, as 2 or 0.50, or none") from e
    return {keys: int(amount) if amount == int(amount) else amount}


def _text(
    file: config_file.ConfigFile, answers: Answers
) -> tuple[list[tuple[tuple[str, ...], object]], str]:
    """What is to be changed in the file, and the text that it has then."""
    text = file.text
    changes: list[tuple[tuple[str, ...], object]] = []
    for keys, value in answers.items():
        new = (
            config_file.without(text, file, keys)
            if value is None
            else config_file.with_value(text, file, keys, value)
        )
        if new != text:
            changes.append((keys, value))
            text = new
    return changes, text


def _ask(question: str, default: str) -> str:
    err.print(f"{question} [{default}]: ", end="")
    return input().strip() or default


def _agree(asks: bool, question: str) -> None:
    if not asks:
        fail(ConfigError("Nothing was written: nobody can be asked here. Say --yes to write this."))
    for _ in range(ATTEMPTS):
        answer = _ask(f"{question} yes or no", "yes").lower()
        if answer in ("y", "yes"):
            return
        if answer in ("n", "no"):
            break
    err.print("Nothing was written.")
    raise typer.Exit(ExitCode.FAILED)
