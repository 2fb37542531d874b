"""Requests that are sent again under an idempotency key: one of them is answered, and all others get its answer.

A row is made by whoever comes first and is held by a lease, so that of all workers one request is at work on a key, and
the next takes over when its worker has died.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseFault

from accounts.models import KeptAnswer
from accounts.waiting import pool, run_or_undo
from registry.polling import Poll

LEASE_SECONDS: Final = 20.0
KEPT_SECONDS: Final = 24 * 3600.0
_LOOK_SECONDS: Final = 0.04  # one look at the database serves all who wait in this worker


class KeyReused(Exception):
    """The key was sent with another body, or to another endpoint."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request under a key: whose it is (0 for a caller without a client key), its own id, and what it asks."""

    owner: int
    key: str
    request_id: str
    path: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands: it is the one to be answered, or waits for that one, or its answer is there."""

    row: UUID
    is_mine: bool = False
    answer: Answer | None = None


def claim(wanted: Wanted, now: float) -> Place:
    """Take the key if nobody is at work on it; raises `KeyReused`, `Unopenable` and django.db.Error."""
    of_key = {"owner": wanted.owner, "key_hash": _hash(wanted.key.encode())}
    body_hash = _hash(wanted.path.encode() + b"\0" + wanted.body)
    while True:
        row = KeptAnswer.objects.filter(**of_key).first()
        if row is not None and row.expires_at <= now:
            KeptAnswer.objects.filter(pk=row.pk, expires_at=row.expires_at).delete()
            row = None
        if row is not None:
            return _place(row, wanted, body_hash, now)
        more = {"lease_until": now + LEASE_SECONDS, "expires_at": now + KEPT_SECONDS}
        fresh = KeptAnswer(**of_key, body_hash=body_hash, holder=wanted.request_id, **more)
        KeptAnswer.objects.bulk_create([fresh], ignore_conflicts=True)


def _place(row: KeptAnswer, wanted: Wanted, body_hash: str, now: float) -> Place:
    if row.body_hash != body_hash:
        raise KeyReused
    if row.is_done:
        return Place(row.pk, answer=Answer(row.status, row.headers, row.answer.encode()))
    if row.holder == wanted.request_id:
        return Place(row.pk, is_mine=True)
    over = KeptAnswer.objects.filter(pk=row.pk, holder=row.holder, is_done=False, lease_until__lt=now)
    return Place(row.pk, is_mine=bool(over.update(holder=wanted.request_id, lease_until=now + LEASE_SECONDS)))


def keep(row: UUID, holder: str, answer: Answer, now: float) -> bool:
    """Store the answer of the holder, sealed; returns whether it still was the holder. Raises django.db.Error."""
    sealed = KeptAnswer(pk=row, answer=answer.body.decode())
    field_of_it = KeptAnswer._meta.get_field("answer")  # noqa: SLF001 - Django's public name for it
    told = {"status": answer.status, "headers": dict(answer.headers), "answer": field_of_it.value_from_object(sealed)}
    mine = KeptAnswer.objects.filter(pk=row, holder=holder, is_done=False)
    return bool(mine.update(is_done=True, expires_at=now + KEPT_SECONDS, **told))


def free(row: UUID, holder: str) -> None:
    """Let the key be as if it had never been sent; raises django.db.Error."""
    KeptAnswer.objects.filter(pk=row, holder=holder, is_done=False).delete()


def renew(held: Mapping[UUID, str], now: float) -> None:
    """Prolong the leases of requests under way; raises django.db.Error."""
    for row, holder in held.items():
        KeptAnswer.objects.filter(pk=row, holder=holder, is_done=False).update(lease_until=now + LEASE_SECONDS)


def sweep(now: float) -> int:
    """Remove what was kept long enough, and return how much; raises django.db.Error."""
    return KeptAnswer.objects.filter(expires_at__lte=now).delete()[0]


def _under_way(rows: list[UUID], now: float) -> frozenset[UUID]:
    at_work = KeptAnswer.objects.filter(pk__in=rows, is_done=False, lease_until__gte=now)
    return frozenset(at_work.values_list("pk", flat=True))


def _hash(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


class Repeats:
    """What the requests of this worker hold, and what they wait for; the database is asked in threads."""

    def __init__(self) -> None:
        self.poll = Poll("repeat-poll", self.renew, seconds=lambda: LEASE_SECONDS / 4)
        self._held: dict[UUID, str] = {}
        self._awaited: dict[UUID, int] = {}
        self._looking = threading.Lock()
        self._looked = 0.0
        self._under_way: frozenset[UUID] = frozenset()
        self._fault = ""

    def claim(self, wanted: Wanted) -> Place:
        """See `claim`; what is taken is prolonged until it is settled."""
        place = run_or_undo(lambda: claim(wanted, time.time()), lambda taken: free(taken.row, wanted.request_id))
        if place.is_mine:
            self._held[place.row] = wanted.request_id
        return place

    def is_under_way(self, row: UUID) -> bool:
        """Whether somebody is at work on a row that is `awaited`, as it was some hundredths of a second ago.

        Raises django.db.Error.
        """
        with self._looking:
            if time.monotonic() - self._looked > _LOOK_SECONDS or row not in self._awaited:
                self._look([*self._awaited, row])
            if self._fault:  # one look that failed is enough for all who wait
                raise DatabaseFault(self._fault)
            return row in self._under_way

    def _look(self, rows: list[UUID]) -> None:
        self._fault = ""
        try:
            self._under_way = pool.run(_under_way, rows, time.time())
        except DatabaseFault as error:
            self._fault = str(error) or type(error).__name__
        finally:
            self._looked = time.monotonic()

    def awaited(self, row: UUID, change: int) -> None:
        """Note that one request more (1) or less (-1) waits for a row."""
        left = self._awaited.get(row, 0) + change
        self._awaited[row] = left
        if not left:
            del self._awaited[row]
        self._looked = 0.0

    def settle(self, row: UUID, answer: Answer | None) -> None:
        """Keep the answer to what is held, or free the key where there is none to keep; raises django.db.Error."""
        holder = self._held.pop(row)
        if answer is None:
            pool.run(free, row, holder)
        else:
            pool.run(keep, row, holder, answer, time.time())

    def renew(self) -> None:
        """Prolong what is held. In an outage it is the next time that counts."""
        try:
            if self._held:
                pool.run(renew, dict(self._held), time.time())
        except DatabaseFault:  # the ledger tells it
            return


repeats = Repeats()
