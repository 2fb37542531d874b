"""Misconfiguration of the registry speaks at the start."""

import pytest
from django.core.checks import Tags, run_checks
from django.db import connection
from pytest_django.fixtures import DjangoAssertNumQueries, Settings

from registry import stamp
from registry.checks import check_rows, check_vendor
from registry.models import Model
from tests.registry.rows import a_model


def found(*, database: bool = False) -> list[str]:
    """The ids of the registry's messages."""
    messages = run_checks(databases=["default"] if database else None, tags=[Tags.database] if database else None)
    return [message.id for message in messages if message.id and message.id.startswith("registry.")]


@pytest.mark.django_db
def test_it_works() -> None:
    a_model()
    assert found() == []
    assert found(database=True) == []


def test_without_being_asked_the_database_is_left_alone(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    assert found() == []


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.0/8", "http://localhost:8000", ":80"])
def test_a_malformed_upstream(settings: Settings, entry: str) -> None:
    settings.TOKENHUB_PRIVATE_UPSTREAMS = ["localhost:8000", entry]
    assert found() == ["registry.E002"]


@pytest.mark.parametrize("entry", ["169.254.169.254:80", "0xa9fea9fe:80", "[::ffff:169.254.169.254]:80", "0.0.0.0:80"])
def test_an_upstream_that_is_never_called(settings: Settings, entry: str) -> None:
    settings.TOKENHUB_PRIVATE_UPSTREAMS = [entry]
    assert found() == ["registry.E003"]


@pytest.mark.django_db
def test_no_model() -> None:
    assert Model.objects.count() == 0
    assert found(database=True) == ["registry.W001"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("capabilities", "ids"),
    [
        (["chat", "tools"], ["registry.W003"]),
        (["vision"], ["registry.W003"]),
        (["chat", "json", "tools"], ["registry.W003"]),
        (["chat", "tools", "vision", "streaming"], []),
        (["chat", "streaming"], []),
        (["embedding"], []),
    ],
)
def test_a_model_that_leaves_streaming_unsaid(capabilities: list[str], ids: list[str]) -> None:
    a_model("plain")
    a_model("judged", capabilities=capabilities)
    assert found(database=True) == ids
    for message in check_rows(databases=["default"]):
        assert (message.msg.partition(": ")[2], "is left out of requests" in (message.hint or "")) == ("judged.", True)


@pytest.mark.django_db
def test_missing_triggers() -> None:
    a_model()
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER registry_model_update_moves_stamp")
        else:
            cursor.execute("DROP TRIGGER registry_model_moves_stamp ON registry_model")
    assert found(database=True) == ["registry.W002"]
    stamp.watch.install()
    assert found(database=True) == []


def test_a_database_without_triggers_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_vendor() == []
    monkeypatch.setattr(stamp, "VENDORS", frozenset({"another"}))
    (error,) = check_vendor()
    assert (error.id, "DATABASE_URL" in (error.hint or "")) == ("registry.E001", True)
