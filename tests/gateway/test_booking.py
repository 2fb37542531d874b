"""Every answered token is in the books once, whatever dies: callers, providers, workers, the database."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.databases import rows
from tests.gaps import STEADY, stays_steady
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import Cut, Script
from tests.server import Gateway, model, wait_for

# longer than a writer waits for it
LOCK_SECONDS = float(os.environ.get("TOKENHUB_TEST_LOCK_SECONDS", "2.5"))
LONG = chat_stream([f" {number}" for number in range(40)])


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A model at a provider, and one that echoes."""
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}, {"name": "echo", "type": "echo"}],
        "models": [model("m", "p"), model("e", "echo", weight=1, cost_per_1k=0)],
    }


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker."""
    with Gateway(tmp_path_factory.mktemp("books"), config(provider)) as started:
        yield started


def booked(gateway: Gateway, answer: requests.Response) -> tuple[Any, ...]:
    """Status, error, output tokens, micro-dollars and whether estimated, of the one row of a call."""
    wanted = answer.headers["x-tokenhub-request-id"]
    statement = "SELECT status, error, output, cost_micro, estimated FROM accounts_call WHERE request_id = ?"
    assert wait_for(lambda: rows(gateway, statement, wanted))
    (row,) = rows(gateway, statement, wanted)
    return tuple(row)


def usage_of(answer: requests.Response) -> int:
    """The tokens of output that a whole answer tells."""
    return int(answer.json()["usage"]["completion_tokens"])


def test_it_works(running: Gateway) -> None:
    answer = running.post(user="u-1", model="m")
    told = answer.json()["usage"]
    status, error, output, cost, estimated = booked(running, answer)
    assert (status, error, output, estimated) == (200, "", told["completion_tokens"], 0)
    assert cost == round(float(answer.headers["x-tokenhub-cost-usd"]) * 1e6) == told["total_tokens"] * 10
    seen = requests.get(f"{running.url}/v1/decisions/{answer.headers['x-tokenhub-decision']}", timeout=5).json()
    assert (seen["user"], seen["asked"], seen["model"], seen["attempts"][0]["finish_reason"]) == (
        "u-1",
        "m",
        "m",
        "stop",
    )
    assert seen["decisions"][0]["ranked"][0]["model"] == "m"
    assert "hello" not in str(seen)


def test_a_decision_can_be_read_at_once(running: Gateway) -> None:
    for _ in range(20):
        answer = running.post(model="e")
        found = requests.get(f"{running.url}/v1/decisions/{answer.headers['x-tokenhub-request-id']}", timeout=5)
        assert found.status_code == 200, found.text


def test_what_nobody_asked_is_not_found(running: Gateway) -> None:
    answer = requests.get(f"{running.url}/v1/decisions/req_0", timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_stream_is_booked(running: Gateway) -> None:
    answer = running.post(stream=True)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    status, error, output, cost, estimated = booked(running, answer)
    assert (status, error, estimated) == (200, "", 0)
    assert output > 0
    assert cost > 0


def test_a_refusal_is_booked_without_an_attempt(running: Gateway) -> None:
    assert booked(running, running.post(model="nobody")) == (404, "model_not_found", 0, 0, 0)


def test_what_costs_nothing_is_in_no_book(running: Gateway) -> None:
    for path in ("/v1/models", "/v1/unknown"):
        told = requests.get(f"{running.url}{path}", timeout=5).headers["x-tokenhub-request-id"]
        assert not rows(running, "SELECT 1 FROM accounts_call WHERE request_id = ?", told)
    counted = running.post("/v1/messages/count_tokens", max_tokens=5)
    time.sleep(0.6)
    assert not rows(
        running, "SELECT 1 FROM accounts_call WHERE request_id = ?", counted.headers["x-tokenhub-request-id"]
    )


def test_a_caller_who_leaves_is_booked_with_what_came(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(LONG, delay_between_pieces=0.1))
    answer = running.post(stream=True)
    next(answer.iter_lines())
    answer.close()
    status, error, output, cost, estimated = booked(running, answer)
    assert (status, error, estimated) == (499, "caller_left", 1)
    assert 0 < output < 40
    assert cost > 0


def test_a_stream_that_broke_off_is_booked_with_what_came(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(LONG, cut=Cut(after=4)))
    answer = running.post(stream=True)
    assert b'"error"' in answer.content
    status, error, output, _, estimated = booked(running, answer)
    assert (status, error, estimated) == (502, "provider_error", 1)
    assert 0 < output <= 5


@contextmanager
def locked(gateway: Gateway) -> Iterator[None]:
    """Hold the write lock of a gateway's database, as another process may."""
    with closing(
        sqlite3.connect(gateway.folder / "var" / "tokenhub.sqlite3", timeout=20, isolation_level=None)
    ) as held:
        held.execute("BEGIN IMMEDIATE")
        yield
        held.execute("ROLLBACK")


def test_a_locked_database_holds_nobody_up(running: Gateway, provider: ScriptedProvider) -> None:
    provider.default = STEADY
    answers: list[requests.Response] = []

    def ask_meanwhile() -> None:
        with locked(running):
            answers.extend(running.post(model="e") for _ in range(50))
            time.sleep(LOCK_SECONDS)
            assert wait_for(lambda: "calls cannot be booked" in running.log)

    assert stays_steady(running, ask_meanwhile)
    assert all(booked(running, answer)[0] == 200 for answer in answers)
    assert wait_for(lambda: "calls can be booked again" in running.log)
    assert running.run("ledger", "check").returncode == 0


def children(gateway: Gateway) -> list[int]:
    """The workers of a gateway."""
    return [int(pid) for pid in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()]


def test_no_answered_call_is_lost_with_a_killed_worker(tmp_path: Path, provider: ScriptedProvider) -> None:
    provider.default = Script(LONG, delay_between_pieces=0.2)
    with Gateway(tmp_path, config(provider), WEB_CONCURRENCY="2", TOKENHUB_LEDGER_SECONDS="5") as started:
        streams = [
            requests.post(
                f"{started.url}/v1/chat/completions",
                json={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]},
                stream=True,
                timeout=30,
            )
            for _ in range(20)
        ]

        def ask(number: int) -> str:
            whole = {"model": "e", "stream": bool(number % 2), "messages": [{"role": "user", "content": "hello"}]}
            answer = requests.post(f"{started.url}/v1/chat/completions", json=whole, timeout=30)
            assert answer.status_code == 200
            assert not number % 2 or answer.content.endswith(b"data: [DONE]\n\n")
            return str(answer.headers["x-tokenhub-request-id"])

        with ThreadPoolExecutor(16) as askers:
            answered = list(askers.map(ask, range(200)))
        for worker in children(started):
            os.kill(worker, signal.SIGKILL)
        for stream in streams:
            with suppress(requests.exceptions.RequestException):
                assert b"[DONE]" not in stream.content
        statement = "SELECT request_id, count(*) FROM accounts_call GROUP BY request_id"
        assert wait_for(lambda: set(answered) <= {row[0] for row in rows(started, statement)}, 20)
        assert {row[1] for row in rows(started, statement)} == {1}
        ((spent,),) = rows(started, "SELECT sum(attempts) FROM accounts_spend")
        ((attempts,),) = rows(started, "SELECT count(*) FROM accounts_attempt")
        assert spent == attempts >= 200


def test_everything_is_booked_when_a_gateway_stops(tmp_path: Path, provider: ScriptedProvider) -> None:
    with Gateway(tmp_path, config(provider), WEB_CONCURRENCY="2", TOKENHUB_LEDGER_SECONDS="60") as started:
        answered = {started.post(model="e").headers["x-tokenhub-request-id"] for _ in range(50)}
    assert {row[0] for row in rows(started, "SELECT request_id FROM accounts_call")} == answered
    assert list((tmp_path / "var" / "spool").iterdir()) == []
