from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziggie_image_mcp.provider import (
    FREE,
    NO_COST,
    UNKNOWN_COST,
    Cost,
    Estimate,
    Model,
    PriceBook,
    ProviderRequest,
    Rate,
    When,
)
from ziggie_image_mcp.provider.pricing import (
    OWN_PRICE,
    PROMPT_TOKENS,
    Unit,
    computed_cost,
    estimate,
    is_free,
    list_cost,
    whole,
)
from ziggie_image_mcp.provider.testing import model as fake_model


def model(*rates: Rate, **book: Any) -> Model:
    return replace(fake_model(), prices=PriceBook(rates=rates, **book))


def request(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {"prompt": "a cat", "width": 1024, "height": 1024}
    return ProviderRequest(**(values | changes))


def bounds(bound: Estimate | None) -> tuple[int, int]:
    assert bound is not None
    return bound.expected, bound.upper


@pytest.mark.parametrize(
    ("rate", "changes", "expected", "upper"),
    [
        (Rate(unit="request", micro_usd=500), {"num_images": 4}, 500, 500),
        (Rate(unit="image", micro_usd=40_000), {"num_images": 3}, 120_000, 120_000),
        (Rate(unit="input_image", micro_usd=7), {}, 0, 0),
        (Rate(unit="input_image", micro_usd=7), {"image_id": "a", "reference_ids": ("b",)}, 14, 14),
        (Rate(unit="megapixel", micro_usd=1000), {}, 1049, 1049),
        (Rate(unit="megapixel", micro_usd=1000, rounds_up=True), {}, 2000, 2000),
        (Rate(unit="megapixel", micro_usd=1000, rounds_up=True), {"num_images": 2}, 4000, 4000),
        (Rate(unit="text_token_in", micro_usd=5), {}, 7, (5 + PROMPT_TOKENS) * 5),
        (Rate(unit="text_token_in", micro_usd=1), {"prompt": "ä" * 8}, 2, 16 + PROMPT_TOKENS),
        (Rate(unit="second", micro_usd=100, expected=3, most=60), {}, 300, 6000),
        (Rate(unit="second", micro_usd=100, most=60), {"num_images": 2}, 12_000, 12_000),
        (Rate(unit="image_token_out", micro_usd=30, expected=10, most=20), {}, 300, 600),
        (Rate(unit="image_token_in", micro_usd=8, most=100), {}, 0, 0),
        (Rate(unit="image_token_in", micro_usd=8, most=100), {"image_id": "a"}, 800, 800),
        (Rate(unit="image", micro_usd=0.4), {}, 1, 1),
        (Rate(unit="image", micro_usd=0), {}, 0, 0),
    ],
)
def test_each_unit_is_counted(
    rate: Rate, changes: dict[str, Any], expected: int, upper: int
) -> None:
    first = Rate(unit="request", micro_usd=1000)
    rates, base = ((rate,), 0) if rate.unit == "request" else ((first, rate), 1000)

    found = bounds(estimate(request(**changes), model(*rates)))

    assert found == (base + expected, base + upper)


def test_rates_of_several_units_add_up() -> None:
    rates = Rate(unit="request", micro_usd=100), Rate(unit="image", micro_usd=1000)

    assert bounds(estimate(request(num_images=2), model(*rates))) == (2100, 2100)


@pytest.mark.parametrize(
    "rates",
    [
        (),
        (Rate(unit="second", micro_usd=100),),
        (Rate(unit="image_token_out", micro_usd=100),),
        (Rate(unit="image", micro_usd=1, when=When(quality="high")),),
        (Rate(unit="image", micro_usd=1, when=When(tasks=frozenset(["inpaint"]))),),
        (Rate(unit="image", micro_usd=1, when=When(max_pixels=1000)),),
        (Rate(unit="request", micro_usd=1), Rate(unit="second", micro_usd=1)),
    ],
)
def test_what_the_book_does_not_say_is_unknown(rates: tuple[Rate, ...]) -> None:
    priced = model(*rates)

    assert estimate(request(), priced) is None
    assert list_cost(request(), priced, 1) == UNKNOWN_COST


def test_free_is_free() -> None:
    free = fake_model()

    assert free.prices is FREE
    assert bounds(estimate(request(num_images=9), free)) == (0, 0)
    assert list_cost(request(), free, 9) == Cost(micro_usd=0, basis="list")
    assert computed_cost([("image", 3)], request(), free) == NO_COST


def test_the_first_rate_that_applies_is_taken() -> None:
    priced = model(
        Rate(unit="image", micro_usd=3, when=When(quality="low")),
        Rate(unit="image", micro_usd=30, when=When(tasks=frozenset(["inpaint"]))),
        Rate(unit="image", micro_usd=10),
    )

    assert bounds(estimate(request(quality="low"), priced)) == (3, 3)
    assert bounds(estimate(request(task="inpaint"), priced)) == (30, 30)
    assert bounds(estimate(request(), priced)) == (10, 10)


def test_steps_of_size_need_not_grow_and_the_upper_bound_is_the_dearest_below() -> None:
    priced = model(
        Rate(unit="image", micro_usd=10, when=When(max_pixels=500_000)),
        Rate(unit="image", micro_usd=50, when=When(max_pixels=1_100_000)),
        Rate(unit="image", micro_usd=40, when=When(max_pixels=2_000_000)),
        Rate(unit="image", micro_usd=90, when=When(max_pixels=9_000_000)),
    )

    assert bounds(estimate(request(width=512, height=512), priced)) == (10, 10)
    assert bounds(estimate(request(), priced)) == (50, 50)
    assert bounds(estimate(request(width=1536), priced)) == (40, 50)
    assert bounds(estimate(request(width=2048, height=2048), priced)) == (90, 90)
    assert estimate(request(width=4096, height=4096), priced) is None


def test_steps_of_another_quality_do_not_count() -> None:
    priced = model(
        Rate(unit="image", micro_usd=900, when=When(quality="high", max_pixels=1_100_000)),
        Rate(unit="image", micro_usd=50, when=When(quality="low", max_pixels=1_100_000)),
        Rate(unit="image", micro_usd=40, when=When(quality="low", max_pixels=2_000_000)),
    )

    assert bounds(estimate(request(width=1536, quality="low"), priced)) == (40, 50)


def test_the_basis_says_how_old_a_price_is() -> None:
    rate = Rate(unit="image", micro_usd=1)
    dated = estimate(request(), model(rate, as_of=date(2026, 11, 1)))
    live = estimate(request(), model(rate, live=True))
    own = estimate(request(), model(rate, source=OWN_PRICE))
    undated = estimate(request(), model(rate))

    assert [b.basis for b in (dated, live, own, undated) if b] == [
        "list price of 2026-11-01",
        "live price",
        "price in your config",
        "list price without a date",
    ]


def test_the_list_price_is_of_the_pictures_that_came() -> None:
    priced = model(Rate(unit="image", micro_usd=40))

    assert list_cost(request(num_images=4), priced, 3) == Cost(micro_usd=120, basis="list")


def test_counted_tokens_are_computed() -> None:
    priced = model(
        Rate(unit="text_token_in", micro_usd=0.5),
        Rate(unit="image_token_out", micro_usd=0.25, most=9),
    )

    assert computed_cost(
        [("text_token_in", 3), ("image_token_out", 10)], request(), priced
    ) == Cost(micro_usd=4, basis="computed")
    assert computed_cost([("image_token_in", 1)], request(), priced) == UNKNOWN_COST
    assert computed_cost([("text_token_in", 3)], request(), priced) == UNKNOWN_COST, "of the rest"


def test_what_is_not_counted_and_known_all_the_same_is_part_of_the_cost() -> None:
    priced = model(
        Rate(unit="image_token_out", micro_usd=30, most=1000),
        Rate(unit="image_token_in", micro_usd=8, most=500),
        Rate(unit="request", micro_usd=500),
        Rate(unit="input_image", micro_usd=7),
    )
    counts: list[tuple[Unit, float]] = [("image_token_out", 100)]

    assert computed_cost(counts, request(), priced) == Cost(micro_usd=3500, basis="computed")


@pytest.mark.parametrize(
    "rate",
    [
        Rate(unit="input_image", micro_usd=40_000),
        Rate(unit="second", micro_usd=40_000, most=0),
        Rate(unit="image", micro_usd=0),
        Rate(unit="image", micro_usd=40_000, when=When(tasks=frozenset(["inpaint"]))),
    ],
)
def test_what_the_book_prices_at_nothing_is_unknown_and_not_free(rate: Rate) -> None:
    assert estimate(request(), model(rate)) is None


def test_a_surcharge_on_another_task_does_not_matter() -> None:
    edited = When(tasks=frozenset(["image_to_image"]))
    priced = model(
        Rate(unit="image", micro_usd=30), Rate(unit="input_image", micro_usd=7, when=edited)
    )

    assert bounds(estimate(request(), priced)) == (30, 30)
    assert bounds(estimate(request(task="image_to_image", image_id="a"), priced)) == (37, 37)


@given(
    st.sampled_from(("request", "image", "megapixel", "text_token_in")),
    st.floats(1e-6, 1e6),
    st.booleans(),
    st.integers(1, 16),
    st.integers(64, 4096),
    st.text(max_size=50),
)
def test_the_upper_bound_is_never_below_the_expected(
    unit: Any, price: float, rounds_up: bool, count: int, side: int, prompt: str
) -> None:
    priced = model(Rate(unit=unit, micro_usd=price, rounds_up=rounds_up))
    asked = request(num_images=count, width=side, height=side, prompt=prompt)

    bound = estimate(asked, priced)

    assert bound is not None
    assert 0 <= bound.expected <= bound.upper
    cost = list_cost(asked, priced, count).micro_usd
    assert cost is not None
    assert cost <= bound.upper


@pytest.mark.parametrize(
    ("amount", "micro_usd"),
    [(0, 0), (1e-9, 1), (0.1, 1), (0.1 + 0.2, 1), (39_000.0000001, 39_000)],
)
def test_parts_of_a_micro_dollar_are_rounded_up_but_not_the_noise_of_floats(
    amount: float, micro_usd: int
) -> None:
    assert whole(amount) == micro_usd


def test_what_is_free_is_said_or_all_zero() -> None:
    assert is_free(FREE)
    nothing = Rate(unit="image", micro_usd=0)
    assert is_free(PriceBook(rates=(nothing,), source=OWN_PRICE))
    assert not is_free(PriceBook(rates=(nothing,), as_of=date(2026, 11, 1))), "not the user's own"
    assert not is_free(PriceBook(rates=()))
    assert not is_free(PriceBook(rates=(Rate(unit="image", micro_usd=1),)))
