"""Where the workers of one gunicorn count together: files in memory, one set for each place in the row of workers.

A worker that replaces another takes its place and goes on counting in its files, so that nothing is lost with a worker
and nothing grows with their number. The folder lasts as long as the gunicorn that made it. Where there is no room for
files each worker counts for itself, and where there is none for more labels it counts under others: what watches the
gateway must not keep it from its work, and a page that is found missing when it is written to ends a process.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import multiprocess, values
from prometheus_client.mmap_dict import MmapedDict

from gateway.labels import OTHER

_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"  # of prometheus_client
_PREFIX: Final = "tokenhub-metrics-"
_LOCK: Final = "lock"
_KIB: Final = 1024
_ROOM: Final = {  # bytes, by the names that prometheus_client gives its files: for some fifty models, then a file grows
    "counter": 128 * _KIB,
    "histogram": 256 * _KIB,
    "gauge_livesum": 32 * _KIB,
    "gauge_livemax": 32 * _KIB,
}
_MOST: Final = 1024 * _KIB  # bytes of a file: one whose workers die again and again has the names of many lives
_SPARE: Final = 16 * _KIB  # bytes of a file that are kept for what is counted under `other` once it cannot grow
_ENTRY: Final = 32  # bytes beside the name of a number, at most
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a full disk must not stop a worker that counts


def begin(server: Any) -> None:
    """Make a folder for this gunicorn, and remove those of others that are no more."""
    os.environ.pop(_FOLDER, None)  # of the gunicorn that this one replaces
    try:
        os.environ[_FOLDER] = str(_made())
    except OSError as error:
        server.log.warning("metrics are of one worker each: %s", error.strerror)


def _made() -> Path:
    parent = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    for old in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        _remove_if_free(old)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    unlocked = folder / f"{_LOCK}.new"  # a name that nobody looks for, until it is locked
    descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # held until the last process that has the descriptor ends
    unlocked.rename(folder / _LOCK)
    return folder


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
    if folder := os.environ.get(_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)


class _Reserved(MmapedDict):
    """A file of numbers that grows only into memory that was taken before."""

    def _init_value(self, key: str) -> None:
        """Add a number; raises `OSError` where there is no room for it."""
        spare = 0 if f'"{OTHER}"' in key else _SPARE
        if self._used + len(key.encode()) + _ENTRY + spare > self._capacity:
            if self._capacity >= _MOST:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.posix_fallocate(self._f.fileno(), self._capacity, self._capacity)  # as much as it grows by
        super()._init_value(key)  # type: ignore[no-untyped-call]


class _Deaths:
    """How many workers died that have not been replaced yet, as the process above the workers knows it."""

    waiting = 0
    of_this_worker = 0


def seat(worker: Any, others: list[Any]) -> None:
    """Give a worker that is about to be forked the first place that none of the others has."""
    taken = {other.place for other in others}
    worker.place = next(place for place in range(len(taken) + 1) if place not in taken)
    _Deaths.of_this_worker = min(1, _Deaths.waiting)
    _Deaths.waiting -= _Deaths.of_this_worker


def replaced() -> int:
    """Return how many workers that died this one replaces: 0 or 1."""
    return _Deaths.of_this_worker


def join(worker: Any) -> None:
    """Let a worker count in the files of its place; called in it, before anything is counted."""
    place: int = worker.place
    if not (folder := os.environ.get(_FOLDER)):
        return
    try:
        for kind, room in _ROOM.items():
            _make_room(Path(folder, f"{kind}_{place}.db"), room)
    except OSError as error:
        worker.log.warning("metrics are of one worker each: %s", error.strerror)
        return
    setattr(values, "MmapedDict", _Reserved)  # noqa: B010 - a class, which is no variable to mypy
    values.ValueClass = values.MultiProcessValue(lambda: place)


def _make_room(path: Path, room: int) -> None:
    """Take the memory of a file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, room)
    finally:
        os.close(descriptor)


def leave(server: Any, worker: Any) -> None:
    """Forget how a worker was that has ended, what it counted stays; one that is missed now was not asked to end."""
    if len(server.WORKERS) < server.num_workers:
        _Deaths.waiting += 1
    if _FOLDER in os.environ:
        multiprocess.mark_process_dead(worker.place)
