"""Answers in JSON are asked for in both languages, and come as words whichever way they were asked for."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.conversation import (
    AnswerForm,
    CallArguments,
    CallBegins,
    Conversation,
    Piece,
    Reasoning,
    Text,
    Thinking,
    Tool,
    Turn,
    Untranslatable,
    Words,
)
from gateway.errors import InvalidRequest
from gateway.exchange import Finish, Usage
from gateway.wire import anthropic, anthropic_stream, anthropic_writers, chat
from tests import conversations as any_

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
HEAD = {"id": "x", "created": 1_800_000_000, "model": "m"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"towns": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}},
    "required": ["towns"],
}
FORM = AnswerForm(SCHEMA, "all towns", "What towns there are.", strict=True)
ASKED = Conversation(turns=(Turn("user", (Text("hi"),)),), form=FORM)
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
CHAT_PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)
END = Finish("tool_calls", Usage())


def to_anthropic(asked: Conversation, *, native_json: bool = False) -> dict[str, Any]:
    body = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=9999, native_json=native_json)
    PARAMS.validate_python(body)
    return body


def lost(asked: Conversation, *, native_json: bool = False) -> tuple[str, ...]:
    return tuple(anthropic.losses(asked, max_tokens=9999, native_json=native_json))


def test_it_works() -> None:
    told = {"name": "towns", "description": "d", "schema": SCHEMA, "strict": True}
    asked = chat.read_conversation(
        {"messages": HI, "response_format": {"type": "json_schema", "json_schema": told}, "tool_choice": None}
    )
    assert (asked.form, asked.dropped) == (AnswerForm(SCHEMA, "towns", "d", strict=True), ())
    body = to_anthropic(asked)
    assert body["tools"] == [{"name": "towns", "description": "d", "input_schema": SCHEMA}]
    assert body["tool_choice"] == {"type": "tool", "name": "towns", "disable_parallel_tool_use": True}
    assert lost(asked) == ()
    name = anthropic.form_tool(asked, max_tokens=9999)
    said: list[Piece | Finish] = [CallBegins(0, "t", name), CallArguments(0, '{"towns":[]}'), END]
    *_, whole = any_.written(anthropic_writers.WholeWriter(HEAD), said)
    assert anthropic_stream.read_answer(whole, name) == [Words('{"towns":[]}'), Finish("stop", Usage())]


# --- asked in a chat --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "form"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, AnswerForm()),
        ({"type": "json_object", "schema": SCHEMA}, AnswerForm(SCHEMA)),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, AnswerForm(name="n")),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, AnswerForm(SCHEMA, "n")),
    ],
)
def test_the_form_of_a_chat(given: Any, form: AnswerForm | None) -> None:
    assert chat.read_conversation({"messages": HI, "response_format": given}).form == form


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("json", "response_format"),
        ({}, "response_format.type"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": "x"}}, "response_format.json_schema.schema"),
    ],
)
def test_a_form_that_is_wrong_is_named(given: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        chat.read_conversation({"messages": HI, "response_format": given})
    assert raised.value.param == param


def test_a_model_that_knows_schemas_is_told_the_schema() -> None:
    body = to_anthropic(ASKED, native_json=True)
    schema = body["output_config"]["format"]["schema"]
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert not body.keys() & {"tools", "tool_choice", "system"}
    assert schema["additionalProperties"] is schema["properties"]["towns"]["items"]["additionalProperties"] is False
    assert "additionalProperties" not in SCHEMA
    assert anthropic.form_tool(ASKED, max_tokens=9999, native_json=True) == ""
    both = to_anthropic(replace(ASKED, reasoning=Reasoning("low"), tools=(Tool("f"),)), native_json=True)
    assert both["output_config"] == body["output_config"]
    assert (both["thinking"]["type"], [tool["name"] for tool in both["tools"]]) == ("enabled", ["f"])


@pytest.mark.parametrize("name", ["", "all towns", "é" * 90])
def test_the_tool_has_a_name_that_anthropic_takes(name: str) -> None:
    asked = replace(ASKED, form=replace(FORM, name=name))
    (tool,) = to_anthropic(asked)["tools"]
    assert tool["name"] == anthropic.form_tool(asked, max_tokens=9999)
    assert tool["name"] == {"": "answer", "all towns": "all_towns"}.get(name, "_" * 64)


@pytest.mark.parametrize(
    "changed",
    [
        {"form": AnswerForm()},
        {"form": AnswerForm({"type": "array"})},
        {"form": AnswerForm({"type": "object", "anyOf": []})},
        {"tools": (Tool("f"),)},
        {"reasoning": Reasoning("low")},
        {"turns": (*ASKED.turns, Turn("assistant", (Text("{"),)))},
    ],
)
def test_what_no_tool_can_take_is_asked_for_in_words(changed: dict[str, Any]) -> None:
    asked = replace(ASKED, system=(Text("Be brief.", {"type": "ephemeral"}),), **changed)
    assert asked.form
    body = to_anthropic(asked)
    kept, told = body["system"]
    assert kept["cache_control"] == {"type": "ephemeral"}
    assert told["text"].startswith("Answer with one JSON object only")
    assert asked.form.schema is None or orjson.dumps(asked.form.schema).decode() in told["text"]
    assert [tool["name"] for tool in body.get("tools", [])] == [tool.name for tool in asked.tools]
    assert ("thinking" in body) is (asked.reasoning is not None)
    assert "response_format" in lost(asked)
    assert anthropic.form_tool(asked, max_tokens=9999) == ""


def test_without_room_for_thinking_the_tool_is_called() -> None:
    asked = replace(ASKED, reasoning=Reasoning("low"), max_tokens=100)
    assert "thinking" not in to_anthropic(asked)
    assert anthropic.form_tool(asked, max_tokens=9999) == "all_towns"
    assert lost(asked) == ("reasoning_effort",)


# --- asked in a message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
    ],
)
def test_the_form_of_a_message(fields: dict[str, Any]) -> None:
    asked = anthropic.read_conversation({"messages": HI, **fields})
    assert (asked.form, asked.dropped) == (AnswerForm(SCHEMA), ())
    body = chat.write_conversation(asked, model="m", stream=False)
    CHAT_PARAMS.validate_python(body)
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


def test_a_form_of_messages_that_is_none() -> None:
    with pytest.raises(InvalidRequest) as raised:
        anthropic.read_conversation({"messages": HI, "output_format": {"type": "json_schema"}})
    assert raised.value.param == "output_format.schema"
    with pytest.raises(Untranslatable):
        anthropic.read_conversation({"messages": HI, "output_config": {"format": {"type": "regex"}}})
    told = anthropic.read_conversation({"messages": HI, "output_config": {"task_budget": {"total": 9}}})
    assert told.dropped == ("output_config.task_budget",)


# --- the answer -------------------------------------------------------------------------------------------------------


def read_stream(stream: bytes, name: str) -> list[Piece | Finish]:
    reader = anthropic_stream.StreamReader(name)
    return [*(piece for event in any_.events(stream) for piece in reader.read(event)), *reader.close()]


@any_.PATIENT
@given(
    any_.ARGUMENTS.flatmap(
        lambda text: st.lists(st.integers(0, len(text)), max_size=3).map(lambda cuts: (text, sorted(cuts)))
    ),
    st.booleans(),
)
def test_the_arguments_are_the_words_as_they_come(told: tuple[str, list[int]], thought: bool) -> None:
    text, cuts = told
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    thoughts: list[Piece | Finish] = [Thinking("hm"), Thinking(signature="s")] if thought else []
    said = [*thoughts, CallBegins(0, "t", "form"), *(CallArguments(0, part) for part in parts), END]
    stream = b"".join(any_.written(anthropic_writers.StreamWriter(HEAD), said))
    expected = [*thoughts, *(Words(part) for part in parts if part), Finish("stop", Usage())]
    assert read_stream(stream, "form") == expected
    *_, whole = any_.written(anthropic_writers.WholeWriter(HEAD), said)
    assert any_.joined(anthropic_stream.read_answer(whole, "form")) == any_.joined(expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # words beside the tool are none of the answer
        ([Words("Sure!"), CallBegins(0, "t", "form"), CallArguments(0, "{}"), Words("!")], [Words("{}")]),
        # and are the answer of a model that calls no tool
        ([Words("I"), Words(" can't")], [Words("I can't")]),
        # an answer is told once
        (
            [CallBegins(0, "t", "form"), CallArguments(0, "{}"), CallBegins(1, "u", "form"), CallArguments(1, "{}")],
            [Words("{}")],
        ),
    ],
)
def test_what_is_told_beside_the_tool(said: list[Piece], expected: list[Piece]) -> None:
    called = any(isinstance(piece, CallBegins) for piece in said)
    for reason, told in (("tool_calls" if called else "stop", "stop"), ("length", "length")):
        whole = b"".join(any_.written(anthropic_writers.WholeWriter(HEAD), [*said, Finish(reason, Usage())]))
        stream = b"".join(any_.written(anthropic_writers.StreamWriter(HEAD), [*said, Finish(reason, Usage())]))
        for found in (anthropic_stream.read_answer(whole, "form"), read_stream(stream, "form")):
            assert any_.joined(found) == [*expected, Finish(told, Usage())]


def test_without_arguments_the_answer_is_empty() -> None:
    call = CallBegins(0, "t", "form")
    stream = b"".join(any_.written(anthropic_writers.StreamWriter(HEAD), [call, END]))
    assert read_stream(stream, "form") == [Words("{}"), Finish("stop", Usage())]


def test_another_tool_is_called_as_ever() -> None:
    said: list[Piece | Finish] = [CallBegins(0, "t", "f"), CallArguments(0, "{}"), END]
    stream = b"".join(any_.written(anthropic_writers.StreamWriter(HEAD), said))
    assert read_stream(stream, "form") == read_stream(stream, "") == said
