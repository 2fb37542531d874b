"""A gateway that runs as a process of its own for a few tests, and must leave nothing behind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.server import Gateway, model, wait_for

# a stream that hangs fails its test within seconds
_STOP_SOON = {"TOKENHUB_DRAIN_SECONDS": "5", "TOKENHUB_GRACEFUL_TIMEOUT": "8"}


@contextmanager
def running_gateway(config: Mapping[str, Any], **environment: str) -> Iterator[Gateway]:
    """Start a gateway in a folder and with a key of its own, wait until it is ready, and stop it in the end.

    AssertionError when it does not become ready, ends in disorder, leaves a worker behind or has logged its key.
    """
    with (
        TemporaryDirectory(prefix="tokenhub-") as folder,
        Gateway(Path(folder), config, **(_STOP_SOON | environment)) as gateway,
    ):
        ready = wait_for(lambda: gateway.session.get(f"{gateway.url}/health/ready", timeout=5).ok, 10)
        assert ready, f"the gateway did not become ready:\n{gateway.log}"
        yield gateway
        workers = _children(gateway.pid)
        assert gateway.stop() == 0, f"the gateway ended in disorder:\n{gateway.log}"
        assert [worker for worker in workers if worker.exists()] == [], "a worker outlived its gateway"
        assert gateway.environment["TOKENHUB_ENCRYPTION_KEY"] not in gateway.log


def config_of(models: Mapping[str, str], **provider: Any) -> dict[str, Any]:
    """Return a configuration of models by their id, the most preferred first, each with the URL of its provider.

    Further fields hold for every provider: a `type`, a timeout.
    """
    urls = list(dict.fromkeys(models.values()))
    names = {url: f"provider-{number}" for number, url in enumerate(urls, 1)}
    return {
        "providers": [{"name": names[url], "type": "vllm", "base_url": url} | provider for url in urls],
        "models": [
            model(model_id, names[url], weight=100 - rank) for rank, (model_id, url) in enumerate(models.items())
        ],
    }


def _children(pid: int) -> list[Path]:
    """Return where the system keeps what it knows of a process's children, while they live."""
    return [Path("/proc", child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
