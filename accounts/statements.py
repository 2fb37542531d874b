"""What callers may read of the books: their own calls and what they spent."""

from typing import Any

import orjson

from accounts.books import Tokens
from accounts.models import MICRO, Call


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
        **_spent(call, estimated=call.estimated),
        "attempts": [
            {
                "model": each.model,
                "provider": each.provider,
                "phase": each.phase or None,
                "status": each.status,
                "error": each.error or None,
                "finish_reason": each.reason or None,
                "ms": each.ms,
                "ttft_ms": each.ttft_ms,
                **_spent(each, estimated=each.estimated),
                "price_since": each.price.since.isoformat(),
                "dropped_params": each.dropped.split(",") if each.dropped else [],
            }
            for each in call.attempts.all()
        ],
        "decisions": orjson.loads(call.decisions) if call.decisions else [],
    }


def _spent(tokens: Tokens, *, estimated: bool) -> dict[str, Any]:
    usage = {
        "input": tokens.input,
        "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write,
        "output": tokens.output,
        "reasoning": tokens.reasoning,
        "estimated": estimated,
    }
    return {"usage": usage, "cost_usd": tokens.cost_micro / MICRO}
