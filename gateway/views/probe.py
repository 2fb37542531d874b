"""The admin's "Test this model": one real request for as little as there is, told as a message to who asked."""

import time
from collections.abc import Callable, Mapping
from threading import BoundedSemaphore
from typing import Any, Final

import orjson
from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from gateway import attempt
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Transport
from gateway.cooldown import cooldowns
from gateway.errors import GatewayError
from gateway.exchange import Attempt, Policy, Request
from gateway.patience import Patience
from gateway.wire import embeddings, openai
from registry.models import Capability
from registry.snapshot import ModelFacts, keeper

Body = Mapping[str, Any]

_SECONDS: Final = 30.0
_turns = BoundedSemaphore(2)  # each holds one of the few threads that serve people's pages
_WORDS: Final = "Say yes."
# By the capability that a model has for it, the first that it has: what it is asked, and what reads the question.
_QUESTIONS: Final[Mapping[str, tuple[Callable[[bytes, Body, Policy], Request], Body]]] = {
    Capability.CHAT: (openai.read_chat, {"messages": [{"role": "user", "content": _WORDS}], "max_tokens": 1}),
    Capability.COMPLETION: (openai.read_completion, {"prompt": _WORDS, "max_tokens": 1}),
    Capability.EMBEDDING: (embeddings.read_embedding, {"input": _WORDS}),
}


@staff_member_required
@permission_required("registry.change_model", raise_exception=True)
@require_POST
def test_model(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    """Ask the model with this primary key for one token or one vector and go back to its page with the outcome."""
    keeper.refresh()
    model = next((model for model in keeper.current().models if model.pk == pk), None)
    if model is None:
        messages.error(request, "This model is not in the registry.")
        return HttpResponseRedirect(reverse("admin:registry_model_changelist"))
    if _turns.acquire(blocking=False):
        try:
            level, text = _ask(model)
        finally:
            _turns.release()
    else:
        level, text = messages.WARNING, "Other models are being tested; try again in a moment."
    messages.add_message(request, level, text)
    return HttpResponseRedirect(reverse("admin:registry_model_change", args=[pk]))


def _question(model: ModelFacts) -> Request:
    asked = next((each for each in _QUESTIONS if each in model.capabilities), Capability.CHAT)
    read, body = _QUESTIONS[asked]
    body = {"model": model.id, **body}
    return read(orjson.dumps(body), body, Policy())


def _ask(model: ModelFacts) -> tuple[int, str]:
    """Return the level and the text of the message that tells how the model answered."""
    if model.provider.problem or model.provider.type not in ADAPTERS:
        return (
            messages.ERROR,
            f"The model {model.id} cannot be called: {model.provider.problem or 'no adapter for its provider'}",
        )
    record = Attempt(model.id, model.provider.name)
    # A transport of its own: this runs in a thread of the admin's, and connections belong to the thread that made them.
    transport = Transport()
    began = time.monotonic()
    try:
        for _ in attempt.run(
            _question(model),
            cooldowns.unasked(model),
            Patience(_SECONDS),
            transport=transport,
            record=record,
        ):
            pass
    except GatewayError as error:
        return messages.ERROR, f"The model {model.id} failed after {time.monotonic() - began:.1f} s: {error.message}"
    finally:
        transport.close()
    used = record.usage
    return (
        messages.SUCCESS,
        f"The model {model.id} answered in {record.ms:.0f} ms as {model.name} ({used.input} + {used.output} tokens).",
    )
