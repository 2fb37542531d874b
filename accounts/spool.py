"""The spool: a finished call is on disk before its caller has the last byte, and stays there until it is in the books.

Each worker appends lines to a file of its own, which it holds locked; the file of a worker that died is free, and
another worker brings its lines to the books. A line is written by one `write`, which outlives the process; what a power
cut takes is at most what the disk had not yet been told, see `sync`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

from accounts.entries import CallEntry, Unreadable

logger = logging.getLogger(__name__)

_SEGMENT_BYTES: Final = 4 * 1024 * 1024
_SEGMENT_SECONDS: Final = 3600.0
_MOST_WAITING: Final = 50_000  # entries in memory; what is beyond is on disk only, and read from there
_SUFFIX: Final = ".spool"
_TRIAL_BYTES: Final = 64 * 1024


@dataclass(slots=True, eq=False)
class _Segment:
    """A file, and what of it has not been booked: ids of calls, also of those that have not ended."""

    path: Path
    descriptor: int
    size: int = 0
    owed: set[str] = field(default_factory=set)
    is_torn: bool = False
    """Whether the last line may have no end, so that the next must begin with one."""
    is_known_to_disk: bool = False
    """Whether its name, too, outlives a power cut."""
    began: float = field(default_factory=time.monotonic)

    def is_over(self) -> bool:
        """Whether the next line belongs into another file: what is old is not to be told again after it was pruned."""
        return self.size >= _SEGMENT_BYTES or time.monotonic() - self.began > _SEGMENT_SECONDS


class Spool:
    """What one worker has to say to the ledger. `append` is the worker's own; the rest is for whoever books."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segments: list[_Segment] = []
        self._waiting: deque[CallEntry] = deque()
        self._overflowed = False
        """Whether there may be ended calls that are on disk only."""
        self.fault = ""
        """Why nothing can be written now; empty while all is well."""
        self.dropped = 0
        """Calls that were neither written nor kept."""
        self._is_proved = False
        self._taken: list[CallEntry] = []

    @property
    def depth(self) -> int:
        """How many entries wait in memory to be booked."""
        return len(self._waiting)

    def append(self, entry: CallEntry) -> None:
        """Write an entry down; where that fails it is kept in memory, until there are too many."""
        is_written = self._write(entry)
        if not entry.is_final:
            return
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(entry)
        elif is_written:
            self._overflowed = True
        else:
            self.dropped += 1

    def find(self, request_id: str) -> CallEntry | None:
        """Return the entry of a call that has ended and is not in the books yet; None where memory has none."""
        return next((entry for entry in [*self._taken, *list(self._waiting)] if entry.id == request_id), None)

    def waiting(self) -> list[str]:
        """Return the ids of the calls that wait in memory."""
        return [entry.id for entry in list(self._waiting)]

    def take(self, at_most: int) -> list[CallEntry]:
        """Return the oldest entries that wait; give them back with `put_back`, or tell that they are `booked`."""
        self._taken = list(self._waiting)[:at_most]  # before they go from there, so that `find` misses none
        return [self._waiting.popleft() for _ in self._taken]

    def put_back(self, entries: Iterable[CallEntry]) -> None:
        """Let entries wait again that could not be booked."""
        self._waiting.extendleft(reversed(list(entries)))
        self._taken = []

    def booked(self, entries: Iterable[CallEntry]) -> None:
        """Forget entries that are in the books, and remove the files that hold nothing else."""
        self._taken = []
        ids = {entry.id for entry in entries}
        for segment in list(self._segments):
            segment.owed -= ids
            if not segment.owed and segment is not self._segments[-1]:
                self._remove(segment)

    def overdue(self) -> list[CallEntry]:
        """Return the ended calls that are on disk only, because there were too many to keep in memory."""
        if self._waiting or not self._overflowed:
            return []
        owed = {request for segment in list(self._segments) for request in list(segment.owed)}
        entries = [entry for segment in list(self._segments) for entry in read(segment.path)]
        late = [entry for entry in entries if entry.is_final and entry.id in owed]
        self._overflowed = bool(late)
        return late

    def sync(self) -> None:
        """Have the disk keep what was written; called every moment in a thread, so that many calls share one wait.

        At the start, and as long as a write has failed, it finds out as well whether one would succeed.
        """
        if self.fault or not self._is_proved:
            self._prove()
        with suppress(OSError, IndexError):
            newest = self._segments[-1]
            os.fdatasync(newest.descriptor)
            if not newest.is_known_to_disk:
                _sync_folder(self._folder)
                newest.is_known_to_disk = True

    def close(self) -> None:
        """Let go of the files: those with nothing left to book are removed, others are there for the next worker."""
        for segment in list(self._segments):
            if segment.owed:
                self._segments.remove(segment)
                os.close(segment.descriptor)
            else:
                self._remove(segment)

    def _write(self, entry: CallEntry) -> bool:
        try:
            segment = self._current()
            line = entry.line()
            if segment.is_torn:
                line = b"\n" + line
            segment.is_torn = True
            written = os.write(segment.descriptor, line)
            segment.size += written
            if written < len(line):
                raise OSError(28, "the line was cut off")
        except OSError as error:
            self._fail(error)
            return False
        segment.is_torn = False
        segment.owed.add(entry.id)
        self._succeed()
        return True

    def _prove(self) -> None:
        self._is_proved = True
        trial = self._folder / f"{os.getpid()}.trial"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                trial.write_bytes(bytes(_TRIAL_BYTES))
            finally:
                trial.unlink(missing_ok=True)  # on a full disk a part of it was written
        except OSError as error:
            self._fail(error)
        else:
            self._succeed()

    def _succeed(self) -> None:
        if self.fault:
            logger.warning("calls can be written to the spool again")
            self.fault = ""

    def _current(self) -> _Segment:
        if not self._segments or self._segments[-1].is_over():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{os.getpid()}-{time.time_ns()}{_SUFFIX}"
            unlocked = path.with_suffix(".new")  # a name that nobody looks for, until it is locked
            descriptor = os.open(unlocked, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            unlocked.rename(path)
            self._segments.append(_Segment(path, descriptor))
        return self._segments[-1]

    def _remove(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        segment.path.unlink(missing_ok=True)
        os.close(segment.descriptor)

    def _fail(self, error: OSError) -> None:
        if not self.fault:
            logger.error("calls cannot be written to the spool, and are kept in memory: %s", error.strerror)
        self.fault = error.strerror or type(error).__name__


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def left_behind(folder: Path) -> list[Path]:
    """Return the files of workers that are no more, and of those that are: only `held` tells them apart."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a file that was left behind; yields whether nobody else does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # it is gone, or is none of ours: see `unreadable`
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists()  # it may have been booked and removed before the lock was ours
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def unreadable(folder: Path) -> list[str]:
    """Return a text for each file that nobody here can read, such as one that another account left."""
    found = []
    for path in left_behind(folder):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            continue
        except OSError as error:
            found.append(f"{path.name}: {error.strerror}")
    return found


def orphans(folder: Path) -> Iterator[list[Path]]:
    """Yield the files of each worker that is no more, the oldest first; they are held until the next are asked for."""
    for _, files in groupby(left_behind(folder), key=lambda path: path.name.partition("-")[0]):
        with ExitStack() as holding:
            if ours := [path for path in files if holding.enter_context(held(path))]:
                yield ours


def read(*paths: Path) -> list[CallEntry]:
    """Return the last that files say of each call, in their order; lines that are none are passed over."""
    lines = (each for path in paths for each in _lines(path) if isinstance(each, CallEntry))
    return list({entry.id: entry for entry in lines}.values())


def odd_lines(*paths: Path) -> list[bytes]:
    """Return the lines that are no entries, such as the rest of a write that was cut off."""
    return [each for path in paths for each in _lines(path) if isinstance(each, bytes)]


def _lines(path: Path) -> Iterator[CallEntry | bytes]:
    for line in filter(None, path.read_bytes().splitlines()):
        try:
            yield CallEntry.read(line)
        except Unreadable:
            yield line
