"""How many tokens a prompt is about, told from its text alone."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

_ASCII_CHARACTERS_A_TOKEN: Final = 4
_TOKENS_A_MESSAGE: Final = 4  # role and separators
_TOKENS_AN_IMAGE: Final = 765  # OpenAI's figure for 1024 x 1024 at high detail


def estimate(body: Mapping[str, Any]) -> int:
    """Return about how many tokens the messages and tools of a chat body take.

    English runs at four characters a token; a character outside ASCII counts as a token of its own, which errs on the
    side of the larger window.
    """
    total = sum(_TOKENS_A_MESSAGE + _of_message(message) for message in body.get("messages") or [])
    if body.get("tools"):
        total += of_text(orjson.dumps(body["tools"]).decode())
    return total


def of_text(text: str) -> int:
    """Return about how many tokens a text takes."""
    if text.isascii():
        return -(-len(text) // _ASCII_CHARACTERS_A_TOKEN)
    ascii_characters = len(text.encode("ascii", "ignore"))
    return len(text) - ascii_characters + -(-ascii_characters // _ASCII_CHARACTERS_A_TOKEN)


def _of_message(message: Any) -> int:
    if not isinstance(message, dict):
        return 0
    return sum(_of_part(value) for name, value in message.items() if name != "role")


def _of_part(value: Any) -> int:
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, list):
        return sum(_of_part(part) for part in value)
    if not isinstance(value, dict):
        return 0
    if str(value.get("type")).startswith(("image", "input_image")):
        return _TOKENS_AN_IMAGE
    return sum(_of_part(part) for part in value.values())
