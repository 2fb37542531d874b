"""What a key may read of its own use: its days, its budgets and its limits."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from django.utils import timezone

from accounts.budgets import spent_micro
from accounts.facts import KeyFacts
from accounts.models import LIMITS, MICRO, Budget, BudgetUse, Period, Spend
from accounts.periods import Days, midnight
from accounts.spending import Spent, added_up, total

GROUPS: Final = ("day", "model", "provider")


def of_key(key: KeyFacts | None, days: Days, groups: Sequence[str]) -> dict[str, Any]:
    """Return what a key spent on some days, by some of `GROUPS`, and what it may still spend.

    Without a key these are the calls that were made without one. Raises django.db.Error.
    """
    rows = Spend.objects.filter(key_pk=key.pk if key else 0, day__range=(days.first, days.last))
    found = added_up(rows, groups)
    return {
        "object": "usage",
        "from": days.first.isoformat(),
        "to": days.last.isoformat(),
        "data": [dict(zip(groups, map(_plain, values), strict=True)) | _told(spent) for values, spent in found],
        "total": _told(total(spent for _, spent in found)),
        "budgets": _budgets(key, timezone.now()) if key else [],
        "limits": _limits(key),
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _told(spent: Spent) -> dict[str, Any]:
    counts = asdict(spent)
    cost = counts.pop("cost_micro") / MICRO
    del counts["uncached"]
    return {
        "attempts": counts.pop("attempts"),
        "failed": counts.pop("failed"),
        "unpriced": counts.pop("unpriced"),
        "input": spent.input,
        **counts,
        "cost_usd": cost,
    }


def _budgets(key: KeyFacts, now: datetime) -> list[dict[str, Any]]:
    """Return the budgets that the calls of a key are charged to, its own and its team's, in their present periods."""
    rows = Budget.objects.in_bulk([budget.pk for budget in key.budgets])
    own = {budget.pk for budget in key.own_budgets}
    return [_budget(row, "key" if pk in own else "team", now) for pk, row in sorted(rows.items())]


def _budget(budget: Budget, owner: str, now: datetime) -> dict[str, Any]:
    period = Period(budget.period)
    start = period.start(now)
    end = period.end(start)
    use = BudgetUse.objects.filter(budget=budget, start=start).first()
    return {
        "owner": owner,
        "period": period.value,
        "limit_usd": budget.amount_micro / MICRO,
        "spent_usd": (use.spent_micro if use else spent_micro(budget, start)) / MICRO,
        "reserved_usd": (use.reserved_micro if use else 0) / MICRO,
        "resets_at": midnight(end).isoformat() if end else None,
    }


def _limits(key: KeyFacts | None) -> dict[str, Any]:
    """Return the limits that a key is held to, be they its own or its team's; None where there is none."""
    told = {name: key.least(name) if key else None for name in LIMITS}
    cost = told.pop("max_cost_micro")
    return {**told, "max_cost_usd": None if cost is None else cost / MICRO}
