"""What a call is to its caller's account: counted before anybody is asked, written down before its last byte."""

from functools import partial

from accounts.facts import KeyFacts
from accounts.leases import leases
from accounts.ledger import ledger
from gateway import journal, meters, throttling, tracing
from gateway.exchange import Call, Means, current
from gateway.throttling import throttle


def identify(call: Call, key: KeyFacts) -> None:
    """Note whose call it is, and what bounds it."""
    call.key_id, call.key = key.public_id, key.pk
    call.team = key.team.pk if key.team else None
    max_tokens, max_cost = key.least("max_tokens"), key.least("max_cost_micro")
    reserve = partial(leases.hold, call.id, key.budgets) if key.budgets else None
    if (reserve, max_tokens, max_cost) != (None, None, None):
        call.means = Means(reserve=reserve, max_tokens=max_tokens, max_cost_micro=max_cost)


def admit(call: Call, key: KeyFacts, tokens: int) -> None:
    """Count a request of about so many tokens; raises `LimitReached` and `Unavailable`."""
    if admission := throttle.admit(key, call.id, tokens):
        call.room = throttling.headers(admission.verdict)
        call.release = partial(throttle.end, admission)


def finishing(call: Call, *, is_last: bool) -> None:
    """Write down what an answer cost before its last bytes go out: a worker that dies then must not forget it.

    `is_last` says that nothing more is asked for the call, so that its place is free for whoever has these bytes.
    """
    if call.is_booked:
        ledger.spool.append(journal.entry(call, is_final=False))
    if is_last and call.release is not None:
        call.release(call.usage.total)


def ended(call: Call) -> None:
    """Tell of a call that has ended to the log, ledger, limits, budgets and those who watch, whatever befell others."""
    try:
        _book(call)
    finally:
        _watched(call)


def _watched(call: Call) -> None:
    current.set(None)
    meters.streams.discard(call.id)
    try:
        if meters.is_on():
            meters.ended(call)
    finally:
        if tracing.tracer is not None:
            tracing.tracer.ended(call)


def _book(call: Call) -> None:
    try:
        journal.log(call)
    finally:
        _settle(call)


def _settle(call: Call) -> None:
    try:
        if call.is_booked:
            ledger.spool.append(journal.entry(call))
    finally:
        _free(call)


def _free(call: Call) -> None:
    try:
        if call.release is not None:
            call.release(call.usage.total)
    finally:
        if leases.ended(call.id):
            ledger.poll.wake()  # what it reserved is free for the next call once it is booked
