"""What is wrong with the key is said by a system check, with an id and a hint."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks

from tests.vault.rows import a_ring, a_secret, column, put
from vault import checks, keycheck
from vault.models import Secret
from vault.ring import get_ring

pytestmark = pytest.mark.django_db


def found(*, databases: list[str] | None = None) -> list[CheckMessage]:
    """What the vault's checks find, asked as Django does."""
    return [message for message in run_checks(databases=databases) if str(message.id).startswith("vault.")]


def test_it_works() -> None:
    keycheck.register(get_ring())
    a_secret()
    assert found(databases=["default"]) == []


@pytest.mark.parametrize(
    ("text", "fault"), [("", "is not set"), ("nonsense", "does not hold a key: it has"), ("A,", "does not hold a key")]
)
def test_a_key_that_is_missing_or_malformed(
    text: str, fault: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TOKENHUB_KEY_RING = None
    monkeypatch.setenv("TOKENHUB_ENCRYPTION_KEY", text)
    (message,) = found(databases=["default"])
    assert message.id == "vault.E001"
    assert message.is_serious()
    assert fault in str(message.msg)
    assert "-generate-key" in str(message.hint)


def test_a_key_of_another_database(settings: Any) -> None:
    keycheck.register(get_ring())
    right, settings.TOKENHUB_KEY_RING = get_ring(), a_ring()
    (message,) = found(databases=["default"])
    assert message.id == "vault.E002"
    assert message.is_serious()
    assert right.primary in str(message.msg)
    assert found() == []


def test_a_secret_that_does_not_open() -> None:
    keycheck.register(get_ring())
    put(a_secret("other"), column(a_secret("one")))
    (message,) = found(databases=["default"])
    assert message.id == "vault.W002"
    assert not message.is_serious()
    assert str(Secret.objects.get(name="other").pk) in str(message.msg)


@pytest.mark.parametrize(("mode", "ids"), [(0o644, ["vault.W001"]), (0o640, []), (0o400, [])])
def test_a_key_file_that_everybody_reads(
    mode: int, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text("key")
    file.chmod(mode)
    monkeypatch.setenv("TOKENHUB_ENCRYPTION_KEY_FILE", str(file))
    assert found() == []
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    assert [message.id for message in checks.check_key_file()] == ids


def test_a_key_file_that_is_missing_is_told_once(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TOKENHUB_KEY_RING = None
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    monkeypatch.setenv("TOKENHUB_ENCRYPTION_KEY_FILE", str(tmp_path / "missing"))
    assert [message.id for message in found()] == ["vault.E001"]
