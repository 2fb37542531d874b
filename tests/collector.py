"""A collector of OTLP over HTTP on the loopback, and how its spans are read."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.server import Gateway, wait_for


class Collector:
    """A collector of OTLP over HTTP on the loopback."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.services: set[str] = set()
        taken = self

        class Handler(BaseHTTPRequestHandler):
            """Takes what is sent."""

            def do_POST(self) -> None:
                """Keep the body, and say that it is well."""
                taken.raw.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> list[Span]:
        """All spans so far."""
        found: list[Span] = []
        for raw in list(self.raw):
            for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
                self.services |= {each.value.string_value for each in resource.resource.attributes}
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    def trace_of(self, hub: Gateway, answer: requests.Response) -> tuple[Span, list[Span]]:
        """The span of the call that gave an answer, and those of its attempts in their order."""
        request_id = answer.headers["x-tokenhub-request-id"]

        def mine() -> list[Span]:
            return [span for span in self.spans() if told(span).get("tokenhub.request_id") == request_id]

        assert wait_for(mine, 15), hub.log
        (call,) = mine()
        within = [span for span in self.spans() if span.parent_span_id == call.span_id]
        return call, sorted(within, key=lambda span: span.start_time_unix_nano)


def told(span: Span) -> dict[str, Any]:
    """The attributes of a span."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
