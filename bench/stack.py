"""TokenHub as the benchmark starts it: accounts on, one client key, its default log, one worker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import orjson

from bench import gateways, processes
from bench.gateways import Gateway, Route, Running
from vault.crypto import generate_key

ROOT: Final = processes.ROOT
_NEWS_SECONDS: Final = 2.0  # after which every worker has heard of what changed
_CONTEXT: Final = 100_000_000
_CONFIG: Final[dict[str, list[dict[str, object]]]] = {
    "providers": [
        {"name": "fake", "type": "vllm", "base_url": "$provider"},
        {"name": "claude", "type": "anthropic", "base_url": "$provider", "api_key_env": "BENCH_PROVIDER_KEY"},
        {"name": "echo", "type": "echo"},
    ],
    "models": [
        {"id": "fake", "provider": "fake", "weight": 90, "context_size": _CONTEXT, "cost_per_1k": 0.001},
        {"id": "claude", "provider": "claude", "weight": 80, "context_size": _CONTEXT, "cost_per_1k": 0.001},
        {"id": "echo", "provider": "echo", "context_size": _CONTEXT},
    ],
}


def created_key(environment: Mapping[str, str], *arguments: str) -> dict[str, str]:
    """Return the headers of a client whose key is made with these arguments of `createkey`, and is known by now."""
    command = [sys.executable, "manage.py", "createkey", "--name", "bench", *arguments]
    made = subprocess.run(command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=True)
    time.sleep(_NEWS_SECONDS)
    return {"Authorization": f"Bearer {made.stdout.strip()}"}


def tokenhub(models: int = 0) -> Gateway:
    """Return TokenHub's row, with so many models of the fake provider beside those that are asked."""
    others = [
        {"id": f"other-{number}", "provider": "fake", "weight": 10, "context_size": _CONTEXT, "cost_per_1k": 0.001}
        for number in range(models)
    ]
    config = {"providers": _CONFIG["providers"], "models": _CONFIG["models"] + others}
    return Gateway(
        files={"config.json": orjson.dumps(config).decode()},
        environment={
            "TOKENHUB_ENV_FILE": "",
            "TOKENHUB_DATA_DIR": "$folder",
            "TOKENHUB_ENCRYPTION_KEY": generate_key(),
            "TOKENHUB_DRAIN_SECONDS": "1",  # whatever is open when a measurement breaks off is of no use to anybody
            "WEB_CONCURRENCY": "1",
            "BENCH_PROVIDER_KEY": "sk-x",
        },
        command=(
            *("$python", "-m", "tokenhub_site.cli", "-config", "$folder/config.json"),
            *("--host", "127.0.0.1", "--port", "$port"),
        ),
        ready="/health/ready",
        routes={
            ("openai", "openai"): Route("/v1/chat/completions", "fake"),
            ("openai", "anthropic"): Route("/v1/chat/completions", "claude"),
            ("anthropic", "openai"): Route("/v1/messages", "fake"),
            ("anthropic", "anthropic"): Route("/v1/messages", "claude"),
        },
        credentials=created_key,
    )


@contextmanager
def running(**more: str) -> Iterator[Running]:
    """Start TokenHub without a key, with `more` in its environment, and end it."""
    gateway = replace(tokenhub(), credentials=lambda _: {})
    with gateways.running("tokenhub", gateway, more=more) as hub:
        yield hub
