"""Answers of chat completions are read into pieces and written from them, as streams and as wholes."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway import errors
from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.exchange import Finish, Usage
from gateway.wire import chat_stream, openai
from tests import conversations as any_
from tests.recordings import recordings

HEAD = {"id": "chatcmpl-1", "created": 1_800_000_000, "model": "best"}


def read_stream(stream: bytes, *cuts: int) -> list[Piece | Finish]:
    reader = chat_stream.StreamReader()
    said = [piece for event in any_.events(stream, *cuts) for piece in reader.read(event)]
    return [*said, *reader.close()]


def stream_of(*chunks: dict[str, Any], done: bool = True) -> bytes:
    events = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if done else b"")


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def called(
    index: int | None, call_id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    call = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return chunk({"tool_calls": [call]})


def test_it_works() -> None:
    said: list[Piece | Finish] = [Words("Hel"), Words("lo"), Finish("stop", Usage(uncached=2, output=1))]
    *chunks, done = any_.events(b"".join(any_.written(chat_stream.StreamWriter(HEAD), said)))
    assert [orjson.loads(event[6:])["choices"][0]["delta"] for event in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert done == b"data: [DONE]\n\n"
    *_, whole = any_.written(chat_stream.WholeWriter(HEAD), said)
    assert chat_stream.read_answer(whole) == any_.joined(said)


USAGES = st.builds(
    lambda uncached, read, written, output, reasoning: Usage(uncached, read, written, output + reasoning, reasoning),
    *[any_.COUNTS] * 5,
)
ANSWERS = any_.answers(any_.thoughts(), st.none() | USAGES)


@any_.PATIENT
@given(ANSWERS, st.lists(st.integers(0, 10_000), max_size=6))
def test_a_stream_that_is_written_is_read(said: list[Piece | Finish], cuts: list[int]) -> None:
    writer = chat_stream.StreamWriter(HEAD, include_usage=True)
    stream = b"".join(any_.written(writer, said))
    assert any_.joined(read_stream(stream, *cuts)) == any_.joined(said)
    *chunks, last = any_.events(stream)
    assert last == b"data: [DONE]\n\n"
    told = [ChatCompletionChunk.model_validate(orjson.loads(event[6:]), strict=True) for event in chunks]
    assert told[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in told if chunk.choices].count(None) == len(chunks) - 1 - (
        told[-1].usage is not None
    )


def is_sealed(piece: Piece | Finish) -> bool:
    return isinstance(piece, Thinking) and bool(piece.signature or piece.redacted)


@any_.PATIENT
@given(ANSWERS)
def test_a_whole_answer_that_is_written_is_read(said: list[Piece | Finish]) -> None:
    writer = chat_stream.WholeWriter(HEAD)
    *nothing, whole = any_.written(writer, said)
    assert not any(nothing)
    ChatCompletion.model_validate(orjson.loads(whole), strict=True)
    found = chat_stream.read_answer(whole)
    for kind in (Words, Thinking):
        assert "".join(piece.text for piece in found if isinstance(piece, kind)) == "".join(
            piece.text for piece in said if isinstance(piece, kind)
        )
    assert [piece for piece in found if is_sealed(piece)] == [piece for piece in said if is_sealed(piece)]
    calls = (CallBegins, CallArguments)
    assert [piece for piece in found if isinstance(piece, calls)] == any_.joined(
        p for p in said if isinstance(p, calls)
    )
    assert found[-1] == said[-1]


def test_the_usage_is_told_to_those_who_ask() -> None:
    end = Finish("stop", Usage(uncached=3, cache_read=1, output=2))
    stream = chat_stream.StreamWriter(HEAD).write(end)
    assert b"usage" not in stream
    assert b'"usage":{"prompt_tokens":4' in chat_stream.StreamWriter(HEAD, include_usage=True).write(end)


def test_an_empty_answer_is_one() -> None:
    stream = chat_stream.StreamWriter(HEAD).write(Finish("stop"))
    assert read_stream(stream) == [Finish("stop")]
    assert orjson.loads(chat_stream.WholeWriter(HEAD).write(Finish()))["choices"][0]["message"]["content"] == ""


def test_a_call_without_arguments_has_none() -> None:
    said: list[Piece | Finish] = [CallBegins(0, "c", "f"), CallArguments(0, ""), Finish("tool_calls")]
    writer, whole = chat_stream.StreamWriter(HEAD), chat_stream.WholeWriter(HEAD)
    expected = [CallBegins(0, "c", "f"), CallArguments(0, "{}"), Finish("tool_calls")]
    assert read_stream(b"".join(any_.written(writer, said))) == expected
    assert chat_stream.read_answer(any_.written(whole, said)[-1]) == expected


@pytest.mark.parametrize("name", ["chat_stream", "chat_stream_usage", "chat_stream_tools"])
def test_recorded_streams(name: str) -> None:
    case = recordings("vllm")[name]
    *said, end = any_.joined(read_stream(case.body, *range(0, len(case.body), 7)))
    assert isinstance(end, Finish)
    assert end.reason == ("tool_calls" if name.endswith("tools") else "length")
    assert (end.usage is not None) == (name != "chat_stream")
    kinds = {"chat_stream_tools": [CallBegins, CallArguments]}.get(name, [Words])
    assert [type(piece) for piece in said] == kinds


@pytest.mark.parametrize(
    ("name", "kinds", "reason"),
    [
        ("chat", [Words, Finish], "length"),
        ("chat_stop", [Words, Finish], "stop"),
        ("chat_tools", [CallBegins, CallArguments, Finish], "tool_calls"),
        ("chat_tools_required", [CallBegins, CallArguments, Finish], "tool_calls"),
    ],
)
def test_recorded_answers(name: str, kinds: list[type], reason: str) -> None:
    said = chat_stream.read_answer(recordings("vllm")[name].body)
    assert [type(piece) for piece in said] == kinds
    assert isinstance(said[-1], Finish)
    assert said[-1].reason == reason
    assert said[-1].usage is not None


END = Finish("tool_calls")
A, B = CallBegins(0, "a", "f"), CallBegins(1, "b", "g")


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([called(0, "a", "f"), called(1, "b", "g"), called(0, arguments="{}")], [A, B, CallArguments(0, "{}"), END]),
        # one index for all, as Gemini counts
        (
            [called(0, "a", "f", "{}"), called(0, "b", "g", "{}")],
            [A, CallArguments(0, "{}"), B, CallArguments(1, "{}"), END],
        ),
        # no index, no id, arguments as an object
        ([called(None, None, "f", {"x": 1})], [CallBegins(0, "call_c_0", "f"), CallArguments(0, '{"x":1}'), END]),
        # name and id on every delta
        ([called(0, "a", "f", "{"), called(0, "a", "f", "}")], [A, CallArguments(0, "{"), CallArguments(0, "}"), END]),
        (
            [called(7, arguments="{}"), chunk({"content": [{"type": "text", "text": "x"}]})],
            [Words("x"), Finish("stop")],
        ),
        (
            [chunk({"reasoning": "hm"}), chunk({"refusal": "no"})],
            [Thinking("hm"), Words("no", is_refusal=True), Finish("stop")],
        ),
        ([chunk({"content": "x"}, "model_length")], [Words("x"), Finish("length")]),
        ([chunk({"content": "x"}, "abort")], [Words("x"), Finish("stop")]),
        (
            [chunk({"content": "x"}), {"choices": None, "usage": {"prompt_tokens": -1}}],
            [Words("x"), Finish("stop", Usage())],
        ),
        ([{"choices": [{"index": 1, "delta": {"content": "x"}}]}, chunk({}, "stop")], [Finish("stop")]),
    ],
)
def test_what_other_servers_send(chunks: list[dict[str, Any]], said: list[Piece | Finish]) -> None:
    assert read_stream(stream_of(*chunks)) == said


def test_a_stream_without_done_is_whole_when_it_told_why_it_ended() -> None:
    assert read_stream(stream_of(chunk({"content": "x"}, "stop"), done=False)) == [Words("x"), Finish("stop")]
    for half in (stream_of(chunk({"content": "x"}), done=False), stream_of(), b""):
        with pytest.raises(errors.Broken, match="ended before its answer did"):
            read_stream(half)


def test_what_was_told_of_a_stream_that_breaks_off() -> None:
    reader = chat_stream.StreamReader()
    reader.read(stream_of(chunk({"content": "x"}) | {"usage": {"prompt_tokens": 3}}, done=False))
    assert (reader.told, reader.ended) == (Finish("", Usage(uncached=3)), False)
    reader.read(b"data: [DONE]\n\n")
    assert reader.ended
    assert reader.read(stream_of(chunk({"content": "late"}), done=False)) == []


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'data: {"error": {"message": "x", "type": "overloaded_error"}}\n\n', errors.Overloaded),
        (b'data: {"error": "x"}\n\n', errors.Broken),
        (b"data: <html>\n\n", errors.Broken),
        (b"data: [1]\n\n", errors.Broken),
    ],
)
def test_a_failure_in_band(event: bytes, kind: type[errors.ProviderFailure]) -> None:
    with pytest.raises(kind):
        chat_stream.StreamReader().read(event)
    with pytest.raises(kind):
        chat_stream.read_answer(event[6:].strip())


def test_an_answer_that_is_none() -> None:
    for raw in (b"{}", b'{"choices": []}', b'{"choices": [1]}'):
        with pytest.raises(errors.Broken, match="without a completion"):
            chat_stream.read_answer(raw)


def test_arguments_nested_past_all_measure() -> None:
    deep = '{"x":' * 300 + "1" + "}" * 300
    raw = stream_of(called(0, "a", "f", 0), done=False).replace(b'"arguments":0', b'"arguments":' + deep.encode())
    with pytest.raises(errors.Broken, match="too deep"):
        chat_stream.StreamReader().read(raw)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, None),
        ({"prompt_tokens": None, "completion_tokens": None}, None),
        ({"prompt_tokens": 0}, Usage()),
        ({"prompt_tokens": 9, "completion_tokens": 2}, Usage(9, output=2)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 4}}, Usage(3, 2, 4)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}}, Usage(0, 3)),
    ],
)
def test_a_usage_is_known_as_far_as_it_is_told(usage: dict[str, Any], expected: Usage | None) -> None:
    assert openai.read_usage(usage) == expected


@pytest.mark.parametrize("wanted", [False, True])
def test_an_empty_usage_is_shown_to_those_who_asked(*, wanted: bool) -> None:
    last = b'data: {"choices":[],"usage":{}}\n\n'
    assert openai.PassingChunks(include_usage=wanted).read(last).hidden is not wanted
