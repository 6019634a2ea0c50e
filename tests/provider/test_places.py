"""The addresses of an engine: which is taken, which is left alone, and what is said of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    NotReady,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    WrongService,
)
from ziggie_image_mcp.provider.contract import PROBE_SECONDS
from ziggie_image_mcp.provider.places import Places

USUAL, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:2"


@dataclass
class Connection:
    url: str

    async def aclose(self) -> None:
        pass


def refused(url: str) -> ProviderError:
    return ProviderUnavailable("x", f"nothing answers at {url}")


def foreign(url: str) -> ProviderError:
    return WrongService("x", f"something else answers at {url}")


@dataclass
class Network:
    """What each address does: a version, an error, or a silence."""

    answers: dict[str, str | Callable[[str], ProviderError] | None]
    asked: Counter[str] = field(default_factory=Counter[str])

    async def identify(self, connection: Connection, seconds: float) -> str:
        url = connection.url
        self.asked[url] += 1
        answer = self.answers[url]
        if answer is None:
            await anyio.sleep(600)
        if callable(answer):
            raise answer(url)
        return str(answer)


def places(*urls: str) -> Places[Connection]:
    return Places("x", urls or (USUAL, OTHER), Connection)


async def test_the_first_in_order_is_taken() -> None:
    network, found = Network({USUAL: "one", OTHER: "two"}), places()

    assert await found.find(network.identify) == "one"
    assert found.taken.url == USUAL


@pytest.mark.parametrize("usual", [refused, foreign, None])
async def test_whatever_is_at_the_usual_one_the_other_is_found_within_a_probe(
    usual: Callable[[str], ProviderError] | None,
) -> None:
    network, found = Network({USUAL: usual, OTHER: "two"}), places()
    started = time.monotonic()

    assert await found.find(network.identify) == "two"
    assert found.taken.url == OTHER
    assert time.monotonic() - started < PROBE_SECONDS + 1


async def test_one_that_was_right_is_asked_alone_and_the_others_once_it_is_gone() -> None:
    network, found = Network({USUAL: "one", OTHER: "two"}), places()
    await found.find(network.identify)
    await found.find(network.identify)
    assert network.asked == {USUAL: 2, OTHER: 1}

    network.answers[USUAL] = refused
    assert await found.find(network.identify) == "two"


async def test_one_that_was_right_and_is_slow_is_still_the_one() -> None:
    network, found = Network({USUAL: "one", OTHER: "two"}), places()
    await found.find(network.identify)
    network.answers[USUAL] = lambda url: ProviderTimeout("x", f"{url} answered too late")

    with pytest.raises(ProviderTimeout):
        await found.find(network.identify)
    assert found.taken.url == USUAL


@pytest.mark.parametrize("what", [foreign, None])
async def test_another_service_and_what_is_silent_are_left_alone_for_a_while(
    what: Callable[[str], ProviderError] | None,
) -> None:
    network, found = Network({USUAL: refused, OTHER: what}), places()
    for _ in range(3):
        with pytest.raises(ProviderUnavailable, match=f"nothing answers at {USUAL}"):
            await found.find(network.identify)

    assert network.asked == {USUAL: 3, OTHER: 1}


def without_its_api(url: str) -> ProviderError:
    return NotReady("x", f"{url} without its API")


def wants_a_login(url: str) -> ProviderError:
    return AuthenticationFailed("x", f"{url} wants a login")


@pytest.mark.parametrize("telling", [without_its_api, wants_a_login])
async def test_the_most_telling_error_is_told(telling: Callable[[str], ProviderError]) -> None:
    network, found = Network({USUAL: refused, OTHER: telling}), places()

    with pytest.raises(type(telling("")), match=OTHER):
        await found.find(network.identify)


async def test_an_address_that_is_set_is_asked_each_time() -> None:
    network, found = Network({USUAL: foreign}), places(USUAL)
    for _ in range(2):
        with pytest.raises(WrongService):
            await found.find(network.identify)

    assert network.asked == {USUAL: 2}
