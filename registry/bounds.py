"""How long threads of a worker wait for PostgreSQL: a lock, a slow statement or a server that says nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

_LOCK_SECONDS: Final = 10.0  # in threads whose statements may take as long as they like
_SPARE_SECONDS: Final = 0.5  # that the server has to say by itself that it took too long
_NO_BOUND: Final = 0.0

_thread = threading.local()


@contextmanager
def of_this_thread(statement: float | None) -> Iterator[None]:
    """Bind the connections that this thread makes meanwhile to so many seconds a statement, and for a lock."""
    _thread.statement = statement or _NO_BOUND
    try:
        yield
    finally:
        del _thread.statement


def bind(connection: BaseDatabaseWrapper, **_: object) -> None:
    """Bind a connection that was just made as its thread says; those of commands and tests are left as they are."""
    statement: float | None = getattr(_thread, "statement", None)
    if statement is None or connection.vendor != "postgresql":
        return
    if statement:
        _give_up_after(connection, statement + _SPARE_SECONDS)
    milliseconds = [str(round(1000 * each)) for each in (statement, statement or _LOCK_SECONDS)]
    with connection.cursor() as cursor:
        told = "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)"
        cursor.execute(told, milliseconds)


def _give_up_after(connection: Any, seconds: float) -> None:
    """Let every exchange with a server end: one that hangs and keeps the line open is noticed by nothing else."""
    raw = connection.connection
    wait: Callable[..., Any] = raw.wait
    late: type[Exception] = connection.Database.OperationalError

    def bounded(exchange: Generator[Any, Any, Any], *args: Any, **more: Any) -> Any:
        return wait(_ending(exchange, time.monotonic() + seconds, raw, late), *args, **more)

    raw.wait = bounded


def _ending(
    exchange: Generator[Any, Any, Any], ends: float, raw: Any, late: type[Exception]
) -> Generator[Any, Any, Any]:
    """Go through an exchange, to which psycopg comes back ten times a second, until it is over or too late."""
    try:
        wanted = next(exchange)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > ends:
                raw.close()  # whatever it says later is the answer to nothing
                raise late("the server did not answer in time")
            wanted = exchange.send(ready)
    except StopIteration as done:
        return done.value


connection_created.connect(bind, dispatch_uid="registry.bounds")
