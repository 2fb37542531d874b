"""Chat completions as conversations: what a caller of OpenAI's format asks, read and written.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from gateway.conversation import (
    Block,
    Conversation,
    Image,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
)
from gateway.exchange import Policy
from gateway.wire.fields import Fields
from gateway.wire.turns import merged, read_content

# What is read, and what the gateway keeps for itself.
_READ: Final = frozenset(
    {*Policy.FIELDS, "model", "messages", "stream", "stream_options", "tools", "tool_choice", "user"}
)
_READ_TOO: Final = frozenset({"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"})
# What changes the form of an answer, with the values that do not; the last two lines are of vLLM and llama.cpp.
_FORM: Final[Mapping[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "functions": ([],),
    **dict.fromkeys(("audio", "function_call", "web_search_options", "prediction"), ()),
    **dict.fromkeys(("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"), ()),
    **dict.fromkeys(("grammar", "json_schema"), ()),
}
_HAS_A_PLACE: Final = _READ | _READ_TOO | {"parallel_tool_calls"} | _FORM.keys()
_CHOICES: Final[Mapping[str, Literal["auto", "none", "any"]]] = {"auto": "auto", "none": "none", "required": "any"}
_CHOICES_WRITTEN: Final = {kind: name for name, kind in _CHOICES.items()}
_LONGEST_USER: Final = 64


def read_conversation(fields: Mapping[str, Any]) -> Conversation:
    """Return what the body of a chat asks; system messages come first wherever they stood.

    Raises `InvalidRequest` with the path of a field that is wrong, and `Untranslatable` for one that asks for a form of
    answer which other formats do not have. All other fields without a counterpart are named in `dropped`.
    """
    for name, harmless in _FORM.items():
        if fields.get(name) is not None and fields[name] not in harmless:
            raise Untranslatable(name)
    told = Fields(fields)
    messages = told.each("messages")
    if not messages:
        raise told.refusal("messages", "must be a list with at least one message.")
    system = [text for message in messages if _role(message) == "system" for text in _texts(message, "content")]
    unnamed = [name for name, value in fields.items() if name not in _HAS_A_PLACE and value is not None]
    named = ["messages[].name"] if any(message.values.get("name") for message in messages) else []
    return Conversation(
        turns=merged(_read_turn(message) for message in messages if _role(message) != "system"),
        system=tuple(system),
        tools=tuple(_read_tool(tool) for tool in told.each("tools")),
        tool_choice=_read_choice(told),
        parallel_tools=told.optional("parallel_tool_calls", bool),
        max_tokens=told.positive("max_completion_tokens") or told.positive("max_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        top_k=told.positive("top_k"),
        stop=(told.text("stop"),) if isinstance(fields.get("stop"), str) else told.texts("stop"),
        user=told.optional("user", str),
        dropped=(*unnamed, *named),
    )


def write_conversation(
    conversation: Conversation,
    *,
    model: str,
    stream: bool,
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens",
) -> dict[str, Any]:
    """Return the body of a chat. `limit` names the field for max_tokens: many servers know only the older one.

    What `losses` names is left out. A user's name is cut to the 64 characters that OpenAI takes.
    """
    body: dict[str, Any] = {"model": model, "messages": list(_messages(conversation))}
    if conversation.tools:
        body["tools"] = [_write_tool(tool) for tool in conversation.tools]
        body["tool_choice"] = _write_choice(conversation.tool_choice)
        body["parallel_tool_calls"] = conversation.parallel_tools
    body |= {
        limit: conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stop) or None,
        "user": conversation.user and conversation.user[:_LONGEST_USER],
        "stream": stream or None,
        "stream_options": {"include_usage": True} if stream else None,
    }
    return {name: value for name, value in body.items() if value is not None}


def losses(conversation: Conversation) -> tuple[str, ...]:
    """Return the names of what `write_conversation` leaves out: OpenAI has no top_k, and takes no reasoning back."""
    blocks = [block for turn in conversation.turns for block in turn.blocks]
    lost = {
        "top_k": conversation.top_k is not None,
        "thinking": any(isinstance(block, Thought) for block in blocks),
        "is_error": any(isinstance(block, ToolResult) and block.is_error for block in blocks),
    }
    return tuple(name for name, is_lost in lost.items() if is_lost)


# --- reading ----------------------------------------------------------------------------------------------------------


def _role(message: Fields) -> str:
    role = message.required("role", str)
    return "system" if role == "developer" else role


def _read_turn(message: Fields) -> Turn:
    role = _role(message)
    if role == "function":
        raise Untranslatable(message.at("role"))
    if role not in _READERS:
        raise message.refusal("role", "must be system, developer, user, assistant or tool.")
    return Turn("assistant" if role == "assistant" else "user", tuple(_READERS[role](message)))


def _read_user(message: Fields) -> Iterable[Block]:
    return read_content(message, "content", {"text": _read_text, "image_url": _read_image})


def _read_assistant(message: Fields) -> Iterator[Block]:
    for name in ("audio", "function_call"):
        if message.values.get(name) is not None:
            raise Untranslatable(message.at(name))
    if message.values.get("content") is not None:
        yield from _texts(message, "content")
    if refusal := message.text("refusal"):
        yield Text(refusal)
    for call in message.each("tool_calls"):
        if call.values.get("type", "function") != "function":
            raise Untranslatable(call.at("type"))
        function = Fields(call.required("function", dict), call.at("function"))
        name, arguments = function.required("name", str), function.text("arguments")
        yield ToolUse(call.required("id", str), name, arguments, place=function.at("arguments"))


def _read_tool_message(message: Fields) -> Iterator[Block]:
    call = message.required("tool_call_id", str)
    yield ToolResult(call, tuple(_texts(message, "content")))


_READERS: Final[Mapping[str, Callable[[Fields], Iterable[Block]]]] = {
    "user": _read_user,
    "assistant": _read_assistant,
    "tool": _read_tool_message,
}


def _read_text(part: Fields) -> Text:
    return Text(part.required("text", str), part.optional("cache_control", dict))


def _read_refusal(part: Fields) -> Text:
    return Text(part.required("refusal", str))


def _read_image(part: Fields) -> Image:
    image = Fields(part.required("image_url", dict), part.at("image_url"))
    url, detail = image.required("url", str), image.text("detail")
    cache = part.optional("cache_control", dict)
    if url.startswith(("https://", "http://")):
        return Image(url=url, detail=detail, cache=cache)
    kind, comma, data = url.partition(",")
    media_type = kind.removeprefix("data:").partition(";")[0]
    if not (kind.startswith("data:") and kind.endswith(";base64") and comma and media_type):
        raise image.refusal("url", "must be a web address, or a data URL in base64 with its media type.")
    return Image(data=data, media_type=media_type, detail=detail, cache=cache)


def _texts(message: Fields, name: str) -> list[Text]:
    return read_content(message, name, {"text": _read_text, "refusal": _read_refusal})


def _read_tool(tool: Fields) -> Tool:
    if tool.values.get("type") != "function":
        raise Untranslatable(tool.at("type"))
    function = Fields(tool.required("function", dict), tool.at("function"))
    return Tool(
        function.required("name", str),
        function.text("description"),
        function.optional("parameters", dict),
        function.optional("strict", bool),
        tool.optional("cache_control", dict),
    )


def _read_choice(told: Fields) -> ToolChoice | None:
    choice = told.values.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return ToolChoice(_CHOICES[choice])
    if not isinstance(choice, dict):
        raise told.refusal("tool_choice", "must be none, auto, required or a function.")
    if choice.get("type") != "function":
        raise Untranslatable("tool_choice")
    function = Fields(Fields(choice, "tool_choice").required("function", dict), "tool_choice.function")
    return ToolChoice("tool", function.required("name", str))


# --- writing ----------------------------------------------------------------------------------------------------------


def _messages(conversation: Conversation) -> Iterator[dict[str, Any]]:
    if conversation.system:
        yield {"role": "system", "content": _joined(conversation.system)}
    for turn in conversation.turns:
        yield from _assistant(turn) if turn.role == "assistant" else _user(turn)


def _assistant(turn: Turn) -> Iterator[dict[str, Any]]:
    calls = [
        {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}
        for use in turn.blocks
        if isinstance(use, ToolUse)
    ]
    content = _joined(turn.blocks) or None
    if calls or content:
        yield {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def _user(turn: Turn) -> Iterator[dict[str, Any]]:
    """Yield the results of tools, then what the user says; pictures among the results are shown by the user."""
    shown: list[Block] = []
    for result in turn.blocks:
        if not isinstance(result, ToolResult):
            continue
        yield {"role": "tool", "tool_call_id": result.id, "content": _joined(result.content)}
        if images := [block for block in result.content if isinstance(block, Image)]:
            shown += [Text(f"What the tool call {result.id} shows:"), *images]
    said = (*shown, *(block for block in turn.blocks if not isinstance(block, Text) or block.text))
    parts = [_part(block) for block in said if isinstance(block, Text | Image)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        yield {"role": "user", "content": parts[0]["text"]}
    elif parts:
        yield {"role": "user", "content": parts}


def _joined(blocks: Sequence[Block]) -> str:
    """Return the texts as one, paragraph by paragraph: not every server takes a list where there are no pictures."""
    return "\n\n".join(block.text for block in blocks if isinstance(block, Text) and block.text)


def _part(block: Text | Image) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    url = block.url or f"data:{block.media_type};base64,{block.data}"
    return {"type": "image_url", "image_url": {"url": url, **({"detail": block.detail} if block.detail else {})}}


def _write_tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _write_choice(choice: ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.kind == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES_WRITTEN[choice.kind]
