"""Where it is switched on, providers are asked for their models: who answers is called again, who does not is left."""

from pathlib import Path

from gateway import probing
from gateway.adapters.transport import Transport
from gateway.cooldown import Cooldowns
from gateway.errors import RateLimited, Unreachable
from registry.board import Board
from registry.models import ProviderType
from registry.snapshot import Snapshot
from tests.clock import Clock
from tests.facts import model_facts, provider_facts
from tests.gateway.cooling import Silent
from tests.scripted import ScriptedProvider
from tests.scripted_openai import error
from tests.server import Gateway, free_port, model, wait_for
from vault.crypto import Hidden

DOWN = [Unreachable("down")] * 3


def test_it_works(provider: ScriptedProvider) -> None:
    cooling = Cooldowns(Board(Clock(), Silent()))
    at = {"base_url": provider.url, "may_be_private": True, "key": Hidden("sk-canary-key")}
    for kind, header in ((ProviderType.OPENAI, "authorization"), (ProviderType.ANTHROPIC, "x-api-key")):
        back = model_facts(provider=provider_facts(type=kind, **at))
        limited = model_facts(id="limited", provider=back.provider)
        for failure in DOWN:
            cooling.failed(cooling.unasked(back), failure)
        cooling.failed(cooling.unasked(limited), RateLimited("slow down", retry_after=60))
        probing.probe(Snapshot(1, (back, limited)), Transport(), cooling)
        asked = provider.requests[-1]
        assert (asked.method, asked.path, asked.body) == ("GET", "/v1/models", b"")
        assert "sk-canary-key" in asked.header(header)
        assert cooling.state(back) is None
        assert cooling.state(limited) is not None, "a provider that is there may still ask for a pause"
    assert len(provider.requests) == 2


def test_who_does_not_answer_is_left(provider: ScriptedProvider) -> None:
    cooling = Cooldowns(Board(Clock(), Silent()))
    gone = provider_facts(pk=3, type=ProviderType.VLLM, base_url=f"http://127.0.0.1:{free_port()}", may_be_private=True)
    broken = provider_facts(pk=2, name="b", type=ProviderType.VLLM, base_url=provider.url, may_be_private=True)
    models = (model_facts(provider=gone), model_facts(id="n", provider=broken), model_facts(id="echo"))
    provider.default = error(500, "broken")
    for _ in range(3):
        probing.probe(Snapshot(1, models), Transport(), cooling)
    assert [cooling.state(each) is not None for each in models] == [True, True, False]


def test_a_refusal_shows_that_somebody_is_there(provider: ScriptedProvider) -> None:
    cooling = Cooldowns(Board(Clock(), Silent()))
    there = provider_facts(type=ProviderType.VLLM, base_url=provider.url, may_be_private=True)
    back = model_facts(provider=there)
    for failure in DOWN:
        cooling.failed(cooling.unasked(back), failure)
    provider.default = error(404, "no such page")
    probing.probe(Snapshot(1, (back,)), Transport(), cooling)
    assert cooling.state(back) is None


def test_a_worker_asks_where_it_is_switched_on(provider: ScriptedProvider, tmp_path: Path) -> None:
    config = {"providers": [{"name": "p", "type": "vllm", "base_url": provider.url}], "models": [model("m", "p")]}
    with Gateway(tmp_path, config, TOKENHUB_PROBE_SECONDS="0.1"):
        assert wait_for(lambda: len(provider.requests) > 2)
    assert {request.path for request in provider.requests} == {"/v1/models"}
