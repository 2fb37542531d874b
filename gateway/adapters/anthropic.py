"""The adapter for Anthropic and whatever speaks its Messages API."""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import orjson

from gateway import tokens
from gateway.adapters.base import HttpAdapter
from gateway.adapters.transport import Outgoing
from gateway.conversation import Conversation, Piece
from gateway.exchange import Finish, Request
from gateway.wire import anthropic, anthropic_stream
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
        room = tokens.room(request.max_tokens, model.max_output_tokens, model.context_size)
        body = anthropic.write_conversation(
            request.conversation.get(), model=model.name, stream=request.stream, max_tokens=room
        )
        return Outgoing(_url(model.provider, "messages"), _credentials(model.provider), orjson.dumps(body))

    def probe(self, provider: ProviderFacts) -> Outgoing:
        """Ask for the list of models."""
        return Outgoing(_url(provider, "models"), _credentials(provider), method="GET")

    def reader(self) -> anthropic_stream.StreamReader:
        """Return a reader of Anthropic's events."""
        return anthropic_stream.StreamReader()

    def read_answer(self, raw: bytes) -> Iterable[Piece | Finish]:
        """Return the pieces of a message."""
        return anthropic_stream.read_answer(raw)


def _url(provider: ProviderFacts, path: str) -> str:
    version = "" if urlsplit(provider.base_url).path.rstrip("/").endswith("/v1") else "/v1"
    return f"{provider.base_url}{version}/{path}"


def _credentials(provider: ProviderFacts) -> dict[str, str]:
    return {"anthropic-version": _VERSION} | ({"x-api-key": provider.key.reveal()} if provider.key else {})
