"""The processes of a measurement, each on cores of its own: started, waited for, counted, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Literal
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import orjson

from bench.load import Job, Result

ROOT: Final = Path(__file__).resolve().parent.parent
CORES: Final = sorted(os.sched_getaffinity(0))
GATEWAY_CORE, OTHER_CORE = CORES[0], CORES[-1]
_START_SECONDS: Final = 120.0
_END_SECONDS: Final = 15.0
_GONE: Final = (FileNotFoundError, ProcessLookupError)  # a process or a thread that ended meanwhile
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def start(
    command: Sequence[str], cores: Sequence[int], environment: Mapping[str, str], log: Path, ending: ExitStack
) -> subprocess.Popen[bytes]:
    """Start a process on these cores, to be ended with the others."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_pinned(cores), *command], cwd=ROOT, env=dict(environment), stdout=output, stderr=output
        )
    ending.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pinned(cores: Sequence[int]) -> list[str]:
    pin = f"import os, sys; os.sched_setaffinity(0, {list(cores)}); os.execvp(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", pin]


def await_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a GET is answered with 200; raises `RuntimeError` with the end of the log when it never is."""
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            with build_opener(ProxyHandler({})).open(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.02)
    message = f"nothing answered at {url}:\n{log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def children(process: int) -> list[int]:
    """Return the process ids of a process's children, oldest first."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(*_GONE):
            found.extend(map(int, (task / "children").read_text().split()))
    return found


def tree(process: int) -> Iterator[int]:
    """Yield a process's id, and those of all below it."""
    yield process
    with suppress(*_GONE):
        for child in children(process):
            yield from tree(child)


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process and all below it have used; what has ended is not in it."""
    times = (stat.rpartition(")")[2].split() for stat in _files(process, "stat"))
    return sum(int(each[11]) + int(each[12]) for each in times) / _TICKS


def memory_mb(process: int, kind: Literal["VmRSS", "VmHWM"]) -> float:
    """Return the resident memory of the largest process of a tree: now (`VmRSS`), or at most ever (`VmHWM`)."""
    told = (status.partition(f"{kind}:")[2].split() for status in _files(process, "status"))
    return max(int(words[0]) for words in told if words) * 1024 / 1e6


def _files(process: int, name: str) -> Iterator[str]:
    """Yield what the kernel's files of that name say of each process of a tree that is still there."""
    for each in tree(process):
        with suppress(*_GONE):
            yield Path(f"/proc/{each}/{name}").read_text()


def load(
    url: str,
    body: object,
    *,
    connections: int,
    seconds: float,
    requests: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Result:
    """Run the load (see `bench.load.Job`) in a process of its own, beside the provider, and return what it saw.

    Raises `RuntimeError` when not one request was answered well.
    """
    job = Job(
        url=url,
        headers=dict(headers or {}),
        body=orjson.dumps(body).decode(),
        connections=connections,
        seconds=seconds,
        requests=requests,
    )
    process = subprocess.run(
        [*_pinned([OTHER_CORE]), sys.executable, "-m", "bench.load"],
        cwd=ROOT,
        input=orjson.dumps(job),
        stdout=subprocess.PIPE,
        timeout=seconds + 120,
        check=True,
    )
    result = Result(**orjson.loads(process.stdout))
    if not result.whole_ms:
        message = f"not one of {result.failed} requests to {url} was answered: {result.failure}"
        raise RuntimeError(message)
    return result
