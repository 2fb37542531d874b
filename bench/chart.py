"""The chart: a bar for each gateway in a few panels, as an SVG that is readable on light and on dark pages.

`python -m bench.chart FIGURES.json CHART.svg` draws the figures of an earlier run again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Final

import orjson

from bench.report import Found
from bench.rows import DIRECT

# What each panel shows: its title, and the figure.
PANELS: Final = (
    ("Requests a second, 32 connections (more is better)", "32 connections: requests/s"),
    ("CPU of a request, ms (less is better)", "32 connections: CPU ms a request"),
    ("Added to the provider's answer, p50, ms (less is better)", "1 connection: p50 ms added to the provider's"),
    ("CPU of a streamed event, µs, 200 streams (less is better)", "200 streams: CPU µs an event"),
    ("Highest memory, MB, 500 streams (less is better)", "500 streams: highest memory so far, MB"),
    ("From the start to the first answer, s (less is better)", "start to the first answer, s"),
)
_NAMES: Final = {"tokenhub": "TokenHub", "django": "bare Django", "litellm": "LiteLLM", "portkey": "Portkey"}
_WIDTH, _LABEL, _VALUE, _BAR, _TITLE = 720, 110, 100, 22, 34
_STYLE: Final = """
  rect.page { fill: #ffffff } text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  text.title { font-weight: 600 } rect.bar { fill: #8c959f } rect.ours { fill: #1a7f5a } path { stroke: #1f2328 }
  @media (prefers-color-scheme: dark) {
    rect.page { fill: #0d1117 } text { fill: #e6edf3 } rect.bar { fill: #656d76 } rect.ours { fill: #3fb98a }
    path { stroke: #e6edf3 }
  }
"""


def drawn(found: Found) -> str:
    """Return the chart of what was found; a panel without figures is left out."""
    parts: list[str] = []
    top = 12
    for title, figure in PANELS:
        seen = {row: figures[figure] for row, figures in found.items() if row != DIRECT and figures.get(figure)}
        if seen:
            parts.extend(_panel(title, seen, top))
            top += _TITLE + _BAR * len(seen) + 10
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="What gateways cost">'
    page = f'<rect class="page" width="{_WIDTH}" height="{top}" rx="8"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", page, *parts, "</svg>", ""])


def _panel(title: str, seen: dict[str, Sequence[float]], top: int) -> Iterator[str]:
    """Yield a title, and for each row a bar to its median with a line from minimum to maximum."""
    yield f'<text class="title" x="16" y="{top + 18}">{escape(title)}</text>'
    scale = (_WIDTH - _LABEL - _VALUE) / max(max(figures) for figures in seen.values())
    for number, (row, figures) in enumerate(seen.items()):
        y = top + _TITLE + number * _BAR
        low, middle, high = (_LABEL + each(figures) * scale for each in (min, median, max))
        kind = "bar ours" if row == "tokenhub" else "bar"
        yield f'<text x="16" y="{y + 11}">{escape(_NAMES.get(row, row))}</text>'
        yield f'<rect class="{kind}" x="{_LABEL}" y="{y}" width="{max(middle - _LABEL, 1):.1f}" height="14" rx="2"/>'
        yield f'<path d="M{low:.1f} {y + 7}H{high:.1f}"/>'
        yield f'<text x="{high + 8:.1f}" y="{y + 11}">{_short(median(figures))}</text>'


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(drawn(orjson.loads(Path(sys.argv[1]).read_bytes())["figures"]))
