"""A chat that asks for JSON, for thinking or about a file is answered by Anthropic, and its caller does not notice."""

from typing import Any

import openai
import orjson
import pytest

from gateway.adapters.anthropic import AnthropicAdapter
from gateway.exchange import Policy
from gateway.wire.openai import read_chat
from registry.providers import ProviderType
from tests.facts import model_facts, provider_facts
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error, message
from tests.scripted_openai import ToolCall
from tests.scripted_openai import error as openai_error
from tests.server import Gateway

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
CLAUDE: dict[str, Any] = {"model": "claude-2", "messages": HELLO}
SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
FORM: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


@pytest.mark.parametrize("stream", [False, True])
def test_it_works(sdk: openai.OpenAI, anthropic: ScriptedProvider, *, stream: bool) -> None:
    form: dict[str, Any] = {**CLAUDE, "response_format": FORM}
    anthropic.play(message([], tool_calls=[ToolCall("place", '{"town": "Ulm"}', fragment=4)]))
    if stream:
        chunks = list(sdk.chat.completions.create(**form, stream=True))
        words = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
        assert len(words) == 4, "it is told as it comes"
        (reason,) = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        told = "".join(words)
    else:
        (choice,) = sdk.chat.completions.create(**form).choices
        assert choice.message.tool_calls is None
        told, reason = choice.message.content or "", choice.finish_reason
    assert (orjson.loads(told), reason) == ({"town": "Ulm"}, "stop")
    asked = anthropic.requests[0].json
    assert asked["tool_choice"] == {"type": "tool", "name": "place", "disable_parallel_tool_use": True}
    assert asked["tools"][0]["input_schema"] == SCHEMA


def test_what_is_only_asked_for_is_named(trio: Gateway, anthropic: ScriptedProvider) -> None:
    answer = trio.post(**CLAUDE, response_format={"type": "json_object"})
    assert answer.headers["x-tokenhub-model"] == "claude-2"
    assert answer.headers["x-tokenhub-dropped-params"] == "response_format"
    assert "one JSON object only" in anthropic.requests[0].json["system"]


@pytest.mark.parametrize(
    ("capabilities", "is_native"), [({"chat", "json"}, True), ({"chat"}, False), ({"chat", "tools"}, False)]
)
def test_a_row_that_names_json_knows_schemas(capabilities: set[str], *, is_native: bool) -> None:
    body = {"messages": HELLO, "response_format": FORM}
    model = model_facts(provider=provider_facts(type=ProviderType.ANTHROPIC), capabilities=frozenset(capabilities))
    request = read_chat(orjson.dumps(body), body, Policy())
    sent = orjson.loads(AnthropicAdapter().outgoing(request, model).body or b"")
    assert ("output_config" in sent, "tools" in sent) == (is_native, not is_native)


# --- reasoning --------------------------------------------------------------------------------------------------------


def kinds(anthropic: ScriptedProvider) -> list[str | None]:
    return [received.json.get("thinking", {}).get("type") for received in anthropic.requests]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("refusals", "asked"),
    [
        ([], ["enabled"]),
        (["`thinking.type.enabled` is not supported by this model"], ["enabled", "adaptive"]),
        (["thinking: not supported", "adaptive thinking is not supported"], ["enabled", "adaptive", None]),
    ],
)
def test_a_model_that_thinks_in_another_way(
    trio: Gateway, anthropic: ScriptedProvider, refusals: list[str], asked: list[str | None], *, stream: bool
) -> None:
    anthropic.play(*(error("invalid_request_error", told) for told in refusals), message())
    answer = trio.post(**CLAUDE, reasoning_effort="low", max_tokens=5000, stream=stream)
    assert (answer.status_code, b"Hello" in answer.content) == (200, True)
    attempts = str(len(asked))
    assert (answer.headers["x-tokenhub-model"], answer.headers["x-tokenhub-attempts"]) == ("claude-2", attempts)
    assert kinds(anthropic) == asked
    assert answer.headers.get("x-tokenhub-dropped-params", "") == ("reasoning_effort" if refusals else "")


@pytest.mark.parametrize(
    ("path", "body", "dropped"),
    [
        ("/v1/messages", {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 5000}, "thinking"),
        ("/v1/responses", {"reasoning": {"effort": "low"}, "input": "hi", "messages": None}, "reasoning"),
        ("/v1/chat/completions", {"reasoning_effort": "low", "model": "claude-2"}, "reasoning_effort"),
    ],
)
def test_reasoning_that_is_taken_away_is_named_as_the_caller_knows_it(
    trio: Gateway,
    anthropic: ScriptedProvider,
    provider: ScriptedProvider,
    path: str,
    body: dict[str, Any],
    dropped: str,
) -> None:
    provider.play(openai_error(400, "Unsupported parameter: 'reasoning_effort' is not supported with this model."))
    anthropic.play(error("invalid_request_error", "thinking: not supported"))
    told = {"model": "gpt-4", "messages": HELLO, **body}
    answer = trio.post(path, **told)
    assert (answer.status_code, answer.headers["x-tokenhub-attempts"]) == (200, "2")
    assert answer.headers["x-tokenhub-dropped-params"].split(",") == [dropped]


@pytest.mark.parametrize(
    "told",
    [
        "This model does not support the effort parameter.",
        "Thinking may not be enabled when tool_choice forces tool use.",
        "Reasoning is not enabled for this model",
        "Unrecognized request argument supplied: reasoning_effort",
        "`max_tokens` must be greater than `thinking.budget_tokens`",
        '"llama3" does not support thinking',
        "Thinking level is not supported for this model.",
    ],
)
def test_refusals_of_reasoning_are_known(trio: Gateway, anthropic: ScriptedProvider, told: str) -> None:
    anthropic.play(error("invalid_request_error", told))
    assert trio.post(**CLAUDE, reasoning_effort="low", max_tokens=5000).headers["x-tokenhub-attempts"] == "2"


@pytest.mark.parametrize(
    ("effort", "told"),
    [
        ("low", "stop_sequences: no stop"),
        ("low", "messages.0: odd, for all our best effort"),
        ("low", "messages.0.content: too much wishful thinking"),
        (None, "thinking: no"),
        ("none", "thinking: no"),
    ],
)
def test_another_refusal_is_the_callers(
    trio: Gateway, anthropic: ScriptedProvider, effort: str | None, told: str
) -> None:
    anthropic.play(error("invalid_request_error", told))
    answer = trio.post(**CLAUDE, reasoning_effort=effort, max_tokens=5000)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, told)
    assert len(anthropic.requests) == 1


def test_thoughts_come_back_to_their_model(sdk: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    asked: dict[str, Any] = {"model": "claude-2", "reasoning_effort": "low", "max_tokens": 5000, "tools": [tool]}
    anthropic.play(message(thinking="Hm.", tool_calls=[ToolCall("f")]), message())
    with sdk.chat.completions.stream(**asked, messages=HELLO) as events:
        said = events.get_final_completion().choices[0].message
    turn = said.to_dict(exclude_unset=True, exclude_none=True)
    result = {"role": "tool", "tool_call_id": "toolu_0", "content": "1"}
    history: list[Any] = [*HELLO, turn, result]
    sdk.chat.completions.create(**asked, messages=history)
    _, second = [received.json for received in anthropic.requests]
    first_block = second["messages"][1]["content"][0]
    assert first_block == {"type": "thinking", "thinking": "Hm.", "signature": "signed"}
    assert second["thinking"] == {"type": "enabled", "budget_tokens": 2048}


def test_a_file_is_read_there(sdk: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
    messages: list[Any] = [{"role": "user", "content": [file]}]
    sdk.chat.completions.create(model="claude-2", messages=messages)
    (block,) = anthropic.requests[0].json["messages"][0]["content"]
    assert (block["type"], block["title"], block["source"]["media_type"]) == ("document", "a.pdf", "application/pdf")
