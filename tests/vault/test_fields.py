"""A sealed field reads as plain text, rests sealed, and is written only where it was set."""

import copy
import pickle
import uuid
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Value
from django.forms import model_to_dict, modelform_factory
from django.test.utils import CaptureQueriesContext, isolate_apps

from tests.vault.rows import TEXT, a_ring, a_secret, column, joined, put
from vault.crypto import KeyProblem, Unopenable, is_sealed, sealed_under
from vault.fields import EncryptedTextField, encrypted_fields
from vault.models import Secret
from vault.ring import get_ring

pytestmark = pytest.mark.django_db
FIELD = encrypted_fields()[0]


def test_it_works() -> None:
    secret = a_secret()
    assert secret.value == TEXT
    assert Secret.objects.get().value == TEXT
    assert is_sealed(column(secret))


def test_it_is_bound_to_its_place() -> None:
    secret = a_secret()
    assert FIELD.context_of(secret.pk) == FIELD.context_of(secret.pk.hex) == f"vault.secret|{secret.pk}|value"
    assert get_ring().open(column(secret), context=f"vault.secret|{secret.pk}|value") == TEXT


def test_no_statement_holds_the_text() -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        secret = a_secret()
        secret.full_clean()
        secret.value = f"{TEXT}-new"
        secret.full_clean()
        secret.save()
    assert len(queries) > 3
    assert TEXT not in str(queries.captured_queries)


def test_a_text_copied_to_another_row_does_not_open() -> None:
    one, other = a_secret("one"), a_secret("other", "sk-another-012345")
    put(other, column(one))
    with pytest.raises(Unopenable, match="another place"):
        _ = Secret.objects.get(name="other").value
    assert Secret.objects.get(name="one").value == TEXT


def test_saving_does_not_write_what_was_not_set() -> None:
    secret = a_secret()
    before = column(secret)
    read = Secret.objects.get()
    read.note = "rotated on Mondays"
    read.full_clean()
    read.save()
    assert column(secret) == before
    assert Secret.objects.get().note == "rotated on Mondays"


def test_an_edit_made_meanwhile_is_not_undone() -> None:
    stale = Secret.objects.get(pk=a_secret().pk)
    assert stale.value == TEXT
    edit = Secret.objects.get()
    edit.store("sk-edited-0123456")
    edit.save()
    stale.note = "late"
    stale.save()
    assert Secret.objects.get().value == "sk-edited-0123456"


def test_a_failed_save_can_be_repeated() -> None:
    a_secret("taken")
    secret = Secret.objects.get(pk=a_secret("mine").pk)
    secret.store("sk-second-0123456")
    secret.name = "taken"
    with pytest.raises(IntegrityError), transaction.atomic():
        secret.save()
    secret.name = "mine"
    secret.save()
    assert Secret.objects.get(name="mine").value == "sk-second-0123456"


def test_what_was_saved_is_sealed_once_and_kept_sealed() -> None:
    secret = a_secret()
    before = column(secret)
    assert secret.key_id == get_ring().primary
    assert TEXT.encode() not in pickle.dumps(secret)
    secret.save()
    assert column(secret) == before
    assert secret.value == TEXT


def test_a_save_that_was_rolled_back_can_be_repeated() -> None:
    a_secret()
    secret = Secret.objects.get()
    secret.store("sk-second-0123456")
    with transaction.atomic():
        secret.save()
        transaction.set_rollback(True)
    assert Secret.objects.get().value == TEXT
    secret.save()
    assert Secret.objects.get().value == "sk-second-0123456"


@pytest.mark.parametrize("fields", [None, ["value"], ["value", "note"]])
def test_it_is_read_again(fields: list[str] | None) -> None:
    secret = a_secret()
    edit = Secret.objects.get()
    edit.store("sk-edited-0123456")
    edit.save()
    secret.refresh_from_db(fields=fields)
    assert secret.value == "sk-edited-0123456"


def test_to_be_read_again_does_not_count_as_set(settings: Any) -> None:
    before = column(a_secret())
    secret = Secret.objects.get()
    settings.TOKENHUB_KEY_RING = a_ring()  # nothing is opened for it
    secret.refresh_from_db()
    secret.save()
    assert column(secret) == before
    assert TEXT.encode() not in pickle.dumps(secret)


def test_another_field_that_is_read_again_leaves_it_alone() -> None:
    secret = a_secret()
    secret.store("sk-second-0123456")
    secret.refresh_from_db(fields=["note"])
    assert secret.value == "sk-second-0123456"


def test_it_may_be_deferred() -> None:
    before = column(a_secret())
    deferred = Secret.objects.defer("value").get()
    deferred.note = "x"
    deferred.save()
    assert column(deferred) == before
    assert deferred.value == TEXT
    deferred.save()
    assert column(deferred) == before
    assert Secret.objects.only("name").get().value == TEXT


def test_a_copy_reads_the_same_and_holds_no_plain_text() -> None:
    a_secret()
    secret = Secret.objects.get()
    for twin in (copy.copy(secret), copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):
        assert twin.value == TEXT
    assert TEXT.encode() not in pickle.dumps(secret)


def test_a_row_copied_with_its_seal_is_refused() -> None:
    a_secret()
    secret = Secret.objects.get()
    secret.pk, secret.name = uuid.uuid4(), "copy"
    with pytest.raises(Unopenable), transaction.atomic():
        secret.save()
    assert Secret.objects.count() == 1


def test_a_row_copied_by_its_text_is_sealed_anew() -> None:
    a_secret()
    secret = Secret.objects.get()
    twin = Secret(name="copy", value=secret.value)
    twin.save()
    assert Secret.objects.get(name="copy").value == TEXT


def test_many_rows_are_sealed_at_once() -> None:
    Secret.objects.bulk_create([Secret(name=f"s{number}", value=f"{TEXT}-{number}") for number in range(5)])
    for number, secret in enumerate(Secret.objects.order_by("name")):
        assert secret.value == f"{TEXT}-{number}"
        assert is_sealed(column(secret))


def test_update_refuses_plain_text() -> None:
    secret = a_secret()
    before = column(secret)
    with pytest.raises(TypeError, match="set it on the instance"), transaction.atomic():
        Secret.objects.update(value="sk-plain")
    secret.value = "sk-plain"
    with pytest.raises(TypeError, match="set it on the instance"), transaction.atomic():
        Secret.objects.bulk_update([secret], ["value"])
    with pytest.raises(TypeError, match="set it on the instance"), transaction.atomic():
        Secret.objects.update(value=Value("sk-plain", output_field=FIELD))
    assert column(secret) == before


def test_looking_for_a_plain_text_is_refused() -> None:
    a_secret()
    for lookup, text in {"value": TEXT, "value__in": [TEXT]}.items():
        with pytest.raises(TypeError, match="sealed row by row"):
            Secret.objects.filter(**{lookup: text}).exists()
    with pytest.raises(FieldError, match="Unsupported lookup 'contains'"):
        Secret.objects.filter(value__contains=TEXT).exists()
    assert not Secret.objects.filter(value="").exists()


def test_what_only_looks_sealed_is_sealed() -> None:
    looks_sealed = a_ring().seal("x", context="elsewhere")
    secret = Secret(name="odd", value=looks_sealed)
    secret.full_clean()
    secret.save()
    assert column(secret) != looks_sealed
    assert Secret.objects.get().value == looks_sealed


def test_it_is_in_no_form_and_no_list_of_fields() -> None:
    secret = a_secret()
    assert "value" not in modelform_factory(Secret, fields=["name", "value"]).base_fields
    assert TEXT not in str(model_to_dict(secret))
    assert TEXT not in str(model_to_dict(Secret.objects.get()))


def test_a_new_seal_is_under_the_first_key(settings: Any) -> None:
    old, new = a_ring(), a_ring()
    settings.TOKENHUB_KEY_RING = old
    secret = a_secret()
    settings.TOKENHUB_KEY_RING = joined(new, old)
    read = Secret.objects.get()
    assert read.value == TEXT
    assert sealed_under(column(secret)) == old.primary
    read.store("sk-edited-0123456")
    read.save()
    assert sealed_under(column(secret)) == new.primary


def test_without_a_key_nothing_is_written(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.TOKENHUB_KEY_RING = None
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    with pytest.raises(KeyProblem), transaction.atomic():
        a_secret()
    assert not Secret.objects.exists()


def test_a_lost_key_can_be_replaced(settings: Any) -> None:
    a_secret()
    settings.TOKENHUB_KEY_RING = a_ring()
    secret = Secret.objects.get()
    secret.note = "lost"
    secret.save()
    secret.store("sk-edited-0123456")
    secret.save()
    assert Secret.objects.get().value == "sk-edited-0123456"


def test_a_row_without_a_key_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a primary key"):
        FIELD.context_of(None)


@isolate_apps("vault")
def test_a_row_that_learns_its_key_too_late_is_told() -> None:
    class Late(models.Model):
        text = EncryptedTextField()

        class Meta:
            app_label = "vault"

        def __str__(self) -> str:
            return "late"

    assert [message.id for message in Late._meta.get_field("text").check()] == ["vault.E003"]
    assert FIELD.check() == []


def test_a_row_comes_back_to_its_place_as_it_was_sealed() -> None:
    before = column(a_secret())
    secret = Secret.objects.get()
    Secret.objects.all().delete()
    secret.save()
    assert column(secret) == before
