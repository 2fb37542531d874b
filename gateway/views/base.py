"""The life of a request, once: read, route, answer, tell. Endpoints say only what differs."""

import logging
import secrets
import time
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any, Final

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request as RestRequest
from rest_framework.views import APIView

from gateway import escalation, journal, router
from gateway.adapters.transport import transport
from gateway.errors import CallerLeft, GatewayError, MethodNotAllowed, Unavailable, Unexpected
from gateway.exchange import Call, Request
from gateway.negotiation import OnlyFormat
from gateway.parsers import read_body
from gateway.patience import Patience
from gateway.wire import bodies, openai
from registry import threads
from registry.snapshot import SnapshotUnavailable, keeper

logger = logging.getLogger("gateway.views")

_LARGE_BYTES: Final = 512 * 1024  # takes some milliseconds to parse, in which no stream of the worker would move
_readers = threads.Pool(2)

_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class GatewayView(APIView):
    """An endpoint of the API. Every refusal leaves it in OpenAI's shape with a request id."""

    authentication_classes = []
    permission_classes = []
    parser_classes = []
    renderer_classes = [JSONRenderer]
    content_negotiation_class = OnlyFormat

    call: Call

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return none: what DRF would say of methods and formats has no reader here."""
        return {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> RestRequest:
        """Begin the record of the call before anything can fail."""
        self.call = Call(f"req_{secrets.token_hex(12)}", f"{request.method} {request.path}", time.monotonic())
        return super().initialize_request(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]  # bytes, not a DRF Response
        """Turn whatever was raised into an answer in the caller's format."""
        error = _told(exc, self.call)
        response = self.json(openai.error_body(error), status=error.status)
        if error.status == 405:
            response["Allow"] = ", ".join(self.allowed_methods)
        if error.retry_after is not None:
            response["Retry-After"] = str(max(1, round(error.retry_after)))
        return response

    def finalize_response(self, request: RestRequest, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell of every call once: of a stream when it ends, of all others here."""
        if not response.streaming:
            journal.log(self.call)
        return super().finalize_response(request, response, *args, **kwargs)

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]  # no body
        """Say which methods there are."""
        self.call.status = 204
        headers = {"Allow": ", ".join(self.allowed_methods)} | journal.headers(self.call)
        return HttpResponse(status=204, headers=headers)

    def json(self, body: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        """Return a JSON answer with the headers of the call."""
        return self.answer(orjson.dumps(body), status=status)

    def answer(self, raw: bytes, *, status: int = 200) -> HttpResponse:
        """Return JSON bytes as an answer with the headers of the call."""
        self.call.status = status
        return HttpResponse(raw, status=status, content_type="application/json", headers=journal.headers(self.call))


class GenerationView(GatewayView):
    """An endpoint that asks a model: POST with a JSON body, answered whole or as a stream."""

    @abstractmethod
    def read(self, raw: bytes, body: Mapping[str, Any]) -> Request:
        """Return the request that a body makes; raises `InvalidRequest`."""

    def post(self, request: RestRequest) -> HttpResponseBase:
        """Answer a request, or raise why not."""
        raw = read_body(request._request)  # noqa: SLF001 - the way to the request that DRF wraps
        asked = _readers.run(self._understood, raw) if len(raw) > _LARGE_BYTES else self._understood(raw)
        self.call.stream = asked.stream
        pieces = self._pieces(asked, request.META.get("gunicorn.socket"))
        try:
            first = next(pieces)
            if asked.stream:
                return self._streamed(first, pieces)
            whole = first + b"".join(pieces)
        except CallerLeft:
            self.call.status, self.call.error = 499, "caller_left"
            return HttpResponse(status=499)
        return self.answer(whole)

    def _understood(self, raw: bytes) -> Request:
        return self.read(raw, bodies.parse(raw, max_depth=settings.TOKENHUB_MAX_JSON_DEPTH))

    def _streamed(self, first: bytes, pieces: Generator[bytes]) -> StreamingHttpResponse:
        return StreamingHttpResponse(
            EventStream(self.call, first, pieces),
            content_type="text/event-stream; charset=utf-8",
            headers=journal.headers(self.call) | _STREAM_HEADERS,
        )

    def _pieces(self, asked: Request, caller: Any) -> Generator[bytes]:
        """Yield the bytes of an answer, the first of them once a model has come to words."""
        route = router.route(asked, keeper.current())
        self.call.decision = route.decision
        with Patience(settings.TOKENHUB_REQUEST_SECONDS, caller) as patience:
            answer = escalation.answer(asked, route, patience, transport=transport, call=self.call)
            with closing(answer) as pieces:
                for piece in pieces:
                    yield piece.raw
                    patience.give_way()


class EventStream:
    """The body of a streamed answer. It ends with an in-band error if it must, and the call is told however it ends."""

    def __init__(self, call: Call, first: bytes, pieces: Generator[bytes]) -> None:
        self._call = call
        self._first = first
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        """Yield the events; a failure after the first of them becomes an event itself."""
        try:
            yield self._first
            yield from self._pieces
            self._call.status = 200
        except CallerLeft:
            return
        except Exception as exc:  # noqa: BLE001 - whatever it was, half an answer must not look like a whole one
            yield openai.error_event(_told(exc, self._call))

    def close(self) -> None:
        """Called by the server when the answer is over, whichever side ended it."""
        self._pieces.close()
        if not self._call.status:
            self._call.status, self._call.error = 499, "caller_left"
        journal.log(self._call)


def _told(exc: Exception, call: Call) -> GatewayError:
    """Return what the caller is told of what was raised, and note it in the record; a fault of ours goes to the log."""
    error = _as_gateway_error(exc)
    if isinstance(error, Unexpected):
        logger.error("fault in %s", call.endpoint, exc_info=exc, extra={"request_id": call.id})
    call.status, call.error = error.status, error.code
    return error


def _as_gateway_error(exc: Exception) -> GatewayError:
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, SnapshotUnavailable):
        return Unavailable("The registry cannot be read now.", retry_after=1)
    if isinstance(exc, APIException) and exc.status_code == 405:
        return MethodNotAllowed(str(exc.detail))
    return Unexpected("The gateway made a mistake; its log has the details under this request's id.")
