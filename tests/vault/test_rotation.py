"""A rotation brings everything under the first key, loses no edit, and says which keys may go."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.test.utils import isolate_apps

from tests.vault.rows import TEXT, a_reference, a_ring, a_secret, column, joined, put
from vault import keycheck
from vault.crypto import sealed_under
from vault.fields import EncryptedTextField, encrypted_fields
from vault.inventory import everything, keys_in_use, texts_in
from vault.models import KeyCheck, Secret
from vault.rotation import reseal

pytestmark = pytest.mark.django_db
OLD, NEW = a_ring(), a_ring()
BOTH = joined(NEW, OLD)


@pytest.fixture(autouse=True)
def rows(settings: Any) -> None:
    """Five secrets under the old key and one without any, and a ring that has a new key before it."""
    settings.TOKENHUB_KEY_RING = OLD
    keycheck.register(OLD)
    for number in range(5):
        a_secret(f"s{number}", f"{TEXT}-{number}")
    a_reference()
    settings.TOKENHUB_KEY_RING = BOTH


def rotate(*arguments: str) -> str:
    """Run the command and return what it prints."""
    out = StringIO()
    call_command("rotatekeys", *arguments, stdout=out)
    return out.getvalue()


def known() -> set[str]:
    """The keys that the database knows."""
    return set(KeyCheck.objects.values_list("key_id", flat=True))


@pytest.mark.parametrize("batch", ["1", "2", "200"])
def test_it_works(batch: str) -> None:
    history = Secret.history.count()
    told = rotate("--batch-size", batch)
    assert "5 read, 5 sealed again" in told
    assert f"Key {OLD.primary} is not needed any more" in told
    assert keys_in_use() == {NEW.primary: 5}
    assert known() == {NEW.primary}
    keycheck.verify(NEW)
    assert Secret.history.count() == history
    assert "env:OPENAI_API_KEY" in {secret.hint for secret in Secret.objects.all()}


def test_everything_opens_with_the_new_key_alone(settings: Any) -> None:
    rotate()
    settings.TOKENHUB_KEY_RING = NEW
    values = Secret.objects.filter(env_name="").order_by("name")
    assert [secret.value for secret in values] == [f"{TEXT}-{number}" for number in range(5)]


def test_it_may_be_repeated() -> None:
    rotate()
    before = [resting.sealed for resting in everything()]
    assert " 0 sealed again" in rotate()
    assert [resting.sealed for resting in everything()] == before


def test_a_dry_run_counts_and_writes_nothing() -> None:
    before = [resting.sealed for resting in everything()]
    assert rotate("--dry-run") == f"5 to seal again: under key {OLD.primary} now\n"
    assert [resting.sealed for resting in everything()] == before
    assert known() == {OLD.primary}
    rotate()
    assert rotate("--dry-run") == f"Nothing to do: everything rests under key {NEW.primary}.\n"


def test_an_edit_made_meanwhile_wins() -> None:
    seen = texts_in(encrypted_fields()[0])[0]
    edit = Secret.objects.get(pk=seen.pk)
    edit.store("sk-edited-0123456")
    edit.save()
    before = column(edit)
    assert reseal(seen, BOTH) is False
    assert column(edit) == before
    assert Secret.objects.get(pk=seen.pk).value == "sk-edited-0123456"


def test_an_edit_under_the_old_key_wins_and_is_sealed_again(settings: Any) -> None:
    seen = texts_in(encrypted_fields()[0])[0]
    settings.TOKENHUB_KEY_RING = OLD
    edit = Secret.objects.get(pk=seen.pk)
    edit.store("sk-edited-0123456")
    edit.save()
    settings.TOKENHUB_KEY_RING = BOTH
    assert reseal(seen, BOTH) is True
    assert sealed_under(column(edit)) == NEW.primary
    assert Secret.objects.get(pk=seen.pk).value == "sk-edited-0123456"


def test_what_was_deleted_or_cleared_meanwhile_stays_so() -> None:
    gone, cleared = texts_in(encrypted_fields()[0])[:2]
    Secret.objects.filter(pk=gone.pk).delete()
    Secret.objects.filter(pk=cleared.pk).update(value="", env_name="OPENAI_API_KEY")
    assert not reseal(gone, BOTH)
    assert not reseal(cleared, BOTH)
    assert Secret.objects.get(pk=cleared.pk).value == ""


def test_what_does_not_open_is_told_and_keeps_its_key() -> None:
    broken = Secret.objects.get(name="s3")
    put(broken, column(Secret.objects.get(name="s1")))
    with pytest.raises(CommandError, match=rf"(?s)1 cannot be opened.*{broken.pk}: it was altered") as failure:
        rotate()
    assert TEXT not in str(failure.value)
    assert keys_in_use() == {NEW.primary: 4, OLD.primary: 1}
    assert known() == {NEW.primary, OLD.primary}


def test_what_is_not_sealed_at_all_is_told() -> None:
    put(Secret.objects.get(name="s3"), "sk-plain-0123456")
    with pytest.raises(CommandError, match="it is not a sealed text") as failure:
        rotate()
    assert "sk-plain" not in str(failure.value)


def test_a_wrong_ring_changes_nothing(settings: Any) -> None:
    settings.TOKENHUB_KEY_RING = NEW
    before = [resting.sealed for resting in everything()]
    for arguments in ([], ["--dry-run"]):
        with pytest.raises(CommandError, match=f"nothing was changed: .*under key {OLD.primary}"):
            rotate(*arguments)
    assert [resting.sealed for resting in everything()] == before
    assert known() == {OLD.primary}


@pytest.mark.django_db(transaction=True)
@isolate_apps("vault")
def test_rows_without_a_text_do_not_end_a_batch() -> None:
    class Maybe(models.Model):
        id = models.IntegerField(primary_key=True)
        text = EncryptedTextField(null=True)

        class Meta:
            app_label = "vault"

        def __str__(self) -> str:
            return "maybe"

    field = Maybe._meta.get_field("text")
    with connection.schema_editor() as editor:
        editor.create_model(Maybe)
    try:
        for number, text in enumerate([None, "", None, TEXT]):
            Maybe(id=number, text=text).save()
        assert [resting.pk for resting in texts_in(field, limit=2)] == [3]
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Maybe)


def test_a_batch_has_rows() -> None:
    with pytest.raises(CommandError, match="--batch-size"):
        rotate("--batch-size", "0")
