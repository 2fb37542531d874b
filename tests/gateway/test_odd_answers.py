"""Answers and refusals that are odd are understood as far as they go; whatever they hold, none is a fault of ours."""

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import orjson
import pytest

from gateway.errors import Broken, GatewayError, ProviderFailure
from gateway.exchange import Policy
from gateway.wire import (
    anthropic,
    anthropic_stream,
    chat_stream,
    embeddings,
    failures,
    fields,
    messages,
    openai,
    responses_relay,
    responses_stream,
    sse,
)
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat
from tests.scripted_script import Answer, raw, raw_stream
from tests.server import Gateway

HALF = rb'{"id":"c","choices":[{"index":0,"message":{"content":"\ud83d"},"logprobs":NaN,"finish_reason":"stop"}]}'
HALF_DELTA = rb'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\ud83d"}}],"x":NaN}' + b"\n\n"
LAST = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def test_it_works(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(chat("as usual"))
    assert gateway.post().json()["choices"][0]["message"]["content"] == "as usual"


def test_an_answer_that_is_nearly_json_passes_as_it_came(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(raw(HALF))
    answer = gateway.post(fallback=False)
    assert (answer.status_code, answer.content) == (200, HALF)
    provider.play(raw_stream(HALF_DELTA, LAST))
    assert gateway.post(stream=True, fallback=False).content == HALF_DELTA + LAST


def test_what_is_nearly_json_can_be_written_again() -> None:
    told = fields.load(rb'{"a": "\ud83d b", "c": NaN, "d": 1' + b"0" * 30 + b', "e": "\xff"}')
    assert orjson.loads(orjson.dumps(told)) == told == {"a": "\ufffd b", "c": None, "d": 1e30, "e": "\ufffd"}


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"a": 1', b'{"a":' * 2000 + b"1" + b"}" * 2000, b'{"a": -Infinity'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(Broken):
        fields.load(data)


# --- every field, odd -------------------------------------------------------------------------------------------------

DEEP: Any = orjson.loads(b"[" * 300 + b"]" * 300)
ODD: tuple[Any, ...] = ([], {}, [[]], {"": "x"}, 1, -1.5, True, None, "", "x", DEEP, {"message": DEEP}, {"type": []})

USAGE = {
    "prompt_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
    "input_tokens": 2,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
}
CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAID = {"content": "a", "refusal": None, "reasoning_content": "b", "thinking_blocks": [{"thinking": "b"}]}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {**SAID, "tool_calls": [CALL]}}
CHUNK = {"index": 0, "finish_reason": "stop", "delta": {**SAID, "tool_calls": [CALL]}}
BLOCKS = [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}, {"type": "tool_use", "id": "t"}]
ITEMS = [
    {"type": "message", "content": [{"type": "output_text", "text": "a"}]},
    {"type": "reasoning", "summary": [{"text": "b"}], "encrypted_content": "c"},
    {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
    {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
]
RESPONSE = {"id": "r", "status": "completed", "error": None, "incomplete_details": {"reason": "x"}, "output": ITEMS}
VECTORS = {"data": [{"object": "embedding", "embedding": [0.5]}], "usage": USAGE}
REFUSAL = {"type": "error", "error": {"type": "x", "code": "y", "param": "z", "message": "m"}, "detail": "d"}

EVENTS: dict[str, list[dict[str, Any]]] = {
    "chunks": [{"id": "c", "choices": [CHUNK], "usage": USAGE, "error": None}],
    "message": [
        {"type": "message_start", "message": {"usage": USAGE}},
        *({"type": "content_block_start", "index": 0, "content_block": block} for block in BLOCKS),
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "x", "": "a"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "x"}, "usage": USAGE},
        {"type": "error", "error": {"type": "x", "message": "m"}},
    ],
    "response": [
        {"type": "response.created", "response": RESPONSE},
        *({"type": "response.output_item.added", "output_index": 0, "item": item} for item in ITEMS),
        {"type": "response.output_text.delta", "output_index": 0, "delta": "a"},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "a"},
        *({"type": "response.output_item.done", "output_index": 0, "item": item} for item in ITEMS),
        {"type": "response.completed", "response": {**RESPONSE, "usage": USAGE}},
        {"type": "response.failed", "response": {**RESPONSE, "usage": USAGE, "error": {"message": "m"}}},
        {"type": "error", "code": "x", "message": "m", "param": None},
    ],
}
WHOLE: dict[str, dict[str, Any]] = {
    "chunks": {"id": "c", "choices": [CHOICE], "usage": USAGE, "error": None},
    "message": {"content": BLOCKS, "stop_reason": "x", "usage": USAGE, "error": None},
    "response": {**RESPONSE, "usage": USAGE},
    "vectors": VECTORS,
}
ASKED = embeddings.read_embedding(b'{"input":"x","model":"m"}', {"input": "x", "model": "m"}, Policy())
STREAM_READERS: list[tuple[str, Any]] = [
    ("chunks", chat_stream.StreamReader),
    ("chunks", partial(openai.PassingChunks, include_usage=False)),
    ("message", anthropic_stream.StreamReader),
    ("message", messages.PassingMessage),
    ("response", responses_stream.StreamReader),
    ("response", responses_relay.PassingResponse),
]
READERS: list[tuple[str, Any]] = [
    ("chunks", chat_stream.read_answer),
    ("chunks", openai.read_answer),
    ("message", anthropic_stream.read_answer),
    ("message", messages.read_answer),
    ("response", responses_stream.read_answer),
    ("response", responses_relay.read_answer),
    ("vectors", partial(embeddings.read_answer, request=ASKED)),
]


def written(value: Any) -> bytes:
    """Return JSON that may be nested deeper than the usual writer allows."""
    return json.dumps(value).encode()


def places(value: Any) -> Iterator[list[Any]]:
    """Yield the path of every value within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield [name]
        yield from ([name, *path] for path in places(each))


def made_odd(value: Any) -> Iterator[Any]:
    """Yield a value with each odd one in every place of it."""
    for path in places(value):
        for odd in ODD:
            changed = deepcopy(value)
            holder = changed
            for name in path[:-1]:
                holder = holder[name]
            holder[path[-1]] = odd
            yield changed


def tell(failure: GatewayError) -> None:
    """Hold that what went wrong can be told in both shapes, with a key taken out of it."""
    assert isinstance(failure, ProviderFailure)
    failure.hide("sk-canary-of-first")
    assert orjson.dumps(openai.error_body(failure))
    assert orjson.dumps(anthropic.error_body(failure, "req_1"))


@pytest.mark.parametrize(("name", "reader"), STREAM_READERS)
def test_an_odd_event_is_read_or_told_of(name: str, reader: Any) -> None:
    for index, event in enumerate(EVENTS[name]):
        for odd in made_odd(event):
            running = reader()
            try:
                for each in (*EVENTS[name][:index], odd):
                    running.read(sse.event(written(each)))
            except GatewayError as failure:
                tell(failure)


@pytest.mark.parametrize(("name", "reader"), READERS)
def test_an_odd_answer_is_read_or_told_of(name: str, reader: Any) -> None:
    for odd in made_odd(WHOLE[name]):
        try:
            reader(written(odd))
        except GatewayError as failure:
            tell(failure)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_an_odd_refusal_is_told_of(status: int) -> None:
    for odd in (*made_odd(REFUSAL), *ODD, [REFUSAL], {"error": DEEP}):
        tell(failures.classify(status, {}, written(odd), provider="p", secret="sk-canary-of-first"))
        tell(failures.in_band(odd))


@pytest.mark.parametrize(
    "refusal",
    [
        raw(
            b'{"error":{"message":"slow"}}', status=429, headers={"Retry-After": "Mon, 01 Jan 99999999999 00:00:00 GMT"}
        ),
        raw(b'{"error":{"message":"slow"}}', status=429, headers={"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2300"}),
        raw(b'{"error":{"message":"bad","d":' + b"[" * 1000 + b"]" * 1000 + b"}}", status=500),
        raw(b'{"error":{"d":' + b"[" * 300 + b"]" * 300 + b"}}", status=503),
    ],
)
def test_an_odd_refusal_moves_on(gateway: Gateway, provider: ScriptedProvider, refusal: Answer) -> None:
    provider.play(refusal)
    answer = gateway.post()
    assert (answer.status_code, answer.headers["x-tokenhub-model"]) == (200, "next")


def test_a_refusal_that_is_nested_deep_is_told(gateway: Gateway, provider: ScriptedProvider) -> None:
    provider.play(raw(b'{"error":{"message":"bad","d":' + b"[" * 300 + b"]" * 300 + b"}}", status=400))
    refused = gateway.post()
    assert (refused.status_code, "bad" in refused.json()["error"]["message"]) == (400, True)
