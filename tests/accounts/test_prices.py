"""A cost is whole micro-dollars, from the prices that a model has."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.prices import prices_of
from tests.facts import model_facts

TOKENS = st.integers(0, 10_000_000)


def cost(prices: dict[str, Any], uncached: int = 0, cache_read: int = 0, cache_write: int = 0, output: int = 0) -> int:
    model = model_facts(**prices)
    return prices_of(model).cost_micro(uncached=uncached, cache_read=cache_read, cache_write=cache_write, output=output)


def test_it_works() -> None:
    assert cost({"cost_per_1k": 0.03}, uncached=1000, output=500) == 45_000


@pytest.mark.parametrize(
    ("prices", "tokens", "micro"),
    [
        ({"cost_per_1k": 0.0}, {"uncached": 10**6}, 0),
        ({"input_per_1k": Decimal("0.01")}, {"uncached": 1000, "cache_read": 1000, "cache_write": 1000}, 30_000),
        ({"input_per_1k": Decimal("0.01"), "cache_read_per_1k": Decimal("0.001")}, {"cache_read": 1000}, 1_000),
        ({"output_per_1k": Decimal("0.06"), "cost_per_1k": 0.01}, {"uncached": 1000, "output": 1000}, 70_000),
        ({"input_per_1k": Decimal(0), "cost_per_1k": 5.0}, {"uncached": 1000}, 0),
        ({"cost_per_1k": 0.0000005}, {"uncached": 1}, 0),
        ({"cost_per_1k": 0.0005}, {"uncached": 1}, 1),
        ({"cost_per_1k": 0.1}, {"uncached": 3}, 300),
    ],
)
def test_each_bucket_has_its_price(prices: dict[str, Any], tokens: dict[str, int], micro: int) -> None:
    assert cost(prices, **tokens) == micro


@given(TOKENS, TOKENS, st.decimals(0, 1, places=9))
def test_more_tokens_never_cost_less(few: int, more: int, price: Decimal) -> None:
    prices = {"cost_per_1k": float(price)}
    assert cost(prices, uncached=few) <= cost(prices, uncached=few + more)


def test_what_is_kept_for_an_hour_has_a_price_of_its_own() -> None:
    told = {"input_per_1k": Decimal(1), "cache_write_per_1k": Decimal(2), "cache_write_1h_per_1k": Decimal(3)}
    prices = prices_of(model_facts(**told))
    assert prices.cost_micro(uncached=0, output=0, cache_write=10, cache_write_1h=4) == 6 * 2000 + 4 * 3000
    del told["cache_write_1h_per_1k"]
    assert prices_of(model_facts(pk=2, **told)).cache_write_1h == prices.cache_write
