"""What this worker knows of cooldowns: in memory, and shared with the other workers within a second."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

from django.conf import settings
from django.db import Error as DatabaseFault
from redis import RedisError

from registry import threads
from registry.cooling import Reason
from registry.cooling_stores import Entry, Key, Store, configured
from registry.keeper import looks
from registry.polling import Poll
from registry.snapshot import ModelFacts, ProviderFacts
from vault.crypto import Hidden
from vault.ring import get_ring

logger = logging.getLogger(__name__)

Facts = ModelFacts | ProviderFacts
_MOMENT: Final = 1e-6


class Board:
    """
    Holds the last word on each cooldown. What is said here is obeyed here at once; a thread tells it to the others.

    Reading never waits and never does IO. Whoever compares and writes does both under `lock`, within which nobody may
    wait for anything.
    """

    def __init__(self, clock: Callable[[], float] = time.time, store: Store | None = None) -> None:
        self.clock = clock
        self.lock = threads.real_lock()
        self.poll = Poll("cooling-poll", self.exchange)
        self._store = store
        self._pool = threads.Pool(1) if settings.REDIS_URL else looks
        self._entries: dict[tuple[bool, int], tuple[Entry, ...]] = {}
        self._ended: dict[Key, Entry] = {}  # in which an older word of others is not to be believed
        self._unsaid: dict[Key, Entry] = {}
        self._seen: dict[tuple[bool, int], tuple[Facts, str]] = {}
        self._is_alone = False

    def about(self, model: ModelFacts) -> Iterator[Entry]:
        """Yield what keeps, or not long ago kept, this model from being called, the rows being what they are now."""
        for subject, facts in (((False, model.pk), model), ((True, model.provider.pk), model.provider)):
            for entry in self._entries.get(subject, ()):
                if entry.fingerprint == self._fingerprint(subject, facts):
                    yield entry

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing about anybody that has not ended."""
        return not self._entries

    def knows(self, model: int, provider: int) -> bool:
        """Whether there is anything to tell about the rows with these primary keys."""
        return (False, model) in self._entries or (True, provider) in self._entries

    def known(self) -> tuple[AbstractSet[int], AbstractSet[int]]:
        """Return the primary keys of the models, and of the providers, about which there is anything to tell."""
        subjects = tuple(self._entries)  # at once: another thread may change it
        return {pk for is_whole, pk in subjects if not is_whole}, {pk for is_whole, pk in subjects if is_whole}

    def say(self, reason: Reason, model: ModelFacts, *, seconds: float, until: float) -> None:
        """Let the model, or its provider, cool. To be called under `lock`."""
        facts = model.provider if reason.of_provider else model
        fingerprint = self._fingerprint((reason.of_provider, facts.pk), facts)
        self._write(Entry(reason, facts.pk, fingerprint, self.clock(), until, seconds))

    def end(self, entry: Entry) -> None:
        """End a cooldown. To be called under `lock`."""
        now = self.clock()
        self._write(Entry(entry.reason, entry.subject, entry.fingerprint, now, now, 0.0, ended=True))

    def exchange(self) -> None:
        """
        Tell the others what is new here and learn what they said. An outage is logged once and costs only that.

        In a worker the poll alone calls this: under gevent a connection belongs to the thread that made it.
        """
        with self.lock:
            mine = tuple(self._unsaid.values())
        try:
            theirs = self._pool.run(self._swap, mine)
        except (DatabaseFault, RedisError, OSError) as error:
            if not self._is_alone:
                logger.warning("cooldowns are not shared with other workers: %s", " ".join(str(error).split()))
            self._is_alone = True
            return
        if self._is_alone:
            logger.warning("cooldowns are shared with other workers again")
        self._is_alone = False
        with self.lock:
            for entry in mine:
                if self._unsaid.get(entry.key) is entry:
                    del self._unsaid[entry.key]
            self._take_in(theirs)

    def _swap(self, mine: tuple[Entry, ...]) -> list[Entry]:
        if self._store is None:
            self._store = configured()
        return self._store.swap(mine, self.clock())

    def _take_in(self, theirs: Iterable[Entry]) -> None:
        now = self.clock()
        for entry in [each for known in self._entries.values() for each in known if each.is_over(now)]:
            self._drop(entry)
        self._ended = {key: entry for key, entry in self._ended.items() if not entry.is_over(now)}
        for entry in theirs:
            mine = self._last(entry.key)
            if mine is not None and mine.since > entry.since:
                self._unsaid.setdefault(entry.key, mine)  # it was overwritten at the very moment it was written
            elif (mine is None or mine.since < entry.since) and entry.is_credible(now) and not entry.is_over(now):
                self._put(entry)

    def _write(self, entry: Entry) -> None:
        before = self._last(entry.key)
        if before is not None and entry.since <= before.since:
            # the other's clock is ahead: what is known to be later has to count as later everywhere
            entry = replace(entry, since=before.since + _MOMENT)
        self._put(entry)
        self._unsaid[entry.key] = entry

    def _last(self, key: Key) -> Entry | None:
        subject = (key[0].of_provider, key[1])
        known = self._entries.get(subject, ())
        return next((entry for entry in known if entry.reason == key[0]), self._ended.get(key))

    def _put(self, entry: Entry) -> None:
        if entry.ended:
            self._drop(entry)
            self._ended[entry.key] = entry
        else:
            self._ended.pop(entry.key, None)
            self._entries[entry.reason.of_provider, entry.subject] = (*self._others(entry), entry)

    def _drop(self, entry: Entry) -> None:
        subject = (entry.reason.of_provider, entry.subject)
        if others := self._others(entry):
            self._entries[subject] = others
        else:
            self._entries.pop(subject, None)

    def _others(self, entry: Entry) -> tuple[Entry, ...]:
        # always a new tuple, never a changed one: readers take no lock
        known = self._entries.get((entry.reason.of_provider, entry.subject), ())
        return tuple(each for each in known if each.reason != entry.reason)

    def _fingerprint(self, subject: tuple[bool, int], facts: Facts) -> str:
        """Return what tells rows as they are from the same rows edited, reckoned once for each picture."""
        seen = self._seen.get(subject)
        if seen is None or seen[0] is not facts:
            seen = self._seen[subject] = (facts, fingerprint(facts))
        return seen[1]


def fingerprint(facts: Facts) -> str:
    """Return 32 characters that are the same in all workers, and other ones as soon as the rows or the key change.

    Under a key of the vault, since it is made of a provider's key too and leaves the process.
    """
    label = get_ring().derive("cooling-fingerprint")
    return hmac.new(label, repr(_plain(facts)).encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:32]


def _plain(value: Any) -> Any:
    """Return a value with the same text in every process: sets have another order in each, and keys none at all."""
    if isinstance(value, Hidden):
        return value.reveal()
    if isinstance(value, frozenset):
        return sorted(value)
    if is_dataclass(value):
        return [_plain(getattr(value, each.name)) for each in fields(value)]
    return value


board = Board()
