"""Engines and vendors are looked at as they are now; none can hold up or break the others."""

from __future__ import annotations

import anyio
import pytest

from ziggie_image_mcp.inventory.engine_status import Account, balances, probe_all, status_sentence
from ziggie_image_mcp.provider import PROBE_SECONDS, Balance, Probe, ProviderUnavailable
from ziggie_image_mcp.provider.testing import FakeProvider


class Rich(FakeProvider):
    async def balance(self) -> Balance | None:
        return Balance(micro_usd=12_300_000)


class Silent(FakeProvider):
    async def probe(self) -> Probe:
        await anyio.sleep(600)
        raise AssertionError


class Buggy(FakeProvider):
    async def probe(self) -> Probe:
        raise KeyError("sk-secret")

    async def balance(self) -> Balance | None:
        raise KeyError("sk-secret")


class Forgetful(FakeProvider):
    async def balance(self) -> Balance | None:
        raise ProviderUnavailable(self.name, "down")


async def test_each_is_told_apart_and_the_slowest_holds_up_nobody() -> None:
    providers = [Rich("rich"), Silent("silent"), Buggy("buggy"), Forgetful("forgetful")]

    started = anyio.current_time()
    statuses = await probe_all({p.name: p for p in providers})

    assert anyio.current_time() - started < PROBE_SECONDS + 1
    assert {name: status_sentence(*status) for name, status in statuses.items()} == {
        "rich": "$12.30 left on the account",
        "silent": "no answer within 2 s",
        "buggy": "buggy has a bug (KeyError); the server's log tells it",
        "forgetful": "",
    }


class Slow(FakeProvider):
    async def balance(self) -> Balance | None:
        await anyio.sleep(600)
        raise AssertionError


async def test_what_is_left_on_the_accounts_is_told_within_seconds_or_why_not() -> None:
    providers = [Rich("rich"), Slow("slow"), FakeProvider("mum"), Forgetful("forgetful")]

    started = anyio.current_time()
    accounts = await balances({p.name: p for p in providers})

    assert anyio.current_time() - started < PROBE_SECONDS + 1
    assert accounts == {
        "rich": Account(balance=Balance(micro_usd=12_300_000)),
        "slow": Account(balance=None, trouble="no answer within 2 s"),
        "mum": Account(balance=None),
        "forgetful": Account(balance=None, trouble="down"),
    }


@pytest.mark.parametrize(
    ("probe", "sentence"),
    [
        (Probe(state="ready"), ""),
        (Probe(state="ready", flavour="ComfyUI", version="0.3.60"), "ComfyUI 0.3.60"),
        (
            Probe(state="ready", queue_length=2, free_memory=8_000_000_000, loaded_model="sdxl"),
            "sdxl is loaded; 2 in its queue; 8.0 GB of GPU memory free",
        ),
        (
            Probe(state="wrong_service", message="KoboldCpp answers there"),
            "KoboldCpp answers there",
        ),
    ],
)
def test_a_status_is_one_sentence(probe: Probe, sentence: str) -> None:
    assert status_sentence(probe, None) == sentence
