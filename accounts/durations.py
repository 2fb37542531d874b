"""How long a key is good, as people write it."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

_SPAN: Final = re.compile(r"(\d{1,6})([mhdw])", re.ASCII)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str) -> timedelta:
    """Return what `30m`, `12h`, `90d` or `2w` means; raises ValueError."""
    found = _SPAN.fullmatch(text.strip())
    if not found:
        message = f"{text!r} is no span of time such as 30m, 12h, 90d or 2w"
        raise ValueError(message)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str, now: datetime) -> datetime:
    """Return when a span from now, or a day (`2027-01-31`, which counts to its end in UTC), is over; ValueError."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
        day = date.fromisoformat(text.strip())
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return now + span(text)
