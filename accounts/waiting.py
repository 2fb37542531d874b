"""The threads in which requests wait for the database, to reserve what they may cost and to claim a repeated one."""

from typing import Final

from registry import threads

STATEMENT_SECONDS: Final = 2.0  # that a request waits for a lock, or an answer, of PostgreSQL
TOTAL_SECONDS: Final = 4.0  # that it waits in all, for others before it and for a new connection too

# Of their own, so that no page of the admin keeps a call waiting; few, since each has a connection.
pool: Final = threads.Pool(threads.writers(2), statement=STATEMENT_SECONDS, total=TOTAL_SECONDS)
