"""Answers and refusals that are odd are understood as far as they go; whatever they hold, none is a fault of ours."""

import orjson
import pytest

from gateway.errors import Broken
from gateway.wire import fields
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat
from tests.scripted_script import raw, raw_stream
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
