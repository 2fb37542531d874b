"""A debate is told while it goes on, and ends when nobody listens."""

import time

import pytest
import requests

from tests.gateway.debates import PROMPT, ask, play_debate, sent, without_comments
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import HANG, Script
from tests.server import Gateway, wait_for


@pytest.fixture
def debate(provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """OpenAI plans and refines, Anthropic criticises."""
    play_debate(provider, anthropic)


def test_it_works(trio: Gateway, debate: None) -> None:
    """Each phase is told as it goes on."""
    events = without_comments(ask(trio, stream=True))
    assert [(name, data["phase"]) for name, data in events] == [
        *(("phase.started", "plan"), ("phase.delta", "plan"), ("phase.delta", "plan"), ("phase.completed", "plan")),
        *(("phase.started", "critique"), ("phase.delta", "critique"), ("phase.delta", "critique")),
        ("phase.completed", "critique"),
        *(("phase.started", "refine"), ("phase.delta", "refine"), ("phase.delta", "refine")),
        *(("phase.completed", "refine"), ("result", "refine")),
    ]
    assert "".join(data["delta"] for name, data in events if name == "phase.delta") == "the plantoo vaguebetter plan"
    completed = [data for name, data in events if name == "phase.completed"]
    assert [(each["text"], each["model"], each["provider"]) for each in completed] == [
        ("the plan", "gpt-4", "openai"),
        ("too vague", "claude-2", "anthropic"),
        ("better plan", "gpt-4", "openai"),
    ]
    assert [each["usage"]["total_tokens"] for each in completed] == [120, 180, 450]
    assert [each["cost_usd"] for each in completed] == [0.0036, 0.0018, 0.0135]
    assert {each["finish_reason"] for each in completed} == {"stop"}


def test_the_result_of_a_stream_is_that_of_a_whole_answer(trio: Gateway) -> None:
    whole = ask(trio).json()
    answer = ask(trio, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    result = without_comments(answer)[-1][1]
    assert result.pop("phase") == "refine"
    assert result.pop("request_id") == answer.headers["x-tokenhub-request-id"] != whole.pop("request_id")
    assert result == whole


def test_a_stream_is_kept_alive_while_a_phase_thinks(trio: Gateway, provider: ScriptedProvider) -> None:
    provider.play(Script(chat_stream(), delay_before_headers=0.5))
    began = time.monotonic()
    events = sent(ask(trio, stream=True))
    name, _ = next(events)
    assert (name, time.monotonic() - began < 0.4) == ("phase.started", True)
    comments = 0
    while not next(events)[0]:
        comments += 1
    assert 2 <= comments <= 5
    assert [name for name, _ in events][-1] == "result"


@pytest.mark.parametrize(
    "script",
    [HANG, Script(chat_stream([f" {n}" for n in range(40)]), split=10, delay_between_pieces=0.05)],
    ids=["silent", "speaking"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_leaves_ends_it(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, script: Script, *, stream: bool
) -> None:
    before = len(trio.calls())
    provider.play(script)
    if stream:
        answer = ask(trio, stream=True)
        events = sent(answer)  # kept: to drop it would close the connection
        next(events)
        provider.wait_until(lambda: len(provider.requests) == 1)
        answer.close()
    else:
        with pytest.raises(requests.exceptions.Timeout):
            requests.post(f"{trio.url}/v1/adversarial", json={"prompt": PROMPT}, timeout=0.3)
    left_at = time.monotonic()
    provider.wait_until(lambda: len(provider.closed_early) == 1)
    assert time.monotonic() - left_at < 1.0
    assert wait_for(lambda: len(trio.calls()) > before)
    call = trio.calls()[-1]
    assert (call["status"], call["error"], call["message"]) == (499, "caller_left", "POST /v1/adversarial 499")
    assert anthropic.requests == []
    assert "Traceback" not in trio.log


def test_a_caller_that_does_not_read_and_leaves(trio: Gateway, provider: ScriptedProvider) -> None:
    """Pieces wait for their reader at every place of the way when it goes: none of them is in the way of the end."""
    before = len(trio.calls())
    provider.play(chat_stream([" word" * 2000] * 2000, include_usage=False))
    answer = ask(trio, stream=True)
    time.sleep(0.3)  # until the buffers are full
    answer.close()
    provider.wait_until(lambda: len(provider.closed_early) == 1, 2.0)
    assert wait_for(lambda: len(trio.calls()) > before, 2.0)
    assert trio.calls()[-1]["error"] == "caller_left"
