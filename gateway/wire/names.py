"""Names of tools that are too long for chats, shortened so that those of an answer can be told by their own again.

Source: the public API references: OpenAI takes 64 characters, Anthropic 128.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

_LONGEST: Final = 64
_DIGITS: Final = 8


def short(name: str) -> str:
    """Return the name, or as much of it as there is room for, with a sum of the whole."""
    if len(name) <= _LONGEST:
        return name
    told = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:_DIGITS]
    return f"{name[: _LONGEST - _DIGITS - 1]}_{told}"


def originals(names: Iterable[str]) -> dict[str, str]:
    """Return the names that are shortened, by their short ones."""
    return {short(name): name for name in names if short(name) != name}
