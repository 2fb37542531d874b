"""Delivers the warnings of budgets to the operator's webhook, beside the hub; `accounts` keeps them until then.

The address is a setting of the operator's and no caller's, so it may be a private one. It goes the way of every other
request, over `transport`: redirects are not followed, and link-local and metadata addresses are not called.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from contextlib import closing, suppress
from typing import Final

import orjson
from django.conf import settings
from django.db import Error as DatabaseFault

from accounts import budget_warnings
from accounts.budget_warnings import Due
from gateway.adapters.transport import Outgoing, Transport
from gateway.errors import GatewayError
from gateway.patience import Patience
from registry import threads
from registry.polling import Poll
from registry.providers import ProviderType
from registry.snapshot import ProviderFacts
from vault.crypto import Hidden

SIGNATURE_HEADER: Final = "X-TokenHub-Signature"
_SECONDS: Final = 10.0  # for one delivery; less than `budget_warnings.HOLD_SECONDS`
_POLL_SECONDS: Final = 1.0


def look() -> None:
    """Deliver what is due, one after the other. An outage of the database is told by the ledger."""
    with suppress(DatabaseFault), closing(Transport()) as transport:
        while (due := threads.run(budget_warnings.claim, time.time())) is not None:
            if reason := deliver(due, transport):
                threads.run(budget_warnings.failed, due, reason, time.time())
            else:
                threads.run(budget_warnings.delivered, due)


def deliver(due: Due, transport: Transport) -> str:
    """Send a warning; returns why it did not arrive, or an empty text. Whatever is not 2xx has not taken it."""
    body = orjson.dumps(due.told)
    receiver = _receiver(settings.TOKENHUB_BUDGET_WEBHOOK)
    outgoing = Outgoing(receiver.base_url, _signed(body, settings.TOKENHUB_BUDGET_WEBHOOK_SECRET), body)
    try:
        with Patience(_SECONDS) as patience, transport.send(outgoing, receiver, patience) as reply:
            return "" if 200 <= reply.status < 300 else f"{receiver.name} answered with {reply.status}"
    except GatewayError as failure:
        return failure.message


def _signed(body: bytes, secret: Hidden) -> dict[str, str]:
    """Return the header by which a receiver knows the sender, HMAC-SHA-256 (RFC 2104) of the very bytes of the body."""
    if not secret:
        return {}
    return {SIGNATURE_HEADER: f"sha256={hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()}"}


def _receiver(url: str) -> ProviderFacts:
    """Return the webhook as `transport` knows whom it calls."""
    return ProviderFacts(
        pk=0,
        name="the webhook of budgets",
        type=ProviderType.OPENAI,
        base_url=url,
        key=None,
        problem="",
        enabled=True,
        may_be_private=True,
        connect_timeout=_SECONDS / 2,
        first_byte_timeout=_SECONDS,
        idle_timeout=_SECONDS,
        total_timeout=_SECONDS,
        extra_headers=(),
    )


poll = Poll("budget-webhook", look, seconds=lambda: _POLL_SECONDS if settings.TOKENHUB_BUDGET_WEBHOOK else 0.0)
