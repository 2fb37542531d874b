"""`python -m bench`: measures the gateway in several rounds and prints a table of medians with minimum and maximum."""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import orjson

from bench import stack
from bench.provider import EVENTS

Figures = Iterator[tuple[str, float]]


def chat(model: str, size: int = 5, *, stream: bool = False) -> dict[str, object]:
    """Return a body with a prompt of so many characters."""
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x" * size}]}


def unary(hub: stack.Stack, seconds: float) -> Figures:
    """Yield requests a second and latencies, direct and through the gateway."""
    ways = {"direct": (hub.direct, "fake"), "echo": (hub.url, "echo"), "relay": (hub.url, "fake")}
    for way, (url, model) in ways.items():
        alone = stack.load(url, chat(model), connections=1, seconds=seconds / 2)
        many = stack.load(url, chat(model), connections=32, seconds=seconds)
        cuts = quantiles(alone.whole_ms, n=100)
        yield f"{way}: requests/s, 32 connections", len(many.whole_ms) / many.seconds
        yield f"{way}: p50 ms, 1 connection", median(alone.whole_ms)
        yield f"{way}: p99 ms, 1 connection", cuts[98]
        yield f"{way}: failed", float(alone.failed + many.failed)
    large = stack.load(hub.url, chat("fake", 100_000), connections=8, seconds=seconds)
    yield "relay: requests/s, prompts of 100 kB", len(large.whole_ms) / large.seconds


def streams(hub: stack.Stack, connections: int) -> Figures:
    """Yield what open streams cost: CPU of the worker a stream and an event, time to the first event, memory."""
    before = hub.cpu_seconds()
    seen = stack.load(hub.url, chat("fake", stream=True), connections=connections, seconds=60, requests=2)
    used = hub.cpu_seconds() - before
    name = f"{connections} streams of {EVENTS} events"
    yield f"{name}: CPU ms a stream", used * 1000 / max(1, len(seen.whole_ms))
    yield f"{name}: CPU µs an event", used * 1e6 / max(1, len(seen.whole_ms) * EVENTS)
    yield f"{name}: p50 ms to the first event", median(seen.first_ms)
    yield f"{name}: memory MB", hub.memory_mb()
    yield f"{name}: failed", float(seen.failed)


def round_of(seconds: float, sizes: list[int]) -> Figures:
    """Yield all figures once."""
    with stack.running() as hub:
        yield "start to ready, s", hub.start_seconds
        yield "memory MB at rest", hub.memory_mb()
        yield from unary(hub, seconds)
    with stack.running(pause=0.01) as hub:
        for connections in sizes:
            yield from streams(hub, connections)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement of requests")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run at all?")
    parser.add_argument("--json", type=Path, default=stack.ROOT / "var" / "bench" / f"{int(time.time())}.json")
    given = parser.parse_args()
    rounds, seconds, sizes = (1, 0.5, [10]) if given.quick else (given.rounds, given.seconds, [50, 200])
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, figure in round_of(seconds, sizes):
            found[name].append(figure)
    sys.stdout.write(f"{'':52} {'median':>10} {'min':>10} {'max':>10}\n")
    for name, figures in found.items():
        sys.stdout.write(f"{name:52} {median(figures):10.2f} {min(figures):10.2f} {max(figures):10.2f}\n")
    relay, direct = median(found["relay: p50 ms, 1 connection"]), median(found["direct: p50 ms, 1 connection"])
    sys.stdout.write(f"{'added by the gateway: p50 ms, 1 connection':52} {relay - direct:10.2f}\n")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
