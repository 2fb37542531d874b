"""What a caller may ask of the router: fields of the body, or headers where a client cannot add fields."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.errors import InvalidRequest
from gateway.exchange import LONGEST_NAME, Policy

IN_WSGI: Final = "HTTP_X_TOKENHUB_"
"""How the names of the headers begin in a WSGI environment."""
LONGEST_LIST: Final = 50
"""Names in a list."""
LONGEST_TIME_MS: Final = 86_400_000


def read(body: Mapping[str, Any], headers: Mapping[str, str]) -> Policy:
    """Return the wishes in `max_cost` and its kin; of a field and its header `X-TokenHub-Max-Cost` the field counts.

    Raises `InvalidRequest` naming the field or the header, be it that there is no such header: a limit that is written
    wrongly must not be no limit.
    """
    wishes: dict[str, Any] = {}
    for header in headers:
        if header[: len(_PREFIX)].lower() == _PREFIX and header.lower() not in _HEADERS:
            known = ", ".join(HEADER_OF.values())
            raise InvalidRequest(f"There is no header `{header}`. There are: {known}.", param=header)
    if not headers and _KINDS.keys().isdisjoint(body):
        return _NO_WISHES
    for name, kind in _KINDS.items():
        header = HEADER_OF[name]
        value, place = body.get(name), name
        if value is None and header in headers:
            value, place = _value(headers[header], kind), header
        if value is not None:
            wishes[name] = kind(value, place)
    return Policy(**wishes)


def _value(text: str, kind: Callable[[Any, str], Any]) -> Any:
    """Return what a header's text says: names between commas, a text, or a number, true or false."""
    if kind in {_names, _some_names}:
        return [name.strip() for name in text.split(",") if name.strip()]
    if kind is _name:
        return text
    try:
        value = orjson.loads(text.lower())
    except orjson.JSONDecodeError:
        return text
    return text if value is None else value


def _names(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > LONGEST_LIST:
        raise InvalidRequest(f"`{place}` must be a list of at most {LONGEST_LIST} names.", param=place)
    return tuple(_name(name, f"{place}[{index}]") for index, name in enumerate(value))


def _some_names(value: Any, place: str) -> tuple[str, ...]:
    names = _names(value, place)
    if not names:
        raise InvalidRequest(f"`{place}` must name at least one.", param=place)
    return names


def _name(value: Any, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise InvalidRequest(f"`{place}` must be a text of 1 to {LONGEST_NAME} characters.", param=place)
    return value


def _number(value: Any, place: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidRequest(f"`{place}` must be a number.", param=place)
    return float(value)


def _amount(value: Any, place: str) -> float:
    number = _number(value, place)
    if number < 0:
        raise InvalidRequest(f"`{place}` must be a number of 0 or more.", param=place)
    return number


def _milliseconds(value: Any, place: str) -> float:
    number = _number(value, place)
    if not 0 < number <= LONGEST_TIME_MS:
        raise InvalidRequest(f"`{place}` must be milliseconds: more than 0, a day at most.", param=place)
    return number


def _switch(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{place}` must be true or false.", param=place)
    return value


_KINDS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "models": _some_names,
    "max_cost": _amount,
    "min_weight": _number,
    "exclude_providers": _names,
    "fallback": _switch,
    "timeout_ms": _milliseconds,
    "strategy": _name,
    "session": _name,
    "hedge_ms": _milliseconds,
    "explain": _switch,
}
_PREFIX: Final = "x-tokenhub-"
_NO_WISHES: Final = Policy()
HEADER_OF: Final = {name: f"X-TokenHub-{name.replace('_', '-').title()}" for name in _KINDS}
"""The header that says the same as a field."""
# some clients send back the id of the call before
_HEADERS: Final = frozenset(map(str.lower, HEADER_OF.values())) | {f"{_PREFIX}request-id"}
