"""JSON bodies: parsed once with limits, written once however often they are sent."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from gateway.errors import InvalidRequest

_BLANKS: Final = b" \t\r\n"


def parse(raw: bytes, *, max_depth: int) -> dict[str, Any]:
    """Return the JSON object in `raw`; raises `InvalidRequest` for anything else, telling where the fault is."""
    if not raw.strip():
        raise InvalidRequest("The body is empty: send a JSON object.")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    if raw.count(b"{") + raw.count(b"[") > max_depth and is_deeper_than(body, max_depth):
        raise InvalidRequest(f"The body is nested deeper than {max_depth} levels.")
    return body


def split(raw: bytes, body: Mapping[str, Any], head_names: Iterable[str]) -> tuple[dict[str, Any], bytes]:
    """Return the fields in `head_names`, and all others as JSON to be completed by `join`, with their numbers as told.

    Raises `InvalidRequest` when an object names a field twice: the gateway and a provider might believe different ones.
    """
    head = {name: body[name] for name in head_names if name in body}
    written = _written(body)
    if not _is_as_told(_object(written.values()), raw):
        _refuse_repeated(raw, sum(field.count(b":") for field in written.values()))
        written = _written(exactly(raw))
    return head, _object(field for name, field in written.items() if name not in head)


def exactly(raw: bytes | str) -> Any:
    """Return JSON that is written again with its numbers as they came: what this parser would change stays a text.

    A whole number of more than 64 bits would lose its last digits. Raises `ValueError` for what is no JSON, and
    `RecursionError` for what is nested very deep.
    """
    value = json.loads(raw, parse_float=_told_number)
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:  # of a whole number that has more than 64 bits
        value = json.loads(raw, parse_float=_told_number, parse_int=_told_number)
    return value


def join(head: Mapping[str, Any], rest: bytes) -> bytes:
    """Return one JSON object of the fields in `head` and those in `rest`."""
    front = orjson.dumps(head)
    if rest == b"{}":
        return front
    return front[:-1] + (b"," if head else b"") + rest[1:]


def is_deeper_than(body: Any, levels: int) -> bool:
    """Whether an object or a list is nested deeper than so many levels."""
    layer = [body]
    for _ in range(levels):
        layer = [
            child
            for parent in layer
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not layer:
            return False
    return True


def _written(body: Mapping[str, Any]) -> dict[str, bytes]:
    return {name: orjson.dumps({name: value})[1:-1] for name, value in body.items()}


def _object(fields: Iterable[bytes]) -> bytes:
    return b"{" + b",".join(fields) + b"}"


def _is_as_told(written: bytes, raw: bytes) -> bool:
    """Whether JSON is what it was read from, but for blanks; false as well where that is not seen at once.

    Then no number was changed, and no field of an object was lost.
    """
    if written == raw:
        return True
    return b"\\u" not in raw and written.translate(None, _BLANKS) == raw.translate(None, _BLANKS)


def _told_number(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


def _refuse_repeated(raw: bytes, colons: int) -> None:
    """Refuse a body that names a field twice; what was read of it has so many colons.

    Every field costs one colon, so a body that lost a field on its way through the parser lost a colon as well.
    """
    escaped = b"\\u003a" in raw or b"\\u003A" in raw
    if (colons != raw.count(b":") or escaped) and (name := _repeated_name(raw)) is not None:
        raise InvalidRequest(f"The field {name!r} stands twice in the same object.")


def _repeated_name(raw: bytes) -> str | None:
    repeated: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) != len(pairs):
            repeated.append(Counter(name for name, _ in pairs).most_common(1)[0][0])

    json.loads(raw, object_pairs_hook=look)
    return repeated[0] if repeated else None
