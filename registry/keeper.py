"""Keepers: each holds a picture of some rows in the memory of a process, and swaps it when their stamp moves."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import Error as DatabaseFault

from registry import threads
from registry.polling import Poll
from registry.stamp import StampMissing

logger = logging.getLogger(__name__)

# What is looked at is small and read fast, so that one thread, and one connection, does for all who look.
looks: Final = threads.Pool(1, statement=5.0, total=10.0)

_LATE_SECONDS = 2.0  # after which a look that has not come back counts as a failed one
FIRST_LOOK_SECONDS = 5.0  # how long the first callers of a process wait for its first picture


class SnapshotUnavailable(Exception):
    """There is no picture yet and the database cannot be read; the message says why."""


class Picture(Protocol):
    """Rows as they were when their stamp read `version`."""

    @property
    def version(self) -> int:
        """The stamp's number."""


P = TypeVar("P", bound=Picture)


@dataclass(frozen=True, slots=True)
class Status:
    """How current a keeper's picture is: seconds since the last look that worked, and what is wrong, if anything."""

    version: int | None
    age_seconds: float
    fault: str


class Keeps(Generic[P]):
    """
    Holds the picture of one process and looks every TOKENHUB_REFRESH_SECONDS whether the stamp has moved.

    The look is a query in a thread of its own, so neither the hub nor a caller ever waits for it, except the callers of
    a process's first. Where nobody polls `current` looks by itself: 0 seconds mean that, for commands and tests.

    `read` makes a picture, given the old one, and a text for each row that does not validate; it and `version` raise
    django.db.Error and StampMissing.
    """

    def __init__(
        self, name: str, version: Callable[[], int], read: Callable[[P | None], tuple[P, tuple[str, ...]]]
    ) -> None:
        self._name = name
        self._version = version
        self._read = read
        self._picture: P | None = None
        self._row_faults: tuple[str, ...] = ()
        self._outage = ""
        self._looked_at = time.monotonic()
        self._poll = Poll(f"{name}-poll", self.refresh)

    def current(self) -> P:
        """The picture; after the first time this reads an attribute. Raises SnapshotUnavailable if there is none."""
        if not self._poll.is_running:
            self.start()
        if not self._poll.is_running:
            self.refresh()
        elif self._picture is None:
            self._poll.first_look.wait(FIRST_LOOK_SECONDS)
        if self._picture is None:
            raise SnapshotUnavailable(self._outage or "the database has not answered yet")
        return self._picture

    def start(self) -> None:
        """Begin to poll in this process, once however often it is called; after a fork, again. Not for pool threads."""
        self._poll.start()

    def stop(self) -> None:
        """End the polling of this process; the picture stays."""
        self._poll.stop()

    def refresh(self) -> None:
        """Look once, now. An outage is not raised but told by `status`; the picture stays as it was."""
        try:
            seen = looks.run(self._look, self._picture)
        except (DatabaseFault, StampMissing) as error:
            if not self._outage:
                logger.warning("the %s cannot be read, its last picture stays: %s", self._name, one_line(error))
            self._outage = f"the {self._name} cannot be read: {one_line(error)}"
            return
        if self._outage:
            logger.warning("the %s can be read again", self._name)
        self._outage = ""
        self._looked_at = time.monotonic()
        if seen is not None:
            self._swap(*seen)

    def status(self) -> Status:
        """What readiness tells."""
        return Status(
            version=self._picture.version if self._picture else None,
            age_seconds=time.monotonic() - self._looked_at,
            fault="; ".join(filter(None, (self._outage, *self._row_faults))),
        )

    @property
    def is_blind(self) -> bool:
        """Whether the last look failed or hangs, so that what is not in the picture may be there all the same."""
        longest: float = max(_LATE_SECONDS, 2 * settings.TOKENHUB_REFRESH_SECONDS)
        return bool(self._outage) or time.monotonic() - self._looked_at > longest

    def _look(self, old: P | None) -> tuple[P, tuple[str, ...]] | None:
        """What is there now, or None if the stamp has not moved since the old picture."""
        if old is not None and self._version() == old.version:
            return None
        return self._read(old)

    def _swap(self, picture: P, faults: tuple[str, ...]) -> None:
        for fault in faults:
            if fault not in self._row_faults:
                logger.error("a row of the %s does not validate and is not obeyed: %s", self._name, fault)
        self._picture, self._row_faults = picture, faults


def one_line(error: Exception) -> str:
    """Return what an error says, for people, in one line."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())
    return " ".join(str(error).split())
