"""A ring that the database was not sealed under is refused by name, and nothing is written."""

from typing import Any

import pytest
from django.db import connection

from tests.vault.rows import a_ring, a_secret, joined
from vault import keycheck
from vault.crypto import KeyProblem, Ring
from vault.models import KeyCheck

pytestmark = pytest.mark.django_db


def checks() -> dict[str, str]:
    """What the database knows."""
    return dict(KeyCheck.objects.values_list("key_id", "value"))


def test_it_works() -> None:
    ring = a_ring()
    keycheck.verify(ring)
    assert checks() == {}
    keycheck.register(ring)
    keycheck.register(ring)
    assert checks() == {ring.primary: ring.check_value(ring.primary)}


def test_a_wrong_key_is_named_and_writes_nothing() -> None:
    right, wrong = a_ring(), a_ring()
    keycheck.register(right)
    before = checks()
    for act in (keycheck.verify, keycheck.register):
        with pytest.raises(KeyProblem, match=f"under key {right.primary}; the ring holds {wrong.primary}"):
            act(wrong)
    assert checks() == before


def test_a_new_key_beside_the_old_one_is_fine() -> None:
    old, new = a_ring(), a_ring()
    keycheck.register(old)
    keycheck.register(joined(new, old))
    assert set(checks()) == {old.primary, new.primary}
    with pytest.raises(KeyProblem, match=f"under key {old.primary}"):
        keycheck.verify(new)


def test_a_start_between_a_rotation_and_the_drop_of_the_old_key_does_not_hold_it(settings: Any) -> None:
    old, new = a_ring(), a_ring()
    both = joined(new, old)
    settings.TOKENHUB_KEY_RING = old
    keycheck.register(old)
    secret = a_secret()
    settings.TOKENHUB_KEY_RING = both
    keycheck.register(both)
    assert keycheck.retire(both) == []
    secret.store("sk-second-0123456")
    secret.save()
    assert keycheck.retire(both) == [old.primary]
    keycheck.register(both)
    keycheck.verify(new)
    assert set(checks()) == {new.primary}


def test_every_key_that_something_rests_under_is_learnt(settings: Any) -> None:
    old, new = a_ring(), a_ring()
    settings.TOKENHUB_KEY_RING = old
    a_secret()
    keycheck.register(joined(new, old))
    assert set(checks()) == {old.primary, new.primary}


def test_another_key_of_the_same_id_is_told() -> None:
    ring = a_ring()
    impostor = Ring(ring.ids, {ring.primary: b"x" * 32})
    keycheck.register(ring)
    with pytest.raises(KeyProblem, match=f"key {ring.primary} is not the one"):
        keycheck.verify(impostor)


def test_secrets_sealed_before_any_check_speak_for_themselves(settings: Any) -> None:
    right, wrong = a_ring(), a_ring()
    settings.TOKENHUB_KEY_RING = right
    a_secret()
    with pytest.raises(KeyProblem, match=f"under key {right.primary}"):
        keycheck.register(wrong)
    assert checks() == {}
    keycheck.register(right)
    assert set(checks()) == {right.primary}


@pytest.mark.django_db(transaction=True)
def test_a_database_without_tables_knows_no_key() -> None:
    ring = a_ring()
    with connection.schema_editor() as editor:
        editor.delete_model(KeyCheck)
    try:
        keycheck.verify(ring)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(KeyCheck)
