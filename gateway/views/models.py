"""`GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape, or in Anthropic's for its clients."""

from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpResponse
from rest_framework.request import Request as RestRequest

from gateway import flows
from gateway.errors import GatewayError, ModelNotFound
from gateway.router import AUTO, is_callable
from gateway.views.base import GatewayView
from gateway.wire import anthropic, openai
from registry.snapshot import AliasFacts, ModelFacts, Snapshot, keeper

_OWN: Final = "tokenhub"


class _Models(GatewayView):
    """What both have in common: the shape that the caller speaks, who says so by a header."""

    @property
    def _is_anthropics(self) -> bool:
        return "anthropic-version" in self.request.headers

    def shape(self, error: GatewayError) -> dict[str, Any]:
        """Return an error in the caller's shape."""
        return anthropic.error_body(error, self.call.id) if self._is_anthropics else super().shape(error)

    def answer_headers(self) -> dict[str, str]:
        """Return the headers of an answer, for Anthropic's clients with its name for the id."""
        return super().answer_headers() | ({"request-id": self.call.id} if self._is_anthropics else {})

    def _write(self, name: str, *, created: int = 0, owner: str = _OWN) -> dict[str, Any]:
        """Write a model; what is no single model of a provider has no date of its own."""
        if self._is_anthropics:
            return anthropic.write_model(name, created=created)
        return openai.write_model(name, created=created, owner=owner)

    def _write_model(self, model: ModelFacts) -> dict[str, Any]:
        return self._write(model.id, created=model.created, owner=model.provider.name)


class ModelList(_Models):
    """The models that can be called now, the aliases of several, `auto`, and the virtual ones."""

    def get(self, request: RestRequest) -> HttpResponse:
        """Return them by id."""
        snapshot = keeper.current()
        listed = [self._write_model(model) for model in snapshot.models if is_callable(model)]
        groups = [self._write(alias.name) for alias in snapshot.aliases.values() if _is_callable(alias)]
        names = (AUTO, *(f"{flows.PREFIX}{name}" for name in flows.FLOWS))
        virtual = [self._write(name) for name in names if listed]
        data = [*listed, *groups, *virtual]
        return self.json(anthropic.write_models(data) if self._is_anthropics else {"object": "list", "data": data})


class ModelDetail(_Models):
    """One model, by its id, an alias or `auto`, be it a virtual one."""

    def get(self, request: RestRequest, name: str) -> HttpResponse:
        """Return it; 404 when it does not exist or cannot be called."""
        if flows.named(name):
            return self.json(self._write(name))
        snapshot = keeper.current()
        found = [model for model in _meant(name, snapshot) if is_callable(model)]
        if not found:
            raise ModelNotFound(f"The model {name!r} does not exist.", param="model")
        return self.json(self._write_model(found[0]) if name == found[0].id else self._write(name))


def _meant(name: str, snapshot: Snapshot) -> Sequence[ModelFacts]:
    return snapshot.models if name == AUTO else snapshot.named(name)


def _is_callable(alias: AliasFacts) -> bool:
    return any(is_callable(model) for model, _ in alias.targets)
