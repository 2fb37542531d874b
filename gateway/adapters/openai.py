"""The adapter for OpenAI and whatever speaks like it: bodies and events are relayed byte for byte."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import orjson

from gateway.adapters import addressing
from gateway.adapters.base import HttpAdapter, once_written
from gateway.adapters.transport import Outgoing
from gateway.conversation import Conversation, Piece
from gateway.exchange import CHAT, COMPLETION, EMBEDDING, RESPONSES, Finish, Request
from gateway.wire import chat, chat_stream, omission, openai, responses_relay
from registry.snapshot import ModelFacts, ProviderFacts

# By the caller's format: which endpoint speaks it, as a provider's row names it, and where that is.
_ENDPOINTS: Final = {
    CHAT: ("chat", "chat/completions"),
    COMPLETION: ("completions", "completions"),
    EMBEDDING: ("embeddings", "embeddings"),
    RESPONSES: ("responses", "responses"),
}


class OpenAIAdapter(HttpAdapter):
    """Speaks chat completions, and text completions with models for them.

    A base URL may end before `/v1` or go beyond it. What else differs is said by the provider's row.
    """

    limit: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    """Where the limit of a translated chat stands if the row does not say."""

    def probe(self, provider: ProviderFacts) -> Outgoing | None:
        """Ask for the list of models, where there is a place for it."""
        if not addressing.has_place(provider):
            return None
        where = addressing.url(provider, endpoint_base(provider), "models")
        return Outgoing(where, addressing.credentials(provider), method="GET")

    def relays(self, request: Request, model: ModelFacts) -> bool:
        """Relay what the provider has an endpoint for, but completions only to models that refuse chats."""
        if request.format == COMPLETION and "chat" in model.capabilities:
            return False
        return _has_endpoint(model, request.format)

    def obstacle(self, request: Request, model: ModelFacts) -> str:
        """Return also which endpoint is missing: what is not relayed is asked as a chat, which vectors cannot be."""
        needed = EMBEDDING if request.format == EMBEDDING else CHAT
        if self.relays(request, model) or _has_endpoint(model, needed):
            return super().obstacle(request, model)
        return f"provider {model.provider.name} has no {_ENDPOINTS[needed][0]} endpoint"

    def dropped(self, request: Request, model: ModelFacts) -> Sequence[str]:
        """Return what a translation leaves out, and what the provider refuses of a body."""
        lost = super().dropped(request, model)
        refused = model.provider.unsupported
        if not refused:
            return lost
        body = request.fields if self.relays(request, model) else self._chat(request, model)
        if request.stream and body is not request.fields:  # of which the gateway asks for itself
            body = {name: value for name, value in body.items() if name not in {"stream", "stream_options"}}
        return tuple(dict.fromkeys((*lost, *omission.present(body, refused))))

    def losses(self, conversation: Conversation, model: ModelFacts) -> Sequence[str]:
        """Return what a chat has no place for."""
        return chat.losses(conversation, hints=model.provider.cache_control, back=model.provider.reasoning_back)

    def outgoing(self, request: Request, model: ModelFacts) -> Outgoing:
        """Return the caller's body under the provider's name of the model, or the conversation as a chat."""
        refused = model.provider.unsupported
        if request.format == RESPONSES and self.relays(request, model):
            return _post(model, RESPONSES, responses_relay.write_relayed(request, model.name, unsupported=refused))
        if self.relays(request, model):
            limit = model.provider.limit_field
            body = openai.write_relayed(request, model.name, unsupported=refused, limit=limit)
            return _post(model, request.format, body)
        asked = self._chat(request, model)
        return _post(model, CHAT, orjson.dumps(omission.without(asked, refused)))

    def _chat(self, request: Request, model: ModelFacts) -> dict[str, Any]:
        def write(conversation: Conversation) -> dict[str, Any]:
            return chat.write_conversation(
                conversation,
                model=model.name,
                stream=request.stream,
                limit=model.provider.limit_field or self.limit,
                hints=model.provider.cache_control,
                back=model.provider.reasoning_back,
            )

        return once_written(write, request, model)

    def reader(self, request: Request, model: ModelFacts) -> chat_stream.StreamReader:
        """Return a reader of chat completion chunks."""
        return chat_stream.StreamReader()

    def read_answer(self, raw: bytes, request: Request, model: ModelFacts) -> Iterable[Piece | Finish]:
        """Return the pieces of a chat completion."""
        return chat_stream.read_answer(raw)


def endpoint_base(provider: ProviderFacts) -> str:
    """Return the URL under which the endpoints are: a base without a path gets the `/v1` that all such servers have."""
    return provider.base_url if urlsplit(provider.base_url).path.strip("/") else f"{provider.base_url.rstrip('/')}/v1"


def _has_endpoint(model: ModelFacts, form: str) -> bool:
    return form in _ENDPOINTS and _ENDPOINTS[form][0] in model.provider.endpoints


def _post(model: ModelFacts, form: str, body: bytes) -> Outgoing:
    provider = model.provider
    where = addressing.url(provider, endpoint_base(provider), _ENDPOINTS[form][1], model=model.name)
    return Outgoing(where, addressing.credentials(provider), body)
