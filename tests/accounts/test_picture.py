"""What a worker knows of keys: everything there is, read again when it changes, and nothing that cannot be read."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.facts import Limits
from accounts.models import ApiKey, Team
from accounts.picture import Keeper, read_picture, watch
from tests.accounts.rows import a_key, a_team

pytestmark = pytest.mark.django_db


def raw(statement: str) -> None:
    """Run a statement past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_it_works() -> None:
    team = a_team(rpm=60)
    expires_at = timezone.now()
    row, _ = a_key(team=team, tpm=1000, expires_at=expires_at)
    picture, faults = read_picture()
    facts = picture.keys[row.public_id]
    assert (picture.has_keys, faults) == (True, ())
    assert facts.limits == Limits(tpm=1000)
    assert facts.team is not None
    assert facts.team.limits == Limits(rpm=60)
    assert facts.expires_at == expires_at.timestamp()


def test_there_may_be_none() -> None:
    picture, faults = read_picture()
    assert (dict(picture.keys), picture.has_keys, picture.pepper, faults) == ({}, False, None, ())


CHANGES: dict[str, Callable[[], object]] = {
    "key made": lambda: a_key("another"),
    "key updated": lambda: ApiKey.objects.update(enabled=False),
    "key deleted": lambda: ApiKey.objects.all().delete(),
    "team made": lambda: a_team("another"),
    "team updated": lambda: Team.objects.update(enabled=False),
    "raw update": lambda: raw("UPDATE accounts_apikey SET note = 'x'"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_moves_the_stamp(change: Callable[[], object]) -> None:
    a_key(team=a_team())
    before = watch.version()
    change()
    assert watch.version() > before


def test_a_keeper_swaps_it() -> None:
    held = Keeper()
    assert not held.current().has_keys
    row, _ = a_key()
    assert row.public_id in held.current().keys
    row.delete()
    assert not held.current().has_keys


def test_many_keys_are_as_many_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    team = a_team()
    for number in range(20):
        a_key(f"app {number}", team=team)
    with django_assert_num_queries(5):
        read_picture()


@pytest.mark.parametrize("column", ["scopes", "allowed_models"])
@pytest.mark.parametrize("value", ['"chat"', "[1]", '[""]', "null", "{}"])
def test_a_key_that_cannot_be_read_opens_nothing(column: str, value: str) -> None:
    row, _ = a_key()
    other, _ = a_key("other")
    cast: Any = "::jsonb" if connection.vendor == "postgresql" else ""
    raw(f"UPDATE accounts_apikey SET {column} = '{value}'{cast} WHERE id = {row.pk}")
    picture, faults = read_picture()
    assert set(picture.keys) == {other.public_id}
    assert len(faults) == 1
    assert row.public_id in faults[0]


def test_the_first_broken_key_opens_no_gateway() -> None:
    row, _ = a_key()
    cast = "::jsonb" if connection.vendor == "postgresql" else ""
    raw(f"UPDATE accounts_apikey SET scopes = '1'{cast} WHERE id = {row.pk}")
    picture, _ = read_picture()
    assert (dict(picture.keys), picture.has_keys) == ({}, True)
