"""Presets fill in what is known of a service, in files and in documents, and a row is complete without them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from registry.config import ConfigInvalid, export, load, read, read_and_check
from registry.models import Provider
from registry.presets import PRESETS, Preset

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "fixtures" / "config" / "providers.json"


def file_of(**fields: Any) -> str:
    """A file with one provider, which is called p."""
    return json.dumps({"providers": [{"name": "p", **fields}]})


def complete(preset: str) -> dict[str, Any]:
    """An entry of a file that names a preset and what only its user knows."""
    address = PRESETS[preset].lives_at.replace("RESOURCE", "mine")
    return {"preset": preset, **({"base_url": address} if address else {})}


def loaded(**fields: Any) -> Provider:
    """The row of a file with one provider."""
    load(read(file_of(**fields)), keep_edits=False, reason="test")
    return Provider.objects.get()


@pytest.mark.django_db
def test_it_works() -> None:
    groq = loaded(preset="groq", api_key_env="GROQ_API_KEY")
    assert (groq.type, groq.base_url) == ("openai", "https://api.groq.com/openai/v1")
    assert groq.unsupported == ["logprobs", "top_logprobs", "logit_bias", "messages[].name"]
    assert groq.secret is not None


@pytest.mark.django_db
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_sound_row(name: str) -> None:
    row = loaded(**complete(name))
    row.full_clean()
    fields = {field: getattr(row, field) for field in PRESETS[name].fields}
    assert fields == PRESETS[name].fields


@pytest.mark.django_db
@pytest.mark.parametrize("name", PRESETS)
def test_what_is_exported_needs_no_preset(name: str) -> None:
    loaded(**complete(name))
    exported = export()
    assert exported.faults == ()
    assert "preset" not in json.loads(exported.text)["providers"][0]
    assert load(read(exported.text), keep_edits=False, reason="test").is_empty
    Provider.objects.all().delete()
    load(read(exported.text), keep_edits=False, reason="test")
    assert export() == exported


@pytest.mark.django_db
def test_an_entry_overrides_its_preset() -> None:
    row = loaded(preset="mistral", base_url="https://eu.example.com/v1", unsupported=["seed"], limit_field="")
    assert (row.base_url, row.unsupported, row.limit_field) == ("https://eu.example.com/v1", ["seed"], "")
    assert row.endpoints == ["chat", "embeddings"]


@pytest.mark.django_db
def test_edits_of_what_a_preset_said_are_kept() -> None:
    row = loaded(preset="groq")
    row.unsupported = ["logprobs"]
    row.save()
    kept = load(read(file_of(preset="groq")), keep_edits=True, reason="test")
    assert kept.is_empty
    row.refresh_from_db()
    assert row.unsupported == ["logprobs"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"preset": "gorq"}, 'providers[0].preset: no preset has the name "gorq"; did you mean "groq"?'),
        ({"preset": ""}, 'providers[0].preset: no preset has the name ""'),
        ({"preset": 7}, "providers[0].preset: give a text, not a number"),
        ({"preset": "azure"}, "providers[0].base_url: What differs belongs to an address"),
        ({"preset": "groq", "type": "vlm"}, "providers[0].type: Value 'vlm' is not a valid choice"),
        ({}, "providers[0].type: missing"),
    ],
)
def test_a_wrong_preset_is_told_by_its_place(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigInvalid) as invalid:
        read_and_check(file_of(**fields))
    assert [str(found)[: len(fault)] for found in invalid.value.faults] == [fault]


def test_the_shipped_file_has_every_preset() -> None:
    entries = json.loads(SHIPPED.read_text())["providers"]
    assert [entry["preset"] for entry in entries] == list(PRESETS)
    assert {model.given["provider"] for model in read_and_check(SHIPPED).models} == {entry["name"] for entry in entries}
    keyless = {entry["name"] for entry in entries if "api_key_env" not in entry}
    assert keyless == {name for name, preset in PRESETS.items() if preset.fields["type"] == "vllm"}


def row_of_the_table(name: str, preset: Preset) -> str:
    """A preset as the document shows it."""
    fields = dict(preset.fields)
    kind, address = fields.pop("type"), fields.pop("base_url", "") or preset.lives_at
    differs = "; ".join(f"`{field}` {_written(value)}" for field, value in fields.items())
    return f"| `{name}` | {preset.title} | `{kind}` | {f'`{address}`' if address else 'the public one'} | {differs} |"


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"`{name}`" for name in value)
    return f"`{json.dumps(value) if isinstance(value, dict | bool) else value}`"


def test_the_document_has_every_preset() -> None:
    table = (ROOT / "docs" / "providers.md").read_text().split("| preset |")[1].split("\n\n")[0].splitlines()[2:]
    assert table == [row_of_the_table(*each) for each in PRESETS.items()]


def test_the_examples_of_the_document_load() -> None:
    examples = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "providers.md").read_text(), re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        assert read_and_check(example).providers
