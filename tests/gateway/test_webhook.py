"""What a budget has passed is posted to a webhook, signed, whoever dies and however the receiver behaves."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from tests.databases import own_database, rows
from tests.scripted import ScriptedProvider
from tests.server import Gateway, free_port, model, wait_for

CHAT = {"model": "m", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
SECRET = "canary-of-the-webhook"
Answer = Callable[[], int]


class Receiver:
    """A webhook on a real socket: `got` are the bodies and headers, `answer` gives the status of each."""

    def __init__(self, answer: Answer, port: int = 0) -> None:
        self.got: list[tuple[bytes, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((body, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(answer())
                self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks/token-of-path"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def told(self) -> list[dict[str, Any]]:
        """The bodies so far."""
        return [orjson.loads(body) for body, _ in self.got]

    def close(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiver(answer: Answer = lambda: 204, port: int = 0) -> Iterator[Receiver]:
    """A webhook that is open for as long."""
    opened = Receiver(answer, port)
    try:
        yield opened
    finally:
        opened.close()


def answers(*statuses: int) -> Answer:
    """Each status once, and the last for ever."""
    left = list(statuses)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A model whose answers cost money."""
    dear = {"cost_per_1k": 1, "input_per_1k": 0, "output_per_1k": 1}
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}],
        "models": [model("m", "p", **dear)],
    }


def ask(gateway: Gateway, token: str) -> float:
    """What one answer cost, in US dollars."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{gateway.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return float(answer.headers["x-tokenhub-cost-usd"])


def spend(gateway: Gateway) -> None:
    """Give a new key a budget, and let its first calls pass half of it."""
    token = gateway.key("--budget-usd", "0.15")
    spent = 0.0
    while spent < 0.08:  # and not just half of it: dollars here are floats
        spent += ask(gateway, token)
        assert wait_for(
            lambda: rows(gateway, "SELECT count(*) FROM accounts_reservation") == [(0,)], 20
        )  # it is booked


def state(gateway: Gateway) -> list[tuple[int, bool, bool]]:
    """Of each warning its mark, whether it waits, and whether it was delivered."""
    found = rows(gateway, "SELECT percent, due_at IS NOT NULL, delivered_at IS NOT NULL FROM accounts_budgetwarning")
    return [(percent, bool(waits), bool(arrived)) for percent, waits, arrived in found]


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    with (
        own_database() as database,
        receiver() as hook,
        Gateway(
            tmp_path,
            config(provider),
            WEB_CONCURRENCY="2",
            TOKENHUB_REQUIRE_KEY="true",
            TOKENHUB_BUDGET_WEBHOOK=hook.url,
            TOKENHUB_BUDGET_WEBHOOK_SECRET=SECRET,
            **database,
        ) as gateway,
    ):
        spend(gateway)
        assert wait_for(lambda: [row[1:] for row in state(gateway)] == [(False, True)], 10)
        ((body, headers),) = hook.got
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["x-tokenhub-signature"] == f"sha256={signature}"
        assert headers["content-type"] == "application/json"
        (told,) = hook.told()
        assert (told["event"], told["period"], told["amount_usd"]) == ("budget.warning", "monthly", 0.15)
        assert (told["owner"]["type"], told["owner"]["name"]) == ("key", "app")
        assert told["percent"] <= 100 * told["spent_usd"] / told["amount_usd"]
        assert {"id", "at", "budget", "period_start"} < set(told)
        lines = [line for line in gateway.log.splitlines() if '"logger":"accounts.budget_warnings"' in line]
        assert [orjson.loads(line)["id"] for line in lines] == [told["id"]]
    assert SECRET not in gateway.log
    assert "token-of-path" not in gateway.log


@pytest.mark.parametrize("statuses", [(500, 204), (302, 200)])
def test_what_was_refused_is_sent_again(provider: ScriptedProvider, tmp_path: Path, statuses: tuple[int, ...]) -> None:
    with (
        receiver(answers(*statuses)) as hook,
        Gateway(tmp_path, config(provider), TOKENHUB_REQUIRE_KEY="true", TOKENHUB_BUDGET_WEBHOOK=hook.url) as gateway,
    ):
        spend(gateway)
        assert wait_for(lambda: [row[1:] for row in state(gateway)] == [(False, True)], 20)
        first, second = hook.got
        assert first[0] == second[0]
        assert "x-tokenhub-signature" not in first[1]
        assert f"answered with {statuses[0]}" in gateway.log


def test_a_slow_receiver_keeps_nobody_waiting(provider: ScriptedProvider, tmp_path: Path) -> None:
    may_answer = threading.Event()

    def slow() -> int:
        may_answer.wait(30)
        return 200

    with (
        receiver(slow) as hook,
        Gateway(tmp_path, config(provider), TOKENHUB_REQUIRE_KEY="true", TOKENHUB_BUDGET_WEBHOOK=hook.url) as gateway,
    ):
        spend(gateway)
        assert wait_for(lambda: len(hook.got) == 1, 10)
        token = gateway.key("--budget-usd", "1000", name="another")
        booked = rows(gateway, "SELECT count(*) FROM accounts_call")[0][0]
        for _ in range(5):
            ask(gateway, token)
        # the ledger goes on while the receiver holds a warning
        assert wait_for(lambda: rows(gateway, "SELECT count(*) FROM accounts_call")[0][0] == booked + 5, 5)
        assert [row[2] for row in state(gateway)] == [False]
        may_answer.set()
        assert wait_for(lambda: [row[2] for row in state(gateway)] == [True], 20)


def test_a_worker_that_dies_loses_no_warning(provider: ScriptedProvider, tmp_path: Path) -> None:
    port = free_port()
    webhook = {"TOKENHUB_BUDGET_WEBHOOK": f"http://127.0.0.1:{port}/", "TOKENHUB_REQUIRE_KEY": "true"}
    with own_database() as database:
        gateway = Gateway(tmp_path, config(provider), **webhook, **database)
        with gateway:
            spend(gateway)
            assert wait_for(lambda: len(state(gateway)) == 1, 10)
            workers = [int(child) for child in gateway._children()]
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            assert wait_for(lambda: "tried again" in gateway.log or len(gateway._children()) > 0, 10)
        assert [row[1:] for row in state(gateway)] == [(True, False)]
        with receiver(port=port) as hook:
            began = time.monotonic()
            with gateway:
                assert wait_for(lambda: [row[1:] for row in state(gateway)] == [(False, True)], 40)
                assert len(hook.got) == 1
            assert time.monotonic() - began < 60
