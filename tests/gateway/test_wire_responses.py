"""Requests of the Responses API and conversations say the same, in both directions."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
)
from gateway.wire import responses, responses_thoughts
from tests import conversations as any_

PNG = "data:image/png;base64,AAAA"
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def read(given: Any = "hi", **fields: Any) -> Conversation:
    return responses.read_conversation({"model": "m", "input": given, **fields})


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def said(side: Literal["user", "assistant"], *blocks: Block) -> Turn:
    return Turn(side, blocks)


def test_it_works() -> None:
    asked = read(
        [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Use tools."}]},
            user(
                {"type": "input_text", "text": "What is"}, {"type": "input_image", "image_url": PNG, "detail": "auto"}
            ),
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": '{"at": 1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
            {"role": "user", "content": "So?"},
        ],
        instructions="Be brief.",
        max_output_tokens=99,
        temperature=0.5,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
        store=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
    )
    assert asked == Conversation(
        turns=(
            said("user", Text("What is"), Image(data="AAAA", media_type="image/png")),
            said("assistant", ToolUse("c1", "look", '{"at": 1}')),
            said("user", ToolResult("c1", (Text("a cat"),)), Text("So?")),
        ),
        system=(Text("Be brief."), Text("Use tools.")),
        max_tokens=99,
        temperature=0.5,
        form=AnswerForm(SCHEMA, "n", strict=True),
        reasoning=Reasoning("low"),
        dropped=("prompt_cache_key",),
    )
    (use,) = asked.turns[1].blocks
    assert isinstance(use, ToolUse)
    assert use.place == "input[2].arguments"


def test_an_input_may_be_a_text() -> None:
    assert read("hi").turns == (said("user", Text("hi")),)


def test_what_the_assistant_said_and_refused() -> None:
    words = {"type": "output_text", "text": "Well.", "annotations": []}
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [words, {"type": "refusal", "refusal": "No."}],
    }
    assert read([message]).turns == (said("assistant", Text("Well."), Text("No.")),)


def test_files() -> None:
    parts = [
        {"type": "input_file", "file_url": "https://x/a.pdf"},
        {"type": "input_file", "filename": "b.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ]
    assert read([user(*parts)]).turns == (
        said(
            "user",
            Document(url="https://x/a.pdf"),
            Document(data="AAAA", media_type="application/pdf", name="b.pdf"),
        ),
    )


def test_what_a_call_shows() -> None:
    shown = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://x/y.png"}]
    (turn,) = read([{"type": "function_call_output", "call_id": "c", "output": shown}]).turns
    assert turn.blocks == (ToolResult("c", (Text("a"), Image(url="https://x/y.png"))),)


def test_a_custom_tool_is_a_function_of_a_text() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    asked = read(
        [
            {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "patch", "input": 'a "b"'},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        ],
        tools=[{"type": "custom", "name": "patch", "description": "Edits.", "format": grammar}],
        tool_choice={"type": "custom", "name": "patch"},
    )
    (tool,) = asked.tools
    assert (tool.name, tool.description) == ("patch", "Edits.")
    assert tool.schema
    assert tool.schema["required"] == ["input"]
    assert tool.schema["properties"]["input"]["description"].endswith("It follows this lark grammar:\nstart: WORD")
    assert asked.tool_choice
    assert asked.tool_choice.name == "patch"
    assert asked.turns == (
        said("assistant", ToolUse("c", "patch", '{"input":"a \\"b\\""}')),
        said("user", ToolResult("c", (Text("done"),))),
    )


def test_tools_in_a_namespace_have_both_names() -> None:
    inner = {"type": "function", "name": "find", "parameters": SCHEMA}
    asked = read(
        [
            {"type": "function_call", "call_id": "c", "namespace": "docs", "name": "find", "arguments": "{}"},
            {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]},
        ],
        tools=[
            {"type": "namespace", "name": "docs", "description": "d", "tools": [inner]},
            {"type": "namespace", "name": "mcp__git__", "description": "d", "tools": [inner]},
        ],
    )
    assert [tool.name for tool in asked.tools] == ["docs__find", "mcp__git__find", "f"]
    assert asked.turns == (said("assistant", ToolUse("c", "docs__find", "{}")),)


def test_tools_of_the_provider_are_left_out_where_there_are_others() -> None:
    asked = read(tools=[{"type": "web_search", "external_web_access": False}, FUNCTION, {"type": "tool_search"}])
    assert [tool.name for tool in asked.tools] == ["f"]
    assert asked.dropped == ("tools[].web_search", "tools[].tool_search")


@pytest.mark.parametrize("kind", ["local_shell", "shell", "apply_patch", "computer", "computer_use_preview"])
def test_tools_that_only_openais_models_know_are_left_out_where_there_are_others(kind: str) -> None:
    asked = read(tools=[{"type": kind}, FUNCTION])
    assert ([tool.name for tool in asked.tools], asked.dropped) == (["f"], (f"tools[].{kind}",))
    with pytest.raises(Untranslatable) as raised:
        read(tools=[{"type": kind}])
    assert raised.value.field == "tools[0].type"


def test_records_of_a_providers_tools_are_left_out() -> None:
    asked = read([{"type": "web_search_call", "id": "ws_1", "status": "completed"}, {"role": "user", "content": "a"}])
    assert (asked.turns, asked.dropped) == ((said("user", Text("a")),), ("input[].web_search_call",))


def test_reasoning_comes_back_as_it_was() -> None:
    envelope = responses_thoughts.seal(signature="s/+=\n")
    summary = [{"type": "summary_text", "text": "hm"}]
    asked = read(
        [
            {"type": "reasoning", "id": "rs_1", "summary": summary, "content": None, "encrypted_content": envelope},
            {"type": "reasoning", "summary": [], "encrypted_content": responses_thoughts.seal(redacted="r")},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "open"}]},
            {"role": "assistant", "content": "So."},
        ]
    )
    assert asked.turns == (
        said("assistant", Thought("hm", "s/+=\n"), Thought(redacted="r"), Thought("open"), Text("So.")),
    )
    assert asked.dropped == ()


@pytest.mark.parametrize(
    "foreign", ["gAAAA", "tokenhub.v1.???", "tokenhub.v1.MQ==", "tokenhub.v1.eyJzaWduYXR1cmUiOjF9"]
)
def test_reasoning_that_another_provider_encrypted_is_dropped(foreign: str) -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": foreign}
    asked = read([reasoning, {"role": "user", "content": "a"}])
    assert (asked.turns, asked.dropped) == ((said("user", Text("a")),), ("input[].encrypted_content",))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_envelope_is_opened_byte_for_byte(text: str) -> None:
    assert responses_thoughts.unseal(responses_thoughts.seal(signature=text)) == (text, "")
    assert responses_thoughts.unseal(responses_thoughts.seal(redacted=text)) == ("", text)


@pytest.mark.parametrize("name", ["service_tier", "max_tool_calls", "truncation", "client_metadata", "x_unheard_of"])
def test_what_changes_no_form_is_dropped_by_name(name: str) -> None:
    assert read(**{name: "auto" if name == "truncation" else 1}).dropped == (name,)
    assert read(**{name: None}).dropped == ()


def test_what_is_dropped_within_a_field() -> None:
    include = ["reasoning.encrypted_content", "web_search_call.results"]
    asked = read(text={"verbosity": "low"}, reasoning={"effort": "utmost", "context": "auto"}, include=include)
    assert asked.dropped == ("text.verbosity", "reasoning.effort", "reasoning.context", "include")
    assert (asked.reasoning, asked.form) == (None, None)
    assert read(text={"verbosity": "medium"}, reasoning={"effort": None}, include=None).dropped == ()


def test_who_the_user_is() -> None:
    asked = read(safety_identifier="s")
    assert (asked.user, asked.dropped) == ("s", ())
    asked = read(user="u", safety_identifier="s")
    assert (asked.user, asked.dropped) == ("u", ("safety_identifier",))


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [FUNCTION, {"type": "code_interpreter"}]}, "tools[1].type"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "local_shell"}}, "tool_choice"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"input": [user({"type": "input_audio"})]}, "input[0].content[0].type"),
        ({"input": [user({"type": "input_image", "file_id": "f"})]}, "input[0].content[0].file_id"),
        ({"input": [user({"type": "input_file", "file_id": "f"})]}, "input[0].content[0].file_id"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [{"type": "local_shell_call"}]}, "input[0].type"),
    ],
)
def test_what_changes_the_form_cannot_be_translated(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        read(**({"given": fields["input"]} if "input" in fields else fields))
    assert raised.value.field == name


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [{"role": "user", "content": "a"}, {"type": "item_reference", "id": "x"}]}, "input[1]"),
        ({"input": [{"id": "msg_1"}]}, "input[0]"),
    ],
)
def test_what_stands_for_a_state_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="this server") as raised:
        responses.refuse_state({"input": "hi", **fields})
    assert raised.value.param == param
    with pytest.raises(errors.InvalidRequest):
        responses.read_conversation({"input": "hi", **fields})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a"]}, "input"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [user({"type": "input_text"})]}, "input[0].content[0].text"),
        ({"input": [user({"type": "input_image"})]}, "input[0].content[0].image_url"),
        ({"input": [user({"type": "input_file", "file_data": "AAAA"})]}, "input[0].content[0].file_data"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"instructions": ["a"]}, "instructions"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": "high"}, "reasoning"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"include": "all"}, "include"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        responses.read_conversation({"input": "hi", **fields})
    assert raised.value.param == param


KINDS = st.sampled_from(["message", "function_call", "function_call_output", "custom_tool_call", "reasoning", "x"])


@any_.PATIENT
@given(
    KINDS,
    st.recursive(
        st.none() | st.integers() | any_.SAID, lambda inner: st.lists(inner) | st.dictionaries(any_.NAMES, inner)
    ),
)
def test_whatever_an_item_holds_it_is_read_or_refused(kind: str, content: Any) -> None:
    names = ("content", "output", "arguments", "input", "summary", "encrypted_content", "namespace")
    item = {"type": kind, "role": "user", "call_id": "c", "name": "f", **dict.fromkeys(names, content)}
    try:
        assert read([item], tools=content) is not None
    except (errors.InvalidRequest, Untranslatable) as refused:
        assert str(refused)
