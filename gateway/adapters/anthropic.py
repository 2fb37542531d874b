"""The adapter for Anthropic and whatever speaks its Messages API."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from gateway import tokens
from gateway.adapters import addressing
from gateway.adapters.base import HttpAdapter
from gateway.adapters.transport import Outgoing
from gateway.conversation import Conversation, Piece
from gateway.exchange import Finish, Request
from gateway.wire import anthropic, anthropic_stream, omission
from registry.snapshot import ModelFacts, ProviderFacts

_VERSION: Final = "2023-06-01"


class AnthropicAdapter(HttpAdapter):
    """Speaks Messages. A row's base URL may end before `/v1` or with it."""

    def obstacle(self, request: Request, model: ModelFacts) -> str:
        """Return why a conversation cannot be said in Messages, such as arguments of a call that are no object."""
        return super().obstacle(request, model) or anthropic.obstacle(request.conversation.get())

    def losses(self, conversation: Conversation) -> Sequence[str]:
        """Return what Messages have no place for."""
        return anthropic.losses(conversation)

    def outgoing(self, request: Request, model: ModelFacts) -> Outgoing:
        """Return the conversation as a message."""
        body = omission.without(_message(request, model), model.provider.unsupported)
        where = addressing.url(model.provider, _root(model.provider), "messages", model=model.name)
        return Outgoing(where, _headers(model.provider), orjson.dumps(body))

    def dropped(self, request: Request, model: ModelFacts) -> Sequence[str]:
        """Return what a translation leaves out, and what the provider refuses of it."""
        lost = super().dropped(request, model)
        refused = model.provider.unsupported
        return (*lost, *omission.present(_message(request, model), refused)) if refused else lost

    def probe(self, provider: ProviderFacts) -> Outgoing | None:
        """Ask for the list of models, where there is a place for it."""
        if not addressing.has_place(provider):
            return None
        return Outgoing(addressing.url(provider, _root(provider), "models"), _headers(provider), method="GET")

    def reader(self) -> anthropic_stream.StreamReader:
        """Return a reader of Anthropic's events."""
        return anthropic_stream.StreamReader()

    def read_answer(self, raw: bytes) -> Iterable[Piece | Finish]:
        """Return the pieces of a message."""
        return anthropic_stream.read_answer(raw)


def _message(request: Request, model: ModelFacts) -> dict[str, Any]:
    room = tokens.room(request.max_tokens, model.max_output_tokens, model.context_size)
    asked = request.conversation.get()
    return anthropic.write_conversation(asked, model=model.name, stream=request.stream, max_tokens=room)


def _root(provider: ProviderFacts) -> str:
    version = "" if urlsplit(provider.base_url).path.rstrip("/").endswith("/v1") else "/v1"
    return f"{provider.base_url}{version}"


def _headers(provider: ProviderFacts) -> dict[str, str]:
    return {"anthropic-version": _VERSION, **addressing.credentials(provider)}
