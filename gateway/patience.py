"""How long a request waits for a provider, and whether anyone still waits for the request.

Under gevent every wait is bounded exactly and ends at once when the caller hangs up. Elsewhere (runserver, commands)
the socket's own timeouts are all there is, and a caller's leaving shows when the next piece is written.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from weakref import WeakSet

import gevent
from gevent import monkey

from gateway.errors import CallerLeft, TimedOut

_READ: Final = 1  # libev's EV_READ
_SAME_SECONDS: Final = 0.01
_LONGEST_TURN_SECONDS: Final = 0.01
_WRITE_SECONDS: Final = 60.0  # for a caller to take a piece; one that never reads would hold its stream for ever


def is_cooperative() -> bool:
    """Whether sockets in this process give way to other requests while they wait."""
    return bool(monkey.is_module_patched("socket"))


class Patience:
    """The clock of one request: `seconds` for all its attempts together, and the socket of the caller, if there is one.

    Used as a context manager around the request; `limit` inside it around every single wait.
    """

    def __init__(self, seconds: float, caller: socket.socket | None = None) -> None:
        self._ends = time.monotonic() + seconds
        self.is_cooperative = is_cooperative()
        self._caller = caller if self.is_cooperative else None
        self._greenlet: Any = None
        self._watcher: Any = None
        self._outcome: BaseException | None = None
        self._gave_way = time.monotonic()
        self.waits = False

    under_way: ClassVar[WeakSet[Patience]] = WeakSet()

    @property
    def remaining(self) -> float:
        """Seconds until the request must be over, never negative."""
        return max(0.0, self._ends - time.monotonic())

    def limit(self, seconds: float, error: Exception) -> _Limit:
        """Return a context in which a wait of more than `seconds` raises `error`; `TimedOut` if time is over before."""
        remaining = self.remaining
        if remaining < seconds - _SAME_SECONDS:
            return _Limit(self, remaining, TimedOut("The answer took longer than it may."))
        return _Limit(self, seconds, error)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let everything inside be over in `seconds` together."""
        ends = self._ends
        self._ends = min(ends, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._ends = ends

    def pause(self, seconds: float) -> None:
        """Sleep; ends early with `CallerLeft` or, when the request's time is over, with `TimedOut`."""
        if seconds > 0:
            with self.limit(self.remaining, TimedOut("The time for this request is over.")):
                time.sleep(seconds)

    def give_way(self) -> None:
        """Let others run for a moment: where bytes are always ready, nothing else would."""
        if self.is_cooperative and (now := time.monotonic()) - self._gave_way > _LONGEST_TURN_SECONDS:
            self._gave_way = now
            gevent.sleep(0)

    def end(self, outcome: BaseException) -> None:
        """Let the request be over with `outcome`: now if it waits, else at its next wait. Called from the hub."""
        self._outcome = outcome
        if self.waits:
            self.waits = False
            self._greenlet.throw(outcome)

    def check(self) -> None:
        """Raise what ended the request, if anything did."""
        if self._outcome is not None:
            raise self._outcome

    def __enter__(self) -> Self:
        if self.is_cooperative:
            self._greenlet = gevent.getcurrent()
            Patience.under_way.add(self)
        if self._caller is not None and self._caller.fileno() >= 0:
            self._watcher = gevent.get_hub().loop.io(self._caller.fileno(), _READ)
            self._watcher.start(self._readable)
            self._caller.settimeout(_WRITE_SECONDS)
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
            self.end(CallerLeft())

    def _hung_up(self) -> bool:
        if self._caller is None:
            return False
        blocking_socket = monkey.get_original("socket", "socket")  # gevent's own would wait, and the hub cannot
        try:
            with blocking_socket(fileno=os.dup(self._caller.fileno())) as peer:
                return bool(peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"")
        except BlockingIOError:
            return False
        except OSError:
            return True


class _Limit:
    """One bounded wait."""

    __slots__ = ("_error", "_patience", "_seconds", "_timer")

    def __init__(self, patience: Patience, seconds: float, error: Exception) -> None:
        self._patience = patience
        self._seconds = seconds
        self._error = error
        self._timer: Any = None

    def __enter__(self) -> None:
        patience = self._patience
        patience.check()
        if self._seconds <= 0:
            raise self._error
        if patience.is_cooperative:
            self._timer = gevent.Timeout.start_new(self._seconds)
            patience.waits = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._patience.waits = False
        if self._timer is not None:
            self._timer.close()
            if error is self._timer:
                raise self._error from None
