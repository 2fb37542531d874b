"""Fixtures that more than one room's tests use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.snapshot import Keeper, keeper
from tests.scripted import ScriptedProvider
from tests.server import Gateway, model


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    """A provider that answers like OpenAI until a test tells it otherwise."""
    with ScriptedProvider() as running:
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[ScriptedProvider]:
    """A second provider, which the gateway likes less than the first."""
    with ScriptedProvider() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    provider: ScriptedProvider, other: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A running gateway with models at both providers and at the built-in echo."""
    config = {
        "providers": [
            {"name": "first", "type": "openai", "base_url": provider.url, "api_key": "sk-canary-of-first"}
            | {"first_byte_timeout": 2.0, "idle_timeout": 1.0, "total_timeout": 3.0},
            {"name": "second", "type": "vllm", "base_url": f"{other.url}/v1"},
            {"name": "echo", "type": "echo"},
        ],
        "models": [
            model("best", "first", weight=90, name="best-there", aliases=["fast"]),
            model("next", "second", weight=80, context_size=32768),
            model("echo-1", "echo", weight=10, cost_per_1k=0, context_size=100_000),
        ],
    }
    folder: Path = tmp_path_factory.mktemp("gateway")
    with Gateway(folder, config, TOKENHUB_BODY_SECONDS="2", TOKENHUB_MAX_BODY_BYTES="1000000") as running:
        yield running


@pytest.fixture(autouse=True)
def _picture_starts_afresh() -> None:
    """Let no test route on the rows of the one before it, whose transaction took the stamp back as well."""
    Keeper.__init__(keeper)


@pytest.fixture(autouse=True)
def _scripts_start_afresh(request: pytest.FixtureRequest) -> None:
    """Let no test inherit the scripts or the requests of the one before it."""
    for name in ("provider", "other"):
        if name in request.fixturenames:
            running: ScriptedProvider = request.getfixturevalue(name)
            running.start_afresh()
