"""The commands about keys: set, list, delete. A key is never shown."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ziggie_image_mcp import config, experience, keys
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.registry import discover, provider_type
from ziggie_image_mcp.terminal import (
    JsonOption,
    err,
    fail,
    given_config,
    new_table,
    out,
    print_json,
    run,
    tables,
)

app = typer.Typer()
keys_app = typer.Typer(
    help="Set, list and delete the keys of paid providers. A key is never shown.",
    no_args_is_help=True,
)
app.add_typer(keys_app, name="keys")

NO_VALUE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Lets us refuse a key on the command line ourselves: typer's own message would repeat it."""


@keys_app.command("set", context_settings=NO_VALUE)
def keys_set(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A provider, or its variable as OPENAI_API_KEY.")],
) -> None:
    """Keep a provider's key. Asks for it, or reads one line from standard input."""
    variable = _variable(name, ctx.args)
    key = _read_key(variable)

    async def work() -> keys.Source:
        kept = await keys.save(variable, key)
        with suppress(ConfigError):  # the next call tells it
            await _unpause(config.load(given_config(ctx)), variable)
        return kept

    kept = run(work)
    where = "in the keyring" if "keyring" in kept.places else f"in {keys.default_file()}"
    out.print(f"{kept.name} is kept {where}.", markup=False)
    _tell(kept.notes)
    if os.environ.get(kept.name, "").strip():
        _tell([f"the environment has its own {kept.name}, and that one is used"])
    if kept.name not in _key_names().values():
        _tell([f"no provider asks for {kept.name} unless its keyName in config.json says so"])


@keys_app.command("list")
def keys_list(as_json: JsonOption = False) -> None:
    """Show which providers have a key, and where it was found. The first place is in force."""
    names = _key_names()
    found = {s.name: s for s in run(partial(keys.sources, dict.fromkeys(names.values())))}
    if as_json:
        rows = [
            {"provider": provider, "variable": name, "found_in": list(found[name].places)}
            for provider, name in names.items()
        ]
        notes = dict.fromkeys(note for source in found.values() for note in source.notes)
        print_json({"keys": rows, "notes": list(notes)})
        return
    table = new_table("provider", "variable", "key found in")
    for provider, name in names.items():
        table.add_row(provider, name, ", then ".join(found[name].places) or "nowhere")
    tables.print(table)
    _tell(note for source in found.values() for note in source.notes)


@keys_app.command("delete", context_settings=NO_VALUE)
def keys_delete(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A provider, or its variable as OPENAI_API_KEY.")],
) -> None:
    """Forget a provider's key, in the keyring and in the key file."""
    gone = run(partial(keys.delete, _variable(name, ctx.args)))
    if gone.places:
        out.print(f"{gone.name} is deleted from the {' and the '.join(gone.places)}.", markup=False)
    _tell(gone.notes)
    if os.environ.get(gone.name, "").strip():
        _tell([f"{gone.name} is still in the environment, which is not ours to change"])
    if not gone.places:
        err.print(f"No {gone.name} was kept here.", markup=False)
        raise typer.Exit(1)


async def _unpause(settings: config.Config, variable: str) -> None:
    """The providers that use this key were perhaps paused because of the one before."""
    database = settings.database or experience.default_file()
    if isinstance(database, Path) and not database.exists():
        return
    kinds = {name for name, key in _key_names().items() if key == variable}
    names = kinds | {
        name
        for name, section in settings.providers.items()
        if section.get("type", name) in kinds or section.get("keyName") == variable
    }
    async with aclosing(Experience(database)) as learnt:
        for name in names:
            await learnt.reset(name)


def _key_names() -> dict[str, str]:
    return keys.key_names({name: provider_type(entry) for name, entry in discover().items()})


def _variable(name: str, more: Sequence[str]) -> str:
    """The variable that is meant. A key given by mistake is not repeated."""
    if more:
        fail(
            ConfigError(
                "Give only the name: a key on the command line stays in the shell's history. Make "
                "a new key, and enter it when asked or send it to standard input."
            )
        )
    known = _key_names()
    try:
        return keys.variable(name, known)
    except ConfigError:
        near = config.nearest(name, list(known))
    fail(
        ConfigError(
            f"No provider of this name takes a key.{f' Did you mean `{near}`?' if near else ''} "
            f"Known: {', '.join(known)}; or give the variable's name, as OPENAI_API_KEY."
        )
    )


def _read_key(variable: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{variable}: ")
    return sys.stdin.buffer.readline().decode("utf-8-sig", errors="replace")


def _tell(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        err.print(f"note: {note}", markup=False)
