"""Who is measured: the fake provider itself, TokenHub, bare Django, and the peers that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench import processes
from bench.gateways import Gateway, Route
from bench.peers import PEERS
from bench.stack import tokenhub

DIRECT, TOKENHUB, DJANGO = "direct", "tokenhub", "django"
_CHAT: Final = Route("/v1/chat/completions", "fake")
_DIRECT: Final = Gateway(
    command=("$python", "-m", "bench.provider", "$port", "$pause"),
    ready="/",
    routes={("openai", "openai"): _CHAT},
    core=processes.OTHER_CORE,
)
_DJANGO: Final = Gateway(
    command=(
        *("$python", "-m", "gunicorn", "bench.bare_django:application", "--bind", "127.0.0.1:$port"),
        *("--worker-class", "gevent", "--workers", "1"),
    ),
    environment={"BENCH_PROVIDER": "$provider"},
    ready="/ready",
    routes={("openai", "openai"): _CHAT},
)


def rows(peers: Sequence[str]) -> dict[str, Gateway]:
    """Return what is measured, in the order of the report: the baselines, TokenHub, and these peers."""
    return {DIRECT: _DIRECT, DJANGO: _DJANGO, TOKENHUB: tokenhub()} | {name: PEERS[name] for name in peers}


def chosen(text: str) -> list[str]:
    """Return the names of peers in a comma-separated list, or of all; raises `ValueError` for one that is unknown."""
    names = list(PEERS) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in PEERS]:
        message = f"no such peer: {', '.join(unknown)} (there are {', '.join(PEERS)})"
        raise ValueError(message)
    return names
