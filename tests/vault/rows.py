"""Rings and rows for tests."""

from collections.abc import Sequence

from django.db import connection

from vault.crypto import Ring, generate_key
from vault.models import Secret

TEXT = "sk-0123456789abcdef"


def a_secret(name: str = "team", text: str = TEXT) -> Secret:
    """A stored secret."""
    secret = Secret(name=name)
    secret.store(text)
    secret.save()
    return secret


def a_reference(name: str = "shared", env_name: str = "OPENAI_API_KEY") -> Secret:
    """A secret that an environment variable holds."""
    secret = Secret(name=name)
    secret.refer(env_name)
    secret.save()
    return secret


def a_ring(*, size: int = 1) -> Ring:
    """A ring of new keys."""
    return Ring.parse(",".join(generate_key() for _ in range(size)))


def joined(*rings: Ring) -> Ring:
    """One ring of all their keys."""
    keys = {key_id: key for ring in rings for key_id, key in ring._keys.items()}
    return Ring(tuple(keys), keys)


def column(secret: Secret) -> str:
    """What really stands in the database."""
    return str(sql("SELECT value FROM vault_secret WHERE id = %s", [_as_stored(secret)])[0][0])


def put(secret: Secret, sealed: str) -> None:
    """Write into the column past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE vault_secret SET value = %s WHERE id = %s", [sealed, _as_stored(secret)])


def sql(statement: str, values: Sequence[str] = ()) -> list[tuple[object, ...]]:
    """Ask the database past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _as_stored(secret: Secret) -> str:
    return secret.pk.hex if connection.vendor == "sqlite" else str(secret.pk)
