"""The items of a conversation in the Responses API, read and written.

Source: the public API reference of OpenAI and the types of its official SDK. An item is a message, a call, what came of
it, or reasoning; `id` and `status`, which a server tells of its own items, are passed over.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.conversation import Block, Document, Image, Text, Thought, ToolResult, ToolUse, Turn, Untranslatable
from gateway.wire import responses_thoughts, responses_tools
from gateway.wire.fields import Fields, as_text
from gateway.wire.turns import read_content, read_document, read_source

# Records of what a provider's own tools did: the answers that came of them stand in the input as well.
_RECORDS: Final = frozenset({"web_search_call", "tool_search_call", "tool_search_output"})
_PASSED_OVER: Final = _RECORDS | {"additional_tools"}


def kind_of(item: Mapping[str, Any]) -> str:
    """Return the type of an item, which messages and references may leave out."""
    kind = item.get("type")
    if kind is None:
        return "message" if "role" in item else "item_reference"
    return str(kind)


def items_of(told: Fields) -> list[Fields]:
    """Return the items of a body's input; raises `InvalidRequest` where there are none."""
    given = told.values.get("input")
    if isinstance(given, str) and given:
        return [Fields({"role": "user", "content": given}, "input")]
    items = told.each("input") if isinstance(given, list) else []
    if not items:
        raise told.refusal("input", "must be a text or a list with at least one item.")
    return items


def read_system(item: Fields) -> list[Text]:
    """Return what an item says for the system; nothing where it is no such message."""
    return read_content(item, "content", _TEXTS) if _is_system(item) else []


def read_item(item: Fields) -> Iterator[Turn]:
    """Yield what an item says for one of the sides; raises `Untranslatable` for a type that only a provider knows."""
    kind = kind_of(item.values)
    if _is_system(item) or kind in _PASSED_OVER:
        return
    reader = _ITEMS.get(kind)
    if reader is None:
        raise Untranslatable(item.at("type"))
    yield reader(item)


def passed_over(items: Iterable[Fields]) -> Sequence[str]:
    """Return the names of what is left out of items when they are read.

    Reasoning that another provider encrypted says nothing to anybody else.
    """
    kinds = [(kind_of(item.values), item) for item in items]
    sealed = [as_text(item.values.get("encrypted_content")) for kind, item in kinds if kind == "reasoning"]
    is_foreign = any(text and responses_thoughts.unseal(text) is None for text in sealed)
    records = dict.fromkeys(f"input[].{kind}" for kind, _ in kinds if kind in _RECORDS)
    return (*records, *(["input[].encrypted_content"] if is_foreign else []))


def write(turns: Iterable[Turn]) -> Iterator[dict[str, Any]]:
    """Yield the items of turns in their order; reasoning is left out."""
    for turn in turns:
        parts: list[dict[str, Any]] = []
        for block in turn.blocks:
            if turn.role == "user" and not isinstance(block, ToolResult):
                parts += _parts([block])
                continue
            yield from _message(parts)
            parts = []
            yield from _items(block)
        yield from _message(parts)


# --- reading ----------------------------------------------------------------------------------------------------------


def _is_system(item: Fields) -> bool:
    return kind_of(item.values) == "message" and as_text(item.values.get("role")) in {"system", "developer"}


def _read_message(item: Fields) -> Turn:
    role = item.required("role", str)
    if role == "assistant":
        return Turn("assistant", tuple(read_content(item, "content", _TEXTS)))
    if role != "user":
        raise item.refusal("role", "must be system, developer, user or assistant.")
    return Turn("user", tuple(read_content(item, "content", _SHOWN)))


def _read_call(item: Fields) -> Turn:
    name = responses_tools.joined_name(item.required("name", str), item.text("namespace"))
    call, arguments = item.required("call_id", str), item.text("arguments")
    return Turn("assistant", (ToolUse(call, name, arguments, place=item.at("arguments")),))


def _read_custom_call(item: Fields) -> Turn:
    name = responses_tools.joined_name(item.required("name", str), item.text("namespace"))
    arguments = responses_tools.as_arguments(item.text("input"))
    return Turn("assistant", (ToolUse(item.required("call_id", str), name, arguments, place=item.at("input")),))


def _read_output(item: Fields) -> Turn:
    content = tuple(read_content(item, "output", _SHOWN))
    return Turn("user", (ToolResult(item.required("call_id", str), content),))


def _read_thought(item: Fields) -> Turn:
    """Return reasoning with what its model knows it by; that of a provider that encrypts it is known by its text."""
    texts = [part.text("text") for part in item.each("summary") or item.each("content")]
    signature, redacted = responses_thoughts.unseal(item.text("encrypted_content")) or ("", "")
    thought = Thought("\n\n".join(texts), signature, redacted)
    return Turn("assistant", (thought,) if thought != Thought() else ())


_ITEMS: Final[Mapping[str, Callable[[Fields], Turn]]] = {
    "message": _read_message,
    "function_call": _read_call,
    "function_call_output": _read_output,
    "custom_tool_call": _read_custom_call,
    "custom_tool_call_output": _read_output,
    "reasoning": _read_thought,
}


def _read_text(part: Fields) -> Text:
    return Text(part.required("text", str))


def _read_refusal(part: Fields) -> Text:
    return Text(part.required("refusal", str))


def _read_image(part: Fields) -> Image:
    _refuse_kept(part)
    detail = part.text("detail")
    url, media_type, data = read_source(part, "image_url")
    return Image(url=url, data=data, media_type=media_type, detail="" if detail == "auto" else detail)


def _read_file(part: Fields) -> Document:
    _refuse_kept(part)
    return read_document(part, "file_url" if part.values.get("file_url") else "file_data")


def _refuse_kept(part: Fields) -> None:
    """Raise `Untranslatable` for what OpenAI keeps."""
    if part.values.get("file_id"):
        raise Untranslatable(part.at("file_id"))


_TEXTS: Final[Mapping[str, Callable[[Fields], Any]]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "refusal": _read_refusal,
}
_SHOWN: Final[Mapping[str, Callable[[Fields], Any]]] = {
    **_TEXTS,
    "input_image": _read_image,
    "input_file": _read_file,
}


# --- writing ----------------------------------------------------------------------------------------------------------


def _message(parts: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if len(parts) == 1 and parts[0]["type"] == "input_text":
        yield {"role": "user", "content": parts[0]["text"]}
    elif parts:
        yield {"role": "user", "content": parts}


def _items(block: Block) -> Iterator[dict[str, Any]]:
    """Yield what stands for a block of the assistant's, or for what came of a call."""
    match block:
        case Text(text) if text:
            yield {"role": "assistant", "content": text}
        case ToolUse():
            yield {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": block.arguments}
        case ToolResult(call, content):
            parts = _parts(content)
            is_text = len(parts) == 1 and parts[0]["type"] == "input_text"
            output = parts[0]["text"] if is_text else parts or ""
            yield {"type": "function_call_output", "call_id": call, "output": output}


def _parts(blocks: Iterable[Block]) -> list[dict[str, Any]]:
    return [part for block in blocks for part in _part(block)]


def _part(block: Block) -> Iterator[dict[str, Any]]:
    match block:
        case Text(text) if text:
            yield {"type": "input_text", "text": text}
        case Image():
            yield {"type": "input_image", "image_url": _source(block), "detail": block.detail or "auto"}
        case Document(text=text) if text:
            yield {"type": "input_text", "text": f"{block.name}\n\n{text}" if block.name else text}
        case Document(url=url) if url:
            yield {"type": "input_file", "file_url": url}
        case Document():
            yield {"type": "input_file", "file_data": _source(block), "filename": block.name or "file"}


def _source(block: Image | Document) -> str:
    return block.url or f"data:{block.media_type};base64,{block.data}"
