"""Answers of the Responses API are written from pieces and read into them, as streams and as wholes."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway import errors
from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Thought, Words
from gateway.exchange import Finish, Usage
from gateway.wire import responses, responses_relay, responses_stream, responses_thoughts, responses_tools, sse
from gateway.wire.responses_writers import StreamEnd, StreamWriter, WholeWriter
from tests import conversations as any_

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED: dict[str, Any] = {
    "model": "best",
    "input": "hi",
    "instructions": "Be brief.",
    "tools": [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "patch", "description": "Edits."},
        {"type": "namespace", "name": "docs", "description": "d", "tools": [{"type": "function", "name": "find"}]},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": False,
    "temperature": 0.5,
    "text": {"verbosity": "low"},
    "metadata": {"a": "b"},
    "store": True,
    "previous_response_id": None,
}
HEAD = {"id": "resp_1", "created": 1_800_000_000, "model": "best"}
A, B = (CallBegins(index, f"c{index}", "f") for index in range(2))
END = Finish("tool_calls", Usage())


def read_stream(stream: bytes, *cuts: int) -> list[Piece | Finish]:
    reader = responses_stream.StreamReader()
    said = [piece for event in any_.events(stream, *cuts) for piece in reader.read(event)]
    return [*said, *reader.close()]


def write_stream(said: list[Piece | Finish]) -> bytes:
    return b"".join(any_.written(StreamWriter(HEAD, ASKED), said))


def write_whole(said: list[Piece | Finish]) -> bytes:
    *nothing, whole = any_.written(WholeWriter(HEAD, ASKED), said)
    assert not any(nothing)
    return whole


def told(stream: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(sse.data_of(event)) for event in any_.events(stream)]


def output(said: list[Piece | Finish]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = orjson.loads(write_whole(said))["output"]
    assert told(write_stream(said))[-1]["response"]["output"] == items
    return items


def test_it_works() -> None:
    said: list[Piece | Finish] = [Words("Hel"), Words("lo"), Finish("stop", Usage(uncached=2, output=1))]
    stream = write_stream(said)
    assert stream.startswith(b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1"')
    assert [event["type"] for event in told(stream)] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert read_stream(stream) == said
    whole = write_whole(said)
    assert responses_stream.read_answer(whole) == any_.joined(said)
    response = Response.model_validate(orjson.loads(whole), strict=True)
    assert (response.output_text, response.status, response.instructions) == ("Hello", "completed", "Be brief.")
    assert response.usage
    assert (response.usage.input_tokens, response.usage.total_tokens) == (2, 3)


USAGES = st.none() | st.builds(
    lambda uncached, read, write, output, reasoning: Usage(uncached, read, write, output + reasoning, reasoning),
    *[any_.COUNTS] * 5,
)
THOUGHTS = st.lists(
    st.builds(Thinking, any_.SAID) | st.builds(Thinking, signature=any_.SAID) | st.builds(Thinking, redacted=any_.SAID),
    min_size=1,
    max_size=3,
)
ANSWERS = any_.answers(THOUGHTS, USAGES)


@any_.PATIENT
@given(ANSWERS, st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_that_is_written_is_read(said: list[Piece | Finish], cuts: list[int]) -> None:
    assert any_.joined(read_stream(write_stream(said), *cuts)) == any_.joined(said)


@any_.PATIENT
@given(ANSWERS)
def test_a_whole_answer_that_is_written_is_read(said: list[Piece | Finish]) -> None:
    whole = write_whole(said)
    Response.model_validate(orjson.loads(whole), strict=True)
    assert any_.joined(responses_stream.read_answer(whole)) == any_.joined(said)


@any_.PATIENT
@given(ANSWERS)
def test_events_are_what_the_official_client_expects(said: list[Piece | Finish]) -> None:
    client: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    for number, event in enumerate(told(write_stream(said))):
        assert event["sequence_number"] == number
        parsed = EVENTS.validate_python(event, strict=True)
        client.handle_event(parsed)
    if parsed.type == "response.completed":
        final = client._completed_response
        assert final
        assert {**final.to_dict(), "output": []} == {**parsed.response.to_dict(), "output": []}
        assert (final.output_text, len(final.output)) == (parsed.response.output_text, len(parsed.response.output))
    ended, grown = client._completed_output, client._output_items
    last = [item.model_dump() for item in parsed.response.output]
    assert [ended[place].model_dump() for place in sorted(ended)] == last
    assert [*grown] == [*range(len(last))]
    for place, item in enumerate(last):
        if item["type"] == "message":
            assert grown[place].model_dump()["content"][0]["text"] == item["content"][0]["text"]
        elif item["type"] == "function_call":
            assert grown[place].model_dump()["arguments"] == item["arguments"]


@any_.PATIENT
@given(ANSWERS)
def test_a_stream_ends_with_what_a_whole_answer_says(said: list[Piece | Finish]) -> None:
    whole, last = orjson.loads(write_whole(said)), told(write_stream(said))[-1]["response"]
    assert {**whole, "completed_at": None} == {**last, "completed_at": None}


@any_.PATIENT
@given(any_.answers(THOUGHTS, USAGES))
def test_an_answer_comes_back_as_the_turn_that_it_was(said: list[Piece | Finish]) -> None:
    items = output(said)
    thoughts = [item for item in items if item["type"] == "reasoning"]
    asked = responses.read_conversation({"input": [*items, {"role": "user", "content": "So?"}]})
    found = [block for turn in asked.turns for block in turn.blocks if isinstance(block, Thought)]
    assert len(found) == len(thoughts)
    for name in ("signature", "redacted"):
        sealed = [getattr(piece, name) for piece in said if isinstance(piece, Thinking) and getattr(piece, name)]
        assert [getattr(block, name) for block in found if getattr(block, name)] == sealed
    assert asked.dropped == ()


def test_what_should_be_a_word_and_is_none_says_nothing() -> None:
    answer = {"status": {}, "output": [{"type": []}, {"type": "message", "content": [{"type": {}}]}]}
    assert responses_stream.read_answer(orjson.dumps(answer)) == [Finish("stop")]
    assert responses_relay.read_answer(orjson.dumps(answer)) == Finish("stop")


def test_an_empty_answer_is_one() -> None:
    assert read_stream(write_stream([Finish()])) == [Finish("stop")]
    assert write_stream([Words(""), CallArguments(3, "x")]) == b""


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("unheard_of", "completed", None),
    ],
)
def test_why_an_answer_ended(reason: str, status: str, why: Any) -> None:
    said: list[Piece | Finish] = [Words("a"), Finish(reason)]
    last = told(write_stream(said))[-1]
    assert (last["type"], last["response"]["status"]) == (f"response.{status}", status)
    assert last["response"]["incomplete_details"] == why
    assert last["response"]["output"][0]["status"] == status
    assert read_stream(write_stream(said))[-1] == Finish("stop" if status == "completed" else reason)


def test_what_was_asked_is_told_again() -> None:
    response = told(write_stream([Words("a")]))[0]["response"]
    same = ("instructions", "tools", "tool_choice", "parallel_tool_calls", "temperature", "metadata")
    assert {name: response[name] for name in same} == {name: ASKED[name] for name in same}
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert (response["store"], response["truncation"], response["background"]) == (False, "disabled", False)
    bare = StreamWriter(HEAD, {"input": "hi"}).write(Words("a"))
    assert told(bare)[0]["response"]["tool_choice"] == "auto"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # side by side: each event tells whose it is
        ([A, B, CallArguments(0, '{"a":'), CallArguments(1, "{}"), CallArguments(0, "1}")], ['{"a":1}', "{}"]),
        # a call whose arguments are whole is over when the next begins
        ([A, CallArguments(0, "{}"), B, CallArguments(0, " "), CallArguments(1, '{"b":1}')], ["{}", '{"b":1}']),
        # no arguments at all
        ([A, B, CallArguments(1, "{}")], ["{}", "{}"]),
    ],
)
def test_calls_side_by_side(said: list[Piece | Finish], expected: list[str]) -> None:
    assert [item["arguments"] for item in output([*said, END])] == expected
    texts = {0: "", 1: ""}
    for piece in read_stream(write_stream([*said, END])):
        if isinstance(piece, CallArguments):
            texts[piece.index] += piece.text
    assert [*texts.values()] == expected


def test_a_call_is_what_its_tool_was() -> None:
    text = 'say "hi"\n'
    called = CallArguments(0, responses_tools.as_arguments(text))
    said: list[Piece | Finish] = [CallBegins(0, "c", "patch"), called, CallBegins(1, "d", "docs__find")]
    custom, within = output([*said, END])
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "patch", text)
    assert (within["type"], within["name"], within["namespace"]) == ("function_call", "find", "docs")
    stream = write_stream([*said, END])
    assert read_stream(stream) == [*said, CallArguments(1, "{}"), END]
    kinds = [event["type"] for event in told(stream)]
    assert "response.custom_tool_call_input.delta" in kinds
    assert "response.custom_tool_call_input.done" in kinds


@pytest.mark.parametrize("arguments", ['{"input": 7}', '{"other": "x"}', '{"inp', "[]"])
def test_arguments_that_are_no_input_are_told_as_they_are(arguments: str) -> None:
    (item,) = output([CallBegins(0, "c", "patch"), CallArguments(0, arguments), END])
    assert item["input"] == arguments


def test_reasoning_is_summed_up_and_sealed() -> None:
    first, second, third = output(
        [Thinking("a"), Thinking("b"), Thinking(signature="s"), Thinking("c"), Thinking(redacted="r"), Finish("stop")]
    )
    assert first["summary"] == [{"type": "summary_text", "text": "ab"}]
    assert first["encrypted_content"] == "tokenhub.v1.eyJzaWduYXR1cmUiOiJzIn0="
    assert (second["summary"][0]["text"], second["encrypted_content"]) == ("c", responses_thoughts.seal())
    assert (third["summary"], bool(third["encrypted_content"])) == ([], True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Broken("x"), "server_error"),
        (errors.RateLimited("x"), "rate_limit_exceeded"),
        (errors.OutOfTime("x"), "server_error"),
    ],
)
def test_an_error_ends_a_stream(error: errors.GatewayError, code: str) -> None:
    end = StreamEnd()
    sent = [b": ping\n\n", *any_.written(StreamWriter(HEAD, ASKED), [Words("a"), Words("b")])]
    for raw in sent:
        end.see(raw)
    (failed,) = told(end.error_event(error))
    EVENTS.validate_python(failed, strict=True)
    (*_, last) = told(b"".join(sent[1:]))
    assert failed["sequence_number"] == last["sequence_number"] + 1
    assert (failed["response"]["id"], failed["response"]["status"]) == ("resp_1", "failed")
    assert failed["response"]["error"] == {"code": code, "message": "x"}
    with pytest.raises(errors.ProviderFailure, match="x"):
        read_stream(b"".join([*sent, end.error_event(error)]))


def test_an_error_without_a_stream_is_told_all_the_same() -> None:
    end = StreamEnd()
    end.see(b": ping\n\n")
    (failed,) = told(end.error_event(errors.Broken("x")))
    EVENTS.validate_python(failed, strict=True)
    assert failed["sequence_number"] == 0
