"""The admin's "Test this model": one real request for one token, told as a message to the person who asked."""

import time
from threading import BoundedSemaphore
from typing import Final

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
from gateway.exchange import Attempt, Policy
from gateway.patience import Patience
from gateway.wire import openai
from registry.snapshot import ModelFacts, keeper

_SECONDS: Final = 30.0
_turns = BoundedSemaphore(2)  # each holds one of the few threads that serve people's pages
_BODY: Final = {"messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 1}


@staff_member_required
@permission_required("registry.change_model", raise_exception=True)
@require_POST
def test_model(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    """Ask the model with this primary key for one token and go back to its page with the outcome."""
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


def _ask(model: ModelFacts) -> tuple[int, str]:
    """Return the level and the text of the message that tells how the model answered."""
    if model.provider.problem or model.provider.type not in ADAPTERS:
        return (
            messages.ERROR,
            f"The model {model.id} cannot be called: {model.provider.problem or 'no adapter for its provider'}",
        )
    record = Attempt(model.id, model.provider.name)
    body = orjson.dumps(_BODY)
    # A transport of its own: this runs in a thread of the admin's, and connections belong to the thread that made them.
    transport = Transport()
    began = time.monotonic()
    try:
        for _ in attempt.run(
            openai.read_chat(body, _BODY, Policy()),
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
