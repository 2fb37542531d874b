"""The functions of chats, which were their tools at first, read as tools; `chat_function_stream` answers with them.

Source: the public API reference of OpenAI, which has replaced `functions` and `function_call` by `tools`, and the types
of its official SDK. A function has no id, and an answer calls at most one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.wire.fields import as_object, as_objects

_FIELDS: Final = ("functions", "function_call")


def are_in(fields: Mapping[str, Any]) -> bool:
    """Whether the body of a chat offers functions, so that its answer calls one of them and no tool."""
    return bool(fields.get("functions"))


def as_tools(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the body of a chat with its functions, their choice and their history as those of tools.

    What is no function is left as it is, for the reader of chats to refuse, and so are functions beside tools: an
    answer calls the ones or the others.
    """
    messages, functions = as_objects(fields.get("messages")), as_objects(fields.get("functions"))
    is_well = messages == fields.get("messages") and functions == (fields.get("functions") or [])
    if not is_well or (functions and fields.get("tools")):
        return fields
    if not functions and not any(_is_of_a_function(message) for message in messages):
        return fields
    body = {name: value for name, value in fields.items() if name not in _FIELDS}
    body["messages"] = list(_messages(messages))
    if functions:
        tools = [{"type": "function", "function": function} for function in functions]
        choice = fields.get("function_call")
        named = {"type": "function", "function": choice} if isinstance(choice, dict) else choice
        body |= {"tools": tools, "tool_choice": named, "parallel_tool_calls": False}
    return body


def _is_of_a_function(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "function" or isinstance(message.get("function_call"), dict)


def _messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the messages with an id for each call, by which its result is known: that of the last call of its name."""
    ids: dict[Any, str] = {}
    for index, message in enumerate(messages):
        call = as_object(message.get("function_call"))
        if message.get("role") == "function":
            name = str(message.get("name"))
            answered = {key: value for key, value in message.items() if key != "name"}
            if message.get("content") is None:
                answered["content"] = ""  # null is allowed here, and nowhere else
            yield {**answered, "role": "tool", "tool_call_id": ids.get(name, f"call_{name}")}
        elif call:
            ids[str(call.get("name"))] = f"call_{index}"
            told = [{"id": f"call_{index}", "type": "function", "function": call}]
            yield {**message, "function_call": None, "tool_calls": told}
        else:
            yield message
