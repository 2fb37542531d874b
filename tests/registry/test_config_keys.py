"""A key from a file rests in the vault, belongs to its provider alone and is shown by no output."""

import json
import logging
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from registry.config import load, read
from registry.models import LoadedRow, Provider
from vault.crypto import KeyProblem, Ring, generate_key
from vault.models import Secret

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-4f9d1c"


def text_of(*providers: dict[str, str]) -> str:
    return json.dumps({"providers": [{"name": "openai", "type": "openai"} | provider for provider in providers]})


def reload(*providers: dict[str, str], keep_edits: bool = False) -> list[str]:
    difference = load(read(text_of(*providers)), keep_edits=keep_edits, reason="test")
    return [line.strip() for line in difference.lines()]


def key_of(name: str = "openai") -> str:
    return Provider.objects.get(name=name).secret.resolve().reveal()  # type: ignore[union-attr]


def test_it_works() -> None:
    assert reload({"api_key": CANARY}) == ["provider openai: added", "key: nothing → set"]
    assert key_of() == CANARY
    assert "nothing to change" in reload({"api_key": CANARY})
    assert reload({"api_key": "sk-new"}) == ["provider openai: changed", "key: set → replaced"]
    assert key_of() == "sk-new"
    assert Secret.objects.count() == 1, "the provider's own secret is set anew"


def test_the_name_of_a_variable_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("B_KEY", "x")
    monkeypatch.delenv("A_KEY", raising=False)
    assert reload({"api_key_env": "A_KEY"}) == [
        "provider openai: added",
        "key: nothing → env A_KEY",
        "warning: provider openai: the environment variable A_KEY is not set",
    ]
    assert reload({"api_key_env": "B_KEY"}) == ["provider openai: changed", "key: env A_KEY → env B_KEY"]
    assert reload({"api_key": CANARY}) == ["provider openai: changed", "key: env B_KEY → set"]
    assert reload({"api_key_env": "B_KEY"}) == ["provider openai: changed", "key: set → env B_KEY"]


def test_a_kept_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "x")
    reload({"api_key_env": "A_KEY"})
    Provider.objects.update(secret=Secret.objects.create(name="mine", value=CANARY))
    assert reload({"api_key_env": "A_KEY"}, keep_edits=True)[:2] == [
        "provider openai: kept as edited",
        "key: kept edit set (the file says env A_KEY)",
    ]
    assert reload({"api_key": "sk-new"}, keep_edits=True)[1] == (
        "key: kept edit set, in conflict with the file's new replaced"
    )
    assert key_of() == CANARY


def test_a_provider_without_the_key_it_needs_is_a_warning() -> None:
    assert reload({})[-1].startswith("warning: provider openai: has no key")
    assert not any("warning" in line for line in reload({"type": "vllm", "base_url": "http://localhost:1"}))


def test_a_secret_that_is_not_the_providers_alone_is_never_overwritten() -> None:
    unused = Secret.objects.create(name="openai", value="sk-unused")
    shared = Secret.objects.create(name="openai-2", value="sk-shared")
    Provider.objects.create(name="one", type="echo", secret=shared)
    Provider.objects.create(name="openai", type="openai", secret=shared)
    reload({"api_key": CANARY})
    assert key_of() == CANARY
    assert key_of("one") == "sk-shared"
    assert [(secret.name, secret.value) for secret in Secret.objects.all()] == [
        (unused.name, "sk-unused"),
        (shared.name, "sk-shared"),
        ("openai-3", CANARY),
    ]


def test_a_secret_of_that_name_with_the_same_key_is_used() -> None:
    secret = Secret.objects.create(name="openai", value=CANARY)
    reload({"api_key": CANARY})
    assert Provider.objects.get().secret == secret


def test_the_canary_is_in_no_output(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    file, out = tmp_path / "config.json", StringIO()
    for providers in (
        [{"api_key": CANARY}],
        [{"api_key": CANARY + "-new", "note": "changed"}],
        [{"api_key": CANARY, "type": "vlm"}],
        [{"api_key": CANARY + "\n"}],
        [{"api_key": [CANARY]}],
        [{"api_key_env": CANARY}],
        [{"api_key": CANARY}, {"api_key": CANARY}],
    ):
        for options in ({"dry_run": True}, {}, {"keep_edits": True, "prune": True}):
            file.write_text(
                json.dumps({"providers": [{"name": "openai", "type": "openai"} | one for one in providers]})
            )
            try:
                call_command("loadconfig", str(file), stdout=out, stderr=out, **options)
            except CommandError as error:
                out.write(str(error))
    file.write_text(text_of({"api_key": CANARY})[:-3])
    with pytest.raises(CommandError) as broken:
        call_command("loadconfig", str(file))
    call_command("exportconfig", stdout=out, stderr=out)
    assert "key: nothing → set" in out.getvalue()
    logged = [record.getMessage() for record in caplog.records if record.name != "django.db.backends"]
    assert CANARY not in "\n".join([out.getvalue(), str(broken.value), *logged])
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            assert CANARY not in repr(cursor.fetchall()), table


def test_a_rotation_of_the_vaults_key_is_no_edit() -> None:
    old, new = generate_key(), generate_key()
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(old)):
        reload({"api_key": "sk-one"})
    both = Ring.parse(f"{new},{old}")
    with override_settings(TOKENHUB_KEY_RING=both):
        assert "key: set → replaced" in reload({"api_key": "sk-two"}, keep_edits=True)
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(new)):
        assert "nothing to change" in reload({"api_key": "sk-two"}, keep_edits=True)
        assert LoadedRow.objects.get().values["key"].startswith(f"sealed:{both.primary}.")


def test_a_rotation_of_the_vaults_key_brings_nothing_back() -> None:
    old, new = generate_key(), generate_key()
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(old)):
        reload({"api_key": "sk-one"})
    Provider.objects.all().delete()
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(f"{new},{old}")):
        assert reload({"api_key": "sk-one"}, keep_edits=True)[0] == "provider openai: left deleted"


@pytest.mark.parametrize("edit", ["deleted", "replaced"])
def test_an_edit_outlives_the_vaults_old_key(edit: str) -> None:
    """What a file said is remembered under the ring's first key as soon as it is loaded under a new ring."""
    old, new = generate_key(), generate_key()
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(old)):
        reload({"api_key": "sk-one"})
        Provider.objects.update(secret=None)
        if edit == "deleted":
            Provider.objects.all().delete()
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(f"{new},{old}")):
        kept = reload({"api_key": "sk-one"}, keep_edits=True)
        call_command("rotatekeys", stdout=StringIO())
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(new)):
        assert reload({"api_key": "sk-one"}, keep_edits=True) == kept
    assert kept[0] == f"provider openai: {'left deleted' if edit == 'deleted' else 'kept as edited'}"


def test_a_new_key_of_the_file_is_taken_after_the_vaults_old_key_is_gone() -> None:
    old, new = generate_key(), generate_key()
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(old)):
        reload({"api_key": "sk-one"})
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(f"{new},{old}")):
        reload({"api_key": "sk-one"}, keep_edits=True)
        call_command("rotatekeys", stdout=StringIO())
    with override_settings(TOKENHUB_KEY_RING=Ring.parse(new)):
        assert "key: set → replaced" in reload({"api_key": "sk-two"}, keep_edits=True)
        assert key_of() == "sk-two"


def test_a_stored_key_that_nothing_is_compared_with_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    reload({"api_key_env": "A_KEY"})
    Provider.objects.update(secret=Secret.objects.create(name="mine", value=CANARY))
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    with override_settings(TOKENHUB_KEY_RING=None):
        assert reload({"api_key_env": "A_KEY"}, keep_edits=True)[0] == "provider openai: kept as edited"


def test_without_a_ring_only_variables_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    file = tmp_path / "config.json"
    with override_settings(TOKENHUB_KEY_RING=None):
        reload({"api_key_env": "A_KEY"})
        assert "nothing to change" in reload({"api_key_env": "A_KEY"})
        file.write_text(text_of({"api_key": CANARY}))
        with pytest.raises(CommandError, match=r"The vault cannot be used, nothing was changed: .* is not set"):
            call_command("loadconfig", str(file))
        with pytest.raises(KeyProblem):
            reload({"api_key": CANARY})
    assert Provider.objects.get().secret.env_name == "A_KEY"  # type: ignore[union-attr]
