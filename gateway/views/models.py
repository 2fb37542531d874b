"""`GET /v1/models` and `GET /v1/models/{id}`."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request as RestRequest

from gateway import flows
from gateway.errors import ModelNotFound
from gateway.router import is_callable
from gateway.views.base import GatewayView
from gateway.wire import openai
from registry.snapshot import AliasFacts, ModelFacts, keeper


class ModelList(GatewayView):
    """The models that can be called now, the aliases of several, and the virtual ones."""

    def get(self, request: RestRequest) -> HttpResponse:
        """Return them in OpenAI's shape, by id."""
        snapshot = keeper.current()
        listed = [_write(model) for model in snapshot.models if is_callable(model)]
        groups = [_write_own(alias.name) for alias in snapshot.aliases.values() if _is_callable(alias)]
        virtual = [_write_own(f"{flows.PREFIX}{name}") for name in flows.FLOWS if listed]
        return self.json({"object": "list", "data": [*listed, *groups, *virtual]})


class ModelDetail(GatewayView):
    """One model, by its id or an alias, be it a virtual one."""

    def get(self, request: RestRequest, name: str) -> HttpResponse:
        """Return it in OpenAI's shape; 404 when it does not exist or cannot be called."""
        if flows.named(name):
            return self.json(_write_own(name))
        found = [model for model in keeper.current().named(name) if is_callable(model)]
        if not found:
            raise ModelNotFound(f"The model {name!r} does not exist.", param="model")
        return self.json(_write(found[0]))


def _write(model: ModelFacts) -> dict[str, Any]:
    return openai.write_model(model.id, created=model.created, owner=model.provider.name)


def _is_callable(alias: AliasFacts) -> bool:
    return any(is_callable(model) for model, _ in alias.targets)


def _write_own(name: str) -> dict[str, Any]:
    """Write what is no single model of a provider, and has no date of its own."""
    return openai.write_model(name, created=0, owner="tokenhub")
