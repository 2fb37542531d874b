"""A failure leads to the next model, a larger window, the same model once more, or an answer that says it all."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream, error
from tests.scripted_script import HANG, RESET, raw
from tests.server import Gateway, model

DOWN = error(500, "broken")
TOO_MUCH_OUTPUT = error(
    400, "max_tokens=6000 cannot be greater than max_model_len=4096. Please request fewer output tokens."
)


@pytest.fixture(scope="module")
def alone(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a single model, for which nobody can stand in."""
    config = {
        "providers": [{"name": "only", "type": "vllm", "base_url": provider.url, "first_byte_timeout": 1.0}],
        "models": [model("one", "only", context_size=8192)],
    }
    with Gateway(tmp_path_factory.mktemp("alone"), config) as running:
        yield running


@pytest.mark.parametrize("failure", [DOWN, error(503, "busy"), RESET], ids=["500", "503", "reset"])
def test_it_works(alone: Gateway, provider: ScriptedProvider, failure: Any) -> None:
    """Where nobody else can serve, the same model is asked once more."""
    provider.play(failure, chat("back again"))
    answer = alone.post()
    assert answer.json()["choices"][0]["message"]["content"] == "back again"
    assert answer.headers["x-tokenhub-attempts"] == "2"


@pytest.mark.parametrize(
    ("failure", "status"),
    [(error(429, "slow down"), 429), (error(401, "no"), 502), (error(402, "pay"), 502), (error(422, "odd"), 422)],
)
def test_what_would_fail_again_is_not_tried_again(
    alone: Gateway, provider: ScriptedProvider, failure: Any, status: int
) -> None:
    provider.play(failure, chat("never said"))
    answer = alone.post()
    assert (answer.status_code, len(provider.requests)) == (status, 1)
    assert answer.headers["x-should-retry"] == "false"


def test_the_same_model_is_asked_once_more_and_no_oftener(alone: Gateway, provider: ScriptedProvider) -> None:
    for _ in range(20):  # so many that a fifth of them allows for more retries than the tests before took
        alone.post()
    provider.start_afresh()
    provider.play(DOWN, DOWN, chat("never said"))
    answer = alone.post()
    assert (answer.status_code, len(provider.requests)) == (502, 2)
    tried = {"model": "one", "provider": "only", "status": 500, "error": "provider_error"}
    assert answer.json()["error"]["tried"] == [tried] * 2


def test_a_long_pause_is_left_to_the_caller(alone: Gateway, provider: ScriptedProvider) -> None:
    provider.play(error(503, "busy", headers={"Retry-After": "30"}), chat("never said"))
    answer = alone.post()
    assert (answer.status_code, answer.headers["Retry-After"], len(provider.requests)) == (503, "30", 1)


def test_somebody_else_is_asked_before_the_same_model(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(DOWN, chat("never said"))
    answer = gateway.post()
    assert answer.headers["x-tokenhub-model"] == "next"
    assert (len(provider.requests), len(other.requests)) == (1, 1)


def test_too_much_output_is_cured_by_asking_for_less(alone: Gateway, provider: ScriptedProvider) -> None:
    provider.play(TOO_MUCH_OUTPUT, chat("shorter"))
    answer = alone.post(max_tokens=6000, max_completion_tokens=6000)
    assert answer.ok
    asked, cured = (request.json for request in provider.requests)
    assert (asked["max_tokens"], asked["max_completion_tokens"]) == (6000, 6000)
    assert cured["max_tokens"] == cured["max_completion_tokens"] <= 4096


def test_more_output_than_any_window_holds_is_brought_down(alone: Gateway, provider: ScriptedProvider) -> None:
    assert alone.post(max_tokens=100_000).ok
    assert 1000 < provider.requests[0].json["max_tokens"] < 8192


def test_an_overflow_that_no_window_cures_tells_the_caller_to_shorten(
    alone: Gateway, provider: ScriptedProvider
) -> None:
    provider.play(error(400, "prompt is too long: 9000 tokens > 8192 maximum"))
    told = alone.post()
    assert (told.status_code, told.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "maximum context length is 8192" in told.json()["error"]["message"]


def test_a_length_reached_is_an_answer(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(chat("half a", finish="length"))
    answer = gateway.post()
    assert (answer.headers["x-tokenhub-attempts"], answer.json()["choices"][0]["finish_reason"]) == ("1", "length")


def test_different_failures_are_told_together(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(error(503, "busy", headers={"Retry-After": "9"}))
    other.play(error(401, "who are you"))
    answer = gateway.post(models=["best", "next"])
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], answer.headers["Retry-After"]) == (503, "all_models_failed", "9")
    assert [tried["error"] for tried in told["tried"]] == ["provider_unavailable", "provider_credentials"]


def test_a_pause_that_one_asks_for_is_told(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(error(429, "slow down", headers={"Retry-After": "7"}))
    other.play(error(401, "who are you"))
    answer = gateway.post(models=["best", "next"])
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_own_deadline_ends_it_all(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider, stream: bool
) -> None:
    provider.play(HANG)
    began = time.monotonic()
    answer = gateway.post(timeout_ms=300, stream=stream)
    assert time.monotonic() - began < 1.0
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert other.requests == []


def test_only_what_the_caller_named_is_asked(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(DOWN, DOWN)
    assert gateway.post(model="best", fallback=False).status_code == 502
    assert other.requests == []
    assert gateway.post(model="best", fallback=False, max_cost=0).status_code == 400


def test_our_own_fields_go_nowhere(gateway: Gateway, provider: ScriptedProvider) -> None:
    fields: dict[str, Any] = {
        "models": ["best"],
        "min_weight": 1,
        "strategy": "score",
        "session": "s",
        "explain": False,
    }
    assert gateway.post(**fields, seed=5).ok
    assert set(provider.requests[0].json) == {"messages", "model", "seed"}


def test_a_silent_beginning_is_held_back_only_so_far(gateway: Gateway, provider: ScriptedProvider) -> None:
    """After 64 events without a word the answer belongs to its model, and a failure is told in-band."""
    empty = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}\n\n'
    provider.play(raw(*[empty] * 70, content_type="text/event-stream"))
    content = gateway.post(stream=True).content
    assert content.count(empty) == 70
    assert b'"code":"provider_error"' in content


class TestExplain:
    """A caller who asks is shown the decision with the answer."""

    def test_whole(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        provider.play(DOWN)
        told = gateway.post(explain=True).json()["tokenhub"]
        (decision,) = told["decisions"]
        assert [ranked["model"] for ranked in decision["ranked"]] == ["best", "next", "echo-1"]
        assert decision["ranked"][0]["terms"] == {"weight": 90.0, "cost": -0.1}
        assert [(tried["model"], tried["status"]) for tried in told["attempts"]] == [("best", 500), ("next", 200)]

    def test_stream(self, gateway: Gateway, provider: ScriptedProvider) -> None:
        provider.play(chat_stream(["a"]))
        *_, last = gateway.post(stream=True, explain=True).content.strip().split(b"\n\n")
        assert last.startswith(b": tokenhub {")
        told = orjson.loads(last.removeprefix(b": tokenhub "))
        assert told["attempts"][0]["usage"]["output"] == 1

    def test_failure(self, gateway: Gateway) -> None:
        answer = gateway.session.post(
            f"{gateway.url}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "x"}], "max_cost": 0, "models": ["best"]},
            headers={"X-TokenHub-Explain": "true"},
            timeout=10,
        )
        assert answer.status_code == 400
        told = answer.json()["tokenhub"]
        assert told["attempts"] == []
        assert {each["model"]: each["reason"] for each in told["decisions"][0]["excluded"]} == {
            "best": "costs more than 0.0 per 1k",
            "next": "not named by the caller",
            "echo-1": "not named by the caller",
        }
        assert answer.headers["x-tokenhub-decision"] == answer.headers["x-tokenhub-request-id"]

    def test_the_log_at_debug(self, provider: ScriptedProvider, tmp_path: Path) -> None:
        config = {
            "providers": [{"name": "only", "type": "vllm", "base_url": provider.url}],
            "models": [model("one", "only"), model("off", "only", enabled=False)],
        }
        with Gateway(tmp_path, config, TOKENHUB_LOG_LEVEL="debug") as gateway:
            call = gateway.call_of(gateway.post())
        (decision,) = call["decision"]["decisions"]
        assert [ranked["model"] for ranked in decision["ranked"]] == ["one"]
        assert decision["excluded"] == [{"model": "off", "reason": "disabled"}]
        assert call["decision"]["attempts"][0]["usage"]["output"] > 0
        assert "hello" not in gateway.log

    def test_nobody_else_is_shown_it(self, gateway: Gateway) -> None:
        assert "tokenhub" not in gateway.post().json()
