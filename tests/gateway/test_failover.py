"""A provider that fails before its first word is not noticed; one that fails later is told of in-band."""

import time
from pathlib import Path
from typing import Literal

import orjson
import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream, error
from tests.scripted_script import HANG, Cut, Says, Script, raw, raw_stream, redirect
from tests.server import Gateway, model

GOOD = chat_stream(["one", " two", " three"])


def test_it_works(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(error(500, "down"))
    answer = gateway.post()
    assert answer.status_code == 200
    assert answer.headers["x-tokenhub-model"] == "next"
    assert answer.headers["x-tokenhub-attempts"] == "2"
    assert len(provider.requests) == len(other.requests) == 1
    assert "sk-canary" not in str(other.requests[0])


@pytest.mark.parametrize("as_stream", [False, True])
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
        redirect("http://127.0.0.1:1/"),
        Script(raw(status=204), framing="close"),
        raw(b"<html>hello</html>", content_type="text/html"),
        error(200, "in a 200"),
        error(200, "in a 200", kind="server_error"),
        error(404, "Invalid URL (POST /v1/v1/chat/completions)"),
        raw(b""),
        Script(raw(b'{"choices": []}'), length_off_by=50),
        raw_stream(),
        raw_stream(b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'),
        chat_stream([], fails_with="overloaded"),
        Script(GOOD, cut=Cut()),
        Script(GOOD, cut=Cut(after=0)),
        Script(GOOD, cut=Cut(after_bytes=10, how="reset")),
        raw_stream(b"data: not json\n\n"),
    ],
)
def test_every_failure_before_the_first_word_moves_on(
    gateway: Gateway, provider: ScriptedProvider, script: Says | Script, *, as_stream: bool
) -> None:
    provider.play(script)
    answer = gateway.post(stream=as_stream)
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
    provider.play(raw(orjson.dumps({"error": words, "more": 1}), status=422))
    answer = gateway.post()
    assert answer.status_code == 422
    assert answer.json() == {"error": {**words, "message": "temperature: ••••", "code": None}, "more": 1}
    assert answer.headers["x-tokenhub-request-id"]
    assert other.requests == []


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 3, "prompt_tokens_details": 5}, {"completion_tokens_details": ["a"]}, ["x"], "x"]
)
def test_a_usage_of_odd_shape_is_no_fault(gateway: Gateway, provider: ScriptedProvider, usage: object) -> None:
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
    provider.play(raw(orjson.dumps(answer)))
    assert gateway.post().json() == answer


def test_choices_of_odd_shape_are_a_failure(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(raw_stream(b'data: {"choices": 5}\n\n', b"data: [DONE]\n\n"))
    assert gateway.post(stream=True).headers["x-tokenhub-model"] == "next"
    provider.play(raw(b'{"choices": ["x"]}'))
    assert gateway.post().headers["x-tokenhub-model"] == "next"


def test_no_more_of_a_redirect_is_read_than_of_any_refusal(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(raw(*[b"x" * 1_000_000] * 40, status=307, headers={"Location": "/"}), framing="chunked"))
    assert gateway.post().headers["x-tokenhub-model"] == "next"
    provider.wait_until(lambda: len(provider.closed_early) == 1)


@pytest.mark.parametrize("words", [[], ["some"]], ids=["before the first word", "after it"])
def test_an_error_in_a_stream_never_repeats_the_key(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider, words: list[str]
) -> None:
    provider.play(chat_stream(words, fails_with="no such key: sk-canary-of-first"))
    other.play(error(400, "not here either"))
    assert "canary" not in gateway.post(stream=True).text
    assert "canary" not in gateway.log


def test_a_cut_after_words_is_told_in_band(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(Script(GOOD, cut=Cut(after=3)))
    answer = gateway.post(stream=True)
    content = answer.content
    said = b"".join(event.raw for event in GOOD(provider.requests[0]).events[:3])
    assert content.startswith(said)
    event = content.removeprefix(said)
    assert orjson.loads(event.removeprefix(b"data: "))["error"]["code"] == "provider_error"
    assert b"[DONE]" not in content
    assert other.requests == []
    call = gateway.call_of(answer)
    assert (call["status"], call["error"], call["estimated"]) == (502, "provider_error", True)
    assert call["output_tokens"] == 2


def test_a_stream_without_an_end_is_told_in_band(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(GOOD, framing="close", cut=Cut(after=3)))
    assert b'"error"' in gateway.post(stream=True).content


def test_silence_in_an_answer_is_told_in_band(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(GOOD, cut=Cut(after=2, how="silence")))
    began = time.monotonic()
    content = gateway.post(stream=True).content
    assert content.count(b"\n\n") == 2 + 1
    assert b"provider_timeout" in content
    assert time.monotonic() - began < 4
    provider.wait_until(lambda: len(provider.closed_early) == 1)


def test_a_reset_after_the_end_of_an_answer_is_no_failure(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat_stream(["a", "b"], include_usage=False), cut=Cut(after=4, how="reset")))
    content = gateway.post(stream=True).content
    assert b'"finish_reason":"stop"' in content
    assert b"error" not in content


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (error(200, "slow down", code="rate_limit_exceeded"), "slow down"),
        (raw(b'{"choices": []}'), "did not answer with a stream"),
        (raw(b"[]"), "not an object"),
        (Script(GOOD, cut=Cut(after=0)), "in the middle of the answer"),
    ],
)
def test_a_stream_that_is_none_says_why(
    gateway: Gateway, provider: ScriptedProvider, script: Says | Script, told: str
) -> None:
    provider.play(script, script)  # it is asked once more, since nobody else may
    answer = gateway.post(stream=True, models=["best"])
    assert answer.status_code >= 429
    assert told in answer.json()["error"]["message"]


def test_an_answer_that_takes_too_long_is_told_in_band(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat_stream(["word"] * 40), delay_between_pieces=0.2))
    began = time.monotonic()
    content = gateway.post(stream=True).content
    assert b"took longer than the provider may take" in content
    assert b"[DONE]" not in content
    assert 2.5 < time.monotonic() - began < 7
    provider.wait_until(lambda: len(provider.closed_early) == 1)


def test_a_provider_that_never_answers_is_left(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(HANG)
    began = time.monotonic()
    answer = gateway.post()
    assert answer.headers["x-tokenhub-model"] == "next"
    assert 1.5 < time.monotonic() - began < 5
    provider.wait_until(lambda: len(provider.closed_early) == 1)


def test_nobody_left_is_told_with_a_request_id(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.default = error(503, "down", headers={"Retry-After": "9"})
    config = {
        "providers": [{"name": "only", "type": "vllm", "base_url": provider.url}],
        "models": [model("one", "only"), model("two", "only")],
    }
    with Gateway(tmp_path, config) as alone:
        before = alone.log
        answer = alone.post()
        alone.call_of(answer)
        told = [line for line in alone.log.removeprefix(before).splitlines() if '"gateway.calls"' in line]
        assert len(told) == 1
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "provider_unavailable"
    assert answer.headers["Retry-After"] == "9"
    assert answer.headers["x-tokenhub-attempts"] == "2"
    assert answer.headers["x-tokenhub-request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_the_model_that_was_asked_for_is_named_where_another_fails(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, other: ScriptedProvider, path: str
) -> None:
    """It is left out for its window, and who stands in for it is not the one to look at."""
    for each in (provider, anthropic, other):
        each.default = error(500, "down")
    words = [{"role": "user", "content": "word " * 10_000}]
    answer = trio.post(path, model="llama-local", messages=words, max_tokens=5)
    assert answer.status_code in {502, 503}
    assert "What was asked for is left out (llama-local: context too small" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (raw(b"<html>"), "first sent something that is not JSON"),
        (error(200, "out of breath", kind="server_error"), "first broke off: out of breath"),
    ],
)
def test_whoever_fails_is_named(gateway: Gateway, provider: ScriptedProvider, script: Says, told: str) -> None:
    provider.default = script
    assert gateway.post(model="best", fallback=False).json()["error"]["message"].startswith(told)


ROLE = b'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"one"}}]}\n\n'
MORE = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":" two"}}]}\n\n'


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_half_an_event_is_not_passed_on(
    gateway: Gateway, provider: ScriptedProvider, framing: Literal["chunked", "close"]
) -> None:
    """Its beginning and the error after it would be one event, which no client could read."""
    provider.play(Script(raw_stream(ROLE, MORE, MORE[:60]), framing=framing))
    answer = gateway.post(stream=True).content
    assert answer.startswith(ROLE + MORE + b'data: {"error":')
    assert orjson.loads(answer.removeprefix(ROLE + MORE + b"data: "))["error"]["code"] == "provider_error"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_last_event_without_its_blank_line_gets_one(gateway: Gateway, provider: ScriptedProvider, end: bytes) -> None:
    last = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    provider.play(raw_stream(ROLE, MORE, last + end))
    assert gateway.post(stream=True).content == ROLE + MORE + last + b"\n\n"
    provider.play(raw_stream(ROLE, last + b"\n\n", b"data: [DONE]" + end))
    assert gateway.post(stream=True).content == ROLE + last + b"\n\ndata: [DONE]\n\n"


def test_a_model_without_words_for_a_request_is_left_out_when_it_is_its_turn(
    provider: ScriptedProvider, other: ScriptedProvider, anthropic: ScriptedProvider, tmp_path: Path
) -> None:
    config = {
        "providers": [
            {"name": "first", "type": "vllm", "base_url": provider.url},
            {"name": "claudes", "type": "anthropic", "base_url": anthropic.url, "api_key": "sk-ant-canary"},
            {"name": "last", "type": "vllm", "base_url": other.url},
        ],
        "models": [model("one", "first", weight=90), model("claude", "claudes", weight=80), model("two", "last")],
    }
    with Gateway(tmp_path, config) as running:
        provider.play(error(500, "down"))
        answer = running.post(n=2)
        assert (answer.status_code, answer.headers["x-tokenhub-model"]) == (200, "two")
        assert answer.headers["x-tokenhub-attempts"] == "2"
        assert anthropic.requests == []
        seen = requests.get(f"{running.url}/v1/decisions/{answer.headers['x-tokenhub-decision']}", timeout=5)
        (decided,) = seen.json()["decisions"]
    assert [each["model"] for each in decided["excluded"]] == ["claude"]
    assert [each["model"] for each in decided["ranked"]] == ["one", "two"]
