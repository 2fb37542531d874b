"""What grows with what: the cost of a request with models and with keys, and requests a second with workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench import gateways, processes
from bench.scenarios import chat
from bench.stack import created_key, tokenhub

_CONNECTIONS: Final = 32
_WARM_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Size:
    """A gateway with so many models and client keys."""

    models: int = 10
    keys: int = 1

    @property
    def name(self) -> str:
        """Return what a table calls it."""
        return f"{self.models:,} models, {self.keys:,} {'key' if self.keys == 1 else 'keys'}"


SIZES: Final = (Size(), Size(models=100), Size(models=1_000), Size(keys=100), Size(keys=10_000))
QUICK: Final = (Size(keys=3),)
WORKERS: Final = (1, 2)


def measured(size: Size, seconds: float) -> Iterator[tuple[str, float]]:
    """Yield what a request costs in a gateway of that size."""

    def credentials(environment: Mapping[str, str]) -> Mapping[str, str]:
        command = [sys.executable, "-m", "bench.many_keys", str(size.keys - 1)]
        settings = {"DJANGO_SETTINGS_MODULE": "tokenhub_site.settings"}
        subprocess.run(command, cwd=processes.ROOT, env={**environment, **settings}, check=True)
        return created_key(environment)

    gateway = replace(tokenhub(size.models - 3), credentials=credentials)  # three are in every configuration
    with gateways.running("tokenhub", gateway) as hub:
        _load(hub, _CONNECTIONS, min(_WARM_SECONDS, seconds))
        before = hub.cpu_seconds()
        _, answers, failed = _load(hub, _CONNECTIONS, seconds)
        used = hub.cpu_seconds() - before
        yield f"{size.name}: CPU ms a request", used * 1000 / answers
        yield f"{size.name}: memory, MB", processes.memory_mb(hub.process, "VmRSS")
        yield f"{size.name}: failed", float(failed)


def by_workers(workers: int, seconds: float) -> Iterator[tuple[str, float]]:
    """Yield how many requests a second so many workers answer on all cores but the last, or on both of two.

    With two cores a worker shares one with provider and load, so two workers cannot be twice as fast as one.
    """
    cores = processes.CORES[:-1] if len(processes.CORES) > 2 else processes.CORES
    name = f"{workers} {'worker' if workers == 1 else 'workers'} on {len(cores)} cores"
    with gateways.running("tokenhub", tokenhub(), cores=cores, more={"WEB_CONCURRENCY": str(workers)}) as hub:
        _load(hub, 2 * _CONNECTIONS, min(_WARM_SECONDS, seconds))
        took, answers, failed = _load(hub, 2 * _CONNECTIONS, seconds)
        yield f"{name}: requests/s", answers / took
        yield f"{name}: failed", float(failed)


def _load(hub: gateways.Running, connections: int, seconds: float) -> tuple[float, int, int]:
    """Return how long it took, and how many requests were answered well and how many were not."""
    route = hub.routes["openai", "openai"]
    seen = processes.load(
        f"{hub.url}{route.path}", chat(route.model), connections=connections, seconds=seconds, headers=hub.headers
    )
    return seen.seconds, len(seen.whole_ms), seen.failed
