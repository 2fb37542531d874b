"""Loading makes the rows say what the file says: at once, only where they differ, and never by deleting."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from registry.config import load, read
from registry.models import LoadedRow, Model, Provider
from registry.stamp import watch

pytestmark = pytest.mark.django_db

FIXTURES = Path(__file__).parents[2] / "fixtures" / "config"
BASIC = (FIXTURES / "basic.json").read_text()


def command(file: Path, **options: bool) -> list[str]:
    """The lines that the command prints."""
    out = StringIO()
    call_command("loadconfig", str(file), stdout=out, **options)
    return out.getvalue().splitlines()


def changed(text: str, part: str, position: int, **fields: Any) -> str:
    """The file with these fields of one entry changed, or taken away by None."""
    document = json.loads(text)
    entry = document[part][position] | fields
    document[part][position] = {name: value for name, value in entry.items() if value is not None}
    return json.dumps(document)


def tables() -> dict[str, list[dict[str, Any]]]:
    """Everything in the tables of the registry and the vault, with their history and the stamp."""
    models = [model for app in ("registry", "vault") for model in apps.get_app_config(app).get_models()]
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in models}


def test_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert command(FIXTURES / "basic.json") == [
        "provider openai: added",
        "    key: nothing → env OPENAI_API_KEY",
        "model gpt-3.5-turbo: added",
        "warning: provider openai: the environment variable OPENAI_API_KEY is not set",
    ]
    model = Model.objects.select_related("provider__secret").get()
    assert (model.public_id, model.name, model.weight) == ("gpt-3.5-turbo", "gpt-3.5-turbo", 80.0)
    assert (model.cost_per_1k, model.context_size) == (Decimal("0.002"), 4096)
    assert (model.capabilities, model.aliases, model.enabled) == (["chat", "completion"], [], True)
    assert (model.provider.name, model.provider.type, model.provider.base_url) == ("openai", "openai", "")
    assert model.provider.secret is not None
    assert (model.provider.secret.name, model.provider.secret.env_name) == ("openai", "OPENAI_API_KEY")


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.json")), ids=lambda file: file.name)
def test_every_shipped_file_loads_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in json.loads(file.read_text())["providers"]:
        if "api_key_env" in entry:
            monkeypatch.setenv(entry["api_key_env"], "x")
    command(file)
    before = tables()
    assert command(file)[-1] == "nothing to change"
    assert command(file, keep_edits=True, prune=True)[-1] == "nothing to change"
    assert tables() == before


def test_every_field_of_the_file_reaches_its_column() -> None:
    provider = {
        "name": "near", "type": "vllm", "base_url": "http://127.0.0.1:8000/v1", "enabled": False, "note": "two\nlines",
        "connect_timeout": 1.5, "first_byte_timeout": 2, "idle_timeout": 3, "total_timeout": 4,
        "extra_headers": {"X-Team": "search"}, "auth_header": "api-key", "path": "a/{model}/{endpoint}",
        "query": {"v": "1"}, "unsupported": ["seed"], "limit_field": "max_tokens",
        "cache_control": True, "reasoning_back": "reasoning_content", "endpoints": ["chat"],
    }  # fmt: skip
    model = {
        "id": "m", "provider": "near", "name": "org/m", "weight": -1.25, "cost_per_1k": 0.000000001, "input_per_1k": 1,
        "output_per_1k": 99999.123456789, "cache_read_per_1k": 0.1, "cache_write_per_1k": None,
        "cache_write_1h_per_1k": 2, "is_free": True, "context_size": 10,
        "max_output_tokens": 5, "rpm": 6, "tpm": 7, "concurrent": 8,
        "capabilities": ["embedding"], "aliases": ["other"], "enabled": False,
    }  # fmt: skip
    load(read(json.dumps({"providers": [provider], "models": [model]})), keep_edits=False, reason="test")
    row = Provider.objects.get()
    assert {name: getattr(row, name) for name in provider} == provider
    loaded = Model.objects.get()
    expected = {**model, "public_id": "m", "provider": row, "cost_per_1k": Decimal("0.000000001")}
    expected |= {"output_per_1k": Decimal("99999.123456789"), "cache_read_per_1k": Decimal("0.1")}
    del expected["id"]
    assert {name: getattr(loaded, name) for name in expected} == expected


def test_the_file_wins_over_the_rows(tmp_path: Path) -> None:
    load(read(BASIC), keep_edits=False, reason="test")
    Model.objects.update(weight=95, aliases=["gpt"])
    Provider.objects.update(note="mine", secret=None)
    file = tmp_path / "config.json"
    file.write_text(changed(BASIC, "models", 0, cost_per_1k=0.0015))
    assert command(file)[:7] == [
        "provider openai: changed",
        '    note: "mine" → ""',
        "    key: nothing → env OPENAI_API_KEY",
        "model gpt-3.5-turbo: changed",
        "    weight: 95 → 80",
        "    cost_per_1k: 0.002 → 0.0015",
        '    aliases: ["gpt"] → []',
    ]
    model = Model.objects.get()
    assert (model.weight, model.cost_per_1k, model.aliases) == (80.0, Decimal("0.0015"), [])


def test_a_load_that_changes_nothing_moves_no_stamp_and_no_history() -> None:
    load(read(BASIC), keep_edits=False, reason="test")
    version, rows = watch.version(), tables()
    difference = load(read(BASIC), keep_edits=False, reason="test")
    assert difference.is_empty
    assert (watch.version(), tables()) == (version, rows)


@pytest.mark.parametrize("keep_edits", [True, False])
def test_a_dry_run_shows_the_same_and_writes_nothing(tmp_path: Path, keep_edits: bool) -> None:
    file = tmp_path / "config.json"
    file.write_text((FIXTURES / "multi-provider.json").read_text())
    before = tables()
    shown = command(file, dry_run=True)
    assert tables() == before
    assert command(file) == shown

    Model.objects.filter(public_id="gpt-4").update(weight=1)
    file.write_text(changed(BASIC, "providers", 0, api_key="sk-canary", api_key_env=None))
    before = tables()
    shown = command(file, dry_run=True, prune=True, keep_edits=keep_edits)
    assert tables() == before
    assert command(file, prune=True, keep_edits=keep_edits) == shown
    assert tables() != before


def test_prune_disables_what_the_file_does_not_name(tmp_path: Path) -> None:
    load(read((FIXTURES / "multi-provider.json").read_text()), keep_edits=False, reason="test")
    by_hand = Provider.objects.create(name="by-hand", type="echo")
    Model.objects.create(public_id="mine", name="mine", provider=by_hand, context_size=1)
    file = tmp_path / "config.json"
    file.write_text((FIXTURES / "default.json").read_text())
    assert "disabled" not in " ".join(command(file))
    lines = command(file, prune=True, keep_edits=True)
    disabled = {line.partition(":")[0] for line in lines if ": disabled" in line}
    assert disabled == {"provider vllm-local", "provider by-hand", "model llama-local", "model mine"}
    assert {*Provider.objects.filter(enabled=False).values_list("name", flat=True)} == {"vllm-local", "by-hand"}
    assert {*Model.objects.filter(enabled=False).values_list("public_id", flat=True)} == {"llama-local", "mine"}
    assert "nothing to change" in command(file, prune=True)


def test_what_a_prune_disabled_comes_back_with_the_file() -> None:
    both, one = (read((FIXTURES / name).read_text()) for name in ("multi-provider.json", "basic.json"))
    load(both, keep_edits=True, reason="test")
    load(one, keep_edits=True, prune=True, reason="test")
    assert not Model.objects.get(public_id="gpt-4").enabled
    load(both, keep_edits=True, prune=True, reason="test")
    assert set(Model.objects.filter(enabled=True).values_list("public_id", flat=True)) == {
        "gpt-4",
        "claude-2",
        "llama-local",
    }


def test_a_person_who_enables_a_pruned_row_is_heard() -> None:
    load(read((FIXTURES / "multi-provider.json").read_text()), keep_edits=True, reason="test")
    one = read(BASIC)
    load(one, keep_edits=True, prune=True, reason="test")
    Model.objects.filter(public_id="gpt-4").update(enabled=True)
    load(one, keep_edits=True, prune=True, reason="test")
    assert Model.objects.get(public_id="gpt-4").enabled
    load(one, keep_edits=False, prune=True, reason="test")
    assert not Model.objects.get(public_id="gpt-4").enabled


def test_an_address_from_a_file_is_trusted() -> None:
    load(read((FIXTURES / "multi-provider.json").read_text()), keep_edits=False, reason="test")
    assert Provider.objects.get(name="vllm-local").may_be_private
    assert Provider.objects.get(name="openai").trusted_base_url == ""


def test_the_history_says_which_file_it_was(tmp_path: Path) -> None:
    file = tmp_path / ("c" * 120 + ".json")
    file.write_text(BASIC)
    command(file)
    file.write_text(changed(BASIC, "models", 0, weight=1))
    command(file)
    reason = f"loadconfig {file.name}"[:100]
    history = Model.history.order_by("history_id")
    assert [(row.weight, row.history_type, row.history_change_reason) for row in history] == [
        (80.0, "+", reason),
        (1.0, "~", reason),
    ]
    provider = Provider.objects.get()
    assert provider.secret is not None
    assert [row.history_change_reason for row in provider.history.all()] == [reason]
    assert [row.history_change_reason for row in provider.secret.history.all()] == [reason]


def test_a_merge_that_the_rows_rules_refuse_changes_nothing() -> None:
    text = '{"providers": [{"name": "near", "type": "openai", "base_url": "http://localhost:1"}]}'
    load(read(text), keep_edits=False, reason="test")
    Provider.objects.update(base_url="")
    before = tables()
    with pytest.raises(ValueError, match=r"providers\[0\].base_url: together with the edits that are kept: A provider"):
        load(read(text.replace("openai", "vllm")), keep_edits=True, reason="test")
    assert tables() == before


def test_a_refusal_ends_the_command_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file") as error:
        call_command("loadconfig", str(tmp_path / "missing.json"))
    assert error.value.returncode == 1
    assert not LoadedRow.objects.exists()
