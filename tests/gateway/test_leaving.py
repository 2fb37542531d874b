"""A caller that leaves takes the call to the provider with it; a worker that is told to stop leaves in good order."""

import signal
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import HANG, Cut, Script
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
    assert "Traceback" not in gateway.log


def test_streams_finish_when_the_worker_stops(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.default = SLOW
    with Gateway(tmp_path, config(provider)) as gateway:
        idle = requests.Session()
        idle.get(f"{gateway.url}/health")
        answers: list[bytes] = []
        callers = [threading.Thread(target=lambda: answers.append(gateway.post(stream=True).content)) for _ in range(5)]
        for caller in callers:
            caller.start()
        assert wait_for(lambda: len(provider.requests) == 5)
        began = time.monotonic()
        assert gateway.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 10
        for caller in callers:
            caller.join()
        assert [answer.endswith(b"data: [DONE]\n\n") for answer in answers] == [True] * 5
        assert [call["status"] for call in gateway.calls()] == [200] * 5


def test_streams_that_are_too_long_are_ended_in_band(provider: ScriptedProvider, tmp_path: Path) -> None:
    provider.play(SLOW)
    deadlines = {"TOKENHUB_DRAIN_SECONDS": "1", "TOKENHUB_GRACEFUL_TIMEOUT": "5"}
    with Gateway(tmp_path, config(provider), **deadlines) as gateway:
        answer = gateway.post(stream=True)
        began = time.monotonic()
        stopper = threading.Thread(target=gateway.stop)
        stopper.start()
        content = answer.content
        stopper.join()
        assert time.monotonic() - began < 4.5
        assert b'"code":"service_unavailable"' in content
        assert b"[DONE]" not in content
        call = gateway.call_of(answer)
        assert (call["status"], call["error"], call["estimated"]) == (503, "service_unavailable", True)
