"""What a real server said is understood: recorded answers, streams and refusals of vLLM."""

import pytest

from gateway import errors
from gateway.exchange import Usage
from gateway.wire import anthropic_stream, chat_stream, failures, messages, openai, sse
from tests.recordings import recordings

VLLM = recordings("vllm")


def failure(name: str) -> errors.ProviderFailure:
    recorded = VLLM[name]
    return failures.classify(recorded.status, recorded.headers, recorded.body, provider="vllm", secret="")


def test_it_works() -> None:
    told = openai.read_answer(VLLM["chat"].body)
    usage = VLLM["chat"].json["usage"]
    assert told.reason == VLLM["chat"].json["choices"][0]["finish_reason"]
    assert told.usage is not None
    assert (told.usage.input, told.usage.output) == (usage["prompt_tokens"], usage["completion_tokens"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("overflow", errors.Overflowed),
        ("overflow_stream", errors.Overflowed),
        ("overflow_messages", errors.Overflowed),
        ("model_not_found", errors.UnknownThere),
        ("model_not_found_messages", errors.UnknownThere),
        ("unauthorized", errors.CredentialsRefused),
        ("bad_request", errors.Rejected),
        ("bad_request_field", errors.Rejected),
        ("no_images", errors.Rejected),
    ],
)
def test_refusals(name: str, kind: type[errors.ProviderFailure]) -> None:
    assert type(failure(name)) is kind


@pytest.mark.parametrize("name", ["chat_stream", "chat_stream_usage", "chat_stream_tools"])
def test_streams(name: str) -> None:
    splitter = sse.EventSplitter()
    events = [event for byte in VLLM[name].body for event in splitter.feed(bytes([byte]))]
    assert b"".join(events) == VLLM[name].body
    passing = openai.PassingChunks(include_usage=False)
    told = [passing.read(event) for event in events]
    assert any(event.content for event in told)
    assert not told[0].content
    assert told[-1].done
    assert passing.reason in {"length", "tool_calls", "stop"}
    assert len([event for event in told if event.hidden]) == (name != "chat_stream")


@pytest.mark.parametrize("name", ["chat_stream", "chat_stream_usage", "chat_stream_tools", "completion_stream"])
def test_what_is_not_parsed_in_passing_tells_nothing_new(name: str) -> None:
    passing, reader = openai.PassingChunks(include_usage=True), chat_stream.StreamReader()
    for event in VLLM[name].events:
        passing.read(event)
        reader.read(event)
    assert (passing.usage, bool(passing.reason)) == (reader.told.usage, bool(reader.told.reason))


def test_a_message_in_passing() -> None:
    passing, reader = messages.PassingMessage(), anthropic_stream.StreamReader()
    told = [passing.read(event) for event in VLLM["messages_stream"].events]
    for event in VLLM["messages_stream"].events:
        reader.read(event)
    assert isinstance(told[0].tells, Usage)
    assert any(event.content for event in told)
    assert told[-1].done
    assert passing.close().usage == reader.told.usage
