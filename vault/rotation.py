"""How everything that rests sealed comes under the ring's first key, while the gateway runs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from vault.crypto import Ring, Unopenable
from vault.fields import EncryptedTextField, Sealed, encrypted_fields
from vault.inventory import Resting, keys_in_use, rows_of, texts_in

_BULK_AT_A_TIME = 10  # each may be of some megabytes


@dataclass
class Batch:
    """What became of some texts of one field: how many were seen and sealed again, and which did not open, and why."""

    field: EncryptedTextField
    seen: int
    resealed: int
    closed: dict[str, str]


def outdated(ring: Ring) -> Counter[str]:
    """Return how many texts rest under each key that is not the first, by its id."""
    found = keys_in_use()
    del found[ring.primary]
    return found


def rotate(ring: Ring, *, batch_size: int) -> Iterator[Batch]:
    """Seal everything again that rests under another key than the first, and yield what was done.

    It ends when a whole pass finds nothing, because rows that are made meanwhile may sort before those already seen.
    Each text is changed by one statement, so that the rotation may be killed at any time and started again.
    """
    is_done = False
    while not is_done:
        is_done = True
        for encrypted in encrypted_fields():
            for texts in _batches(encrypted, batch_size):
                batch = _reseal_all(texts, ring)
                is_done = is_done and not batch.resealed
                yield batch


def reseal(resting: Resting, ring: Ring) -> bool:
    """Seal one text again under the ring's first key, and tell whether that was needed; raises `Unopenable`.

    Where the row changed since it was read, nothing is written and it is read again: an edit made meanwhile wins.
    """
    current: Resting | None = resting
    while current is not None and current.key_id != ring.primary:
        sealed = Sealed(ring.seal(current.open(ring), context=current.context))
        column = current.field.attname
        if rows_of(current.field).filter(pk=current.pk, **{column: current.sealed}).update(**{column: sealed}):
            return True
        current = current.again()
    return False


def _batches(encrypted: EncryptedTextField, size: int) -> Iterator[list[Resting]]:
    after = None
    if getattr(encrypted.model, "is_bulk", False):
        size = min(size, _BULK_AT_A_TIME)
    while texts := texts_in(encrypted, after=after, limit=size):
        yield texts
        after = texts[-1].pk


def _reseal_all(texts: list[Resting], ring: Ring) -> Batch:
    batch = Batch(texts[0].field, seen=len(texts), resealed=0, closed={})
    for resting in texts:
        try:
            batch.resealed += reseal(resting, ring)
        except Unopenable as reason:
            batch.closed[str(resting)] = str(reason)
    return batch
