"""Chat completions and conversations say the same, in both directions."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway import errors
from gateway.conversation import (
    AnswerForm,
    Block,
    Conversation,
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
from gateway.wire import chat
from tests import conversations as any_

HI = [{"role": "user", "content": "hi"}]
PNG = "data:image/png;base64,AAAA"


def read(messages: Any = None, **fields: Any) -> Conversation:
    return chat.read_conversation({"model": "m", "messages": HI if messages is None else messages, **fields})


def write(*turns: Turn, **settings: Any) -> dict[str, Any]:
    return chat.write_conversation(Conversation(turns=turns, **settings), model="m", stream=False)


def test_it_works() -> None:
    asked = read(
        [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": PNG}}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
            {"role": "user", "content": "So?"},
        ],
        max_tokens=9,
        temperature=0.5,
        stop="END",
        seed=7,
    )
    assert asked == Conversation(
        turns=(
            Turn("user", (Text("What is"), Image(data="AAAA", media_type="image/png"))),
            Turn("assistant", (ToolUse("c1", "look", '{"at": 1}'),)),
            Turn("user", (ToolResult("c1", (Text("a cat"),)), Text("So?"))),
        ),
        system=(Text("Be brief."),),
        max_tokens=9,
        temperature=0.5,
        stop=("END",),
        dropped=("seed",),
    )
    (use,) = asked.turns[1].blocks
    assert isinstance(use, ToolUse)
    assert use.place == "messages[2].tool_calls[0].function.arguments"


# --- reading requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        (["user a", "user b"], ["user a b"]),
        (["user a", "assistant b", "assistant c", "user d"], ["user a", "assistant b c", "user d"]),
        (["user a", "system x", "user b"], ["user a b"]),
        (["user a", "assistant ", "user b"], ["user a b"]),
        (["assistant a"], ["assistant a"]),
        (["developer a", "user "], []),
    ],
)
def test_the_sides_alternate(messages: list[str], turns: list[str]) -> None:
    pairs = [message.split(" ") for message in messages]
    asked = read([{"role": role, "content": content} for role, content in pairs])
    found = [
        " ".join([turn.role, *(block.text for block in turn.blocks if isinstance(block, Text))]) for turn in asked.turns
    ]
    assert found == turns


def test_results_in_a_row_are_one_turn() -> None:
    asked = read([{"role": "tool", "tool_call_id": name, "content": name} for name in ("a", "b")])
    assert asked.turns == (Turn("user", (ToolResult("a", (Text("a"),)), ToolResult("b", (Text("b"),)))),)


def test_a_refusal_is_what_the_assistant_said() -> None:
    parts = [{"type": "refusal", "refusal": "No."}, {"type": "text", "text": ""}]
    asked = read([{"role": "assistant", "content": parts}, {"role": "assistant", "refusal": "Never."}])
    assert asked.turns == (Turn("assistant", (Text("No."), Text("Never."))),)


def test_a_hint_for_the_cache_is_kept() -> None:
    part = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    assert read([{"role": "user", "content": [part]}]).turns[0].blocks == (Text("long", {"type": "ephemeral"}),)


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", "f")),
        (None, None),
    ],
)
def test_the_choice_of_tools(given: Any, choice: ToolChoice | None) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    asked = read(tools=tools, tool_choice=given, parallel_tool_calls=False)
    assert (asked.tool_choice, asked.parallel_tools) == (choice, False)
    assert asked.tools == (Tool("f", "d", {"type": "object"}),)
    written = chat.write_conversation(asked, model="m", stream=False)
    assert (written["tools"], written.get("tool_choice")) == (tools, given)
    assert written["parallel_tool_calls"] is False


def test_what_belongs_to_tools_goes_with_them() -> None:
    assert write(tool_choice=ToolChoice("auto"), parallel_tools=True) == {"model": "m", "messages": []}


@pytest.mark.parametrize(
    "name",
    [
        *("seed", "frequency_penalty", "presence_penalty", "logit_bias", "store", "metadata", "service_tier"),
        *("prompt_cache_key", "prompt_cache_options", "verbosity", "reasoning_effort", "x_unheard_of"),
    ],
)
def test_what_changes_no_form_is_dropped_by_name(name: str) -> None:
    assert chat.read_conversation({"messages": HI, name: 1}).dropped == (name,)
    assert chat.read_conversation({"messages": HI, name: None}).dropped == ()


def test_what_says_no_more_than_its_absence_is_not_named() -> None:
    idle = {"frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "store": False, "metadata": {}}
    assert read(**idle, service_tier="auto", verbosity="medium", reasoning_effort=None).dropped == ()
    assert read(service_tier="flex", verbosity="low", store=True).dropped == ("service_tier", "verbosity", "store")


def test_who_asks_has_two_names() -> None:
    assert (read(safety_identifier="s").user, read(safety_identifier="s").dropped) == ("s", ())
    both = read(user="u", safety_identifier="s")
    assert (both.user, both.dropped) == ("u", ("safety_identifier",))


@pytest.mark.parametrize(("stop", "read_as"), [(None, ()), ("a", ("a",)), (["a", "b"], ("a", "b")), ([], ())])
def test_where_to_stop(stop: Any, read_as: tuple[str, ...]) -> None:
    assert read(stop=stop).stop == read_as


def test_the_newer_limit_counts() -> None:
    assert read(max_tokens=5, max_completion_tokens=7).max_tokens == 7
    assert read(max_tokens=5, max_completion_tokens=None).max_tokens == 5


def test_a_name_of_a_speaker_is_dropped() -> None:
    assert read([{"role": "user", "name": "Ann", "content": "a"}]).dropped == ("messages[].name",)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"functions": ["f"]}, "functions"),
        ({"functions": [{"name": "f"}], "tools": [{}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content"}}, "prediction"),
        ({"guided_json": {}}, "guided_json"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].type"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
        ({"messages": [{"role": "assistant", "function_call": {}}]}, "messages[0].function_call"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0].type"),
    ],
)
def test_what_changes_the_form_cannot_be_translated(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(Untranslatable, match="`") as raised:
        chat.read_conversation({"messages": HI} | fields)
    assert raised.value.field == name


def test_the_plain_form_may_be_asked_for() -> None:
    plain = {"n": 1, "logprobs": False, "response_format": {"type": "text"}, "modalities": ["text"], "audio": None}
    assert read(**plain) == read()


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([{"role": "user"}], "messages[0].content"),
        ([*HI, {"role": "system", "content": None}], "messages[1].content"),
        ([{"role": "user", "content": ["a"]}], "messages[0].content"),
        ([{"role": "user", "content": [{"text": "a"}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "messages[0].content[0].image_url"),
        ([{"role": "tool", "content": "a"}], "messages[0].tool_call_id"),
        ([{"role": "robot", "content": "a"}], "messages[0].role"),
        ([{"content": "a"}], "messages[0].role"),
        ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
        ([{"role": "assistant", "tool_calls": [{"id": "c"}]}], "messages[0].tool_calls[0].function"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}], "messages[0].tool_calls[0].id"),
    ],
)
def test_a_message_that_is_wrong_is_named(messages: list[Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        read(messages)
    assert raised.value.param == param


@pytest.mark.parametrize(
    "url", ["ftp://a/b.png", "data:image/png,AAAA", "data:;base64,AAAA", "data:image/png;base64", ""]
)
def test_a_picture_has_an_address_or_is_base64(url: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        read([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
    assert raised.value.param == "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("top_p", -1),
        ("max_tokens", 0),
        ("stop", [1]),
        ("user", 7),
        ("tool_choice", "some"),
        ("parallel_tool_calls", "no"),
        ("tools", "none"),
    ],
)
def test_a_field_that_is_wrong_is_named(name: str, value: Any) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        read(**{name: value})
    assert raised.value.param == name


# --- writing requests -------------------------------------------------------------------------------------------------


def test_a_body_for_a_provider() -> None:
    asked = Conversation(
        turns=(
            Turn("user", (Text("a"), Image(url="https://x/y.png", detail="low"))),
            Turn("assistant", (Thought("hm"), Text("b"), ToolUse("c1", "f", "{}"), Text("c"))),
            Turn(
                "user",
                (Text("d"), ToolResult("c1", (Text("e"), Image(data="AAAA", media_type="image/png")), is_error=True)),
            ),
        ),
        system=(Text("one", {"type": "ephemeral"}), Text("two")),
        max_tokens=5,
        top_k=3,
        user="u" * 100,
    )
    assert chat.losses(asked) == ("top_k", "thinking", "is_error", "cache_control")
    body = chat.write_conversation(asked, model="there", stream=True, limit="max_tokens")
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    shown = [{"type": "text", "text": "What the tool call c1 shows:"}, {"type": "image_url", "image_url": {"url": PNG}}]
    assert body == {
        "model": "there",
        "messages": [
            {"role": "system", "content": "one\n\ntwo"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, picture]},
            {"role": "assistant", "content": "b\n\nc", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "e"},
            {"role": "user", "content": [*shown, {"type": "text", "text": "d"}]},
        ],
        "max_tokens": 5,
        "user": "u" * 64,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


NORMAL = any_.conversations(
    any_.turns(
        st.tuples(
            st.lists(
                any_.results(st.lists(st.builds(Text, any_.WORDS), max_size=1).map(tuple), st.sampled_from([False])),
                max_size=2,
            ),
            st.lists(
                st.builds(Text, any_.WORDS) | any_.images(st.sampled_from(["", "low"])) | any_.documents(), max_size=3
            ),
        )
        .map(lambda both: [*both[0], *both[1]])
        .filter(bool),
        st.tuples(st.lists(st.builds(Text, any_.WORDS), max_size=1), st.lists(any_.uses(), max_size=2))
        .map(lambda both: [*both[0], *both[1]])
        .filter(bool),
    ),
    st.lists(st.builds(Text, any_.WORDS), max_size=1),
    st.builds(Tool, any_.NAMES, any_.WORDS | st.just(""), st.none() | any_.SCHEMAS, st.none() | st.booleans()),
    parallel_tools=st.none() | st.booleans(),
    max_tokens=st.none() | st.integers(1, 99),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    stop=st.lists(any_.SAID, max_size=3).map(tuple),
    user=st.none() | any_.NAMES,
    form=st.none()
    | st.just(AnswerForm())
    | st.builds(AnswerForm, any_.SCHEMAS, any_.NAMES, st.just("") | any_.SAID, st.none() | st.booleans()),
    reasoning=st.none() | st.builds(Reasoning, st.sampled_from(["low", "medium", "high"])),
)


@any_.PATIENT
@given(NORMAL, st.booleans())
def test_what_is_written_is_read(asked: Conversation, stream: bool) -> None:
    body = chat.write_conversation(asked, model="m", stream=stream)
    assert chat.read_conversation(body) == asked
    assert chat.read_conversation(orjson.loads(orjson.dumps(body))) == asked
    assert body.get("stream_options") == ({"include_usage": True} if stream else None)


PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsNonStreaming)


@any_.PATIENT
@given(NORMAL)
def test_what_is_written_has_the_official_type(asked: Conversation) -> None:
    PARAMS.validate_python(chat.write_conversation(asked, model="m", stream=False))


def blocks_of(asked: Conversation) -> list[Block]:
    return [block for turn in asked.turns for block in turn.blocks]


@any_.PATIENT
@given(
    st.recursive(
        st.none() | st.integers() | any_.SAID, lambda inner: st.lists(inner) | st.dictionaries(any_.NAMES, inner)
    )
)
def test_whatever_a_message_holds_it_is_read_or_refused(content: Any) -> None:
    for role in ("user", "assistant", "system", "tool"):
        try:
            blocks_of(read([{"role": role, "content": content, "tool_call_id": content, "tool_calls": content}]))
        except (errors.InvalidRequest, Untranslatable) as refused:
            assert str(refused)
