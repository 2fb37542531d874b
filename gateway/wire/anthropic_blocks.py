"""The blocks that an Anthropic message consists of, read and written.

Source: the public API reference of Anthropic and the types of its official SDK.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.conversation import Block, Document, Image, Text, Thought, ToolResult, ToolUse, Turn, Untranslatable
from gateway.errors import InvalidRequest
from gateway.wire import bodies, call_signatures
from gateway.wire.fields import Fields, as_objects, as_text
from gateway.wire.names import short
from gateway.wire.turns import merged, read_content

_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_OPENING: Final = {"role": "user", "content": [{"type": "text", "text": "Begin."}]}
_DEEPEST_ARGUMENTS: Final = 100
_MEDIA_TYPES: Final = {"image/jpg": "image/jpeg"}
# What a tool did that Anthropic runs itself: the answer that came of it stands in the messages as well.
_RECORDS: Final = frozenset(
    {
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
    }
)
_PASSED_OVER: Final = _RECORDS | {"tool_reference", "tool_search_tool_result"}
_OF_DOCUMENTS: Final = ("citations", "context")


def read_system(told: Fields, name: str) -> list[Text]:
    """Return the texts in the system of a body, or in the content of a message of the system."""
    return read_content(told, name, {"text": _read_text}) if told.values.get(name) is not None else []


def read_turn(message: Fields) -> Turn:
    """Return what one side says in a message."""
    role = message.required("role", str)
    if role not in {"user", "assistant"}:
        raise message.refusal("role", "must be user or assistant.")
    return Turn("user" if role == "user" else "assistant", tuple(read_content(message, "content", _BLOCKS)))


def passed_over(messages: Iterable[Fields]) -> Sequence[str]:
    """Return the names of what the messages hold beside their words, and what is left out of them when they are read.

    Tools that were found by a search are all offered from the beginning elsewhere, so the search itself can go.
    """
    parts = [part for message in messages for part in as_objects(message.values.get("content"))]
    parts += [inner for part in parts for inner in as_objects(part.get("content"))]
    kinds = [part["type"] for part in parts if as_text(part.get("type")) in _PASSED_OVER]
    documents = [part for part in parts if part.get("type") == "document"]
    return (*dict.fromkeys(kinds), *(name for name in _OF_DOCUMENTS if any(part.get(name) for part in documents)))


def write_messages(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Return the messages of a conversation without what Anthropic refuses; the first of them is always the user's."""
    kept = merged(Turn(turn.role, tuple(_kept(turn.blocks))) for turn in turns)
    messages: list[dict[str, Any]] = [
        {"role": turn.role, "content": [_write_block(block) for block in turn.blocks]} for turn in kept
    ]
    if messages and messages[-1]["role"] == "assistant" and "text" in (last := messages[-1]["content"][-1]):
        last["text"] = last["text"].rstrip()
    return messages if messages and messages[0]["role"] == "user" else [_OPENING, *messages]


def write_system(system: Iterable[Text]) -> str | list[dict[str, Any]]:
    """Return the system of a body, as one text where it is nothing else; empty where it says nothing."""
    told = [text for text in system if text.text.strip()]
    return told[0].text if len(told) == 1 and not told[0].cache else [_write_shown(text) for text in told]


def is_anthropics(thought: Thought) -> bool:
    """Whether a model of Anthropic's knows a thought as its own."""
    return bool(thought.redacted) or bool(thought.signature and not call_signatures.is_of_a_call(thought))


def hint(cache: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a hint for the cache as the field of whatever it belongs to; nothing where there is none."""
    return {"cache_control": cache} if cache else {}


# --- reading ----------------------------------------------------------------------------------------------------------


def _cache(part: Fields) -> Mapping[str, Any] | None:
    return part.optional("cache_control", dict)


def _read_text(part: Fields) -> Text:
    return Text(part.required("text", str), _cache(part))


def _read_image(part: Fields) -> Image:
    source, cache = Fields(part.required("source", dict), part.at("source")), _cache(part)
    kind = source.required("type", str)
    if kind == "url":
        return Image(url=source.required("url", str), cache=cache)
    if kind != "base64":
        raise Untranslatable(source.at("type"))
    return Image(data=source.required("data", str), media_type=source.required("media_type", str), cache=cache)


def _read_document(part: Fields) -> Document:
    source, name, cache = Fields(part.required("source", dict), part.at("source")), part.text("title"), _cache(part)
    match source.required("type", str):
        case "url":
            return Document(url=source.required("url", str), name=name, cache=cache)
        case "base64":
            data, media_type = source.required("data", str), source.required("media_type", str)
            return Document(data=data, media_type=media_type, name=name, cache=cache)
        case "text":
            return Document(text=source.required("data", str), name=name, cache=cache)
        case _:
            raise Untranslatable(source.at("type"))


def _read_found(part: Fields) -> Document:
    """Return a search result as the document that it is taken from."""
    texts = read_content(part, "content", {"text": _read_text})
    name = f"{part.required('title', str)} ({part.required('source', str)})"
    return Document(text="\n\n".join(text.text for text in texts), name=name, cache=_cache(part))


def _read_use(part: Fields) -> ToolUse:
    arguments = orjson.dumps(part.required("input", dict)).decode()
    name = short(part.required("name", str))
    return ToolUse(part.required("id", str), name, arguments, _cache(part), part.at("input"))


def _read_result(part: Fields) -> ToolResult:
    said = read_content(part, "content", _SHOWN) if part.values.get("content") is not None else ()
    is_error = part.optional("is_error", bool) or False
    return ToolResult(part.required("tool_use_id", str), tuple(said), is_error, _cache(part))


def _read_thought(part: Fields) -> Thought:
    return Thought(part.text("thinking"), part.text("signature"))


def _read_sealed(part: Fields) -> Thought:
    return Thought(redacted=part.required("data", str))


def _pass_over(part: Fields) -> None:
    """Read nothing: `passed_over` has named it."""


THOUGHTS: Final = {"thinking": _read_thought, "redacted_thinking": _read_sealed}
"""The readers of reasoning, which chats have taken over."""
_SHOWN: Final = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "search_result": _read_found,
    **dict.fromkeys(_PASSED_OVER, _pass_over),
}
_BLOCKS: Final = {
    **_SHOWN,
    **THOUGHTS,
    "tool_use": _read_use,
    "tool_result": _read_result,
}


# --- writing ----------------------------------------------------------------------------------------------------------


def _kept(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks that Anthropic takes, results of tools first."""
    kept = [
        block
        for block in blocks
        if not (isinstance(block, Text) and not block.text.strip())
        and not (isinstance(block, Thought) and not is_anthropics(block))
    ]
    return sorted(kept, key=lambda block: not isinstance(block, ToolResult))


def _write_block(block: Block) -> dict[str, Any]:
    match block:
        case Text() | Image() | Document():
            return _write_shown(block)
        case ToolUse():
            told = {"type": "tool_use", "id": _id(block.id), "name": block.name, "input": _arguments(block)}
            return told | hint(block.cache)
        case ToolResult():
            shown = [_write_shown(part) for part in block.content if not isinstance(part, Text) or part.text.strip()]
            extra = ({"content": shown} if shown else {}) | ({"is_error": True} if block.is_error else {})
            return {"type": "tool_result", "tool_use_id": _id(block.id), **extra} | hint(block.cache)
        case Thought():
            return write_thought(block)


def write_thought(thought: Thought) -> dict[str, Any]:
    """Return the block of a thought, sealed or not."""
    if thought.redacted:
        return {"type": "redacted_thinking", "data": thought.redacted}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _write_shown(block: Text | Image | Document) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text} | hint(block.cache)
    media_type = _MEDIA_TYPES.get(block.media_type, block.media_type)
    told: dict[str, Any] = {"type": "base64", "media_type": media_type, "data": block.data}
    if block.url:
        told = {"type": "url", "url": block.url}
    if isinstance(block, Image):
        return {"type": "image", "source": told} | hint(block.cache)
    if block.text:
        told = {"type": "text", "media_type": "text/plain", "data": block.text}
    return {"type": "document", "source": told, **({"title": block.name} if block.name else {})} | hint(block.cache)


def _id(call: str) -> str:
    """Return the id of a call in the characters that Anthropic takes; the call and its result keep the same."""
    return _NO_ID.sub("_", call) or "_"


def fault(blocks: Iterable[Block]) -> str:
    """Return what is wrong with the arguments of a call among the blocks; empty if all of them can be written."""
    try:
        for block in blocks:
            if isinstance(block, ToolUse):
                _arguments(block)
    except InvalidRequest as refusal:
        return refusal.message
    return ""


def _arguments(use: ToolUse) -> dict[str, Any]:
    """Return the arguments of a call; no text at all, or null, stands for none, as many servers write it."""
    if use.arguments.strip() in {"", "null"}:
        return {}
    try:
        return bodies.parse(use.arguments.encode(), max_depth=_DEEPEST_ARGUMENTS)
    except InvalidRequest:
        told = f"The arguments of the tool call {use.id!r} are not a JSON object."
        raise InvalidRequest(told, param=use.place) from None
