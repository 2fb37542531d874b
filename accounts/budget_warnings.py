"""Warnings of budgets: one for each mark that what is spent has passed in a period, kept until it is delivered.

The row of a warning is written in the transaction that charges the budget, so that whoever dies afterwards loses none.
Who delivers takes one at a time and holds it for a while: what a dead worker held is taken by another. So a warning is
raised once and delivered at least once, always with the same id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import MICRO, Budget, BudgetUse, BudgetWarning, Period

logger = logging.getLogger(__name__)

MARKS: Final = (50, 80, 100)
HOLD_SECONDS: Final = 15.0  # longer than one delivery may take
GIVE_UP_SECONDS: Final = 86_400.0
_LONGEST_REST_SECONDS: Final = 600.0
_LOOKED_AT: Final = 20


@dataclass(frozen=True, slots=True)
class Due:
    """A warning that is to be delivered now, by whoever holds it and nobody else until `held_until` (unix seconds)."""

    id: UUID
    told: Mapping[str, Any]
    tries: int
    """Of which this is the last, from 1."""
    expires: float
    held_until: float


def reached(spent_micro: int, amount_micro: int) -> int:
    """Return the highest of `MARKS` that was passed, or 0."""
    return max((mark for mark in MARKS if 100 * spent_micro >= mark * amount_micro), default=0)


def look(uses: Iterable[int]) -> None:
    """Warn where a mark was passed. To be called in the transaction that charged these rows, and so holds them."""
    rows = BudgetUse.objects.filter(pk__in=list(uses), budget__enabled=True).order_by("pk")
    for use in rows.select_related("budget__key", "budget__team"):
        _warn(use)


def edited(instance: Budget, *, created: bool, raw: bool, **_: Any) -> None:
    """Begin anew after an edit: a mark that is ahead again will be told again, one that is behind now is told now.

    The receiver of post_save. A budget that is switched off takes back what was not delivered yet.
    """
    if created or raw:
        return
    with transaction.atomic():
        if not instance.enabled:
            BudgetWarning.objects.filter(use__budget=instance.pk, due_at__isnull=False).update(due_at=None)
            return
        start = Period(instance.period).start(timezone.now())
        use = BudgetUse.objects.select_for_update().filter(budget=instance.pk, start=start).first()
        if use is None:
            return
        use.budget = instance
        mark = reached(use.spent_micro, instance.amount_micro)
        BudgetUse.objects.filter(pk=use.pk, warned_percent__gt=mark).update(warned_percent=mark)
        _warn(use)


def _warn(use: BudgetUse) -> None:
    """Tell the highest mark that was passed, those below it with it, unless somebody told it before."""
    mark = reached(use.spent_micro, use.budget.amount_micro)
    if not BudgetUse.objects.filter(pk=use.pk, warned_percent__lt=mark).update(warned_percent=mark):
        return
    now = timezone.now()
    warning = BudgetWarning.objects.create(
        use=use,
        percent=mark,
        spent_micro=use.spent_micro,
        amount_micro=use.budget.amount_micro,
        at=now,
        due_at=now.timestamp() if settings.TOKENHUB_BUDGET_WEBHOOK else None,
    )
    transaction.on_commit(partial(_log, _told(warning)), robust=True)


def _log(told: dict[str, Any]) -> None:
    owner = told["owner"]
    extra = {name: value for name, value in told.items() if name not in {"event", "at"}}
    text = "the %s budget of %s %r has passed %d %%"
    logger.warning(text, told["period"], owner["type"], owner["name"], told["percent"], extra=extra)


def _told(warning: BudgetWarning) -> dict[str, Any]:
    """Return what log and webhook say of a warning; it has no secret in it."""
    budget = warning.use.budget
    owner, kind = (budget.key, "key") if budget.key is not None else (budget.team, "team")
    return {
        "event": "budget.warning",
        "id": str(warning.id),
        "at": warning.at.astimezone(UTC).isoformat(),
        "budget": budget.pk,
        "owner": {"type": kind, "id": owner.pk if owner else None, "name": owner.name if owner else ""},
        "period": budget.period,
        "period_start": warning.use.start.isoformat(),
        "percent": warning.percent,
        "spent_usd": warning.spent_micro / MICRO,
        "amount_usd": warning.amount_micro / MICRO,
    }


def claim(now: float) -> Due | None:
    """Take the next warning that is to be delivered, if there is one; raises django.db.Error."""
    rows = BudgetWarning.objects.filter(due_at__lte=now, use__budget__enabled=True).order_by("due_at")
    for warning in rows.select_related("use__budget__key", "use__budget__team")[:_LOOKED_AT]:
        held_until = now + HOLD_SECONDS
        as_seen = BudgetWarning.objects.filter(pk=warning.pk, due_at=warning.due_at)
        if as_seen.update(due_at=held_until, tries=F("tries") + 1):
            expires = warning.at.timestamp() + GIVE_UP_SECONDS
            return Due(warning.pk, _told(warning), warning.tries + 1, expires, held_until)
    return None


def delivered(due: Due) -> None:
    """Note that a warning has arrived; raises django.db.Error."""
    BudgetWarning.objects.filter(pk=due.id).update(due_at=None, delivered_at=datetime.fromtimestamp(time.time(), UTC))


def failed(due: Due, reason: str, now: float) -> None:
    """Let a warning rest until its next try, twice as long each time, or give it up; raises django.db.Error."""
    rest = min(2.0 ** min(due.tries, 20), _LONGEST_REST_SECONDS)
    again = now + rest if now + rest < due.expires else None
    # one that was taken back meanwhile, or is held by somebody else, is not this one's to put down
    if not BudgetWarning.objects.filter(pk=due.id, due_at=due.held_until).update(due_at=again):
        return
    extra = {"id": str(due.id), "budget": due.told["budget"], "percent": due.told["percent"], "tries": due.tries}
    if again is None:
        logger.error("a warning of a budget could not be delivered, and is given up: %s", reason, extra=extra)
    elif due.tries == 1:
        logger.warning("a warning of a budget could not be delivered, and is tried again: %s", reason, extra=extra)
