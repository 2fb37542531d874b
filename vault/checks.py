"""The vault's system checks: a key that is missing, malformed, wrong or badly kept is said at the start."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's names
from django.db import DEFAULT_DB_ALIAS, DatabaseError

from vault import keycheck
from vault.crypto import KEY_FILE_VARIABLE, KEY_VARIABLE, KeyProblem, Ring, Unopenable
from vault.inventory import everything
from vault.ring import get_ring

_HOW = (
    f"Make one with `tokenhub -generate-key` and give it in {KEY_VARIABLE}, or in a file named by {KEY_FILE_VARIABLE}."
)


@register()
def check_key(**_: Any) -> list[CheckMessage]:
    """Refuse to start without a key."""
    try:
        get_ring()
    except KeyProblem as problem:
        return [Error(str(problem), hint=_HOW, id="vault.E001")]
    return []


@register()
def check_key_file(**_: Any) -> list[CheckMessage]:
    """Warn of a key that every user of the machine can read."""
    path = os.environ.get(KEY_FILE_VARIABLE, "")
    if os.environ.get(KEY_VARIABLE) or not path:
        return []
    try:
        is_exposed = bool(Path(path).stat().st_mode & stat.S_IROTH)
    except OSError:  # vault.E001 tells it
        return []
    if not is_exposed:
        return []
    text = f"The file named by {KEY_FILE_VARIABLE} can be read by every user of this machine."
    return [Warning(text, hint="Take that right away: `chmod o-r`.", id="vault.W001")]


@register(Tags.database)
def check_database(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Refuse a key that the database was not sealed under, and warn of secrets that do not open."""
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    try:
        ring = get_ring()
    except KeyProblem:  # vault.E001 tells it
        return []
    try:
        if not keycheck.is_migrated():
            return []
        keycheck.verify(ring)
        return list(_closed(ring))
    except KeyProblem as problem:
        hint = "Start with the key of this database; for a new key, put it before the old one and run `rotatekeys`."
        return [Error(f"The encryption key does not fit the database: {problem}.", hint=hint, id="vault.E002")]
    except DatabaseError:  # an outage is no misconfiguration; readiness tells it
        return []


def _closed(ring: Ring) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for resting in everything(with_bulk=False):
        try:
            resting.open(ring)
        except Unopenable as reason:
            hint = "Set it again in the admin."
            found.append(Warning(f"{resting} cannot be opened: {reason}.", hint=hint, id="vault.W002"))
    return found
