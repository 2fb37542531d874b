"""The models of an alias: compared as a file would list them, and kept as rows in that order."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from registry.config.schema import Entry
from registry.models import Alias, AliasTarget, Model


def said_of(entry: Entry) -> list[Any]:
    """The models that a file gives an alias, each in its shortest form."""
    return [_written(target.id, target.weight) for target in entry.given["models"]]


def held_by(alias: Alias) -> list[Any]:
    """The models of a row in the same form; none while it is not saved."""
    targets = alias.targets.all() if alias.pk else ()
    return [_written(target.model.public_id, target.weight) for target in targets]


def ids_of(written: Iterable[Any]) -> set[str]:
    """The ids among models that are so written."""
    return {_read(each)[0] for each in written}


def keep(alias: Alias, written: Iterable[Any], models: Mapping[str, Model], reason: str) -> None:
    """Make the saved row name these models in this order; `reason` is for the history.

    Rows are in the order in which they were made, so from the first that is out of place all are made anew.
    """
    wanted = [(models[public_id], weight) for public_id, weight in map(_read, written)]
    held = list(alias.targets.select_related("model"))
    in_place = sum(1 for _ in takewhile(lambda pair: pair[0].model == pair[1][0], zip(held, wanted, strict=False)))
    for target in held[in_place:]:
        target._change_reason = reason  # type: ignore[attr-defined]  # noqa: SLF001  # how simple_history is told
        target.delete()
    kept = [*held[:in_place], *(AliasTarget(alias=alias, model=model) for model, _ in wanted[in_place:])]
    for position, (target, (_, weight)) in enumerate(zip(kept, wanted, strict=True)):
        if position >= in_place or target.weight != weight:
            target.weight = weight
            target._change_reason = reason  # type: ignore[attr-defined]  # noqa: SLF001
            target.save()


def _written(public_id: str, weight: float | None) -> Any:
    if weight is None:
        return public_id
    return {"id": public_id, "weight": int(weight) if weight.is_integer() else weight}


def _read(written: Any) -> tuple[str, float | None]:
    return (written, None) if isinstance(written, str) else (written["id"], float(written["weight"]))
