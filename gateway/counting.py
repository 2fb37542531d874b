"""How many tokens a prompt takes: asked of the provider that would answer it, where that is free, else estimated."""

from gateway import router
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Transport
from gateway.errors import PromptTooLong, ProviderFailure, Unavailable
from gateway.exchange import Call, Request
from gateway.patience import Patience
from gateway.wire.fields import as_count, load
from registry.snapshot import ModelFacts, Snapshot


def count(request: Request, snapshot: Snapshot, patience: Patience, *, transport: Transport, call: Call) -> int:
    """Return the tokens of a prompt; raises a `CallerError` where no model could ever answer it.

    The number is the own of the provider whose model comes first, and an estimate where it does not or cannot tell, or
    where the prompt is too long for all: that is what the caller wants to know. The question cools nothing and is
    booked nowhere.
    """
    try:
        route = router.route(request, snapshot)
    except (PromptTooLong, Unavailable):
        return request.estimate
    call.decisions.append(route.decision)
    return _told(request, route.models[0], patience, transport) or request.estimate


def _told(request: Request, model: ModelFacts, patience: Patience, transport: Transport) -> int:
    """Return what the provider says; 0 where it does not."""
    asked = ADAPTERS[model.provider.type].counts(request, model)
    if asked is None:
        return 0
    try:
        with transport.send(asked, model.provider, patience) as reply:
            return as_count(load(reply.whole()).get("input_tokens")) if reply.status == 200 else 0
    except ProviderFailure:
        return 0
