"""How many tokens a prompt takes: asked of the provider that would answer it, where that is free, else estimated."""

import time
from typing import Final

from gateway import flows, router
from gateway.adapters.base import refused
from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Outgoing, Transport
from gateway.cooldown import Permit, cooldowns
from gateway.errors import (
    CredentialsRefused,
    OutOfTime,
    PermissionRefused,
    PromptTooLong,
    ProviderFailure,
    QuotaSpent,
    Rejected,
    Unavailable,
)
from gateway.exchange import Attempt, Call, Request, Usage
from gateway.patience import Patience
from gateway.wire.fields import as_count, load
from registry.snapshot import Snapshot

_SECONDS: Final = 2.0  # for which a number is worth waiting that is at hand in about
_OF_THE_CALLER: Final = frozenset({400, 413, 422})


def count(request: Request, snapshot: Snapshot, patience: Patience, *, transport: Transport, call: Call) -> int:
    """Return the tokens of a prompt; raises a `CallerError` where no model could ever answer it, or `Rejected`.

    The number is the own of the provider whose model comes first, and an estimate where it does not or cannot tell in
    time, where the model is a virtual one, or where the prompt is too long for all: that is what the caller wants to
    know. What was asked is recorded, without a usage: it costs nothing.
    """
    told = None if flows.named(request.model) else _told(request, snapshot, patience, transport=transport, call=call)
    call.counted = Usage(uncached=told or request.estimate, estimated=told is None)
    return call.counted.uncached


def _told(request: Request, snapshot: Snapshot, patience: Patience, *, transport: Transport, call: Call) -> int | None:
    """Return what the provider says whose model comes first; None where it does not."""
    try:
        route = router.route(request, snapshot)
    except (PromptTooLong, Unavailable):
        return None
    call.decisions.append(route.decision)
    model = route.models[0]
    asked = ADAPTERS[model.provider.type].counts(request, model)
    permit = cooldowns.begin(model) if asked else None
    if asked is None or permit is None:
        return None
    record = Attempt(model.id, model.provider.name)
    call.attempts.append(record)
    began = time.monotonic()
    try:
        return _ask(asked, permit, patience, transport=transport, record=record)
    finally:
        cooldowns.released(permit)
        record.ms = round((time.monotonic() - began) * 1000, 1)


def _ask(asked: Outgoing, permit: Permit, patience: Patience, *, transport: Transport, record: Attempt) -> int | None:
    """Ask, and note how it went. Of the refusals the caller hears those that are about the prompt itself.

    The cooldowns hear of a key that is not taken and of an empty account. Not of a limit, since counting has one of its
    own, nor of what else may be wrong with this endpoint alone.
    """
    provider = permit.model.provider
    try:
        with patience.within(_SECONDS), transport.send(asked, provider, patience) as reply:
            record.status = reply.status
            if reply.status != 200:
                raise refused(reply, permit.model)
            return as_count(load(reply.whole()).get("input_tokens")) or None
    except OutOfTime as late:
        record.error = late.code
    except ProviderFailure as failure:
        record.error = failure.code
        if isinstance(failure, CredentialsRefused | QuotaSpent) and not isinstance(failure, PermissionRefused):
            cooldowns.failed(permit, failure)
        if type(failure) is Rejected and failure.upstream_status in _OF_THE_CALLER:
            raise
    return None
