"""The processes of a measurement: the gateway on one core, the fake provider and the load on another."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import orjson

from bench.load import Result
from vault.crypto import generate_key

ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE, OTHER_CORE = CORES[0], CORES[-1]
_START_SECONDS = 30.0
_END_SECONDS = 15.0
_NEWS_SECONDS = 2.0  # after which every worker has heard of what changed


@dataclass(frozen=True)
class Stack:
    """A running gateway (`url`) before a running provider (`direct`); `worker` is the process id of its one worker.

    `ready_seconds` passed between the command and the first time that the gateway said it was ready.
    """

    url: str
    direct: str
    worker: int
    ready_seconds: float
    environment: Mapping[str, str]

    def key(self, *arguments: str) -> str:
        """Return a client's key with these arguments of `createkey`, when the gateway asks for one."""
        command = [sys.executable, "manage.py", "createkey", "--name", "bench", *arguments]
        made = subprocess.run(command, cwd=ROOT, env=dict(self.environment), capture_output=True, text=True, check=True)
        time.sleep(_NEWS_SECONDS)
        return made.stdout.strip()

    def cpu_seconds(self) -> float:
        """Return the CPU time that the worker has used."""
        times = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, kind: Literal["VmRSS", "VmHWM"]) -> float:
        """Return the worker's resident memory: now (`VmRSS`), or the most that it ever was (`VmHWM`)."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        return int(status.partition(f"{kind}:")[2].split()[0]) * 1024 / 1e6


@contextmanager
def running(pause: float = 0.0, **more: str) -> Iterator[Stack]:
    """
    Start provider and gateway and end both, whatever happens; `pause` in seconds between events of a stream.

    `more` goes into the gateway's environment.
    """
    provider_port, gateway_port = _free_port(), _free_port()
    with TemporaryDirectory(prefix="tokenhub-bench-") as folder, ExitStack() as ending:
        Path(folder, "config.json").write_bytes(orjson.dumps(_config(provider_port)))
        environment = _environment(folder) | more
        provider = [sys.executable, "-m", "bench.provider", str(provider_port), str(pause)]
        _start(provider, OTHER_CORE, environment, ending)
        command = [sys.executable, "-m", "tokenhub_site.cli", "-config", f"{folder}/config.json"]
        began = time.perf_counter()
        gateway = _start(
            [*command, "--host", "127.0.0.1", "--port", str(gateway_port)], GATEWAY_CORE, environment, ending
        )
        url = f"http://127.0.0.1:{gateway_port}"
        _await(f"{url}/health/ready", gateway)
        ready = time.perf_counter() - began
        worker = int(Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()[0])
        chat = "/v1/chat/completions"
        yield Stack(f"{url}{chat}", f"http://127.0.0.1:{provider_port}{chat}", worker, ready, environment)


def _config(provider_port: int) -> dict[str, object]:
    """Return a gateway's configuration: a model of the fake provider, and one that it answers by itself."""
    return {
        "providers": [
            {"name": "fake", "type": "vllm", "base_url": f"http://127.0.0.1:{provider_port}"},
            {"name": "echo", "type": "echo"},
        ],
        "models": [
            {"id": "fake", "provider": "fake", "weight": 90, "context_size": 1_000_000, "cost_per_1k": 0.001},
            {"id": "echo", "provider": "echo", "context_size": 1_000_000},
        ],
    }


def load(url: str, body: object, *, connections: int, seconds: float, requests: int = 0, key: str = "") -> Result:
    """Run the load in a process of its own, beside the provider, and return what it saw."""
    words = [url, orjson.dumps(body).decode(), str(connections), str(seconds), str(requests), key]
    process = subprocess.run(
        [*_pinned(OTHER_CORE), sys.executable, "-m", "bench.load", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=seconds + 120,
        check=True,
    )
    result = Result(**orjson.loads(process.stdout))
    if not result.whole_ms:
        message = f"not one of {result.failed} requests to {url} was answered"
        raise RuntimeError(message)
    return result


def _environment(folder: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "TOKENHUB_ENV_FILE": "",
        "TOKENHUB_DATA_DIR": folder,
        "TOKENHUB_ENCRYPTION_KEY": generate_key(),
        "TOKENHUB_DRAIN_SECONDS": "1",  # whatever is open when a measurement breaks off is of no use to anybody
        "WEB_CONCURRENCY": "1",
    }


def _start(
    command: Sequence[str], core: int, environment: dict[str, str], ending: ExitStack
) -> subprocess.Popen[bytes]:
    """Start a process on a core, to be ended with the others."""
    with Path(environment["TOKENHUB_DATA_DIR"], "log").open("ab") as log:
        process = subprocess.Popen([*_pinned(core), *command], cwd=ROOT, env=environment, stdout=log, stderr=log)
    ending.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pinned(core: int) -> list[str]:
    pin = f"import os, sys; os.sched_setaffinity(0, [{core}]); os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", pin]


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            with build_opener(ProxyHandler({})).open(url, timeout=5):
                return
        except (URLError, ConnectionError):
            time.sleep(0.02)
    message = "the gateway did not start"
    raise RuntimeError(message)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
