"""Embeddings come from the model that was named and no other, as numbers or packed, one for each input."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import orjson
import pytest
import requests

from gateway.errors import Broken
from gateway.exchange import Finish, Policy, Usage
from gateway.wire import embeddings
from tests.scripted import ScriptedProvider
from tests.scripted_openai import error
from tests.scripted_script import raw
from tests.server import Gateway, model


@pytest.fixture(scope="module")
def hub(
    provider: ScriptedProvider, other: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway with one model of vectors at two providers, another at a third, and one that only chats."""
    vectors = {"capabilities": ["embedding"], "context_size": 100}
    config = {
        "providers": [
            {"name": "first", "type": "openai", "base_url": provider.url, "api_key": "sk-canary"},
            {"name": "second", "type": "vllm", "base_url": f"{other.url}/v1"},
            {"name": "echo", "type": "echo"},
        ],
        "models": [
            model("small-a", "first", name="small", weight=90, aliases=["small"], **vectors),
            model("small-b", "second", name="small", weight=80, aliases=["small"], **vectors),
            model("echo-vectors", "echo", weight=99, **vectors),
            model("talks", "first", weight=99, context_size=8192),
        ],
    }
    with Gateway(tmp_path_factory.mktemp("hub"), config) as running:
        yield running


@pytest.fixture(scope="module")
def client(hub: Gateway) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key="anything", max_retries=0) as running:
        yield running


def vectors(*numbers: list[float], prompt_tokens: int | None = 7) -> Any:
    """A provider's answer."""
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(numbers)]
    usage = {} if prompt_tokens is None else {"usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}}
    return raw(orjson.dumps({"object": "list", "data": data, "model": "small", **usage}))


def test_it_works(hub: Gateway, client: openai.OpenAI, provider: ScriptedProvider) -> None:
    provider.play(vectors([0.5, -0.5], [1.0, 0.0]))
    told = client.embeddings.create(model="small", input=["a", "b"], dimensions=2, encoding_format="float")
    assert [each.embedding for each in told.data] == [[0.5, -0.5], [1.0, 0.0]]
    (received,) = provider.requests
    assert received.path == "/v1/embeddings"
    assert received.json == {"model": "small", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float"}
    call = hub.calls()[-1]
    assert (call["model"], call["input_tokens"], call["output_tokens"], call["estimated"]) == ("small-a", 7, 0, False)


def test_the_same_model_elsewhere_stands_in(
    client: openai.OpenAI, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.play(error(503, "busy"))
    other.play(vectors([0.25]))
    told = client.embeddings.create(model="small", input="a", encoding_format="float")
    assert told.data[0].embedding == [0.25]


def test_another_model_does_not(client: openai.OpenAI, provider: ScriptedProvider, other: ScriptedProvider) -> None:
    """Its vectors would mean something else."""
    provider.default = error(503, "busy")
    with pytest.raises(openai.InternalServerError):
        client.embeddings.create(model="small-a", input="a")
    assert other.requests == []
    with pytest.raises(openai.BadRequestError, match="cannot do embedding"):
        client.embeddings.create(model="talks", input="a")


@pytest.mark.parametrize("packed", [False, True])
def test_echo_makes_vectors_offline(client: openai.OpenAI, *, packed: bool) -> None:
    """The official client asks for base64 unless it is told otherwise."""
    form: dict[str, Any] = {} if packed else {"encoding_format": "float"}
    told = client.embeddings.create(model="echo-vectors", input=["red apple", "red pear", "x y"], **form)
    apple, pear, others = (each.embedding for each in told.data)
    assert {len(each) for each in (apple, pear, others)} == {256}
    assert math.hypot(*apple) == pytest.approx(1.0)
    assert sum(map(math.prod, zip(apple, pear, strict=True))) > 0.4
    assert sum(map(math.prod, zip(apple, others, strict=True))) < 0.4
    assert told.usage.prompt_tokens == 6


def test_a_usage_that_is_missing_counts_all_inputs(hub: Gateway, provider: ScriptedProvider) -> None:
    provider.play(vectors([0.5], prompt_tokens=None))
    answer = hub.post("/v1/embeddings", messages=None, model="small", input=["word " * 50, "word " * 50])
    call = hub.call_of(answer)
    assert (call["estimated"], call["output_tokens"]) == (True, 0)
    assert 80 < call["input_tokens"] < 140


def test_each_input_has_the_window_for_itself(hub: Gateway, provider: ScriptedProvider) -> None:
    provider.play(vectors([0.5]))
    assert hub.post("/v1/embeddings", model="small", input=["word " * 50] * 40).status_code == 200
    refused = hub.post("/v1/embeddings", model="small", input=["word " * 500])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("body", [b"{}", b'{"data": []}', b'{"error": {"message": "no", "type": "server_error"}}'])
def test_an_answer_that_is_none_moves_on(
    hub: Gateway, provider: ScriptedProvider, other: ScriptedProvider, body: bytes
) -> None:
    provider.play(raw(body))
    other.play(vectors([0.25]))
    assert hub.post("/v1/embeddings", model="small", input="a").headers["x-tokenhub-model"] == "small-b"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"model": None}, "model"),
        ({"model": "auto"}, "model"),
        ({"model": "tokenhub/refine"}, "model"),
        ({"model": "x" * 201}, "model"),
        ({"model": 5}, "model"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(hub: Gateway, body: dict[str, Any], param: str) -> None:
    refused = hub.post("/v1/embeddings", **{"model": "small", "input": "a", **body})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_echo_makes_no_vectors_without_end(hub: Gateway) -> None:
    longest = hub.post("/v1/embeddings", model="echo-vectors", input="a", dimensions=4096)
    assert len(longest.json()["data"][0]["embedding"]) == 4096
    for dimensions in (4097, 10**12, 2**64 - 1):
        refused = hub.post("/v1/embeddings", model="echo-vectors", input="a", dimensions=dimensions)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_model_for_request")
        assert "dimensions" in refused.text


def test_echo_makes_no_number_of_vectors_without_end(hub: Gateway) -> None:
    many = hub.post("/v1/embeddings", model="echo-vectors", input=["a"] * 2048, encoding_format="base64")
    assert len(many.json()["data"]) == 2048
    for count, dimensions in ((2049, 256), (129, 4096), (200_000, 4096)):
        refused = hub.post("/v1/embeddings", model="echo-vectors", input=["a"] * count, dimensions=dimensions)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_model_for_request")
        assert "inputs" in refused.text


def test_tokens_are_inputs_too(hub: Gateway, provider: ScriptedProvider) -> None:
    provider.play(vectors([0.5]), vectors([0.5], [0.5]))
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        assert hub.post("/v1/embeddings", model="small", input=tokens).status_code == 200
    assert [received.json["input"] for received in provider.requests] == [[1, 2, 3], [[1, 2], [3]]]


def test_vectors_are_not_parsed() -> None:
    """They are millions of digits; what stands around them is."""
    body = {"input": ["a", "b"], "model": "m"}
    asked = embeddings.read_embedding(orjson.dumps(body), body, Policy())
    raw = (
        b'{"data":[{"embedding" : [NaN, 1e999],"object":"embedding"},{"embedding":"AA//"}],"usage":{"prompt_tokens":7}}'
    )
    assert embeddings.read_answer(raw, asked) == Finish("stop", Usage(7))
    nested = b'{"data":[{"embedding":[[1,2],[3,4]]}],"usage":{"prompt_tokens":8}}'
    assert embeddings.read_answer(nested, asked) == Finish("stop", Usage(8))
    for broken in (b'{"data":[{"embedding":[1,2', b'{"data":[],"x":"embedding"}', b'{"data":[{"embedding":"AA'):
        with pytest.raises(Broken):
            embeddings.read_answer(broken, asked)


def test_many_vectors_keep_nobody_waiting(hub: Gateway, provider: ScriptedProvider) -> None:
    """The worst wait of somebody else beside it is measured: an answer of 15 MB was 1 s of a still hub."""
    provider.default = vectors(*[[0.12345678901234567] * 1536] * 500)
    waits = []
    with ThreadPoolExecutor(1) as other:
        asked = other.submit(hub.post, "/v1/embeddings", model="small", input=["a"] * 500)
        while not asked.done():
            began = time.monotonic()
            requests.get(f"{hub.url}/health/live", timeout=10)
            waits.append(time.monotonic() - began)
    assert asked.result().status_code == 200
    assert max(waits) < 0.5
