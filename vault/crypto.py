"""How a secret text is sealed and opened under a ring of keys; knows neither Django nor a database.

A sealed text is `v1.<key id>.<base64url of nonce and ciphertext>`: AES-256-GCM (NIST SP 800-38D) with a random nonce of
96 bits, under a subkey that HKDF-SHA256 (RFC 5869) derives from the ring's key, bound to its place by associated data.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID: Final = re.compile("[0-9a-f]{8}")
_VERSION: Final = "v1"
BEGINNING: Final = 12
"""How many characters of a sealed text name its version and its key."""
KEY_VARIABLE: Final = "TOKENHUB_ENCRYPTION_KEY"
KEY_FILE_VARIABLE: Final = f"{KEY_VARIABLE}_FILE"
NAMED_VARIABLE: Final = "TOKENHUB_KEY_VARIABLE"
"""Names the variable in which a site keeps its key, if that is another."""


class KeyProblem(ValueError):
    """A key that is missing, malformed or not the right one; the message says so without showing any of it."""


class Unopenable(ValueError):
    """A sealed text that no key of the ring opens in this place: another key, another row, or altered."""


class Hidden:
    """A secret text that shows itself only to `reveal`; printed, formatted or logged it is four dots."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __repr__(self) -> str:
        return "••••"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hidden) and hmac.compare_digest(_octets(self._text), _octets(other._text))

    def __hash__(self) -> int:
        return hash((Hidden, self._text))

    def __reduce__(self) -> Never:
        message = "a secret is not pickled"
        raise TypeError(message)


def _octets(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # a text from JSON or the environment may hold half a character


def generate_key() -> str:
    """Return a new key: base64 of 32 random bytes."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def sealed_under(sealed: str) -> str:
    """Return the id of the key that a text was sealed under; raises `Unopenable` for what is no sealed text."""
    return _parts(sealed)[0]


def key_named_in(beginning: str) -> str:
    """Return the id of the key that the first `BEGINNING` characters of a sealed text name; empty where they do not."""
    version, _, rest = beginning.partition(".")
    key_id = rest.removesuffix(".")
    return key_id if version == _VERSION and _KEY_ID.fullmatch(key_id) and rest != key_id else ""


def is_sealed(text: str) -> bool:
    """Whether a text has the form of a sealed one."""
    try:
        _parts(text)
    except Unopenable:
        return False
    return True


@dataclass(frozen=True)
class Ring:
    """Keys by their ids (8 hex characters each, derived from the key). The first seals, all open."""

    ids: tuple[str, ...]
    _keys: Mapping[str, bytes] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Ring:
        """Return the ring of the comma separated base64 keys in `text`; raises `KeyProblem` naming the one at fault."""
        parts = [part.strip() for part in text.split(",")]
        if parts == [""]:
            raise KeyProblem("it is empty")
        names = [f"key {number} of {len(parts)}" for number in range(1, len(parts) + 1)] if len(parts) > 1 else ["it"]
        keys = [_decode(part, name) for part, name in zip(parts, names, strict=True)]
        by_id = {_derive(key, "key-id").hex()[:8]: key for key in keys}
        if len(by_id) != len(keys):
            raise KeyProblem("it names the same key twice")
        return cls(tuple(by_id), by_id)

    @property
    def primary(self) -> str:
        """The id of the key that seals."""
        return self.ids[0]

    def seal(self, plain: str, *, context: str) -> str:
        """Return the text sealed under the first key, to be opened only with the same context."""
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._cipher(self.primary).encrypt(nonce, plain.encode(), _bound_to(context, self.primary))
        return f"{_VERSION}.{self.primary}.{base64.urlsafe_b64encode(nonce + ciphertext).decode()}"

    def open(self, sealed: str, *, context: str) -> str:
        """Return the text that was sealed; raises `Unopenable`."""
        key_id, nonce, ciphertext = _parts(sealed)
        if key_id not in self._keys:
            raise Unopenable(f"it was sealed under key {key_id}, which the ring does not hold")
        try:
            return self._cipher(key_id).decrypt(nonce, ciphertext, _bound_to(context, key_id)).decode()
        except InvalidTag:
            raise Unopenable("it was altered, or sealed for another place") from None

    def derive(self, label: str, *, key_id: str | None = None) -> bytes:
        """Return the 32-byte subkey for one purpose, of the first key unless another is named."""
        return _derive(self._keys[key_id or self.primary], label)

    def check_value(self, key_id: str) -> str:
        """Return what tells a key from any other without telling the key: 32 hex characters."""
        return self.derive("check-value", key_id=key_id).hex()[:32]

    def _cipher(self, key_id: str) -> AESGCM:
        return AESGCM(self.derive("secrets", key_id=key_id))


def ring_from_environment(environ: Mapping[str, str]) -> Ring:
    """Return the ring in `TOKENHUB_ENCRYPTION_KEY`, or in the file named by `…_FILE`; raises `KeyProblem`."""
    text = environ.get(KEY_VARIABLE, "")
    path = environ.get(KEY_FILE_VARIABLE, "")
    source = environ.get(NAMED_VARIABLE) or KEY_VARIABLE
    if not text.strip() and path:
        source = f"the file named by {KEY_FILE_VARIABLE}"
        try:
            text = Path(path).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise KeyProblem(f"{source} cannot be read: {type(error).__name__}.") from None
    if not text.strip():
        raise KeyProblem(f"{source} is not set: make a key with `tokenhub -generate-key`.")
    try:
        return Ring.parse(text)
    except KeyProblem as problem:
        raise KeyProblem(f"{source} does not hold a key: {problem}.") from None


def _decode(part: str, name: str) -> bytes:
    if not part:
        raise KeyProblem(f"{name} is empty")
    try:
        key = base64.b64decode(part.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise KeyProblem(f"{name} is not base64") from None
    if len(key) != KEY_BYTES:
        raise KeyProblem(f"{name} has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def _derive(key: bytes, label: str) -> bytes:
    info = f"tokenhub/{_VERSION}/{label}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _bound_to(context: str, key_id: str) -> bytes:
    return f"{_VERSION}|{context}|{key_id}".encode()


def _parts(sealed: str) -> tuple[str, bytes, bytes]:
    version, _, rest = sealed.partition(".")
    key_id, _, payload = rest.partition(".")
    try:
        raw = base64.urlsafe_b64decode(payload)
    except (binascii.Error, ValueError):
        raw = b""
    # base64 may be written in several ways, a sealed text in one
    is_exact = base64.urlsafe_b64encode(raw).decode() == payload and len(raw) >= _NONCE_BYTES + _TAG_BYTES
    if version != _VERSION or not _KEY_ID.fullmatch(key_id) or not is_exact:
        raise Unopenable("it is not a sealed text")
    return key_id, raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
