"""What a load would make of each row, planned from the file, the rows and what the file said last."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from registry.config import keys, targets
from registry.config.difference import Facts, FieldChange, Outcome, RowChange, Status, merge
from registry.config.rows import Row, facts_of, fill, row_of
from registry.config.schema import Config, Entry
from registry.models import Alias, LoadedRow, Model, Provider

Place = tuple[str, str]
"""The kind and the name of a row."""


@dataclass(frozen=True)
class Step:
    """What a load does to one row, which has its new values already but is not saved."""

    row: Row
    change: RowChange
    merged: Facts
    remember: Facts  # what the file says of the row: the base of the next merge
    entry: Entry | None = None  # None where the file does not name the row

    @property
    def place(self) -> Place:
        """Which row it is."""
        return self.change.kind, self.change.name

    @property
    def writes(self) -> bool:
        """Whether the row is to be saved."""
        return self.change.status in {Status.ADDED, Status.CHANGED, Status.DISABLED}

    @property
    def takes_key(self) -> bool:
        """Whether the provider gets the key of the file."""
        return any(change.field == "key" and change.outcome is Outcome.TAKEN for change in self.change.fields)


class Plan:
    """The steps of a load: providers, models, aliases. To be made within a transaction: it locks the rows it reads."""

    def __init__(self, config: Config, *, keep_edits: bool, prune: bool) -> None:
        providers = Provider.objects.select_for_update().prefetch_related("secret")
        models = Model.objects.select_for_update(of=("self",)).select_related("provider")
        aliases = Alias.objects.select_for_update().prefetch_related("targets__model")
        self.rows: dict[Place, Row] = {("provider", row.name): row for row in providers}
        self.rows |= {("model", row.public_id): row for row in models}
        self.rows |= {("alias", row.name): row for row in aliases}
        self.loaded: dict[Place, Facts] = {(row.kind, row.name): row.values for row in LoadedRow.objects.all()}
        self._keep_edits = keep_edits

        # from the last to the first: a deleted row that another one needs is brought back
        alias_steps = [self._named(entry) for entry in config.aliases]
        needed = {id_ for step in _present(alias_steps) for id_ in targets.ids_of(step.merged["models"])}
        model_steps = [self._named(entry, is_needed=entry.name in needed) for entry in config.models]
        needed = {step.merged["provider"] for step in _present(model_steps)}
        provider_steps = [self._named(entry, is_needed=entry.name in needed) for entry in config.providers]
        self.steps = provider_steps + model_steps + alias_steps
        named = {step.place for step in self.steps}
        self.forgotten = self.loaded.keys() - self.rows.keys() - named
        if prune:
            unnamed = [self._merged(place, {"enabled": False}, None) for place in self.rows if place not in named]
            self.steps += [step for step in unnamed if step.change.status is not Status.UNCHANGED]

    def _named(self, entry: Entry, *, is_needed: bool = False) -> Step:
        """What becomes of a row that the file names; a deleted one that `is_needed` is brought back."""
        place = (entry.kind, entry.name)
        loaded = self.loaded.get(place, {})
        said = _said(entry, loaded)
        if place in self.rows:
            return self._merged(place, said, entry)
        row, change = row_of(entry), RowChange(*place, Status.LEFT_DELETED)
        is_old = bool(loaded) and all(loaded.get(field, value) == value for field, value in said.items())
        if is_needed or not (self._keep_edits and is_old):
            key = [FieldChange("key", "", said["key"], Outcome.TAKEN)] if "key" in said else []
            change = RowChange(*place, Status.ADDED, tuple(key))
            self.rows[place] = row
        return Step(row, change, said, _remembered(place, loaded, said, entry), entry)

    def _merged(self, place: Place, said: Facts, entry: Entry | None) -> Step:
        """What becomes of a row that exists; without an entry it is one that the file does not name."""
        row, loaded = self.rows[place], self.loaded.get(place, {})
        now = _now(row, said, loaded)
        base = _base(loaded, now) if entry else {**now, **loaded}
        merged, changes = merge(base, now, said, keep_edits=self._keep_edits)
        status = Status.KEPT if changes else Status.UNCHANGED
        if any(change.outcome is Outcome.TAKEN for change in changes):
            status = Status.CHANGED if entry else Status.DISABLED
        fill(row, merged)
        return Step(row, RowChange(*place, status, changes), merged, _remembered(place, loaded, said, entry), entry)


def _present(steps: Iterable[Step]) -> Iterator[Step]:
    return (step for step in steps if step.change.status is not Status.LEFT_DELETED)


def _said(entry: Entry, loaded: Facts) -> dict[str, Any]:
    """What the file says of a row, with every default spelled out; a `key` only where the file gives one."""
    said = facts_of(row_of(entry))
    if entry.kind == "model":
        return {**said, "provider": entry.given["provider"]}
    if entry.kind == "alias":
        return {**said, "models": targets.said_of(entry)}
    key = keys.state_given(entry, like=[loaded.get("key", "")])
    return said if key is None else {**said, "key": key}


def _now(row: Row, said: Facts, loaded: Facts) -> dict[str, Any]:
    """What the row holds; a `key` only where there is one to compare it with."""
    if isinstance(row, Model):
        return {**facts_of(row), "provider": row.provider.name}
    if isinstance(row, Alias):
        return {**facts_of(row), "models": targets.held_by(row)}
    if "key" not in said:
        return facts_of(row)
    return {**facts_of(row), "key": keys.state_of(row.secret, like=[said["key"], loaded.get("key", "")])}


def _base(loaded: Facts, now: Facts) -> Facts:
    """What the merge counts a person's edits from."""
    # trust is no edit: people cannot give it, only a file can
    trust = {name: now[name] for name in ("trusted_base_url",) if name in now}
    if loaded:
        return {**now, **loaded, **trust}  # a field younger than the last load cannot have been edited before it
    # a row that no file has named is a person's in every field; to give it a key where it has none overrides nobody
    return trust if now.get("key") else {"key": "", **trust}


def _remembered(place: Place, loaded: Facts, said: Facts, entry: Entry | None) -> Facts:
    """The base of the next merge. A file that no longer gives a key has not taken it back."""
    if place[0] != "provider":
        return {**loaded, **said}
    # `said` may be under an older key of the ring, which may be dropped before the next load
    key = keys.state_given(entry) if entry else None
    return {"key": "", **loaded, **said} | ({} if key is None else {"key": key})
