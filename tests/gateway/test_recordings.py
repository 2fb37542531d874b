"""What a real server said is understood: recorded answers, streams and refusals of vLLM."""

import pytest

from gateway import errors
from gateway.wire import failures, openai, sse
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
    seen = False
    told = []
    for event in events:
        told.append(openai.read_event(event, seen_content=seen))
        seen = seen or told[-1].content
    assert seen
    assert not told[0].content
    assert told[-1].done
    assert [event.reason for event in told if event.reason] in (["length"], ["tool_calls"], ["stop"])
    usages = [event for event in told if event.usage_only]
    assert len(usages) == (name != "chat_stream")


def test_what_is_skipped_after_the_first_content_tells_nothing_new() -> None:
    for name in ("chat_stream", "chat_stream_usage", "chat_stream_tools"):
        for event in VLLM[name].events:
            parsed, skimmed = (openai.read_event(event, seen_content=seen) for seen in (False, True))
            assert (parsed.reason, parsed.usage, parsed.done) == (skimmed.reason, skimmed.usage, skimmed.done)
