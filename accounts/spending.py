"""What was spent, by day, team, key, model or provider: read from the rows of `Spend`, a few for thousands of calls."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from django.db.models import QuerySet, Sum

from accounts.models import MICRO, ApiKey, Spend, Team


@dataclass(frozen=True, slots=True)
class Spent:
    """Attempts, their tokens in buckets that do not overlap (`reasoning` is a part of `output`), and their cost."""

    attempts: int = 0
    failed: int = 0
    unpriced: int = 0
    """Attempts at models of which nobody said what they cost, which is not in `cost_micro`."""
    uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_micro: int = 0

    @property
    def input(self) -> int:
        """All tokens that went in."""
        return self.uncached + self.cache_read + self.cache_write

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(getattr(self, name) + getattr(other, name) for name in _SUMS))


_SUMS: Final = tuple(field.name for field in fields(Spent))


def added_up(rows: QuerySet[Spend], by: Sequence[str]) -> list[tuple[tuple[Any, ...], Spent]]:
    """Return what rows come to for each value of some of their fields, in the order of the values."""
    sums = {f"sum_{name}": Sum(name) for name in _SUMS}
    found = rows.order_by(*by).values_list(*by).annotate(**sums)
    return [(tuple(row[: len(by)]), Spent(*row[len(by) :])) for row in found]


def total(parts: Iterable[Spent]) -> Spent:
    """Return what parts come to together."""
    return sum(parts, Spent())


def key_names(pks: Iterable[int | None], teams: Collection[int] | None) -> Mapping[int, str]:
    """Return what people call keys, those of them that are still there; of those that are not in `teams` only that.

    `teams` are the ones that the reader leads, None for all.
    """
    found = ApiKey.objects.only("name", "public_id", "team_id").in_bulk([pk for pk in pks if pk])
    return {
        pk: str(key) if teams is None or key.team_id in teams else f"moved away ({pk})" for pk, key in found.items()
    }


def team_names(pks: Iterable[int | None]) -> Mapping[int, str]:
    """Return what people call teams, those of them that are still there."""
    found = Team.objects.only("name").in_bulk([pk for pk in pks if pk])
    return {pk: team.name for pk, team in found.items()}


def named(pk: int | None, names: Mapping[int, str], *, none: str) -> str:
    """Return what a page calls a key or a team, be it gone or `none` at all."""
    return names.get(pk, f"deleted ({pk})") if pk else none


def usd(micro: int) -> str:
    """Return micro-dollars as dollars with all their digits."""
    return f"{micro // MICRO:,}.{micro % MICRO:06d}"


def short_usd(micro: int) -> str:
    """Return micro-dollars as dollars without zeros that say nothing."""
    told = usd(micro)
    return told[:-4] + told[-4:].rstrip("0")
