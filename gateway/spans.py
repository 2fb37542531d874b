"""Spans of calls for OpenTelemetry, made of their records when they end: one of the call, and one of each attempt.

Source: OpenTelemetry's semantic conventions for HTTP servers and for clients of generative AI (1.41, in development).
No prompt, no answer, no key, no header and no name that a caller chose is in them. To be imported only in a process
that traces, after its fork: the processor has a thread.
"""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from gateway import labels, meters
from gateway.exchange import CALLER_LEFT, OVERTAKEN, Attempt, Call
from registry import threads

_FLUSH_SECONDS: Final = 3.0
_LONGEST_REASON: Final = 64
_NANO: Final = 1_000_000_000
_parents: Final = TraceContextTextMapPropagator()


class _OffHub(SpanExporter):
    """An exporter that writes and sends in a thread: a batch is many milliseconds of work."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._pool = threads.Pool(1)  # it opens no connection of the database

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; what the collector does not take is lost, and told to the log."""
        return self._pool.run(self._exporter.export, spans)

    def shutdown(self) -> None:
        """Send nothing any more."""
        self._exporter.shutdown()


class Spans:
    """Makes the spans of one process. They wait in a queue of OTEL_BSP_MAX_QUEUE_SIZE (2048) and are lost beyond it."""

    def __init__(self) -> None:
        own = Resource({SERVICE_NAME: "tokenhub", "service.version": metadata.version("tokenhub")})
        resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_OffHub(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("tokenhub")

    def begin(self, call: Call, traceparent: str) -> None:
        """Begin the span of a call; a header that names no parent begins a new trace."""
        parent = _parents.extract({"traceparent": traceparent}, Context())
        name = f"{labels.method(call.endpoint)} {labels.endpoint(call.endpoint)}"
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, start_time=round(call.at * _NANO))
        call.span, context = span, span.get_span_context()
        if context.is_valid:
            call.trace_id = format_trace_id(context.trace_id)

    def ended(self, call: Call) -> None:
        """End the span of a call; what an attempt was, is told by its own."""
        span: Span | None = call.span
        if span is None or not span.is_recording():
            return
        for number, each in enumerate(call.attempts, 1):
            self._attempt(call, each, number)
        span.set_attributes(_of_call(call))
        if call.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def finish(self) -> None:
        """Send what waits; called when the last answer is out. A collector that is away is not waited for."""
        threads.within(_FLUSH_SECONDS, self._provider.shutdown)

    def _attempt(self, call: Call, attempt: Attempt, number: int) -> None:
        name = f"{labels.operation(labels.endpoint(call.endpoint))} {attempt.model}"
        began = call.at + max(0.0, attempt.began - call.began)
        span = self._tracer.start_span(
            name, set_span_in_context(call.span), SpanKind.CLIENT, _of_attempt(call, attempt), start_time=_nano(began)
        )
        span.set_attribute("tokenhub.attempt", number)
        if _has_failed(attempt):
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nano(began + attempt.ms / 1000))


def _nano(seconds: float) -> int:
    return round(seconds * _NANO)


def _has_failed(attempt: Attempt) -> bool:
    return attempt.error not in {"", CALLER_LEFT, OVERTAKEN}


def _of_call(call: Call) -> Mapping[str, AttributeValue]:
    by = call.answered
    return {
        "http.request.method": labels.method(call.endpoint),
        "http.route": labels.endpoint(call.endpoint),
        "http.response.status_code": call.status,
        "tokenhub.request_id": call.id,
        "tokenhub.stream": call.stream,
        "tokenhub.attempts": len(call.attempts),
        "tokenhub.fallbacks": len(meters.fallbacks(call.attempts)),
        **({"tokenhub.model": by.model, "tokenhub.provider": by.provider} if by else {}),
        **({"error.type": call.error} if call.error else {}),
    }


def _of_attempt(call: Call, attempt: Attempt) -> Mapping[str, AttributeValue]:
    used = attempt.usage
    told: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": labels.operation(labels.endpoint(call.endpoint)),
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.request.model": attempt.model,
        "gen_ai.response.model": attempt.model if attempt.ttft_ms is not None else None,
        "gen_ai.response.finish_reasons": [attempt.reason[:_LONGEST_REASON]] if attempt.reason else None,
        "gen_ai.response.time_to_first_chunk": attempt.ttft_ms / 1000 if attempt.ttft_ms is not None else None,
        "gen_ai.usage.input_tokens": used.input or None,
        "gen_ai.usage.output_tokens": used.output or None,
        "gen_ai.usage.cache_read.input_tokens": used.cache_read or None,
        "gen_ai.usage.cache_creation.input_tokens": used.cache_write or None,
        "gen_ai.usage.reasoning.output_tokens": used.reasoning or None,
        "http.response.status_code": attempt.status or None,
        "error.type": attempt.error if _has_failed(attempt) else None,
        "tokenhub.outcome": attempt.error or "ok",
        "tokenhub.phase": attempt.phase or None,
    }
    return {name: value for name, value in told.items() if value is not None}
