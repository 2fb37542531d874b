"""A configuration applied: what each row becomes is planned first, then written in one transaction."""

import os
from collections.abc import Iterable, Iterator
from typing import cast

from django.db import connection, transaction

from registry.config import keys, targets
from registry.config.difference import Difference, Status
from registry.config.faults import ConfigInvalid, Fault, quoted, within
from registry.config.plan import Plan, Step
from registry.config.rows import check, faults_of
from registry.config.schema import Config
from registry.models import Alias, LoadedRow, Model, Provider, ProviderType

_ADVISORY_LOCK = 0x546F6B656E487562  # "TokenHub"; any number that no other program takes
_REASON_LENGTH = 100  # of the history's column


def load(config: Config, *, keep_edits: bool, prune: bool = False, dry_run: bool = False, reason: str) -> Difference:
    """Make the rows say what the file says, in one transaction, and return what that changed.

    keep_edits: what a person changed or deleted since the last load stays so.
    prune: rows that the file does not name are disabled, never deleted.
    dry_run: nothing is written.
    reason: stands in the history of every row that is changed; cut to 100 characters.
    Raises ConfigInvalid before anything is written, and the vault's KeyProblem or Unopenable where a key cannot be
    sealed or compared.
    """
    _refuse(check(config))
    with transaction.atomic():
        _wait_for_other_loads()
        plan = Plan(config, keep_edits=keep_edits, prune=prune)
        _refuse([*_faults_of_merges(plan), *_faults_of_names(plan)])
        if not dry_run:
            _write(plan, reason[:_REASON_LENGTH])
        return Difference(tuple(step.change for step in plan.steps), tuple(_warnings(plan)))


def _refuse(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise ConfigInvalid(found)


def _wait_for_other_loads() -> None:
    """One load at a time. On SQLite the transaction, which begins as a writer, sees to that."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


def _faults_of_merges(plan: Plan) -> Iterator[Fault]:
    """A sound file and a sound row can disagree: a person emptied the base URL, the file changes the type to vllm."""
    for step in plan.steps:
        if step.entry and step.change.status is Status.CHANGED:
            for fault in faults_of(step.row, step.entry.path):
                yield Fault(fault.path, f"together with the edits that are kept: {fault.problem}")


def _faults_of_names(plan: Plan) -> Iterator[Fault]:
    """A sound file and the rows that it does not name can disagree: an alias and a model cannot share a name."""
    for step in plan.steps:
        kind, name = step.place
        other = {"model": "alias", "alias": "model"}.get(kind, "")
        if step.entry and step.change.status is Status.ADDED and (other, name) in plan.rows:
            field = "id" if kind == "model" else "name"
            article = "an" if other == "alias" else "a"
            yield Fault(within(step.entry.path, field), f"{quoted(name)} is {article} {other} already")


def _write(plan: Plan, reason: str) -> None:
    for step in plan.steps:
        if step.writes:
            _save(step, plan, reason)
        if step.remember != plan.loaded.get(step.place):
            kind, name = step.place
            LoadedRow.objects.update_or_create(kind=kind, name=name, defaults={"values": step.remember})
    for kind, name in plan.forgotten:
        LoadedRow.objects.filter(kind=kind, name=name).delete()


def _save(step: Step, plan: Plan, reason: str) -> None:
    row = step.row
    if isinstance(row, Model):
        row.provider = cast(Provider, plan.rows["provider", step.merged["provider"]])
    elif isinstance(row, Provider) and step.takes_key and step.entry:
        row.secret = keys.keep(row, step.entry, reason)
    row._change_reason = reason  # type: ignore[union-attr]  # noqa: SLF001  # how simple_history is told
    row.save()
    if isinstance(row, Alias):
        models = {name: model for (_, name), model in plan.rows.items() if isinstance(model, Model)}
        targets.keep(row, step.merged["models"], models, reason)


def _warnings(plan: Plan) -> Iterator[str]:
    """What is left to be done before the file's providers can be called."""
    for step in plan.steps:
        row = step.row
        if not isinstance(row, Provider) or not row.enabled or step.change.status is Status.LEFT_DELETED:
            continue
        key = step.merged.get("key") or keys.state_of(row.secret, like=())
        variable = key.removeprefix("env:") if key.startswith("env:") else ""
        if variable and not os.environ.get(variable, "").strip():
            yield f"provider {row.name}: the environment variable {variable} is not set"
        elif not key and ProviderType(row.type).needs_key:
            yield f"provider {row.name}: has no key; set api_key_env, or give it one in the admin"
