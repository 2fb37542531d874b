"""Entries of a file as rows and rows as plain facts, so that the rows' own rules judge the file."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from registry.config.difference import Facts
from registry.config.faults import ConfigInvalid, Fault, nearest, within
from registry.config.schema import ALIAS, MODEL, PROVIDER, Config, Entry, survey
from registry.models import Alias, AliasTarget, LimitField, Model, Provider, ProviderType, ReasoningBack, Strategy
from vault.models import Secret, validate_key

Row = Provider | Model | Alias
KINDS: Mapping[str, type[Row]] = {"provider": Provider, "model": Model, "alias": Alias}

# Field of the file -> column, for what a row holds by value. A provider's key, a model's provider and an alias's models
# are other rows.
COLUMNS: Mapping[type[Row], Mapping[str, str]] = {
    Provider: {
        name: name for name in (*PROVIDER, "trusted_base_url") if name not in {"api_key", "api_key_env", "preset"}
    },
    Model: {name: name for name in MODEL if name != "provider"} | {"id": "public_id"},
    Alias: {name: name for name in ALIAS if name != "models"},
}


def row_of(entry: Entry) -> Row:
    """The row that an entry describes, unsaved and without the rows it refers to."""
    kind = KINDS[entry.kind]
    columns = COLUMNS[kind]
    row = kind(**{columns[name]: value for name, value in entry.given.items() if name in columns})
    if isinstance(row, Provider):
        row.trusted_base_url = row.target  # whoever can load a file has a shell
    return row


def facts_of(row: Row) -> dict[str, Any]:
    """The row's own fields as JSON would hold them."""
    return {name: _plain(getattr(row, column)) for name, column in COLUMNS[type(row)].items()}


def fill(row: Row, facts: Facts) -> None:
    """Set the row's own fields from what `facts_of` gives."""
    for name, column in COLUMNS[type(row)].items():
        value = facts[name]
        is_price = name.endswith("_per_1k") and value is not None
        setattr(row, column, Decimal(str(value)) if is_price else value)


def _plain(value: Any) -> Any:
    # A price has at most 14 digits, and a float carries 15 of them there and back unharmed.
    if isinstance(value, Decimal):
        value = float(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_and_check(source: str | Path) -> Config:
    """Read a text or a file and judge it by the rows' own rules too; raises ConfigInvalid with all that is wrong.

    Needs Django, but no database.
    """
    config, faults = survey(source)
    faults += check(config, faults)
    if faults:
        raise ConfigInvalid(faults)
    return config


def check(config: Config, known: Iterable[Fault] = ()) -> list[Fault]:
    """What the rows' own rules find wrong with a file, except where a fault is `known` already."""
    told = {fault.path for fault in known}
    faults = [fault for entry in config.entries for fault in _faults_of_entry(entry)]
    return [fault for fault in faults if fault.path not in told]


def _faults_of_entry(entry: Entry) -> Iterator[Fault]:
    row = row_of(entry)
    # a field that is neither given nor has a default is told as missing, not as empty
    columns = COLUMNS[type(row)].items()
    missing = {column for name, column in columns if name not in entry.given and not getattr(row, column)}
    yield from faults_of(row, entry.path, exclude=missing)
    yield from _faults_of_key(entry)
    for target in entry.given["models"] if entry.kind == "alias" else ():
        try:
            AliasTarget(weight=target.weight).clean_fields(exclude={"alias", "model"})
        except ValidationError as invalid:
            yield Fault(within(target.path.removesuffix(".id"), "weight"), " ".join(invalid.messages))


def _faults_of_key(entry: Entry) -> Iterator[Fault]:
    given = entry.given
    try:
        if "api_key" in given:
            validate_key(given["api_key"].reveal())
        Secret(name="-", env_name=given.get("api_key_env", "")).clean_fields()
    except ValidationError as invalid:
        field = "api_key" if "api_key" in given else "api_key_env"
        yield Fault(within(entry.path, field), " ".join(invalid.messages))


def faults_of(row: Row, path: str, *, exclude: Collection[str] = ()) -> Iterator[Fault]:
    """What the row's own rules find wrong with it, as faults of the entry at `path`."""
    try:
        # the fields' validators say what the constraints say, and need no database that may not exist yet
        row.full_clean(exclude={"provider", "secret", *exclude}, validate_unique=False, validate_constraints=False)
    except ValidationError as invalid:
        names = {column: name for name, column in COLUMNS[type(row)].items()}
        for column, errors in invalid.error_dict.items():
            place = path if column == NON_FIELD_ERRORS else within(path, names[column])
            for error in errors:
                yield Fault(place, _told(row, column, error))


def _told(row: Row, column: str, error: ValidationError) -> str:
    told = " ".join(error.messages)
    if error.code != "invalid_choice":
        return told
    known = {
        "type": ProviderType,
        "strategy": Strategy,
        "limit_field": LimitField,
        "reasoning_back": ReasoningBack,
    }[column].values
    return told.rstrip(".") + nearest(getattr(row, column), known)
