"""The figures as tables for people: medians with minimum and maximum, and ratios within a round.

`python -m bench.report FIGURES.json [PART …]` prints the tables of an earlier run, of figures with one of these parts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import orjson

from bench.rows import DIRECT, TOKENHUB

Found = Mapping[str, Mapping[str, Sequence[float]]]
"""By the name of a row, by that of a figure: what each round gave."""
_BUSY: Final = 90.0
_NOTHING: Final = "-"
# No ratios of these: they say whether the figures can be trusted, or are of no meaning between gateways.
_UNCOMPARED: Final = "core, %"
_FAILED: Final = ": failed"
_ALONE: Final = "1 connection: p50 ms"
_ADDED: Final = "1 connection: p50 ms added to the provider's"


def with_added(found: Found) -> dict[str, dict[str, Sequence[float]]]:
    """Return the figures, and what each gateway adds to the provider's own answer in the same round."""
    full = {row: dict(figures) for row, figures in found.items()}
    for row, figures in full.items():
        if row != DIRECT and _ALONE in figures:
            figures[_ADDED] = [mine - alone for mine, alone in zip(figures[_ALONE], full[DIRECT][_ALONE], strict=False)]
    return full


def ratio(found: Found, row: str, figure: str) -> float | None:
    """Return the median of TokenHub's figure divided by the row's in the same round; None where there is none."""
    ours, theirs = found[TOKENHUB].get(figure, ()), found[row].get(figure, ())
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=False) if other]
    return median(ratios) if ratios else None


def told(figures: Sequence[float]) -> str:
    """Return a median with minimum and maximum."""
    if not figures:
        return _NOTHING
    if len(figures) == 1:
        return _number(figures[0])
    return f"{_number(median(figures))} ({_number(min(figures))} to {_number(max(figures))})"


def _number(figure: float) -> str:
    digits = 0 if abs(figure) >= 100 or figure == int(figure) else 1 if abs(figure) >= 10 else 2
    return f"{figure:,.{digits}f}"


def tables(found: Found) -> Iterator[str]:
    """Yield the lines of the report."""
    all_names = dict.fromkeys([*found[TOKENHUB], *(name for figures in found.values() for name in figures)])
    names = [name for name in all_names if not name.endswith(_FAILED)]  # of those the doubts below tell
    yield from _table("", list(found), {name: [told(found[row].get(name, ())) for row in found] for name in names})
    others = [row for row in found if row not in {TOKENHUB, DIRECT}]
    compared = [name for name in names if name in found[TOKENHUB] and not name.endswith(_UNCOMPARED)]
    ratios = {name: [ratio(found, row, name) for row in others] for name in compared}
    cells = {
        name: [_NOTHING if each is None else f"{each:.2f}" for each in line]
        for name, line in ratios.items()
        if any(line)
    }
    yield ""
    yield from _table("TokenHub's figure divided by that of", others, cells)
    yield ""
    yield from _doubts(found)


def _table(corner: str, heads: Sequence[str], cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield f"| {corner} | {' | '.join(heads)} |"
    yield "|---|" + "---|" * len(heads)
    yield from (f"| {name} | {' | '.join(line)} |" for name, line in cells.items())


def _doubts(found: Found) -> Iterator[str]:
    """Yield what a reader must know before believing a figure."""
    for row, figures in found.items():
        for name, percents in figures.items():
            if name.endswith(": other core, %") and row != DIRECT and median(percents) > _BUSY:
                scenario = name.partition(":")[0]
                yield f"{row}, {scenario}: load and provider were busy, so its requests/s are lower than it can."
            if name.endswith(_FAILED) and any(percents):
                yield f"{row}, {name.partition(':')[0]}: {sum(percents):.0f} requests failed."


def main(file: str, *parts: str) -> None:
    """Print the tables of a file of figures."""
    found: Found = orjson.loads(Path(file).read_bytes())["figures"]
    kept = {
        row: {name: seen for name, seen in figures.items() if not parts or any(part in name for part in parts)}
        for row, figures in found.items()
    }
    sys.stdout.writelines(f"{line}\n" for line in tables(kept))


if __name__ == "__main__":
    main(*sys.argv[1:])
