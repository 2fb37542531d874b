"""A secret is stored or refers to a variable, and is resolved into a key that a header can carry."""

import os
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.rows import TEXT, a_reference, a_ring, a_secret, put
from vault.crypto import Unopenable
from vault.models import Secret, SecretMissing, validate_key, validate_variable
from vault.ring import get_ring

pytestmark = pytest.mark.django_db
EITHER = "Give a key or the name of an environment variable: one of them, not both."
NO_KEYS = {
    "empty": "",
    "a space before": " sk-0123",
    "a line break after": "sk-0123\n",
    "a line break within": "sk-01\r\nX-Evil: 1",
    "a tab": "sk\t0123",
    "a zero byte": "sk\x000123",
    "an umlaut": "schlüssel",
    "a hard space": "sk-0123\u00a0",
    "a zero-width space": "sk-\u200b0123",
    "half a character": "sk-\ud800",
}


def test_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {TEXT}-env\n")
    a_secret()
    a_reference()
    assert Secret.objects.get(name="team").resolve().reveal() == TEXT
    assert Secret.objects.get(name="shared").resolve().reveal() == f"{TEXT}-env"


def test_to_set_one_clears_the_other() -> None:
    secret = a_secret()
    first = secret.set_at
    secret.refer("OPENAI_API_KEY")
    secret.save()
    assert (secret.value, secret.env_name) == ("", "OPENAI_API_KEY")
    secret.store("sk-second-0123456")
    secret.save()
    assert (Secret.objects.get().value, secret.env_name) == ("sk-second-0123456", "")
    assert secret.set_at > first


@pytest.mark.parametrize("fields", [{}, {"value": TEXT, "env_name": "OPENAI_API_KEY"}], ids=["neither", "both"])
def test_one_of_them_is_needed(fields: dict[str, str]) -> None:
    secret = Secret(name="x", **fields)
    with pytest.raises(ValidationError) as invalid:
        secret.full_clean()
    assert invalid.value.messages == [EITHER]
    with pytest.raises(IntegrityError), transaction.atomic():
        secret.save()


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS)
def test_what_no_header_carries_is_no_key(text: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        validate_key(text)
    assert not text or text not in str(invalid.value)


@pytest.mark.parametrize("text", [text for text in NO_KEYS.values() if text and text.isascii()])
def test_a_row_with_no_key_is_not_valid_and_not_resolved(text: str) -> None:
    secret = Secret(name="x", value=text)
    with pytest.raises(ValidationError, match="A key"):
        secret.full_clean()
    secret.save()
    with pytest.raises(SecretMissing, match="A key"):
        secret.resolve()


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
def test_every_token_is_a_key(text: str) -> None:
    secret = Secret(name="x", value=text)
    secret.clean()
    assert secret.resolve().reveal() == text


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_a_variable_that_is_not_set_is_told(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if text is not None:
        monkeypatch.setenv("OPENAI_API_KEY", text)
    with pytest.raises(SecretMissing, match="the environment variable OPENAI_API_KEY is not set"):
        a_reference().resolve()


def test_a_variable_that_holds_no_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-01\nX-Evil: 1")
    with pytest.raises(SecretMissing, match="one line") as missing:
        a_reference().resolve()
    assert "Evil" not in str(missing.value)


@pytest.mark.parametrize("name", ["TOKENHUB_ENCRYPTION_KEY", "SECRET_KEY", "DATABASE_URL", "PGPASSWORD", "HUB_MASTER"])
def test_the_gateway_s_own_variables_are_not_given_away(name: str, settings: Any) -> None:
    settings.TOKENHUB_KEY_VARIABLE = "HUB_MASTER"
    with pytest.raises(ValidationError, match="belongs to the gateway"):
        Secret(name="x").refer(name)
    with pytest.raises(SecretMissing, match="belongs to the gateway"):
        Secret(name="x", env_name=name).resolve()
    assert os.environ["TOKENHUB_ENCRYPTION_KEY"]


@pytest.mark.parametrize("name", ["", "lower", "A-B", "1A", "A B", "A\n"])
def test_other_names_are_no_variables(name: str) -> None:
    with pytest.raises(ValidationError, match="capital letters"):
        validate_variable(name)


@pytest.mark.parametrize(
    ("text", "hint"), [(TEXT, "••••cdef"), ("x" * 8 + "last", "••••last"), ("x" * 7 + "last", "••••"), ("a", "••••")]
)
def test_a_hint_shows_the_end_of_a_long_key(text: str, hint: str) -> None:
    assert a_secret(text=text).hint == hint


def test_a_hint_shows_the_variable() -> None:
    assert a_reference().hint == "env:OPENAI_API_KEY"


def test_it_tells_the_key_that_it_rests_under() -> None:
    assert Secret(name="x", value=TEXT).key_id == ""
    assert a_reference().key_id == ""
    a_secret()
    assert Secret.objects.get(name="team").key_id == get_ring().primary


def test_what_does_not_open_is_not_resolved(settings: Any) -> None:
    secret = a_secret()
    settings.TOKENHUB_KEY_RING = a_ring()
    with pytest.raises(Unopenable, match="which the ring does not hold"):
        Secret.objects.get().resolve()
    put(secret, "sk-plain-0123456")
    with pytest.raises(Unopenable, match="not a sealed text"):
        Secret.objects.get().resolve()


def test_history_knows_when_and_not_what() -> None:
    secret = a_secret()
    secret.store("sk-second-0123456")
    secret.save()
    newer, older = secret.history.all()
    assert newer.set_at > older.set_at
    assert not hasattr(newer, "value")
