"""Days that a page or a caller asks about, all of them in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Self

from django.utils import timezone

MOST_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class Days:
    """Days one after the other, `first` and `last` included."""

    first: date
    last: date

    @classmethod
    def this_month(cls) -> Self:
        """Return the days of the month that have begun."""
        today = timezone.now().astimezone(UTC).date()
        return cls(today.replace(day=1), today)

    @property
    def fault(self) -> str:
        """What is wrong with them, as a sentence; empty for what can be asked about."""
        if self.last < self.first:
            return f"{self.last} is before {self.first}."
        if len(self) > MOST_DAYS:
            return f"{MOST_DAYS} days can be asked for at once, not {len(self)}."
        return ""

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def each(self) -> list[date]:
        """Return them all."""
        return [self.first + timedelta(days=number) for number in range(len(self))]


def midnight(day: date) -> datetime:
    """Return when a day begins."""
    return datetime.combine(day, time(), UTC)
