"""Where a call meets its trace: `gateway.spans` is the tracer, and without one nothing of OpenTelemetry is imported."""

from typing import Protocol

from gateway.exchange import Call


class Tracer(Protocol):
    """What makes spans of calls."""

    def begin(self, call: Call, traceparent: str) -> None:
        """Begin the span of a call under that of its caller, where the header names one; sets `call.trace_id`."""

    def ended(self, call: Call) -> None:
        """End the span of a call, and make one of each attempt."""


tracer: Tracer | None = None
"""Set where traces are exported."""


def trace_with(one: Tracer) -> None:
    """Let this process trace its calls."""
    global tracer  # noqa: PLW0603 - set once, when a worker begins
    tracer = one
