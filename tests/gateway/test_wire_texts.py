"""The parts of one text stay one text in a chat, and what was said apart stays apart."""

from typing import Any

from gateway.conversation import Conversation
from gateway.wire import anthropic, chat, responses


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def contents(asked: Conversation) -> list[Any]:
    return [message["content"] for message in chat.write_conversation(asked, model="m", stream=False)["messages"]]


def of_anthropic(*content: dict[str, Any]) -> Conversation:
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": list(content)}]
    return anthropic.read_conversation({"messages": said})


def test_it_works() -> None:
    assert contents(of_anthropic(text("Hel"), text("lo"))) == ["hi", "Hello"]
    result = {"type": "tool_result", "tool_use_id": "c", "content": [text('{"a":'), text("1}")]}
    assert contents(anthropic.read_conversation({"messages": [{"role": "user", "content": [result]}]})) == ['{"a":1}']


def test_something_between_keeps_texts_apart() -> None:
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    assert contents(of_anthropic(text("First."), call, text("Se"), text("cond."))) == ["hi", "First.\n\nSecond."]


def test_messages_in_a_row_stay_apart() -> None:
    said = [{"role": "user", "content": "hi"}, *({"role": "assistant", "content": text} for text in ("One.", "Two."))]
    assert contents(responses.read_conversation({"input": said})) == ["hi", "One.\n\nTwo."]
    assert contents(anthropic.read_conversation({"messages": said})) == ["hi", "One.\n\nTwo."]


def test_the_system_speaks_in_paragraphs() -> None:
    asked = anthropic.read_conversation(
        {"system": [text("a"), text("b")], "messages": [{"role": "user", "content": "hi"}]}
    )
    assert contents(asked) == ["a\n\nb", "hi"]
