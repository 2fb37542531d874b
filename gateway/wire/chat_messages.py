"""The messages of a chat, read and written.

Source: the public API reference of OpenAI and the types of its official SDK. Three fields are none of OpenAI's: the
hint `cache_control`, which a part, a message, a call or a tool may have, and `reasoning_content` and `thinking_blocks`
of an assistant, of which `chat_stream` tells.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final, Literal

from gateway.conversation import (
    Block,
    Document,
    Image,
    Text,
    Thought,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Untranslatable,
)
from gateway.wire import call_signatures
from gateway.wire.anthropic_blocks import THOUGHTS, hint
from gateway.wire.fields import Fields, as_text
from gateway.wire.turns import read_content, read_document, read_source

_USUAL_NAME: Final = "document.pdf"

Back = Literal["", "reasoning_content", "thought_signature"]
"""How a server takes back the reasoning of earlier turns, if at all: its text, or what a model of Google's signed."""


def role_of(message: Fields) -> str:
    """Return who speaks: the developer is the system."""
    role = message.required("role", str)
    return "system" if role == "developer" else role


def read_system(message: Fields) -> list[Text]:
    """Return the texts of a message of the system."""
    texts = _hinted(_texts(message, "content"), message)
    return [text for text in texts if isinstance(text, Text)]


def read_turn(message: Fields) -> Turn:
    """Return what one side says in a message; a hint for the cache that the whole message has is one of its last."""
    role = role_of(message)
    if role not in _READERS:
        raise message.refusal("role", "must be system, developer, user, assistant or tool.")
    blocks = _hinted(list(_READERS[role](message)), message)
    return Turn("assistant" if role == "assistant" else "user", tuple(blocks))


def write_messages(
    system: Sequence[Text], turns: Iterable[Turn], *, hints: bool = False, back: Back = ""
) -> Iterator[dict[str, Any]]:
    """Yield the messages of a conversation; what a tool shows is shown by the user, since tools here only have words.

    Texts of the system, of an assistant and of a result are one: not every server takes a list where there are no
    pictures. So a document in plain text is a text as well, and one at an address is told of. With `hints` a text that
    has one for the cache is a part, and so are those beside it.
    """
    if system:
        has_hints = hints and any(text.cache for text in system)
        content = _content(system, hints=True) if has_hints else _paragraphs(text.text for text in system)
        yield {"role": "system", "content": content}
    for turn in turns:
        yield from _assistant(turn, hints=hints, back=back) if turn.role == "assistant" else _user(turn, hints=hints)


def goes_back(thought: Thought, back: Back) -> bool:
    """Whether `write_messages` has a place for all of this thought."""
    if back == "thought_signature":
        return call_signatures.is_of_a_call(thought) and not thought.text
    return back == "reasoning_content" and bool(thought.text)


def is_hinted(holder: Block | Tool) -> bool:
    """Whether `write_messages` has a place for the hint of this: a part, or the last text of a result."""
    if isinstance(holder, ToolResult):
        return bool(_told(holder))
    return isinstance(holder, Image | Document) or (isinstance(holder, Text) and bool(holder.text))


# --- reading ----------------------------------------------------------------------------------------------------------


def _read_user(message: Fields) -> Iterable[Block]:
    return read_content(message, "content", _SHOWN)


def _read_assistant(message: Fields) -> Iterator[Block]:
    for name in ("audio", "function_call"):
        if message.values.get(name) is not None:
            raise Untranslatable(message.at(name))
    yield from _read_thoughts(message)
    if message.values.get("content") is not None:
        yield from _texts(message, "content")
    if refusal := message.text("refusal"):
        yield Text(refusal)
    for call in message.each("tool_calls"):
        if call.values.get("type", "function") != "function":
            raise Untranslatable(call.at("type"))
        function = Fields(call.required("function", dict), call.at("function"))
        name, arguments = function.required("name", str), function.text("arguments")
        yield ToolUse(call.required("id", str), name, arguments, _cache(call), function.at("arguments"))


def _read_thoughts(message: Fields) -> Iterable[Block]:
    """Return the reasoning as its blocks, or else as the text alone, which then no model knows again."""
    if message.optional("thinking_blocks", list):
        return read_content(message, "thinking_blocks", THOUGHTS)
    text = as_text(message.values.get("reasoning_content")) or as_text(message.values.get("reasoning"))
    return [Thought(text)] if text else []


def _read_tool_message(message: Fields) -> Iterator[Block]:
    yield ToolResult(message.required("tool_call_id", str), tuple(read_content(message, "content", _SHOWN)))


def _cache(part: Fields) -> Mapping[str, Any] | None:
    return part.optional("cache_control", dict)


def _hinted(blocks: Sequence[Block], message: Fields) -> Sequence[Block]:
    """Return the blocks with the hint of their message, if any, at the last: up to there the prompt may be kept."""
    cache = _cache(message)
    last = blocks[-1] if blocks else Thought()
    if not cache or isinstance(last, Thought) or last.cache:
        return blocks
    return [*blocks[:-1], replace(last, cache=cache)]


def _read_text(part: Fields) -> Text:
    return Text(part.required("text", str), _cache(part))


def _read_refusal(part: Fields) -> Text:
    return Text(part.required("refusal", str))


def _read_image(part: Fields) -> Image:
    image = Fields(part.required("image_url", dict), part.at("image_url"))
    url, media_type, data = read_source(image, "url")
    return Image(url=url, data=data, media_type=media_type, detail=image.text("detail"), cache=_cache(part))


def _read_file(part: Fields) -> Document:
    file = Fields(part.required("file", dict), part.at("file"))
    if file.values.get("file_id") is not None:
        raise Untranslatable(file.at("file_id"))
    return read_document(file, "file_data", cache=_cache(part))


def _texts(message: Fields, name: str) -> list[Text]:
    return read_content(message, name, {"text": _read_text, "refusal": _read_refusal})


_SHOWN: Final = {"text": _read_text, "image_url": _read_image, "file": _read_file}
_READERS: Final[Mapping[str, Callable[[Fields], Iterable[Block]]]] = {
    "user": _read_user,
    "assistant": _read_assistant,
    "tool": _read_tool_message,
}


# --- writing ----------------------------------------------------------------------------------------------------------


def _assistant(turn: Turn, *, hints: bool, back: Back) -> Iterator[dict[str, Any]]:
    calls = [
        {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}
        | (signature if back == "thought_signature" else {})
        for use, signature in call_signatures.with_signatures(turn.blocks)
    ]
    content = _content(turn.blocks, hints=hints) or None
    if calls or content:
        thought = _paragraphs(block.text for block in turn.blocks if isinstance(block, Thought))
        told = {"reasoning_content": thought} if back == "reasoning_content" else {}
        yield {"role": "assistant", "content": content, **told, **({"tool_calls": calls} if calls else {})}


def _user(turn: Turn, *, hints: bool) -> Iterator[dict[str, Any]]:
    """Yield the results of tools, then what the user says; pictures and files among the results come before it."""
    shown: list[Block] = []
    for result in turn.blocks:
        if not isinstance(result, ToolResult):
            continue
        yield {"role": "tool", "tool_call_id": result.id, "content": _content(_told(result), hints=hints)}
        if seen := [block for block in result.content if isinstance(block, Image | Document)]:
            shown += [Text(f"What the tool call {result.id} shows:"), *seen]
    said = (*shown, *(block for block in turn.blocks if not isinstance(block, Text) or block.text))
    parts = [_part(block, hints=hints) for block in said if isinstance(block, Text | Image | Document)]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        yield {"role": "user", "content": parts[0]["text"]}
    elif parts:
        yield {"role": "user", "content": parts}


def _told(result: ToolResult) -> Sequence[Block]:
    """Return the texts of a result, the last with the hint that the result itself has."""
    texts = [block for block in result.content if isinstance(block, Text) and block.text]
    return [*texts[:-1], replace(texts[-1], cache=texts[-1].cache or result.cache)] if texts else []


def _content(blocks: Sequence[Block], *, hints: bool) -> str | list[dict[str, Any]]:
    """Return the texts among blocks as one, or as parts where one of them has a hint that is to be told.

    Those of one message that stand beside each other go on as they are; a blank line keeps the others apart.
    """
    texts = [block for block in blocks if isinstance(block, Text) and block.text]
    if hints and any(text.cache for text in texts):
        return [_part(text, hints=True) for text in texts]
    said: list[str] = []
    for before, block in pairwise((None, *blocks)):
        if isinstance(block, Text) and block.text:
            goes_on = isinstance(before, Text) and not block.apart
            said.append(said.pop() + block.text if said and goes_on else block.text)
    return _paragraphs(said)


def _paragraphs(texts: Iterable[str]) -> str:
    return "\n\n".join(filter(None, texts))


def _part(block: Text | Image | Document, *, hints: bool) -> dict[str, Any]:
    return _bare(block) | (hint(block.cache) if hints else {})


def _bare(block: Text | Image | Document) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Image():
            url = block.url or f"data:{block.media_type};base64,{block.data}"
            detail = {"detail": block.detail} if block.detail else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        case Document(url=url) if url:
            return {"type": "text", "text": f"{block.name or 'A document'}: {url}"}
        case Document(text=text) if text:
            return {"type": "text", "text": f"{block.name or 'A document'}:\n\n{text}"}
        case Document():
            data = f"data:{block.media_type};base64,{block.data}"
            return {"type": "file", "file": {"filename": block.name or _USUAL_NAME, "file_data": data}}
