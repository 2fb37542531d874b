"""Flows are virtual models: any client of OpenAI's can ask them, and each is a file and a row."""

import inspect
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from gateway import flows
from gateway.flows import FLOWS, PREFIX
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import message
from tests.scripted_openai import chat, chat_stream, error
from tests.scripted_script import HANG, Answer, Received, Script
from tests.server import Gateway, model

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
NAMES = [f"{PREFIX}{name}" for name in FLOWS]
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def writer(received: Received) -> Answer:
    """Answer with a number that counts on, and choose the second answer when asked to judge."""
    is_judge = "holds its number" in str(received.json["messages"])
    return chat_stream(['{"choice"', ": 2}"] if is_judge else ["an", " answer"])(received)


@pytest.fixture(autouse=True)
def _writers(provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.default = other.default = writer


def test_it_works(sdk: openai.OpenAI) -> None:
    """Every flow answers as a model, also those that are written after this test."""
    assert set(FLOWS) >= {"adversarial", "refine", "vote"}
    for name in NAMES:
        answer = sdk.chat.completions.create(model=name, messages=HELLO)
        assert (answer.object, answer.model) == ("chat.completion", name)
        assert answer.choices[0].message.content
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage
        assert answer.usage.total_tokens > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_stream(sdk: openai.OpenAI, name: str) -> None:
    options: openai.types.chat.ChatCompletionStreamOptionsParam = {"include_usage": True}
    *chunks, last = sdk.chat.completions.create(model=name, messages=HELLO, stream=True, stream_options=options)
    words = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    whole = sdk.chat.completions.create(model=name, messages=HELLO)
    assert words == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {name}
    assert (last.choices, last.usage) == ([], whole.usage)


@pytest.mark.parametrize("name", NAMES)
def test_all_that_was_counted_is_told(
    trio: Gateway, name: str, provider: ScriptedProvider, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    answer = trio.post(model=name)
    counted = [each.counted for each in (provider, anthropic, other)]
    usage = answer.json()["usage"]
    assert usage["prompt_tokens"] == sum(each.input for each in counted) > 0
    assert usage["completion_tokens"] == sum(each.output for each in counted) > 0
    call = trio.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    requests = [received for each in (provider, anthropic, other) for received in each.requests]
    assert answer.headers["x-tokenhub-attempts"] == str(len(requests))


@pytest.mark.parametrize("name", NAMES)
def test_a_text_completion(sdk: openai.OpenAI, name: str) -> None:
    whole = sdk.completions.create(model=name, prompt="Once upon a time")
    chunks = list(sdk.completions.create(model=name, prompt=["Once upon a time"], stream=True))
    assert whole.object == "text_completion"
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text != ""


def test_they_are_listed(sdk: openai.OpenAI) -> None:
    listed = {model.id: model for model in sdk.models.list()}
    assert list(listed) == ["claude-2", "gpt-4", "llama-local", "auto", *NAMES]
    assert {listed[name].owned_by for name in NAMES} == {"tokenhub"}
    assert [sdk.models.retrieve(name).id for name in NAMES] == NAMES


def test_each_is_a_file_and_a_row() -> None:
    folder = Path(inspect.getfile(flows)).parent
    for name, flow in FLOWS.items():
        assert flow.name == name
        assert Path(inspect.getfile(type(flow))) == folder / f"{name}.py"
        assert flow.options
        assert inspect.getdoc(type(flow))


def test_no_other_file_knows_a_flow() -> None:
    """Nobody but the table, and the endpoint that has the name of its flow."""
    room = Path(inspect.getfile(flows)).parent.parent
    knowing = {
        path.relative_to(room).as_posix()
        for name in FLOWS
        for path in room.rglob("*.py")
        if f"flows.{name} " in path.read_text() and path.stem != name
    }
    assert knowing == {"flows/__init__.py"}


def test_an_unknown_flow(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="tokenhub/adversary"):
        sdk.chat.completions.create(model="tokenhub/adversary", messages=HELLO)
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("tokenhub/adversary")


def test_the_refined_plan_is_the_answer(
    sdk: openai.OpenAI, provider: ScriptedProvider, anthropic: ScriptedProvider
) -> None:
    provider.play(chat("the plan"), chat("better plan", finish="length"))
    anthropic.play(message(["too", " vague"]))
    answer = sdk.chat.completions.create(
        model="tokenhub/adversarial", messages=HELLO, max_tokens=50, extra_body={"rounds": 1, "planner": "gpt-4"}
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("better plan", "length")
    assert "too vague" in str(provider.requests[1].json["messages"])


def test_only_the_answer_is_streamed(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    provider.play(chat_stream(["the", " plan"]), chat_stream(["better", " plan"]))
    anthropic.play(message(["too", " vague"]))
    blocks = trio.post(model="tokenhub/adversarial", stream=True).content.split(b"\n\n")
    assert [block for block in blocks if block.startswith(b":")] == [b": critique", b": refine"]
    deltas = [orjson.loads(block[6:])["choices"][0]["delta"] for block in blocks if block.startswith(b"data: {")]
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["better", " plan"]
    assert blocks[-2:] == [b"data: [DONE]", b""]


def test_a_silent_phase_is_kept_alive(trio: Gateway, provider: ScriptedProvider) -> None:
    """From its first phase on: nothing of the answer has been sent then."""
    provider.play(Script(chat_stream(), delay_before_headers=0.35))
    content = trio.post(model="tokenhub/adversarial", stream=True).content
    assert content.startswith(b": ping\n\n")
    assert 2 <= content.count(b": ping\n\n") <= 5


@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_phase_tells_what_was_made(trio: Gateway, anthropic: ScriptedProvider, *, stream: bool) -> None:
    anthropic.play(message([], fails_with="rate_limit_error"))
    answer = trio.post(model="tokenhub/adversarial", stream=stream, critic="claude-2", fallback=False)
    if stream:
        assert answer.status_code == 200
        told = orjson.loads(answer.content.rpartition(b"data: ")[2])
        assert b"[DONE]" not in answer.content
    else:
        assert answer.status_code == 502
        told = answer.json()
        assert answer.headers["x-should-retry"] == "false"
    assert (told["error"]["code"], told["phase"], told["cause"]) == ("phase_failed", "critique", "rate_limit_exceeded")
    assert told["partial"]["initial_plan"] == "an answer"
    assert told["partial"]["total_tokens"] == 9


@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_phase_tells_it_in_anthropics_format_as_well(
    trio: Gateway, anthropic: ScriptedProvider, *, stream: bool
) -> None:
    anthropic.play(message([], fails_with="rate_limit_error"))
    asked = {"model": "tokenhub/adversarial", "stream": stream, "critic": "claude-2", "fallback": False}
    answer = trio.post("/v1/messages", max_tokens=100, **asked)
    assert answer.status_code == (200 if stream else 502)
    told = orjson.loads(answer.content.rpartition(b"data: ")[2] if stream else answer.content)
    assert (told["type"], told["error"]["type"]) == ("error", "api_error")
    assert (told["phase"], told["cause"]) == ("critique", "rate_limit_exceeded")
    assert (told["partial"]["initial_plan"], told["partial"]["total_tokens"]) == ("an answer", 9)


@pytest.mark.parametrize("stream", [False, True])
def test_a_hidden_phase_that_breaks_off_is_replaced(
    trio: Gateway, anthropic: ScriptedProvider, *, stream: bool
) -> None:
    """Nobody has seen its words, so another model may say them."""
    anthropic.play(message(["some", " words"], fails_with="overloaded_error"))
    answer = trio.post(model="tokenhub/adversarial", stream=stream, critic="claude-2")
    assert answer.status_code == 200
    assert b"phase_failed" not in answer.content
    critics = [attempt[0] for attempt in trio.call_of(answer)["attempts"][1:3]]
    assert critics[0] == "claude-2" != critics[1]


def test_an_error_of_the_first_phase_is_told_by_its_status(sdk: openai.OpenAI, provider: ScriptedProvider) -> None:
    provider.play(error(400, "no such setting"))
    with pytest.raises(openai.APIStatusError, match="no such setting") as raised:
        list(sdk.chat.completions.create(model="tokenhub/refine", messages=HELLO, stream=True))
    assert raised.value.status_code == 502


def test_a_caller_that_leaves_ends_it(trio: Gateway, provider: ScriptedProvider) -> None:
    provider.play(chat_stream(["draft"]), Script(chat_stream([" word"] * 60), delay_between_pieces=0.05))
    answer = trio.post(model="tokenhub/refine", stream=True)
    lines = answer.iter_lines()  # kept: to drop it would close the connection
    assert next(lines)
    provider.wait_until(lambda: len(provider.requests) == 2)
    answer.close()
    provider.wait_until(lambda: len(provider.closed_early) == 1, 1.0)
    call = trio.call_of(answer)
    assert (call["status"], call["error"]) == (499, "caller_left")
    assert call["output_tokens"] >= 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"rounds": 9}, "rounds"),
        ({"max_total_cost_usd": "x"}, "max_total_cost_usd"),
    ],
)
def test_what_a_flow_cannot_do_is_refused(
    trio: Gateway, provider: ScriptedProvider, body: dict[str, Any], field: str
) -> None:
    answer = trio.post(model="tokenhub/refine", **body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert provider.requests == []


@pytest.mark.parametrize("field", ["suffix", "echo", "best_of", "logprobs"])
def test_what_a_flow_cannot_complete_is_refused(trio: Gateway, field: str) -> None:
    asked: dict[str, Any] = {"prompt": "x", "messages": None, field: {"suffix": "y", "best_of": 2}.get(field, 1)}
    answer = trio.post("/v1/completions", model="tokenhub/refine", **asked)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    answer = trio.post("/v1/completions", model="tokenhub/refine", messages=None, prompt=["one", "two"])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


def test_pictures_go_to_models_that_see(tmp_path: Path) -> None:
    config = {
        "providers": [{"name": "echo", "type": "echo"}],
        "models": [
            model("blind", "echo", weight=90, capabilities=["chat", "tools"]),
            model("sees", "echo", weight=10, capabilities=["chat", "vision"]),
        ],
    }
    seen = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, PICTURE]}]
    with Gateway(tmp_path, config) as running:
        assert running.post(model="tokenhub/refine").headers["x-tokenhub-model"] == "blind"
        assert running.post(model="tokenhub/refine", messages=seen).headers["x-tokenhub-model"] == "sees"
        answer = running.post(model="tokenhub/refine", messages=seen, stream=True)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_model_for_request")


def test_limits_and_policy_hold(trio: Gateway, provider: ScriptedProvider) -> None:
    assert trio.post(model="tokenhub/adversarial", max_total_cost_usd=0.00001).status_code == 402
    assert provider.requests == []
    answer = trio.post(model="tokenhub/refine", max_cost=0)
    assert answer.headers["x-tokenhub-model"] == "llama-local"


def test_refine_improves_its_own_answer(trio: Gateway, provider: ScriptedProvider) -> None:
    provider.play(*(chat_stream([text]) for text in ("first", "second", "third")))
    answer = trio.post(model="tokenhub/refine", rounds=2)
    assert answer.json()["choices"][0]["message"]["content"] == "third"
    assert len(provider.requests) == 3
    assert "second" in str(provider.requests[2].json["messages"])


def test_refine_stays_with_its_model(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """The one that wrote the draft improves it, also where it was not the first choice."""
    provider.play(error(500, "down"))
    assert trio.post(model="tokenhub/refine").headers["x-tokenhub-model"] == "claude-2"
    assert (len(provider.requests), len(anthropic.requests)) == (1, 2)


def test_vote_asks_as_many_models_as_there_are(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(chat_stream(["from gpt"]), chat_stream(['{"choice": 3}']))
    anthropic.play(message(["from claude"]))
    other.play(chat_stream(["from llama"]))
    answer = trio.post(model="tokenhub/vote")
    assert answer.json()["choices"][0]["message"]["content"] == "from llama"
    judged = str(provider.requests[1].json["messages"])
    assert [f"from {name}" in judged for name in ("gpt", "claude", "llama")] == [True] * 3


def test_vote_with_more_voters_than_models(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    anthropic.default = message(['{"choice"', ": 5}"])
    provider.default = chat_stream(["from gpt"])
    answer = trio.post(model="tokenhub/vote", voters=5, judge="claude-2")
    assert answer.status_code == 200
    assert (len(provider.requests), len(anthropic.requests), len(other.requests)) == (2, 3, 1)


@pytest.mark.parametrize(
    "verdict",
    [
        "2",
        "The second.",
        '{"choice": 4}',
        '{"choice": 0}',
        '{"choice": -1}',
        '{"choice": "2"}',
        '{"choice": 2.0}',
        '{"choice": true}',
        '{"choice": null}',
        '{"choice": [2]}',
        '{"choice": 2, "because": "best"}',
        '[{"choice": 2}]',
        '```json\n{"choice": 2}\n```',
        "{}",
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_judge_is_taken_at_its_word(trio: Gateway, provider: ScriptedProvider, verdict: str, *, stream: bool) -> None:
    provider.play(chat_stream(["an", " answer"]), chat_stream([verdict]))
    answer = trio.post(model="tokenhub/vote", stream=stream)
    told = orjson.loads(answer.content.rpartition(b"data: ")[2]) if stream else answer.json()
    assert (told["error"]["code"], told["phase"], told["cause"]) == ("phase_failed", "judge", "no_choice")
    assert [each["model"] for each in told["partial"]["answers"]] == ["gpt-4", "claude-2", "llama-local"]
    assert told["partial"]["verdict"] == verdict
    assert told["partial"]["usage"]["judge"]["total_tokens"] > 0


@pytest.mark.parametrize("verdict", ['{"choice": 2}', ' {"choice":2}\n'])
def test_a_judge_may_write_json_as_it_likes(trio: Gateway, provider: ScriptedProvider, verdict: str) -> None:
    provider.play(chat_stream(["an", " answer"]), chat_stream([verdict]))
    assert trio.post(model="tokenhub/vote").json()["choices"][0]["message"]["content"] == "Hello from here"


@pytest.mark.parametrize(("field", "value"), [("voters", 0), ("voters", 9), ("voters", "3"), ("judge", 5)])
def test_bad_options_of_vote(trio: Gateway, field: str, value: Any) -> None:
    answer = trio.post(model="tokenhub/vote", **{field: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_an_unknown_judge_is_found_out_first(trio: Gateway, provider: ScriptedProvider) -> None:
    answer = trio.post(model="tokenhub/vote", judge="gpt-5")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert provider.requests == []


def test_a_small_limit_of_words_leaves_the_judge_its_own(trio: Gateway, provider: ScriptedProvider) -> None:
    """Its verdict takes a few tokens, which a caller who wants a short answer does not think of."""
    assert trio.post(model="tokenhub/vote", max_tokens=2).ok
    answered, judged = provider.requests
    assert answered.json["max_completion_tokens"] == 2
    assert judged.json["max_completion_tokens"] >= 16


def test_a_phase_may_be_hedged(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """Who was overtaken is counted, and is not taken for the one that answered."""
    provider.play(HANG)
    told = trio.post("/v1/adversarial", prompt="x", messages=None, hedge_ms=50).json()
    assert told["models"]["planner"] == "claude-2"
    assert told["usage"]["plan"]["estimated"]
