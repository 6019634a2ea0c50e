"""The commands about keys: set, list, test, delete. A key is never shown."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ziggie_image_mcp import errors
from ziggie_image_mcp.cli.completion import completing, vendor_names
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    run,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.config import config, loader, secrets
from ziggie_image_mcp.config.environment import setting
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.inventory.engine_status import probe_all, status_sentence
from ziggie_image_mcp.provider.nouns import Balance, Probe

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service

app = typer.Typer()
keys_app = typer.Typer(
    help="Set, list, test and delete the keys of paid providers. A key is never shown.",
    no_args_is_help=True,
)
app.add_typer(keys_app, name="keys")

_VERDICTS = {
    "ready": "taken",
    "unauthorised": "refused",
    "unreachable": "not tried",
    "wrong_service": "not tried",
}

DOWNLOADS = {"civitai": "CIVITAI_TOKEN"}
"""Keys that are no provider's: `models pull` downloads with them."""

NO_VALUE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Lets us refuse a key on the command line ourselves: typer's own message would repeat it."""


VendorArgument = Annotated[
    str,
    typer.Argument(
        help="A provider, or its variable as OPENAI_API_KEY.",
        autocompletion=completing(vendor_names),
    ),
]


@keys_app.command("set", context_settings=NO_VALUE)
def keys_set(
    ctx: typer.Context,
    name: VendorArgument,
    as_json: JsonOption = False,
) -> None:
    """Keep a provider's key. Asks for it, or reads one line from standard input."""
    variable = _variable(name, ctx.args)
    key = _read_key(variable)

    async def work() -> secrets.Source:
        saved = await secrets.save(variable, key)
        with suppress(ConfigError):  # the next call tells it
            await _unpause(loader.load(config_option(ctx)), variable)
        return saved

    saved = run(work)
    where = "in the keyring" if "keyring" in saved.places else f"in {secrets.default_file()}"
    if as_json:
        print_json({"variable": saved.name, "kept_in": list(saved.places)})
    else:
        out.print(f"{saved.name} is kept {where}.", markup=False)
    _tell(saved.notes)
    if setting(os.environ, saved.name):
        _tell([f"the environment has its own {saved.name}, and that one is used"])
    together = next((names for names in _key_sets() if saved.name in names), ())
    for other in together:
        if other != saved.name:
            how = f"`ziggie-image-mcp keys set {other}`"
            _tell([f"its provider wants {other} as well: {how}"])
    if not together:
        _tell([f"no provider asks for {saved.name} unless its keyName in config.json says so"])


@keys_app.command("list")
def keys_list(as_json: JsonOption = False) -> None:
    """Show which providers have a key, and where it was found. The first place is in force."""
    names = _key_names()
    listing = {s.name: s for s in run(partial(secrets.sources, dict.fromkeys(names.values())))}
    if as_json:
        rows = [
            {"provider": provider, "variable": name, "found_in": list(listing[name].places)}
            for provider, name in names.items()
        ]
        notes = dict.fromkeys(note for source in listing.values() for note in source.notes)
        print_json({"keys": rows, "notes": list(notes)})
        return
    table = new_table("provider", "variable", "key found in", whole=["variable"])
    for provider, name in names.items():
        table.add_row(provider, name, ", then ".join(listing[name].places) or "nowhere")
    print_table(table)
    _tell(note for source in listing.values() for note in source.notes)


@keys_app.command("test")
def keys_test(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A provider; all that have a key by default.",
            autocompletion=completing(vendor_names),
        ),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Try the keys by calls that cost nothing: are they taken, and what is left to spend."""
    wanted = _variable(name, ()) if name else ""
    if wanted in DOWNLOADS.values():
        fail(
            ConfigError(f"{wanted} has no test of its own: `models pull` tries it as it downloads")
        )
    variables = _key_names()

    async def work(service: Service) -> dict[str, tuple[Probe, Balance | None]]:
        await service.registry.open()
        own = service.config.providers
        chosen = {
            provider: service.registry.providers()[provider]
            for provider in service.registry.providers()
            if (variable := _variable_of(provider, own.get(provider, {}), variables))
            and (not wanted or name == provider or (name not in variables and wanted == variable))
        }
        return await probe_all(chosen)

    statuses = with_service(ctx, work)
    if not statuses:
        missing = f"no key in {wanted}" if wanted else "no key of any provider"
        err.print(
            f"There is {missing}: `ziggie-image-mcp keys set {name or 'NAME'}`.", markup=False
        )
        raise typer.Exit(ExitCode.FAILED)
    if as_json:
        rows = [
            {
                "provider": provider,
                "state": probe.state,
                "message": probe.message,
                "balance_usd": None if balance is None else balance.micro_usd / 1e6,
            }
            for provider, (probe, balance) in statuses.items()
        ]
        print_json({"keys": rows})
    else:
        table = new_table("provider", "key", "what it says")
        for provider, (probe, balance) in statuses.items():
            table.add_row(provider, _VERDICTS[probe.state], status_sentence(probe, balance))
        print_table(table)
    if any(probe.state != "ready" for probe, _ in statuses.values()):
        raise typer.Exit(ExitCode.FAILED)


@keys_app.command("delete", context_settings=NO_VALUE)
def keys_delete(
    ctx: typer.Context,
    name: VendorArgument,
    as_json: JsonOption = False,
) -> None:
    """Forget a provider's key, in the keyring and in the key file."""
    removed = run(partial(secrets.delete, _variable(name, ctx.args)))
    if as_json:
        print_json({"variable": removed.name, "deleted_from": list(removed.places)})
    elif removed.places:
        out.print(
            f"{removed.name} is deleted from the {' and the '.join(removed.places)}.", markup=False
        )
    _tell(removed.notes)
    if setting(os.environ, removed.name):
        _tell([f"{removed.name} is still in the environment, which is not ours to change"])
    if not removed.places:
        err.print(f"No {removed.name} was kept here.", markup=False)
        raise typer.Exit(ExitCode.FAILED)


def _variable_of(
    provider: str, section: Mapping[str, Any], variables: Mapping[str, str]
) -> str | None:
    """The variable of a provider's key; None where its kind has no key, or its section none."""
    kind = section.get("type", provider)
    return section.get("keyName", variables.get(kind)) if kind in variables else None


async def _unpause(settings: config.Config, variable: str) -> None:
    """The providers that use this key were perhaps paused because of the one before."""
    from ziggie_image_mcp.routing import history

    database = settings.database or history.default_file()
    if isinstance(database, Path) and not database.exists():
        return
    kinds = {name for name, key in _key_names().items() if key == variable}
    names = kinds | {
        name
        for name, section in settings.providers.items()
        if section.get("type", name) in kinds or section.get("keyName") == variable
    }
    async with aclosing(history.History(database)) as learnt:
        for name in names:
            await learnt.reset(name)


def _key_sets() -> Sequence[tuple[str, ...]]:
    """The variables that each kind of provider wants, all of one together."""
    from ziggie_image_mcp.inventory.registry import load_types

    kinds = [kind.info.key_names for kind in load_types().usable.values()]
    return [*kinds, *((name,) for name in DOWNLOADS.values())]


def _key_names() -> dict[str, str]:
    from ziggie_image_mcp.inventory.registry import load_types

    return secrets.key_names(load_types().usable) | DOWNLOADS


def _variable(name: str, more: Sequence[str]) -> str:
    """The variable that is meant. A key given by mistake is not repeated."""
    if more:
        fail(
            ConfigError(
                "Give only the name: a key on the command line stays in the shell's history. Make "
                "a new key, and enter it when asked or send it to standard input."
            )
        )
    variables = _key_names()
    try:
        return secrets.variable(name, variables)
    except ConfigError:
        near = errors.nearest(name, list(variables))
    fail(
        ConfigError(
            f"No provider of this name takes a key.{f' Did you mean `{near}`?' if near else ''} "
            f"Known: {', '.join(variables)}; or give the variable's name, as OPENAI_API_KEY."
        )
    )


def _read_key(variable: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{variable}: ")
    return sys.stdin.buffer.readline().decode("utf-8-sig", errors="replace")


def _tell(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        err.print(f"note: {note}", markup=False)
