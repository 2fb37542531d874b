"""Functions of chats are tools of other languages, and are answered as functions."""

from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.conversation import (
    CallArguments,
    CallBegins,
    Piece,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Words,
)
from gateway.errors import InvalidRequest
from gateway.exchange import Finish, Policy
from gateway.wire import chat, formats, openai
from gateway.wire.chat_function_stream import StreamWriter, WholeWriter
from tests import conversations as any_

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
HEAD = {"id": "x", "created": 1_800_000_000, "model": "m"}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
SAID: list[Piece | Finish] = [
    Words("Let me see."),
    CallBegins(0, "c", "f"),
    CallArguments(0, '{"a"'),
    CallArguments(0, ":1}"),
    CallBegins(1, "d", "g"),
    CallArguments(1, "{}"),
    Finish("tool_calls"),
]


def messages(*calls: str) -> list[dict[str, Any]]:
    """Return a history in which functions were called one after the other."""
    told = [
        pair
        for name in calls
        for pair in (
            {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": '{"a":1}'}},
            {"role": "function", "name": name, "content": f"of {name}"},
        )
    ]
    return [*HI, *told]


def test_it_works() -> None:
    asked = chat.read_conversation(
        {"messages": messages("f", "g", "f"), "functions": [FUNCTION], "function_call": {"name": "f"}}
    )
    assert asked.tools == (Tool("f", "d", {"type": "object", "properties": {}}),)
    assert (asked.tool_choice, asked.parallel_tools, asked.dropped) == (ToolChoice("tool", "f"), False, ())
    assert asked.turns == (
        Turn("user", (Text("hi"),)),
        Turn("assistant", (ToolUse("call_1", "f", '{"a":1}'),)),
        Turn("user", (ToolResult("call_1", (Text("of f"),)),)),
        Turn("assistant", (ToolUse("call_3", "g", '{"a":1}'),)),
        Turn("user", (ToolResult("call_3", (Text("of g"),)),)),
        Turn("assistant", (ToolUse("call_5", "f", '{"a":1}'),)),
        Turn("user", (ToolResult("call_5", (Text("of f"),)),)),
    )


@pytest.mark.parametrize(
    ("given", "choice"), [(None, None), ("auto", ToolChoice("auto")), ("none", ToolChoice("none"))]
)
def test_the_choice_of_functions(given: Any, choice: ToolChoice | None) -> None:
    asked = chat.read_conversation({"messages": HI, "functions": [FUNCTION], "function_call": given})
    assert asked.tool_choice == choice


def test_a_history_of_functions_that_are_offered_no_more() -> None:
    asked = chat.read_conversation({"messages": messages("f")})
    assert asked.tools == ()
    assert [type(block) for turn in asked.turns for block in turn.blocks] == [Text, ToolUse, ToolResult]
    alone = chat.read_conversation({"messages": [{"role": "function", "name": "f", "content": "1"}]})
    assert alone.turns == (Turn("user", (ToolResult("call_f", (Text("1"),)),)),)


def test_a_function_that_is_wrong_is_named() -> None:
    with pytest.raises(InvalidRequest) as raised:
        chat.read_conversation({"messages": HI, "functions": [{}]})
    assert raised.value.param == "tools[0].function.name"


def test_a_stream_calls_a_function() -> None:
    stream = b"".join(any_.written(StreamWriter(HEAD), SAID))
    chunks = [ChatCompletionChunk.model_validate_json(event[6:], strict=True) for event in any_.events(stream)[:-1]]
    choices = [chunk.choices[0] for chunk in chunks]
    called = [choice.delta.function_call for choice in choices if choice.delta.function_call]
    assert [call.name for call in called if call.name] == ["f"]
    assert "".join(call.arguments or "" for call in called) == '{"a":1}'
    assert (choices[-1].finish_reason, [choice.delta.tool_calls for choice in choices]) == (
        "function_call",
        [None] * len(choices),
    )


def test_a_whole_answer_calls_a_function() -> None:
    *_, whole = any_.written(WholeWriter(HEAD), SAID)
    (choice,) = ChatCompletion.model_validate_json(whole, strict=True).choices
    assert choice.message.function_call
    assert (choice.message.function_call.name, choice.message.function_call.arguments) == ("f", '{"a":1}')
    assert (choice.finish_reason, choice.message.tool_calls) == ("function_call", None)
    assert choice.message.content == "Let me see."
    *_, plain = any_.written(WholeWriter(HEAD), [Words("No."), Finish("stop")])
    assert "function_call" not in orjson.loads(plain)["choices"][0]["message"]


def test_a_call_without_arguments_has_none() -> None:
    said: list[Piece | Finish] = [CallBegins(0, "c", "f"), CallBegins(1, "d", "g"), Finish("tool_calls")]
    assert b"".join(any_.written(StreamWriter(HEAD), said)).count(b'"arguments":"{}"') == 1
    assert b'"arguments":"{}"' in any_.written(WholeWriter(HEAD), said)[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_who_offers_functions_is_answered_with_one(*, stream: bool) -> None:
    body = {"messages": HI, "functions": [FUNCTION], "stream": stream}
    for fields, kind in ((body, b'"function_call"'), ({**body, "functions": []}, b'"tool_calls"')):
        request = openai.read_chat(orjson.dumps(fields), fields, Policy())
        told = b"".join(any_.written(formats.new_writer(request, "m"), SAID))
        assert kind in told
        assert (b'"tool_calls"' in told) is (kind == b'"tool_calls"')
