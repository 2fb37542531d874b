"""`python -m bench`: measures the gateway in several rounds and prints a table of medians with minimum and maximum."""

import argparse
import platform
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles

import orjson

from bench import stack
from bench.load import Result
from bench.provider import EVENTS

Figures = Iterator[tuple[str, float]]
_PACKAGES = ("django", "djangorestframework", "gunicorn", "gevent", "requests", "urllib3")


def chat(model: str, size: int = 5, *, stream: bool = False) -> dict[str, object]:
    """Return a body with a prompt of so many characters."""
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x" * size}]}


def latencies(name: str, seen: Result) -> Figures:
    """Yield percentiles of whole answers."""
    cuts = quantiles(seen.whole_ms, n=100)
    yield from ((f"{name}: p{percent} ms", cuts[percent - 1]) for percent in (50, 95, 99))


def unary(hub: stack.Stack, seconds: float) -> Figures:
    """Yield requests a second, latencies and the worker's CPU time, direct and through the gateway."""
    ways = {"direct": (hub.direct, "fake"), "echo": (hub.url, "echo"), "relay": (hub.url, "fake")}
    middle = {}
    for way, (url, model) in ways.items():
        alone = stack.load(url, chat(model), connections=1, seconds=seconds / 2)
        before = hub.cpu_seconds()
        many = stack.load(url, chat(model), connections=32, seconds=seconds)
        used = hub.cpu_seconds() - before
        middle[way] = median(alone.whole_ms)
        yield from latencies(f"{way}, 1 connection", alone)
        yield from latencies(f"{way}, 32 connections", many)
        yield f"{way}, 32 connections: requests/s", len(many.whole_ms) / many.seconds
        if way != "direct":
            yield f"{way}, 32 connections: CPU ms a request", used * 1000 / len(many.whole_ms)
        yield f"{way}: failed", float(alone.failed + many.failed)
    yield "added by the gateway, 1 connection: p50 ms", middle["relay"] - middle["direct"]


def prompts(hub: stack.Stack, seconds: float) -> Figures:
    """Yield what the size of a prompt costs."""
    for name, size in (("1 kB", 1_000), ("100 kB", 100_000)):
        seen = stack.load(hub.url, chat("fake", size), connections=8, seconds=seconds)
        yield f"relay, 8 connections, prompts of {name}: requests/s", len(seen.whole_ms) / seen.seconds
        yield f"relay, 8 connections, prompts of {name}: failed", float(seen.failed)


def streams(hub: stack.Stack, connections: int) -> Figures:
    """Yield what open streams cost: CPU of the worker a stream and an event, time to the first event, memory."""
    before = hub.cpu_seconds()
    seen = stack.load(hub.url, chat("fake", stream=True), connections=connections, seconds=60, requests=1)
    used = hub.cpu_seconds() - before
    name = f"{connections} streams of {EVENTS} events"
    yield f"{name}: CPU ms a stream", used * 1000 / len(seen.whole_ms)
    yield f"{name}: CPU µs an event", used * 1e6 / (len(seen.whole_ms) * EVENTS)
    yield f"{name}: p50 ms to the first event", median(seen.first_ms)
    yield f"{name}: highest memory, MB", hub.memory_mb("VmHWM")
    yield f"{name}: failed", float(seen.failed)


def round_of(seconds: float, sizes: list[int], pause: float) -> Figures:
    """Yield all figures once, from a gateway of its own."""
    with stack.running(pause) as hub:
        yield "start to ready, s", hub.ready_seconds
        first = stack.load(hub.url, chat("echo"), connections=1, seconds=30, requests=1)
        yield "start to the first answer, s", hub.ready_seconds + first.whole_ms[0] / 1000
        yield "memory at rest, MB", hub.memory_mb("VmRSS")
        for connections in sizes:
            yield from streams(hub, connections)
        yield from unary(hub, seconds)
        yield from prompts(hub, seconds / 2)


def machine() -> dict[str, str]:
    """Return what the figures depend on besides the gateway."""
    return {
        "cores": str(len(stack.CORES)),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement at 32 connections")
    parser.add_argument("--full", action="store_true", help="500 streams at once as well")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run at all?")
    parser.add_argument("--json", type=Path, default=stack.ROOT / "var" / "bench" / f"{int(time.time())}.json")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # an exception, so that children end too
    rounds, seconds, sizes, pause = given.rounds, given.seconds, [50, 200] + [500] * given.full, 0.04
    if given.quick:
        rounds, seconds, sizes, pause = 1, 0.5, [10], 0.01
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, figure in round_of(seconds, sizes, pause):
            found[name].append(figure)
    about = machine()
    sys.stdout.write(", ".join(f"{name} {version}" for name, version in about.items()) + "\n\n")
    sys.stdout.write(f"{'':52} {'median':>10} {'min':>10} {'max':>10}\n")
    for name, figures in found.items():
        sys.stdout.write(f"{name:52} {median(figures):10.2f} {min(figures):10.2f} {max(figures):10.2f}\n")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_bytes(orjson.dumps({"machine": about, "figures": found}, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
