"""What tokens cost: whole micro-dollars, reckoned from whole pico-dollars a token so that nothing is rounded twice."""

from decimal import Decimal
from typing import Final, NamedTuple

from registry.models import Model
from registry.snapshot import ModelFacts

_PICO_A_TOKEN: Final = 10**9  # of a dollar for 1,000 tokens; prices have nine decimals, so this is exact
_PICO_A_MICRO: Final = 10**6


class Prices(NamedTuple):
    """What one token costs, in pico-dollars."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int

    def cost_micro(
        self, *, uncached: int, output: int, cache_read: int = 0, cache_write: int = 0, cache_write_1h: int = 0
    ) -> int:
        """Return the cost of an answer in micro-dollars, rounded once at the end, half up.

        `cache_write_1h` is the part of `cache_write` that is kept for an hour.
        """
        pico = (
            uncached * self.input
            + output * self.output
            + cache_read * self.cache_read
            + (cache_write - cache_write_1h) * self.cache_write
            + cache_write_1h * self.cache_write_1h
        )
        return (pico + _PICO_A_MICRO // 2) // _PICO_A_MICRO


_known: dict[int, tuple[ModelFacts, Prices]] = {}


def prices_of(model: ModelFacts) -> Prices:
    """Return the prices of a model.

    One that the row does not say is its `cost_per_1k`; cached input without a price of its own costs what other input
    does, and what the cache keeps for an hour what its other writes do.
    """
    known = _known.get(model.pk)
    if known is None or known[0] is not model:
        known = _known[model.pk] = (model, reckoned(model))
    return known[1]


def reckoned(model: ModelFacts | Model) -> Prices:
    """Return the prices that a model or its row tells."""
    general = Decimal(str(model.cost_per_1k))
    price_in = _first(model.input_per_1k, general)
    price_written = _first(model.cache_write_per_1k, price_in)
    told = (
        price_in,
        _first(model.output_per_1k, general),
        _first(model.cache_read_per_1k, price_in),
        price_written,
        _first(model.cache_write_1h_per_1k, price_written),
    )
    return Prices(*(round(price * _PICO_A_TOKEN) for price in told))


def _first(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if price is None else price
