"""How late a worker's hub is: whatever holds it holds up every stream of the worker, and should be known."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import gevent
from django.conf import settings

from gateway import meters
from gateway.patience import is_cooperative

logger = logging.getLogger(__name__)

_BEAT_SECONDS: Final = 0.05
_BEATS_A_SECOND: Final = round(1 / _BEAT_SECONDS)
_WINDOW_SECONDS: Final = 60
_QUIET_SECONDS: Final = 60.0  # between two warnings: what is held once is often held again


class Watchdog:
    """A timer that should run every 50 ms, and tells by how much it was late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = float("inf")  # what a worker does before its first beat, such as to load, holds up nobody
        self._beats = 0
        self._longest = 0.0
        self._window: deque[float] = deque(maxlen=_WINDOW_SECONDS)
        self._each_second: Callable[[], None] = _nothing
        self._timer: Any = None
        self._quiet_until = 0.0
        self._untold = 0

    @property
    def longest(self) -> float:
        """The longest lag of the last minute, in seconds."""
        return max(self._longest, *self._window, 0.0)

    def start(self, each_second: Callable[[], None]) -> None:
        """Watch the hub of this worker, and call what is to be done each second there; without gevent there is none."""
        if not is_cooperative():
            return
        self._each_second = each_second
        self._timer = gevent.get_hub().loop.timer(_BEAT_SECONDS, _BEAT_SECONDS)
        self._timer.start(self.beat)

    def beat(self) -> None:
        """Note how late it is; called from the hub."""
        now = self._clock()
        lag, self._due = max(0.0, now - self._due), now + _BEAT_SECONDS
        self._longest = max(self._longest, lag)
        self._beats += 1
        if meters.is_on():
            meters.HUB_LAG.observe(lag)
        if lag >= settings.TOKENHUB_HUB_LAG_SECONDS:
            self._warn(lag, now)
        if self._beats % _BEATS_A_SECOND == 0:
            self._window.append(self._longest)
            self._longest = 0.0
            self._each_second()

    def _warn(self, lag: float, now: float) -> None:
        if now < self._quiet_until:
            self._untold += 1
            return
        extra = {"lag_seconds": round(lag, 3), "untold": self._untold}
        logger.warning("all requests of this worker stood still for %.2f s", lag, extra=extra)
        self._quiet_until, self._untold = now + _QUIET_SECONDS, 0


def _nothing() -> None:
    """Do nothing each second."""


watchdog = Watchdog()
