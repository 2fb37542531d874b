"""What a request costs in queries and in parsing, which no machine's mood can blur."""

import json
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from accounts import picture
from registry.polling import Poll
from registry.snapshot import keeper
from tests.accounts.rows import a_key
from tests.registry.rows import a_model, a_provider
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream, error

pytestmark = pytest.mark.django_db

MARK = "only-in-the-prompt"
CHAT = {"model": "best", "temperature": 0.5, "messages": [{"role": "user", "content": MARK}]}


@pytest.fixture
def ask(
    provider: ScriptedProvider, other: ScriptedProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[str]]]:
    """What asks the gateway in this process with a key, and returns the status and the queries that were made."""
    settings.TOKENHUB_PRIVATE_UPSTREAMS = [f"127.0.0.1:{each.port}" for each in (provider, other)]
    for name, running, weight in (("best", provider, 90), ("next", other, 80)):
        at = a_provider(name, type="vllm", base_url=running.url)
        a_model(name, at, weight=weight, capabilities=["chat", "streaming"])
    a_model("claude", a_provider("claude", type="anthropic", base_url="http://127.0.0.1:9"))
    _, token = a_key()
    keeper.refresh()
    picture.keeper.refresh()
    monkeypatch.setattr(Poll, "is_running", True)  # as in a worker, where a thread looks at the database

    def asked(**fields: Any) -> tuple[int, list[str]]:
        with CaptureQueriesContext(connection) as made:
            answer = Client().post(
                "/v1/chat/completions",
                json.dumps(CHAT | fields),
                content_type="application/json",
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.getvalue()
            answer.close()
        return answer.status_code, [query["sql"] for query in made]

    return asked


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """What orjson reads and writes for the gateway while a test runs; providers have threads of their own."""
    seen: list[tuple[str, bytes]] = []
    here, loads, dumps = threading.get_ident(), orjson.loads, orjson.dumps

    def note(how: str, raw: Any) -> None:
        if threading.get_ident() == here:
            seen.append((how, raw.encode() if isinstance(raw, str) else bytes(raw)))

    def reading(raw: Any) -> Any:
        note("read", raw)
        return loads(raw)

    def writing(*args: Any, **kwargs: Any) -> bytes:
        written = dumps(*args, **kwargs)
        note("written", written)
        return written

    monkeypatch.setattr(orjson, "loads", reading)
    monkeypatch.setattr(orjson, "dumps", writing)
    return seen


def of_prompt(seen: list[tuple[str, bytes]], how: str) -> int:
    """How often the prompt was read or written."""
    return sum(MARK.encode() in raw for done, raw in seen if done == how)


def test_it_works(ask: Callable[..., tuple[int, list[str]]], parsed: list[tuple[str, bytes]]) -> None:
    assert ask() == (200, [])
    assert (of_prompt(parsed, "read"), of_prompt(parsed, "written")) == (1, 1)


def test_another_provider_costs_no_further_parsing(
    ask: Callable[..., tuple[int, list[str]]],
    parsed: list[tuple[str, bytes]],
    provider: ScriptedProvider,
    other: ScriptedProvider,
) -> None:
    provider.play(error(500, "down"))
    assert ask() == (200, [])
    assert (len(provider.requests), len(other.requests)) == (1, 1)
    assert (of_prompt(parsed, "read"), of_prompt(parsed, "written")) == (1, 1)


def test_a_stream_is_passed_on_with_few_of_its_events_read(
    ask: Callable[..., tuple[int, list[str]]], parsed: list[tuple[str, bytes]], provider: ScriptedProvider
) -> None:
    provider.play(chat_stream(["word "] * 100))
    assert ask(stream=True) == (200, [])
    events = [raw for done, raw in parsed if done == "read" and b"chat.completion.chunk" in raw]
    assert 1 <= len(events) <= 4  # until the first content, the one that ends it and the one with the usage
