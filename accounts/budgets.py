"""Budgets: what a call may cost at worst is reserved before it goes out, what it did cost is charged with its row.

Reserving is one conditional UPDATE a budget, so that no number of workers admits more than there is. Charging happens
in the transaction that books the call, so that what is spent is always what the books say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Q, QuerySet, Sum

from accounts import budget_warnings
from accounts.entries import CallEntry
from accounts.facts import BudgetFacts
from accounts.models import Budget, BudgetUse, Period, Reservation, Spend

LEASE_SECONDS: Final = 90.0


class BudgetGone(Exception):
    """A budget was deleted a moment ago: it binds nobody any more."""


class BudgetSpent(Exception):
    """A budget has no room for what a call may cost."""

    def __init__(self, budget: BudgetFacts, left_micro: int) -> None:
        super().__init__(budget.owner)
        self.budget = budget
        self.left_micro = left_micro


def reserve(request_id: str, budgets: Sequence[BudgetFacts], amount_micro: int, now: float) -> list[int]:
    """Set an amount aside in every one of the budgets, or in none; returns the keys of the `Reservation` rows.

    Raises `BudgetSpent` and django.db.Error.
    """
    made = []
    with transaction.atomic():
        uses = []
        for budget in sorted(budgets, key=lambda each: each.pk):  # in one order, so that nobody waits in a circle
            with suppress(BudgetGone):
                uses.append((_use(budget.pk, Period(budget.period), _moment(now)), budget))
        for use, budget in sorted(uses, key=lambda each: each[0].pk):
            room = Q(spent_micro__lte=budget.amount_micro - amount_micro - F("reserved_micro"))
            if not BudgetUse.objects.filter(room, pk=use.pk).update(reserved_micro=F("reserved_micro") + amount_micro):
                use.refresh_from_db()
                raise BudgetSpent(budget, budget.amount_micro - use.spent_micro - use.reserved_micro)
            reservation = Reservation.objects.create(
                request_id=request_id, use=use, amount_micro=amount_micro, lease_until=now + LEASE_SECONDS
            )
            made.append(reservation.pk)
    return made


def renew(request_ids: Iterable[str], now: float) -> None:
    """Prolong the reservations of calls that are still under way; raises django.db.Error."""
    Reservation.objects.filter(request_id__in=list(request_ids)).update(lease_until=now + LEASE_SECONDS)


def free(reservations: Sequence[int]) -> None:
    """Free reservations that nobody waits for any more, by their primary keys; raises django.db.Error."""
    with transaction.atomic():
        _apply(freed=_taken(Reservation.objects.filter(pk__in=reservations)), spent={})


def sweep(now: float) -> None:
    """Free what was reserved by workers that are no more; raises django.db.Error."""
    with transaction.atomic():
        _apply(freed=_taken(Reservation.objects.filter(lease_until__lt=now)), spent={})


def charge(entries: Sequence[CallEntry]) -> None:
    """Charge calls that have just been inserted to the budgets of their keys and teams, and free what was reserved.

    Marks that a budget passes by it are told. To be called in the transaction that books them.
    """
    freed = _taken(Reservation.objects.filter(request_id__in=[entry.id for entry in entries]))
    spent: Counter[int] = Counter()
    by_owner: dict[tuple[str, int], list[CallEntry]] = defaultdict(list)
    for entry in entries:
        for kind, pk in (("key", entry.key), ("team", entry.team)):
            if pk is not None and _cost(entry):
                by_owner[kind, pk].append(entry)
    for budget in _of_owners(by_owner):
        owner = ("key", budget.key_id) if budget.key_id is not None else ("team", budget.team_id or 0)
        spent.update(_spent_of(budget, by_owner[owner]))  # and not `+=`, which forgets the rows with 0
    _apply(freed=freed, spent=spent)
    budget_warnings.look(spent)


def _spent_of(budget: Budget, entries: Iterable[CallEntry]) -> Counter[int]:
    """Return what calls cost by the periods of a budget: the keys are those of its `BudgetUse` rows."""
    sums: Counter[date] = Counter()
    for entry in entries:
        sums[Period(budget.period).start(_moment(entry.at))] += _cost(entry)
    told: dict[tuple[BudgetUse, bool], int] = {}
    with suppress(BudgetGone):
        told = {_use_from(budget.pk, Period(budget.period), start): amount for start, amount in sorted(sums.items())}
    # a new row begins with what the books say, which hold these calls already
    return Counter({use.pk: 0 if is_new else amount for (use, is_new), amount in told.items()})


def _apply(*, freed: Mapping[int, int], spent: Mapping[int, int]) -> None:
    """Change rows of `BudgetUse` in the order of their keys, so that no two workers wait for each other in a circle."""
    for use in sorted({*freed, *spent}):
        BudgetUse.objects.filter(pk=use).update(
            spent_micro=F("spent_micro") + spent.get(use, 0), reserved_micro=F("reserved_micro") - freed.get(use, 0)
        )


def _taken(reservations: QuerySet[Reservation]) -> Counter[int]:
    """Delete reservations, and return what they held: each is told to whoever deletes it, and to nobody else."""
    held: Counter[int] = Counter()
    for pk, use, amount in reservations.order_by("pk").values_list("pk", "use_id", "amount_micro"):
        deleted, _ = reservations.filter(pk=pk).delete()  # unless it was prolonged since
        if deleted:
            held[use] += amount
    return held


def _of_owners(owners: Iterable[tuple[str, int]]) -> Iterable[Budget]:
    keys = [pk for kind, pk in owners if kind == "key"]
    teams = [pk for kind, pk in owners if kind == "team"]
    return Budget.objects.filter(Q(key__in=keys) | Q(team__in=teams)).order_by("pk") if keys or teams else ()


def _use(budget: int, period: Period, moment: datetime) -> BudgetUse:
    return _use_from(budget, period, period.start(moment))[0]


def _use_from(budget: int, period: Period, start: date) -> tuple[BudgetUse, bool]:
    """Return the row of a period and whether it is new: it then begins with what the books say was spent by now."""
    found = BudgetUse.objects.filter(budget=budget, start=start).first()
    if found is not None:
        return found, False
    row = Budget.objects.filter(pk=budget).first()
    if row is None:
        raise BudgetGone
    spent = spent_micro(row, start)
    return BudgetUse.objects.get_or_create(budget_id=budget, start=start, defaults={"spent_micro": spent})


def spent_micro(budget: Budget, start: date) -> int:
    """Return what the books say was spent in a period by the owner of a budget, in micro-dollars.

    A period is made of whole days, so their sums say it, also of calls that have been deleted since.
    """
    owner = {"key_pk": budget.key_id} if budget.key_id is not None else {"team_pk": budget.team_id}
    days = Spend.objects.filter(**owner, day__gte=start)
    if end := Period(budget.period).end(start):
        days = days.filter(day__lt=end)
    total: int | None = days.aggregate(total=Sum("cost_micro"))["total"]
    return total or 0


def _cost(entry: CallEntry) -> int:
    return sum(attempt.cost_micro for attempt in entry.attempts)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
