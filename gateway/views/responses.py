"""`POST /v1/responses`, in OpenAI's format and without a state."""

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

from accounts.models import Scope
from gateway.errors import GatewayError
from gateway.exchange import Policy, Request
from gateway.patience import Patience
from gateway.views.chat import ModelView
from gateway.wire import responses_relay
from gateway.wire.responses_writers import StreamEnd


class Responses(ModelView):
    """A response, streamed or whole."""

    scope = Scope.RESPONSES

    end: StreamEnd

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Request:
        """Return the response that a body asks for."""
        self.end = StreamEnd()
        return responses_relay.read_request(raw, body, wishes)

    def produce(self, asked: Request, patience: Patience) -> Generator[bytes]:
        """Yield the bytes of an answer; of a stream it is followed how far it came."""
        with closing(super().produce(asked, patience)) as pieces:
            for piece in pieces:
                if asked.stream:
                    self.end.see(piece)
                yield piece

    def error_event(self, error: GatewayError) -> bytes:
        """Return the event that ends a stream which failed."""
        return self.end.error_event(error)
