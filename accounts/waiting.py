"""The threads in which requests wait for the database, to reserve, to claim what is repeated, and to read the books."""

from collections.abc import Callable
from typing import Final, TypeVar

from django.db import Error as DatabaseFault

from registry import threads

T = TypeVar("T")

STATEMENT_SECONDS: Final = 2.0  # that a request waits for a lock, or an answer, of PostgreSQL
TOTAL_SECONDS: Final = 4.0  # that it waits in all, for others before it and for a new connection too
READ_SECONDS: Final = 10.0  # that it waits for what it reads of the books

# Of their own, so that no page of the admin keeps a call waiting; few, since each has a connection.
pool: Final = threads.Pool(threads.writers(2), statement=STATEMENT_SECONDS, total=TOTAL_SECONDS)
# What callers read of the books: it may take longer, but waits for no page of the admin either.
reads: Final = threads.Pool(1, statement=READ_SECONDS, total=READ_SECONDS)


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
