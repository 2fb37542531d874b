"""A call that the limit cut off is not told as one without arguments, in any format."""

from typing import Any

import orjson
import pytest

from gateway.conversation import CallArguments, CallBegins, Piece, Words
from gateway.exchange import Finish
from gateway.wire import anthropic_writers, chat_function_stream, chat_stream, responses_writers
from tests import conversations as any_

HEAD = {"id": "x_1", "created": 1, "model": "m"}
CUT: list[Piece | Finish] = [Words("x"), CallBegins(0, "a", "remove"), Finish("length")]
OVER: list[Piece | Finish] = [*CUT[:-1], Finish("tool_calls")]
PART: list[Piece | Finish] = [*CUT[:-1], CallArguments(0, '{"all":'), Finish("length")]
FUNCTION: dict[str, Any] = {"arguments": "{}", "name": "remove"}


def whole(writer: Any, said: list[Piece | Finish]) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(any_.written(writer, said)[-1])
    return told


def stream(writer: Any, said: list[Piece | Finish]) -> list[dict[str, Any]]:
    events = any_.events(b"".join(any_.written(writer, said)))
    return [orjson.loads(event.partition(b"data: ")[2]) for event in events if b"[DONE]" not in event]


def test_it_works() -> None:
    assert [block["type"] for block in whole(anthropic_writers.WholeWriter(HEAD), CUT)["content"]] == ["text"]
    assert [block["type"] for block in whole(anthropic_writers.WholeWriter(HEAD), OVER)["content"]] == [
        "text",
        "tool_use",
    ]


@pytest.mark.parametrize(("said", "is_told"), [(CUT, False), (OVER, True), (PART, True)])
def test_a_stream_of_a_message(said: list[Piece | Finish], is_told: bool) -> None:
    events = stream(anthropic_writers.StreamWriter(HEAD), said)
    kinds = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert kinds == ["text", *(["tool_use"] if is_told else [])]
    assert [event["type"] for event in events].count("content_block_stop") == len(kinds)


def test_of_calls_that_wait_the_whole_ones_are_told() -> None:
    calls = [CallBegins(index, f"c{index}", "f") for index in range(3)]
    said: list[Piece | Finish] = [calls[0], calls[1], CallArguments(1, "{}"), calls[2], Finish("length")]
    events = stream(anthropic_writers.StreamWriter(HEAD), said)
    started = [event["content_block"]["id"] for event in events if event["type"] == "content_block_start"]
    assert started == ["c1"]


def test_a_chat() -> None:
    message = whole(chat_stream.WholeWriter(HEAD), CUT)["choices"][0]["message"]
    assert (message["content"], "tool_calls" in message) == ("x", False)
    assert whole(chat_stream.WholeWriter(HEAD), OVER)["choices"][0]["message"]["tool_calls"][0]["function"] == FUNCTION
    assert "function_call" not in whole(chat_function_stream.WholeWriter(HEAD), CUT)["choices"][0]["message"]
    for said, arguments in ((CUT, [""]), (OVER, ["", "{}"]), (PART, ["", '{"all":'])):
        deltas = [chunk["choices"][0]["delta"] for chunk in stream(chat_stream.StreamWriter(HEAD), said)]
        calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
        assert [call["function"]["arguments"] for call in calls] == arguments


def test_a_response() -> None:
    for said, arguments, status in (
        (CUT, "", "incomplete"),
        (OVER, "{}", "completed"),
        (PART, '{"all":', "incomplete"),
    ):
        call = whole(responses_writers.WholeWriter(HEAD, {}), said)["output"][1]
        assert (call["arguments"], call["status"]) == (arguments, status)
        deltas = [
            event["delta"] for event in stream(responses_writers.StreamWriter(HEAD, {}), said) if "delta" in event
        ]
        assert "".join(deltas[1:]) == arguments


def test_calls_of_a_response_stay_open_until_they_are_whole() -> None:
    a, b = CallBegins(0, "a", "f"), CallBegins(1, "b", "g")
    late: list[Piece | Finish] = [a, b, Words("hm"), CallArguments(0, '{"x":1}'), CallArguments(1, '{"y":2}')]
    output = whole(responses_writers.WholeWriter(HEAD, {}), [*late, Finish("tool_calls")])["output"]
    assert [item.get("arguments") for item in output] == ['{"x":1}', '{"y":2}', None]
