"""What a model thought in earlier turns goes back to it, where chats have a place for it."""

from typing import Any

from gateway.conversation import Conversation, Text, Thought, ToolResult, ToolUse, Turn
from gateway.wire import chat

CALL = ToolUse("c", "f", "{}")
RESULT = Turn("user", (ToolResult("c", (Text("1"),)),))
HI = Turn("user", (Text("hi"),))


def asked(*blocks: Any) -> Conversation:
    return Conversation(turns=(HI, Turn("assistant", blocks), RESULT, Turn("assistant", (Text("It is 1."),)), HI))


def assistants(conversation: Conversation, back: chat.said.Back) -> list[dict[str, Any]]:
    body = chat.write_conversation(conversation, model="m", stream=False, back=back)
    return [message for message in body["messages"] if message["role"] == "assistant"]


def test_it_works() -> None:
    thought = asked(Thought("I need f."), CALL)
    first, second = assistants(thought, "reasoning_content")
    assert (first["reasoning_content"], second["reasoning_content"]) == ("I need f.", "")
    assert first["tool_calls"][0]["id"] == "c"
    assert chat.losses(thought, back="reasoning_content") == ()


def test_others_are_not_told() -> None:
    thought = asked(Thought("I need f.", "s"), CALL)
    assert all("reasoning_content" not in message for message in assistants(thought, ""))
    assert chat.losses(thought) == ("thinking",)


def test_what_is_sealed_is_named() -> None:
    thought = asked(Thought(redacted="r"), Thought("a"), Thought("b", "s"), CALL)
    assert assistants(thought, "reasoning_content")[0]["reasoning_content"] == "a\n\nb"
    assert chat.losses(thought, back="reasoning_content") == ("thinking",)
