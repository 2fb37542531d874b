"""What leaves an endpoint: answers in one piece or in events, and what is told of a failure."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import orjson
from django.http import HttpResponse, StreamingHttpResponse
from rest_framework.exceptions import APIException

from gateway import accounting, journal, overhearing
from gateway.errors import CallerLeft, GatewayError, MethodNotAllowed, Unavailable, Unexpected, let_go
from gateway.exchange import CALLER_LEFT, Attempt, Call
from gateway.patience import Patience
from gateway.wire import sse
from registry.keeper import SnapshotUnavailable

logger = logging.getLogger("gateway.views")


class WholeAnswer(HttpResponse):
    """An answer in one piece, which may hold what it needs until its last byte has gone to the caller."""

    held: ExitStack | None = None

    def close(self) -> None:
        """Called by the server when the answer is over; no request has begun that Django was told of."""
        self.closed = True
        if self.held is not None:
            self.held.close()


class StreamedAnswer(StreamingHttpResponse):
    """An answer in events."""

    def __init__(self, events: EventStream | overhearing.Overheard, headers: Mapping[str, str]) -> None:
        super().__init__(events, content_type="text/event-stream; charset=utf-8", headers=headers)
        self.events = events
        """The body itself, which does without the rest once the headers are known."""

    def close(self) -> None:
        """Called by the server when the answer is over; no request has begun that Django was told of."""
        self.closed = True
        self.events.close()


class EventStream:
    """The body of a streamed answer. It ends with an in-band error if it must, and the call is told however it ends.

    `held` is what the answer needs until its last byte has gone to the caller, which is when the server closes it;
    `has_parts` says that it is made of several answers, so that the end of one may not be its own.
    """

    def __init__(
        self,
        call: Call,
        pieces: Iterator[bytes],
        patience: Patience,
        *,
        held: ExitStack,
        error_event: Callable[[GatewayError], bytes],
        has_parts: bool,
    ) -> None:
        self._call = call
        self._error_event = error_event
        self._pieces = pieces
        self._patience = patience
        self._held = held
        self._has_parts = has_parts
        self._written: Attempt | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the events; a failure after the first of them becomes an event itself."""
        try:
            for piece in self._pieces:
                self._write_down()
                yield piece
                self._patience.give_way()
            self._call.status = 200
            if self._call.explain:
                yield sse.comment(b"tokenhub " + orjson.dumps(journal.decision(self._call)))
        except CallerLeft:
            # not as a whole answer ends, for one who has only closed their own side
            raise BrokenPipeError(errno.EPIPE, "the caller has left") from None
        except Exception as exc:  # noqa: BLE001 - whatever it was, half an answer must not look like a whole one
            error = told(exc, self._call)
            yield error.event or self._error_event(error)

    def _write_down(self) -> None:
        answered = self._call.answered
        if answered is None or not answered.is_finished or answered is self._written:
            return
        self._written = answered
        accounting.finishing(self._call, is_last=not self._has_parts)

    def close(self) -> None:
        """Called by the server when the answer is over, whichever side ended it."""
        try:
            self._held.close()
        finally:
            if not self._call.status:
                self._call.status, self._call.error = 499, CALLER_LEFT
            accounting.ended(self._call)


def told(exc: Exception, call: Call) -> GatewayError:
    """Return what the caller is told of what was raised, and note it in the record; a fault of ours goes to the log."""
    error = _as_gateway_error(exc)
    if isinstance(error, Unexpected):
        logger.error("fault in %s", call.endpoint, exc_info=exc, extra={"request_id": call.id})
    call.status, call.error = error.status, error.code
    let_go(exc)
    return error


def _as_gateway_error(exc: Exception) -> GatewayError:
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, SnapshotUnavailable):
        return Unavailable("The registry or the keys cannot be read now.", retry_after=1)
    if isinstance(exc, APIException) and exc.status_code == 405:
        return MethodNotAllowed(str(exc.detail))
    return Unexpected("The gateway made a mistake; its log has the details under this request's id.")
