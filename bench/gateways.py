"""What the benchmark knows of a gateway, its own or another's: how to start it and how to reach the fake provider."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Final, Literal

from bench import processes

Format = Literal["openai", "anthropic"]
PEERS_HOME: Final = processes.ROOT / "var" / "bench" / "peers"


@dataclass(frozen=True)
class Route:
    """Where a request of one format goes so that the provider is asked in another (or the same)."""

    path: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Gateway:
    """A row of the benchmark. In all texts $python, $home, $folder, $port, $provider and $pause are filled in.

    `home` is where it is installed, `folder` a fresh one for a start, `port` its own, `provider` the fake one's URL.
    `routes` are by the client's and the provider's format; what is missing cannot be done. `ready` is a path that
    answers 200 when requests may come. `credentials` makes the headers of a client when the gateway is up.
    """

    command: Sequence[str]
    ready: str
    routes: Mapping[tuple[Format, Format], Route]
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    installed_files: Mapping[str, str] = field(default_factory=dict)
    install: Sequence[Sequence[str]] = ()
    version: Sequence[str] = ()
    credentials: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda _: {}
    core: int = processes.GATEWAY_CORE


@dataclass(frozen=True)
class Running:
    """A gateway that runs before a fake provider; `process` and `provider` are the ids of their first processes.

    `ready_seconds` passed between the command and the first time that the gateway said it was ready.
    """

    url: str
    routes: Mapping[tuple[Format, Format], Route]
    process: int
    provider: int
    ready_seconds: float
    environment: Mapping[str, str]
    headers: Mapping[str, str]

    def cpu_seconds(self) -> float:
        """Return the CPU time that the gateway has used."""
        return processes.cpu_seconds(self.process)


def install(name: str, gateway: Gateway) -> str:
    """Install a peer into its folder, unless it is there, and return its version."""
    home = PEERS_HOME / name
    values = {"home": str(home), "python": sys.executable}
    if not (home / ".installed").exists():
        home.mkdir(parents=True, exist_ok=True)
        for file, text in gateway.installed_files.items():
            (home / file).write_text(text)
        for command in gateway.install:
            subprocess.run(_filled(command, values), cwd=home, stdout=sys.stderr, check=True)
        (home / ".installed").touch()
    told = subprocess.run(_filled(gateway.version, values), cwd=home, capture_output=True, text=True, check=True)
    return told.stdout.strip()


@contextmanager
def running(
    name: str,
    gateway: Gateway,
    *,
    pause: float = 0.0,
    cores: Sequence[int] = (),
    more: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """
    Start provider and gateway and end both, whatever happens; `pause` in seconds between two pieces of a stream.

    The gateway may run on `cores`, or on its one; `more` goes into its environment.
    """
    ports = processes.free_port(), processes.free_port()
    url, provider_url = (f"http://127.0.0.1:{port}" for port in ports)
    with TemporaryDirectory(prefix="tokenhub-bench-") as folder, ExitStack() as ending:
        values = {"home": str(PEERS_HOME / name), "folder": folder, "port": str(ports[0]), "provider": provider_url}
        values |= {"python": sys.executable, "pause": str(pause)}
        environment = {**_prepared(gateway, values), **(more or {})}
        log = Path(folder, "log")
        serving = [sys.executable, "-m", "bench.provider", str(ports[1]), str(pause)]
        provider = processes.start(serving, [processes.OTHER_CORE], environment, log, ending)
        processes.await_answer(provider_url, provider, log)
        began = time.perf_counter()
        command = _filled(gateway.command, values)
        process = processes.start(command, cores or [gateway.core], environment, log, ending)
        processes.await_answer(f"{url}{gateway.ready}", process, log)
        ready = time.perf_counter() - began
        headers = gateway.credentials(environment)
        yield Running(
            url=url,
            routes={formats: _reached(route, values) for formats, route in gateway.routes.items()},
            process=process.pid,
            provider=provider.pid,
            ready_seconds=ready,
            environment=environment,
            headers=headers,
        )


def _prepared(gateway: Gateway, values: Mapping[str, str]) -> dict[str, str]:
    """Write a gateway's files into its fresh folder, and return its environment."""
    for file, text in gateway.files.items():
        Path(values["folder"], file).write_text(Template(text).substitute(values))
    environment = {"PATH": os.environ["PATH"], "HOME": values["folder"]}
    return environment | {key: Template(text).substitute(values) for key, text in gateway.environment.items()}


def _reached(route: Route, values: Mapping[str, str]) -> Route:
    headers = {name: Template(text).substitute(values) for name, text in route.headers.items()}
    return replace(route, headers=headers)


def _filled(texts: Sequence[str], values: Mapping[str, str]) -> list[str]:
    return [Template(text).substitute(values) for text in texts]
