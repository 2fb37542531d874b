"""The ledger: brings what the spool holds into the books, once whatever dies, in a thread beside the hub."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import DataError, IntegrityError, connection, models, transaction
from django.db import Error as DatabaseFault
from django.db.models import Q

from accounts import budgets, pruning, repeats, spool
from accounts.entries import AttemptEntry, CallEntry
from accounts.models import Attempt, Call, Price, Spend
from accounts.prices import Prices
from accounts.spool import Spool
from registry import threads
from registry.keeper import one_line
from registry.polling import Poll

logger = logging.getLogger(__name__)

_BATCH: Final = 500
_UNFIT: Final = (DataError, IntegrityError, OverflowError)
_LONGEST_DECISIONS: Final = 1_000_000
BUCKETS: Final = ("uncached", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "cost_micro")
_CALL: Final = (
    *("request_id", "at", "endpoint", "status", "error", "stream", "key_id", "team_id", "asked", "model", "provider"),
    *("session", "user", "estimated", "is_priced", "ms", "ttft_ms", "attempt_count", "decisions", *BUCKETS),
)
_ATTEMPT: Final = (
    *("call_id", "number", "phase", "model", "provider", "status", "error", "reason", "estimated", "ms", "ttft_ms"),
    *("dropped", "price_id", *BUCKETS),
)
SPEND_KEY: Final = ("day", "key_pk", "team_pk", "model", "provider")
SPEND_SUMS: Final = ("attempts", "failed", "unpriced", *BUCKETS)

_price_ids: dict[tuple[Any, ...], int] = {}


def book(entries: Sequence[CallEntry]) -> int:
    """Write entries into the books, those that are not there yet; returns how many. Raises django.db.Error."""
    by_id = {entry.id: entry for entry in entries}
    with transaction.atomic():
        known = Call.objects.filter(request_id__in=by_id).values_list("request_id", flat=True)
        for request_id in list(known):
            del by_id[request_id]
        fresh = list(by_id.values())
        if not fresh:
            return 0
        _insert(Call, _CALL, map(_call_row, fresh))
        _insert(Attempt, _ATTEMPT, chain.from_iterable(map(_attempt_rows, fresh)))
        _add_up(fresh)
        budgets.charge(fresh)
    return len(fresh)


def _call_row(entry: CallEntry) -> tuple[Any, ...]:
    last = _decisive(entry.attempts)
    sums = (sum(getattr(each, name) for each in entry.attempts) for name in BUCKETS)
    return (
        entry.id,
        _moment(entry.at),
        _text(entry.endpoint, 64),
        entry.status,
        _text(entry.error, 64),
        entry.stream,
        entry.key,
        entry.team,
        _text(entry.asked, 200),
        last.model if last else "",
        last.provider if last else "",
        _text(entry.session, 200),
        _text(entry.user, 200),
        any(each.estimated for each in entry.attempts),
        not any(map(_is_unpriced, entry.attempts)),
        entry.ms,
        last.ttft_ms if last else None,
        len(entry.attempts),
        _text(orjson.dumps(entry.decisions).decode(), _LONGEST_DECISIONS) if entry.decisions else "",
        *sums,
    )


UNPRICED: Final = Q(price__isnull=True) & ~Q(uncached=0, cache_read=0, cache_write=0, output=0)
"""The attempts whose cost is unknown: they took tokens at a model of which nobody said what it costs."""


def _is_unpriced(attempt: AttemptEntry) -> bool:
    took = attempt.uncached + attempt.cache_read + attempt.cache_write + attempt.output
    return bool(took) and not attempt.prices


def _decisive(attempts: Sequence[AttemptEntry]) -> AttemptEntry | None:
    """Return the attempt whose words were the answer, or the last that brought none."""
    answered = [each for each in attempts if each.status == 200]
    ordered = answered or attempts
    return ordered[-1] if ordered else None


def _text(text: str, most: int) -> str:
    """Return a text as every database can hold it: PostgreSQL has no place for the character 0."""
    return text.replace("\0", "")[:most]


def _attempt_rows(entry: CallEntry) -> Iterable[tuple[Any, ...]]:
    for number, each in enumerate(entry.attempts, 1):
        buckets = (getattr(each, name) for name in BUCKETS)
        yield (
            entry.id,
            number,
            _text(each.phase, 32),
            each.model,
            each.provider,
            each.status,
            _text(each.error, 64),
            _text(each.reason, 64),
            each.estimated,
            each.ms,
            each.ttft_ms,
            _text(",".join(each.dropped), 1000),
            _price_id(each, entry.at),
            *buckets,
        )


def _price_id(attempt: AttemptEntry, at: float) -> int | None:
    """Return the key of the row of the prices that were in force, which is made when they are first charged."""
    if not attempt.prices:
        return None
    wanted = (attempt.model, attempt.provider, *attempt.prices)
    if wanted not in _price_ids:
        names = ("model", "provider", *Prices._fields)
        since = datetime.fromtimestamp(at, UTC)
        row, _ = Price.objects.get_or_create(**dict(zip(names, wanted, strict=True)), defaults={"since": since})
        # remembered once the transaction stands: what is taken back would be referred to in vain
        transaction.on_commit(lambda: _price_ids.__setitem__(wanted, row.pk))
        return row.pk
    return _price_ids[wanted]


def _add_up(entries: Iterable[CallEntry]) -> None:
    """Add the attempts to what was spent on their days."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for entry in entries:
        day = datetime.fromtimestamp(entry.at, UTC).date()
        for each in entry.attempts:
            row = sums.setdefault(
                (day.isoformat(), entry.key or 0, entry.team or 0, each.model, each.provider), [0] * len(SPEND_SUMS)
            )
            added = (1, int(each.status != 200), int(_is_unpriced(each)), *(getattr(each, name) for name in BUCKETS))
            row[:] = map(sum, zip(row, added, strict=True))
    if sums:
        # in one order, so that two workers who add to the same rows wait for each other and do not lock each other out
        _insert(Spend, (*SPEND_KEY, *SPEND_SUMS), [(*key, *row) for key, row in sorted(sums.items())], _ADDS)


_TABLE_OF_SPEND: Final = Spend._meta.db_table  # noqa: SLF001 - Django's public name for it
_ADDS: Final = f"ON CONFLICT ({', '.join(SPEND_KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = {_TABLE_OF_SPEND}.{name} + excluded.{name}" for name in SPEND_SUMS
)


def _insert(
    table: type[models.Model], columns: Sequence[str], rows: Iterable[tuple[Any, ...]], conflict: str = ""
) -> None:
    """Insert rows past the ORM, which would take most of a worker's time under load to make objects of them."""
    quoted = ", ".join(map(connection.ops.quote_name, columns))
    places = ", ".join(["%s"] * len(columns))
    name = table._meta.db_table  # noqa: SLF001 - Django's public name for it
    with connection.cursor() as cursor:
        statement = f"INSERT INTO {name} ({quoted}) VALUES ({places}) {conflict}"  # noqa: S608 - names of our own
        cursor.executemany(statement, list(rows))


def _moment(at: float) -> Any:
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(at, UTC))


class Ledger:
    """What one worker owes to the books, and the thread that pays."""

    def __init__(self) -> None:
        self.spool = Spool(settings.TOKENHUB_DATA_DIR / "spool")
        self.outage = ""
        """Why nothing can be booked now; empty while all is well."""
        self.poll = Poll("ledger-poll", self.move, seconds=lambda: settings.TOKENHUB_LEDGER_SECONDS)
        self._pool = threads.Pool(1, statement=60.0)
        self._rounds = 0
        self._has_old = False
        self._unreadable: list[str] = []

    def move(self) -> None:
        """Bring what waits into the books, in a thread; an outage is told once and costs nothing but time."""
        self._pool.run(self._move)

    def _move(self) -> None:
        self.spool.sync()
        try:
            while entries := self.spool.take(_BATCH) or self.spool.overdue()[:_BATCH]:
                self._book(entries)
            if self._rounds % _ROUNDS_BETWEEN_ORPHANS == 0:
                self.adopt()
                repeats.sweep(time.time())
            self._rounds += 1
        except DatabaseFault as error:
            if not self.outage:
                logger.warning("calls cannot be booked, and wait in the spool: %s", one_line(error))
            self.outage = one_line(error) or type(error).__name__
            return
        if self.outage:
            logger.warning("calls can be booked again")
        self.outage = ""
        self._prune()

    def _prune(self) -> None:
        """Delete a batch of old calls: now and then, and without a pause as long as there are more."""
        if self._has_old or self._rounds % _ROUNDS_BETWEEN_ORPHANS == 1:
            with suppress(DatabaseFault):  # nothing is lost, and the next round tries again
                self._has_old = pruning.prune_as_configured()

    def _book(self, entries: list[CallEntry]) -> None:
        is_booked = False
        try:
            _book_or_set_aside(entries)
            is_booked = True
        finally:
            if not is_booked:  # whatever it was, what is not booked must not be forgotten
                self.spool.put_back(entries)
        self.spool.booked(entries)

    def adopt(self) -> None:
        """Book what workers left behind that are no more, and remove their files. Raises django.db.Error."""
        unreadable = spool.unreadable(settings.TOKENHUB_DATA_DIR / "spool")
        if unreadable and unreadable != self._unreadable:
            logger.error("files of the spool cannot be read, so their calls are not booked: %s", "; ".join(unreadable))
        self._unreadable = unreadable
        for paths in spool.orphans(settings.TOKENHUB_DATA_DIR / "spool"):
            book_files(paths)

    def finish(self) -> None:
        """Book everything and let go of the files; called when the last answer is out. What cannot be booked stays."""
        self.poll.stop()
        self.move()
        self.spool.close()


_ROUNDS_BETWEEN_ORPHANS: Final = 20


def _book_or_set_aside(entries: Sequence[CallEntry]) -> int:
    """Book entries; one that no database takes must not keep all others out, and is put into a file for people."""
    try:
        return book(entries)
    except _UNFIT:
        return sum(map(_book_alone, entries))


def _book_alone(entry: CallEntry) -> int:
    try:
        return book([entry])  # what stood in the way may have been a budget that was deleted at that moment
    except _UNFIT as error:
        logger.error("call %s cannot be booked, and is set aside: %s", entry.id, one_line(error))
        _set_aside(entry.line())
        return 0


def _set_aside(lines: bytes) -> None:
    with (settings.TOKENHUB_DATA_DIR / "spool" / "unbookable.jsonl").open("ab") as file:
        file.write(lines)


def book_files(paths: Sequence[Path]) -> None:
    """Book what is in the files of one worker, which are held, and remove them; raises django.db.Error.

    They are read together: a call's last line may be in a later file than its first.
    """
    entries, forgotten = _by_age(spool.read(*paths))
    if forgotten:
        logger.error("%d calls are set aside: whether they were booked and deleted since nobody knows", len(forgotten))
        _set_aside(b"".join(entry.line() for entry in forgotten))
    for start in range(0, len(entries), _BATCH):
        booked = _book_or_set_aside(entries[start : start + _BATCH])
        if booked:
            logger.warning("%d calls were booked that a worker had left behind", booked)
    if odd := spool.odd_lines(*paths):
        logger.error("%d lines of %s are no calls, and are set aside", len(odd), ", ".join(path.name for path in paths))
        _set_aside(b"\n".join([*odd, b""]))
    for path in paths:
        path.unlink()


def _by_age(entries: Sequence[CallEntry]) -> tuple[list[CallEntry], list[CallEntry]]:
    """Return the calls that may be booked, and those so old that workers delete such: these may have been booked."""
    days: int = settings.TOKENHUB_KEEP_CALLS_DAYS
    oldest = time.time() - days * 86_400 if days else 0.0
    return [each for each in entries if each.at >= oldest], [each for each in entries if each.at < oldest]


ledger = Ledger()
