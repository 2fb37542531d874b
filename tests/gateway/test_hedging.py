"""A caller may ask for a second model beside a slow first: the first to come to words answers, and both are booked."""

import time
from collections.abc import Generator

import gevent
import pytest
import requests

from gateway import hedging
from gateway.cooldown import Permit, cooldowns
from gateway.exchange import Attempt, Delta
from gateway.hedging import Try
from gateway.patience import Patience
from tests.facts import model_facts
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream, error
from tests.scripted_script import HANG, Script
from tests.server import Gateway, wait_for

SAYS_FIRST = chat_stream(["the", " first"])
SAYS_SECOND = chat_stream(["the", " second"])


@pytest.mark.parametrize("stream", [False, True])
def test_it_works(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider, stream: bool) -> None:
    provider.play(HANG)
    other.play(SAYS_SECOND)
    answer = gateway.post(hedge_ms=100, stream=stream)
    assert "second" in answer.text
    assert answer.headers["x-tokenhub-model"] == "next"
    provider.wait_until(lambda: len(provider.closed_early) == 1)
    call = gateway.call_of(answer)
    assert [(model, status, failure) for model, status, failure, _ in call["attempts"]] == [
        ("best", 499, "overtaken"),
        ("next", 200, ""),
    ]
    assert call["cost_micro"] > 0


def test_both_are_booked(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(HANG)
    other.play(SAYS_SECOND)
    overtaken, answered = gateway.post(hedge_ms=50, explain=True).json()["tokenhub"]["attempts"]
    assert overtaken["usage"]["uncached"] > 0
    assert overtaken["usage"]["estimated"]
    assert overtaken["cost_micro"] > 0
    assert answered["usage"]["output"] == 2


def test_the_first_may_still_win(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(Script(SAYS_FIRST, delay_before_headers=0.3))
    other.play(HANG)
    answer = gateway.post(hedge_ms=100, stream=True)
    assert "first" in answer.text
    assert answer.headers["x-tokenhub-model"] == "best"
    other.wait_until(lambda: len(other.closed_early) == 1)


def test_a_quick_first_has_no_second(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(SAYS_FIRST)
    assert gateway.post(hedge_ms=2000).headers["x-tokenhub-attempts"] == "1"
    assert other.requests == []


def test_a_first_that_fails_leaves_it_to_the_second(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(Script(error(500, "broken"), delay_before_headers=0.3))
    other.play(Script(SAYS_SECOND, delay_before_headers=0.6))
    answer = gateway.post(hedge_ms=100)
    assert "second" in answer.text
    assert [attempt[1] for attempt in gateway.call_of(answer)["attempts"]] == [500, 200]


def test_the_winner_is_named_though_the_second_was_asked_last(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(Script(SAYS_FIRST, delay_before_headers=0.6))
    other.play(error(500, "broken"))
    answer = gateway.post(hedge_ms=100)
    assert "first" in answer.text
    assert answer.headers["x-tokenhub-model"] == "best"
    assert gateway.call_of(answer)["model"] == "best"


def test_what_failed_by_itself_is_booked_as_it_was(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(Script(SAYS_FIRST, delay_before_headers=0.6))
    other.play(error(500, "broken"))
    first, second = gateway.post(hedge_ms=100, explain=True).json()["tokenhub"]["attempts"]
    assert (first["error"], second["error"], second["status"]) == ("", "provider_error", 500)
    assert second["cost_micro"] == 0


def test_one_that_never_began_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first may come to words at the very moment at which the second is sent on its way."""
    released: list[Permit] = []
    begun: list[bool] = []
    monkeypatch.setattr(cooldowns, "released", released.append)

    def first(patience: Patience) -> Try:
        def pieces() -> Generator[Delta]:
            gevent.sleep(0.1)
            yield Delta(b"words")

        return Try(Permit(model_facts(id="first"), 0.0), Attempt("first", "p"), pieces())

    def second(patience: Patience) -> Try:
        gevent.sleep(0.3)
        return Try(Permit(model_facts(id="second"), 0.0), Attempt("second", "p"), nothing())

    def nothing() -> Generator[Delta]:
        begun.append(True)
        yield Delta(b"")

    (won,) = hedging.race(first, second, Patience(10), seconds=0.01)
    assert won.held == [Delta(b"words")]
    assert [permit.model.id for permit in released] == ["second"]
    assert begun == []


def test_nobody_who_did_not_ask_is_hedged(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(Script(SAYS_FIRST, delay_before_headers=0.5))
    assert gateway.post().headers["x-tokenhub-attempts"] == "1"
    assert other.requests == []


def test_a_caller_who_leaves_ends_both(gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(HANG)
    other.play(HANG)
    with pytest.raises(requests.exceptions.RequestException):
        requests.post(
            f"{gateway.url}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "x"}], "hedge_ms": 50},
            timeout=0.4,
        )
    left_at = time.monotonic()
    for each in (provider, other):
        each.wait_until(lambda each=each: len(each.closed_early) == 1)  # type: ignore[misc]  # bound in this turn
    assert time.monotonic() - left_at < 1.0
    assert wait_for(lambda: gateway.calls()[-1]["error"] == "caller_left")
    assert [attempt[2] for attempt in gateway.calls()[-1]["attempts"]] == ["caller_left"] * 2
    assert "Traceback" not in gateway.log
