"""A caller that leaves takes the call to the provider with it."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import pytest
import requests

from gateway import attempt
from gateway.adapters.transport import Transport
from gateway.cooldown import cooldowns
from gateway.exchange import Attempt, Policy
from gateway.patience import Patience
from gateway.wire import openai
from registry.models import ProviderType
from tests.facts import model_facts, provider_facts
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, chat_stream
from tests.scripted_script import HANG, Cut, Script, Tokens
from tests.server import Gateway, model, wait_for

WORDS = chat_stream([f" {n}" for n in range(40)], include_usage=False)
SLOW = Script(WORDS, delay_between_pieces=0.1)


def config(provider: ScriptedProvider) -> dict[str, object]:
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}],
        "models": [model("m", "p")],
    }


def test_it_works(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(SLOW)
    answer = gateway.post(stream=True)
    events = answer.iter_lines()
    next(events)
    left_at = time.monotonic()
    answer.close()
    provider.wait_until(lambda: len(provider.closed_early) == 1)
    assert time.monotonic() - left_at < 1.0
    call = gateway.call_of(answer)
    assert (call["status"], call["error"], call["estimated"]) == (499, "caller_left", True)
    assert call["output_tokens"] >= 1


@contextmanager
def caller(gateway: Gateway, *, stream: bool = True) -> Iterator[socket.socket]:
    """A caller who asks on a bare socket."""
    body = orjson.dumps({"messages": [{"role": "user", "content": "x"}], "stream": stream})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(head + body)
        yield connection


@pytest.mark.parametrize(
    "script", [HANG, Script(WORDS, cut=Cut(after_bytes=10, how="silence"))], ids=["headers", "words"]
)
@pytest.mark.parametrize("stream", [False, True])
def test_leaving_while_the_provider_is_silent(
    gateway: Gateway, provider: ScriptedProvider, other: ScriptedProvider, script: Script, *, stream: bool
) -> None:
    provider.play(script)
    with pytest.raises(requests.exceptions.RequestException):
        requests.post(
            f"{gateway.url}/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "x"}], "stream": stream},
            timeout=0.4,
        )
    left_at = time.monotonic()
    provider.wait_until(lambda: len(provider.closed_early) == 1)
    assert time.monotonic() - left_at < 1.0
    assert other.requests == []
    assert wait_for(lambda: gateway.calls()[-1]["error"] == "caller_left")
    call = gateway.calls()[-1]
    assert call["estimated"]
    assert call["input_tokens"] > 0  # the provider has read the prompt, and may ask for it
    assert "Traceback" not in gateway.log


def test_what_never_went_out_is_not_booked(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(HANG)
    answer = gateway.post(messages=[{"role": "user", "content": "word " * 1000}], timeout_ms=0.001)
    assert answer.status_code == 504
    assert provider.requests == []
    assert answer.headers["x-tokenhub-cost-usd"] == "0.000000"
    late = gateway.post(timeout_ms=300)
    assert (late.status_code, float(late.headers["x-tokenhub-cost-usd"]) > 0) == (504, True)


def test_leaving_behind_the_next_request(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A caller who had sent more already, and then leaves, is noticed as well."""
    provider.play(HANG)
    with caller(gateway) as waiting:
        assert wait_for(lambda: provider.requests)
        waiting.sendall(b"GET /health HTTP/1.1\r\n")
        time.sleep(0.2)
        waiting.close()
        left_at = time.monotonic()
        provider.wait_until(lambda: len(provider.closed_early) == 1)
        assert time.monotonic() - left_at < 1.0


def test_the_next_request_is_no_leaving(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat_stream([" a"] * 8), delay_between_pieces=0.1))
    with caller(gateway) as waiting:
        assert wait_for(lambda: provider.requests)
        waiting.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        said = b""
        while piece := waiting.recv(65536):
            said += piece
    assert b"data: [DONE]" in said
    assert said.endswith(b'{"status": "healthy"}')


def test_a_usage_that_came_before_the_caller_left_is_booked(provider: ScriptedProvider) -> None:
    """At the event that ends a stream a caller may be gone: what the provider told until then counts."""
    provider.play(chat_stream(["a", "b"], usages=[Tokens(70, 2)]))
    told = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    request = openai.read_chat(orjson.dumps(told), told, Policy())
    at = provider_facts(type=ProviderType.VLLM, base_url=provider.url, may_be_private=True)
    transport, record = Transport(), Attempt("m", "p")
    permit = cooldowns.unasked(model_facts(provider=at))
    pieces = attempt.run(request, permit, Patience(5), transport=transport, record=record)
    while next(pieces).raw != b"data: [DONE]\n\n":
        pass
    pieces.close()
    transport.close()
    assert (record.usage.input, record.usage.output, record.usage.estimated) == (70, 2, False)


@pytest.fixture
def endless() -> Script:
    """Far more words than the buffers between a gateway and its caller hold."""
    return Script(chat_stream([" word" * 2000] * 4000, include_usage=False))


def test_a_caller_that_never_reads(provider: ScriptedProvider, tmp_path: Path, endless: Script) -> None:
    provider.play(endless)
    with Gateway(tmp_path, config(provider), TOKENHUB_WRITE_SECONDS="1") as gateway, caller(gateway):
        provider.wait_until(lambda: len(provider.closed_early) == 1)
        assert wait_for(gateway.calls)
        assert [call["error"] for call in gateway.calls()] == ["caller_left"]


def test_a_caller_that_never_reads_a_whole_answer(provider: ScriptedProvider, tmp_path: Path) -> None:
    """The last bytes of an answer are bounded in time like all others."""
    size = 30_000_000
    provider.play(chat("x" * size))
    with (
        Gateway(tmp_path, config(provider), TOKENHUB_WRITE_SECONDS="1") as gateway,
        caller(gateway, stream=False) as connection,
    ):
        assert wait_for(gateway.calls)
        time.sleep(2)
        got = 0
        with suppress(ConnectionError):
            while piece := connection.recv(1 << 20):
                got += len(piece)
        assert 0 < got < size
        assert "Traceback" not in gateway.log


def test_a_caller_that_never_reads_does_not_keep_a_worker_from_stopping(
    provider: ScriptedProvider, tmp_path: Path, endless: Script
) -> None:
    provider.play(endless)
    deadlines = {"TOKENHUB_DRAIN_SECONDS": "1", "TOKENHUB_GRACEFUL_TIMEOUT": "15"}
    with Gateway(tmp_path, config(provider), **deadlines) as gateway, caller(gateway):
        assert wait_for(lambda: provider.requests)
        time.sleep(0.5)  # until the buffers are full
        began = time.monotonic()
        assert gateway.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 8
        assert [call["error"] for call in gateway.calls()] == ["caller_left"]
