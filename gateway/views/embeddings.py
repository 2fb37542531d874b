"""`POST /v1/embeddings`, in OpenAI's format."""

from collections.abc import Mapping
from typing import Any

from accounts.models import Scope
from gateway import flows
from gateway.errors import InvalidRequest
from gateway.exchange import Policy, Request
from gateway.views.chat import ModelView
from gateway.wire import embeddings


class Embeddings(ModelView):
    """Vectors of texts, by the model that is named and no other."""

    scope = Scope.EMBEDDINGS

    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> Request:
        """Return what a body asks for."""
        asked = embeddings.read_embedding(raw, body, wishes)
        if flows.named(asked.model):
            raise InvalidRequest("A flow makes no embeddings.", param="model")
        return asked
