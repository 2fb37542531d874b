"""A client key opens what its row says, for as long as it says, and nothing of its secret is kept."""

import time
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts import keys
from accounts.facts import KeyFacts
from accounts.keys import KeyRefused, PepperMissing
from accounts.models import ApiKey, Pepper
from accounts.picture import read_picture
from tests.accounts.rows import a_key, a_team
from tests.vault.rows import a_ring, joined

pytestmark = pytest.mark.django_db


def check(token: str, *, later: float = 0.0) -> KeyFacts:
    """What a worker says of a key, some seconds from now."""
    return keys.check(token, read_picture()[0], time.time() + later)


def refusal(token: str, *, later: float = 0.0) -> str:
    """Why a key is refused."""
    with pytest.raises(KeyRefused) as refused:
        check(token, later=later)
    return str(refused.value)


def test_it_works() -> None:
    row, token = a_key(team=a_team(), scopes=["chat"], allowed_models=["small"])
    assert token.startswith(f"th_{row.public_id}_")
    facts = check(token)
    assert (facts.pk, facts.name, facts.scopes, facts.models) == (
        row.pk,
        "app",
        frozenset({"chat"}),
        frozenset({"small"}),
    )
    assert facts.team is not None
    assert facts.team.name == "search"


def test_two_keys_have_nothing_in_common() -> None:
    (_, first), (_, second) = a_key(), a_key()
    assert first.split("_")[1:] != second.split("_")[1:]
    assert not set(first.split("_")[1:]) & set(second.split("_")[1:])


def test_nothing_of_a_secret_is_kept() -> None:
    row, token = a_key()
    secret = token.rpartition("_")[2]
    with connection.cursor() as cursor:
        for table in ("accounts_apikey", "accounts_historicalapikey", "accounts_pepper"):
            cursor.execute(f"SELECT * FROM {table}")
            assert secret not in str(cursor.fetchall())
    assert row.digest not in str(list(ApiKey.history.values()))
    assert Pepper.get().octets.hex() not in repr(read_picture()[0])


@pytest.mark.parametrize(
    "token",
    [
        *("", "th_", "th__", "th_ff", "sk-123", "th_unknown_secret", "TH_{id}_{secret}", "th_{id}_"),
        *("th_{id}_{secret}0", "th_{id}_\ud800", "th_{id}_ü", "{id}_{secret}", "th_{secret}_{id}"),
    ],
)
def test_what_is_no_key_opens_nothing(token: str) -> None:
    row, good = a_key()
    assert refusal(token.format(id=row.public_id, secret=good.rpartition("_")[2])).startswith(
        ("This is no key", "A key of this gateway begins")
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"enabled": False}, "This key is disabled."),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "This key has expired."),
    ],
)
def test_a_key_that_is_off_says_so(fields: dict[str, Any], told: str) -> None:
    row, token = a_key(**fields)
    assert refusal(token) == told
    assert refusal(f"th_{row.public_id}_{'0' * 48}") == "This is no key of this gateway."  # to those without its secret


def test_a_key_ends_with_its_team() -> None:
    _, token = a_key(team=a_team(enabled=False))
    assert refusal(token) == "This key is disabled."


def test_a_key_ends_when_it_says() -> None:
    _, token = a_key(expires_at=timezone.now() + timedelta(days=1))
    assert check(token, later=86_000).name == "app"
    assert refusal(token, later=86_500) == "This key has expired."


def test_a_rotation_lets_both_be_good_for_a_while() -> None:
    row, old = a_key()
    new = keys.rotate(row, overlap=timedelta(hours=1))
    row.save()
    assert check(old).pk == check(new).pk == row.pk
    assert old.split("_")[1] == new.split("_")[1]
    assert refusal(old, later=3700).startswith("This is no key")
    assert check(new, later=3700).name == "app"


def test_a_rotation_without_an_overlap_ends_the_old_one_at_once() -> None:
    row, old = a_key()
    new = keys.rotate(row)
    row.save()
    assert refusal(old).startswith("This is no key")
    assert check(new).name == "app"


def test_a_ring_that_does_not_open_the_pepper_says_nothing_of_anybodys_key(settings: Any) -> None:
    _, token = a_key()
    settings.TOKENHUB_KEY_RING = a_ring()
    with pytest.raises(PepperMissing):
        check(token)
    assert "pepper" in read_picture()[1][0]


def test_a_rotation_of_the_vault_keeps_them(settings: Any) -> None:
    old, new = a_ring(), a_ring()
    settings.TOKENHUB_KEY_RING = old
    _, token = a_key()
    settings.TOKENHUB_KEY_RING = joined(new, old)
    call_command("rotatekeys", stdout=StringIO())
    settings.TOKENHUB_KEY_RING = new
    assert check(token).name == "app"


def test_the_pepper_is_made_once() -> None:
    assert Pepper.get().octets == Pepper.get().octets
    assert len(Pepper.get().octets) == 32
    assert Pepper.objects.count() == 1
