"""Messages in Anthropic's format: relayed to Anthropic byte for byte, and answered by all others as if they were it."""

from collections.abc import Iterator
from typing import Any

import anthropic as official
import orjson
import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error, message, too_long
from tests.scripted_openai import ToolCall, chat_stream
from tests.scripted_openai import error as openai_error
from tests.scripted_script import Cut, Says, Script, Tokens, raw
from tests.server import Gateway

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
ASKED: dict[str, Any] = {"max_tokens": 100, "messages": HELLO}
TOOL: dict[str, Any] = {
    "name": "weather",
    "description": "of a town",
    "input_schema": {"type": "object", "properties": {"town": {"type": "string"}}},
}
BOTH = pytest.mark.parametrize("name", ["claude-2", "gpt-4", "llama-local"])


@pytest.fixture(scope="module")
def client(trio: Gateway) -> Iterator[official.Anthropic]:
    """Anthropic's official client."""
    with official.Anthropic(base_url=trio.url, api_key="anything", max_retries=0) as running:
        yield running


def ask(gateway: Gateway, *, headers: dict[str, str] | None = None, **body: Any) -> requests.Response:
    told = {"model": "claude-2", **ASKED, **body}
    stream = bool(told.get("stream"))
    return requests.post(f"{gateway.url}/v1/messages", json=told, headers=headers, stream=stream, timeout=30)


@BOTH
def test_it_works(client: official.Anthropic, name: str) -> None:
    answer = client.messages.create(model=name, **ASKED)
    assert [block.type for block in answer.content] == ["text"]
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert answer.usage.input_tokens > 0 < answer.usage.output_tokens
    assert answer._request_id


@BOTH
def test_a_stream(client: official.Anthropic, name: str) -> None:
    with client.messages.stream(model=name, **ASKED) as stream:
        words = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert words == "Hello from here" == last.content[0].text  # type: ignore[union-attr]  # a text
    assert (last.stop_reason, last.usage.output_tokens) == ("end_turn", 3)
    assert last.usage.input_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_what_anthropic_says_passes_byte_for_byte(trio: Gateway, anthropic: ScriptedProvider, *, stream: bool) -> None:
    asked = {"model": "claude-2", **ASKED, **({"stream": True} if stream else {})}
    straight = requests.post(
        f"{anthropic.url}/v1/messages",
        json=asked,
        headers={"x-api-key": "k", "anthropic-version": "2023-06-01"},
        timeout=10,
    )
    anthropic.start_afresh()
    assert ask(trio, **asked).content == straight.content


def test_what_the_caller_says_passes_as_it_came(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """Fields and betas that the gateway has never heard of, in system texts as in tools, and none of its own."""
    more = {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}],
        "something_new": {"deep": [1, None, "é"]},
        "max_tokens": 3000,
    }
    betas = {"anthropic-beta": "context-1m,other", "anthropic-version": "2023-06-01", "x-tokenhub-max-cost": "5"}
    answer = ask(trio, headers=betas, **more, max_cost=10)
    assert answer.status_code == 200, answer.text
    (received,) = anthropic.requests
    assert received.json == {"model": "claude-2", "messages": HELLO, **more}
    assert received.header("anthropic-beta") == "context-1m,other"
    assert received.header("x-api-key") == "sk-ant-canary"
    assert "x-tokenhub-dropped-params" not in answer.headers


@BOTH
def test_calls_of_tools_go_both_ways(
    client: official.Anthropic,
    anthropic: ScriptedProvider,
    provider: ScriptedProvider,
    other: ScriptedProvider,
    name: str,
) -> None:
    calls = [ToolCall("weather", '{"town": "Ulm"}'), ToolCall("weather", '{"town": "Bern"}')]
    anthropic.default = message(["Let me see."], tool_calls=calls)
    for each in (provider, other):
        each.default = chat_stream(["Let me see."], tool_calls=calls)
    with client.messages.stream(model=name, tools=[TOOL], **ASKED) as stream:  # type: ignore[list-item]
        last = stream.get_final_message()
    assert last.stop_reason == "tool_use"
    uses = [block for block in last.content if block.type == "tool_use"]
    assert [use.input for use in uses] == [{"town": "Ulm"}, {"town": "Bern"}]
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "rain"} for use in uses]
    said: list[Any] = [*HELLO, {"role": "assistant", "content": last.content}, {"role": "user", "content": results}]
    for each in (anthropic, provider, other):
        each.start_afresh()
    again = client.messages.create(model=name, max_tokens=100, messages=said, tools=[TOOL])  # type: ignore[list-item]
    assert again.stop_reason == "end_turn"


def test_another_language_is_told_what_it_needs(client: official.Anthropic, provider: ScriptedProvider) -> None:
    client.messages.create(model="gpt-4", system="Be brief.", stop_sequences=["END"], **ASKED)
    (received,) = provider.requests
    assert received.json["messages"] == [{"role": "system", "content": "Be brief."}, *HELLO]
    assert received.json["stop"] in ("END", ["END"])
    assert 100 in (received.json.get("max_tokens"), received.json.get("max_completion_tokens"))
    assert not received.header("anthropic-version")


def test_wishes_to_the_router_are_not_dropped_but_heard(trio: Gateway, provider: ScriptedProvider) -> None:
    answer = ask(trio, model="gpt-4", strategy="cheapest", explain=True, max_cost=5)
    assert answer.json()["tokenhub"]["decisions"]
    assert "x-tokenhub-dropped-params" not in answer.headers
    assert provider.requests[0].json.keys() <= {"model", "messages", "max_tokens", "max_completion_tokens"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", [error("overloaded_error"), message([], fails_with="api_error"), raw(b"")])
def test_when_anthropic_is_down_another_answers(
    trio: Gateway, anthropic: ScriptedProvider, failure: Says, *, stream: bool
) -> None:
    anthropic.play(failure)
    answer = ask(trio, stream=stream)
    assert answer.status_code == 200
    assert b"Hello from here" in answer.content.replace(b'"}}', b"") or b"message_stop" in answer.content
    assert (answer.headers["x-tokenhub-model"], answer.headers["x-tokenhub-attempts"]) == ("gpt-4", "2")


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"messages": None}, 400, "invalid_request_error"),
        ({"max_tokens": "many"}, 400, "invalid_request_error"),
        ({"max_tokens": -1}, 400, "invalid_request_error"),
        ({"model": "claude-9"}, 404, "not_found_error"),
        ({"max_cost": "cheap"}, 400, "invalid_request_error"),
    ],
)
def test_refusals_have_anthropics_shape(trio: Gateway, body: dict[str, Any], status: int, kind: str) -> None:
    refused = ask(trio, **body)
    told = refused.json()
    assert (refused.status_code, told["type"], told["error"]["type"]) == (status, "error", kind)
    assert told["request_id"] == refused.headers["request-id"]


def test_an_error_of_the_caller_is_anthropics_own(trio: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(error("invalid_request_error", "messages.0: odd"))
    refused = ask(trio)
    assert refused.status_code == 400
    assert refused.json()["error"] == {"type": "invalid_request_error", "message": "messages.0: odd"}


def test_an_error_of_openai_comes_in_anthropics_shape(client: official.Anthropic, provider: ScriptedProvider) -> None:
    provider.play(openai_error(400, "temperature is odd"))
    with pytest.raises(official.BadRequestError, match="temperature is odd"):
        client.messages.create(model="gpt-4", **ASKED)


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_agents_know(
    trio: Gateway, client: official.Anthropic, anthropic: ScriptedProvider
) -> None:
    anthropic.play(too_long())
    with pytest.raises(official.BadRequestError, match="prompt is too long"):
        client.messages.create(model="claude-2", **ASKED, extra_body={"fallback": False})
    endless = [{"role": "user", "content": "word " * 150_000}]
    refused = ask(trio, messages=endless)
    assert (refused.status_code, "prompt is too long" in refused.json()["error"]["message"]) == (400, True)


@pytest.mark.parametrize("name", ["claude-2", "gpt-4"])
def test_an_error_after_words_is_told_in_band(
    trio: Gateway, anthropic: ScriptedProvider, provider: ScriptedProvider, name: str
) -> None:
    anthropic.play(message(["some", " words"], fails_with="overloaded_error"))
    provider.play(Script(chat_stream(["some", " words"]), cut=Cut(after=3)))
    last = ask(trio, model=name, stream=True).content.strip().split(b"\n\n")[-1]
    assert last.startswith(b"event: error\ndata: ")
    told = orjson.loads(last.partition(b"data: ")[2])
    assert (told["type"], "message_stop" in str(told)) == ("error", False)


def test_anthropics_own_error_after_words_passes_byte_for_byte(trio: Gateway, anthropic: ScriptedProvider) -> None:
    asked = {"model": "claude-2", **ASKED, "stream": True}
    anthropic.default = message(["some", " words"], fails_with="overloaded_error")
    key = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    straight = requests.post(f"{anthropic.url}/v1/messages", json=asked, headers=key, timeout=10)
    answer = ask(trio, stream=True)
    assert answer.content == straight.content
    assert b"overloaded_error" in answer.content
    assert trio.call_of(answer)["error"] == "provider_unavailable"


@pytest.mark.parametrize("stream", [False, True])
def test_the_books_have_what_anthropic_counted(trio: Gateway, anthropic: ScriptedProvider, *, stream: bool) -> None:
    anthropic.play(message(["a", "b"], usage=Tokens(100, 5, 60), cache_write=10))
    answer = ask(trio, stream=stream, explain=True)
    assert answer.content
    call = trio.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"], call["estimated"]) == (100, 5, False)


def test_a_limit_that_is_left_out_is_the_room_of_the_model(trio: Gateway, anthropic: ScriptedProvider) -> None:
    asked = requests.post(f"{trio.url}/v1/messages", json={"model": "claude-2", "messages": HELLO}, timeout=10)
    assert asked.status_code == 200
    assert anthropic.requests[0].json["max_tokens"] > 100


def test_nothing_but_the_cache_can_be_asked_for(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """Anthropic fills its cache for a limit of 0, and says nothing; no other language can ask for that."""
    assert ask(trio, max_tokens=0).status_code == 200
    assert anthropic.requests[0].json["max_tokens"] == 0
    refused = ask(trio, max_tokens=0, model="gpt-4", fallback=False)
    assert (refused.status_code, "max_tokens" in refused.json()["error"]["message"]) == (400, True)


def test_less_room_is_less_thinking(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """Claude Code asks for as much as its own models may write, which others may not."""
    anthropic.play(error("invalid_request_error", "max_tokens: 32000 > 8192, which is the maximum allowed"))
    thinking = {"type": "enabled", "budget_tokens": 31_999}
    answer = ask(trio, max_tokens=32_000, thinking=thinking)
    assert (answer.status_code, answer.headers["x-tokenhub-dropped-params"]) == (200, "thinking")
    again = anthropic.requests[1].json
    assert (again["max_tokens"], again["thinking"]["budget_tokens"]) == (8192, 8191)


def test_thinking_beyond_the_callers_own_limit_passes_as_it_came(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """Anthropic takes it where a model thinks between its calls of tools."""
    thinking = {"type": "enabled", "budget_tokens": 4000}
    answer = ask(trio, max_tokens=2000, thinking=thinking)
    assert answer.status_code == 200
    assert (anthropic.requests[0].json["thinking"], anthropic.requests[0].json["max_tokens"]) == (thinking, 2000)
    assert "x-tokenhub-dropped-params" not in answer.headers


def test_tokens_are_counted_by_who_would_answer(
    client: official.Anthropic, anthropic: ScriptedProvider, provider: ScriptedProvider
) -> None:
    anthropic.play(raw(orjson.dumps({"input_tokens": 4321})))
    assert client.messages.count_tokens(model="claude-2", messages=HELLO).input_tokens == 4321
    (received,) = anthropic.requests
    assert (received.path, received.json) == (
        "/v1/messages/count_tokens",
        {"model": "claude-2", "messages": HELLO},
    )
    anthropic.play(error("overloaded_error"))
    for name in ("claude-2", "gpt-4"):
        assert 1 <= client.messages.count_tokens(model=name, messages=HELLO).input_tokens < 50
    assert provider.requests == []


def test_no_prompt_is_too_long_to_be_counted(trio: Gateway) -> None:
    endless = [{"role": "user", "content": "word " * 150_000}]
    asked = {"model": "claude-2", "messages": endless}
    counted = requests.post(f"{trio.url}/v1/messages/count_tokens", json=asked, timeout=10)
    assert counted.json()["input_tokens"] > 100_000


def test_models_are_listed_in_anthropics_shape(client: official.Anthropic) -> None:
    page = client.models.list()
    assert {"claude-2", "gpt-4", "tokenhub/refine"} <= {model.id for model in page.data}
    assert not page.has_more
    assert client.models.retrieve("claude-2").type == "model"
    with pytest.raises(official.NotFoundError):
        client.models.retrieve("claude-9")


def test_a_look_at_the_root_does_no_harm(trio: Gateway) -> None:
    """Some clients look whether anybody is there."""
    assert requests.head(trio.url, timeout=10, allow_redirects=False).status_code < 500


def test_a_query_makes_no_other_endpoint(trio: Gateway) -> None:
    asked = requests.post(f"{trio.url}/v1/messages?beta=true", json={"model": "claude-2", **ASKED}, timeout=10)
    assert asked.status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_flow_can_be_asked_in_this_format(
    client: official.Anthropic, provider: ScriptedProvider, *, stream: bool
) -> None:
    asked: dict[str, Any] = {"model": "tokenhub/refine", "system": "Be brief.", **ASKED}
    if stream:
        with client.messages.stream(**asked) as events:
            assert "".join(events.text_stream) == "Hello from here"
    else:
        assert client.messages.create(**asked).content[0].text == "Hello from here"
    assert "Be brief." in str(provider.requests[0].json["messages"])


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (error("overloaded_error"), 529, "overloaded_error"),
        (openai_error(503, "busy"), 529, "overloaded_error"),
        (openai_error(502, "bad gateway"), 503, "overloaded_error"),
        (openai_error(500, "broken"), 502, "api_error"),
    ],
)
def test_an_overload_everywhere_has_anthropics_own_status(
    trio: Gateway, anthropic: ScriptedProvider, failure: Says, status: int, kind: str
) -> None:
    anthropic.default = failure
    answer = ask(trio, fallback=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert trio.post(model="claude-2", fallback=False).status_code == min(status, 503)


def test_the_official_client_knows_an_overload(client: official.Anthropic, anthropic: ScriptedProvider) -> None:
    anthropic.default = error("overloaded_error")
    with pytest.raises(official._exceptions.OverloadedError):
        client.messages.create(model="claude-2", **ASKED, extra_body={"fallback": False})


@pytest.mark.parametrize("stream", [False, True])
def test_what_no_provider_counted_is_told_as_it_is_booked(
    client: official.Anthropic, provider: ScriptedProvider, *, stream: bool
) -> None:
    """Clients decide by it when to compact, and a 0 would never make them."""
    provider.default = chat_stream(["some", " words"], include_usage=False)
    if stream:
        with client.messages.stream(model="gpt-4", **ASKED) as events:
            usage = events.get_final_message().usage
    else:
        usage = client.messages.create(model="gpt-4", **ASKED).usage
    assert usage.input_tokens > 0 < usage.output_tokens


@pytest.mark.parametrize("message", [None, 7, {}])
def test_an_error_without_words_is_told_in_words(trio: Gateway, provider: ScriptedProvider, message: object) -> None:
    provider.default = raw(orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "code": 400}}))
    refused = ask(trio, model="gpt-4", fallback=False)
    assert refused.status_code >= 400
    assert refused.json()["error"]["message"]
    assert isinstance(refused.json()["error"]["message"], str)
