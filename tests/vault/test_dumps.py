"""A dump holds what the database holds, and loads without a key."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.serializers import serialize
from django.core.serializers.base import DeserializationError

from tests.vault.rows import TEXT, a_reference, a_secret, column
from vault.crypto import is_sealed
from vault.models import Secret

pytestmark = pytest.mark.django_db


def dumped(kind: str = "json") -> str:
    """Everything, as `dumpdata` writes it."""
    out = StringIO()
    call_command("dumpdata", format=kind, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["json", "jsonl", "xml"])
def test_it_works(kind: str, tmp_path: Path) -> None:
    secret = a_secret()
    a_reference()
    before = column(secret)
    file = tmp_path / f"dump.{kind}"
    file.write_text(dumped(kind))
    Secret.objects.all().delete()
    call_command("loaddata", str(file), verbosity=0)
    assert column(secret) == before
    assert Secret.objects.get(name="team").value == TEXT
    assert Secret.objects.get(name="shared").env_name == "OPENAI_API_KEY"


def test_a_dump_needs_no_key_and_shows_none(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = a_secret()
    before = column(secret)
    ring, settings.TOKENHUB_KEY_RING = settings.TOKENHUB_KEY_RING, None
    monkeypatch.delenv("TOKENHUB_ENCRYPTION_KEY")
    file = tmp_path / "dump.json"
    file.write_text(dumped())
    assert TEXT not in file.read_text()
    assert before in file.read_text()
    call_command("loaddata", str(file), verbosity=0)
    settings.TOKENHUB_KEY_RING = ring
    assert Secret.objects.get().value == TEXT


def test_a_row_that_was_not_saved_is_dumped_sealed() -> None:
    dump = serialize("json", [Secret(name="new", value=TEXT)])
    assert TEXT not in dump
    assert is_sealed(json.loads(dump)[0]["fields"]["value"])


def test_plain_text_in_a_fixture_is_refused(tmp_path: Path) -> None:
    a_secret()
    rows = json.loads(dumped())
    for row in rows:
        if row["model"] == "vault.secret":
            row["fields"]["value"] = TEXT
    file = tmp_path / "dump.json"
    file.write_text(json.dumps(rows))
    with pytest.raises((TypeError, DeserializationError), match="sealed row by row"):
        call_command("loaddata", str(file), verbosity=0)
