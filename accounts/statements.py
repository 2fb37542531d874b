"""What callers may read of the books: their own calls and what they spent."""

from typing import Any

import orjson

from accounts.books import Tokens
from accounts.models import MICRO, Attempt, Call


def of_call(request_id: str, key: int | None) -> dict[str, Any] | None:
    """Return a call of a key, its attempts and the decisions that led to them; None where it has none of this id.

    Without a key these are the calls that were made without one. Raises django.db.Error.
    """
    call = Call.objects.filter(request_id=request_id, key=key).prefetch_related("attempts__price").first()
    if call is None:
        return None
    return {
        "request_id": call.request_id,
        "at": call.at.isoformat(),
        "endpoint": call.endpoint,
        "status": call.status,
        "error": call.error or None,
        "stream": call.stream,
        "asked": call.asked or None,
        "model": call.model or None,
        "provider": call.provider or None,
        "session": call.session or None,
        "user": call.user or None,
        "ms": call.ms,
        "ttft_ms": call.ttft_ms,
        **_spent(call, estimated=call.estimated, is_priced=call.is_priced),
        "attempts": [_attempt(each) for each in call.attempts.all()],
        "decisions": decisions_of(call),
    }


def decisions_of(call: Call) -> list[Any]:
    """Return the decisions of a call; none where they were too long to be kept whole."""
    try:
        told = orjson.loads(call.decisions or "[]")
    except orjson.JSONDecodeError:
        return []
    return told if isinstance(told, list) else []


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "model": attempt.model,
        "provider": attempt.provider,
        "phase": attempt.phase or None,
        "status": attempt.status,
        "error": attempt.error or None,
        "finish_reason": attempt.reason or None,
        "ms": attempt.ms,
        "ttft_ms": attempt.ttft_ms,
        **_spent(attempt, estimated=attempt.estimated, is_priced=attempt.price is not None),
        "price_since": attempt.price.since.isoformat() if attempt.price else None,
        "dropped_params": attempt.dropped.split(",") if attempt.dropped else [],
    }


def _spent(tokens: Tokens, *, estimated: bool, is_priced: bool) -> dict[str, Any]:
    usage = {
        "input": tokens.input,
        "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write,
        "cache_write_1h": tokens.cache_write_1h,
        "output": tokens.output,
        "reasoning": tokens.reasoning,
        "estimated": estimated,
    }
    return {"usage": usage, "cost_usd": tokens.cost_micro / MICRO if is_priced else None}
