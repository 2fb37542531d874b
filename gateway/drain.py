"""A worker that was told to stop: it says so, lets streams finish until a deadline, and ends the rest in order."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import gevent

from gateway.errors import Unavailable
from gateway.patience import Patience

_CUT_SECONDS: Final = 2.0

_draining = False
_last_things: list[Callable[[], None]] = []


def is_draining() -> bool:
    """Whether this worker has been told to stop."""
    return _draining


def begin(seconds: float) -> None:
    """Let the requests of this worker finish, and end those that are still under way after `seconds`."""
    global _draining  # noqa: PLW0603 - a process stops once
    _draining = True
    gevent.get_hub().loop.timer(seconds).start(_end_all)


def at_end(last_thing: Callable[[], None]) -> None:
    """Have something done when the last answer is out, before the process ends."""
    _last_things.append(last_thing)


def over() -> None:
    """Do what was left for the end, each whatever befell the others; called when no request is under way any more."""
    with ExitStack() as left:
        for last_thing in reversed(_last_things):
            left.callback(last_thing)


def _end_all() -> None:
    Patience.refusal = _restarting  # a body that came slowly may bring a request yet
    for patience in list(Patience.under_way):
        patience.end(_restarting)
    gevent.get_hub().loop.timer(_CUT_SECONDS).start(_cut_all)


def _restarting() -> Unavailable:
    return Unavailable("The gateway is restarting; please send the request again.", retry_after=1)


def _cut_all() -> None:
    """Free the requests that cannot be told: their callers do not read."""
    for patience in list(Patience.under_way):
        patience.cut()
