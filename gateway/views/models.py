"""`GET /v1/models` and `GET /v1/models/{id}`, in OpenAI's shape, or in Anthropic's for its clients."""

from collections.abc import Sequence
from typing import Any, Final

from django.http import HttpResponse
from rest_framework.request import Request as RestRequest

from gateway import flows
from gateway.errors import GatewayError, ModelNotFound
from gateway.lineup import AUTO, is_callable
from gateway.views.base import GatewayView
from gateway.wire import anthropic, openai
from registry.snapshot import AliasFacts, ModelFacts, Snapshot

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

    def _write(self, name: str, models: Sequence[ModelFacts] = (), *, owner: str = _OWN) -> dict[str, Any]:
        """Write what answers under a name: it can do what the best of its models can, and is as old as the newest."""
        created = max((model.created for model in models), default=0)
        if not self._is_anthropics:
            return openai.write_model(name, created=created, owner=owner)
        window = max((model.context_size for model in models), default=None)
        most = max((model.max_output_tokens or 0 for model in models), default=0)
        return anthropic.write_model(name, created=created, max_input_tokens=window, max_tokens=most or None)

    def _write_model(self, model: ModelFacts) -> dict[str, Any]:
        return self._write(model.id, [model], owner=model.provider.name)


class ModelList(_Models):
    """The models that can be called now, the aliases of several, `auto`, and the virtual ones."""

    def get(self, request: RestRequest) -> HttpResponse:
        """Return them by id."""
        snapshot = self.snapshot
        models = [model for model in snapshot.models if is_callable(model)]
        listed = [self._write_model(model) for model in models]
        aliases = [(name, found) for name in snapshot.names if (found := _behind(snapshot.alias(name)))]
        groups = [self._write(name, found) for name, found in aliases]
        names = (AUTO, *(f"{flows.PREFIX}{name}" for name in flows.FLOWS))
        virtual = [self._write(name, models) for name in names if listed]
        data = [*listed, *groups, *virtual]
        page = anthropic.write_models(data, request.GET.dict()) if self._is_anthropics else None
        return self.json(page or {"object": "list", "data": data})


class ModelDetail(_Models):
    """One model, by its id, an alias or `auto`, be it a virtual one."""

    def get(self, request: RestRequest, name: str) -> HttpResponse:
        """Return it; 404 when it does not exist or cannot be called."""
        snapshot = self.snapshot
        if flows.named(name):
            return self.json(self._write(name, [model for model in snapshot.models if is_callable(model)]))
        found = [model for model in _meant(name, snapshot) if is_callable(model)]
        if not found:
            raise ModelNotFound(f"The model {name!r} does not exist.", param="model")
        return self.json(self._write_model(found[0]) if name == found[0].id else self._write(name, found))


def _meant(name: str, snapshot: Snapshot) -> Sequence[ModelFacts]:
    return snapshot.models if name == AUTO else snapshot.named(name)


def _behind(alias: AliasFacts | None) -> list[ModelFacts]:
    """Return the models of an alias that can be called."""
    return [model for model, _ in alias.targets if is_callable(model)] if alias else []
