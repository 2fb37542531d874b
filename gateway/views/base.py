"""The life of a request, once: read, route, answer, tell. Endpoints say only what differs."""

from __future__ import annotations

import logging
import math
import secrets
import time
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import chain
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request as RestRequest
from rest_framework.views import APIView

from accounts.contents import Content
from accounts.facts import KeyFacts
from accounts.models import Scope
from gateway import accounting, beside, idempotency, journal, meters, overhearing, policy, tracing
from gateway.authentication import ClientKeys
from gateway.errors import (
    CallerLeft,
    CrossSite,
    GatewayError,
    LimitReached,
    NotAllowed,
    PhaseFailed,
    Unavailable,
)
from gateway.exchange import CALLER_LEFT, Call, Policy, current
from gateway.keepalive import kept_alive
from gateway.origins import is_from_another_site
from gateway.parsers import read_body
from gateway.patience import Patience
from gateway.views.answers import EventStream, StreamedAnswer, WholeAnswer, told
from gateway.wire import bodies, openai, sse
from registry.snapshot import Snapshot, keeper

logger = logging.getLogger("gateway.views")

_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class GatewayView(APIView):
    """An endpoint of the API. Every refusal leaves it in OpenAI's shape with a request id."""

    scope: ClassVar[Scope | None] = None
    """What a key must be good for; None where any key will do."""
    authentication_classes = []
    permission_classes = []
    parser_classes = []

    is_public: ClassVar[bool] = False
    """Whether anybody may look, without a key and from a page of another site: nothing is done, nothing is private."""
    http: HttpRequest
    """What DRF wraps into its own request."""
    call: Call
    key: KeyFacts | None = None
    claim: idempotency.Claim | None = None
    content: Content | None = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return none: what DRF would say of methods and formats has no reader here."""
        return {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> RestRequest:
        """Begin the record of the call before anything can fail."""
        self.http = request
        self.call = Call(f"req_{secrets.token_hex(12)}", f"{request.method} {request.path}", time.monotonic())
        current.set(self.call)
        if tracing.tracer is not None:
            tracing.tracer.begin(self.call, request.headers.get("traceparent", ""))
        made = super().initialize_request(request, *args, **kwargs)
        made.parser_context = {}  # it holds this view, which holds the request: a circle that outlives the call
        return made

    def initial(self, request: RestRequest, *args: Any, **kwargs: Any) -> None:
        """Find out who calls, without DRF's negotiation and versions, of which there are none.

        What a page of another site makes a browser send is refused: its user did not ask for it, and may pay for it.
        """
        if not self.is_public and is_from_another_site(self.http):
            raise CrossSite("A page of another site may not call this endpoint.")
        self.perform_authentication(request)
        self.check_permissions(request)

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return what finds out who calls, where that matters."""
        return [] if self.is_public else [ClientKeys()]

    def perform_authentication(self, request: RestRequest) -> None:
        """Find out who calls; raises `KeyInvalid` and, where nobody can say, `Unavailable`."""
        self.key = cast("KeyFacts | None", request.auth)
        if self.key:
            accounting.identify(self.call, self.key)

    def check_permissions(self, request: RestRequest) -> None:
        """Refuse a key that is not for this endpoint."""
        if self.key and self.scope and self.key.scopes and self.scope not in self.key.scopes:
            raise NotAllowed(f"This key is not for {request.path}: it is for {', '.join(sorted(self.key.scopes))}.")

    @property
    def snapshot(self) -> Snapshot:
        """The registry, as far as the caller's key may see it."""
        whole = keeper.current()
        return whole.only(self.key.models) if self.key and self.key.models else whole

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]  # bytes, not a DRF Response
        """Turn whatever was raised into an answer in the caller's format."""
        error = told(exc, self.call)
        body = self.error_body(error)
        if self.call.explain:
            body = {**body, "tokenhub": journal.decision(self.call)}
        response = self.json(body, status=error.status)
        if error.status == 405:
            response["Allow"] = ", ".join(self.allowed_methods)
        if error.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        if isinstance(error, LimitReached):
            for name, value in error.headers.items():
                response[name] = value
        if error.retry_after is not None:
            response["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
        if self.call.attempts and type(error) is not Unavailable:
            response["x-should-retry"] = "false"  # whoever could answer has been asked already
        return response

    def shape(self, error: GatewayError) -> dict[str, Any]:
        """Return an error as the format of the endpoint has it."""
        return openai.error_body(error)

    def error_body(self, error: GatewayError) -> dict[str, Any]:
        """Return what is told of an error: of one within a flow also where, why, and what was made and paid before."""
        body = self.shape(error)
        if error.partial is not None:
            body = {**body, "phase": self.call.phase, "partial": error.partial}
        if isinstance(error, PhaseFailed):
            body = {**body, "cause": error.cause}
        return body

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer a request; what DRF notes of the answer is forgotten, for the view lasts as long as a stream."""
        answer = super().dispatch(request, *args, **kwargs)
        del self.response
        return answer

    def finalize_response(self, request: RestRequest, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tell of every call once: of a stream when it ends, of all others here."""
        if not response.streaming:
            accounting.ended(self.call)
            if self.claim:
                self.claim.settle(response)
            if self.content is not None:
                overhearing.answered(self.content, response.content)
        return response

    def answer_headers(self) -> dict[str, str]:
        """Return the headers that every answer of this endpoint has."""
        return journal.headers(self.call)

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]  # no body
        """Say which methods there are."""
        self.call.status = 204
        headers = {"Allow": ", ".join(self.allowed_methods)} | self.answer_headers()
        return HttpResponse(status=204, headers=headers)

    def json(self, body: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
        """Return a JSON answer with the headers of the call."""
        return self.answer(orjson.dumps(body), status=status)

    def answer(self, raw: bytes, *, status: int = 200) -> WholeAnswer:
        """Return JSON bytes as an answer with the headers of the call."""
        self.call.status = status
        return WholeAnswer(raw, status=status, content_type="application/json", headers=self.answer_headers())


class Asked(Protocol):
    """What an endpoint read from a body."""

    @property
    def stream(self) -> bool:
        """Whether the answer is to come as a stream."""

    @property
    def policy(self) -> Policy:
        """What the caller asks of the router."""


A = TypeVar("A", bound=Asked)


class GenerationView(GatewayView, Generic[A]):
    """An endpoint that asks models: POST with a JSON body, answered whole or as a stream."""

    is_booked: ClassVar[bool] = True

    @abstractmethod
    def read(self, raw: bytes, body: Mapping[str, Any], wishes: Policy) -> A:
        """Return what a body asks; raises `InvalidRequest`."""

    @abstractmethod
    def produce(self, asked: A, patience: Patience) -> Generator[bytes]:
        """Yield the bytes of the answer."""

    @abstractmethod
    def thinks(self, asked: A) -> bool:
        """Whether a stream may be silent for long, so that it is kept alive."""

    @abstractmethod
    def size(self, asked: A) -> int:
        """About how many tokens a request takes, its answer included where the caller names a limit."""

    def error_event(self, error: GatewayError) -> bytes:
        """Return an error as the last event of a stream."""
        return sse.event(orjson.dumps(self.error_body(error)))

    def post(self, request: RestRequest) -> HttpResponseBase:
        """Answer a request, or raise why not."""
        self.call.is_booked = self.is_booked
        raw = read_body(self.http)
        if self.key and self.key.log_content and self.is_booked:
            self.content = overhearing.begun(self.call, raw)
        understood = self._understood_and_prepared if beside.is_large(raw) else self._understood
        asked = beside.run(raw, understood, raw)
        self.call.stream, self.call.explain = asked.stream, asked.policy.explain
        self.call.session = asked.policy.session
        with ExitStack() as held:
            patience = held.enter_context(Patience(_seconds(asked.policy), self.http.META.get("gunicorn.socket")))
            try:
                if (earlier := self._admitted(asked, raw, patience)) is not None:
                    return earlier
                pieces = held.enter_context(closing(self._pieces(asked, patience)))
                first = next(pieces)
                if asked.stream:
                    return self._streamed(asked, chain([first], pieces), patience, held.pop_all())
                whole = first + b"".join(pieces)
            except CallerLeft:
                self.call.status, self.call.error = 499, CALLER_LEFT
                return HttpResponse(status=499)
            answer = self.answer(_with_decision(whole, self.call) if self.call.explain else whole)
            answer.held = held.pop_all()
            return answer

    def _admitted(self, asked: A, raw: bytes, patience: Patience) -> HttpResponse | None:
        """Count a request; returns what it was answered before, if its caller sends it again under the same key."""
        meta = self.http.META
        if asked.stream:
            idempotency.refuse_stream(meta)
        if self.key and self.is_booked:
            accounting.admit(self.call, self.key, self.size(asked))  # a replay gives its tokens back when it ends
        self.claim = idempotency.claimed(meta, self.call, raw)
        earlier = self.claim.earlier_answer(patience) if self.claim else None
        if earlier is None:
            return None
        answer = self.answer(earlier.body, status=earlier.status)
        for name, value in {**earlier.headers, **idempotency.REPLAY}.items():
            answer[name] = value
        return answer

    def prepare(self, asked: A) -> None:
        """Do the work that a large body makes, in a thread beside the hub."""

    def _understood_and_prepared(self, raw: bytes) -> A:
        asked = self._understood(raw)
        self.prepare(asked)
        return asked

    def _understood(self, raw: bytes) -> A:
        body = bodies.parse(raw, max_depth=settings.TOKENHUB_MAX_JSON_DEPTH)
        self.call.asked, self.call.user = openai.named(body)
        has_wishes = any(name.startswith(policy.IN_WSGI) for name in self.http.META)
        return self.read(raw, body, policy.read(body, self.http.headers if has_wishes else {}))

    def _streamed(self, asked: A, pieces: Iterator[bytes], patience: Patience, held: ExitStack) -> StreamedAnswer:
        meters.streams.add(self.call.id)
        events = EventStream(
            self.call, pieces, patience, held=held, error_event=self.error_event, has_parts=self.thinks(asked)
        )
        heard = events if self.content is None else overhearing.Overheard(events, self.content)
        return StreamedAnswer(heard, self.answer_headers() | _STREAM_HEADERS)

    def _pieces(self, asked: A, patience: Patience) -> Generator[bytes]:
        pieces = self.produce(asked, patience)
        if asked.stream and self.thinks(asked):
            return kept_alive(pieces, seconds=settings.TOKENHUB_PING_SECONDS, comment=sse.comment(b"ping"))
        return pieces


def _seconds(wishes: Policy) -> float:
    """Return how long a request may take: as long as the caller says, but no longer than the settings do."""
    longest: float = settings.TOKENHUB_REQUEST_SECONDS
    return longest if wishes.timeout_ms is None else min(longest, wishes.timeout_ms / 1000)


def _with_decision(answer: bytes, call: Call) -> bytes:
    """Return a whole answer, which is a JSON object, with the decision as one field more."""
    return answer.rstrip()[:-1] + b',"tokenhub":' + orjson.dumps(journal.decision(call)) + b"}"
