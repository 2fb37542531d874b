"""How the endpoints refuse, described from the error tree: which status, which codes, in which shape, and why."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway import errors
from gateway.errors import GatewayError
from gateway.openapi.schemas import ANYTHING, Schema, among, constant, listed, mapped, or_null, ref, text, thing
from gateway.wire.anthropic import ERROR_TYPES, OVERLOADED

Kinds = Sequence[type[GatewayError]]


def under(kind: type[GatewayError]) -> list[type[GatewayError]]:
    """Return a class of errors and all below it."""
    return [kind, *(each for child in kind.__subclasses__() for each in under(child))]


GATE: Final[Kinds] = (errors.Malformed, errors.MethodNotAllowed, errors.Unexpected)
"""What any endpoint may answer."""
BODY: Final[Kinds] = (errors.InvalidRequest, errors.BodyTimeout, errors.LengthRequired, errors.BodyTooLarge)
"""What is wrong with a body."""
KEYS: Final[Kinds] = (errors.CrossSite, errors.KeyInvalid, errors.Unavailable)
"""What keeps a caller out: another site's page, no good key, or that keys or registry cannot be read."""
ACCOUNT: Final[Kinds] = (
    errors.NotAllowed,
    errors.BudgetExceeded,
    errors.LimitReached,
    errors.IdempotencyKeyReused,
)
"""What the caller's key is not good for."""
CHOICE: Final[Kinds] = (errors.ModelNotFound, errors.Unserviceable)
"""Why nobody can ever serve a request."""
ROUTE: Final[Kinds] = (*KEYS, *ACCOUNT, *CHOICE, errors.PromptTooLong, *under(errors.Unavailable)[1:], errors.OutOfTime)
"""Why nobody serves a request now."""
PROVIDERS: Final[Kinds] = tuple(kind for kind in under(errors.ProviderFailure) if not issubclass(kind, errors.Rejected))
"""What providers fail with; `Rejected` and those below it have the provider's own status."""
FLOW: Final[Kinds] = (errors.TooDear, errors.PhaseFailed)
"""What ends a flow."""

_RANGE: Final = "4XX"
_TELLS_WHEN: Final = (429, 503, OVERLOADED)
_DETAILS: Final = {
    "tried": listed(mapped(ANYTHING), "The models that were tried in vain."),
}
_FURTHER: Final = {
    "phase": text("The phase of a flow that failed."),
    "partial": mapped(ANYTHING, "What a flow had made before, and what it cost."),
    "cause": text("The code of what went wrong within the phase."),
    "tokenhub": ref("Decision"),
}


def _openai(code: Schema, *, own: bool) -> Schema:
    fields = {"message": text(), "type": text(), "param": or_null(text()), "code": code, **_DETAILS}
    optional = tuple(_DETAILS) if own else ("type", "param", "code", *_DETAILS)
    return thing({"error": thing(fields, optional=optional), **_FURTHER}, optional=tuple(_FURTHER))


def _anthropic(kind: Schema) -> Schema:
    fields = {"type": constant("error"), "error": thing({"type": kind, "message": text()}), "request_id": text()}
    return thing({**fields, **_FURTHER}, optional=("request_id", *_FURTHER))


SCHEMAS: Final[Mapping[str, Schema]] = {
    "OpenAIError": _openai(or_null(text()), own=False),
    "AnthropicError": _anthropic(text()),
}


def responses(kinds: Kinds, shapes: Sequence[str], *, relayed: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the responses of an endpoint by their status.

    `shapes` are names of `SCHEMAS`. With `relayed` a provider's own refusal is one of them, with any 4xx status.
    """
    for status in sorted({kind.status for kind in kinds}):
        here = [kind for kind in kinds if kind.status == status]
        headers = [name for name, statuses in _HEADERS.items() if status in statuses]
        content = [_shape(shape, here, own=not (relayed and status < 500)) for shape in shapes]
        yield str(status), _response(_told(here), content, headers)
    if "AnthropicError" in shapes and errors.Overloaded in kinds:
        told = "All who were asked had too much to do."
        yield str(OVERLOADED), _response(told, [_anthropic(constant(ERROR_TYPES[OVERLOADED]))], ["Retry-After"])
    if relayed:
        told = "What the provider refuses is told in its own words, with its own status."
        yield _RANGE, _response(told, [ref(shape) for shape in shapes], [])


def _shape(shape: str, kinds: Kinds, *, own: bool) -> Schema:
    """Return the shape of a refusal; where no provider's can have the same status, with the codes that there are."""
    if shape == "AnthropicError":
        known = ERROR_TYPES.get(kinds[0].status)
        return _anthropic(constant(known)) if own and known else ref(shape)
    return _openai(among(list(dict.fromkeys(kind.code for kind in kinds))), own=True) if own else ref(shape)


def _response(told: str, shapes: Sequence[Schema], headers: Sequence[str]) -> dict[str, Any]:
    schema = shapes[0] if len(shapes) == 1 else {"anyOf": list(shapes)}
    linked = {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers}} if headers else {}
    return {"description": told, "content": {"application/json": {"schema": schema}}, **linked}


def _told(kinds: Kinds) -> str:
    """Return the codes, each with the first sentence that the code has on it."""
    reasons: dict[str, list[str]] = {}
    for kind in kinds:
        reasons.setdefault(kind.code, []).append((inspect.getdoc(kind) or "").split("\n\n")[0])
    return "\n".join(f"- `{code}`: {' Or: '.join(dict.fromkeys(each))}" for code, each in reasons.items())


_HEADERS: Final[Mapping[str, tuple[int, ...]]] = {
    "Allow": (405,),
    "Retry-After": _TELLS_WHEN,
    "WWW-Authenticate": (401,),
}
