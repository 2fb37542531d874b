"""The signatures by which a model of Google's knows its calls again, carried as those of thoughts before the calls.

Source: Google's documentation of the Gemini API, "Thought signatures" and "OpenAI compatibility". A chat has one in
`extra_content.google.thought_signature` of the first call of each turn; without it a newer model refuses the history.
Callers of other formats keep signatures of thoughts, so it travels as one that says what it is, and no other model is
shown it. A call that another model made has the word that Google names for that.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gateway.conversation import Block, Thought, ToolUse
from gateway.wire.fields import as_object, as_text

_PREFIX: Final = "google:"  # no base64 has a colon
_NOT_ITS_OWN: Final = "skip_thought_signature_validator"


def read(call: Mapping[str, Any]) -> str:
    """Return the signature of a call in a chat as that of a thought; empty where it has none."""
    signature = as_text(as_object(as_object(call.get("extra_content")).get("google")).get("thought_signature"))
    return _PREFIX + signature if signature else ""


def is_of_a_call(thought: Thought) -> bool:
    """Whether a thought carries the signature of a call."""
    return thought.signature.startswith(_PREFIX)


def with_signatures(blocks: Iterable[Block]) -> Iterator[tuple[ToolUse, dict[str, Any]]]:
    """Yield the calls of a turn, each with the fields that a chat has for its signature."""
    signature = _NOT_ITS_OWN
    for block in blocks:
        if isinstance(block, Thought) and is_of_a_call(block):
            signature = block.signature.removeprefix(_PREFIX)
        elif isinstance(block, ToolUse):
            yield block, {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}
            signature = ""
