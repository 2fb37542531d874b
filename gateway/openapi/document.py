"""The document itself: the tables beside it put together, once.

Source: the OpenAPI specification, version 3.1.
"""

from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, Final

import orjson

from gateway.exchange import Once
from gateway.openapi import answers, bodies, parts, refusals, routing
from gateway.openapi.endpoints import ENDPOINTS, Endpoint
from gateway.openapi.schemas import Schema, constant, either, ref, text, thing, whole

_ABOUT: Final = """\
One URL for every language model: any client speaks its own format to any provider.

The fields that are described are those that the gateway itself reads; all others are passed on to a provider that \
speaks the caller's format. Every refusal has the shape of its endpoint, OpenAI's or Anthropic's, and an id. What is \
no endpoint below `/v1/` is refused with 404 and the code `not_found`. Every address answers OPTIONS, and HEAD where \
it answers GET. From the first key on, callers need one; until then, whatever is sent as a key is ignored."""
_OF_STREAMS: Final = "or events, where `stream` is true; they may have comments such as `: ping` between them"

_KEY: Final = "A key of this gateway, which begins with `th_`."
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": _KEY},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": _KEY},
}
_NO_KEY: Final[dict[str, list[str]]] = {}
_SECURITY: Final = [{"bearer": []}, {"x-api-key": []}, _NO_KEY]
HEADERS: Final[Mapping[str, Schema]] = {
    "x-tokenhub-request-id": text("The id of the request, which the log has as well."),
    "x-request-id": text("The same, where the official clients look for it."),
    "request-id": text("The same, where Anthropic's clients look for it."),
    "x-tokenhub-decision": text("The id of the decision about the request."),
    "x-tokenhub-attempts": whole("How many tries at providers there were.", minimum=0),
    "x-tokenhub-provider": text("The provider that answered, or the last that did not."),
    "x-tokenhub-model": text("The model that answered, or the last that did not."),
    "x-tokenhub-upstream-request-id": text("The provider's own id of the request."),
    "x-tokenhub-dropped-params": text("Fields that were left out or changed, between commas."),
    "x-tokenhub-cost-usd": text("US dollars; of a whole answer only.", pattern=r"^\d+\.\d{6}$"),
    **{
        f"x-ratelimit-{what}-{kind}": text(about.format(kind))
        for kind in ("requests", "tokens")
        for what, about in (
            ("limit", "How many {} there may be in any 60 seconds, of the narrowest limit."),
            ("remaining", "How many {} are left of it."),
            ("reset", "When all of them will be, such as `12s`."),
        )
    },
    "x-tokenhub-idempotent-replay": text("Whether this was answered before.", enum=["true"]),
    "x-should-retry": text("Whether the official clients should ask again.", enum=["false"]),
    "Retry-After": whole("Seconds after which another try may help.", minimum=1),
    "Allow": text("The methods that there are."),
    "WWW-Authenticate": text("How a key is sent.", enum=["Bearer"]),
}
_ALWAYS: Final = ("x-tokenhub-request-id", "x-request-id")
_OF_ANTHROPIC: Final = ("request-id",)
_OF_MODELS: Final = tuple(
    name for name in HEADERS if name.startswith(("x-tokenhub-", "x-ratelimit-")) and name not in _ALWAYS
)
_REFUSED: Final = ("x-should-retry",)

_AGAIN: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": text(minLength=1, maxLength=255, pattern="^[ -~]+$"),
    "description": "Of whole answers: what is sent again under the same key within a day is asked of nobody again.",
}
_PARAMETERS: Final = {header["name"]: header for header in (*routing.headers(), _AGAIN)}
SCHEMAS: Final[Mapping[str, Schema]] = {
    **bodies.SCHEMAS,
    **parts.CHAT,
    **parts.MESSAGES,
    **parts.RESPONSES,
    **answers.SCHEMAS,
    **refusals.SCHEMAS,
}


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "TokenHub", "version": metadata.version("tokenhub"), "description": _ABOUT},
        "servers": [{"url": "/", "description": "This server."}],
        "security": _SECURITY,
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in ENDPOINTS)],
        "paths": {endpoint.path: {endpoint.method: _operation(endpoint)} for endpoint in ENDPOINTS},
        "components": {
            "schemas": SCHEMAS,
            "parameters": _PARAMETERS,
            "securitySchemes": _SCHEMES,
            "headers": {name: _header(name, schema) for name, schema in HEADERS.items()},
        },
    }


written: Final = Once(lambda: orjson.dumps(document()))
"""The document as JSON, which is made when it is first asked for."""


def _header(name: str, schema: Schema) -> dict[str, Any]:
    bare = {key: value for key, value in schema.items() if key != "description"}
    return {"description": schema["description"], "required": name in _ALWAYS, "schema": bare}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [
        *({"name": name, "in": "path", "required": True, "schema": schema} for name, schema in _of_path(endpoint)),
        *({"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS if endpoint.body),
        *endpoint.headers,
    ]
    told: dict[str, Any] = {"operationId": endpoint.name, "tags": [endpoint.tag], "summary": endpoint.summary}
    told |= {"description": endpoint.about} if endpoint.about else {}
    told |= {"parameters": parameters} if parameters else {}
    told |= {"security": [_NO_KEY]} if endpoint.is_public or endpoint.is_plain else {}
    if endpoint.body:
        content = {"schema": ref(endpoint.body), "example": bodies.EXAMPLES[endpoint.body]}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    return told | {"responses": _responses(endpoint)}


def _of_path(endpoint: Endpoint) -> Iterable[tuple[str, Schema]]:
    return (endpoint.path_parameters or {}).items()


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    own = () if endpoint.is_plain else (*_ALWAYS, *(_OF_MODELS if endpoint.body else ()))
    own += _OF_ANTHROPIC if "AnthropicError" in endpoint.shapes else ()
    told = {"200": _linked(_answer(endpoint), own)}
    for status, (schema, meaning) in (endpoint.also or {}).items():
        told[str(status)] = {"description": meaning, "content": {"application/json": {"schema": ref(schema)}}}
    if endpoint.is_plain:
        return told | {"405": _linked({"description": "There is only GET and HEAD."}, ("Allow",))}
    kinds = (*refusals.GATE, *endpoint.refusals)
    for code, response in refusals.responses(kinds, endpoint.shapes, relayed=endpoint.relayed):
        told[code] = _linked(response, (*own, *(_REFUSED if endpoint.body else ())))
    return told


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if "/" in endpoint.answer:
        return {"description": "The page.", "content": {endpoint.answer: {"schema": {"type": "string"}}}}
    content: dict[str, Any] = {"application/json": {"schema": ref(endpoint.answer)}}
    if endpoint.events:
        events = either(*(_event(name, data) for name, data in endpoint.events), about="One event of the stream.")
        content["text/event-stream"] = {"schema": events}
    return {"description": f"The answer{f', {_OF_STREAMS}' if endpoint.events else ''}.", "content": content}


def _event(name: str, data: Schema) -> Schema:
    """Return an event, which has a name where there is one, and whose data is a text or a JSON."""
    written = data if "const" in data else text(contentMediaType="application/json", contentSchema=data)
    return thing({"event": constant(name), "data": written} if name else {"data": written})


def _linked(response: Mapping[str, Any], headers: Iterable[str]) -> dict[str, Any]:
    """Return a response with the headers that it may have."""
    linked = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return {**response, "headers": {**linked, **response.get("headers", {})}}
