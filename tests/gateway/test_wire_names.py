"""A tool whose name is too long for a chat has a short one there, and its own in the answer."""

from typing import Any

import anthropic as official
import orjson

from gateway.conversation import CallArguments, CallBegins, Conversation, Piece, ToolUse
from gateway.exchange import Finish
from gateway.wire import anthropic, chat, names, responses, responses_writers
from tests import conversations as any_
from tests.scripted import ScriptedProvider
from tests.scripted_openai import ToolCall, chat_stream
from tests.scripted_openai import chat as chat_of
from tests.server import Gateway

LONG = "mcp__" + "a" * 90
SCHEMA = {"type": "object", "properties": {}}
SPACE = "n" * 50
IN_SPACE: dict[str, Any] = {
    "type": "namespace",
    "name": SPACE,
    "tools": [{"type": "function", "name": "f" * 50, "parameters": SCHEMA}],
}


def test_it_works(trio: Gateway, other: ScriptedProvider) -> None:
    tools: Any = [{"name": LONG, "input_schema": SCHEMA}]
    hi: Any = [{"role": "user", "content": "hi"}]
    call = ToolCall(names.short(LONG))
    with official.Anthropic(base_url=trio.url, api_key="x", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "llama-local", "max_tokens": 9, "messages": hi, "tools": tools}
        other.play(chat_of(tool_calls=[call]))
        whole = client.messages.create(**asked).content[-1]
        other.play(chat_stream(tool_calls=[call]))
        with client.messages.stream(**asked) as stream:
            streamed = stream.get_final_message().content[-1]
    assert [block.to_dict().get("name") for block in (whole, streamed)] == [LONG, LONG]
    assert [request.json["tools"][0]["function"]["name"] for request in other.requests] == [names.short(LONG)] * 2


def names_in(asked: Conversation) -> set[str]:
    body = chat.write_conversation(asked, model="m", stream=False)
    called = {block.name for block in asked.blocks() if isinstance(block, ToolUse)}
    return called | {tool["function"]["name"] for tool in body["tools"]} | {body["tool_choice"]["function"]["name"]}


def test_a_name_is_short_wherever_it_stands() -> None:
    call = {"type": "tool_use", "id": "c", "name": LONG, "input": {}}
    of_a_message = anthropic.read_conversation(
        {
            "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [call]}],
            "tools": [{"name": LONG, "input_schema": SCHEMA}],
            "tool_choice": {"type": "tool", "name": LONG},
        }
    )
    (name,) = names_in(of_a_message)
    assert (len(name), name[:55]) == (64, LONG[:55])
    told = {"name": "f" * 50, "namespace": SPACE}
    of_a_response = responses.read_conversation(
        {
            "input": [{"type": "function_call", "call_id": "c", "arguments": "{}", **told}],
            "tools": [IN_SPACE],
            "tool_choice": {"type": "function", **told},
        }
    )
    (name,) = names_in(of_a_response)
    assert len(name) == 64
    said: list[Piece | Finish] = [CallBegins(0, "c", name), CallArguments(0, "{}"), Finish("tool_calls")]
    writer = responses_writers.WholeWriter({"id": "r_1", "created": 1, "model": "m"}, {"tools": [IN_SPACE]})
    (item,) = orjson.loads(any_.written(writer, said)[-1])["output"]
    assert (item["name"], item["namespace"]) == ("f" * 50, SPACE)


def test_names_that_begin_alike_stay_apart() -> None:
    assert names.short(LONG + "b") != names.short(LONG + "c")
    assert names.originals(["f", LONG]) == {names.short(LONG): LONG}
    assert names.short("x" * 64) == "x" * 64
