"""Text goes on from a prompt, at models for it and at those that only chat."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from gateway.conversation import Untranslatable
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error as anthropic_error
from tests.scripted_anthropic import message
from tests.scripted_openai import chat_stream, completion, error
from tests.scripted_script import Cut, Script, Tokens
from tests.server import Gateway, model

ONCE = "Once upon a time in a land far away"


@pytest.fixture(scope="module")
def mixed(
    provider: ScriptedProvider,
    other: ScriptedProvider,
    anthropic: ScriptedProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A running gateway with models that chat, that complete, and that do both."""
    config = {
        "providers": [
            {"name": "openai", "type": "openai", "base_url": provider.url, "api_key": "sk-1"},
            {"name": "anthropic", "type": "anthropic", "base_url": anthropic.url, "api_key": "sk-2"},
            {"name": "vllm", "type": "vllm", "base_url": other.url},
            {"name": "echo", "type": "echo"},
        ],
        "models": [
            model("both", "vllm", weight=90, name="served", capabilities=["chat", "completion"]),
            model("only-chat", "vllm", weight=80, capabilities=["chat"], context_size=4096),
            model("instruct", "openai", weight=70, capabilities=["completion"]),
            model("gpt", "openai", weight=60, capabilities=["chat", "completion"]),
            model("claude", "anthropic", weight=50, capabilities=["chat"], context_size=200_000),
            model("echo-1", "echo", weight=10, cost_per_1k=0, capabilities=["chat", "completion"]),
        ],
    }
    with Gateway(tmp_path_factory.mktemp("mixed"), config) as running:
        yield running


@pytest.fixture
def client(mixed: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{mixed.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


@pytest.fixture
def served(
    provider: ScriptedProvider, other: ScriptedProvider, anthropic: ScriptedProvider
) -> dict[str, ScriptedProvider]:
    """Who serves which model."""
    return {"both": other, "only-chat": other, "instruct": provider, "gpt": provider, "claude": anthropic}


def test_it_works(mixed: Gateway, other: ScriptedProvider) -> None:
    """The example of the users' guide, at a server that completes texts: relayed as it is."""
    asked = {"prompt": ONCE, "max_tokens": 200, "temperature": 0.8}
    answer = mixed.session.post(f"{mixed.url}/v1/completions", json=asked, timeout=10)
    (received,) = other.requests
    assert received.path == "/v1/completions"
    assert received.json == {**asked, "model": "served"}
    assert answer.content == completion()(received).body
    assert answer.headers["x-tokenhub-model"] == "both"
    assert answer.headers["x-tokenhub-cost-usd"] == "0.000100"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("both", "/v1/completions"),
        ("only-chat", "/v1/chat/completions"),
        ("instruct", "/v1/completions"),
        ("gpt", "/v1/chat/completions"),
        ("claude", "/v1/messages"),
    ],
)
def test_each_model_in_its_own_way(
    client: openai.OpenAI, served: dict[str, ScriptedProvider], name: str, path: str
) -> None:
    answer = client.completions.create(model=name, prompt=ONCE, max_tokens=200, temperature=0.8, stop=["END"])
    (choice,) = answer.choices
    assert (answer.object, choice.text, choice.finish_reason) == ("text_completion", "Hello from here", "stop")
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 3, 10)
    (received,) = served[name].requests
    assert received.path == path
    asked = received.json
    assert asked["temperature"] == 0.8
    assert asked.get("max_tokens", asked.get("max_completion_tokens")) == 200
    assert asked.get("stop", asked.get("stop_sequences")) == ["END"]
    said = {"/v1/completions": "prompt", "/v1/chat/completions": "messages", "/v1/messages": "messages"}[path]
    assert ONCE in str(asked[said])


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("name", ["both", "only-chat", "gpt", "claude"])
def test_a_stream(client: openai.OpenAI, name: str, *, usage: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(client.completions.create(model=name, prompt=ONCE, stream=True, **options))
    assert [choice.text for chunk in chunks for choice in chunk.choices if choice.text] == ["Hello", " from", " here"]
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    told = [(chunk.choices, chunk.usage.total_tokens) for chunk in chunks if chunk.usage]
    assert told == ([([], 10)] if usage else [])


@pytest.mark.parametrize("name", ["both", "only-chat", "claude"])
def test_a_stream_is_counted_whether_the_caller_asks_or_not(mixed: Gateway, name: str) -> None:
    answer = mixed.post("/v1/completions", model=name, prompt=ONCE, messages=None, stream=True)
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert b'"total_tokens"' not in answer.content
    call = mixed.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"], call["estimated"]) == (7, 3, False)
    assert call["message"] == "POST /v1/completions 200"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["both", "only-chat", "claude"])
def test_an_answer_that_met_its_limit(
    client: openai.OpenAI, served: dict[str, ScriptedProvider], name: str, *, stream: bool
) -> None:
    says = {
        "both": completion(finish="length"),
        "only-chat": chat_stream(finish="length"),
        "claude": message(stop="max_tokens"),
    }
    served[name].play(says[name])
    if stream:
        reasons = [
            chunk.choices[0].finish_reason for chunk in client.completions.create(model=name, prompt=ONCE, stream=True)
        ]
        assert reasons[-1] == "length"
    else:
        assert client.completions.create(model=name, prompt=ONCE).choices[0].finish_reason == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_echo(client: openai.OpenAI, *, stream: bool) -> None:
    if stream:
        chunks = client.completions.create(model="echo-1", prompt="one two three", max_tokens=2, stream=True)
        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "one two"
    else:
        answer = client.completions.create(model="echo-1", prompt="one two three", max_tokens=2)
        assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one two", "length")
        assert answer.usage
        assert 0 < answer.usage.prompt_tokens < 10


@pytest.mark.parametrize("stream", [False, True])
def test_the_next_model_goes_on(mixed: Gateway, other: ScriptedProvider, *, stream: bool) -> None:
    other.play(error(500, "down"), error(503, "down"))
    answer = mixed.post("/v1/completions", prompt=ONCE, messages=None, stream=stream)
    assert answer.status_code == 200
    assert b"Hello" in answer.content
    assert answer.headers["x-tokenhub-model"] == "instruct"


def test_a_cut_after_words_is_told_in_band(client: openai.OpenAI, served: dict[str, ScriptedProvider]) -> None:
    says = {"both": completion(), "only-chat": chat_stream(), "claude": message()}
    for name, said in says.items():
        served[name].play(Script(said, cut=Cut(after=5 if name == "claude" else 2)))
        with pytest.raises(openai.APIError, match=r"broke off|ended before"):
            list(client.completions.create(model=name, prompt=ONCE, stream=True))


def test_the_callers_own_fault_has_openais_shape(mixed: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(anthropic_error("invalid_request_error", "temperature: too hot"))
    answer = mixed.post("/v1/completions", model="claude", prompt=ONCE, messages=None)
    told = {"message": "temperature: too hot", "type": "invalid_request_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (400, {"error": told})


@pytest.mark.parametrize(
    "prompt", [None, "", [], 5, {}, True, [""], [None], [{}], ["a", 1], [[]], [["a"]], [True], [1.5]]
)
def test_bad_prompts_are_refused(mixed: Gateway, other: ScriptedProvider, prompt: object) -> None:
    answer = mixed.post("/v1/completions", prompt=prompt, messages=None)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["param"]) == (400, "invalid_request", "prompt")
    assert other.requests == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_tokens", -1), ("max_tokens", "many"), ("stream", "yes"), ("stream_options", 1), ("model", 7)],
)
def test_bad_fields_are_refused(mixed: Gateway, field: str, value: object) -> None:
    answer = mixed.post("/v1/completions", prompt=ONCE, messages=None, **{field: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="instrukt") as raised:
        client.completions.create(model="instrukt", prompt=ONCE)
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", [1, 2, 3]),
        ("prompt", [[1, 2, 3]]),
        ("prompt", ["one", [2]]),
        ("best_of", 2),
        ("logprobs", 0),
        ("suffix", "the end"),
    ],
)
def test_what_only_such_models_can_do_goes_to_them(
    mixed: Gateway, other: ScriptedProvider, provider: ScriptedProvider, field: str, value: object
) -> None:
    asked: dict[str, Any] = {"prompt": ONCE, "messages": None, field: value}
    other.play(error(500, "down"))
    answer = mixed.post("/v1/completions", **asked)
    assert answer.headers["x-tokenhub-model"] == "instruct"
    assert other.requests[0].json[field] == provider.requests[0].json[field] == value
    alone = mixed.post("/v1/completions", **asked, models=["gpt", "claude"])
    assert (alone.status_code, alone.json()["error"]["code"]) == (400, "no_model_for_request")
    assert f"claude: {Untranslatable(field)}" in alone.json()["error"]["message"]


def test_a_list_of_one_prompt_is_that_prompt(client: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    client.completions.create(model="claude", prompt=[ONCE])
    assert anthropic.requests[0].json["messages"][0]["content"][0]["text"] == ONCE


def test_what_has_no_counterpart_is_named(mixed: Gateway) -> None:
    asked: dict[str, Any] = {"prompt": ONCE, "messages": None, "seed": 7, "presence_penalty": 0.5}
    assert mixed.post("/v1/completions", model="claude", **asked).headers["x-tokenhub-dropped-params"].split(",") == [
        "seed",
        "presence_penalty",
    ]
    assert "x-tokenhub-dropped-params" not in mixed.post("/v1/completions", model="both", **asked).headers


def test_a_long_prompt_takes_a_large_window(mixed: Gateway) -> None:
    answer = mixed.post("/v1/completions", prompt="word " * 9000, messages=None)
    assert answer.headers["x-tokenhub-model"] == "claude"


def test_cached_tokens_count_once(client: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    anthropic.play(message(usage=Tokens(100, 5, cached=60)))
    usage = client.completions.create(model="claude", prompt=ONCE).usage
    assert usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 5, 105)


def test_no_words_at_all_can_be_asked_for(mixed: Gateway, other: ScriptedProvider) -> None:
    """With `echo` it is a way to the probabilities of a prompt; a model for chats has none."""
    asked = {"prompt": ONCE, "max_tokens": 0, "echo": True, "logprobs": 1}
    assert mixed.session.post(f"{mixed.url}/v1/completions", json=asked, timeout=10).status_code == 200
    assert other.requests[0].json == {**asked, "model": "served"}
    plain = {"prompt": ONCE, "max_tokens": 0, "model": "claude", "fallback": False}
    refused = mixed.session.post(f"{mixed.url}/v1/completions", json=plain, timeout=10)
    assert (refused.status_code, "max_tokens" in refused.json()["error"]["message"]) == (400, True)
