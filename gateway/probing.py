"""Asks providers from time to time whether they are there, where that is switched on; never by a billed call."""

from __future__ import annotations

from contextlib import closing
from itertools import groupby
from operator import attrgetter
from typing import Final

from django.conf import settings

from gateway.adapters.kinds import ADAPTERS
from gateway.adapters.transport import Outgoing, Transport
from gateway.cooldown import Cooldowns, cooldowns
from gateway.errors import GatewayError, Overloaded, ProviderFailure
from gateway.lineup import is_callable
from gateway.patience import Patience
from registry.keeper import SnapshotUnavailable
from registry.polling import Poll
from registry.snapshot import ProviderFacts, Snapshot, keeper

_SECONDS: Final = 10.0
_MOST_BYTES: Final = 1024 * 1024


def look() -> None:
    """Ask every provider that has a model to call, and tell the cooldowns what came of it."""
    try:
        snapshot = keeper.current()
    except SnapshotUnavailable:
        return
    with closing(Transport()) as transport:
        probe(snapshot, transport, cooldowns)


def probe(snapshot: Snapshot, transport: Transport, cooling: Cooldowns) -> None:
    """Ask each provider once: an answer ends the cooldowns of failures, no answer counts as one of them."""
    callable_models = sorted(filter(is_callable, snapshot.models), key=attrgetter("provider.pk"))
    for _, models in groupby(callable_models, key=attrgetter("provider.pk")):
        each = list(models)
        provider = each[0].provider
        outgoing = ADAPTERS[provider.type].probe(provider)
        if outgoing is None:
            continue
        failure = _ask(outgoing, provider, transport)
        for model in each:
            if failure is None:
                cooling.heard(model)
            else:
                cooling.failed(cooling.unasked(model), failure)


def _ask(outgoing: Outgoing, provider: ProviderFacts, transport: Transport) -> ProviderFailure | None:
    """Return why a provider cannot be reached. Whatever it answers, a refusal too, shows that it is there."""
    try:
        with Patience(_SECONDS) as patience, transport.send(outgoing, provider, patience) as reply:
            reply.whole(_MOST_BYTES)
            is_broken = reply.status >= 500
    except ProviderFailure as failure:
        return failure
    except GatewayError:  # the time of the probe is over
        return Overloaded(f"{provider.name} was too slow to answer a probe.")
    return Overloaded(f"{provider.name} answered a probe with {reply.status}.") if is_broken else None


poll = Poll("provider-probe", look, seconds=lambda: settings.TOKENHUB_PROBE_SECONDS)
