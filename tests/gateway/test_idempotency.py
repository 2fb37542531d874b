"""A request that is sent again under its idempotency key is asked once, whatever the number of callers and workers."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.databases import own_database, rows
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream, error
from tests.scripted_script import Script
from tests.server import Gateway, model, wait_for

ASKED = {"model": "m", "fallback": False, "messages": [{"role": "user", "content": "hello"}]}
REPLAY = "x-tokenhub-idempotent-replay"


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """One model."""
    return {"providers": [{"name": "p", "type": "vllm", "base_url": provider.url}], "models": [model("m", "p")]}


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker."""
    with own_database() as database, Gateway(tmp_path_factory.mktemp("keys"), config(provider), **database) as started:
        yield started


def ask(
    gateway: Gateway, key: str, path: str = "/v1/chat/completions", token: str = "", **more: Any
) -> requests.Response:
    """Ask over a connection of its own, so that any worker may answer."""
    headers = {"Idempotency-Key": key} | ({"Authorization": f"Bearer {token}"} if token else {})
    return requests.post(f"{gateway.url}{path}", json=ASKED | more, headers=headers, timeout=60)


def test_it_works(running: Gateway, provider: ScriptedProvider) -> None:
    first, second = ask(running, "k-1"), ask(running, "k-1")
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert len(provider.requests) == 1
    assert (first.headers.get(REPLAY), second.headers[REPLAY]) == (None, "true")
    assert second.headers["x-tokenhub-model"] == "m"
    assert second.headers["x-tokenhub-decision"] == first.headers["x-tokenhub-request-id"]
    assert second.headers["x-tokenhub-request-id"] != first.headers["x-tokenhub-request-id"]
    assert "x-tokenhub-cost-usd" not in second.headers


def test_a_replay_is_booked_and_costs_nothing(running: Gateway) -> None:
    ask(running, "k-booked")
    told = ask(running, "k-booked").headers["x-tokenhub-request-id"]
    statement = "SELECT status, attempt_count, cost_micro FROM accounts_call WHERE request_id = ?"
    assert wait_for(lambda: rows(running, statement, told) == [(200, 0, 0)])


def test_another_request_under_the_key_is_refused(running: Gateway, provider: ScriptedProvider) -> None:
    ask(running, "k-2")
    other = ask(running, "k-2", max_tokens=5)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    elsewhere = ask(running, "k-2", "/v1/messages")
    assert (elsewhere.status_code, elsewhere.json()["error"]["type"]) == (409, "conflict_error")
    assert len(provider.requests) == 1


@pytest.mark.parametrize("key", ["x" * 256, "", "tab\there", "caf\xe9"])
def test_what_is_no_key_is_refused(running: Gateway, provider: ScriptedProvider, key: str) -> None:
    refused = ask(running, key)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert provider.requests == []


def test_a_stream_has_no_key(running: Gateway, provider: ScriptedProvider) -> None:
    refused = ask(running, "k-3", stream=True)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert "whole answers" in refused.json()["error"]["message"]
    assert ask(running, "x" * 255).status_code == 200


@pytest.mark.parametrize("status", [429, 500, 503, 401])
def test_after_what_is_not_final_the_next_try_is_real(
    running: Gateway, provider: ScriptedProvider, status: int
) -> None:
    provider.default = Script(error(status, "not now"))
    assert not ask(running, f"k-again-{status}").ok
    asked = len(provider.requests)
    provider.default = Script(chat("now"))
    answer = ask(running, f"k-again-{status}")
    assert (answer.status_code, answer.headers.get(REPLAY)) == (200, None)
    assert len(provider.requests) == asked + 1


def test_what_is_the_callers_own_doing_is_final(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(error(422, "no such thing")))
    first, second = ask(running, "k-4"), ask(running, "k-4")
    assert first.status_code == second.status_code == 422
    assert second.content == first.content
    assert second.headers[REPLAY] == "true"
    assert len(provider.requests) == 1


def test_a_large_answer_is_not_kept(running: Gateway, provider: ScriptedProvider) -> None:
    provider.default = Script(chat("x" * 1_100_000))
    first, second = ask(running, "k-large"), ask(running, "k-large")
    assert (first.status_code, second.status_code, second.headers.get(REPLAY)) == (200, 200, None)
    assert len(provider.requests) == 2


def test_an_answer_rests_sealed(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat("canary-of-the-answer")))
    assert "canary-of-the-answer" in ask(running, "canary-of-the-key").text
    assert b"canary-of-the-answer" in ask(running, "canary-of-the-key").content
    ((*told,),) = rows(running, "SELECT * FROM accounts_keptanswer ORDER BY expires_at DESC LIMIT 1")
    assert "canary" not in str(told)
    assert any(str(value).startswith("v1.") for value in told)
    assert "canary" not in running.log


def test_a_caller_who_leaves_frees_the_key(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat("slow"), delay_before_body=20))
    with suppress(requests.exceptions.Timeout):
        requests.post(
            f"{running.url}/v1/chat/completions", json=ASKED, headers={"Idempotency-Key": "k-left"}, timeout=0.5
        )
    assert ask(running, "k-left").status_code == 200
    assert len(provider.requests) == 2


def test_a_wait_is_no_longer_than_the_request_may_take(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat("slow"), delay_before_body=3))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, running, "k-slow")
        provider.wait_until(lambda: len(provider.requests) == 1)
        headers = {"Idempotency-Key": "k-slow", "X-TokenHub-Timeout-Ms": "400"}
        began = time.monotonic()
        late = requests.post(f"{running.url}/v1/chat/completions", json=ASKED, headers=headers, timeout=30)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
        assert time.monotonic() - began < 2
        assert first.result().status_code == 200


def test_keys_are_the_clients_own(provider: ScriptedProvider, tmp_path: Path) -> None:
    with own_database() as database, Gateway(tmp_path, config(provider), **database) as hub:
        open_answer = ask(hub, "k")
        tokens = [hub.key("--rpm", "3", name=name) for name in ("one", "two")]
        assert open_answer.headers.get(REPLAY) is None
        assert [ask(hub, "k", token=token).headers.get(REPLAY) for token in tokens] == [None, None]
        again = ask(hub, "k", token=tokens[0])
        assert again.headers[REPLAY] == "true"
        assert int(again.headers["x-ratelimit-remaining-requests"]) < 3
        assert len(provider.requests) == 3
        statuses = [ask(hub, "k", token=tokens[0]).status_code for _ in range(3)]
        assert statuses[-1] == 429  # a replay is a request of the minute


@pytest.mark.parametrize("workers", [2, 4])
def test_one_of_many_at_once_is_asked(provider: ScriptedProvider, tmp_path: Path, workers: int) -> None:
    provider.default = Script(chat_stream([" one"]), delay_before_body=2.0)
    with (
        own_database() as database,
        Gateway(tmp_path, config(provider), WEB_CONCURRENCY=str(workers), **database) as hub,
    ):
        with ThreadPoolExecutor(51) as askers:
            same = [askers.submit(ask, hub, "same") for _ in range(50)]
            provider.wait_until(lambda: len(provider.requests) == 1)
            assert ask(hub, "same", max_tokens=5).status_code == 409
            answers = [each.result() for each in same]
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers.get(REPLAY) for answer in answers].count("true") == 49
        assert len(provider.requests) == 1
        assert wait_for(lambda: rows(hub, "SELECT sum(attempt_count), count(*) FROM accounts_call") == [(1, 51)])
        assert hub.run("ledger", "check").stdout == "The books agree.\n"


def test_after_a_killed_worker_the_next_one_proceeds(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.play(Script(chat("never"), delay_before_body=30))
    with own_database() as database, Gateway(tmp_path, config(provider), **database) as hub:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(ask, hub, "same")
            provider.wait_until(lambda: len(provider.requests) == 1)
            for worker in Path(f"/proc/{hub.pid}/task/{hub.pid}/children").read_text().split():
                os.kill(int(worker), signal.SIGKILL)
            with pytest.raises(requests.exceptions.ConnectionError):
                first.result()
        began = time.monotonic()
        assert wait_for(lambda: hub.session.get(f"{hub.url}/health/live", timeout=5).ok)
        answer = ask(hub, "same")
        assert (answer.status_code, answer.headers.get(REPLAY)) == (200, None)
        assert time.monotonic() - began < 25
        assert len(provider.requests) == 2
