"""Client keys: `th_<public id>_<secret>`, made at random, shown once, and kept as an HMAC under a pepper.

A secret has 192 random bits, so a plain HMAC-SHA-256 (RFC 2104) is as good as a slow hash and takes microseconds.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Final

from django.utils import timezone

from accounts.facts import KeyFacts
from accounts.models import ApiKey, Pepper
from accounts.picture import Picture

PREFIX: Final = "th"
_PUBLIC_BYTES: Final = 6
_SECRET_BYTES: Final = 24
_UNKNOWN: Final = "This is no key of this gateway."


class KeyRefused(Exception):
    """A key that opens nothing; the message says why, to whoever holds the right secret.

    `is_known` says whether there is a key of its public id.
    """

    def __init__(self, message: str, *, is_known: bool = True) -> None:
        super().__init__(message)
        self.is_known = is_known


class PepperMissing(Exception):
    """No key can be judged: the pepper cannot be read. Nobody's key is at fault."""


def issue(key: ApiKey) -> str:
    """Give a new row its public id and its first secret, and return the key; the caller saves the row."""
    key.public_id = secrets.token_hex(_PUBLIC_BYTES)
    return _with_new_secret(key)


def rotate(key: ApiKey, *, overlap: timedelta = timedelta()) -> str:
    """Give a row a new secret and return the key; the old one is good for the overlap. The caller saves the row."""
    key.old_digest, key.old_until = (key.digest, timezone.now() + overlap) if overlap else ("", None)
    key.rotated_at = timezone.now()
    return _with_new_secret(key)


def check(token: str, picture: Picture, now: float) -> KeyFacts:
    """Return the facts of the key that a caller sent; `now` is unix seconds.

    Raises `KeyRefused`, and `PepperMissing` where nobody can say. What is wrong with a key is told only to whoever has
    its secret: to all others it does not exist.
    """
    public_id, secret = _parts(token)
    facts = picture.keys.get(public_id)
    if facts is None:
        raise KeyRefused(_UNKNOWN, is_known=False)
    if picture.pepper is None:
        raise PepperMissing("The pepper of the client keys cannot be read.")
    given = digest(public_id, secret, picture.pepper)
    is_current = hmac.compare_digest(given, facts.digest)
    is_old = hmac.compare_digest(given, facts.old_digest) and now < facts.old_until
    if not is_current and not is_old:
        raise KeyRefused(_UNKNOWN)
    if not facts.enabled or not (facts.team is None or facts.team.enabled):
        raise KeyRefused("This key is disabled.")
    if facts.expires_at is not None and now >= facts.expires_at:
        raise KeyRefused("This key has expired.")
    return facts


def digest(public_id: str, secret: str, pepper: bytes) -> str:
    """Return what rests of a key, in 64 hex characters; it is bound to the public id."""
    return hmac.new(pepper, f"{public_id}_{secret}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def _with_new_secret(key: ApiKey) -> str:
    secret = secrets.token_hex(_SECRET_BYTES)
    key.digest = digest(key.public_id, secret, Pepper.get().octets)
    return f"{PREFIX}_{key.public_id}_{secret}"


def _parts(token: str) -> tuple[str, str]:
    prefix, _, rest = token.partition("_")
    public_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not public_id or not secret:
        raise KeyRefused(f"A key of this gateway begins with {PREFIX}_.")
    return public_id, secret
