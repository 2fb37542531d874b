"""Asks a second model as well when the first is slow to begin: whoever comes to words first has the answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import gevent
from gevent.queue import Queue
from gevent.util import wrap_errors

from gateway.attempt import cost_of
from gateway.errors import CallerLeft, OutOfTime, ProviderFailure
from gateway.exchange import OVERTAKEN, Attempt, Delta, Usage
from gateway.patience import Patience
from registry.snapshot import ModelFacts

_MOST_HELD_PIECES: Final = 64
_MOST_HELD_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Try:
    """An attempt under way: the pieces up to its first content are `held`, unless a `failure` came before it."""

    model: ModelFacts
    record: Attempt
    pieces: Generator[Delta]
    held: list[Delta] = field(default_factory=list)
    failure: ProviderFailure | None = None

    def hold(self) -> None:
        """Wait for the first content, or for as much as may be held back at most."""
        try:
            self.held = _until_content(self.pieces)
        except ProviderFailure as failure:
            self.failure = failure


Start = Callable[[Patience], Try | None]


def race(first: Start, second: Start, patience: Patience, *, seconds: float, estimate: int) -> list[Try]:
    """Return what was tried, the winner last if there is one; `second` starts after so many seconds without words.

    The attempt that is overtaken is closed and booked with the `estimate` of its prompt, for which providers may ask.
    """
    done: Queue[Any] = Queue()
    runners: dict[Any, Try] = {}
    ended: list[Try] = []
    won = False
    try:
        _launch(first, patience, done, runners)
        if not runners:
            return ended
        with gevent.Timeout(seconds, False):  # noqa: FBT003 - gevent's way to say "quietly"
            ended.append(_next(done, runners, patience))
        if not ended:
            _launch(second, patience, done, runners)
        while runners and (not ended or ended[-1].failure):
            ended.append(_next(done, runners, patience))
        won = True
        return ended
    finally:
        for greenlet, entrant in runners.items():
            greenlet.kill(CallerLeft())
            if won:
                _book_overtaken(entrant, estimate)


def _launch(start: Start, patience: Patience, done: Queue[Any], runners: dict[Any, Try]) -> None:
    entrant = start(patience.child())
    if entrant is not None:
        greenlet = gevent.spawn(wrap_errors((BaseException,), entrant.hold))
        greenlet.rawlink(done.put)
        runners[greenlet] = entrant


def _next(done: Queue[Any], runners: dict[Any, Try], patience: Patience) -> Try:
    """Return the try that has come to words or failed; raises what else ended it, or the whole request."""
    with patience.limit(float("inf"), OutOfTime("")):
        greenlet = done.get()
    entrant = runners.pop(greenlet)
    if isinstance(greenlet.value, BaseException):
        raise greenlet.value
    return entrant


def _book_overtaken(entrant: Try, estimate: int) -> None:
    record = entrant.record
    record.error = OVERTAKEN
    record.usage = Usage(uncached=estimate, estimated=True)
    record.cost_micro = cost_of(entrant.model, record.usage)


def _until_content(pieces: Iterator[Delta]) -> list[Delta]:
    held: list[Delta] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece.raw)
        if piece.content or len(held) >= _MOST_HELD_PIECES or size >= _MOST_HELD_BYTES:
            break
    return held
