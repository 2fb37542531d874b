"""What is measured of every gateway: a table of loads, and the figures that each of them gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

from bench import processes
from bench.gateways import Format, Running
from bench.load import Result
from bench.provider import EVENTS

Figures = Iterator[tuple[str, float]]
_WORD: Final = "lorem "
_STREAM_SECONDS: Final = 120.0  # a bound: a slow gateway on a busy machine is to get through 500 streams


@dataclass(frozen=True)
class Scenario:
    """A load: so many connections ask for whole answers in a closed loop, or all at once for one stream each.

    `size` is that of the prompt in bytes; `share` of the seconds that a measurement takes.
    """

    name: str
    connections: int
    stream: bool = False
    client: Format = "openai"
    provider: Format = "openai"
    size: int = 12
    share: float = 0.5

    @property
    def told(self) -> str:
        """Return its name, with the number of connections."""
        return self.name.format(n=self.connections)


_CROSS: Final = (
    Scenario("{n} streams, OpenAI to Anthropic", 50, stream=True, provider="anthropic"),
    Scenario("{n} streams, Anthropic to OpenAI", 50, stream=True, client="anthropic"),
    Scenario("{n} streams, Anthropic to Anthropic", 50, stream=True, client="anthropic", provider="anthropic"),
)
_UNARY: Final = (
    Scenario("{n} connection", 1),
    Scenario("{n} connections", 32, share=1.0),
    Scenario("{n} connections, 100 kB", 8, size=100_000),
    Scenario("{n} connections, 5 MB", 2, size=5_000_000),
)
# Streams first, in rising order, so that the highest memory is that of the streams that were asked for last.
SCENARIOS: Final = (
    Scenario("{n} streams", 50, stream=True),
    Scenario("{n} streams", 200, stream=True),
    Scenario("{n} streams", 500, stream=True),
    *_CROSS,
    *_UNARY,
)
QUICK: Final = (
    Scenario("{n} streams", 5, stream=True),
    Scenario("{n} streams, Anthropic to OpenAI", 5, stream=True, client="anthropic"),
    *_UNARY[:3],
)


def chat(model: str, size: int = 12, *, stream: bool = False) -> dict[str, object]:
    """Return a body, good in either format, with a prompt of so many bytes."""
    content = (_WORD * (size // len(_WORD) + 1))[:size]
    return {"model": model, "stream": stream, "max_tokens": 200, "messages": [{"role": "user", "content": content}]}


def measure(scenario: Scenario, hub: Running, seconds: float) -> Figures:
    """Yield the figures of a scenario; none when the gateway has no way to do it."""
    route = hub.routes.get((scenario.client, scenario.provider))
    if route is None:
        return
    name = scenario.told
    before, provider_before = hub.cpu_seconds(), processes.cpu_seconds(hub.provider)
    seen = processes.load(
        f"{hub.url}{route.path}",
        chat(route.model, scenario.size, stream=scenario.stream),
        connections=scenario.connections,
        seconds=_STREAM_SECONDS if scenario.stream else seconds * scenario.share,
        requests=int(scenario.stream),
        headers={**route.headers, **hub.headers},
    )
    used = hub.cpu_seconds() - before
    others = processes.cpu_seconds(hub.provider) - provider_before + seen.cpu_seconds
    tell = _of_streams if scenario.stream else _of_answers
    yield from ((f"{name}: {what}", figure) for what, figure in tell(seen, used))
    if scenario.stream and scenario.client == scenario.provider == "openai":
        yield f"{name}: highest memory so far, MB", processes.memory_mb(hub.process, "VmHWM")
    yield f"{name}: gateway's core, %", used * 100 / seen.seconds
    yield f"{name}: other core, %", others * 100 / seen.seconds
    yield f"{name}: failed", float(seen.failed)


def _of_answers(seen: Result, used: float) -> Figures:
    yield "requests/s", len(seen.whole_ms) / seen.seconds
    yield "CPU ms a request", used * 1000 / len(seen.whole_ms)
    cuts = quantiles(seen.whole_ms, n=100) if len(seen.whole_ms) > 1 else seen.whole_ms * 99
    yield from ((f"p{percent} ms", cuts[percent - 1]) for percent in (50, 99))


def _of_streams(seen: Result, used: float) -> Figures:
    yield "CPU ms a stream", used * 1000 / len(seen.whole_ms)
    yield "CPU µs an event", used * 1e6 / (len(seen.whole_ms) * EVENTS)
    yield "p50 ms to the first event", median(seen.first_ms)
