"""A look at something outside this process, again and again, in a thread of its own."""

import logging
import os
import threading
from collections.abc import Callable

from django.conf import settings
from django.db import connections

from registry import threads

logger = logging.getLogger(__name__)


def _refresh() -> float:
    seconds: float = settings.TOKENHUB_REFRESH_SECONDS
    return seconds


class Poll:
    """
    Calls `look` every so many seconds, by default TOKENHUB_REFRESH_SECONDS; 0 mean that nobody polls.

    Under gevent the thread is a greenlet, so a look that waits has to do it in a `threads.Pool`.
    """

    def __init__(self, name: str, look: Callable[[], None], *, seconds: Callable[[], float] = _refresh) -> None:
        self._name = name
        self._look = look
        self._seconds = seconds
        self._pid = 0
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self.first_look = threading.Event()
        """Set after the first look of this process, whatever it saw."""

    @property
    def is_running(self) -> bool:
        """Whether this process polls."""
        return self._pid == os.getpid()

    def start(self) -> None:
        """Begin to poll in this process, once however often it is called; after a fork, again. Not for pool threads."""
        if self.is_running or not self._seconds() or threads.in_pool_thread():
            return
        self._pid = os.getpid()
        # made here: what is made before the fork may not be of gevent's kind, and may be held by a thread of the parent
        self.first_look = threading.Event()
        self._stopped = threading.Event()
        self._woken = threading.Event()
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def follow_fork(self) -> None:
        """Begin again where a parent of this process polled."""
        if self._pid and not self.is_running:
            self.start()

    def wake(self) -> None:
        """Let the next look be now."""
        self._woken.set()

    def stop(self) -> None:
        """End the polling of this process."""
        self._stopped.set()
        self._woken.set()
        self._pid = 0

    def _run(self) -> None:
        stopped, woken, first_look = self._stopped, self._woken, self.first_look
        while not stopped.is_set():
            try:
                threads.with_fresh_connections(self._look)
            except Exception:  # whatever it was, a worker that stopped looking would obey nobody any more
                logger.exception("a look of %s failed", self._name)
            first_look.set()
            woken.wait(self._seconds())
            woken.clear()
        connections.close_all()
