"""Fields of JSON objects: a caller's are refused where they are wrong, a provider's are read as far as they go."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from gateway.errors import Broken, InvalidRequest
from gateway.exchange import LONGEST_NAME

_T = TypeVar("_T")
_MOST: Final = 10**12  # more tokens than any answer has, and few enough for every sum of them
_HALF_CHARACTER: Final = re.compile(r"[\ud800-\udfff]")
_WORDS: Final[Mapping[type, str]] = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}


@dataclass(frozen=True, slots=True)
class Fields:
    """An object that a caller sent, which stands at `path` in the body. Null counts as left out.

    Every method raises `InvalidRequest` with the path of the field at fault.
    """

    values: Mapping[str, Any]
    path: str = ""

    def at(self, name: str) -> str:
        """Return the path of a field, as in `messages[2].content`."""
        return f"{self.path}.{name}" if self.path else name

    def optional(self, name: str, kind: type[_T]) -> _T | None:
        """Return a field of this type, None where it is left out."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, kind):
            raise self.refusal(name, f"has the wrong type: {_WORDS.get(kind, kind.__name__)} is expected.")
        return value

    def required(self, name: str, kind: type[_T]) -> _T:
        """Return a field of this type that has to be there."""
        value = self.optional(name, kind)
        if value is None:
            raise self.refusal(name, "is missing.")
        return value

    def text(self, name: str) -> str:
        """Return a text, empty where it is left out."""
        return self.optional(name, str) or ""

    def model(self) -> str:
        """Return the name of the model that is asked for, empty where the caller names none."""
        name = self.text("model")
        if len(name) > LONGEST_NAME:
            raise self.refusal("model", f"has at most {LONGEST_NAME} characters.")
        return name

    def positive(self, name: str, *, least: int = 1) -> int | None:
        """Return a whole number of 1 or more, or of another least."""
        value = self.values.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise self.refusal(name, f"must be a whole number of {least} or more.")
        return value

    def first_positive(self, *names: str, least: int = 1) -> int | None:
        """Return the first that is given of several whole numbers of 1 or more; all of them are checked."""
        given = [self.positive(name, least=least) for name in names]
        return next((number for number in given if number is not None), None)

    def number(self, name: str) -> float | None:
        """Return a number of 0 or more."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise self.refusal(name, "must be a number of 0 or more.")
        return float(value)

    def inner(self, name: str) -> "Fields | None":
        """Return an object within this one, None where it is left out."""
        value = self.optional(name, dict)
        return None if value is None else Fields(value, self.at(name))

    def each(self, name: str) -> list["Fields"]:
        """Return the objects of a list, none where it is left out."""
        items = self.optional(name, list) or []
        listed = [
            Fields(item, f"{self.at(name)}[{index}]") for index, item in enumerate(items) if isinstance(item, dict)
        ]
        if len(listed) != len(items):
            raise self.refusal(name, "must be a list of objects.")
        return listed

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list, none where it is left out."""
        items = self.optional(name, list) or []
        if not all(isinstance(item, str) for item in items):
            raise self.refusal(name, "must be a list of texts.")
        return tuple(items)

    def refusal(self, name: str, why: str) -> InvalidRequest:
        """Return the error that says what is wrong with a field."""
        return InvalidRequest(f"`{self.at(name)}` {why}", param=self.at(name))


def load(data: bytes) -> dict[str, Any]:
    """Return the JSON object that a provider sent; raises `Broken` for anything else.

    What is nearly JSON is read as far as it goes, as clients do: half of a character as its replacement, and a number
    that is none as null.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        value = _nearly(data)
    if not isinstance(value, dict):
        raise Broken("The provider sent JSON that is not an object.")
    return value


def _nearly(data: bytes) -> Any:
    try:
        value = json.loads(data.decode(errors="replace"), parse_constant=lambda _: None)
        return orjson.loads(_HALF_CHARACTER.sub("\ufffd", json.dumps(value, ensure_ascii=False)))
    except (ValueError, RecursionError):
        raise Broken("The provider sent something that is not JSON.") from None


def as_object(value: Any) -> dict[str, Any]:
    """Return what a provider should have sent as an object, empty when it is none."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of what a provider should have sent as a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """Return what a provider should have sent as a text, empty when it is none."""
    return value if isinstance(value, str) else ""


def as_count(value: Any) -> int:
    """Return what a provider should have sent as a whole number: 0 when it is none or below, a bound when beyond it."""
    return min(max(0, value), _MOST) if isinstance(value, int) and not isinstance(value, bool) else 0


def tells_tokens(usage: Any, *names: str) -> bool:
    """Whether a provider's `usage` has a number under one of these names: one that is empty is not known to be 0."""
    return isinstance(usage, dict) and any(isinstance(usage.get(name), int) for name in names)
