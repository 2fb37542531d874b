"""Reasoning is asked for in both languages, and a model's thoughts come back to it as it gave them."""

from dataclasses import replace
from typing import Any

import openai
import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta
from pydantic import TypeAdapter

from gateway.conversation import (
    Block,
    Conversation,
    Piece,
    Reasoning,
    Text,
    Thinking,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
    Words,
)
from gateway.errors import InvalidRequest
from gateway.exchange import Finish
from gateway.wire import anthropic, anthropic_stream, chat, chat_stream
from gateway.wire.anthropic_writers import WholeWriter as AnthropicWriter
from tests import conversations as any_

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
ASKED = Conversation(turns=(Turn("user", (Text("hi"),)),))
HEAD = {"id": "x", "created": 1_800_000_000, "model": "m"}
PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
SIGNED = Thought("hm", "s+/=")
CALL = ToolUse("c", "f", "{}")
RESULT = Turn("user", (ToolResult("c", (Text("1"),)),))


def to_anthropic(asked: Conversation, *, max_tokens: int = 64_000) -> dict[str, Any]:
    body = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=max_tokens)
    PARAMS.validate_python(body)
    return body


def to_chat(asked: Conversation) -> dict[str, Any]:
    return chat.write_conversation(asked, model="m", stream=False)


def enabled(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}


def test_it_works() -> None:
    asked = chat.read_conversation({"messages": HI, "reasoning_effort": "high"})
    assert (asked.reasoning, asked.dropped) == (Reasoning("high"), ())
    assert to_anthropic(asked)["thinking"] == enabled(16384)
    back = anthropic.read_conversation({"messages": HI, "max_tokens": 32000, "thinking": enabled(16384)})
    assert (back.reasoning, back.dropped) == (Reasoning(budget=16384), ())
    assert to_chat(back)["reasoning_effort"] == "high"


# --- from a chat to a message -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasoning", "max_tokens", "thinking"),
    [
        (None, 64_000, None),
        (Reasoning("none"), 64_000, {"type": "disabled"}),
        (Reasoning(), 64_000, {"type": "adaptive"}),
        (Reasoning("minimal"), 64_000, enabled(1024)),
        (Reasoning("low"), 64_000, enabled(2048)),
        (Reasoning("medium"), 64_000, enabled(8192)),
        (Reasoning("max"), 99_000, enabled(32768)),
        (Reasoning("high"), 4096, enabled(2048)),  # half of the room is left for the answer
        (Reasoning("high"), 2047, None),
        (Reasoning(budget=31_999), 32_000, enabled(31_999)),
        (Reasoning(budget=32_000), 32_000, enabled(31_999)),
        (Reasoning(budget=7), 32_000, enabled(1024)),
        (Reasoning(budget=2000), 1025, enabled(1024)),
        (Reasoning(budget=2000), 1024, None),
    ],
)
def test_how_much_a_model_thinks(reasoning: Reasoning | None, max_tokens: int, thinking: Any) -> None:
    asked = replace(ASKED, reasoning=reasoning)
    body = to_anthropic(asked, max_tokens=max_tokens)
    assert (body.get("thinking"), body["max_tokens"]) == (thinking, max_tokens)
    assert to_anthropic(replace(asked, max_tokens=max_tokens)) == body
    lost = () if thinking or not reasoning else ("reasoning_effort",)
    assert anthropic.losses(asked, max_tokens=max_tokens) == lost


def test_who_thinks_takes_no_temperature() -> None:
    asked = replace(ASKED, reasoning=Reasoning("low"), temperature=0.5, top_p=0.5, top_k=5)
    assert not to_anthropic(asked).keys() & {"temperature", "top_p", "top_k"}
    assert anthropic.losses(asked, max_tokens=9999) == ("temperature", "top_p", "top_k")
    usual = replace(ASKED, reasoning=Reasoning("low"), temperature=1.0, top_p=1.0)
    assert anthropic.losses(usual, max_tokens=9999) == ()
    without = to_anthropic(replace(asked, reasoning=Reasoning("none")))
    assert (without["temperature"], without["top_k"]) == (0.5, 5)


@pytest.mark.parametrize(
    ("choice", "thinks"),
    [
        (None, True),
        (ToolChoice("auto"), True),
        (ToolChoice("none"), True),
        (ToolChoice("any"), False),
        (ToolChoice("tool", "f"), False),
    ],
)
def test_a_tool_that_has_to_be_called_is_called_without_thinking(choice: ToolChoice | None, *, thinks: bool) -> None:
    asked = replace(ASKED, tools=(Tool("f"),), tool_choice=choice, reasoning=Reasoning("low"))
    assert ("thinking" in to_anthropic(asked)) is thinks
    assert ("reasoning_effort" in anthropic.losses(asked, max_tokens=9999)) is not thinks


@pytest.mark.parametrize(
    ("turns", "thinks"),
    [
        ([(CALL,), RESULT], False),
        ([(Thought("hm"), CALL), RESULT], False),
        ([(Text("a"), SIGNED, CALL), RESULT], False),
        ([(SIGNED, CALL), RESULT, (CALL,), RESULT], False),
        ([(SIGNED, CALL), RESULT], True),
        ([(Thought(redacted="r"), CALL), RESULT], True),
        ([(Text(" "), SIGNED, CALL), RESULT], True),
        # thoughts of what is over are not asked for
        ([(CALL,), RESULT, (Text("so"),), Turn("user", (Text("and?"),))], True),
        ([(Text("so"),), Turn("user", (Text("and?"),))], True),
        # no thinking in the middle of a word
        ([(Text("It is"),)], False),
        ([], True),
    ],
)
def test_calls_whose_thinking_was_not_kept(turns: list[Any], *, thinks: bool) -> None:
    told = [turn if isinstance(turn, Turn) else Turn("assistant", turn) for turn in turns]
    asked = Conversation(turns=(*ASKED.turns, *told), tools=(Tool("f"),), reasoning=Reasoning("low"))
    assert ("thinking" in to_anthropic(asked)) is thinks
    assert ("reasoning_effort" in anthropic.losses(asked, max_tokens=9999)) is not thinks


# --- from a message to a chat -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reasoning", "effort"),
    [
        ({}, None, None),
        ({"thinking": {"type": "disabled"}}, Reasoning("none"), None),
        ({"thinking": {"type": "adaptive"}}, Reasoning(), None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, Reasoning("max"), "high"),
        ({"output_config": {"effort": "low"}}, Reasoning("low"), "low"),
        ({"thinking": enabled(1024)}, Reasoning(budget=1024), "low"),
        ({"thinking": enabled(4096)}, Reasoning(budget=4096), "medium"),
        ({"thinking": enabled(12288)}, Reasoning(budget=12288), "high"),
        ({"thinking": enabled(31999), "output_config": {"effort": "medium"}}, Reasoning("medium", 31999), "medium"),
    ],
)
def test_a_budget_as_an_effort(fields: dict[str, Any], reasoning: Reasoning | None, effort: str | None) -> None:
    asked = anthropic.read_conversation({"messages": HI, **fields})
    assert (asked.reasoning, asked.dropped) == (reasoning, ())
    assert to_chat(asked).get("reasoning_effort") == effort


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high"])
def test_an_effort_comes_back_from_its_budget(effort: str) -> None:
    thinking = to_anthropic(replace(ASKED, reasoning=Reasoning(effort)))["thinking"]
    back = to_chat(anthropic.read_conversation({"messages": HI, "thinking": thinking}))
    assert back["reasoning_effort"] == effort.replace("minimal", "low")


@any_.PATIENT
@given(st.integers(1024, 90_000), st.sampled_from(["", "low", "max"]))
def test_a_budget_that_is_written_is_read(budget: int, effort: str) -> None:
    asked = replace(ASKED, reasoning=Reasoning(effort, budget), max_tokens=99_000)
    assert anthropic.read_conversation(to_anthropic(asked)) == asked


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"thinking": True}, "thinking"),
        ({"thinking": {}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "all"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 7}}, "output_config.effort"),
    ],
)
def test_a_wish_that_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        anthropic.read_conversation({"messages": HI, **fields})
    assert raised.value.param == param


# --- the thoughts themselves ------------------------------------------------------------------------------------------


def blocks(*messages: dict[str, Any]) -> tuple[Block, ...]:
    return tuple(block for turn in chat.read_conversation({"messages": [*messages]}).turns for block in turn.blocks)


@pytest.mark.parametrize(
    ("fields", "thoughts"),
    [
        ({"reasoning_content": "hm"}, [Thought("hm")]),
        ({"reasoning": "hm"}, [Thought("hm")]),
        ({"reasoning_content": "hm", "thinking_blocks": []}, [Thought("hm")]),
        (
            {
                "reasoning_content": "hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "hm", "signature": "s+/=", "index": 0},
                    {"type": "redacted_thinking", "data": "r"},
                ],
            },
            [SIGNED, Thought(redacted="r")],
        ),
    ],
)
def test_thoughts_in_the_history_of_a_chat(fields: dict[str, Any], thoughts: list[Thought]) -> None:
    assert blocks({"role": "assistant", "content": "so", **fields}) == (*thoughts, Text("so"))


def test_thoughts_that_are_none() -> None:
    with pytest.raises(Untranslatable) as raised:
        blocks({"role": "assistant", "thinking_blocks": [{"type": "summary"}]})
    assert raised.value.field == "messages[0].thinking_blocks[0].type"
    with pytest.raises(InvalidRequest):
        blocks({"role": "assistant", "thinking_blocks": "hm"})


THOUGHTS = st.lists(
    st.lists(any_.SAID, max_size=3).flatmap(
        lambda said: any_.NAMES.map(lambda name: [*map(Thinking, said), Thinking(signature=name)])
    )
    | any_.NAMES.map(lambda name: [Thinking(redacted=name)]),
    max_size=3,
).map(lambda each: [piece for pieces in each for piece in pieces])


def of_stream(said: list[Piece | Finish]) -> dict[str, Any]:
    """Return the message that the official SDK collects from a stream."""
    message: dict[Any, Any] = {}
    for event in any_.events(b"".join(any_.written(chat_stream.StreamWriter(HEAD), said)))[:-1]:
        chunk = openai.types.chat.ChatCompletionChunk.model_validate(orjson.loads(event[6:]))
        delta = chunk.choices[0].delta.to_dict(exclude_unset=True)
        message = accumulate_delta(message, delta)  # type: ignore[arg-type]
    return message


def of_whole(said: list[Piece | Finish]) -> dict[str, Any]:
    *_, whole = any_.written(chat_stream.WholeWriter(HEAD), said)
    message = openai.types.chat.ChatCompletion.model_validate(orjson.loads(whole)).choices[0].message
    return message.to_dict(exclude_unset=True)


@any_.PATIENT
@given(THOUGHTS, any_.WORDS.map(str.strip))
def test_thoughts_come_back_through_a_client_of_chats(thoughts: list[Piece], words: str) -> None:
    """Anthropic answers, the client keeps the message, and asks Anthropic again: its blocks are the same bytes."""
    said = [*thoughts, Words(words), Finish("stop")]
    raw = orjson.loads(b"".join(any_.written(AnthropicWriter(HEAD), said)))["content"]
    answer = anthropic_stream.read_answer(orjson.dumps({"content": raw, "stop_reason": "end_turn"}))
    for message in (of_whole(answer), of_stream(answer)):
        asked = chat.read_conversation({"messages": [*HI, message, *HI]})
        assert to_anthropic(asked)["messages"][1] == {"role": "assistant", "content": raw}


@pytest.mark.parametrize(
    ("deltas", "said"),
    [
        # the text in both fields, piece by piece
        (
            [
                {"reasoning_content": "ha", "thinking_blocks": [{"type": "thinking", "thinking": "ha"}]},
                {"reasoning_content": "ha", "thinking_blocks": [{"type": "thinking", "thinking": "ha"}]},
                {"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]},
            ],
            [Thinking("haha"), Thinking(signature="s")],
        ),
        # in the blocks alone
        (
            [{"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}],
            [Thinking("hm"), Thinking(signature="s")],
        ),
        (
            [{"reasoning_content": "hm"}, {"thinking_blocks": [{"type": "redacted_thinking", "data": "r"}]}],
            [Thinking("hm"), Thinking(redacted="r")],
        ),
        ([{"thinking_blocks": ["hm", {"thinking": 7}]}, {"thinking_blocks": "hm"}], []),
    ],
)
def test_thoughts_of_other_servers_are_read_once(deltas: list[dict[str, Any]], said: list[Piece]) -> None:
    reader = chat_stream.StreamReader()
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    found = [piece for chunk in chunks for piece in reader.read(b"data: " + orjson.dumps(chunk) + b"\n\n")]
    assert any_.joined(found) == said
