"""Fields taken out of a body by their paths: `seed`, `stream_options.include_usage`, `messages[].name`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.exchange import Request
from gateway.wire import bodies


def without(body: Mapping[str, Any], paths: Iterable[str]) -> Mapping[str, Any]:
    """Return the body without what stands at these paths; the same object where nothing does.

    An object that this leaves empty goes as well: an empty `stream_options` is refused like a full one.
    """
    for path in paths:
        body = _cut(body, path.split("."))
    return body


def relayed(request: Request, head: Mapping[str, Any], paths: Sequence[str]) -> bytes:
    """Return the caller's body under this head and without what stands at these paths, written anew only if it must."""
    if not paths:
        return bodies.join(head, request.rest)
    fields = {name: value for name, value in request.fields.items() if name not in request.head}
    if without(fields, paths) is fields:
        return bodies.join(without(head, paths), request.rest)
    return bodies.join(without(head, paths), orjson.dumps(without(bodies.exactly(request.rest), paths)))


def present(body: Mapping[str, Any], paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths at which something stands, other than null."""
    return tuple(path for path in paths if _stands(body, path.split(".")))


def _cut(body: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    name = names[0].removesuffix("[]")
    if name not in body:
        return body
    if len(names) == 1:
        return {other: value for other, value in body.items() if other != name}
    held = body[name]
    if not names[0].endswith("[]"):
        left = _cut(held, names[1:]) if isinstance(held, dict) else held
        if left is held:
            return body
        return {**body, name: left} if left else _cut(body, [name])
    parts = held if isinstance(held, list) else []
    kept = [_cut(part, names[1:]) if isinstance(part, dict) else part for part in parts]
    if all(part is before for part, before in zip(kept, parts, strict=True)):
        return body
    return {**body, name: kept}


def _stands(body: Any, names: Sequence[str]) -> bool:
    if not isinstance(body, dict):
        return False
    held = body.get(names[0].removesuffix("[]"))
    if len(names) == 1:
        return held is not None
    if names[0].endswith("[]"):
        return isinstance(held, list) and any(_stands(part, names[1:]) for part in held)
    return _stands(held, names[1:])
