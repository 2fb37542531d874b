"""Tools called by a client of OpenAI's are called and answered through Anthropic, and other clients' are not lost."""

from typing import Any

import openai
import orjson
import pytest

from tests.gateway.test_anthropic import CLAUDE, HELLO
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import message
from tests.scripted_openai import ToolCall
from tests.server import Gateway

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "of a town", "parameters": {"type": "object", "properties": {}}},
}


@pytest.mark.parametrize("stream", [False, True])
def test_it_works(sdk: openai.OpenAI, anthropic: ScriptedProvider, *, stream: bool) -> None:
    calls = [
        ToolCall("weather", '{"town": "Ulm"}', fragment=4),
        ToolCall("weather", '{"town": "Bern"}'),
        ToolCall("now"),
    ]
    anthropic.play(message(["Let me see."], tool_calls=calls))
    asked: dict[str, Any] = {**CLAUDE, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    if stream:
        with sdk.chat.completions.stream(**asked) as events:
            answer: openai.types.chat.ChatCompletion = events.get_final_completion()
    else:
        answer = sdk.chat.completions.create(**asked)
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see.")
    told = [
        (call.id, call.function.name, orjson.loads(call.function.arguments))
        for call in choice.message.tool_calls or []
        if call.type == "function"
    ]
    assert told == [
        ("toolu_0", "weather", {"town": "Ulm"}),
        ("toolu_1", "weather", {"town": "Bern"}),
        ("toolu_2", "now", {}),
    ]
    received = anthropic.requests[0].json
    function = TOOL["function"]
    schema = function["parameters"]
    assert received["tools"] == [{"name": "weather", "description": "of a town", "input_schema": schema}]
    assert received["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


def test_results_of_tools(sdk: openai.OpenAI, anthropic: ScriptedProvider) -> None:
    calls = [
        {
            "id": f"call_{town}",
            "type": "function",
            "function": {"name": "weather", "arguments": f'{{"town": "{town}"}}'},
        }
        for town in ("Ulm", "Bern")
    ]
    results = [{"role": "tool", "tool_call_id": f"call_{town}", "content": "rain"} for town in ("Ulm", "Bern")]
    said: list[Any] = [*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    sdk.chat.completions.create(model="claude-2", messages=said, tools=[TOOL])  # type: ignore[list-item]
    _, asked, told = anthropic.requests[0].json["messages"]
    assert [(block["type"], block["id"], block["input"]["town"]) for block in asked["content"]] == [
        ("tool_use", "call_Ulm", "Ulm"),
        ("tool_use", "call_Bern", "Bern"),
    ]
    assert told["role"] == "user"
    assert [(block["type"], block["tool_use_id"]) for block in told["content"]] == [
        ("tool_result", "call_Ulm"),
        ("tool_result", "call_Bern"),
    ]


def test_arguments_that_are_no_object_are_for_somebody_else(trio: Gateway, anthropic: ScriptedProvider) -> None:
    """A model that wrote half a call before cannot be quoted to Anthropic, but to others."""
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"town": '}}
    said = [*HELLO, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "?"}]
    answer = trio.post(**{**CLAUDE, "messages": said}, explain=True)
    assert answer.headers["x-tokenhub-model"] != "claude-2"
    assert anthropic.requests == []
    reasons = {each["model"]: each["reason"] for each in answer.json()["tokenhub"]["decisions"][0]["excluded"]}
    assert reasons["claude-2"] == "The arguments of the tool call 'c' are not a JSON object."
    alone = trio.post(**{**CLAUDE, "messages": said}, fallback=False)
    assert (alone.status_code, alone.json()["error"]["code"]) == (400, "no_model_for_request")
