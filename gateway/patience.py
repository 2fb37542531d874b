"""How long a request waits for a provider, and whether anyone still waits for the request.

Under gevent every wait is bounded exactly and ends at once when the caller hangs up. Elsewhere (runserver, commands)
the socket's own timeouts are all there is, and a caller's leaving shows when the next piece is written.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from weakref import WeakSet

import gevent
from django.conf import settings
from gevent import monkey

from gateway.errors import CallerLeft, OutOfTime, TimedOut, let_go

_READ: Final = 1  # libev's EV_READ
_SAME_SECONDS: Final = 0.01
_LONGEST_TURN_SECONDS: Final = 0.01
_LOOK_SECONDS: Final = 0.25  # between two looks at a caller who has sent more than a request

Outcome = Callable[[], BaseException]
"""What makes the error that a wait, or a request, ends with."""


def is_cooperative() -> bool:
    """Whether sockets in this process give way to other requests while they wait."""
    return bool(monkey.is_module_patched("socket"))


class Patience:
    """The clock of one request: `seconds` for all its attempts together, and the socket of the caller, if there is one.

    Used as a context manager around the request; `limit` inside it around every single wait.
    """

    def __init__(self, seconds: float, caller: socket.socket | None = None) -> None:
        self._ends = time.monotonic() + seconds
        self._attempt_ends = self._ends
        self.is_cooperative = is_cooperative()
        self._caller = caller if self.is_cooperative else None
        self._greenlet: Any = None
        self._watcher: Any = None
        self._ended: Outcome | None = None
        self._children: list[Patience] = []
        self._turn = 0
        self._turn_began = 0.0
        self.waits = False
        self.has_asked = False
        """Whether the request of the attempt under way has gone out to its provider, who may bill it."""

    under_way: ClassVar[WeakSet[Patience]] = WeakSet()
    refusal: ClassVar[Callable[[], BaseException] | None] = None
    """Makes what ends a request that begins now; None while they are welcome."""

    def child(self) -> Patience:
        """Return the clock of one of several attempts at a time; what ends the request ends it as well."""
        child = Patience(0.0)
        child._ends = child._attempt_ends = self._ends
        self._children.append(child)
        return child

    def limit(self, seconds: float, late: Outcome) -> _Limit:
        """Return a context in which a wait of more than `seconds` raises what `late` makes.

        `OutOfTime` where the request's time is over before, `TimedOut` where that of the attempt is. An error is made
        when it is raised: one that a frame held already would hold the frame, and all that is in it, in a circle.
        """
        left = self._attempt_ends - time.monotonic()
        if left >= seconds - _SAME_SECONDS:
            return _Limit(self, seconds, late)
        return _Limit(self, left, _attempt_over if self._attempt_ends < self._ends else _request_over)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let everything inside, which is one attempt, be over in `seconds` together."""
        self.has_asked = False
        self._attempt_ends = min(self._ends, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._attempt_ends = self._ends

    def pause(self, seconds: float) -> None:
        """Sleep; ends early with `CallerLeft`, or with `OutOfTime` or `TimedOut` when there is no more time."""
        if seconds > 0:
            with self.limit(float("inf"), _nothing):
                time.sleep(seconds)

    def give_way(self) -> None:
        """Let others run if none of them has for a while: where bytes are always ready, nothing else would."""
        if not self.is_cooperative:
            return
        turn, now = gevent.get_hub().loop.iteration, time.monotonic()
        if turn != self._turn:  # the hub ran meanwhile, and with it whoever could
            self._turn, self._turn_began = turn, now
        elif now - self._turn_began > _LONGEST_TURN_SECONDS:
            gevent.sleep(0)

    def end(self, outcome: Outcome) -> None:
        """Let the request be over with what `outcome` makes: now if it waits, else at its next wait. From the hub."""
        self._ended = outcome
        for child in self._children:
            child.end(outcome)
        if self.waits:
            self.waits = False
            self._greenlet.throw(outcome())

    def waits_in(self, greenlet: Any) -> None:
        """Note that the request waits now, and who has to be told when it is over."""
        self._greenlet = greenlet
        self.waits = True

    def cut(self) -> None:
        """Close the caller's connection: for a request that was ended and hangs in a write. Called from the hub."""
        if self._caller is not None:
            with suppress(OSError):  # it may be gone by itself
                self._caller.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise what ended the request, if anything did."""
        if self._ended is not None:
            raise self._ended()

    def __enter__(self) -> Self:
        if self.is_cooperative:
            Patience.under_way.add(self)
            if Patience.refusal is not None:
                self.end(Patience.refusal)
        if self._caller is not None and self._caller.fileno() >= 0:
            self._watcher = gevent.get_hub().loop.io(self._caller.fileno(), _READ)
            self._watcher.start(self._readable)
            # one that never reads would hold its stream for ever
            self._caller.settimeout(settings.TOKENHUB_WRITE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        Patience.under_way.discard(self)
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._caller is not None:
            self._caller.settimeout(None)

    def _readable(self) -> None:
        """Runs in the hub when the caller's socket has something to say: an end, or (rarely) the next request."""
        self._watcher.stop()
        if self._hung_up():
            self.end(CallerLeft)
            return
        # the bytes of a next request keep the socket readable: what follows them has to be asked for
        self._watcher.close()
        self._watcher = gevent.get_hub().loop.timer(_LOOK_SECONDS)
        self._watcher.start(self._readable)

    def _hung_up(self) -> bool:
        if self._caller is None or self._caller.fileno() < 0:
            return True
        poll = monkey.get_original("select", "poll")()  # gevent's own would wait, and the hub cannot
        poll.register(self._caller.fileno(), select.EPOLLRDHUP)
        return bool(poll.poll(0))


class _Limit:
    """One bounded wait."""

    __slots__ = ("_late", "_patience", "_seconds", "_timer")

    def __init__(self, patience: Patience, seconds: float, late: Outcome) -> None:
        self._patience = patience
        self._seconds = seconds
        self._late = late
        self._timer: Any = None

    def __enter__(self) -> None:
        patience = self._patience
        patience.check()
        if self._seconds <= 0:
            raise self._late()
        if patience.is_cooperative:
            self._timer = gevent.Timeout.start_new(self._seconds)
            patience.waits_in(gevent.getcurrent())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._patience.waits = False
        if self._timer is not None:
            self._timer.close()
            if error is self._timer:
                let_go(error)  # gevent remembers the last that it threw, and all the frames of it
                raise self._late() from None


def _attempt_over() -> TimedOut:
    return TimedOut("The answer took longer than the provider may take.")


def _request_over() -> OutOfTime:
    return OutOfTime("The answer took longer than the request may take.")


def _nothing() -> OutOfTime:
    return OutOfTime("")
