"""What a large body takes to be understood and written is done beside the hub, and once."""

from typing import Any

import orjson
import pytest

from gateway import attempt
from gateway.adapters.anthropic import AnthropicAdapter
from gateway.adapters.transport import Transport
from gateway.cooldown import cooldowns
from gateway.exchange import Attempt, Policy, Request
from gateway.patience import Patience
from gateway.wire import openai
from registry import threads
from registry.models import ProviderType
from tests.facts import model_facts, provider_facts
from tests.scripted import ScriptedProvider
from vault.crypto import Hidden


def chat(words: int, **more: Any) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "word " * words}], **more}
    return openai.read_chat(orjson.dumps(body), body, Policy())


def run(asked: Request, anthropic: ScriptedProvider) -> Attempt:
    facts = provider_facts(
        type=ProviderType.ANTHROPIC, base_url=anthropic.url, may_be_private=True, key=Hidden("sk-ant-canary")
    )
    model = model_facts(provider=facts, context_size=10**7)
    permit = cooldowns.begin(model)
    assert permit
    record, transport = Attempt("m", "anth"), Transport()
    told = list(attempt.run(asked, permit, Patience(10), transport=transport, record=record))
    transport.close()
    assert b"Hello" in told[0].raw
    return record


def test_it_works(anthropic: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[str] = []

    def note(_: threads.Pool, function: Any, *args: Any) -> Any:
        beside.append(function.__name__)
        return function(*args)

    monkeypatch.setattr(threads.Pool, "run", note)
    assert run(chat(10, seed=1), anthropic).dropped == ("seed",)
    assert beside == []
    assert run(chat(200_000, seed=1), anthropic).dropped == ("seed",)
    assert beside == ["dropped", "outgoing"]


def test_a_body_is_written_once_for_a_row_that_refuses_fields() -> None:
    facts = provider_facts(
        type=ProviderType.ANTHROPIC, base_url="http://x", key=Hidden("k"), unsupported=("temperature", "top_p")
    )
    adapter, model, asked = AnthropicAdapter(), model_facts(provider=facts), chat(10, temperature=0.5)
    assert adapter.dropped(asked, model) == ("temperature",)
    (written,) = (body for key, body in asked.conversation._derived.items() if isinstance(key, tuple))
    written["seen"] = True
    assert orjson.loads(adapter.outgoing(asked, model).body)["seen"] is True
