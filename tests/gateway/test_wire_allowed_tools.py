"""A choice that allows some of the tools is kept where no format can say so: the others are not offered."""

from typing import Any

import pytest

from gateway.conversation import Conversation, ToolChoice, Untranslatable
from gateway.errors import InvalidRequest
from gateway.wire import anthropic, chat, responses

HI = [{"role": "user", "content": "hi"}]
FUNCTIONS: list[dict[str, Any]] = [{"type": "function", "name": name} for name in ("f", "g", "h")]
SPACE: dict[str, Any] = {"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "p"}]}


def of_chat(mode: Any, *named: dict[str, Any]) -> Conversation:
    tools = [{"type": "function", "function": {"name": tool["name"]}} for tool in FUNCTIONS]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(named)}}
    return chat.read_conversation({"messages": HI, "tools": tools, "tool_choice": choice})


def of_response(mode: Any, *named: dict[str, Any]) -> Conversation:
    choice = {"type": "allowed_tools", "mode": mode, "tools": list(named)}
    return responses.read_conversation({"input": HI, "tools": [*FUNCTIONS, SPACE], "tool_choice": choice})


def function(name: str) -> dict[str, Any]:
    """A tool as both formats name it."""
    return {"type": "function", "name": name, "function": {"name": name}}


@pytest.mark.parametrize("read", [of_chat, of_response])
@pytest.mark.parametrize(("mode", "kind"), [("auto", "auto"), ("required", "any")])
def test_it_works(read: Any, mode: str, kind: Any) -> None:
    asked = read(mode, function("h"), function("f"), {"type": "mcp", "server_label": "x"})
    assert ([tool.name for tool in asked.tools], asked.tool_choice) == (["f", "h"], ToolChoice(kind))
    body = anthropic.write_conversation(asked, model="m", stream=False, max_tokens=9)
    assert ([tool["name"] for tool in body["tools"]], body["tool_choice"]) == (["f", "h"], {"type": kind})


def test_a_tool_in_a_namespace() -> None:
    asked = of_response("auto", {"type": "custom", "name": "p", "namespace": "n"})
    assert [tool.name for tool in asked.tools] == ["n__p"]


@pytest.mark.parametrize("read", [of_chat, of_response])
def test_nothing_that_is_allowed_can_be_offered(read: Any) -> None:
    with pytest.raises(Untranslatable, match="tools"):
        read("auto", {"type": "mcp", "server_label": "x"})


@pytest.mark.parametrize("read", [of_chat, of_response])
@pytest.mark.parametrize(("mode", "named"), [("some", function("f")), ("auto", {"type": "function", "function": {}})])
def test_what_is_wrong_is_refused(read: Any, mode: str, named: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="tool_choice"):
        read(mode, named)
