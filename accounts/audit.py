"""Whether spool, calls, attempts, spend, budgets and reservations agree, and how to make them.

Workers go on meanwhile: what differs at a first look is looked at again while nobody else can write to the books.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Exists, F, Min, OuterRef, Q, Sum
from django.db.models.functions import Coalesce, TruncDate

from accounts import budgets, spool
from accounts.ledger import BUCKETS, SPEND_KEY, SPEND_SUMS, UNPRICED, book_files
from accounts.models import Attempt, BudgetUse, Call, Reservation, Spend

_LATE_SECONDS: Final = 60.0  # running workers free what is past its lease every half minute

_Sums = tuple[int, ...]
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What does not agree, in a line with its numbers, and what was done about it; empty where nothing was."""

    text: str
    repair: str = ""


def differences(*, repair: bool, now: float) -> Iterator[Difference]:
    """Yield all differences, in an order in which each repair finds those before it done; raises django.db.Error."""
    for look in (_spool, _calls, _spend):
        yield from look(repair=repair)
    yield from _leases(repair=repair, now=now)
    yield from _uses(repair=repair)


@contextmanager
def _held() -> Iterator[None]:
    """Let nobody write to the books: SQLite's transactions do so by themselves, see the settings."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            tables = ", ".join(f'"{table._meta.db_table}"' for table in (Spend, BudgetUse))  # noqa: SLF001 - public
            with connection.cursor() as cursor:  # in the order in which the ledger takes them
                cursor.execute(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
        yield


def _spool(*, repair: bool) -> list[Difference]:
    """Look for calls that nobody will book: running workers hold their files, and book what is in them themselves."""
    found = []
    for paths in spool.orphans(settings.TOKENHUB_DATA_DIR / "spool"):
        ids = [entry.id for entry in spool.read(*paths)]
        missing = len(ids) - Call.objects.filter(request_id__in=ids).count()
        if missing and repair:
            book_files(paths)
        if missing:
            names = ", ".join(path.name for path in paths)
            told = f"spool: {missing} of {len(ids)} calls in {names} are not booked, and no worker holds it"
            found.append(Difference(told, "booked" if repair else ""))
    found += [
        Difference(f"spool: the calls of a file are not booked, for it cannot be read: {told}")
        for told in spool.unreadable(settings.TOKENHUB_DATA_DIR / "spool")
    ]
    aside = settings.TOKENHUB_DATA_DIR / "spool" / "unbookable.jsonl"
    if aside.exists():
        lines = len(aside.read_bytes().splitlines())
        told = f"spool: {lines} lines are set aside in {aside.name}, which nobody books: read them, and remove the file"
        found.append(Difference(told))
    return found


def _calls(*, repair: bool) -> list[Difference]:
    """Compare each call with its attempts; which of both is right nobody can know."""
    sums = {f"of_{name}": Coalesce(Sum(f"attempts__{name}"), 0) for name in BUCKETS}
    agrees = Q(attempt_count=F("attempts_found")) & Q(**{name: F(f"of_{name}") for name in BUCKETS})
    calls = Call.objects.order_by().annotate(attempts_found=Count("attempts"), **sums).exclude(agrees)
    found = []
    for call in calls.values("request_id", "attempt_count", "attempts_found", *BUCKETS, *sums):
        told = _unlike(
            ("attempts", *BUCKETS),
            (call["attempt_count"], *(call[name] for name in BUCKETS)),
            (call["attempts_found"], *(call[name] for name in sums)),
        )
        found.append(Difference(f"call {call['request_id']}: says {told} by its attempts"))
    stray = Attempt.objects.filter(~Exists(Call.objects.filter(request_id=OuterRef("call_id"))))
    for row in stray.order_by().values("call_id").annotate(attempts=Count("pk"), cost=Sum("cost_micro")):
        told = f"{row['attempts']} attempts for {row['cost']} micro-dollars"
        found.append(Difference(f"attempts: {told} belong to call {row['call_id']}, which does not exist"))
    return found


def _spend(*, repair: bool) -> list[Difference]:
    suspect = {key[0] for key, _, _ in _spend_differences(None)}
    if not suspect:
        return []
    found = []
    with _held():
        for key, told, made in _spend_differences(suspect):
            of_day = dict(zip(SPEND_KEY, key, strict=True))
            where = "spend of {day}, key {key_pk}, team {team_pk}, {model} at {provider}".format(**of_day)
            if repair:
                _write_spend(of_day, made)
            text = f"{where}: says {_unlike(SPEND_SUMS, told, made)} by the attempts"
            found.append(Difference(text, "recomputed" if repair else ""))
    return found


def _write_spend(of_day: Mapping[str, Any], made: _Sums) -> None:
    if any(made):
        Spend.objects.update_or_create(**of_day, defaults=dict(zip(SPEND_SUMS, made, strict=True)))
    else:
        Spend.objects.filter(**of_day).delete()


def _spend_differences(days: Collection[date] | None) -> list[tuple[_Key, _Sums, _Sums]]:
    """Return where the rows of spend and the attempts of their days are not alike: the key, what is said, what is so.

    Of days whose calls were pruned nothing can be said, and on the oldest with calls the rows may have more than those.
    """
    oldest: datetime | None = Call.objects.aggregate(oldest=Min("at"))["oldest"]
    if oldest is None:
        return []
    first = oldest.astimezone(UTC).date()
    is_whole = Call.objects.filter(pk=1).exists()  # nothing was ever pruned
    rows = Spend.objects.filter(day__gte=first)
    told = _by_key(rows if days is None else rows.filter(day__in=days), SPEND_SUMS)
    made = _made(days)
    nothing = (0,) * len(SPEND_SUMS)
    found = []
    for key in sorted({*told, *made}):
        says, is_so = told.get(key, nothing), made.get(key, nothing)
        if key[0] == first and not is_whole:
            is_so = tuple(map(max, says, is_so))
        if says != is_so:
            found.append((key, says, is_so))
    return found


def _made(days: Collection[date] | None) -> dict[_Key, _Sums]:
    attempts = Attempt.objects.order_by().filter(call__at__isnull=False)
    if days is not None:
        spans = [Q(call__at__gte=_midnight(day), call__at__lt=_midnight(day, 1)) for day in days]
        either = Q()
        for span in spans:
            either |= span
        attempts = attempts.filter(either)
    key = {
        "day": TruncDate("call__at", tzinfo=UTC),
        "key_pk": Coalesce("call__key_id", 0),
        "team_pk": Coalesce("call__team_id", 0),
    }
    sums = {f"of_{name}": Sum(name) for name in BUCKETS}
    grouped = attempts.annotate(**key).values(*SPEND_KEY)
    counts = {"of_attempts": Q(), "of_failed": ~Q(status=200), "of_unpriced": UNPRICED}
    counted = grouped.annotate(**{name: Count("pk", filter=chosen) for name, chosen in counts.items()}, **sums)
    return _by_key(counted, [f"of_{name}" for name in SPEND_SUMS])


def _by_key(rows: Any, names: Collection[str]) -> dict[_Key, _Sums]:
    size = len(SPEND_KEY)
    return {row[:size]: row[size:] for row in rows.values_list(*SPEND_KEY, *names)}


def _midnight(day: date, more: int = 0) -> datetime:
    return datetime.combine(date.fromordinal(day.toordinal() + more), time(), UTC)


def _leases(*, repair: bool, now: float) -> list[Difference]:
    late = Reservation.objects.filter(lease_until__lt=now - _LATE_SECONDS)
    found = [
        Difference(
            f"reservation: {amount} micro-dollars of call {request_id} are held {now - until:.0f} s past their lease",
            "freed" if repair else "",
        )
        for request_id, amount, until in late.values_list("request_id", "amount_micro", "lease_until")
    ]
    if found and repair:
        budgets.sweep(now - _LATE_SECONDS)
    return found


def _uses(*, repair: bool) -> list[Difference]:
    suspect = [use.pk for use, _, _ in _use_differences(None)]
    if not suspect:
        return []
    found = []
    with _held():
        for use, told, made in _use_differences(suspect):
            if repair:
                BudgetUse.objects.filter(pk=use.pk).update(spent_micro=made[0], reserved_micro=made[1])
            unlike = _unlike(("spent_micro", "reserved_micro"), told, made)
            text = f"{use.budget} from {use.start}: says {unlike} by the books"
            found.append(Difference(text, "recomputed" if repair else ""))
    return found


def _use_differences(pks: Collection[int] | None) -> list[tuple[BudgetUse, _Sums, _Sums]]:
    uses = BudgetUse.objects.select_related("budget__key", "budget__team").order_by("pk")
    found: list[tuple[BudgetUse, _Sums, _Sums]] = []
    for use in uses if pks is None else uses.filter(pk__in=pks):
        spent = budgets.spent_micro(use.budget, use.start)
        reserved = use.reservations.aggregate(total=Sum("amount_micro"))["total"] or 0
        if (use.spent_micro, use.reserved_micro) != (spent, reserved):
            found.append((use, (use.spent_micro, use.reserved_micro), (spent, reserved)))
    return found


def _unlike(names: Collection[str], told: _Sums, made: _Sums) -> str:
    """Return the numbers that are not alike, such as `output 5 instead of 7`."""
    pairs = zip(names, told, made, strict=True)
    return ", ".join(f"{name} {says} instead of {is_so}" for name, says, is_so in pairs if says != is_so)
