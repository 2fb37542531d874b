"""What is told of a call: headers for the caller, one line for the log. Prompts and answers are in neither."""

import logging
import time

from gateway.exchange import Attempt, Call

logger = logging.getLogger("gateway.calls")


def headers(call: Call) -> dict[str, str]:
    """Return the `x-tokenhub-*` headers that say how a call was served, as far as it is known."""
    told = {
        "x-tokenhub-request-id": call.id,
        "x-tokenhub-attempts": str(len(call.attempts)) if call.decision else "",
        "x-tokenhub-decision": call.id if call.decision else "",
        "x-tokenhub-provider": call.last.provider if call.last else "",
        "x-tokenhub-model": call.last.model if call.last else "",
        # a stream's headers are gone before its cost is known
        "x-tokenhub-cost-usd": f"{call.cost_micro / 1_000_000:.6f}" if call.attempts and not call.stream else "",
    }
    return {name: value for name, value in told.items() if value}


def log(call: Call) -> None:
    """Write the line of a call that has ended."""
    last = call.last or Attempt("", "")
    logger.info(
        "%s %s",
        call.endpoint,
        call.status,
        extra={
            "request_id": call.id,
            "key_id": None,
            "model": last.model,
            "provider": last.provider,
            "status": call.status,
            "error": call.error,
            "stream": call.stream,
            "attempts": [[attempt.model, attempt.status, attempt.error, attempt.ms] for attempt in call.attempts],
            "input_tokens": last.usage.input,
            "output_tokens": last.usage.output,
            "estimated": last.usage.estimated,
            "cost_micro": call.cost_micro,
            "ms": round((time.monotonic() - call.began) * 1000, 1),
            "ttft_ms": last.ttft_ms,
        },
    )
