"""Look at every provider as it is now: whether it is there, as what, and what is left to spend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import anyio

from ziggie_image_mcp.errors import ProviderError, duration
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.contract import PROBE_SECONDS, Provider
from ziggie_image_mcp.provider.nouns import Balance, Probe


async def probe_all(providers: Mapping[str, Provider]) -> dict[str, tuple[Probe, Balance | None]]:
    """Probe all at once, and ask those that are there for their balance. Takes two probes' time."""
    statuses: dict[str, tuple[Probe, Balance | None]] = {}

    async def look(provider: Provider) -> None:
        probe = await look_at(provider)
        balance = (await balance_of(provider)).balance if probe.state == "ready" else None
        statuses[provider.name] = (probe, balance)

    async with anyio.create_task_group() as group:
        for provider in providers.values():
            group.start_soon(look, provider)
    return statuses


def status_sentence(probe: Probe, balance: Balance | None) -> str:
    """A status as people read it; empty where there is nothing to say."""
    if probe.state != "ready":
        return probe.message
    facts = [" ".join(filter(None, (probe.flavour, probe.version)))]
    if probe.loaded_model:
        facts.append(f"{probe.loaded_model} is loaded")
    if probe.queue_length:
        facts.append(f"{probe.queue_length} in its queue")
    if probe.free_memory is not None:
        facts.append(f"{probe.free_memory / 1e9:.1f} GB of GPU memory free")
    if balance is not None:
        facts.append(f"${balance.micro_usd / 1e6:.2f} left on the account")
    return "; ".join(filter(None, (*facts, probe.message)))


def urls_of(statuses: Mapping[str, tuple[Probe, Balance | None]]) -> dict[str, str]:
    """Where the user's own engines answer, by the names of their providers."""
    return {name: probe.url for name, (probe, _) in statuses.items() if probe.url}


async def look_at(provider: Provider) -> Probe:
    """How one provider is now."""
    try:
        with anyio.fail_after(PROBE_SECONDS):
            return await bulkhead.call(provider.name, provider.probe, bulkhead.PROBE)
    except TimeoutError:
        message = f"no answer within {duration(PROBE_SECONDS)}"
        return Probe(state="unreachable", message=message)
    except ProviderError as e:
        return Probe(state="unreachable", message=str(e))


class Account(NamedTuple):
    """What is known of an account with a vendor."""

    balance: Balance | None
    """None where the vendor does not tell, or could not be asked."""
    trouble: str = ""
    """Why it could not be asked."""


async def balances(providers: Mapping[str, Provider]) -> dict[str, Account]:
    """Ask all at once what is left on their accounts. Costs nothing, and takes one probe's time."""
    accounts: dict[str, Account] = {}

    async def ask(provider: Provider) -> None:
        accounts[provider.name] = await balance_of(provider)

    async with anyio.create_task_group() as group:
        for provider in providers.values():
            group.start_soon(ask, provider)
    return accounts


async def balance_of(provider: Provider) -> Account:
    """What is left on one account."""
    try:
        with anyio.fail_after(PROBE_SECONDS):
            balance = await bulkhead.call(provider.name, provider.balance, bulkhead.BALANCE)
            return Account(balance=balance)
    except TimeoutError:
        trouble = f"no answer within {duration(PROBE_SECONDS)}"
        return Account(balance=None, trouble=trouble)
    except ProviderError as e:
        return Account(balance=None, trouble=str(e))
