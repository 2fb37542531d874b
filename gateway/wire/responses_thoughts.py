"""Reasoning in the Responses API: what its model must see again travels in `encrypted_content`.

Models know their reasoning again by a signature, or give it sealed. A client of the Responses API keeps neither, but it
sends `encrypted_content` back as it came. The gateway's own envelope is `tokenhub.v1.` and the base64 of a JSON object
with `signature` and `redacted`, each left out where it is empty. It hides nothing: whoever signed can tell a forgery.
"""

import base64
import binascii
from typing import Final

import orjson

PREFIX: Final = "tokenhub.v1."
"""How the gateway's own envelopes begin, which no other provider can read."""


def seal(*, signature: str = "", redacted: str = "") -> str:
    """Return the envelope of a signature, of sealed reasoning, or of reasoning that has neither."""
    told = {"signature": signature, "redacted": redacted}
    raw = orjson.dumps({name: value for name, value in told.items() if value})
    return PREFIX + base64.b64encode(raw).decode()


def unseal(encrypted: str) -> tuple[str, str] | None:
    """Return the signature and the sealed reasoning in an envelope; None for one that is not the gateway's."""
    if not encrypted.startswith(PREFIX):
        return None
    try:
        told = orjson.loads(base64.b64decode(encrypted.removeprefix(PREFIX), validate=True))
    except (binascii.Error, orjson.JSONDecodeError, ValueError):
        return None
    found = [told.get(name, "") for name in ("signature", "redacted")] if isinstance(told, dict) else []
    return (found[0], found[1]) if found and all(isinstance(value, str) for value in found) else None
