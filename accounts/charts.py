"""Charts as the shapes of an SVG, which a template draws: no script and nothing of another site is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 960
HEIGHT: Final = 200
_GAP: Final = 0.2  # of a column's width
_ROUND: Final = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Column:
    """One bar of a chart, in the units of the picture; `label` says what it is."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns beside each other under a line that stands for `top`."""

    columns: Sequence[Column]
    top: int
    width: int = WIDTH
    height: int = HEIGHT


def columns(amounts: Sequence[tuple[str, int]]) -> Chart:
    """Return the chart of amounts with their labels."""
    top = _above(max((amount for _, amount in amounts), default=0))
    step = WIDTH / max(1, len(amounts))
    drawn = [
        Column(
            x=round(number * step + step * _GAP / 2, 2),
            y=round(HEIGHT - HEIGHT * amount / top, 2),
            width=round(step * (1 - _GAP), 2),
            height=round(HEIGHT * amount / top, 2),
            label=label,
        )
        for number, (label, amount) in enumerate(amounts)
    ]
    return Chart(drawn, top)


def _above(most: int) -> int:
    """Return the next round number that is no less, and at least 1."""
    size = 10 ** (len(str(max(1, most))) - 1)
    return next(int(factor * size) for factor in _ROUND if int(factor * size) >= most)
