"""The three-way merge of one row, and the difference that a load makes, in lines that people read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

Facts = Mapping[str, Any]
"""A row field by field as plain JSON; `key` of a provider is "", "env:NAME" or "sealed:…", never the key itself."""

_UNKNOWN = object()


class Outcome(Enum):
    """What becomes of a field in which the row and the file differ."""

    TAKEN = "the file's value is taken"
    KEPT = "a person's edit is kept"
    CONFLICT = "a person's edit is kept although the file has changed as well"


class Status(Enum):
    """What becomes of a row."""

    ADDED = "added"
    CHANGED = "changed"
    DISABLED = "disabled, the file does not name it"
    KEPT = "kept as edited"
    LEFT_DELETED = "left deleted"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class FieldChange:
    """A field in which the row (`now`) and the file (`said`) differ."""

    field: str
    now: Any
    said: Any
    outcome: Outcome

    def __str__(self) -> str:
        now, said = self._shown()
        if self.outcome is Outcome.TAKEN:
            return f"{self.field}: {now} → {said}"
        if self.outcome is Outcome.KEPT:
            return f"{self.field}: kept edit {now} (the file says {said})"
        return f"{self.field}: kept edit {now}, in conflict with the file's new {said}"

    def _shown(self) -> tuple[str, str]:
        if self.field != "key":
            return json.dumps(self.now), json.dumps(self.said)
        both_sealed = self.now.startswith("sealed:") and self.said.startswith("sealed:")
        return _shown_key(self.now), "replaced" if both_sealed else _shown_key(self.said)


@dataclass(frozen=True)
class RowChange:
    """What becomes of one provider, model or alias; `fields` are those in which row and file differ."""

    kind: str
    name: str
    status: Status
    fields: tuple[FieldChange, ...] = ()

    def lines(self) -> Iterator[str]:
        """The row, and below it the fields."""
        yield f"{self.kind} {self.name}: {self.status.value}"
        for change in self.fields:
            yield f"    {change}"


@dataclass(frozen=True)
class Difference:
    """What a load changes, or would change, and what it found worth a warning."""

    rows: tuple[RowChange, ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether every row stays as it is."""
        return all(row.status in {Status.KEPT, Status.LEFT_DELETED, Status.UNCHANGED} for row in self.rows)

    def lines(self) -> Iterator[str]:
        """The difference for people: secrets appear as "set", "replaced" or the name of their variable."""
        for row in self.rows:
            if row.status is not Status.UNCHANGED:
                yield from row.lines()
        unchanged = [f"{row.kind} {row.name}" for row in self.rows if row.status is Status.UNCHANGED]
        if unchanged:
            yield f"unchanged: {', '.join(unchanged)}"
        if self.is_empty:
            yield "nothing to change"
        for warning in self.warnings:
            yield f"warning: {warning}"


def merge(base: Facts, now: Facts, said: Facts, *, keep_edits: bool) -> tuple[dict[str, Any], tuple[FieldChange, ...]]:
    """Merge what the file says into a row, given what a file said of it before (`base`).

    Without `keep_edits` the file wins. With it, what a person changed since stays; so does a field without a base,
    for nobody knows whether its value matters to someone.
    """
    merged, changes = dict(now), []
    for field, wanted in said.items():
        if now[field] == wanted:
            continue
        outcome = _outcome(base.get(field, _UNKNOWN), now[field], wanted) if keep_edits else Outcome.TAKEN
        changes.append(FieldChange(field, now[field], wanted, outcome))
        if outcome is Outcome.TAKEN:
            merged[field] = wanted
    return merged, tuple(changes)


def _outcome(base: Any, now: Any, wanted: Any) -> Outcome:
    if base == now:
        return Outcome.TAKEN
    return Outcome.KEPT if base in (wanted, _UNKNOWN) else Outcome.CONFLICT


def _shown_key(state: str) -> str:
    if state.startswith("env:"):
        return f"env {state.removeprefix('env:')}"
    return "set" if state else "nothing"
