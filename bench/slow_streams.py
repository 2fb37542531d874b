"""`python -m bench.slow_streams`: many slow streams at the same time; do all complete, and what memory do they take?"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from bench import processes
from bench.load import Caller, Result
from vault.crypto import generate_key

EVENTS: Final = 10
_LOOK_SECONDS: Final = 3.0  # counting the pages of a process holds it up for a moment


@dataclass
class Seen:
    """What became of the streams, and the memory of the workers in bytes: at rest, and the most while they ran."""

    result: Result = field(default_factory=Result)
    rest: int = 0
    most: int = 0


def memory(workers: Sequence[int]) -> int:
    """Return the bytes that processes take together: what they share counts once (PSS)."""
    return sum(
        int(Path(f"/proc/{worker}/smaps_rollup").read_text().partition("\nPss:")[2].split()[0]) * 1024
        for worker in workers
    )


@contextmanager
def running(workers: int, pause: float) -> Iterator[tuple[int, list[int]]]:
    """Start a provider and a gateway, and end both; yields the port of the gateway and the ids of its workers."""
    provider_port, port = processes.free_port(), processes.free_port()
    with TemporaryDirectory(prefix="tokenhub-bench-") as folder, ExitStack() as ending:
        config = {
            "providers": [{"name": "fake", "type": "vllm", "base_url": f"http://127.0.0.1:{provider_port}"}],
            "models": [{"id": "fake", "provider": "fake", "context_size": 100_000, "cost_per_1k": 0.001}],
        }
        Path(folder, "config.json").write_bytes(orjson.dumps(config))
        environment = {
            "PATH": os.environ["PATH"],
            "TOKENHUB_ENV_FILE": "",
            "TOKENHUB_DATA_DIR": folder,
            "TOKENHUB_ENCRYPTION_KEY": generate_key(),
            "TOKENHUB_DRAIN_SECONDS": "1",
            "WEB_CONCURRENCY": str(workers),
        }
        log = Path(folder, "log")

        def start(*words: str) -> subprocess.Popen[bytes]:
            return processes.start([sys.executable, "-m", *words], processes.CORES, environment, log, ending)

        start("bench.slow_provider", str(provider_port), str(EVENTS), str(pause))
        where = ("--host", "127.0.0.1", "--port", str(port))
        gateway = start("tokenhub_site.cli", "-config", f"{folder}/config.json", *where)
        processes.await_answer(f"http://127.0.0.1:{port}/health/ready", gateway, log)
        yield port, processes.children(gateway.pid)


async def streams(port: int, workers: Sequence[int], number: int, rate: float, seconds: float) -> Seen:
    """Ask for so many streams, `rate` a second, wait for their ends for `seconds`, and return what came of them."""
    loop = asyncio.get_running_loop()
    seen = Seen()
    await asyncio.gather(*(_stream(port, "hurry", Result()) for _ in range(20 * len(workers))))  # all code is loaded
    seen.rest = memory(workers)
    began = time.perf_counter()
    opening: list[asyncio.Task[None]] = []
    while len(opening) < number:
        due = min(number, math.ceil((time.perf_counter() - began) * rate))
        opening += [loop.create_task(_stream(port, "slowly", seen.result)) for _ in range(due - len(opening))]
        await asyncio.sleep(0.02)
    waiting = asyncio.gather(*opening)
    while not waiting.done() and time.perf_counter() - began < seconds:
        seen.most = max(seen.most, memory(workers))
        await asyncio.sleep(_LOOK_SECONDS)
    waiting.cancel()
    seen.result.seconds = time.perf_counter() - began
    return seen


async def _stream(port: int, manner: str, result: Result) -> None:
    """Ask for one stream, and take it to its end."""
    body = orjson.dumps({"model": "fake", "stream": True, "messages": [{"role": "user", "content": manner}]})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    loop = asyncio.get_running_loop()
    try:
        channel, caller = await loop.create_connection(lambda: Caller(request, result, 0.0, 1), "127.0.0.1", port)
    except OSError:
        result.failed += 1
        return
    await caller.over
    channel.close()


def report(seen: Seen, number: int) -> str:
    """Return the figures as lines of text."""
    whole, first = len(seen.result.whole_ms), seen.result.first_ms
    cuts = quantiles(first, n=100) if whole > 1 else [math.nan] * 99
    return "\n".join(
        (
            f"complete: {whole}/{number}",
            f"a stream: {(seen.most - seen.rest) / number / 1000:.1f} kB",
            f"all workers: {seen.most / 1e6:.0f} MB, of which at rest {seen.rest / 1e6:.0f} MB",
            f"to the first byte: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms",
            f"took: {seen.result.seconds:.0f} s\n",
        )
    )


def main() -> None:
    """Measure, print, and end with 1 where a stream did not complete."""
    parser = argparse.ArgumentParser(prog="bench.slow_streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=float, default=200.0, help="streams that are opened in a second")
    parser.add_argument("--seconds", type=float, default=15.0, help="that all of them are open together")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # an exception, so that children end too
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lasts = given.streams / given.rate + given.seconds
    with running(given.workers, lasts / EVENTS) as (port, workers):
        seen = asyncio.run(streams(port, workers, given.streams, given.rate, 3 * lasts))
    sys.stdout.write(report(seen, given.streams))
    sys.exit(len(seen.result.whole_ms) != given.streams)


if __name__ == "__main__":
    main()
