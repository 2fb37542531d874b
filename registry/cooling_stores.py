"""Where workers tell each other of cooldowns: a hash in Redis if there is one, else a table of the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import orjson
from django.conf import settings
from django.db import transaction
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry.cooling import CoolingRow, Reason

LONGEST_SECONDS: Final = 3600.0  # that anything cools without being tried, whatever a provider asks for
KEPT_SECONDS: Final = 3600.0  # that it is remembered afterwards, so that the first call is a probe and not a crowd
_AHEAD_SECONDS: Final = 60.0  # that another host's clock may be ahead before its words are not believed
_REDIS_SECONDS: Final = 0.5
_KEY: Final = "tokenhub:cooling"

Key = tuple[Reason, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """The last word on one reason and one model or provider: that it cools, or that its cooldown has ended.

    Times are unix seconds by the clock of the worker that said it. A host whose clock is behind by some seconds lets
    what it hears of cool that much longer, one that is ahead that much shorter, and the last word of two hosts within
    that difference may be the wrong one: a model is then tried once in vain or rests for one more term, never more.
    """

    reason: Reason
    subject: int
    """The primary key of the provider or the model, as the reason has it."""
    fingerprint: str
    since: float
    until: float
    seconds: float
    ended: bool = False

    @classmethod
    def read(cls, reason: Any, *rest: Any) -> Self | None:
        """Return the entry of these values, in the order of the fields; None if they make none."""
        try:
            subject, fingerprint, since, until, seconds, ended = rest
            times = (float(since), float(until), float(seconds))
            return cls(Reason(reason), int(subject), str(fingerprint), *times, bool(ended))
        except (TypeError, ValueError):
            return None

    @property
    def key(self) -> Key:
        """What it is about; the store has one entry of it."""
        return self.reason, self.subject

    def is_over(self, now: float) -> bool:
        """Whether it may be forgotten."""
        return now > self.until + KEPT_SECONDS

    def is_credible(self, now: float) -> bool:
        """Whether it can be meant: a clock far ahead must not keep a model from being called for its own tomorrow."""
        return self.since <= now + _AHEAD_SECONDS and self.until <= self.since + LONGEST_SECONDS


class Store(Protocol):
    """A place that all workers reach."""

    def swap(self, mine: Sequence[Entry], now: float) -> list[Entry]:
        """Return what was there, and write those of `mine` that are newer.

        Raises django.db.Error, RedisError or OSError. Two workers that write about one key at the same moment may leave
        the older word; whoever finds less there than it knows is to say it again.
        """
        ...


def configured() -> Store:
    """Return the store that the settings name."""
    return RedisStore(re.split("[;,]", settings.REDIS_URL)[0].strip()) if settings.REDIS_URL else TableStore()


def _newer(mine: Iterable[Entry], theirs: Iterable[Entry]) -> list[Entry]:
    said = {entry.key: entry.since for entry in theirs}
    return [entry for entry in mine if entry.since > said.get(entry.key, 0.0)]


class TableStore:
    """Reads a table with a row a cooldown; it is written, and cleaned, only when there is something new to say."""

    def swap(self, mine: Sequence[Entry], now: float) -> list[Entry]:
        """See `Store`."""
        rows = CoolingRow.objects.values_list("reason", "subject", "fingerprint", "since", "until", "seconds", "ended")
        theirs = [entry for row in rows if (entry := Entry.read(*row))]
        if new := _newer(mine, theirs):
            with transaction.atomic():
                CoolingRow.objects.bulk_create(
                    map(_row, new),
                    update_conflicts=True,
                    unique_fields=["reason", "subject"],
                    update_fields=["fingerprint", "since", "until", "seconds", "ended"],
                )
                CoolingRow.objects.filter(until__lt=now - KEPT_SECONDS).delete()
        return theirs


def _row(entry: Entry) -> CoolingRow:
    return CoolingRow(
        reason=entry.reason,
        subject=entry.subject,
        fingerprint=entry.fingerprint,
        since=entry.since,
        until=entry.until,
        seconds=entry.seconds,
        ended=entry.ended,
    )


class RedisStore:
    """Reads a hash with a field a cooldown. Old fields go with the next write, or all at once when there is none."""

    def __init__(self, url: str, *, key: str = _KEY) -> None:
        self._url = url
        self._key = key
        self._client: Redis | None = None

    def swap(self, mine: Sequence[Entry], now: float) -> list[Entry]:
        """See `Store`."""
        client = self._connected()
        raw: dict[bytes, bytes] = client.hgetall(self._key)  # type: ignore[assignment]
        found = {field: _entry(field, value) for field, value in raw.items()}
        theirs = [entry for entry in found.values() if entry]
        if new := _newer(mine, theirs):
            dead = [field for field, entry in found.items() if entry is None or entry.is_over(now)]
            with client.pipeline() as pipeline:
                if dead:
                    pipeline.hdel(self._key, *dead)
                pipeline.hset(self._key, mapping=dict(map(_field, new)))
                pipeline.expire(self._key, int(LONGEST_SECONDS + KEPT_SECONDS))
                pipeline.execute()
        return theirs

    def _connected(self) -> Redis:
        if self._client is None:
            try:
                self._client = Redis.from_url(
                    self._url,
                    socket_timeout=_REDIS_SECONDS,
                    socket_connect_timeout=_REDIS_SECONDS,
                    retry=Retry(NoBackoff(), 0),  # the next look is the retry
                )
            except ValueError:
                raise RedisError("REDIS_URL is not an address of Redis") from None  # which may hold a password
        return self._client


def _field(entry: Entry) -> tuple[str, bytes]:
    value = [entry.fingerprint, entry.since, entry.until, entry.seconds, entry.ended]
    return f"{entry.reason.value}:{entry.subject}", orjson.dumps(value)


def _entry(field: bytes, value: bytes) -> Entry | None:
    try:
        return Entry.read(*field.decode().split(":"), *orjson.loads(value))
    except (TypeError, ValueError):
        return None
