"""Fixtures that more than one room's tests use."""

from collections.abc import Iterator
from pathlib import Path

import openai
import orjson
import pytest

from accounts import ledger as ledger_module
from accounts import picture
from accounts.ledger import Ledger, ledger
from gateway.cooldown import Cooldowns, cooldowns
from registry.board import Board, board
from registry.snapshot import Keeper, keeper
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import like_anthropic
from tests.server import ROOT, Gateway, model


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
    settings = {"TOKENHUB_BODY_SECONDS": "2", "TOKENHUB_MAX_BODY_BYTES": "1000000"}
    with Gateway(folder, config, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def anthropic() -> Iterator[ScriptedProvider]:
    """A provider that answers like Anthropic until a test tells it otherwise."""
    with ScriptedProvider(like_anthropic) as running:
        yield running


@pytest.fixture(scope="module")
def trio(
    provider: ScriptedProvider,
    anthropic: ScriptedProvider,
    other: ScriptedProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A running gateway with the three providers of the example configuration: `gpt-4`, `claude-2`, `llama-local`."""
    config = orjson.loads((ROOT / "fixtures/config/multi-provider.json").read_bytes())
    urls = {"openai": provider.url, "anthropic": anthropic.url, "vllm-local": other.url}
    for row in config["providers"]:
        row |= {"base_url": urls[row["name"]], "first_byte_timeout": 3.0, "idle_timeout": 2.0}
    keys = {"OPENAI_API_KEY": "sk-canary-of-openai", "ANTHROPIC_API_KEY": "sk-ant-canary"}
    with Gateway(tmp_path_factory.mktemp("trio"), config, TOKENHUB_PING_SECONDS="0.1", **keys) as running:
        yield running
    assert [key for key in keys.values() if key in running.log] == []


@pytest.fixture(scope="module")
def sdk(trio: Gateway) -> Iterator[openai.OpenAI]:
    """The official client, which is sent to the gateway of the three providers."""
    with openai.OpenAI(base_url=f"{trio.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def _picture_starts_afresh() -> None:
    """Let no test route on the rows of the one before it, whose transaction took the stamp back as well."""
    Keeper.__init__(keeper)
    picture.Keeper.__init__(picture.keeper)


@pytest.fixture(autouse=True)
def _nothing_waits_to_be_booked() -> Iterator[None]:
    """Let no test book the calls of the one before it, or remember prices whose rows are gone."""
    yield
    ledger_module._price_ids.clear()
    ledger.spool.close()
    Ledger.__init__(ledger)


@pytest.fixture(autouse=True)
def _nothing_cools() -> None:
    """Let no test find a model cooling for what the one before it did."""
    Board.__init__(board)
    Cooldowns.__init__(cooldowns, board)


@pytest.fixture(autouse=True)
def _scripts_start_afresh(request: pytest.FixtureRequest) -> None:
    """Let no test inherit the scripts or the requests of the one before it."""
    for name in ("provider", "other", "anthropic"):
        if name in request.fixturenames:
            running: ScriptedProvider = request.getfixturevalue(name)
            running.start_afresh()
