"""What a caller may ask of the router: fields of the body, or headers where a client cannot add fields."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.errors import InvalidRequest
from gateway.exchange import Policy

_LONGEST_LIST: Final = 50
_LONGEST_NAME: Final = 200
_LONGEST_TIME_MS: Final = 86_400_000


def read(body: Mapping[str, Any], headers: Mapping[str, str]) -> Policy:
    """Return the wishes in `max_cost` and its kin; of a field and its header `X-TokenHub-Max-Cost` the field counts.

    Raises `InvalidRequest` naming the field or the header.
    """
    wishes: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        header = f"X-TokenHub-{name.replace('_', '-').title()}"
        value, place = body.get(name), name
        if value is None and header in headers:
            value, place = _value(headers[header], is_list=kind is _names), header
        if value is not None:
            wishes[name] = kind(value, place)
    return Policy(**wishes)


def _value(text: str, *, is_list: bool) -> Any:
    """Return what a header's text says: names between commas, a number, true or false, or the text itself."""
    if is_list:
        return [name.strip() for name in text.split(",") if name.strip()]
    try:
        value = orjson.loads(text.lower())
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _names(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _LONGEST_LIST:
        raise InvalidRequest(f"`{place}` must be a list of 1 to {_LONGEST_LIST} names.", param=place)
    return tuple(_name(name, place) for name in value)


def _name(value: Any, place: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
        raise InvalidRequest(f"`{place}` must be a text of 1 to {_LONGEST_NAME} characters.", param=place)
    return value


def _session(value: Any, place: str) -> str:
    # a header of digits was read as a number
    return _name(str(value) if isinstance(value, int) and not isinstance(value, bool) else value, place)


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
    if not 0 < number <= _LONGEST_TIME_MS:
        raise InvalidRequest(f"`{place}` must be milliseconds: more than 0, a day at most.", param=place)
    return number


def _switch(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{place}` must be true or false.", param=place)
    return value


_KINDS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "models": _names,
    "max_cost": _amount,
    "min_weight": _number,
    "exclude_providers": _names,
    "fallback": _switch,
    "timeout_ms": _milliseconds,
    "strategy": _name,
    "session": _session,
    "hedge_ms": _milliseconds,
    "explain": _switch,
}
