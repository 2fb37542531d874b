"""Several prompts, several choices and the prompt before each of them, at models that only chat."""

import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error as anthropic_error
from tests.scripted_anthropic import message
from tests.scripted_openai import completion, error
from tests.scripted_script import Cut, Script, Tokens
from tests.server import Gateway, model

PROMPTS = ["one", "two"]


@pytest.fixture(scope="module")
def mixed(
    provider: ScriptedProvider,
    other: ScriptedProvider,
    anthropic: ScriptedProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A running gateway with models that chat in two languages, one that completes, and the built-in echo."""
    config = {
        "providers": [
            {"name": "openai", "type": "openai", "base_url": provider.url, "api_key": "sk-1"},
            {"name": "anthropic", "type": "anthropic", "base_url": anthropic.url, "api_key": "sk-2"},
            {"name": "vllm", "type": "vllm", "base_url": other.url},
            {"name": "echo", "type": "echo"},
        ],
        "models": [
            model("text", "vllm", weight=90, capabilities=["completion"]),
            model("claude", "anthropic", weight=50, capabilities=["chat"]),
            model("gpt", "openai", weight=40, capabilities=["chat"]),
            model("echo-1", "echo", weight=10, capabilities=["chat"]),
        ],
    }
    with Gateway(tmp_path_factory.mktemp("choices"), config) as running:
        yield running


@pytest.fixture
def client(mixed: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{mixed.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


def complete(gateway: Gateway, **asked: Any) -> Any:
    return gateway.post("/v1/completions", messages=None, **asked)


def asked_of(provider: ScriptedProvider) -> list[str]:
    """Return the prompts that a provider was asked in chats, in their order."""
    said = [received.json["messages"][-1]["content"] for received in provider.requests]
    return [each if isinstance(each, str) else each[0]["text"] for each in said]


def test_it_works(client: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    """Two prompts and two choices of each: four chats, whose answers have the order that OpenAI gives them."""
    anthropic.play(*(message((f"answer {number}",), usage=Tokens(7, 2)) for number in range(4)))
    answer = client.completions.create(model="claude", prompt=PROMPTS, n=2, temperature=0.5, max_tokens=50)
    told = [(choice.index, choice.text, choice.finish_reason) for choice in answer.choices]
    assert told == [(number, f"answer {number}", "stop") for number in range(4)]
    assert asked_of(anthropic) == ["one", "one", "two", "two"]
    assert {(received.json["temperature"], received.json["max_tokens"]) for received in anthropic.requests} == {
        (0.5, 50)
    }
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (28, 8, 36)
    assert (answer.object, answer.model) == ("text_completion", "claude")


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("name", ["claude", "gpt", "echo-1"])
def test_a_stream(client: openai.OpenAI, name: str, *, usage: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(client.completions.create(model=name, prompt=PROMPTS, n=2, stream=True, **options))
    whole = client.completions.create(model=name, prompt=PROMPTS, n=2)
    texts = ["", "", "", ""]
    ended = []
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.text
        ended += [choice.index] if choice.finish_reason else []
    assert texts == [choice.text for choice in whole.choices]
    assert ended == [0, 1, 2, 3]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    told = [(chunk.choices, chunk.usage) for chunk in chunks if chunk.usage]
    assert told == ([([], whole.usage)] if usage else [])


def test_each_choice_is_booked(mixed: Gateway, provider: ScriptedProvider) -> None:
    answer = complete(mixed, model="gpt", prompt=PROMPTS, n=3)
    assert answer.headers["x-tokenhub-attempts"] == "6"
    call = mixed.call_of(answer)
    assert [tried[:2] for tried in call["attempts"]] == [["gpt", 200]] * 6
    assert (call["input_tokens"], call["output_tokens"], call["status"]) == (42, 18, 200)
    assert answer.json()["usage"]["total_tokens"] == 60
    assert len(provider.requests) == 6


@pytest.mark.parametrize("name", ["claude", "gpt", "echo-1"])
def test_the_prompt_comes_before_its_answer(client: openai.OpenAI, name: str) -> None:
    answers = {"claude": "Hello from here", "gpt": "Hello from here"}
    whole = client.completions.create(model=name, prompt=PROMPTS, echo=True)
    assert [choice.text for choice in whole.choices] == [f"{each}{answers.get(name, each)}" for each in PROMPTS]
    chunks = list(client.completions.create(model=name, prompt="three", echo=True, stream=True))
    assert chunks[0].choices[0].text == "three"
    assert "".join(chunk.choices[0].text for chunk in chunks) == f"three{answers.get(name, 'three')}"


def test_the_best_of_as_many_as_are_shown(client: openai.OpenAI) -> None:
    assert len(client.completions.create(model="claude", prompt="x", n=2, best_of=2).choices) == 2


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"prompt": ["x"] * 17}, "prompt"),
        ({"prompt": ["x"] * 6, "n": 3}, "n"),
        ({"n": 17}, "n"),
        ({"n": 0}, "n"),
        ({"n": "two"}, "n"),
        ({"n": True}, "n"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"n": 2, "logprobs": 1}, "logprobs"),
        ({"n": 2, "suffix": "end"}, "suffix"),
        ({"echo": "yes"}, "echo"),
        ({"prompt": ["x", [1, 2]]}, "prompt"),
    ],
)
def test_what_chats_cannot_give_is_refused_or_goes_elsewhere(
    mixed: Gateway, anthropic: ScriptedProvider, other: ScriptedProvider, asked: dict[str, Any], field: str
) -> None:
    body = {"prompt": "x", **asked}
    answer = complete(mixed, models=["claude", "gpt"], **body)
    told = answer.json()["error"]
    assert (answer.status_code, told["param"]) == (400, field)
    assert re.search(rf"claude: [^;]*`{field}`", told["message"]) or told["message"].startswith(f"`{field}` ")
    assert anthropic.requests == []
    assert complete(mixed, model="claude", **body).headers["x-tokenhub-model"] == "text"
    (received,) = other.requests
    assert {name: received.json[name] for name in body} == body


def test_sixteen_are_not_too_many(client: openai.OpenAI) -> None:
    assert len(client.completions.create(model="echo-1", prompt=["x"] * 8, n=2).choices) == 16


def test_a_model_for_completions_takes_all_at_once(mixed: Gateway, other: ScriptedProvider) -> None:
    asked = {"prompt": PROMPTS, "n": 12, "echo": True}
    answer = complete(mixed, **asked)
    (received,) = other.requests
    assert (received.path, received.json) == ("/v1/completions", {**asked, "messages": None, "model": "text"})
    assert answer.content == completion()(received).body


@pytest.mark.parametrize("stream", [False, True])
def test_models_of_the_other_kind_go_on(
    mixed: Gateway, anthropic: ScriptedProvider, other: ScriptedProvider, provider: ScriptedProvider, *, stream: bool
) -> None:
    other.play(error(500, "down"), error(500, "down"))
    answer = complete(mixed, prompt=PROMPTS, stream=stream)
    assert (answer.status_code, answer.headers["x-tokenhub-model"]) == (200, "claude")
    assert b"Hello" in answer.content
    assert asked_of(anthropic) == PROMPTS
    for each in (anthropic, provider):
        each.play(*[error(500, "down")] * 4)
    answer = complete(mixed, prompt=PROMPTS, models=["claude", "gpt", "text"], stream=stream)
    assert (answer.status_code, answer.headers["x-tokenhub-model"]) == (200, "text")


def test_when_nobody_answers_all_that_was_tried_is_told(
    mixed: Gateway, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    for each in (anthropic, other):
        each.play(*[error(500, "down")] * 4)
    answer = complete(mixed, prompt=PROMPTS, models=["text", "claude"])
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert {tried["model"] for tried in answer.json()["error"]["tried"]} == {"text", "claude"}


def test_the_callers_own_fault_goes_nowhere(mixed: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(anthropic_error("invalid_request_error", "temperature: too hot"))
    answer = complete(mixed, model="claude", prompt=PROMPTS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "temperature: too hot")
    assert len(anthropic.requests) == 1


def test_a_choice_that_fails_takes_the_others_with_it(mixed: Gateway, anthropic: ScriptedProvider) -> None:
    """A whole answer has all choices or none; those that were made are booked."""
    anthropic.play(message(), anthropic_error("invalid_request_error", "not this"))
    answer = complete(mixed, model="claude", prompt=PROMPTS)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "not this")
    call = mixed.call_of(answer)
    assert [tried[1] for tried in call["attempts"]] == [200, 400]
    assert (call["input_tokens"], call["output_tokens"]) == (7, 3)
    assert call["cost_micro"] > 0


def test_a_choice_of_a_stream_that_fails_is_told_in_band(mixed: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(message(), anthropic_error("invalid_request_error", "not this"))
    answer = complete(mixed, model="claude", prompt=PROMPTS, stream=True)
    *_, last = answer.content.strip().split(b"\n\n")
    assert (answer.status_code, b'"not this"' in last, b"[DONE]" in answer.content) == (200, True, False)
    assert mixed.call_of(answer)["output_tokens"] == 3


def test_a_choice_that_breaks_off_is_told_in_band(client: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    anthropic.play(message(), Script(message(), cut=Cut(after=5)))
    with pytest.raises(openai.APIError, match=r"broke off|ended before"):
        list(client.completions.create(model="claude", prompt=PROMPTS, stream=True))


def test_another_model_goes_on_with_the_next_choice(mixed: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(message(), anthropic_error("overloaded_error", "busy"))
    answer = complete(mixed, model="claude", prompt=PROMPTS)
    assert [choice["text"] for choice in answer.json()["choices"]] == ["Hello from here"] * 2
    assert answer.json()["model"] == "claude"
    assert [tried[:2] for tried in mixed.call_of(answer)["attempts"]][0::2] == [["claude", 200], ["gpt", 200]]


def test_all_choices_share_the_time_of_the_request(mixed: Gateway) -> None:
    answer = complete(mixed, model="echo-1", prompt=["[delay=0.4] x"] * 4, timeout_ms=900)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert [tried[2] for tried in mixed.call_of(answer)["attempts"]] == ["", "", "timeout"]


def test_a_flow_gives_one_answer(mixed: Gateway) -> None:
    for asked, field in (({"prompt": PROMPTS}, "prompt"), ({"prompt": "x", "n": 2}, "n")):
        answer = complete(mixed, model="tokenhub/vote", **asked)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
