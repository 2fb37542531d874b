"""Anthropic's Messages and conversations say the same, in both directions."""

from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway import errors
from gateway.conversation import (
    AnswerForm,
    Block,
    Conversation,
    Document,
    Image,
    Reasoning,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
)
from gateway.wire import anthropic, chat
from tests import conversations as any_

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
CACHED = {"type": "ephemeral"}


def read(messages: Any = None, **fields: Any) -> Conversation:
    return anthropic.read_conversation({"model": "m", "messages": HI if messages is None else messages, **fields})


def write(*turns: Turn, **settings: Any) -> dict[str, Any]:
    return anthropic.write_conversation(Conversation(turns=turns, **settings), model="m", stream=False, max_tokens=64)


def user(*blocks: Block) -> Turn:
    return Turn("user", blocks)


def assistant(*blocks: Block) -> Turn:
    return Turn("assistant", blocks)


BODY: dict[str, Any] = {
    "model": "m",
    "system": [{"type": "text", "text": "Be brief.", "cache_control": CACHED}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "r"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": 1}, "cache_control": CACHED},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [
                        {"type": "text", "text": "a cat"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    ],
                    "is_error": True,
                    "cache_control": CACHED,
                },
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            ],
        },
    ],
    "tools": [{"name": "look", "description": "d", "input_schema": {"type": "object"}, "cache_control": CACHED}],
    "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    "max_tokens": 9,
    "temperature": 0.5,
    "top_k": 3,
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u"},
}


def test_it_works() -> None:
    asked = read(**BODY)
    assert asked == Conversation(
        system=(Text("Be brief.", CACHED),),
        turns=(
            user(Text("What is this?")),
            assistant(
                Thought("hm", "s"),
                Thought(redacted="r"),
                Text("Let me look."),
                ToolUse("t1", "look", '{"at":1}', CACHED),
            ),
            user(
                ToolResult("t1", (Text("a cat"), Image(data="AAAA", media_type="image/png")), True, CACHED),  # noqa: FBT003
                Image(url="https://x/y.png"),
            ),
        ),
        tools=(Tool("look", "d", {"type": "object"}, cache=CACHED),),
        tool_choice=ToolChoice("tool", "look"),
        parallel_tools=False,
        max_tokens=9,
        temperature=0.5,
        top_k=3,
        stop=("END",),
        user="u",
    )
    written = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=64)
    assert written == BODY


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_system_message_is_part_of_the_system() -> None:
    asked = read([*HI, {"role": "system", "content": "b"}, *HI], system="a")
    assert asked.system == (Text("a"), Text("b"))
    assert asked.turns == (user(Text("hi"), Text("hi")),)


def test_a_result_without_content() -> None:
    blocks = [{"type": "tool_result", "tool_use_id": "a"}, {"type": "tool_result", "tool_use_id": "b", "content": "x"}]
    assert read([{"role": "user", "content": blocks}]).turns == (
        user(ToolResult("a", ()), ToolResult("b", (Text("x"),))),
    )


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"output_format": {"type": "grammar"}}, "output_format.type"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
    ],
)
def test_what_cannot_be_translated(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        anthropic.read_conversation({"messages": HI} | fields)
    assert raised.value.field == name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": "x"}]}]},
            "messages[0].content[0].input",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages[0].content[0].tool_use_id"),
        ({"system": 7}, "system"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": [{}]}, "tools[0].name"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        anthropic.read_conversation({"messages": HI} | fields)
    assert raised.value.param == param


# --- writing ----------------------------------------------------------------------------------------------------------


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        # blank texts are left out, and what then stands side by side is one turn
        ([user(Text("a")), assistant(Text(" ")), user(Text("b"), Text(""))], [("user", [said("a"), said("b")])]),
        # the user begins
        ([assistant(Text("a"))], [("user", [said("Begin.")]), ("assistant", [said("a")])]),
        ([], [("user", [said("Begin.")])]),
        # no white space at the end of what the assistant has begun to say
        ([user(Text("a ")), assistant(Text("b \n"))], [("user", [said("a ")]), ("assistant", [said("b")])]),
        # results come first; thoughts without a signature are nobody's
        (
            [user(Text("a"), ToolResult("c", (Text(" "),))), assistant(Thought("hm"), Text("b"))],
            [("user", [{"type": "tool_result", "tool_use_id": "c"}, said("a")]), ("assistant", [said("b")])],
        ),
        # ids of other servers
        (
            [user(ToolResult("f.x:0", ())), assistant(ToolUse("f.x:0", "f", " "))],
            [
                ("user", [{"type": "tool_result", "tool_use_id": "f_x_0"}]),
                ("assistant", [{"type": "tool_use", "id": "f_x_0", "name": "f", "input": {}}]),
            ],
        ),
    ],
)
def test_the_turns_that_anthropic_takes(turns: list[Turn], messages: list[tuple[str, Any]]) -> None:
    assert [(message["role"], message["content"]) for message in write(*turns)["messages"]] == messages


@pytest.mark.parametrize(
    ("system", "written"),
    [
        ((Text("a"),), "a"),
        ((Text("a"), Text(" ")), "a"),
        ((Text("a", CACHED),), [said("a", cache_control=CACHED)]),
        ((Text("a"), Text("b")), [said("a"), said("b")]),
        ((Text(" "),), None),
    ],
)
def test_the_system(system: tuple[Text, ...], written: Any) -> None:
    assert write(user(Text("x")), system=system).get("system") == written


@pytest.mark.parametrize("arguments", ["[1]", "{", "7", "{'a': 1}", '{"x":' * 200 + "1" + "}" * 200])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    function = {"name": "f", "arguments": arguments}
    body = {"messages": [*HI, {"role": "assistant", "tool_calls": [{"id": "c", "function": function}]}]}
    with pytest.raises(errors.InvalidRequest, match="not a JSON object") as raised:
        write(*chat.read_conversation(body).turns)
    assert raised.value.param == "messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("settings", "written", "lost"),
    [
        ({}, {"max_tokens": 64}, ()),
        ({"max_tokens": 5, "top_k": 2}, {"max_tokens": 5, "top_k": 2}, ()),
        ({"temperature": 1.5}, {"max_tokens": 64, "temperature": 1.0}, ("temperature",)),
        ({"temperature": 0.0, "top_p": 0.5}, {"max_tokens": 64, "temperature": 0.0}, ("top_p",)),
        ({"top_p": 0.5}, {"max_tokens": 64, "top_p": 0.5}, ()),
        ({"stop": ("\n", "END")}, {"max_tokens": 64, "stop_sequences": ["END"]}, ("stop",)),
        ({"stop": ("\n",)}, {"max_tokens": 64}, ("stop",)),
        ({"user": "u" * 300}, {"max_tokens": 64, "metadata": {"user_id": "u" * 256}}, ()),
        ({"tool_choice": ToolChoice("any"), "parallel_tools": False}, {"max_tokens": 64}, ("tool_choice",)),
    ],
)
def test_the_settings(settings: dict[str, Any], written: dict[str, Any], lost: tuple[str, ...]) -> None:
    asked = Conversation(turns=(user(Text("a")),), **settings)
    body = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=64)
    assert body.pop("messages")
    assert body == {"model": "m"} | written
    assert anthropic.losses(asked, max_tokens=64) == lost


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), True, {"type": "auto"}),
        (ToolChoice("any"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("tool", "f"), None, {"type": "tool", "name": "f"}),
    ],
)
def test_the_choice_of_tools(choice: ToolChoice | None, parallel: bool | None, written: Any) -> None:
    body = write(user(Text("a")), tools=(Tool("f"),), tool_choice=choice, parallel_tools=parallel)
    assert body.get("tool_choice") == written


@pytest.mark.parametrize("schema", [None, {}, {"properties": {}}])
def test_a_tool_without_a_schema_takes_nothing(schema: Any) -> None:
    (tool,) = write(user(Text("a")), tools=(Tool("f", schema=schema, strict=True),))["tools"]
    assert tool == {"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True}


HINTS = st.none() | st.just({"type": "ephemeral"})
TEXTS = st.builds(Text, any_.WORDS, HINTS)
DOCUMENTS = st.builds(
    lambda said, name, cache: Document(**said, name=name, cache=cache),
    st.fixed_dictionaries({"url": any_.NAMES})
    | st.fixed_dictionaries({"text": any_.WORDS})
    | st.fixed_dictionaries({"data": any_.NAMES, "media_type": st.just("application/pdf")}),
    st.just("") | any_.SAID,
    HINTS,
)
SHOWN = TEXTS | any_.images(st.just("")) | DOCUMENTS
CLOSED = any_.SCHEMAS.map(lambda schema: {**schema, "additionalProperties": False})
NORMAL = any_.conversations(
    any_.turns(
        st.tuples(
            st.lists(any_.results(st.lists(SHOWN, max_size=2).map(tuple), st.booleans()), max_size=2),
            st.lists(SHOWN, max_size=3),
        )
        .map(lambda both: [*both[0], *both[1]])
        .filter(bool),
        st.lists(
            st.builds(Text, any_.WORDS.map(str.strip), HINTS)
            | any_.uses()
            | st.builds(Thought, any_.SAID, any_.NAMES)
            | st.builds(Thought, redacted=any_.NAMES),
            min_size=1,
            max_size=4,
        ),
        first="user",
    ),
    st.lists(TEXTS, max_size=2),
    st.builds(Tool, any_.NAMES, any_.WORDS | st.just(""), any_.SCHEMAS, st.none() | st.booleans(), HINTS),
    max_tokens=st.integers(1, 99),
    temperature=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 99),
    stop=st.lists(any_.WORDS, max_size=3).map(tuple),
    user=st.none() | any_.NAMES,
    form=st.none() | st.builds(AnswerForm, CLOSED),
    reasoning=st.none() | st.just(Reasoning("none")),
)
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)


@any_.PATIENT
@given(NORMAL, st.booleans())
def test_what_is_written_is_read(asked: Conversation, stream: bool) -> None:
    body = anthropic.write_conversation(asked, model="m", stream=stream, max_tokens=1, native_json=True)
    assert anthropic.read_conversation(orjson.loads(orjson.dumps(body))) == asked
    assert body.get("stream") == (True if stream else None)


@any_.PATIENT
@given(NORMAL)
def test_what_is_written_has_the_official_type(asked: Conversation) -> None:
    for native in (False, True):
        body = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=1, native_json=native)
        PARAMS.validate_python(body)
