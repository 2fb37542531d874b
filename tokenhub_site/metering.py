"""Where the workers of one gunicorn count together: files in memory, one set for each place in the row of workers.

A worker that replaces another takes its place and goes on counting in its files, so that nothing is lost with a worker
and nothing grows with their number. The folder lasts as long as the gunicorn that made it.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import multiprocess, values

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus_client
_PREFIX: Final = "tokenhub-metrics-"
_LOCK: Final = "lock"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a full disk must not stop a worker that counts


def begin() -> None:
    """Make a folder for this gunicorn, and remove those of others that are no more."""
    parent = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for old in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        _remove_if_free(old)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    unlocked = folder / f"{_LOCK}.new"  # a name that nobody looks for, until it is locked
    descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # held until the last process that has the descriptor ends
    unlocked.rename(folder / _LOCK)
    os.environ[_FOLDER] = str(folder)


def _remove_if_free(lock: Path) -> None:
    with suppress(OSError):  # somebody else's, held, or gone meanwhile
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
        finally:
            os.close(descriptor)


def over() -> None:
    """Remove the folder when gunicorn ends."""
    shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)


def seat(worker: Any, others: list[Any]) -> None:
    """Give a worker that is about to be forked the first place that none of the others has."""
    taken = {other.place for other in others}
    worker.place = next(place for place in range(len(taken) + 1) if place not in taken)


def join(worker: Any) -> None:
    """Let a worker count in the files of its place; called in it, before anything is counted."""
    place: int = worker.place
    values.ValueClass = values.MultiProcessValue(lambda: place)


def leave(worker: Any) -> None:
    """Forget how a worker was that has ended; what it counted stays."""
    multiprocess.mark_process_dead(worker.place)
