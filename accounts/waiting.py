"""The threads in which requests wait for the database, to reserve what they may cost and to claim a repeated one."""

from collections.abc import Callable
from typing import Final, TypeVar

from django.db import Error as DatabaseFault

from registry import threads

T = TypeVar("T")

STATEMENT_SECONDS: Final = 2.0  # that a request waits for a lock, or an answer, of PostgreSQL
TOTAL_SECONDS: Final = 4.0  # that it waits in all, for others before it and for a new connection too

# Of their own, so that no page of the admin keeps a call waiting; few, since each has a connection.
pool: Final = threads.Pool(threads.writers(2), statement=STATEMENT_SECONDS, total=TOTAL_SECONDS)


def run_or_undo(take: Callable[[], T], undo: Callable[[T], None]) -> T:
    """Return what `take` returns in a thread, and undo it if nobody waits for it any more. Raises django.db.Error."""
    given_up = False

    def work() -> T:
        taken = take()
        if given_up:
            undo(taken)
        return taken

    try:
        return pool.run(work)
    except DatabaseFault:
        given_up = True
        raise
