"""A chat in OpenAI's format is answered by Anthropic, and its caller does not notice."""

from typing import Any

import openai
import orjson
import pytest

from gateway.conversation import Untranslatable
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error, message, too_long
from tests.scripted_openai import error as openai_error
from tests.scripted_script import HANG, RESET, Cut, Says, Script, Tokens, raw, raw_stream
from tests.server import Gateway

Chunk = openai.types.chat.ChatCompletionChunk
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
CLAUDE: dict[str, Any] = {"model": "claude-2", "messages": HELLO}


def words(chunks: list[Chunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def reason(chunks: list[Chunk]) -> str | None:
    (told,) = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    return told


def test_it_works(sdk: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    answer = sdk.chat.completions.create(**CLAUDE)
    assert (answer.object, answer.model) == ("chat.completion", "claude-2")
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "Hello from here",
        "stop",
    )
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
    (received,) = anthropic.requests
    assert (received.method, received.path) == ("POST", "/v1/messages")
    asked = received.json
    assert asked.pop("max_tokens") > 0
    assert asked == {
        "model": "claude-2",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    }


def test_a_stream(sdk: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    chunks = list(sdk.chat.completions.create(**CLAUDE, stream=True, stream_options={"include_usage": True}))
    assert (words(chunks), reason(chunks)) == ("Hello from here", "stop")
    assert {(chunk.id, chunk.created, chunk.model) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, "claude-2")
    }
    assert chunks[0].choices[0].delta.role == "assistant"
    *others, last = chunks
    assert last.usage
    assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 7, 3)
    assert [chunk.usage for chunk in others] == [None] * len(others)
    assert anthropic.requests[0].json["stream"] is True


def test_a_stream_without_usage_ends_with_done(trio: Gateway) -> None:
    content = trio.post(**CLAUDE, stream=True).content
    assert content.endswith(b"data: [DONE]\n\n")
    assert b'"usage"' not in content
    assert b"event:" not in content


def test_only_the_headers_that_it_needs(trio: Gateway, anthropic: ScriptedProvider) -> None:
    headers = {"Authorization": "Bearer of-the-caller", "Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"}
    trio.session.post(f"{trio.url}/v1/chat/completions", json=CLAUDE, headers=headers, timeout=10)
    received = anthropic.requests[-1]
    assert (received.header("x-api-key"), received.header("anthropic-version")) == ("sk-ant-canary", "2023-06-01")
    assert {name.lower() for name, _ in received.headers} == {
        "host",
        "content-type",
        "content-length",
        "accept",
        "accept-encoding",
        "user-agent",
        "x-api-key",
        "anthropic-version",
    }


def test_system_and_turns(sdk: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    sdk.chat.completions.create(
        model="claude-2",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one"},
            {"role": "user", "content": "two"},
            {"role": "assistant", "content": "three"},
            {"role": "user", "content": "four"},
        ],
        max_tokens=500,
        temperature=0.7,
        stop=["END"],
    )
    asked = anthropic.requests[0].json
    turns = [(turn["role"], [block["text"] for block in turn["content"]]) for turn in asked["messages"]]
    assert turns == [("user", ["one", "two"]), ("assistant", ["three"]), ("user", ["four"])]
    assert asked["system"] == "Be brief."
    assert (asked["max_tokens"], asked["temperature"], asked["stop_sequences"]) == (500, 0.7, ["END"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "told"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_why_it_ended(sdk: openai.OpenAI, anthropic: ScriptedProvider, stop: str, told: str, *, stream: bool) -> None:
    anthropic.play(message(stop=stop))
    if stream:
        assert reason(list(sdk.chat.completions.create(**CLAUDE, stream=True))) == told
    else:
        assert sdk.chat.completions.create(**CLAUDE).choices[0].finish_reason == told


@pytest.mark.parametrize("stream", [False, True])
def test_cached_tokens_count_once(
    trio: Gateway, sdk: openai.OpenAI, anthropic: ScriptedProvider, *, stream: bool
) -> None:
    anthropic.play(message(usage=Tokens(100, 5, cached=60), cache_write=30), message(usage=Tokens(100, 5, cached=60)))
    if stream:
        *_, last = sdk.chat.completions.create(**CLAUDE, stream=True, stream_options={"include_usage": True})
        usage = last.usage
    else:
        usage = sdk.chat.completions.create(**CLAUDE).usage
    assert usage
    assert usage.prompt_tokens_details
    told = (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens, usage.total_tokens)
    assert told == (100, 60, 5, 105)
    answer = trio.post(**CLAUDE, stream=stream, explain=True)
    assert answer.content
    call = trio.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"], call["estimated"]) == (100, 5, False)
    assert call["cost_micro"] == 1050
    decision = answer.content.rpartition(b": tokenhub ")[2] if stream else orjson.dumps(answer.json()["tokenhub"])
    (attempt,) = orjson.loads(decision)["attempts"]
    buckets = {"uncached": 40, "cache_read": 60, "cache_write": 0, "output": 5}
    assert attempt["usage"].items() >= buckets.items()


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_told_apart(sdk: openai.OpenAI, anthropic: ScriptedProvider, *, stream: bool) -> None:
    anthropic.play(message(thinking="Hm."))
    if stream:
        chunks = list(sdk.chat.completions.create(**CLAUDE, stream=True))
        assert words(chunks) == "Hello from here"
        thoughts = [(choice.delta.model_extra or {}).get("reasoning_content") for c in chunks for choice in c.choices]
        assert [thought for thought in thoughts if thought] == ["Hm."]
    else:
        said = sdk.chat.completions.create(**CLAUDE).choices[0].message
        assert (said.content, (said.model_extra or {})["reasoning_content"]) == ("Hello from here", "Hm.")


def test_what_has_no_counterpart_is_named(trio: Gateway, anthropic: ScriptedProvider) -> None:
    answer = trio.post(**CLAUDE, seed=7, temperature=1.5, frequency_penalty=0.5)
    assert set(answer.headers["x-tokenhub-dropped-params"].split(",")) == {"seed", "temperature", "frequency_penalty"}
    assert anthropic.requests[0].json["temperature"] == 1
    assert not anthropic.requests[0].json.keys() & {"seed", "frequency_penalty"}
    assert "x-tokenhub-dropped-params" not in trio.post(model="gpt-4", seed=7).headers
    assert "x-tokenhub-dropped-params" not in trio.post(**CLAUDE, max_cost=1, temperature=1).headers


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 2), ("logprobs", True), ("modalities", ["text", "audio"]), ("prediction", {"content": "x"})],
)
def test_what_changes_the_answer_leaves_the_model_out(
    trio: Gateway, anthropic: ScriptedProvider, field: str, value: object
) -> None:
    told: dict[str, Any] = {field: value, "explain": True}
    answer = trio.post(**CLAUDE, **told)
    assert answer.headers["x-tokenhub-model"] == "gpt-4"
    (decision,) = answer.json()["tokenhub"]["decisions"]
    assert {"model": "claude-2", "reason": str(Untranslatable(field))} in decision["excluded"]
    alone = trio.post(**CLAUDE, **told, fallback=False)
    assert (alone.status_code, alone.json()["error"]["code"]) == (400, "no_model_for_request")
    assert f"claude-2: {Untranslatable(field)}" in alone.json()["error"]["message"]
    assert anthropic.requests == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "script",
    [openai_error(500, "down"), openai_error(429, "later"), openai_error(401, "who?"), RESET, Script(cut=Cut()), HANG],
    ids=["500", "429", "401", "reset", "closed", "silent"],
)
def test_when_openai_is_down_anthropic_answers(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, script: Says | Script, *, stream: bool
) -> None:
    provider.play(script)
    answer = trio.post(stream=stream, max_tokens=500, temperature=0.7)
    assert answer.status_code == 200
    assert b"Hello" in answer.content
    assert b"error" not in answer.content
    assert answer.headers["x-tokenhub-model"] == "claude-2"
    assert answer.headers["x-tokenhub-attempts"] == "2"
    assert len(provider.requests) == len(anthropic.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "script",
    [
        error("overloaded_error"),
        error("rate_limit_error"),
        error("authentication_error"),
        error("permission_error"),
        error("billing_error"),
        error("api_error"),
        error("not_found_error", "model: claude-2"),
        error("overloaded_error", status=200),
        error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        message([], fails_with="overloaded_error"),
        raw(b"<html>hello</html>", content_type="text/html"),
        raw_stream(b'event: ping\ndata: {"type": "ping"}\n\n'),
        Script(message(), cut=Cut()),
    ],
)
def test_when_anthropic_is_down_openai_answers(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, script: Says | Script, *, stream: bool
) -> None:
    anthropic.play(script)
    answer = trio.post(**CLAUDE, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-tokenhub-model"] == "gpt-4"
    assert b"error" not in answer.content
    assert len(provider.requests) == 1


def test_when_both_are_down_the_local_model_answers(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider
) -> None:
    provider.play(openai_error(503, "down"))
    anthropic.play(error("overloaded_error"))
    answer = trio.post()
    assert (answer.headers["x-tokenhub-model"], answer.headers["x-tokenhub-attempts"]) == ("llama-local", "3")


def test_an_error_after_words_is_told_in_band(
    trio: Gateway, sdk: openai.OpenAI, anthropic: ScriptedProvider, provider: ScriptedProvider
) -> None:
    anthropic.play(message(["one", " two"], fails_with="overloaded_error"))
    said: list[Chunk] = []
    with pytest.raises(openai.APIError, match="broke off") as raised:
        said.extend(sdk.chat.completions.create(**CLAUDE, stream=True))
    assert raised.value.code == "provider_unavailable"
    anthropic.play(Script(message(["one", " two"]), cut=Cut(after=5)))
    answer = trio.post(**CLAUDE, stream=True)
    assert b"one" in answer.content
    assert b"[DONE]" not in answer.content
    assert trio.call_of(answer)["error"] == "provider_error"
    assert provider.requests == []


@pytest.mark.parametrize("name", ["seed\r\nSet-Cookie: a=b", "é", "x" * 100, "\u0000"])
def test_an_odd_name_of_a_field_is_no_header(trio: Gateway, name: str) -> None:
    odd: dict[str, Any] = {name: 5, "seed": 7}
    answer = trio.post(**CLAUDE, **odd)
    assert (answer.status_code, answer.headers["x-tokenhub-dropped-params"]) == (200, "seed")
    assert "Set-Cookie" not in answer.headers


def test_a_large_conversation_is_translated_like_any_other(trio: Gateway, anthropic: ScriptedProvider) -> None:
    turns = [{"role": role, "content": "word " * 50_000} for role in ("user", "assistant", "user")]
    assert trio.post(**CLAUDE | {"messages": turns}).status_code == 400, "it is too long for every window"
    assert trio.post(**CLAUDE | {"messages": turns[:1] * 2, "max_tokens": 5, "x": "y" * 600_000}).status_code == 200
    assert len(anthropic.requests[0].json["messages"]) == 1


def test_what_a_broken_stream_has_told_is_booked(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """Anthropic tells the prompt's tokens first: they count even if the end of the answer never comes."""
    anthropic.play(Script(message(["one", " two"], usage=Tokens(70, 9, cached=30)), cut=Cut(after=4)))
    answer = trio.post(**CLAUDE, stream=True)
    assert b"one" in answer.content
    call = trio.call_of(answer)
    assert (call["input_tokens"], call["estimated"]) == (70, True)
    assert call["output_tokens"] >= 1


def test_a_prompt_that_is_too_long_there(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """No other window is larger, so the caller is told in the words by which clients know it."""
    anthropic.play(too_long())
    answer = trio.post(**CLAUDE)
    assert answer.status_code == 400
    told = answer.json()["error"]
    assert (told["code"], told["type"]) == ("context_length_exceeded", "invalid_request_error")
    assert "maximum context length is 100000 tokens" in told["message"]
    assert "prompt is too long" in told["message"]


def test_the_callers_own_fault_is_told_in_openais_shape(
    trio: Gateway, anthropic: ScriptedProvider, provider: ScriptedProvider
) -> None:
    anthropic.play(error("invalid_request_error", "stop_sequences: sk-ant-canary is no stop"))
    answer = trio.post(**CLAUDE)
    told = {"message": "stop_sequences: •••• is no stop", "type": "invalid_request_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (400, {"error": told})
    assert provider.requests == []


def test_max_tokens_is_cut_to_what_there_is_room_for(trio: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(error("invalid_request_error", "max_tokens: 9000 > 4096, which is the maximum allowed"))
    assert trio.post(**CLAUDE, max_tokens=9000).headers["x-tokenhub-model"] == "claude-2"
    assert [received.json["max_tokens"] for received in anthropic.requests] == [9000, 4096]


def test_a_caller_that_leaves_closes_the_call(trio: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(Script(message([f" {n}" for n in range(40)]), delay_between_pieces=0.1))
    answer = trio.post(**CLAUDE, stream=True)
    pieces = answer.iter_content(1)
    assert next(pieces)
    answer.close()
    anthropic.wait_until(lambda: len(anthropic.closed_early) == 1, 1.0)
    assert trio.call_of(answer)["error"] == "caller_left"


def test_events_may_come_in_any_pieces(trio: Gateway, anthropic: ScriptedProvider) -> None:
    told = set()
    for split in ((), 1, 13):
        anthropic.play(Script(message(["caf", "é"]), split=split))
        lines = trio.post(**CLAUDE, stream=True).content.split(b"\n\n")
        deltas = [orjson.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith(b"data: {")]
        told.add("".join(delta.get("content", "") for delta in deltas))
    assert told == {"café"}
