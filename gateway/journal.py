"""What is told of a call: headers for the caller, one line for the log, and why it went where it went.

Prompts and answers are in none of them.
"""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Final

from accounts.entries import AttemptEntry, CallEntry
from gateway.exchange import Attempt, Call, Decision, Excluded

_FIELD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_LONGEST_HEADER: Final = 1000
_MOST_RANKED: Final = 20
_MOST_EXCLUDED: Final = 50

logger = logging.getLogger("gateway.calls")


def headers(call: Call) -> dict[str, str]:
    """Return the `x-tokenhub-*` headers that say how a call was served, as far as it is known."""
    last = call.last
    told = {
        "x-tokenhub-request-id": call.id,
        "x-request-id": call.id,  # where the official SDKs look for it
        "x-tokenhub-attempts": str(len(call.attempts)) if call.decisions else "",
        "x-tokenhub-decision": call.id if call.decisions else "",
        "x-tokenhub-provider": last.provider if last else "",
        "x-tokenhub-model": last.model if last else "",
        "x-tokenhub-dropped-params": _listed(last.dropped) if last else "",
        **(last.upstream if last else {}),
        # a stream's headers are gone before its cost is known
        "x-tokenhub-cost-usd": f"{call.cost_micro / 1_000_000:.6f}"
        if call.attempts and call.is_priced and not call.stream
        else "",
    }
    return {name: value for name, value in told.items() if value} | {**call.room}


def _listed(names: Sequence[str]) -> str:
    """Return names of a caller's fields as a header can hold them: those that are odd or too many are left out."""
    return ",".join(name for name in names if _FIELD.fullmatch(name))[:_LONGEST_HEADER]


def decision(call: Call) -> dict[str, Any]:
    """Return why a call went where it went: a decision for each model that was looked for, and what was tried."""
    return {
        "request_id": call.id,
        "decisions": [_told(made) for made in call.decisions],
        "attempts": [asdict(attempt) for attempt in call.attempts],
        "cost_micro": call.cost_micro if call.is_priced else None,
    }


def _told(made: Decision) -> dict[str, Any]:
    (told,) = _flat([made])
    return told | {"ranked": _flat(made.ranked), "excluded": _flat(made.excluded)}


def _flat(records: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the fields of records that are alike; `asdict` copies all that is in them, and they may be thousands."""
    names = [each.name for each in fields(records[0])] if records else []
    return [{name: getattr(record, name) for name in names} for record in records]


def entry(call: Call, *, is_final: bool = True) -> CallEntry:
    """Return what the ledger is to know of a call, which has ended or is about to."""
    return CallEntry(
        id=call.id,
        at=call.at,
        endpoint=call.endpoint,
        status=call.status or 200,
        error=call.error,
        stream=call.stream,
        key=call.key,
        team=call.team,
        asked=call.asked,
        session=call.session,
        user=call.user,
        ms=_milliseconds(call),
        attempts=[_attempt(each) for each in call.attempts],
        decisions=[_short(made) for made in call.decisions],
        is_final=is_final,
    )


def _attempt(attempt: Attempt) -> AttemptEntry:
    used = attempt.usage
    return AttemptEntry(
        model=attempt.model,
        provider=attempt.provider,
        phase=attempt.phase,
        status=attempt.status or (200 if attempt.is_finished else 0),
        error=attempt.error,
        ms=attempt.ms,
        ttft_ms=attempt.ttft_ms,
        reason=attempt.reason,
        uncached=used.uncached,
        cache_read=used.cache_read,
        cache_write=used.cache_write,
        cache_write_1h=used.cache_write_1h,
        output=used.output,
        reasoning=used.reasoning,
        estimated=used.estimated,
        cost_micro=attempt.cost_micro,
        prices=attempt.prices,
        dropped=attempt.dropped,
    )


def _short(made: Decision) -> Decision:
    """Return a decision without the tail of its lists, which may be as long as the registry."""
    if len(made.ranked) <= _MOST_RANKED and len(made.excluded) <= _MOST_EXCLUDED:
        return made
    left = len(made.excluded) - _MOST_EXCLUDED
    more = [Excluded("", f"and {left} more")] if left > 0 else []
    return replace(made, ranked=made.ranked[:_MOST_RANKED], excluded=[*made.excluded[:_MOST_EXCLUDED], *more])


def _milliseconds(call: Call) -> float:
    return round((time.monotonic() - call.began) * 1000, 1)


def log(call: Call) -> None:
    """Write the line of a call that has ended; at the level of debug with its decision."""
    last, used = call.last or Attempt("", ""), call.counted or call.usage
    extra: dict[str, Any] = {
        "request_id": call.id,
        "key_id": call.key_id or None,
        "model": last.model,
        "provider": last.provider,
        "status": call.status,
        "error": call.error,
        "stream": call.stream,
        "attempts": [[attempt.model, attempt.status, attempt.error, attempt.ms] for attempt in call.attempts],
        "input_tokens": used.input,
        "output_tokens": used.output,
        "estimated": used.estimated,
        "cost_micro": call.cost_micro if call.is_priced else None,
        "ms": _milliseconds(call),
        "ttft_ms": last.ttft_ms,
    }
    if call.trace_id:
        extra["trace_id"] = call.trace_id
    if logger.isEnabledFor(logging.DEBUG):
        extra["decision"] = decision(call)
    logger.info("%s %s", call.endpoint, call.status, extra=extra)
