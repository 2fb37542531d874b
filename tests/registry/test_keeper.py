"""A keeper polls off the hot path, lives through outages and tells how current it is."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from registry import stamp
from registry.keeper import SnapshotUnavailable
from registry.models import Model, Stamp
from registry.snapshot import Keeper
from tests.registry.rows import a_model

polled = pytest.mark.django_db(transaction=True)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def kept() -> Iterator[Keeper]:
    """A keeper whose polling ends with the test."""
    held = Keeper()
    yield held
    held.stop()
    until(lambda: not pollers())


def pollers() -> list[threading.Thread]:
    """The threads that poll."""
    return [thread for thread in threading.enumerate() if thread.name == "registry-poll"]


@polled
def test_it_works(settings: Settings, kept: Keeper) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    a_model("first")
    kept.start()
    kept.start()
    assert kept.current().named("first")
    assert len(pollers()) == 1
    a_model("second")
    until(lambda: bool(kept.current().named("second")))
    assert kept.status().fault == ""
    assert kept.status().version == kept.current().version


@polled
def test_the_first_caller_starts_the_polling(settings: Settings, kept: Keeper) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    a_model()
    assert kept.current().named("small")
    assert len(pollers()) == 1


@polled
def test_the_hot_path_asks_the_database_nothing(
    settings: Settings, kept: Keeper, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    a_model()
    first = kept.current()
    with django_assert_num_queries(0):
        assert all(kept.current() is first for _ in range(1000))


@pytest.mark.django_db
def test_an_unchanged_stamp_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    held = Keeper()
    a_model()
    first = held.current()
    with django_assert_num_queries(1):
        assert held.current() is first


@pytest.mark.django_db
def test_without_a_stamp_there_is_no_picture() -> None:
    held = Keeper()
    Stamp.objects.all().delete()
    with pytest.raises(SnapshotUnavailable, match="run `migrate`"):
        held.current()


@polled
def test_an_outage_leaves_the_picture_and_is_told(kept: Keeper, caplog: pytest.LogCaptureFixture) -> None:
    a_model()
    before = kept.current()
    rename("registry_stamp", "registry_stamp_away")
    time.sleep(0.05)
    for _ in range(5):
        assert kept.current() is before
    assert "registry_stamp" in kept.status().fault
    assert kept.status().age_seconds >= 0.05
    rename("registry_stamp_away", "registry_stamp")
    Model.objects.update(weight=1)
    assert kept.current().models[0].weight == 1
    assert kept.status().fault == ""
    assert kept.status().age_seconds < 0.05
    assert [record.levelname for record in caplog.records if record.name == "registry.keeper"] == ["WARNING"] * 2


@polled
def test_polling_outlives_an_outage(settings: Settings, kept: Keeper) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    a_model()
    before = kept.current()
    Stamp.objects.all().delete()
    until(lambda: bool(kept.status().fault))
    assert kept.current() is before
    stamp.watch.install()
    a_model("after")
    until(lambda: bool(kept.current().named("after")))
    assert kept.status().fault == ""


@polled
def test_a_cut_connection_is_made_anew(settings: Settings, kept: Keeper) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    kept.start()
    assert kept.current().models == ()
    if connection.vendor == "postgresql":
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {others}")
            assert cursor.fetchone()[0] >= 1
    a_model()
    until(lambda: bool(kept.current().named("small")))
    assert kept.status().fault == ""


@polled
def test_a_start_into_an_outage_is_no_end(settings: Settings, kept: Keeper) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    Stamp.objects.all().delete()
    with pytest.raises(SnapshotUnavailable, match="cannot be read"):
        kept.current()
    stamp.watch.install()
    a_model()
    until(lambda: kept.status().version is not None)
    until(lambda: bool(kept.current().named("small")))


def rename(old: str, new: str) -> None:
    """Take a table away, or bring it back."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")
