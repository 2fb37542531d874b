"""Anthropic's wire format: Messages as conversations, read and written, and its errors.

Source: the public API reference of Anthropic and the types of its official SDK.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

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
from gateway.errors import GatewayError, InvalidRequest, Rejected
from gateway.wire import bodies, sse
from gateway.wire.fields import Fields
from gateway.wire.turns import merged, read_content

_READ: Final = frozenset({"model", "messages", "system", "stream", "max_cost", "max_tokens", "temperature", "top_p"})
_READ_TOO: Final = frozenset({"top_k", "stop_sequences", "metadata", "tools", "tool_choice"})
# What changes the form of an answer, with the values that do not.
_FORM: Final[Mapping[str, tuple[Any, ...]]] = {"container": (), "mcp_servers": ([],), "output_format": ()}
_HAS_A_PLACE: Final = _READ | _READ_TOO | _FORM.keys()
_NOT_A_THOUGHT: Final = {"type": "disabled"}

_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_NO_ARGUMENTS: Final = {"type": "object", "properties": {}}
_OPENING: Final = {"role": "user", "content": [{"type": "text", "text": "Begin."}]}
_HOTTEST: Final = 1.0
_LONGEST_USER: Final = 256
_DEEPEST_ARGUMENTS: Final = 100

_ERROR_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read_conversation(fields: Mapping[str, Any]) -> Conversation:
    """Return what the body of a message asks.

    Raises `InvalidRequest` with the path of a field that is wrong, and `Untranslatable` for one that asks for a form of
    answer, or holds a content, which other formats do not have: documents, the tools that Anthropic runs itself. All
    other fields without a counterpart, such as `thinking`, are named in `dropped`.
    """
    for name, harmless in _FORM.items():
        if fields.get(name) is not None and fields[name] not in harmless:
            raise Untranslatable(name)
    told = Fields(fields)
    if (told.optional("output_config", dict) or {}).get("format") is not None:
        raise Untranslatable("output_config.format")
    messages = told.each("messages")
    if not messages:
        raise told.refusal("messages", "must be a list with at least one message.")
    system = [*_read_system(told)]
    for message in messages:
        system += read_content(message, "content", _TEXTS) if message.values.get("role") == "system" else []
    metadata, choice = told.inner("metadata"), told.inner("tool_choice")
    alone = choice.optional("disable_parallel_tool_use", bool) if choice else None
    return Conversation(
        turns=merged(_read_turn(message) for message in messages if message.values.get("role") != "system"),
        system=tuple(system),
        tools=tuple(_read_tool(tool) for tool in told.each("tools")),
        tool_choice=_read_choice(choice) if choice else None,
        parallel_tools=None if alone is None else not alone,
        max_tokens=told.positive("max_tokens"),
        temperature=told.number("temperature"),
        top_p=told.number("top_p"),
        top_k=told.positive("top_k"),
        stop=told.texts("stop_sequences"),
        user=metadata.optional("user_id", str) if metadata else None,
        dropped=tuple(_dropped(fields)),
    )


def write_conversation(conversation: Conversation, *, model: str, stream: bool, max_tokens: int) -> dict[str, Any]:
    """Return the body of a message; `max_tokens`, which is mandatory, is for a conversation that does not say its own.

    What Anthropic refuses is left out: blank texts, blank stop sequences, reasoning without its signature, the white
    space at the end of a beginning of the answer. A conversation that the user does not begin is begun for them. What
    else is changed is named by `losses`. Raises `InvalidRequest` for arguments of a tool that are no JSON object.
    """
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": conversation.max_tokens or max_tokens,
        "messages": _messages(conversation),
        "system": _write_system(conversation.system) or None,
        "stop_sequences": [stop for stop in conversation.stop if stop.strip()] or None,
        "top_k": conversation.top_k,
        "metadata": {"user_id": conversation.user[:_LONGEST_USER]} if conversation.user else None,
        "stream": stream or None,
    }
    if conversation.temperature is not None:
        body["temperature"] = min(_HOTTEST, conversation.temperature)
    else:
        body["top_p"] = conversation.top_p
    if conversation.tools:
        body["tools"] = [_write_tool(tool) for tool in conversation.tools]
        body["tool_choice"] = _write_choice(conversation)
    return {name: value for name, value in body.items() if value is not None}


def losses(conversation: Conversation) -> tuple[str, ...]:
    """Return the names of the settings that `write_conversation` changes or leaves out.

    A temperature goes to 2 in other formats and only to 1 here, so a higher one is brought down to 1 and named; and new
    models refuse a `top_p` beside a temperature, so it is left out.
    """
    lost = {
        "temperature": (conversation.temperature or 0) > _HOTTEST,
        "top_p": conversation.top_p is not None and conversation.temperature is not None,
        "stop": any(not stop.strip() for stop in conversation.stop),
    }
    return tuple(name for name, is_lost in lost.items() if is_lost)


def obstacle(conversation: Conversation) -> str:
    """Return what `write_conversation` would refuse; empty if it can be written."""
    uses = [use for turn in conversation.turns for use in turn.blocks if isinstance(use, ToolUse)]
    try:
        for use in uses:
            _arguments(use)
    except InvalidRequest as refusal:
        return refusal.message
    return ""


def error_body(error: GatewayError, request_id: str) -> dict[str, Any]:
    """Return an error in Anthropic's shape; what a provider said in it of the caller's own doing is handed on as it is.

    A prompt that is too long is told in the words by which agents know that they must shorten it.
    """
    message = error.message
    if isinstance(error, Rejected) and error.body is not None:
        if error.body.get("type") == "error":
            return error.body
        message = error.body["error"]["message"]
    if error.code == "context_length_exceeded" and "prompt is too long" not in message:
        message = f"prompt is too long: {message}"
    usual = "invalid_request_error" if error.status < 500 else "api_error"
    told = {"type": _ERROR_TYPES.get(error.status, usual), "message": message}
    return {"type": "error", "error": told, "request_id": request_id}


def error_event(error: GatewayError, request_id: str) -> bytes:
    """Return the event that tells of an error after a stream has begun; nothing follows it."""
    return sse.event(orjson.dumps(error_body(error, request_id)), name=b"error")


# --- reading ----------------------------------------------------------------------------------------------------------


def _dropped(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if name not in _HAS_A_PLACE and value is not None and (name != "thinking" or value != _NOT_A_THOUGHT):
            yield name


def _read_system(told: Fields) -> list[Text]:
    return read_content(told, "system", _TEXTS) if told.values.get("system") is not None else []


def _read_turn(message: Fields) -> Turn:
    role = message.required("role", str)
    if role not in {"user", "assistant"}:
        raise message.refusal("role", "must be user or assistant.")
    return Turn("user" if role == "user" else "assistant", tuple(read_content(message, "content", _BLOCKS)))


def _read_text(part: Fields) -> Text:
    return Text(part.required("text", str), part.optional("cache_control", dict))


def _read_image(part: Fields) -> Image:
    source, cache = Fields(part.required("source", dict), part.at("source")), part.optional("cache_control", dict)
    kind = source.required("type", str)
    if kind == "url":
        return Image(url=source.required("url", str), cache=cache)
    if kind != "base64":
        raise Untranslatable(source.at("type"))
    return Image(data=source.required("data", str), media_type=source.required("media_type", str), cache=cache)


def _read_use(part: Fields) -> ToolUse:
    arguments = orjson.dumps(part.required("input", dict)).decode()
    cache = part.optional("cache_control", dict)
    return ToolUse(part.required("id", str), part.required("name", str), arguments, cache, part.at("input"))


def _read_result(part: Fields) -> ToolResult:
    said = read_content(part, "content", _SHOWN) if part.values.get("content") is not None else ()
    is_error = part.optional("is_error", bool) or False
    return ToolResult(part.required("tool_use_id", str), tuple(said), is_error, part.optional("cache_control", dict))


def _read_thought(part: Fields) -> Thought:
    return Thought(part.text("thinking"), part.text("signature"))


def _read_sealed(part: Fields) -> Thought:
    return Thought(redacted=part.required("data", str))


_TEXTS: Final = {"text": _read_text}
_SHOWN: Final = {**_TEXTS, "image": _read_image}
_BLOCKS: Final = {
    **_SHOWN,
    "tool_use": _read_use,
    "tool_result": _read_result,
    "thinking": _read_thought,
    "redacted_thinking": _read_sealed,
}


def _read_tool(tool: Fields) -> Tool:
    if tool.values.get("type") not in {None, "custom"}:
        raise Untranslatable(tool.at("type"))
    return Tool(
        tool.required("name", str),
        tool.text("description"),
        tool.optional("input_schema", dict),
        tool.optional("strict", bool),
        tool.optional("cache_control", dict),
    )


def _read_choice(choice: Fields) -> ToolChoice:
    match choice.required("type", str):
        case "auto" | "any" | "none" as kind:
            return ToolChoice(kind)
        case "tool":
            return ToolChoice("tool", choice.required("name", str))
        case _:
            raise choice.refusal("type", "must be auto, any, none or tool.")


# --- writing ----------------------------------------------------------------------------------------------------------


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    turns = merged(Turn(turn.role, tuple(_kept(turn.blocks))) for turn in conversation.turns)
    messages: list[dict[str, Any]] = [
        {"role": turn.role, "content": [_write_block(block) for block in turn.blocks]} for turn in turns
    ]
    if messages and messages[-1]["role"] == "assistant" and "text" in (last := messages[-1]["content"][-1]):
        last["text"] = last["text"].rstrip()
    return messages if messages and messages[0]["role"] == "user" else [_OPENING, *messages]


def _kept(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks that Anthropic takes, results of tools first."""
    kept = [
        block
        for block in blocks
        if not (isinstance(block, Text) and not block.text.strip())
        and not (isinstance(block, Thought) and not (block.signature or block.redacted))
    ]
    return sorted(kept, key=lambda block: not isinstance(block, ToolResult))


def _write_block(block: Block) -> dict[str, Any]:
    match block:
        case Text() | Image():
            return _write_shown(block)
        case ToolUse():
            told = {"type": "tool_use", "id": _id(block.id), "name": block.name, "input": _arguments(block)}
            return told | _hint(block.cache)
        case ToolResult():
            shown = [_write_shown(part) for part in block.content if not isinstance(part, Text) or part.text.strip()]
            extra = ({"content": shown} if shown else {}) | ({"is_error": True} if block.is_error else {})
            return {"type": "tool_result", "tool_use_id": _id(block.id), **extra} | _hint(block.cache)
        case Thought():
            if block.redacted:
                return {"type": "redacted_thinking", "data": block.redacted}
            return {"type": "thinking", "thinking": block.text, "signature": block.signature}


def _write_shown(block: Text | Image) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text} | _hint(block.cache)
    base64 = {"type": "base64", "media_type": block.media_type, "data": block.data}
    return {"type": "image", "source": {"type": "url", "url": block.url} if block.url else base64} | _hint(block.cache)


def _hint(cache: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"cache_control": cache} if cache else {}


def _id(call: str) -> str:
    """Return the id of a call in the characters that Anthropic takes; the call and its result keep the same."""
    return _NO_ID.sub("_", call) or "_"


def _arguments(use: ToolUse) -> dict[str, Any]:
    """Return the arguments of a call; no text at all stands for none, as many servers write it."""
    if not use.arguments.strip():
        return {}
    try:
        return bodies.parse(use.arguments.encode(), max_depth=_DEEPEST_ARGUMENTS)
    except InvalidRequest:
        told = f"The arguments of the tool call {use.id!r} are not a JSON object."
        raise InvalidRequest(told, param=use.place) from None


def _write_system(system: Iterable[Text]) -> str | list[dict[str, Any]]:
    told = [text for text in system if text.text.strip()]
    return told[0].text if len(told) == 1 and not told[0].cache else [_write_shown(text) for text in told]


def _write_tool(tool: Tool) -> dict[str, Any]:
    given = tool.schema or {}
    schema = given if "type" in given else {**_NO_ARGUMENTS, **given}
    told = {"name": tool.name, "description": tool.description or None, "input_schema": schema, "strict": tool.strict}
    return {name: value for name, value in told.items() if value is not None} | _hint(tool.cache)


def _write_choice(conversation: Conversation) -> dict[str, Any] | None:
    choice = conversation.tool_choice or ToolChoice("auto")
    alone = {"disable_parallel_tool_use": True} if conversation.parallel_tools is False else {}
    if choice.kind == "none":
        return {"type": "none"}
    if choice.kind == "tool":
        return {"type": "tool", "name": choice.name, **alone}
    return {"type": choice.kind, **alone} if conversation.tool_choice or alone else None
