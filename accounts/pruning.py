"""What becomes of old calls: they and their attempts are deleted in batches, what was spent by day stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Attempt, Call

BATCH: Final = 500


def prune(before: datetime, batch: int = BATCH) -> tuple[int, int]:
    """Delete up to so many of the calls that began before a moment; returns how many, and how many attempts.

    It is one short transaction. Of several who prune at the same time each takes rows that no other has. Raises
    django.db.Error.
    """
    with transaction.atomic():
        old = Call.objects.select_for_update(skip_locked=True).filter(at__lt=before).order_by("at")
        pks = list(old.values_list("pk", flat=True)[:batch])
        _, deleted = Call.objects.filter(pk__in=pks).delete()
    return deleted.get(Call._meta.label, 0), deleted.get(Attempt._meta.label, 0)  # noqa: SLF001 - Django's public name


def prune_as_configured() -> bool:
    """Delete a batch of what is older than TOKENHUB_KEEP_CALLS_DAYS; returns whether there may be more of it."""
    days: int = settings.TOKENHUB_KEEP_CALLS_DAYS
    if not days:
        return False
    calls, _ = prune(timezone.now() - timedelta(days=days))
    return calls == BATCH
