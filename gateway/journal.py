"""What is told of a call: headers for the caller, one line for the log, and why it went where it went.

Prompts and answers are in none of them.
"""

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from gateway.exchange import Attempt, Call

_FIELD: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_LONGEST_HEADER: Final = 1000

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
        "x-tokenhub-cost-usd": f"{call.cost_micro / 1_000_000:.6f}" if call.attempts and not call.stream else "",
    }
    return {name: value for name, value in told.items() if value}


def _listed(names: Sequence[str]) -> str:
    """Return names of a caller's fields as a header can hold them: those that are odd or too many are left out."""
    return ",".join(name for name in names if _FIELD.fullmatch(name))[:_LONGEST_HEADER]


def decision(call: Call) -> dict[str, Any]:
    """Return why a call went where it went: a decision for each model that was looked for, and what was tried."""
    return {
        "request_id": call.id,
        "decisions": [asdict(made) for made in call.decisions],
        "attempts": [asdict(attempt) for attempt in call.attempts],
        "cost_micro": call.cost_micro,
    }


def log(call: Call) -> None:
    """Write the line of a call that has ended; at the level of debug with its decision."""
    last, used = call.last or Attempt("", ""), call.counted or call.usage
    extra: dict[str, Any] = {
        "request_id": call.id,
        "key_id": None,
        "model": last.model,
        "provider": last.provider,
        "status": call.status,
        "error": call.error,
        "stream": call.stream,
        "attempts": [[attempt.model, attempt.status, attempt.error, attempt.ms] for attempt in call.attempts],
        "input_tokens": used.input,
        "output_tokens": used.output,
        "estimated": used.estimated,
        "cost_micro": call.cost_micro,
        "ms": round((time.monotonic() - call.began) * 1000, 1),
        "ttft_ms": last.ttft_ms,
    }
    if logger.isEnabledFor(logging.DEBUG):
        extra["decision"] = decision(call)
    logger.info("%s %s", call.endpoint, call.status, extra=extra)
