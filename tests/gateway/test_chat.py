"""A chat goes to the best model, and its answer comes back as the provider gave it."""

from typing import Any

import orjson
import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream
from tests.scripted_script import Says, Script, Tokens, raw, raw_stream
from tests.server import Gateway


def test_it_works(gateway: Gateway, provider: ScriptedProvider) -> None:
    answer = gateway.post()
    assert answer.status_code == 200
    assert answer.content == chat_stream()(provider.requests[-1]).body
    assert answer.headers["x-tokenhub-model"] == "best"
    assert answer.headers["x-tokenhub-provider"] == "first"
    assert answer.headers["x-tokenhub-attempts"] == "1"
    assert answer.headers["x-tokenhub-cost-usd"] == "0.000100"
    assert answer.headers["x-tokenhub-request-id"].startswith("req_")
    assert answer.headers["x-request-id"] == answer.headers["x-tokenhub-request-id"]
    received = provider.requests[-1]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.json == {"messages": [{"role": "user", "content": "hello"}], "model": "best-there"}


def test_a_stream_comes_back_event_by_event(gateway: Gateway, provider: ScriptedProvider) -> None:
    answer = gateway.post(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    said = chat_stream()(provider.requests[-1]).events
    assert answer.content == b"".join(event.raw for event in said if not event.usage)
    assert provider.requests[-1].json["stream_options"] == {"include_usage": True}


def test_the_usage_is_shown_to_those_who_ask(gateway: Gateway) -> None:
    answer = gateway.post(stream=True, stream_options={"include_usage": True})
    assert b'"usage":{"prompt_tokens":7' in answer.content


def test_odd_events_are_relayed_byte_for_byte(gateway: Gateway, provider: ScriptedProvider) -> None:
    events = [
        b": a comment\r\n\r\n",
        b'event: odd\ndata: {"choices":[{"delta":{"content":"caf\xc3\xa9","extra":1}}],"x":null}\n\n',
        b'data:{"choices":[{"delta":{"content":"b"}}]}\r\rdata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
        b"data: [DONE]\n\n",
    ]
    for split in ((), 1, 7):
        provider.play(Script(raw_stream(*events), split=split))
        assert gateway.post(stream=True).content == b"".join(events)


def test_unknown_fields_go_through(gateway: Gateway, provider: ScriptedProvider) -> None:
    fields: dict[str, Any] = {
        "temperature": 0.25,
        "tools": [{"type": "function"}],
        "x_new": {"deep": [1, None, "ü"]},
        "seed": 2**53,
    }
    gateway.post(**fields, max_tokens=5)
    assert provider.requests[-1].json.items() >= {**fields, "max_tokens": 5}.items()


@pytest.mark.parametrize(("name", "served_by"), [("next", "next"), ("fast", "best"), ("auto", "best"), (None, "best")])
def test_the_model_that_is_named_comes_first(gateway: Gateway, name: str | None, served_by: str) -> None:
    assert gateway.post(model=name).headers["x-tokenhub-model"] == served_by


def test_what_a_request_may_cost_is_kept_from_the_provider(gateway: Gateway, provider: ScriptedProvider) -> None:
    assert gateway.post(max_cost=0).headers["x-tokenhub-model"] == "echo-1"
    gateway.post(max_cost=1)
    assert "max_cost" not in provider.requests[-1].json


def test_only_our_own_headers_reach_the_provider(gateway: Gateway, provider: ScriptedProvider) -> None:
    gateway.post()
    received = provider.requests[-1]
    assert received.header("authorization") == "Bearer sk-canary-of-first"
    assert {name.lower() for name, _ in received.headers} == {
        "host",
        "content-type",
        "accept",
        "accept-encoding",
        "user-agent",
        "authorization",
        "content-length",
    }


def test_a_larger_prompt_takes_a_larger_window(gateway: Gateway) -> None:
    long = [{"role": "user", "content": "word " * 9000}]
    assert gateway.post(messages=long).headers["x-tokenhub-model"] == "next"


def test_the_log_has_one_line_a_call_without_the_prompt(gateway: Gateway) -> None:
    answer = gateway.post(messages=[{"role": "user", "content": "canary in the prompt"}], stream=True)
    assert answer.content
    line = gateway.call_of(answer)
    expected = {
        "model": "best",
        "provider": "first",
        "status": 200,
        "input_tokens": 7,
        "output_tokens": 3,
        "estimated": False,
    }
    assert line.items() >= expected.items()
    assert line["ms"] >= line["ttft_ms"] > 0
    assert "canary" not in gateway.log


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/best", 200),
        ("OPTIONS", "/v1/models", 204),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_every_answer_has_its_line(gateway: Gateway, method: str, path: str, status: int) -> None:
    answer = requests.request(method, f"{gateway.url}{path}", timeout=10)
    call = gateway.call_of(answer)
    assert (call["message"], call["status"]) == (f"{method} {path} {status}", answer.status_code)


def test_a_large_body_is_read_like_any_other(gateway: Gateway) -> None:
    large = [{"role": "user", "content": "x" * 150_000}] * 6
    assert gateway.post(messages=[*large[:2], {"role": "user", "content": "[length=1] y"}]).ok
    refused = gateway.post(messages=[*large, {}])
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages[6]")


@pytest.mark.parametrize("stream", [False, True])
def test_a_missing_usage_is_estimated(gateway: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    provider.play(chat_stream(["a", "b"], include_usage=False))
    answer = gateway.post(stream=stream)
    assert answer.content
    call = gateway.call_of(answer)
    assert call["estimated"] is True
    assert call["output_tokens"] > 0


@pytest.mark.parametrize("usage", [b"{}", b'{"prompt_tokens": "x"}', b'{"prompt_tokens": null, "total_tokens": null}'])
def test_a_usage_that_tells_nothing_is_estimated(gateway: Gateway, provider: ScriptedProvider, usage: bytes) -> None:
    provider.play(raw(b'{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": %b}' % usage))
    call = gateway.call_of(gateway.post())
    assert call["estimated"] is True
    assert call["output_tokens"] > 0


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (chat(usage=Tokens(-5, -1)), (0, 0)),
        (chat(usage=Tokens(10, 2, cached=4)), (10, 2)),
        (
            raw(b'{"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": "x", "completion_tokens": 0}}'),
            (0, 0),
        ),
    ],
)
def test_odd_usages_are_clamped(
    gateway: Gateway, provider: ScriptedProvider, says: Says, told: tuple[int, int]
) -> None:
    provider.play(says)
    call = gateway.call_of(gateway.post())
    assert (call["input_tokens"], call["output_tokens"]) == told


def test_of_two_usages_the_last_wins(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(chat_stream(["a"], usages=[Tokens(1, 1), Tokens(9, 8)]))
    answer = gateway.post(stream=True)
    assert answer.content
    call = gateway.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"]) == (9, 8)


def test_connections_are_kept(gateway: Gateway, provider: ScriptedProvider) -> None:
    for stream in (False, True) * 4:
        assert gateway.post(stream=stream).content
    assert provider.open_connections == 1


@pytest.mark.parametrize("role", ["system", "user"])
def test_where_nobody_has_said_anything_echo_says_so(gateway: Gateway, role: str) -> None:
    answer = gateway.post(model="echo-1", messages=[{"role": role, "content": "" if role == "user" else "Be brief."}])
    assert answer.json()["choices"][0]["message"]["content"] == "(nothing to echo)"


def test_the_body_may_come_in_chunks(gateway: Gateway, provider: ScriptedProvider) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": "hi"}]})
    answer = gateway.session.post(f"{gateway.url}/v1/chat/completions", data=iter([body[:5], body[5:]]), timeout=10)
    assert answer.status_code == 200
    assert provider.requests[-1].json["messages"][0]["content"] == "hi"


@pytest.mark.parametrize("accept", ["text/event-stream", "application/xml", "*/*", ""])
def test_no_accept_header_is_refused(gateway: Gateway, accept: str) -> None:
    answer = gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "x"}]},
        headers={"Accept": accept},
        timeout=10,
    )
    assert answer.status_code == 200
