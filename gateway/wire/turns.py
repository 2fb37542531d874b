"""Turns of a conversation: what wire formats have in common in how they write them down."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import Any, Final

from gateway.conversation import Block, Document, Text, Turn, Untranslatable
from gateway.wire.fields import Fields

_LINKS: Final = ("https://", "http://")
_PDF: Final = "application/pdf"
_TEXTS_BY_ANOTHER_NAME: Final = frozenset({"application/json", "application/xml", "application/yaml"})


def merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return the turns without those that say nothing, and with neighbours of the same side as one, in linear time.

    Words that follow those of another message stand apart from them, also within the one turn.
    """
    saying = (turn for turn in turns if turn.blocks)
    return tuple(Turn(role, _together(side)) for role, side in groupby(saying, key=lambda turn: turn.role))


def _together(side: Iterable[Turn]) -> tuple[Block, ...]:
    first, *others = side
    return (*first.blocks, *chain.from_iterable(_apart(turn.blocks) for turn in others))


def _apart(blocks: Sequence[Block]) -> Sequence[Block]:
    first = blocks[0] if blocks else None
    return (replace(first, apart=True), *blocks[1:]) if isinstance(first, Text) else blocks


def read_content(message: Fields, name: str, readers: Mapping[str, Callable[[Fields], Any]]) -> list[Any]:
    """Return what a content says, given as a text or as a list of parts; empty texts and files say nothing.

    Each part is read by the reader for its `type`, which leaves it out by returning None. Raises `Untranslatable` for a
    type without a reader, and `InvalidRequest` for a content that is neither.
    """
    content = message.values.get(name)
    if isinstance(content, str):
        return [Text(content)] if content else []
    if not isinstance(content, list):
        raise message.refusal(name, "must be a text or a list of parts.")
    read = []
    for part in message.each(name):
        reader = readers.get(part.required("type", str))
        if reader is None:
            raise Untranslatable(part.at("type"))
        read.append(reader(part))
    return [block for block in read if block is not None and not _is_empty(block)]


def _is_empty(block: Any) -> bool:
    """Whether a text or a file has nothing in it, which many servers refuse."""
    if isinstance(block, Document):
        return not (block.url or block.data or block.text.strip())
    return isinstance(block, Text) and not block.text


def read_source(part: Fields, name: str) -> tuple[str, str, str]:
    """Return the address in a field, or the media type and the base64 of the data URL there, as OpenAI has them."""
    url = part.required(name, str)
    if url.startswith(_LINKS):
        return url, "", ""
    head, comma, data = url.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    if not (head.startswith("data:") and head.endswith(";base64") and comma and media_type):
        raise part.refusal(name, "must be a web address, or a data URL in base64 with its media type.")
    return "", media_type, data


def read_document(part: Fields, name: str, *, cache: Mapping[str, Any] | None = None) -> Document:
    """Return the file in a field: a PDF as it is, a text as its words.

    Other formats are read by OpenAI's models alone, so they raise `Untranslatable`.
    """
    url, media_type, data = read_source(part, name)
    title = part.text("filename")
    if url:
        return Document(url=url, name=title, cache=cache)
    if media_type == _PDF:
        return Document(data=data, media_type=media_type, name=title, cache=cache)
    if not media_type.startswith("text/") and media_type not in _TEXTS_BY_ANOTHER_NAME:
        raise Untranslatable(part.at(name))
    try:
        return Document(text=base64.b64decode(data, validate=True).decode(), name=title, cache=cache)
    except (binascii.Error, UnicodeDecodeError):
        raise part.refusal(name, "must be a text in UTF-8, in base64.") from None
