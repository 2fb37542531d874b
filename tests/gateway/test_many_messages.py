"""A conversation of very many messages takes no more than its share of time, and holds nobody else up."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
import pytest
import requests

from gateway import beside
from gateway.conversation import Conversation, Text, Turn
from gateway.exchange import Policy, Request
from gateway.wire import anthropic, chat, messages, openai, responses, responses_relay
from gateway.wire.turns import merged
from tests.server import Gateway

MANY = 40_000
SAYS = {"user": "user", "assistant": "assistant", "system": "user"}
READERS: Mapping[str, tuple[str, Callable[[bytes, Mapping[str, Any]], Request]]] = {
    "chat": ("messages", lambda raw, body: openai.read_chat(raw, body, Policy())),
    "messages": ("messages", lambda raw, body: messages.read_message(raw, body, Policy(), {})),
    "responses": ("input", lambda raw, body: responses_relay.read_request(raw, body, Policy())),
}
WRITERS: Iterable[Callable[[Conversation], object]] = (
    lambda said: chat.write_conversation(said, model="m", stream=False),
    lambda said: anthropic.write_conversation(said, model="m", stream=False, max_tokens=5),
    lambda said: responses.write_conversation(said, model="m", stream=False),
)


def test_it_works() -> None:
    """Neighbours of one side are one turn."""
    turn = Turn("user", (Text("a"),))
    told = [turn, turn, Turn("user", ()), Turn("assistant", ()), turn, Turn("assistant", (Text("b"),)), turn]
    assert [(each.role, len(each.blocks)) for each in merged(told)] == [("user", 3), ("assistant", 1), ("user", 1)]
    assert len(merged([turn] * 100_000)[0].blocks) == 100_000


@pytest.mark.parametrize("role", SAYS)
@pytest.mark.parametrize("form", READERS)
def test_every_reader_and_writer(form: str, role: str) -> None:
    field, read = READERS[form]
    body = {"max_tokens": 5, field: [{"role": role, "content": "a"}] * MANY + [{"role": "user", "content": "b"}]}
    raw = orjson.dumps(body)
    asked = read(raw, body)
    conversation = asked.conversation.get()
    assert sum(len(turn.blocks) for turn in conversation.turns) + len(conversation.system) == MANY + 1
    for write in WRITERS:
        assert len(orjson.dumps(write(conversation))) > MANY


def test_what_is_large() -> None:
    """Many small things take longer than one large one."""
    short = orjson.dumps({"messages": [{"role": "user", "content": "a" * 100_000}]})
    assert not beside.is_large(short)
    assert beside.is_large(orjson.dumps({"messages": [{"role": "user", "content": "a" * 1_000_000}]}))
    assert beside.is_large(orjson.dumps({"messages": [{"role": "user", "content": "a"}] * 1_000}))


def test_others_are_answered_meanwhile(gateway: Gateway) -> None:
    """While conversations of 10,000 messages are read, one after the other, probes are answered."""
    raw = orjson.dumps({"model": "echo-1", "messages": [{"role": "user", "content": "a"}] * 10_000})
    ended: list[int] = []

    def ask() -> None:
        url = f"{gateway.url}/v1/chat/completions"
        ended.extend(requests.post(url, data=raw, timeout=30).status_code for _ in range(5))

    asking = threading.Thread(target=ask)
    asking.start()
    meanwhile = 0
    while asking.is_alive():
        meanwhile += requests.get(f"{gateway.url}/health/live", timeout=30).ok
    assert ended == [200] * 5
    assert meanwhile > 10
