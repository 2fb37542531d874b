"""A provider is asked as its row says: where, with which header, and without what it refuses; others as ever."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests

from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.openai import OpenAIAdapter
from gateway.conversation import Conversation, Text, Turn
from gateway.exchange import CHAT, Once, Policy, Request
from gateway.wire import bodies, openai
from registry.models import ProviderType
from registry.presets import PRESETS
from tests.facts import model_facts, provider_facts
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import message
from tests.scripted_openai import chat_stream, completion
from tests.scripted_script import Answer, Received, Script, Tokens, raw, raw_stream
from tests.server import Gateway, model
from vault.crypto import Hidden

KEY = "canary-of-azure"
HI = [{"role": "user", "content": "hi", "name": "Ann"}]
STRICT = ["seed", "stream_options", "messages[].name", "metadata.secret"]


def says(received: Received) -> Answer:
    """Answer in the language of the endpoint that is called, wherever it is."""
    path = received.path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return chat_stream()(received)
    return completion()(received) if path.endswith("/completions") else message()(received)


@pytest.fixture(scope="module")
def service() -> Iterator[ScriptedProvider]:
    """A provider that has every endpoint everywhere."""
    with ScriptedProvider(says) as running:
        yield running


@pytest.fixture(autouse=True)
def _afresh(service: ScriptedProvider) -> None:
    service.start_afresh()


@pytest.fixture(scope="module")
def hub(service: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with one provider of each kind of difference, each with a model of its name."""
    at = {"base_url": service.url}
    strict: dict[str, Any] = {"type": "vllm", "unsupported": STRICT, "limit_field": "max_tokens"}
    providers = [
        {"name": "azure", "preset": "azure-deployments", "api_key": KEY},
        {"name": "strict", **strict},
        {"name": "chat-only", "type": "vllm", "endpoints": ["chat"]},
        {"name": "vectors", "type": "vllm", "endpoints": ["embeddings"]},
        {"name": "half", "type": "vllm", "unsupported": ["stream_options.include_usage", "stream_options.other"]},
        {
            "name": "bearer",
            "type": "anthropic",
            "auth_header": "Authorization",
            "api_key": KEY,
            "unsupported": ["seed"],
        },
        {"name": "shy", "type": "anthropic", "api_key": KEY, "unsupported": ["temperature"], "path": "v2/{endpoint}"},
        {"name": "usual", "type": "vllm"},
        {"name": "hinted", "preset": "openrouter", "api_key": KEY},
        {"name": "thinks", "preset": "deepseek", "api_key": KEY},
    ]
    config = {
        "providers": [provider | at for provider in providers],
        "models": [
            *(model(row["name"], row["name"], name=f"{row['name']} there/4.1") for row in providers),
            model("talker", "chat-only", capabilities=["embedding"]),
        ],
    }
    with Gateway(tmp_path_factory.mktemp("hub"), config) as running:
        yield running
    assert KEY not in running.log


def sent(service: ScriptedProvider) -> dict[str, Any]:
    """The last body that was received."""
    body: dict[str, Any] = service.requests[-1].json
    return body


def dropped(answer: requests.Response) -> str:
    """What the answer says was left out."""
    return answer.headers.get("x-tokenhub-dropped-params", "")


@pytest.mark.parametrize("stream", [False, True])
def test_it_works(hub: Gateway, service: ScriptedProvider, stream: bool) -> None:
    answer = hub.post(model="azure", stream=stream, messages=HI)
    assert answer.status_code == 200
    assert b"Hello" in answer.content
    received = service.requests[-1]
    assert received.path == ("/openai/deployments/azure%20there%2F4.1/chat/completions?api-version=2024-10-21")
    assert (received.header("api-key"), received.header("authorization")) == (KEY, "")
    assert received.json["messages"] == HI
    assert dropped(answer) == ""


@pytest.mark.parametrize("stream", [False, True])
def test_hints_for_the_cache_go_where_the_row_takes_them(hub: Gateway, service: ScriptedProvider, stream: bool) -> None:
    part = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    asked: dict[str, Any] = {"max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": [part]}]}
    answer = hub.post("/v1/messages", model="hinted", **asked)
    assert (answer.status_code, dropped(answer)) == (200, "")
    assert sent(service)["messages"] == [{"role": "user", "content": [part]}]
    answer = hub.post("/v1/messages", model="usual", **asked)
    assert (answer.status_code, dropped(answer)) == (200, "cache_control")
    assert sent(service)["messages"] == [{"role": "user", "content": "long"}]


def test_reasoning_goes_back_where_the_row_takes_it(hub: Gateway, service: ScriptedProvider) -> None:
    thought = [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "Yes?"}]
    said = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": thought},
        {"role": "user", "content": "b"},
    ]
    for name, told, lost in (("thinks", "hm", ""), ("usual", None, "thinking")):
        answer = hub.post("/v1/messages", model=name, max_tokens=9, messages=said)
        assert (answer.status_code, dropped(answer)) == (200, lost)
        assert sent(service)["messages"][1].get("reasoning_content") == told


@pytest.mark.parametrize("name", ["usual", "strict"])
def test_numbers_go_on_as_they_came(hub: Gateway, service: ScriptedProvider, name: str) -> None:
    """Also where a field is taken out of the body."""
    raw = (
        b'{"model": "%b", "seed": 7, "messages": [{"role": "user", "content": "hi"}], "x": [1e2, 36893488147419103232]}'
    )
    asked = requests.post(f"{hub.url}/v1/chat/completions", data=raw % name.encode(), timeout=10)
    assert asked.status_code == 200, asked.text
    assert b'"x":[1e2,36893488147419103232]' in service.requests[-1].body
    assert ("seed" in sent(service)) is (name == "usual")


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_is_left_out_and_named(hub: Gateway, service: ScriptedProvider, stream: bool) -> None:
    asked: dict[str, Any] = {
        "seed": 7,
        "metadata": {"secret": 1},
        "top_k": 3,
        "max_completion_tokens": 9,
        "max_tokens": None,
    }
    answer = hub.post(model="strict", stream=stream, messages=HI, **asked)
    assert answer.status_code == 200
    assert b"Hello" in answer.content
    assert dropped(answer) == "seed,messages[].name,metadata.secret"
    body = {"model": "strict there/4.1", "messages": [{"role": "user", "content": "hi"}], "top_k": 3, "max_tokens": 9}
    assert sent(service) == body | ({"stream": stream})


def test_options_that_the_caller_gave_are_named(hub: Gateway, service: ScriptedProvider) -> None:
    answer = hub.post(model="strict", stream=True, stream_options={"include_usage": True})
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert dropped(answer) == "stream_options"
    assert "stream_options" not in sent(service)
    assert hub.call_of(answer)["estimated"] is True


def test_a_usage_that_is_told_unasked_counts(hub: Gateway, service: ScriptedProvider) -> None:
    last = b'data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5}}\n\n'
    service.play(Script(raw_stream(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', last, b"data: [DONE]\n\n")))
    answer = hub.post(model="strict", stream=True)
    assert last in answer.content
    assert (hub.call_of(answer)["input_tokens"], hub.call_of(answer)["estimated"]) == (5, False)


def test_an_object_that_is_left_empty_goes_as_well(hub: Gateway, service: ScriptedProvider) -> None:
    answer = hub.post(model="half", stream=True, stream_options={"include_usage": True, "other": 1})
    assert dropped(answer) == "stream_options.include_usage,stream_options.other"
    assert "stream_options" not in sent(service)
    hub.post(model="half", stream=True, stream_options={"third": 1}).close()
    service.wait_until(lambda: len(service.requests) == 2)
    assert sent(service)["stream_options"] == {"third": 1}


def test_nothing_is_left_out_without_a_row_that_says_so(hub: Gateway, service: ScriptedProvider) -> None:
    asked: dict[str, Any] = {
        "seed": 7,
        "metadata": {"secret": 1},
        "logit_bias": {"1": 2},
        "max_tokens": 4,
        "max_completion_tokens": 9,
    }
    answer = hub.post(model="usual", messages=HI, **asked)
    assert sent(service) == {"model": "usual there/4.1", "messages": HI, **asked}
    assert dropped(answer) == ""
    received = service.requests[-1]
    assert received.path == "/v1/chat/completions"
    assert (received.header("authorization"), received.header("api-key")) == ("", "")


def test_completions_are_asked_of_those_who_have_them(hub: Gateway, service: ScriptedProvider) -> None:
    asked = {"prompt": "hi", "max_tokens": 5, "seed": 1}
    answer = hub.post("/v1/completions", model="strict", **asked)
    assert service.requests[-1].path == "/v1/completions"
    assert (dropped(answer), sent(service)["max_tokens"], sent(service).get("seed")) == ("seed", 5, None)
    hub.post("/v1/completions", model="chat-only", prompt="hi", max_tokens=5)
    assert service.requests[-1].path == "/v1/chat/completions"


def test_messages_take_the_key_as_the_row_says(hub: Gateway, service: ScriptedProvider) -> None:
    hub.post(model="bearer", messages=[{"role": "user", "content": "hi"}])
    received = service.requests[-1]
    assert received.path == "/v1/messages"
    assert (received.header("authorization"), received.header("x-api-key")) == (f"Bearer {KEY}", "")
    assert received.header("anthropic-version")
    answer = hub.post(model="shy", messages=[{"role": "user", "content": "hi"}], temperature=0.5, seed=1)
    received = service.requests[-1]
    assert (received.path, received.header("x-api-key")) == ("/v2/messages", KEY)
    assert "temperature" not in received.json
    assert dropped(answer) == "seed,temperature"


def test_a_refusal_does_not_repeat_the_key(hub: Gateway, service: ScriptedProvider) -> None:
    service.play(raw(orjson.dumps({"error": {"message": f"bad key {KEY}"}}), status=401))
    answer = hub.post(model="azure", fallback=False)
    assert answer.status_code == 502
    assert KEY not in answer.text


def request_of(body: dict[str, Any], *, form: str = CHAT) -> Request:
    """A request in a format that OpenAI's adapter relays, or else translates."""
    whole = openai.read_chat(orjson.dumps(body), body, Policy())
    conversation = Conversation(turns=(Turn("user", (Text("hi"),)),), max_tokens=5, user="ann")
    return Request(
        **{name: getattr(whole, name) for name in whole.__slots__}
        | {"format": form, "conversation": Once(lambda: conversation)}
    )


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.fields["type"] != "anthropic"])
@pytest.mark.parametrize("form", [CHAT, "other"])
def test_a_preset_keeps_what_a_chat_cannot_do_without(name: str, form: str) -> None:
    fields = PRESETS[name].fields
    provider = provider_facts(
        type=ProviderType(fields["type"]),
        unsupported=tuple(fields.get("unsupported", ())),
        limit_field=fields.get("limit_field", ""),
        base_url="http://x",
    )
    body = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5}
    adapter = ADAPTERS[provider.type]
    assert isinstance(adapter, OpenAIAdapter)
    told = orjson.loads(adapter.outgoing(request_of(body, form=form), model_facts(provider=provider)).body)
    limit = provider.limit_field or (adapter.limit if form == "other" else "max_tokens")
    assert (told["model"], told["stream"], told.get(limit)) == ("m", True, 5)
    assert [message["role"] for message in told["messages"]] == ["user"]
    assert told["messages"][0]["content"] == "hi"


def test_a_translation_obeys_the_row_as_well() -> None:
    refused = ("user", "stream_options")
    provider = provider_facts(
        type=ProviderType.OPENAI, base_url="http://x", unsupported=refused, limit_field="max_tokens", key=Hidden("k")
    )
    adapter, facts = ADAPTERS[ProviderType.OPENAI], model_facts(provider=provider)
    asked = request_of({"messages": HI, "stream": True}, form="other")
    told = orjson.loads(adapter.outgoing(asked, facts).body)  # type: ignore[attr-defined]
    assert (told["max_tokens"], "user" in told, "stream_options" in told) == (5, False, False)
    assert adapter.dropped(asked, facts) == ("user",)


def test_a_body_without_what_is_refused_is_not_written_anew() -> None:
    raw_body = b'{"messages": [{"role": "user", "content": "hi"}], "big": 1}'
    read = openai.read_chat(raw_body, bodies.parse(raw_body, max_depth=9), Policy())
    told = openai.write_relayed(read, "m", unsupported=("seed", "messages[].name"))
    assert told == openai.write_relayed(read, "m")


def test_a_list_of_models_that_has_no_place_is_not_asked_for() -> None:
    facts = {"base_url": "http://x", "path": "{model}/{endpoint}", "key": Hidden("k"), "query": "v=1"}
    for kind in (ProviderType.OPENAI, ProviderType.ANTHROPIC):
        assert ADAPTERS[kind].probe(provider_facts(type=kind, **facts)) is None
        placed = ADAPTERS[kind].probe(provider_facts(type=kind, **facts | {"path": "all/{endpoint}"}))
        assert placed and placed.url == "http://x/all/models?v=1"


def test_usages_are_counted_once(hub: Gateway, service: ScriptedProvider) -> None:
    service.play(chat_stream(["a"], usages=[Tokens(1, 1)], include_usage=True))
    answer = hub.post(model="strict", stream=True)
    assert b'"usage":{' not in answer.content
    assert hub.call_of(answer)["input_tokens"] == 1


def test_what_has_no_chat_is_sent_none(hub: Gateway, service: ScriptedProvider) -> None:
    asked_of: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {},
        "/v1/messages": {"max_tokens": 5},
        "/v1/responses": {"messages": None, "input": "hi"},
        "/v1/completions": {"messages": None, "prompt": "hi"},
    }
    for path, asked in asked_of.items():
        refused = hub.post(path, model="vectors", fallback=False, **asked)
        assert (refused.status_code, "provider vectors has no chat endpoint" in refused.text) == (400, True)
    refused = hub.post("/v1/embeddings", model="talker", messages=None, input="hi")
    assert (refused.status_code, "provider chat-only has no embeddings endpoint" in refused.text) == (400, True)
    assert service.requests == []
