"""Turns of a conversation: what wire formats have in common in how they write them down."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.conversation import Block, Document, Text, Turn, Untranslatable
from gateway.wire.fields import Fields


def merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return the turns without those that say nothing, and with neighbours of the same side as one.

    Words that follow those of another message stand apart from them, also within the one turn.
    """
    together: list[Turn] = []
    for turn in turns:
        if together and together[-1].role == turn.role:
            together[-1] = Turn(turn.role, (*together[-1].blocks, *_apart(turn.blocks)))
        elif turn.blocks:
            together.append(turn)
    return tuple(together)


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
