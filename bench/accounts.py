"""`python -m bench.accounts`: what keys, limits, budgets and the books cost a request, against a gateway without."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from statistics import median
from typing import Final

from bench import processes, stack
from bench.scenarios import chat

_BARE: Final = "accounts off"
# What is measured: the settings of its gateway, and the arguments of `createkey` where it has a key.
_WAYS: Final[dict[str, tuple[str, tuple[str, ...] | None]]] = {
    _BARE: ("bench.bare_settings", None),
    "open": ("tokenhub_site.settings", None),
    "key": ("tokenhub_site.settings", ()),
    "key with limits": ("tokenhub_site.settings", ("--rpm", "100000000", "--concurrent", "10000")),
    "key with a budget": ("tokenhub_site.settings", ("--budget-usd", "1000000")),
}
_WARM_SECONDS: Final = 1.0


def measured(way: str, seconds: float) -> dict[str, float]:
    """Return requests a second of 32 connections and the worker's CPU time of each, at a gateway of its own."""
    settings, arguments = _WAYS[way]
    with stack.running(DJANGO_SETTINGS_MODULE=settings) as hub:
        headers = {} if arguments is None else stack.created_key(hub.environment, *arguments)
        url = f"{hub.url}/v1/chat/completions"
        processes.load(url, chat("fake"), connections=32, seconds=min(_WARM_SECONDS, seconds), headers=headers)
        before = hub.cpu_seconds()
        seen = processes.load(url, chat("fake"), connections=32, seconds=seconds, headers=headers)
        used = hub.cpu_seconds() - before
    if seen.failed:
        message = f"{seen.failed} requests failed ({way})"
        raise RuntimeError(message)
    return {"requests/s": len(seen.whole_ms) / seen.seconds, "CPU ms a request": used * 1000 / len(seen.whole_ms)}


def main() -> None:
    """Measure all ways in turn, several times, and print medians and what they are to the first way's."""
    parser = argparse.ArgumentParser(prog="bench.accounts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in _WAYS}
    for _ in range(given.rounds):
        for way, figures in found.items():
            for name, figure in measured(way, given.seconds).items():
                figures[name].append(figure)
    sys.stdout.write("| | requests/s | to accounts off | CPU ms a request | to accounts off |\n|---|---|---|---|---|\n")
    for way, figures in found.items():
        told = [(median(each), median(each) / median(found[_BARE][name])) for name, each in figures.items()]
        cells = [cell for figure, ratio in told for cell in (f"{figure:,.2f}", f"{ratio:.2f}")]
        sys.stdout.write(f"| {way} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
