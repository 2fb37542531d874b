"""What becomes of old calls and their contents: they are deleted in batches, what was spent by day stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Attempt, Call, CallContent

BATCH: Final = 500
CONTENT_BATCH: Final = 50  # of half a megabyte each, at most


def prune(before: datetime, batch: int = BATCH) -> tuple[int, int]:
    """Delete up to so many of the calls that began before a moment; returns how many, and how many attempts.

    It is one short transaction. Of several who prune at the same time each takes rows that no other has. Raises
    django.db.Error.
    """
    with transaction.atomic():
        old = Call.objects.select_for_update(skip_locked=True).filter(at__lt=before).order_by("at")
        pks = list(old.values_list("pk", flat=True)[:batch])
        _, deleted = Call.objects.filter(pk__in=pks).only("pk", "request_id").delete()
    return deleted.get(Call._meta.label, 0), deleted.get(Attempt._meta.label, 0)  # noqa: SLF001 - Django's public name


def prune_content(before: datetime, batch: int = CONTENT_BATCH) -> int:
    """Delete up to so many prompts and answers of calls that began before a moment; returns of how many calls.

    It is one short transaction, as above. Raises django.db.Error.
    """
    with transaction.atomic():
        old = CallContent.objects.select_for_update(skip_locked=True).filter(at__lt=before).order_by("at")
        pks = list(old.values_list("pk", flat=True)[:batch])
        return CallContent.objects.filter(pk__in=pks).delete()[0]


def content_before(calls_before: datetime | None = None) -> datetime:
    """Return from before when no prompt and answer is kept: by its own setting, and never longer than its call."""
    own = timezone.now() - timedelta(days=settings.TOKENHUB_KEEP_CONTENT_DAYS)
    return own if calls_before is None else max(own, calls_before)


def prune_as_configured() -> bool:
    """Delete a batch of what is older than the settings say; returns whether there may be more of it."""
    days: int = settings.TOKENHUB_KEEP_CALLS_DAYS
    before = timezone.now() - timedelta(days=days) if days else None
    has_more = prune_content(content_before(before)) == CONTENT_BATCH
    if before is None:
        return has_more
    calls, _ = prune(before)
    return has_more or calls == BATCH
