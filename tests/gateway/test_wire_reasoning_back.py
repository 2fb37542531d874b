"""What a model thought in earlier turns goes back to it, where chats have a place for it."""

from dataclasses import replace
from typing import Any

import orjson

from gateway.conversation import Conversation, Piece, Reasoning, Text, Thought, ToolResult, ToolUse, Turn
from gateway.exchange import Finish
from gateway.wire import anthropic, anthropic_writers, chat, chat_stream, responses, responses_writers
from gateway.wire.chat_messages import Back
from tests import conversations as any_

CALL = ToolUse("c", "f", "{}")
RESULT = Turn("user", (ToolResult("c", (Text("1"),)),))
HI = Turn("user", (Text("hi"),))


def asked(*blocks: Any) -> Conversation:
    return Conversation(turns=(HI, Turn("assistant", blocks), RESULT, Turn("assistant", (Text("It is 1."),)), HI))


def assistants(conversation: Conversation, back: Back) -> list[dict[str, Any]]:
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


# --- signatures of calls ----------------------------------------------------------------------------------------------

SIGNATURE = {"extra_content": {"google": {"thought_signature": "CsY+/="}}}
CALLED: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = [CALLED | SIGNATURE, CALLED | {"id": "d"}]
HEAD = {"id": "x_1", "created": 1, "model": "m"}
ANSWER = {"choices": [{"message": {"role": "assistant", "tool_calls": CALLS}, "finish_reason": "tool_calls"}]}
CHUNK = {"choices": [{"index": 0, "delta": {"tool_calls": [CALLS[0] | {"index": 0}, CALLS[1] | {"index": 1}]}}]}


def of_a_message(writer: anthropic_writers.WholeWriter, pieces: list[Piece | Finish]) -> Conversation:
    content = orjson.loads(any_.written(writer, pieces)[-1])["content"]
    results = [{"type": "tool_result", "tool_use_id": name, "content": "1"} for name in "cd"]
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": content}]
    return anthropic.read_conversation({"messages": [*said, {"role": "user", "content": results}]})


def of_a_response(writer: responses_writers.WholeWriter, pieces: list[Piece | Finish]) -> Conversation:
    output = orjson.loads(any_.written(writer, pieces)[-1])["output"]
    results = [{"type": "function_call_output", "call_id": name, "output": "1"} for name in "cd"]
    return responses.read_conversation({"input": [{"role": "user", "content": "hi"}, *output, *results]})


def both() -> list[Conversation]:
    """What callers of both formats send back of an answer whose calls are signed."""
    pieces = chat_stream.read_answer(orjson.dumps(ANSWER))
    return [
        of_a_message(anthropic_writers.WholeWriter(HEAD), pieces),
        of_a_response(responses_writers.WholeWriter(HEAD, {}), pieces),
    ]


def test_the_signature_of_a_call_comes_back_to_it() -> None:
    for conversation in both():
        (message,) = assistants(conversation, "thought_signature")
        assert message["tool_calls"] == CALLS
        assert chat.losses(conversation, back="thought_signature") == ()
        (message,) = assistants(conversation, "")
        assert message["tool_calls"] == [CALLED, CALLED | {"id": "d"}]


def test_a_stream_has_it_too() -> None:
    streamed = chat_stream.StreamReader().read(b"data: " + orjson.dumps(CHUNK) + b"\n\n")
    assert streamed == chat_stream.read_answer(orjson.dumps(ANSWER))[:-1]
    raw = b"".join(any_.written(anthropic_writers.StreamWriter(HEAD), [*streamed, Finish("tool_calls")]))
    assert b'"signature":"google:CsY+/="' in raw


def test_no_model_of_anthropics_is_shown_it() -> None:
    for conversation in both():
        thinking = replace(conversation, reasoning=Reasoning("low"))
        body = anthropic.write_conversation(thinking, model="m", stream=False, max_tokens=9999)
        assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use", "tool_use"]
        assert "thinking" not in body


def test_a_call_of_another_model_says_so() -> None:
    foreign = asked(Thought("hm", "of-anthropic"), CALL, replace(CALL, id="d"))
    ((first, second),) = [message["tool_calls"] for message in assistants(foreign, "thought_signature")[:1]]
    assert first["extra_content"] == {"google": {"thought_signature": "skip_thought_signature_validator"}}
    assert "extra_content" not in second
    assert chat.losses(foreign, back="thought_signature") == ("thinking",)
