"""The list of calls as pages: newest first, each page reached by the call that the one before it ended with.

A page reads as many rows as it shows, however many there are: nothing is counted and nothing skipped. Each filter has
an index in the order of the list. Source of the idea: the "seek method" of Markus Winand, use-the-index-luke.com.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, Self

from django.db.models import Q, QuerySet

from accounts.models import Call

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the list: that of the call which began at a time, and of several at that time the one with this id."""

    at: datetime
    pk: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `str` made a text of; raises ValueError."""
        micros, _, pk = text.partition("-")
        try:
            return cls(_EPOCH + int(micros) * _MICROSECOND, int(pk))
        except OverflowError as error:
            raise ValueError(str(error)) from error

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}-{self.pk}"

    @classmethod
    def of(cls, call: Call) -> Self:
        """Return where a call is."""
        return cls(call.at, call.pk)


@dataclass(frozen=True, slots=True)
class Page:
    """Some calls, newest first, and from where the pages beside it begin; None where there is none."""

    calls: Sequence[Call]
    newer: Place | None
    older: Place | None


def older_than(place: Place | None, parts: Sequence[QuerySet[Call]], size: int) -> Page:
    """Return the first calls after a place, or of the list, which is what the parts have together."""
    within = Q() if place is None else Q(at__lte=place.at) & (Q(at__lt=place.at) | Q(pk__lt=place.pk))
    found = chain.from_iterable(part.filter(within).order_by("-at", "-pk")[: size + 1] for part in parts)
    calls = sorted(found, key=Place.of, reverse=True)
    shown = calls[:size]
    return Page(shown, Place.of(shown[0]) if shown and place else None, _last(calls, size))


def newer_than(place: Place, parts: Sequence[QuerySet[Call]], size: int) -> Page:
    """Return the last calls before a place, of the list that the parts have together."""
    within = Q(at__gte=place.at) & (Q(at__gt=place.at) | Q(pk__gt=place.pk))
    found = chain.from_iterable(part.filter(within).order_by("at", "pk")[: size + 1] for part in parts)
    calls = sorted(found, key=Place.of)
    shown = calls[:size][::-1]
    return Page(shown, _last(calls, size), Place.of(shown[-1]) if shown else None)


def _last(calls: Sequence[Call], size: int) -> Place | None:
    """Return the place of the last call of a page, where there are more after it."""
    return Place.of(calls[size - 1]) if len(calls) > size else None
