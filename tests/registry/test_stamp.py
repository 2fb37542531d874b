"""The stamp moves with every change of the registry, however it is made, and with nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, models, transaction

from registry import stamp
from registry.models import Model, Provider, Stamp
from registry.stamp import StampMissing, watch
from tests.registry.rows import a_model, a_provider, a_secret
from vault.models import Secret

pytestmark = pytest.mark.django_db


def raw(statement: str) -> None:
    """Run a statement past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def bulk_update() -> None:
    """Change all models through the ORM's own bulk path."""
    rows = list(Model.objects.all())
    for row in rows:
        row.weight = 7
    Model.objects.bulk_update(rows, ["weight"])


CHANGES: dict[str, Callable[[], object]] = {
    "provider made": lambda: a_provider("another"),
    "model made": lambda: a_model("another"),
    "secret made": lambda: a_secret("another"),
    "saved": lambda: Model.objects.get().save(),
    "updated": lambda: Provider.objects.update(enabled=False),
    "secret updated": lambda: Secret.objects.update(note="changed"),
    "bulk made": lambda: Provider.objects.bulk_create(
        [Provider(name="x", type="echo"), Provider(name="y", type="echo")]
    ),
    "bulk updated": bulk_update,
    "deleted": lambda: Model.objects.all().delete(),
    "secret deleted": lambda: Secret.objects.all().delete(),
    "raw update": lambda: raw("UPDATE registry_model SET weight = 3"),
    "raw delete": lambda: raw("DELETE FROM registry_model"),
    "raw insert": lambda: raw(
        "INSERT INTO registry_provider (name, type, base_url, trusted_base_url, enabled, connect_timeout,"
        " first_byte_timeout, idle_timeout, total_timeout, extra_headers, note, auth_header, path, query, unsupported,"
        " limit_field, cache_control, reasoning_back, endpoints)"
        " VALUES ('raw', 'echo', '', '', true, 1, 1, 1, 1, '{}', '', '', '', '{}', '[]', '', false, '', '[]')"
    ),
}


@pytest.fixture
def rows() -> None:
    """One row of each kind."""
    a_model()
    a_secret()


@pytest.mark.usefixtures("rows")
def test_it_works() -> None:
    before = watch.version()
    Model.objects.update(weight=1)
    assert watch.version() == before + 1


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_moves_it(change: Callable[[], object]) -> None:
    before = watch.version()
    change()
    assert watch.version() > before


def test_a_loaded_dump_moves_it(tmp_path: Path) -> None:
    a_model()
    dump = tmp_path / "registry.json"
    call_command("dumpdata", "registry.provider", "registry.model", output=str(dump))
    before = watch.version()
    call_command("loaddata", str(dump), verbosity=0)
    assert watch.version() > before


@pytest.mark.usefixtures("rows")
def test_what_is_rolled_back_does_not_move_it() -> None:
    before = watch.version()
    with transaction.atomic():
        Model.objects.update(weight=1)
        assert watch.version() > before
        transaction.set_rollback(True)
    assert watch.version() == before


@pytest.mark.usefixtures("rows")
def test_other_tables_do_not_move_it() -> None:
    before = watch.version()
    Model.history.all().delete()
    assert watch.version() == before


def test_there_is_one_row() -> None:
    assert Stamp.objects.count() == 1


def test_a_missing_row_is_said() -> None:
    Stamp.objects.all().delete()
    with pytest.raises(StampMissing, match="migrate"):
        watch.version()


def test_a_row_made_anew_repeats_no_number() -> None:
    before = watch.version()
    Stamp.objects.all().delete()
    stamp.watch.install()
    assert watch.version() > before


def test_to_install_again_changes_nothing() -> None:
    before = watch.version()
    stamp.watch.install()
    assert (watch.version(), stamp.watch.missing_triggers()) == (before, set())


@pytest.mark.django_db(transaction=True)
def test_triggers_come_back_after_a_table_was_remade() -> None:
    weight = Model._meta.get_field("weight")
    nullable = models.FloatField(null=True)
    nullable.set_attributes_from_name("weight")
    with connection.schema_editor() as editor:
        editor.alter_field(Model, weight, nullable)
        editor.alter_field(Model, nullable, weight)
    if connection.vendor == "sqlite":
        assert stamp.watch.missing_triggers()
    call_command("migrate", "registry", verbosity=0)
    assert not stamp.watch.missing_triggers()
    before = watch.version()
    a_model()
    assert watch.version() > before


@pytest.mark.django_db(transaction=True)
def test_an_emptied_database_has_a_stamp() -> None:
    before = watch.version()
    call_command("flush", interactive=False, verbosity=0)
    assert watch.version() > before


@pytest.mark.django_db(transaction=True)
def test_nothing_happens_before_the_tables_are_there() -> None:
    raw("ALTER TABLE registry_model RENAME TO registry_model_away")
    try:
        assert not stamp.watch.tables_exist()
        stamp.watch.install()
    finally:
        raw("ALTER TABLE registry_model_away RENAME TO registry_model")
