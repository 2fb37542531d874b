"""The adapter for Anthropic and whatever speaks its Messages API."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypedDict
from urllib.parse import urlsplit

import orjson

from gateway import tokens
from gateway.adapters import addressing
from gateway.adapters.base import HttpAdapter, once_written
from gateway.adapters.transport import Outgoing
from gateway.conversation import Conversation, Piece, Untranslatable
from gateway.errors import InvalidRequest
from gateway.exchange import MESSAGES, Finish, Request
from gateway.wire import anthropic, anthropic_stream, messages, omission
from registry.models import Capability
from registry.snapshot import ModelFacts, ProviderFacts

_VERSION: Final = "2023-06-01"
_BETA: Final = "anthropic-beta"


class AnthropicAdapter(HttpAdapter):
    """Speaks Messages. A row's base URL may end before `/v1` or with it.

    A model whose capabilities name `json` takes the schema of an answer as Anthropic's newer models do
    (`output_config.format`); any other is asked for JSON by a tool that it has to call, see `wire.anthropic_manner`.
    """

    def obstacle(self, request: Request, model: ModelFacts) -> str:
        """Return why a conversation cannot be said in Messages, such as arguments of a call that are no object."""
        if self.relays(request, model):
            return ""
        return super().obstacle(request, model) or request.conversation.derived(anthropic.obstacle)

    def prepare(self, request: Request) -> None:
        """Judge the conversation as well."""
        super().prepare(request)
        with suppress(Untranslatable, InvalidRequest):
            request.conversation.derived(anthropic.obstacle)

    def serves(self, request: Request, model: ModelFacts) -> frozenset[str]:
        """Return `json` of a translated request where the model calls tools: its answer can be the arguments of one."""
        can = Capability.TOOLS in model.capabilities and not self.relays(request, model)
        return frozenset({Capability.JSON}) if can else frozenset()

    def losses(self, conversation: Conversation, model: ModelFacts) -> Sequence[str]:
        """Return what Messages have no place for."""
        return anthropic.losses(conversation, **_told(conversation, model))

    def relays(self, request: Request, model: ModelFacts) -> bool:
        """Relay messages."""
        return request.format == MESSAGES

    def outgoing(self, request: Request, model: ModelFacts) -> Outgoing:
        """Return the caller's message under the provider's name of the model, or the conversation as one."""
        refused = model.provider.unsupported
        if self.relays(request, model):
            body = messages.write_relayed(request, model.name, room=_room(request, model), unsupported=refused)
        else:
            body = orjson.dumps(omission.without(_message(request, model), refused))
        return self._post(request, model, "messages", body)

    def _post(self, request: Request, model: ModelFacts, endpoint: str, body: bytes) -> Outgoing:
        where = addressing.url(model.provider, _root(model.provider), endpoint, model=model.name)
        return Outgoing(where, {**_headers(model.provider), **_forwarded(request, model.provider)}, body)

    def dropped(self, request: Request, model: ModelFacts) -> Sequence[str]:
        """Return what a translation leaves out or a limit changes, and what the provider refuses of it."""
        lost = super().dropped(request, model)
        if self.relays(request, model) and messages.thinking_within(request, _room(request, model)):
            lost = (*lost, "thinking")
        refused = model.provider.unsupported
        if not refused:
            return lost
        body = request.fields if self.relays(request, model) else _message(request, model)
        return (*lost, *omission.present(body, refused))

    def probe(self, provider: ProviderFacts) -> Outgoing | None:
        """Ask for the list of models, where there is a place for it."""
        if not addressing.has_place(provider):
            return None
        return Outgoing(addressing.url(provider, _root(provider), "models"), _headers(provider), method="GET")

    def counts(self, request: Request, model: ModelFacts) -> Outgoing | None:
        """Ask how many tokens a message takes, which costs nothing; None for what is no message."""
        if not self.relays(request, model):
            return None
        question = messages.write_question(request, model.name, unsupported=model.provider.unsupported)
        return self._post(request, model, "messages/count_tokens", question)

    def reader(self, request: Request, model: ModelFacts) -> anthropic_stream.StreamReader:
        """Return a reader of Anthropic's events."""
        return anthropic_stream.StreamReader(_form_tool(request, model))

    def read_answer(self, raw: bytes, request: Request, model: ModelFacts) -> Iterable[Piece | Finish]:
        """Return the pieces of a message."""
        return anthropic_stream.read_answer(raw, _form_tool(request, model))


class _Told(TypedDict):
    max_tokens: int
    native_json: bool


def _told(conversation: Conversation, model: ModelFacts) -> _Told:
    """Return what the writer of a message has to know of its model."""
    room = tokens.room(conversation.max_tokens, model.max_output_tokens, model.context_size)
    return {"max_tokens": room, "native_json": Capability.JSON in model.capabilities}


def _form_tool(request: Request, model: ModelFacts) -> str:
    asked = request.conversation.get()
    return anthropic.form_tool(asked, **_told(asked, model))


def _message(request: Request, model: ModelFacts) -> dict[str, Any]:
    def write(conversation: Conversation) -> dict[str, Any]:
        told = _told(conversation, model)
        return anthropic.write_conversation(conversation, model=model.name, stream=request.stream, **told)

    return once_written(write, request, model)


def _room(request: Request, model: ModelFacts) -> int:
    return tokens.room(request.max_tokens, model.max_output_tokens, model.context_size)


def _root(provider: ProviderFacts) -> str:
    version = "" if urlsplit(provider.base_url).path.rstrip("/").endswith("/v1") else "/v1"
    return f"{provider.base_url}{version}"


def _forwarded(request: Request, provider: ProviderFacts) -> dict[str, str]:
    """Return the caller's headers but for those that the provider's row sets; the betas of both stand together."""
    own = {name.lower(): value for name, value in provider.extra_headers}
    told = {
        name: value for name, value in request.forwarded.items() if name not in {*own, provider.auth_header.lower()}
    }
    if _BETA in request.forwarded:
        told[_BETA] = ",".join(filter(None, [own.get(_BETA), request.forwarded[_BETA]]))
    return told


def _headers(provider: ProviderFacts) -> dict[str, str]:
    return {"anthropic-version": _VERSION, **addressing.credentials(provider)}
