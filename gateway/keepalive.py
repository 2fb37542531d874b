"""Keeps a stream alive while nothing comes: proxies and clients hang up on a connection that is silent."""

from collections.abc import Generator
from contextlib import closing
from typing import Any, Final

import gevent
from gevent.queue import Empty, Queue
from gevent.util import wrap_errors

from gateway.errors import CallerLeft
from gateway.patience import is_cooperative

_END: Final = object()


class _Unheard(CallerLeft):
    """Nobody takes the pieces any more."""


def kept_alive(pieces: Generator[bytes], *, seconds: float, comment: bytes) -> Generator[bytes]:
    """Yield the pieces, and the comment whenever so many seconds pass without one.

    The pieces are made in a greenlet of their own. Elsewhere than under gevent they are yielded as they come.
    """
    if not is_cooperative():
        yield from pieces
        return
    made: Queue[Any] = Queue(1)
    maker = gevent.spawn(wrap_errors((BaseException,), _make), pieces, made)
    try:
        while True:
            try:
                piece = made.get(timeout=seconds)
            except Empty:
                yield comment
                continue
            if piece is _END:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        maker.kill(_Unheard())


def _make(pieces: Generator[bytes], made: "Queue[Any]") -> None:
    """Put the pieces into the queue, and then what ended them, unless it was that nobody takes them out."""
    outcome: Any = wrap_errors((BaseException,), _pour)(pieces, made)
    if not isinstance(outcome, _Unheard):
        made.put(_END if outcome is None else outcome)


def _pour(pieces: Generator[bytes], made: "Queue[Any]") -> None:
    with closing(pieces):
        for piece in pieces:
            made.put(piece)
