"""Asks a second model as well when the first is slow to begin: whoever comes to words first has the answer."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Final

import gevent
from gevent.queue import Queue
from gevent.util import wrap_errors

from gateway.cooldown import Permit, cooldowns
from gateway.errors import CallerLeft, OutOfTime, ProviderFailure, let_go
from gateway.exchange import CALLER_LEFT, OVERTAKEN, Attempt, Delta
from gateway.patience import Patience
from gateway.quotas import Release, nothing
from registry.snapshot import ModelFacts

_MOST_HELD_PIECES: Final = 64
_MOST_HELD_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Try:
    """An attempt under way: the pieces up to its first content are `held`, unless a `failure` came before it."""

    permit: Permit
    record: Attempt
    pieces: Generator[Delta]
    release: Release = nothing
    """Frees its place at the model, with the tokens that it took."""
    is_hidden: bool = False
    """Whether nobody sees the pieces as they come, so that the whole answer can be waited for."""
    held: list[Delta] = field(default_factory=list)
    failure: ProviderFailure | None = None

    def hold(self) -> None:
        """Wait for the first content, or for as much as may be held back at most; of a hidden answer for all of it."""
        has_ended = True
        try:
            self.held = list(self.pieces) if self.is_hidden else _until_content(self.pieces)
            has_ended = self.record.is_finished
        except ProviderFailure as failure:
            self.failure = let_go(failure)
        finally:
            if has_ended:
                self.release(self.record.usage.total)

    def rest(self) -> Generator[Delta]:
        """Yield what was held back, and then the rest as it comes; the place is free before the last of it."""
        try:
            for piece in chain(self.held, self.pieces):
                if self.record.is_finished:
                    self.release(self.record.usage.total)
                yield piece
        finally:
            self.abandon()

    @property
    def model(self) -> ModelFacts:
        """The model that is asked."""
        return self.permit.model

    def abandon(self) -> None:
        """Close the connection to the provider, if there is one already, and give back its place and its probe."""
        try:
            self.pieces.close()
        finally:
            cooldowns.released(self.permit)
            self.release(self.record.usage.total)


Start = Callable[[Patience], Try | None]


def race(first: Start, second: Start, patience: Patience, *, seconds: float) -> list[Try]:
    """Return what was tried, the winner last if there is one; `second` starts after so many seconds without words.

    The attempt that is overtaken is closed, and booked like any that is cut off.
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
            entrant.abandon()
            if won and entrant.record.error in {"", CALLER_LEFT}:  # and did not fail by itself meanwhile
                entrant.record.error = OVERTAKEN


def _launch(start: Start, patience: Patience, done: Queue[Any], runners: dict[Any, Try]) -> None:
    entrant = start(patience.child())
    if entrant is not None:
        greenlet = gevent.spawn(wrap_errors((BaseException,), entrant.hold))
        greenlet.rawlink(done.put)
        runners[greenlet] = entrant


def _next(done: Queue[Any], runners: dict[Any, Try], patience: Patience) -> Try:
    """Return the try that has come to words or failed; raises what else ended it, or the whole request."""
    with patience.limit(float("inf"), partial(OutOfTime, "")):
        greenlet = done.get()
    entrant = runners.pop(greenlet)
    if isinstance(greenlet.value, BaseException):
        raise greenlet.value
    return entrant


def _until_content(pieces: Iterator[Delta]) -> list[Delta]:
    held: list[Delta] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece.raw)
        if piece.content or len(held) >= _MOST_HELD_PIECES or size >= _MOST_HELD_BYTES:
            break
    return held
