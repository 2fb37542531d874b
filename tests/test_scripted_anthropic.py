"""A scripted provider speaks Anthropic's language well enough for the official SDK, and refuses as Anthropic does."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error, like_anthropic, message, too_long
from tests.scripted_openai import ToolCall
from tests.scripted_script import Tokens

ASKED: dict[str, Any] = {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    """A provider that answers like Anthropic until it is told otherwise."""
    with ScriptedProvider(like_anthropic) as running:
        yield running


@pytest.fixture
def client(provider: ScriptedProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=provider.url, api_key="sk-1", max_retries=0, timeout=5) as client:
        yield client


def test_it_works(client: anthropic.Anthropic, provider: ScriptedProvider) -> None:
    whole = client.messages.create(**ASKED)
    assert [block.text for block in whole.content if block.type == "text"] == ["Hello from here"]
    assert (whole.model, whole.stop_reason) == ("any", "end_turn")
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (7, 3)
    assert provider.counted == Tokens(7, 3)


def test_a_stream(client: anthropic.Anthropic, provider: ScriptedProvider) -> None:
    told, calls = Tokens(100, 9, cached=60), [ToolCall("weather", '{"town": "Ulm"}')]
    provider.play(message(["Let", " me"], thinking="Hm.", tool_calls=calls, usage=told, cache_write=30))
    with client.messages.stream(**ASKED) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use"]
    assert final.stop_reason == "tool_use"
    usage = final.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 60, 30)
    assert usage.output_tokens == 9
    assert provider.counted == told


def test_errors(client: anthropic.Anthropic, provider: ScriptedProvider) -> None:
    provider.play(error("overloaded_error"), too_long())
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(**ASKED)
    assert raised.value.status_code == 529
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: 210000 tokens > 200000 maximum"):
        client.messages.create(**ASKED)


def test_an_error_within_a_stream(client: anthropic.Anthropic, provider: ScriptedProvider) -> None:
    provider.play(message(["one"], fails_with="overloaded_error"))
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(client.messages.create(**ASKED, stream=True))


def test_what_it_refuses(provider: ScriptedProvider) -> None:
    def status(path: str = "/v1/messages", **headers: str) -> int:
        return requests.post(f"{provider.url}{path}", json={}, headers=headers, timeout=5).status_code

    assert status() == 401
    assert status(**{"x-api-key": "sk-1"}) == 400
    assert status(**{"x-api-key": "sk-1", "anthropic-version": "2023-06-01"}) == 400
    assert status("/v1/chat/completions") == 404
