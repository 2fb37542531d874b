"""What a coding agent says in the Responses API reaches providers of other formats, and their answers reach it."""

from typing import Any, Final

import orjson

from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.exchange import Finish, Usage
from gateway.wire import anthropic, chat, responses
from gateway.wire.responses_writers import WholeWriter

HEAD: Final = {"id": "resp_1", "created": 1_800_000_000, "model": "best"}
PATCH: Final = "*** Begin Patch\n*** Add File: a.txt\n+hi\n*** End Patch"
ASKED: Final[dict[str, Any]] = {
    "model": "best",
    "instructions": "You are a coding agent.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Ask before you write."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Write a.txt."}]},
    ],
    "tools": [
        {
            "type": "function",
            "name": "exec_command",
            "description": "Runs a command.",
            "strict": False,
            "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
        },
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin_patch hunk+ end_patch"},
        },
        {"type": "web_search", "external_web_access": False},
        {
            "type": "namespace",
            "name": "mcp__tracker__",
            "description": "A tracker.",
            "tools": [{"type": "function", "name": "find", "parameters": {"type": "object", "properties": {}}}],
        },
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "text": {"verbosity": "low"},
    "client_metadata": {"x": "y"},
}
NAMES: Final = ["exec_command", "apply_patch", "mcp__tracker__find"]
SAID: Final[list[Piece | Finish]] = [
    Thinking("Let me see."),
    Thinking(signature="c2ln/+=="),
    Thinking(redacted="c2VhbA=="),
    Words("I write it."),
    CallBegins(0, "toolu_1", "apply_patch"),
    CallArguments(0, orjson.dumps({"input": PATCH}).decode()),
    CallBegins(1, "toolu_2", "mcp__tracker__find"),
    CallArguments(1, "{}"),
    Finish("tool_calls", Usage(uncached=9, output=5)),
]


def next_turn() -> dict[str, Any]:
    """Return the body that follows on an answer, with the answer's items as they came."""
    writer = WholeWriter(HEAD, ASKED)
    *_, whole = [writer.write(piece) for piece in SAID]
    output = orjson.loads(whole)["output"]
    done = [
        {"type": "custom_tool_call_output", "call_id": "toolu_1", "output": "Done."},
        {"type": "function_call_output", "call_id": "toolu_2", "output": [{"type": "input_text", "text": "None."}]},
    ]
    return {**ASKED, "input": [*ASKED["input"], *output, *done]}


def test_it_works() -> None:
    asked = responses.read_conversation(ASKED)
    assert asked.dropped == ("prompt_cache_key", "client_metadata", "text.verbosity", "tools[].web_search")
    by_chat = chat.write_conversation(asked, model="m", stream=True)
    assert [tool["function"]["name"] for tool in by_chat["tools"]] == NAMES
    assert by_chat["messages"] == [
        {"role": "system", "content": "You are a coding agent.\n\nAsk before you write."},
        {"role": "user", "content": "Write a.txt."},
    ]
    by_anthropic = anthropic.write_conversation(asked, model="m", stream=True, max_tokens=9000)
    assert [tool["name"] for tool in by_anthropic["tools"]] == NAMES


def test_its_tools_are_called_as_it_offered_them() -> None:
    items = next_turn()["input"][len(ASKED["input"]) :]
    kinds = ["reasoning", "reasoning", "message", "custom_tool_call", "function_call"]
    assert [item["type"] for item in items[:5]] == kinds
    assert (items[3]["name"], items[3]["input"]) == ("apply_patch", PATCH)
    assert (items[4]["namespace"], items[4]["name"]) == ("mcp__tracker__", "find")


def test_its_history_goes_back_to_the_model_that_thought() -> None:
    asked = responses.read_conversation(next_turn())
    _, said, done = anthropic.write_conversation(asked, model="m", stream=True, max_tokens=9000)["messages"]
    assert said["content"] == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln/+=="},
        {"type": "redacted_thinking", "data": "c2VhbA=="},
        {"type": "text", "text": "I write it."},
        {"type": "tool_use", "id": "toolu_1", "name": "apply_patch", "input": {"input": PATCH}},
        {"type": "tool_use", "id": "toolu_2", "name": "mcp__tracker__find", "input": {}},
    ]
    assert [block["tool_use_id"] for block in done["content"]] == ["toolu_1", "toolu_2"]
    *_, said_by_chat, first, second = chat.write_conversation(asked, model="m", stream=True)["messages"]
    assert [call["function"]["name"] for call in said_by_chat["tool_calls"]] == NAMES[1:]
    assert (first["content"], second["content"]) == ("Done.", "None.")
