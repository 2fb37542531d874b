"""The bodies of coding agents are taken whole, with the tools that Anthropic has defined."""

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import TypeAdapter

from gateway.conversation import Conversation, Reasoning, Text, Tool, ToolResult, ToolUse, Untranslatable
from gateway.wire import anthropic, chat

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
CACHED = {"type": "ephemeral"}
PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParamsStreaming)


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def tool(name: str, **more: Any) -> dict[str, Any]:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"path": {"type": "string", "description": "where"}, "deep": {"type": "boolean"}},
        "required": ["path"],
        "additionalProperties": False,
    }
    return {"name": name, "description": f"What {name} does. " * 40, "input_schema": schema, **more}


def agents_body() -> dict[str, Any]:
    """What an agent sends in the middle of its work: it has thought, found a tool, called two and been interrupted."""
    called = [
        {"type": "thinking", "thinking": "I need the file and its tests.", "signature": "Eo8BCkYIBxgC+/="},
        {"type": "redacted_thinking", "data": "EmwKAhgBIh=="},
        text("Let me look."),
        {"type": "tool_use", "id": "toolu_01A", "name": "Read", "input": {"path": "/a"}},
        {"type": "tool_use", "id": "toolu_01B", "name": "ToolSearch", "input": {}},
    ]
    shown = [text("12 lines"), {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_01A", "content": shown, "is_error": False},
        {
            "type": "tool_result",
            "tool_use_id": "toolu_01B",
            "content": [{"type": "tool_reference", "tool_name": "mcp__browser__open"}],
        },
        text("<reminder>Be careful.</reminder>"),
        text("go on", cache_control=CACHED),
    ]
    searched = {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "tool_search_tool_regex",
        "input": {"query": "x"},
    }
    found = {"type": "tool_search_tool_result", "tool_use_id": "srvtoolu_1", "content": {"type": "tool_search_result"}}
    return {
        "model": "claude-sonnet",
        "messages": [
            {"role": "user", "content": [text("<context>…</context>"), text("Mend the tests.", cache_control=CACHED)]},
            {"role": "assistant", "content": [searched, found, text("I found a tool.")]},
            {"role": "user", "content": "Use it."},
            {"role": "assistant", "content": called},
            {"role": "user", "content": results},
            {"role": "system", "content": [text("The date is now known.")]},
        ],
        "system": [
            text("x-billing: agent"),
            text("You are an agent.", cache_control=CACHED),
            text("# How to work\n" * 900, cache_control={"type": "ephemeral", "ttl": "1h"}),
        ],
        "tools": [
            *(tool(f"Tool{number}") for number in range(20)),
            tool("Read", cache_control=CACHED, eager_input_streaming=True),
            tool("ToolSearch"),
            tool("mcp__browser__open", defer_loading=True, type="custom"),
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        ],
        "metadata": {"user_id": "user_" + "0" * 64 + "_account_" + "1" * 36 + "_session_" + "2" * 36},
        "max_tokens": 32000,
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "temperature": 1,
        "stream": True,
    }


def test_it_works() -> None:
    asked = anthropic.read_conversation(agents_body())
    assert asked.dropped == (
        "context_management",
        "server_tool_use",
        "tool_search_tool_result",
        "tool_reference",
        "tool_search_tool_regex_20251119",
        "tools[].eager_input_streaming",
    )
    assert asked.reasoning == Reasoning("high", 31999)
    assert [block.text for block in asked.system][-1] == "The date is now known."
    body = chat.write_conversation(asked, model="gpt", stream=True)
    PARAMS.validate_python(body)
    assert len(body["tools"]) == 23
    assert (body["reasoning_effort"], body["max_completion_tokens"], len(body["user"])) == ("high", 32000, 64)
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "tool", "tool", "user"]
    assert [call["id"] for call in body["messages"][4]["tool_calls"]] == ["toolu_01A", "toolu_01B"]
    assert [part["type"] for part in body["messages"][-1]["content"]] == ["text", "image_url", "text", "text"]
    assert chat.losses(asked) == ("thinking", "cache_control")


def test_what_goes_to_a_chat_comes_back() -> None:
    """What the chat cannot say is lost on the way; all else is the same for the model."""
    asked = anthropic.read_conversation(agents_body())
    back = chat.read_conversation(chat.write_conversation(asked, model="m", stream=True))
    assert [turn.role for turn in back.turns] == [turn.role for turn in asked.turns]
    assert [tool.name for tool in back.tools] == [tool.name for tool in asked.tools]

    def calls(conversation: Conversation) -> list[tuple[str, str]]:
        blocks = [block for turn in conversation.turns for block in turn.blocks]
        return [(block.id, type(block).__name__) for block in blocks if isinstance(block, ToolUse | ToolResult)]

    assert calls(back) == calls(asked)
    assert back.system == (Text("\n\n".join(block.text for block in asked.system)),)


# --- tools that Anthropic has defined ---------------------------------------------------------------------------------


def offered(**tool: Any) -> Tool:
    (found,) = anthropic.read_conversation({"messages": HI, "tools": [tool]}).tools
    return found


@pytest.mark.parametrize(
    ("kind", "name", "properties"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("text_editor_20250124", "str_replace_editor", {"command", "path", "file_text", "old_str", "new_str"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", {"insert_line", "insert_text", "view_range"}),
        ("memory_20250818", "memory", {"command", "old_path", "new_path"}),
    ],
)
def test_tools_that_the_callers_machine_runs_are_functions(kind: str, name: str, properties: set[str]) -> None:
    found = offered(type=kind, name=name, cache_control=CACHED)
    assert (found.name, found.cache) == (name, CACHED)
    assert found.description
    assert found.schema
    assert properties <= found.schema["properties"].keys()
    asked = Conversation(turns=(), tools=(found,))
    PARAMS.validate_python({**chat.write_conversation(asked, model="m", stream=True), "messages": HI})


@pytest.mark.parametrize(
    "kind",
    [
        *("web_search_20250305", "web_fetch_20250910", "code_execution_20250825", "computer_20250124"),
        *("bash_code_execution_20250825", "mcp_toolset", "browser_toolset_20260801"),
    ],
)
def test_tools_that_nobody_else_can_run(kind: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        offered(type=kind, name="x")
    assert raised.value.field == "tools[0].type"


SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}


def test_a_search_in_the_web_is_left_out_where_there_are_other_tools() -> None:
    asked = anthropic.read_conversation({"messages": HI, "tools": [SEARCH, tool("Read")]})
    assert ([offered.name for offered in asked.tools], asked.dropped) == (["Read"], ("web_search_20250305",))
    chosen = {"type": "tool", "name": "web_search"}
    with pytest.raises(Untranslatable) as raised:
        anthropic.read_conversation({"messages": HI, "tools": [SEARCH, tool("Read")], "tool_choice": chosen})
    assert raised.value.field == "tool_choice.name"


@pytest.mark.parametrize("kind", ["web_search", "web_fetch", "code_execution", "bash_code_execution"])
def test_what_a_server_ran_is_no_part_of_another_history(kind: str) -> None:
    ran = {"type": "server_tool_use", "id": "s", "name": kind, "input": {}}
    found = {"type": f"{kind}_tool_result", "tool_use_id": "s", "content": [{"type": "x", "encrypted_content": "y"}]}
    asked = anthropic.read_conversation(
        {"messages": [*HI, {"role": "assistant", "content": [ran, found, text("It is so.")]}]}
    )
    assert asked.turns[-1].blocks == (Text("It is so."),)
    assert asked.dropped == ("server_tool_use", f"{kind}_tool_result")
