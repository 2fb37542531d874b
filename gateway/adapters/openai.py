"""The adapter for OpenAI and whatever speaks like it: bodies and events are relayed byte for byte."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import orjson

from gateway.adapters import addressing
from gateway.adapters.base import HttpAdapter
from gateway.adapters.transport import Outgoing
from gateway.conversation import Conversation, Piece
from gateway.exchange import CHAT, COMPLETION, EMBEDDING, RESPONSES, Finish, Request
from gateway.wire import chat, chat_stream, omission, openai, responses_relay
from registry.snapshot import ModelFacts, ProviderFacts

_PATHS: Final = {CHAT: "chat/completions", COMPLETION: "completions", EMBEDDING: "embeddings", RESPONSES: "responses"}
_OWN_ENDPOINTS: Final = {EMBEDDING: "embeddings", RESPONSES: "responses"}


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
        """Relay chats, what the provider has an endpoint for, and completions to models that refuse chats."""
        if request.format == COMPLETION:
            return "chat" not in model.capabilities and "completions" in model.provider.endpoints
        if request.format in _OWN_ENDPOINTS:
            return _OWN_ENDPOINTS[request.format] in model.provider.endpoints
        return request.format == CHAT

    def dropped(self, request: Request, model: ModelFacts) -> Sequence[str]:
        """Return what a translation leaves out, and what the provider refuses of a body."""
        lost = super().dropped(request, model)
        refused = model.provider.unsupported
        if not refused:
            return lost
        body = request.fields if self.relays(request, model) else self._chat(request, model, stream=False)
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
        asked = self._chat(request, model, stream=request.stream)
        return _post(model, CHAT, orjson.dumps(omission.without(asked, refused)))

    def _chat(self, request: Request, model: ModelFacts, *, stream: bool) -> dict[str, Any]:
        limit = model.provider.limit_field or self.limit
        return chat.write_conversation(
            request.conversation.get(),
            model=model.name,
            stream=stream,
            limit=limit,
            hints=model.provider.cache_control,
            back=model.provider.reasoning_back,
        )

    def reader(self, request: Request, model: ModelFacts) -> chat_stream.StreamReader:
        """Return a reader of chat completion chunks."""
        return chat_stream.StreamReader()

    def read_answer(self, raw: bytes, request: Request, model: ModelFacts) -> Iterable[Piece | Finish]:
        """Return the pieces of a chat completion."""
        return chat_stream.read_answer(raw)


def endpoint_base(provider: ProviderFacts) -> str:
    """Return the URL under which the endpoints are: a base without a path gets the `/v1` that all such servers have."""
    return provider.base_url if urlsplit(provider.base_url).path.strip("/") else f"{provider.base_url.rstrip('/')}/v1"


def _post(model: ModelFacts, form: str, body: bytes) -> Outgoing:
    provider = model.provider
    where = addressing.url(provider, endpoint_base(provider), _PATHS[form], model=model.name)
    return Outgoing(where, addressing.credentials(provider), body)
