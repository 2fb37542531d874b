"""Answers of Anthropic's Messages are read into pieces and written from them, as streams and as wholes."""

from typing import Any

import orjson
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway import errors
from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.exchange import Finish, Usage
from gateway.wire import anthropic_stream, chat_stream, sse
from gateway.wire.anthropic_writers import StreamWriter, WholeWriter
from tests import conversations as any_
from tests.recordings import recordings

HEAD = {"id": "msg_1", "created": 1_800_000_000, "model": "best"}
EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
A, B, C = (CallBegins(index, f"t{index}", "f") for index in range(3))
END = Finish("tool_calls", Usage())


def read_stream(stream: bytes, *cuts: int) -> list[Piece | Finish]:
    reader = anthropic_stream.StreamReader()
    said = [piece for event in any_.events(stream, *cuts) for piece in reader.read(event)]
    return [*said, *reader.close()]


def write_stream(said: list[Piece | Finish]) -> bytes:
    return b"".join(any_.written(StreamWriter(HEAD), said))


def told(stream: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(sse.data_of(event)) for event in any_.events(stream)]


def stream_of(*events: dict[str, Any]) -> bytes:
    return b"".join(sse.event(orjson.dumps(event), name=event["type"].encode()) for event in events)


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **said: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": said}


def text(index: int, said: str) -> dict[str, Any]:
    return delta(index, type="text_delta", text=said)


def partial(index: int, said: str = "") -> dict[str, Any]:
    return delta(index, type="input_json_delta", partial_json=said)


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ends(reason: str | None, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP = {"type": "message_stop"}


def test_it_works() -> None:
    said: list[Piece | Finish] = [Words("Hel"), Words("lo"), Finish("stop", Usage(uncached=2, output=1))]
    stream = write_stream(said)
    assert [event["type"] for event in told(stream)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert stream.startswith(b"event: message_start\ndata: {")
    assert read_stream(stream) == said
    *_, whole = any_.written(WholeWriter(HEAD), said)
    assert anthropic_stream.read_answer(whole) == any_.joined(said)


USAGES = st.builds(
    lambda uncached, read, write, output, reasoning: Usage(uncached, read, write, output + reasoning, reasoning),
    *[any_.COUNTS] * 5,
)
ANSWERS = any_.answers(any_.thoughts(), USAGES)


@any_.PATIENT
@given(ANSWERS, st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_that_is_written_is_read(said: list[Piece | Finish], cuts: list[int]) -> None:
    stream = write_stream(said)
    assert any_.joined(read_stream(stream, *cuts)) == any_.joined(said)
    open_block, blocks = None, 0
    for event in told(stream):
        EVENTS.validate_python(event, strict=True)
        kind = event["type"]
        if kind == "content_block_start":
            assert (open_block, event["index"]) == (None, blocks)
            open_block = blocks
        elif kind.startswith("content_block"):
            assert event["index"] == open_block
        if kind == "content_block_stop":
            open_block, blocks = None, blocks + 1
    assert open_block is None


@any_.PATIENT
@given(ANSWERS)
def test_a_whole_answer_that_is_written_is_read(said: list[Piece | Finish]) -> None:
    *nothing, whole = any_.written(WholeWriter(HEAD), said)
    assert not any(nothing)
    Message.model_validate(orjson.loads(whole), strict=True)
    assert any_.joined(anthropic_stream.read_answer(whole)) == any_.joined(said)


@any_.PATIENT
@given(ANSWERS)
def test_a_stream_and_a_whole_answer_say_the_same(said: list[Piece | Finish]) -> None:
    *_, whole = any_.written(WholeWriter(HEAD), said)
    assert any_.joined(anthropic_stream.read_answer(whole)) == any_.joined(read_stream(write_stream(said)))


def test_an_empty_answer_is_one() -> None:
    assert read_stream(write_stream([Finish()])) == [Finish("stop", Usage())]
    assert orjson.loads(WholeWriter(HEAD).write(Finish("length")))["stop_reason"] == "max_tokens"
    assert write_stream([Words(""), CallArguments(3, "x")]) == b""


def test_an_estimate_of_the_prompt_can_be_told_at_the_start() -> None:
    first, *_ = told(StreamWriter(HEAD, input_tokens=7).write(Words("x")))
    assert first["message"]["usage"]["input_tokens"] == 7


ARGUMENTS = [CallArguments(0, '{"a":'), CallArguments(1, "{}"), CallArguments(0, "1}")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # one after the other: each is written as it comes
        (
            [A, CallArguments(0, "{}"), B, CallArguments(1, "{}")],
            [A, CallArguments(0, "{}"), B, CallArguments(1, "{}")],
        ),
        # side by side: the later ones wait
        ([A, B, *ARGUMENTS], [A, CallArguments(0, '{"a":1}'), B, CallArguments(1, "{}")]),
        (
            [A, CallArguments(0, "{"), B, CallArguments(0, "}"), C, CallArguments(1, "{}"), Words("x")],
            [A, CallArguments(0, "{}"), B, CallArguments(1, "{}"), C, CallArguments(2, "{}"), Words("x")],
        ),
        # words between the beginning of calls and their arguments
        (
            [A, B, Words("x"), Thinking("y"), CallArguments(0, '{"a":1}'), CallArguments(1, "{}")],
            [A, CallArguments(0, '{"a":1}'), B, CallArguments(1, "{}"), Words("x"), Thinking("y")],
        ),
        ([A, Words("x"), *ARGUMENTS[::2]], [A, CallArguments(0, '{"a":1}'), Words("x")]),
        ([A, Words("x"), B], [A, CallArguments(0, "{}"), Words("x"), B, CallArguments(1, "{}")]),
        # no arguments at all
        ([A], [A, CallArguments(0, "{}")]),
        ([A, CallArguments(0, "{}"), B, CallArguments(0, " ")], [A, CallArguments(0, "{}"), B, CallArguments(1, "{}")]),
    ],
)
def test_blocks_never_overlap(said: list[Piece], expected: list[Piece]) -> None:
    assert any_.joined(read_stream(write_stream([*said, END]))) == [*expected, END]
    *_, whole = any_.written(WholeWriter(HEAD), [*said, END])
    assert [call for call in anthropic_stream.read_answer(whole) if isinstance(call, CallBegins)] == [
        call for call in expected if isinstance(call, CallBegins)
    ]


def test_arguments_that_were_cut_off() -> None:
    said: list[Piece | Finish] = [Words("x"), A, CallArguments(0, '{"a":')]
    *_, whole = any_.written(WholeWriter(HEAD), [*said, Finish("length", Usage())])
    assert anthropic_stream.read_answer(whole) == [Words("x"), Finish("length", Usage())]
    for arguments in ('{"a":', "[1]", '{"a":' * 300 + "1" + "}" * 300):
        with pytest.raises(errors.Broken):
            any_.written(WholeWriter(HEAD), [A, CallArguments(0, arguments), END])


@pytest.mark.parametrize(
    ("reason", "neutral"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("unheard_of", "stop"),
    ],
)
def test_why_an_answer_ended(reason: str, neutral: str) -> None:
    assert read_stream(stream_of(ends(reason), STOP)) == [Finish(neutral)]
    assert anthropic_stream.read_answer(orjson.dumps({"content": [], "stop_reason": reason})) == [Finish(neutral)]


def test_usage_is_merged_and_the_last_counts() -> None:
    begins = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1}},
    }
    first = ends(None, output_tokens=5)
    last = ends(
        "end_turn", input_tokens=8, output_tokens=7, cache_read_input_tokens=None, cache_creation_input_tokens=2
    )
    assert read_stream(stream_of(begins, first, last, STOP)) == [Finish("stop", Usage(8, 4, 2, 7))]
    reader = anthropic_stream.StreamReader()
    reader.read(stream_of(begins))
    assert reader.told == Finish("", Usage(9, 4, 0, 1))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ({}, None),
        ("many", None),
        ({"input_tokens": -5, "output_tokens": "3"}, Usage()),
        ({"input_tokens": True, "output_tokens": 2.5, "cache_read_input_tokens": -1}, Usage()),
        ({"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 9}}, Usage(output=3, reasoning=3)),
    ],
)
def test_a_usage_that_makes_no_sense(usage: Any, expected: Usage | None) -> None:
    assert anthropic_stream.read_usage(usage) == expected


@pytest.mark.parametrize(
    ("events", "said"),
    [
        # an input that comes at once, and one that is empty
        ([start(0, type="tool_use", id="t0", name="f", input={"a": 1}), stop(0)], [A, CallArguments(0, '{"a":1}')]),
        ([start(0, type="tool_use", id="t0", name="f", input={}), partial(0), stop(0)], [A, CallArguments(0, "{}")]),
        ([start(1, type="text", text="x"), {"type": "ping"}, text(1, "y")], [Words("x"), Words("y")]),
        ([{"type": "new_event"}, start(0, type="server_tool_use", id="s"), partial(0, "{}"), stop(0)], []),
        ([delta(0, type="citations_delta", citation={}), text(0, "x")], [Words("x")]),
        ([delta(0, type="thinking_delta", thinking="hm")], [Thinking("hm")]),
        ([start(0, type="thinking", thinking="hm", signature="s")], [Thinking("hm"), Thinking(signature="s")]),
    ],
)
def test_what_servers_send(events: list[dict[str, Any]], said: list[Piece]) -> None:
    reason = "tool_calls" if A in said else "stop"
    assert read_stream(stream_of(*events, ends("end_turn"), STOP)) == [*said, Finish(reason)]


def test_a_stream_that_breaks_off() -> None:
    assert read_stream(stream_of(ends("end_turn"))) == [Finish("stop")]
    assert read_stream(stream_of(start(0, type="text", text="x"), STOP)) == [Words("x"), Finish("stop")]
    for half in (b"", stream_of(start(0, type="text", text="x")), stream_of(STOP)):
        with pytest.raises(errors.Broken, match="ended before its answer did"):
            read_stream(half)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', errors.Overloaded),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', errors.RateLimited),
        (b'{"type":"error","error":{"type":"api_error","message":"x"}}', errors.Broken),
        (b'{"error":"Unauthorized"}', errors.Broken),
        (b"<html>", errors.Broken),
        (b"7", errors.Broken),
    ],
)
def test_a_failure_in_band(raw: bytes, kind: type[errors.ProviderFailure]) -> None:
    with pytest.raises(kind):
        anthropic_stream.StreamReader().read(sse.event(raw, name=b"error"))
    with pytest.raises(kind):
        anthropic_stream.read_answer(raw)


def test_an_answer_that_is_none() -> None:
    for raw in (b"{}", b'{"content": "x"}'):
        with pytest.raises(errors.Broken, match="without a message"):
            anthropic_stream.read_answer(raw)
    deep = b'{"content":[{"type":"tool_use","id":"a","name":"f","input":' + b'{"x":' * 300 + b"1" + b"}" * 300 + b"}]}"
    with pytest.raises(errors.Broken, match="too deep"):
        anthropic_stream.read_answer(deep)


def test_recorded_answers() -> None:
    vllm = recordings("vllm")
    words, end = any_.joined(read_stream(vllm["messages_stream"].body, *range(0, 900, 7)))
    assert isinstance(words, Words)
    assert end == Finish("length", Usage(uncached=18, output=8))
    assert anthropic_stream.read_answer(vllm["messages"].body)[-1] == end


def test_a_chat_is_told_as_a_message() -> None:
    reader, writer = chat_stream.StreamReader(), StreamWriter(HEAD)
    pieces = [piece for event in recordings("vllm")["chat_stream_tools"].events for piece in reader.read(event)]
    stream = b"".join(any_.written(writer, pieces))
    begins, arguments, end = any_.joined(read_stream(stream))
    assert isinstance(begins, CallBegins)
    assert isinstance(arguments, CallArguments)
    assert orjson.loads(arguments.text) == {"on": True}
    assert isinstance(end, Finish)
    assert end.reason == "tool_calls"


def test_a_large_number_in_a_call_is_kept() -> None:
    said: list[Piece | Finish] = [A, CallArguments(0, '{"id": 98765432109876543210, "x": 1.50}'), END]
    assert b'"input":{"id":98765432109876543210,"x":1.50}' in any_.written(WholeWriter(HEAD), said)[-1]


@pytest.mark.parametrize("levels", [300, 990])
def test_arguments_that_are_nested_too_deep_are_no_fault_of_ours(levels: int) -> None:
    deep = '{"x":' * levels + "1" + "}" * levels
    with pytest.raises(errors.Broken):
        any_.written(WholeWriter(HEAD), [A, CallArguments(0, deep), END])
