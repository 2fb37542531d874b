"""What a translation leaves out is named, be it within a field that has a place."""

from typing import Any

import pytest

from gateway.adapters.echo import EchoAdapter
from gateway.conversation import Untranslatable
from gateway.wire import anthropic, chat, completions, responses
from tests.facts import model_facts

USER = [{"role": "user", "content": "hi"}]
TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}


def test_it_works() -> None:
    asked = {
        "max_tokens": 5,
        "messages": USER,
        "metadata": {"user_id": "u", "team": "search", "nothing": None},
        "tools": [
            {**TOOL, "input_examples": [{}], "eager_input_streaming": True},
            {**TOOL, "name": "g", "input_examples": [{}], "defer_loading": False},
        ],
    }
    dropped = anthropic.read_conversation(asked).dropped
    assert dropped == ("metadata.team", "tools[].input_examples", "tools[].eager_input_streaming")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_call_that_is_forced_without_tools(choice: Any) -> None:
    asked = chat.read_conversation({"messages": USER, "tool_choice": choice})
    assert "tool_choice" in anthropic.losses(asked, max_tokens=5)
    assert "tool_choice" in chat.losses(asked)
    assert "tool_choice" in responses.losses(asked)
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert "tool_choice" not in anthropic.losses(
        chat.read_conversation({"messages": USER, "tool_choice": choice, "tools": tools}), max_tokens=5
    )
    for harmless in ("auto", "none"):
        assert not chat.losses(chat.read_conversation({"messages": USER, "tool_choice": harmless}))


def test_what_an_echo_does_not_heed() -> None:
    asked = chat.read_conversation({"messages": USER, "stop": ["x"], "tool_choice": "required"})
    assert EchoAdapter().losses(asked, model_facts()) == ("stop", "tool_choice")
    assert EchoAdapter().losses(chat.read_conversation({"messages": USER}), model_facts()) == ()


def test_what_is_lacking_is_said_in_words() -> None:
    with pytest.raises(Untranslatable, match="gives one choice only"):
        chat.read_conversation({"messages": USER, "n": 2})
    with pytest.raises(Untranslatable, match="takes no numbers of tokens"):
        completions.read_conversation({"prompt": [1, 2]})
