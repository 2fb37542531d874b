"""Prompts and answers of keys that say that they are kept: held in memory until they are sealed, beside the hub.

Nothing here may delay or fail a call. What waits is bounded, and in an outage it is content that is lost, never a call.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db import DataError, IntegrityError
from django.db import Error as DatabaseFault

from accounts.models import CallContent
from registry import threads
from registry.keeper import one_line
from registry.polling import Poll

logger = logging.getLogger(__name__)

MOST_WAITING_BYTES: Final = 32 * 1024 * 1024
_BATCH: Final = 16  # rows of up to half a megabyte each, so that nobody waits long for the lock
_ROW_BYTES: Final = 1024  # about what one takes beside its texts, so that empty ones are bounded too


@dataclass(slots=True, eq=False)
class Content:
    """What is kept of a call under way: of each side no more than the first TOKENHUB_CONTENT_MAX_BYTES."""

    request_id: str
    at: float
    """When the call began, in unix seconds."""
    request: bytes = field(repr=False)
    request_bytes: int
    most: int
    answer: bytearray = field(default_factory=bytearray, repr=False)
    answer_bytes: int = 0

    def hear(self, piece: bytes) -> None:
        """Note a piece of the answer."""
        self.answer_bytes += len(piece)
        if (room := self.most - len(self.answer)) > 0:
            self.answer += piece[:room]

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return len(self.request) + len(self.answer) + _ROW_BYTES

    def row(self) -> CallContent:
        """Return the row of it; bytes that are no text, such as half a character at the cut, are written as `\\xff`."""
        return CallContent(
            request_id=self.request_id,
            at=datetime.fromtimestamp(self.at, UTC),
            request=self.request.decode(errors="backslashreplace"),
            answer=self.answer.decode(errors="backslashreplace"),
            request_bytes=self.request_bytes,
            answer_bytes=self.answer_bytes,
            truncated=max(self.request_bytes, self.answer_bytes) > self.most,
        )


def begin(request_id: str, at: float, request: bytes) -> Content:
    """Return what a call is to be noted in, with the body that its caller sent."""
    most: int = settings.TOKENHUB_CONTENT_MAX_BYTES
    return Content(request_id, at, request[:most], len(request), most)


def write(batch: list[Content]) -> None:
    """Seal and store contents, each once; raises django.db.Error."""
    CallContent.objects.bulk_create([content.row() for content in batch], ignore_conflicts=True)


def _tried(batch: list[Content]) -> tuple[bool, str]:
    """Write a batch; returns whether it is lost, and why it must wait.

    No error of the database leaves its thread: with its traceback the hub would hold what is left of a cursor, and to
    let go of that it would wait for the thread, which by then waits for SQLite's lock again.
    """
    try:
        write(batch)
    except (DataError, IntegrityError, ValueError):  # the last is the vault's
        return True, ""
    except DatabaseFault as error:
        return False, one_line(error) or type(error).__name__
    return False, ""


class Contents:
    """What one worker has yet to store. All but `write` is the hub's, so that nothing here needs a lock."""

    def __init__(self) -> None:
        self.dropped = 0
        """Contents that were lost."""
        self.poll = Poll("content-poll", self.move, seconds=lambda: settings.TOKENHUB_LEDGER_SECONDS)
        self._pool = threads.Pool(1)
        self._waiting: deque[Content] = deque()
        self._bytes = 0
        """Of what waits, and of what is being written."""
        self._is_losing = False
        self._outage = ""

    def keep(self, content: Content) -> None:
        """Let the content of a call that has ended wait to be stored; where too much waits already, it is lost."""
        if self._bytes + content.size > MOST_WAITING_BYTES:
            self._lose(1)
            return
        self._bytes += content.size
        self._waiting.append(content)

    def move(self) -> None:
        """Store what waits, in a thread; what an outage of the database keeps out waits on."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            fault = self._written(batch)
            if fault:
                self._waiting.extendleft(reversed(batch))
                if not self._outage:
                    logger.warning("prompts and answers cannot be stored, and wait in memory: %s", fault)
                self._outage = fault
                return
            if self._outage or self._is_losing:
                logger.warning("prompts and answers can be stored again; %d were lost so far", self.dropped)
            self._outage, self._is_losing = "", False

    def _written(self, batch: list[Content]) -> str:
        """Write a batch, and return why that must wait; what no database takes is lost."""
        is_lost, fault = self._pool.run(_tried, batch)
        if is_lost:
            self._lose(len(batch))
        if not fault:
            self._bytes -= sum(content.size for content in batch)
        return fault

    def finish(self) -> None:
        """Store what is left; called when the last answer is out. What cannot be stored then is lost."""
        self.poll.stop()
        self._written([])  # when the only thread has done this, it has done what was begun before
        self.move()
        if self._waiting:
            self._lose(len(self._waiting))

    def _lose(self, count: int) -> None:
        self.dropped += count
        if not self._is_losing:
            logger.error("prompts and answers are lost: too many wait, or the database does not take them")
        self._is_losing = True


contents = Contents()
