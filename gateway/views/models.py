"""`GET /v1/models` and `GET /v1/models/{id}`."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request as RestRequest

from gateway.errors import ModelNotFound
from gateway.router import is_callable
from gateway.views.base import GatewayView
from gateway.wire import openai
from registry.snapshot import ModelFacts, keeper


class ModelList(GatewayView):
    """The models that can be called now."""

    def get(self, request: RestRequest) -> HttpResponse:
        """Return them in OpenAI's shape, by id."""
        listed = [_write(model) for model in keeper.current().models if is_callable(model)]
        return self.json({"object": "list", "data": listed})


class ModelDetail(GatewayView):
    """One model, by its id or an alias."""

    def get(self, request: RestRequest, name: str) -> HttpResponse:
        """Return it in OpenAI's shape; 404 when it does not exist or cannot be called."""
        found = [model for model in keeper.current().named(name) if is_callable(model)]
        if not found:
            raise ModelNotFound(f"The model {name!r} does not exist.", param="model")
        return self.json(_write(found[0]))


def _write(model: ModelFacts) -> dict[str, Any]:
    return openai.write_model(model.id, created=model.created, owner=model.provider.name)
