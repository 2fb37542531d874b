"""`POST /v1/messages` and `POST /v1/messages/count_tokens`, in Anthropic's format."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
from django.http import HttpResponse

from accounts.models import Scope
from gateway import counting
from gateway.adapters.transport import transport
from gateway.errors import GatewayError, Overloaded
from gateway.exchange import Policy, Request
from gateway.patience import Patience
from gateway.views.chat import ModelView
from gateway.wire import anthropic, messages, sse

_OVERLOADS: Final = frozenset({503, anthropic.OVERLOADED})


class Messages(ModelView):
    """A message, streamed or whole."""

    scope = Scope.MESSAGES

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Request:
        """Return the message that a body asks for."""
        return messages.read_message(raw, body, wishes, self.request.headers)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]  # bytes, not a DRF Response
        """Answer; where all who were asked had too much to do, with the status that Anthropic has for it."""
        if isinstance(exc, Overloaded) and all(tried.status in _OVERLOADS for tried in self.call.attempts):
            exc.status = anthropic.OVERLOADED
        return super().handle_exception(exc)

    def shape(self, error: GatewayError) -> dict[str, Any]:
        """Return an error in Anthropic's shape."""
        return anthropic.error_body(error, self.call.id)

    def error_event(self, error: GatewayError) -> bytes:
        """Return an error as the last event of a stream."""
        return sse.event(orjson.dumps(self.error_body(error)), name=b"error")

    def answer_headers(self) -> dict[str, str]:
        """Return the headers of an answer, with Anthropic's name for the id."""
        return {**super().answer_headers(), "request-id": self.call.id}


class CountTokens(Messages):
    """How many tokens a message would take: as its provider counts them, or else about."""

    is_booked = False

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Request:
        """Return the message that a body asks about, whose answer is never a stream."""
        return replace(super().read(raw, body, wishes), stream=False)

    def produce(self, asked: Request, patience: Patience) -> Generator[bytes]:
        """Yield the number."""
        counted = counting.count(asked, self.snapshot, patience, transport=transport, call=self.call)
        yield orjson.dumps({"input_tokens": counted})
