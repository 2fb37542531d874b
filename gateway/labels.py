"""The names under which calls are told to machines: few of them, and none that a caller could choose."""

from typing import Final

OTHER: Final = "other"
_ENDPOINTS: Final = frozenset(
    f"/v1/{name}"
    for name in (
        *("chat/completions", "completions", "responses", "embeddings", "messages", "messages/count_tokens"),
        *("adversarial", "models", "usage", "openapi.json", "docs"),
    )
)
_WITH_A_NAME: Final = ("/v1/models/", "/v1/decisions/")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS"})
_OPERATIONS: Final = {"/v1/completions": "text_completion", "/v1/embeddings": "embeddings"}


def endpoint(asked: str) -> str:
    """Return the path of the endpoint that "METHOD path" means, names in it left out; `other` where there is none."""
    path = asked.partition(" ")[2]
    if path in _ENDPOINTS:
        return path
    return next((f"{start}{{name}}" for start in _WITH_A_NAME if path.startswith(start)), OTHER)


def method(asked: str) -> str:
    """Return the method of "METHOD path"; `_OTHER` for one that no endpoint has."""
    name = asked.partition(" ")[0]
    return name if name in _METHODS else "_OTHER"


def operation(route: str) -> str:
    """Return what an endpoint asks of a model, in the words of OpenTelemetry's conventions."""
    return _OPERATIONS.get(route, "chat")
