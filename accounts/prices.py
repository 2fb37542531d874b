"""What tokens cost: integer micro-dollars from the prices of a model."""

from decimal import ROUND_HALF_UP, Decimal

from registry.snapshot import ModelFacts

_MICRO_DOLLARS_PER_1K = Decimal(1000)  # a dollar for 1,000 tokens is 1,000 micro-dollars for one


def cost_micro(model: ModelFacts, *, uncached: int, cache_read: int, cache_write: int, output: int) -> int:
    """Return the cost of an answer in micro-dollars, rounded once at the end.

    A price that the model does not say is its `cost_per_1k`; cached input without a price of its own costs what other
    input does.
    """
    general = Decimal(str(model.cost_per_1k))
    price_in = _first(model.input_per_1k, general)
    amount = (
        uncached * price_in
        + cache_read * _first(model.cache_read_per_1k, price_in)
        + cache_write * _first(model.cache_write_per_1k, price_in)
        + output * _first(model.output_per_1k, general)
    )
    return int((amount * _MICRO_DOLLARS_PER_1K).quantize(Decimal(1), ROUND_HALF_UP))


def _first(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if price is None else price
