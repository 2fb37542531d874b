"""The kinds of values in a configuration file: each reads one, or says what is wrong with it without quoting it."""

import math
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from vault.crypto import Hidden

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class WrongValue(ValueError):
    """What is wrong with a value, in words that never repeat it: it may be a secret in the wrong place."""


Read = Callable[[Any], Any]


def prose(value: Any) -> str:
    """A text that may run over several lines."""
    if not isinstance(value, str):
        raise WrongValue(f"give a text, not {_kind_of(value)}")
    if any(unicodedata.category(character) == "Cc" and character not in "\n\r\t" for character in value):
        raise WrongValue("holds a control character")
    return value


def text(value: Any) -> str:
    """A text of one line."""
    if any(character in "\n\r\t" for character in prose(value)):
        raise WrongValue("holds a control character")
    return str(value)


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise WrongValue(f"give true or false, not {_kind_of(value)}")
    return value


def whole(value: Any) -> int:
    """A number without a fraction."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongValue(f"give a whole number, not {_kind_of(value)}")
    return value


def exact(value: Any) -> Decimal:
    """A number as it was written, for money."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise WrongValue(f"give a number, not {_kind_of(value)}")
    return Decimal(value)


def number(value: Any) -> float:
    """A number that a float can hold."""
    result = float(exact(value))
    if not math.isfinite(result):
        raise WrongValue("the number is too large")
    return result


def port(value: Any) -> int:
    """A TCP port that a server can listen on."""
    if not 1 <= whole(value) <= 65535:
        raise WrongValue("a port is a whole number from 1 to 65535")
    return int(value)


def variable(value: Any) -> str:
    """The name of an environment variable."""
    if not _VARIABLE.fullmatch(text(value)):
        raise WrongValue("give the name of an environment variable (letters, digits and _), not a key")
    return str(value)


def secret(value: Any) -> Hidden:
    """A key, hidden from here on."""
    if not text(value).strip():
        raise WrongValue("empty; leave the field out when the provider needs no key")
    return Hidden(value)


def names(value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, list):
        raise WrongValue(f"give a list of texts, not {_kind_of(value)}")
    return [text(item) for item in value]


def members(value: Any) -> list[Any]:
    """A list whose entries are looked at one by one, each for itself."""
    if not isinstance(value, list):
        raise WrongValue(f"give a list of ids, not {_kind_of(value)}")
    return value


def headers(value: Any) -> dict[str, str]:
    """An object of texts."""
    if not isinstance(value, dict):
        raise WrongValue(f"give an object of texts, not {_kind_of(value)}")
    return {text(name): text(item) for name, item in value.items()}


def optional(read: Read) -> Read:
    """The same, or null."""
    return lambda value: None if value is None else read(value)


def _kind_of(value: Any) -> str:
    kinds = {bool: "true or false", str: "a text", int: "a number", Decimal: "a number with a fraction", list: "a list"}
    return "nothing (null)" if value is None else kinds.get(type(value), "an object")
