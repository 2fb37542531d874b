"""A provider that fails before its first word is not noticed; one that fails later is told of in-band."""

import time
from pathlib import Path

import orjson
import pytest

from tests.provider import Script, ScriptedProvider, chat_events, error
from tests.server import Gateway, model, wait_for

GOOD = list(chat_events(("one", " two", " three"), None))
ERROR_IN_BAND = [b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n']


def test_it_works(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(error(500, "down"))
    answer = gateway.post()
    assert answer.status_code == 200
    assert answer.headers["x-tokenhub-model"] == "next"
    assert answer.headers["x-tokenhub-attempts"] == "2"
    assert len(provider.requests) == len(other.requests) == 1
    assert "sk-canary" not in str(other.requests[0])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "script",
    [
        error(401, "no such key"),
        error(402, "pay first"),
        error(404, "The model `best-there` does not exist", code="model_not_found"),
        error(408, "slow"),
        error(429, "later", headers={"Retry-After": "7"}),
        error(503, "busy"),
        error(529, "overloaded"),
        Script(status=302, headers={"Location": "http://127.0.0.1:1/"}, body=b"", framing="length"),
        Script(status=204, body=b"", framing="close"),
        Script(body=b"<html>hello</html>", headers={"Content-Type": "text/html"}),
        Script(body=b'{"error": {"message": "in a 200"}}'),
        Script(body=b""),
        Script(body=b'{"choices": []}', framing="length", lie=50),
        Script(events=[], framing="close"),
        Script(events=ERROR_IN_BAND),
        Script(events=GOOD[:1] + ERROR_IN_BAND),
        Script(events=GOOD, cut_after=0),
        Script(events=GOOD, cut_after=1, reset=True),
        Script(events=[b"data: not json\n\n"]),
    ],
    ids=lambda script: f"{script.status}-{(script.body or b''.join(script.events or []))[:30]!r}-{script.cut_after}",
)
def test_every_failure_before_the_first_word_moves_on(
    gateway: Gateway, provider: ScriptedProvider, script: Script, *, stream: bool
) -> None:
    provider.play(script)
    answer = gateway.post(stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-tokenhub-model"] == "next"
    assert b"error" not in answer.content


def test_an_overflow_moves_to_a_larger_window(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(error(400, "This model's maximum context length is 10 tokens."))
    assert gateway.post().headers["x-tokenhub-model"] == "next"
    other.play(error(400, "too long", code="context_length_exceeded"))
    provider.play(error(400, "too long", code="context_length_exceeded"))
    assert gateway.post().headers["x-tokenhub-model"] == "echo-1"


def test_the_callers_own_fault_is_told_in_the_providers_words(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    words = {
        "message": "temperature: sk-canary-of-first",
        "type": "BadRequestError",
        "param": "temperature",
        "code": 400,
    }
    provider.play(Script(status=422, body=orjson.dumps({"error": words, "more": 1})))
    answer = gateway.post()
    assert answer.status_code == 422
    assert answer.json() == {"error": {**words, "message": "temperature: ••••", "code": None}, "more": 1}
    assert answer.headers["x-tokenhub-request-id"]
    assert other.requests == []


def test_a_cut_after_words_is_told_in_band(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(Script(events=GOOD, cut_after=3))
    answer = gateway.post(stream=True)
    content = answer.content
    assert content.startswith(b"".join(GOOD[:3]))
    event = content.removeprefix(b"".join(GOOD[:3]))
    assert orjson.loads(event.removeprefix(b"data: "))["error"]["code"] == "provider_error"
    assert b"[DONE]" not in content
    assert other.requests == []
    call = gateway.call_of(answer)
    assert (call["status"], call["error"], call["estimated"]) == (502, "provider_error", True)
    assert call["output_tokens"] == 2


def test_a_stream_without_an_end_is_told_in_band(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(events=GOOD[:3], framing="close"))
    assert b'"error"' in gateway.post(stream=True).content


def test_silence_in_an_answer_is_told_in_band(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(events=GOOD, silent_after=2))
    began = time.monotonic()
    content = gateway.post(stream=True).content
    assert content.startswith(b"".join(GOOD[:2]))
    assert b"provider_timeout" in content
    assert time.monotonic() - began < 4
    assert wait_for(lambda: provider.requests[0].left_after is not None)


def test_a_provider_that_never_answers_is_left(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(silent=True))
    began = time.monotonic()
    answer = gateway.post()
    assert answer.headers["x-tokenhub-model"] == "next"
    assert 1.5 < time.monotonic() - began < 5
    assert wait_for(lambda: provider.requests[0].left_after is not None)


def test_nobody_left_is_told_with_a_request_id(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.play(error(503, "down", headers={"Retry-After": "9"}))
    config = {
        "providers": [{"name": "only", "type": "vllm", "base_url": provider.url}],
        "models": [model("one", "only"), model("two", "only")],
    }
    with Gateway(tmp_path, config) as alone:
        answer = alone.post()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "provider_unavailable"
    assert answer.headers["Retry-After"] == "9"
    assert answer.headers["x-tokenhub-attempts"] == "2"
    assert answer.headers["x-tokenhub-request-id"].startswith("req_")
