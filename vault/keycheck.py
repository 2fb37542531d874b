"""Whether the ring is the one that the database was sealed under: asked before anything is opened or written."""

import hmac

from django.db import connection, transaction

from vault.crypto import KeyProblem, Ring
from vault.inventory import keys_in_use
from vault.models import KeyCheck


def is_migrated() -> bool:
    """Tell whether the database has the vault's tables."""
    return KeyCheck._meta.db_table in connection.introspection.table_names()  # noqa: SLF001 - Django's public name for it


def verify(ring: Ring) -> None:
    """Raise `KeyProblem` naming the first key that the database knows and the ring does not; writes nothing.

    A database that has not been migrated yet knows no key.
    """
    if not is_migrated():
        return
    known = dict(KeyCheck.objects.order_by("added_at", "key_id").values_list("key_id", "value"))
    # secrets that were sealed before any key was registered tell their key themselves
    for key_id in known or sorted(keys_in_use()):
        if key_id not in ring.ids:
            held = ", ".join(ring.ids)
            message = f"the vault was sealed under key {key_id}; the ring holds {held}"
            raise KeyProblem(message)
        if key_id in known and not hmac.compare_digest(known[key_id], ring.check_value(key_id)):
            message = f"key {key_id} is not the one that the vault was sealed under"
            raise KeyProblem(message)


def register(ring: Ring) -> None:
    """Make the ring's keys known to the database, once it has been verified: the first, and others that are needed.

    An old key that `retire` forgot is not learnt again by a start in between: it may be dropped at any time later.
    """
    with transaction.atomic():
        verify(ring)
        if not set(ring.ids) - set(KeyCheck.objects.values_list("key_id", flat=True)):
            return  # as at most starts: what rests need not be looked through
        for key_id in _needed(ring).intersection(ring.ids):
            KeyCheck.objects.get_or_create(key_id=key_id, defaults={"value": ring.check_value(key_id)})


def retire(ring: Ring) -> list[str]:
    """Forget the keys under which nothing rests any more; returns their ids."""
    unused = KeyCheck.objects.exclude(key_id__in=_needed(ring))
    retired = sorted(unused.values_list("key_id", flat=True))
    unused.delete()
    return retired


def _needed(ring: Ring) -> set[str]:
    return {ring.primary, *keys_in_use()}
