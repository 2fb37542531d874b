"""A gateway that is told to stop says so at once, lets answers finish until a deadline, and ends the rest in order."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from gateway import drain
from tests.databases import rows
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import HANG, Script
from tests.server import Gateway, model, wait_for

STREAMS = 50
SLOW = Script(chat_stream([f" {n}" for n in range(33)], include_usage=False), delay_between_pieces=0.1)
WORDS = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", WORDS),
    "completion": ("/v1/completions", {"model": "m", "prompt": "hello"}),
    "message": ("/v1/messages", WORDS | {"max_tokens": 100}),
    "response": ("/v1/responses", {"model": "m", "input": "hello"}),
    "debate": ("/v1/adversarial", {"prompt": "hello", "planner": "m", "critic": "m"}),
    "flow": ("/v1/chat/completions", WORDS | {"model": "tokenhub/refine"}),
}
BOOKED = (
    "SELECT status, error, estimated, output > 0, count(*) FROM accounts_call GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
)


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A model at a provider, and one that echoes."""
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}, {"name": "echo", "type": "echo"}],
        "models": [model("m", "p"), model("e", "echo", weight=1, cost_per_1k=0)],
    }


def asked(gateway: Gateway, path: str, **body: Any) -> requests.Response:
    """Ask over a connection of its own, and read all of the answer."""
    return requests.post(f"{gateway.url}{path}", json=body, timeout=60)


def chat(gateway: Gateway, **body: Any) -> requests.Response:
    """Ask for a chat."""
    return asked(gateway, "/v1/chat/completions", **WORDS | body)


def readiness(gateway: Gateway) -> int:
    """What a probe over a new connection is told; 0 where the port is closed."""
    try:
        return requests.get(f"{gateway.url}/health/ready", timeout=10).status_code
    except requests.ConnectionError:
        return 0


def end_of(gateway: Gateway) -> bool:
    """Wait until the gateway has ended by itself."""
    return wait_for(lambda: not Path("/proc", str(gateway.pid), "cmdline").read_bytes(), 30)


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    """Streams complete, and whoever probes hears of the stop before the port closes."""
    provider.default = SLOW
    settings = {"WEB_CONCURRENCY": "2", "TOKENHUB_LAME_DUCK_SECONDS": "2", "TOKENHUB_LOG_LEVEL": "DEBUG"}
    with Gateway(tmp_path, config(provider), **settings) as gateway, ThreadPoolExecutor(STREAMS) as callers:
        kept = [requests.Session() for _ in range(4)]
        assert {each.get(f"{gateway.url}/health/ready", timeout=10).status_code for each in kept} == {200}
        streams = [callers.submit(chat, gateway, stream=True) for _ in range(STREAMS)]
        provider.wait_until(lambda: len(provider.requests) == STREAMS, 30)
        os.kill(gateway.pid, signal.SIGTERM)
        assert wait_for(lambda: readiness(gateway) == 503, 2)
        time.sleep(0.5)  # until both workers have heard
        for each in kept:
            told = each.get(f"{gateway.url}/health/ready", timeout=10)
            assert (told.status_code, told.headers["connection"]) == (503, "close")
            assert told.json()["reasons"] == ["gateway: is stopping"]
        served = chat(gateway, model="e")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        assert wait_for(lambda: readiness(gateway) == 0, 10)
        assert all(each.result().content.endswith(b"data: [DONE]\n\n") for each in streams)
        assert end_of(gateway)
    assert r"\n  max_requests: 0\n" in gateway.log  # gunicorn tells what it runs with: a recycled worker cuts streams
    assert rows(gateway, BOOKED) == [(200, "", 0, 1, 1), (200, "", 1, 1, STREAMS)]


def test_answers_that_take_too_long(provider: ScriptedProvider, tmp_path: Path) -> None:
    """Each is told in its own format that it has ended, and booked with what came."""
    provider.default = SLOW
    provider.play(HANG)
    settings = {"TOKENHUB_DRAIN_SECONDS": "1", "TOKENHUB_GRACEFUL_TIMEOUT": "20", "TOKENHUB_PING_SECONDS": "0.2"}
    with Gateway(tmp_path, config(provider), **settings) as gateway, ThreadPoolExecutor(20) as callers:
        requests.Session().get(f"{gateway.url}/health", timeout=10)  # a connection that stays open and says nothing
        whole = callers.submit(chat, gateway)
        provider.wait_until(lambda: len(provider.requests) == 1, 20)
        streams = {
            name: callers.submit(asked, gateway, path, stream=True, **body) for name, (path, body) in ASKED.items()
        }
        provider.wait_until(lambda: len(provider.requests) == 1 + len(ASKED), 20)
        with half_asked(gateway) as finish:
            time.sleep(0.5)  # until some words are there
            os.kill(gateway.pid, signal.SIGTERM)
            told = {name: last_event(stream) for name, stream in streams.items()}
            late = finish()
        assert end_of(gateway)
    restarting = "The gateway is restarting; please send the request again."
    assert {name for name, event in told.items() if not message(event).endswith(restarting)} == set()
    assert told["chat"]["error"]["code"] == "service_unavailable"
    assert (told["message"]["type"], told["message"]["error"]["type"]) == ("error", "overloaded_error")
    assert (told["response"]["type"], told["response"]["response"]["status"]) == ("response.failed", "failed")
    assert [(told[name]["phase"], told[name]["cause"]) for name in ("debate", "flow")] == [
        ("plan", "service_unavailable"),
        ("draft", "service_unavailable"),
    ]
    assert (whole.result().status_code, whole.result().headers["retry-after"]) == (503, "1")
    assert late.startswith(b"HTTP/1.1 503 ")
    assert rows(gateway, BOOKED) == [
        (502, "phase_failed", 1, 1, 2),
        (503, "service_unavailable", 0, 0, 1),
        (503, "service_unavailable", 1, 0, 1),
        (503, "service_unavailable", 1, 1, len(ASKED) - 2),
    ]


def last_event(stream: Future[requests.Response]) -> dict[str, Any]:
    """What the last event of a stream says."""
    last = stream.result().content.rstrip().rsplit(b"\n\n", 1)[-1]
    told: dict[str, Any] = orjson.loads(last[last.index(b"data: ") + 6 :])
    return told


def message(event: dict[str, Any]) -> str:
    """What an event says of an error."""
    return str((event.get("error") or event["response"]["error"])["message"])


@contextmanager
def half_asked(gateway: Gateway) -> Iterator[Any]:
    """A request whose body has come to its middle; yields what sends the rest and returns the answer."""
    body = orjson.dumps(WORDS)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as channel:
        channel.sendall(head + body[:20])

        def finish() -> bytes:
            channel.sendall(body[20:])
            return channel.recv(65536)

        yield finish


def test_one_last_thing_keeps_no_other_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def fails() -> None:
        done.append("fails")
        raise OSError("no space left")

    monkeypatch.setattr(drain, "_last_things", [fails, lambda: done.append("next")])
    with pytest.raises(OSError, match="no space left"):
        drain.over()
    assert done == ["fails", "next"]
