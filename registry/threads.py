"""Real threads for work that must not block the hub: under gevent `threading.Thread` is only a greenlet."""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, TypeVar, TypeVarTuple

from django.db import OperationalError, close_old_connections, connection

from registry import bounds

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def gevent_is_patching() -> bool:
    """Whether `threading` is gevent's here, as it is in the workers but not in commands, tests and runserver."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def in_pool_thread() -> bool:
    """Whether this is a real thread beside the hub: to wait here holds nobody up, and greenlets made here never run."""
    # gevent is never imported at the top: it has no business in a process that it does not patch
    return gevent_is_patching() and not import_module("gevent").get_hub().main_hub


def real_lock() -> AbstractContextManager[Any]:
    """Return a lock that threads beside the hub may share with it; whoever holds it must not wait for anything."""
    if not gevent_is_patching():
        return threading.Lock()
    lock: AbstractContextManager[Any] = import_module("gevent.monkey").get_original("threading", "Lock")()
    return lock


def with_fresh_connections(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Call `function` as a request would be: connections that broke or grew too old are closed before and after."""
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


def writers(most: int) -> int:
    """
    Return how many threads of a process may write at the same time, `most` or one.

    SQLite has one lock, without a queue: of many threads that wait for it some come too late, though it is free often.
    Those of one process wait better in the line for their only thread.
    """
    return 1 if connection.vendor == "sqlite" else most


def within(seconds: float, function: Callable[[*Ts], None], *args: *Ts) -> None:
    """
    Call `function(*args)`, and wait for its end no longer than so many seconds: it goes on without the caller.

    It must raise nothing. Where nothing waits cooperatively it is called here, however long it takes.
    """
    if not gevent_is_patching() or in_pool_thread():
        function(*args)
        return
    started = threading.Thread(target=function, args=args, daemon=True)
    started.start()
    started.join(seconds)


class Pool:
    """
    A few OS threads of one process; those who must not wait for each other have a pool each.

    The threads are made at the first `run` of a process, thus after the fork, and keep their database connections
    as long as `CONN_MAX_AGE` says. So the sizes of all pools add up to the connections that a worker may open.

    `statement` is the seconds after which PostgreSQL is believed to be away in these threads, and `total` those after
    which a caller waits no longer, be it for a thread or for what the thread does; None is as long as it takes.
    """

    def __init__(self, size: int, *, statement: float | None = None, total: float | None = None) -> None:
        self._size = size
        self._statement = statement
        self._total = total
        self._pid = 0
        self._threads: Any = None

    def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """
        What `function(*args)` returns or raises, computed in a thread of the pool while other greenlets run.

        Raises django.db.OperationalError after `total` seconds; a function that has begun goes on without its caller.
        In the calling thread instead where nothing waits cooperatively: without gevent, and in a real thread already.
        """
        if not gevent_is_patching() or in_pool_thread():
            return function(*args)
        late = OperationalError(f"the database did not answer within {self._total} s")
        with import_module("gevent").Timeout(self._total, late):
            result = self._pool_of_this_process().apply(self._carried, (function, *args))
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    def _carried(self, function: Callable[[*Ts], T], *args: *Ts) -> T | Exception:
        """Return what came of it; an exception that left a task would be printed by gevent."""
        result: T | Exception = import_module("gevent.util").wrap_errors((Exception,), self._bounded)(function, *args)
        fault: BaseException | None = result if isinstance(result, BaseException) else None
        while fault is not None:
            # what the frames hold goes here: a cursor that the hub let go would wait for this thread's next statement
            traceback.clear_frames(fault.__traceback__)
            fault = fault.__cause__ or fault.__context__
        return result

    def _bounded(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        with bounds.of_this_thread(self._statement):
            return with_fresh_connections(function, *args)

    def _pool_of_this_process(self) -> Any:
        if self._pid != os.getpid():
            self._threads = import_module("gevent.threadpool").ThreadPool(self._size)
            self._pid = os.getpid()
        return self._threads


_shared = Pool(2)


def run(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """`Pool.run` in the pool that all who have none of their own share."""
    return _shared.run(function, *args)
