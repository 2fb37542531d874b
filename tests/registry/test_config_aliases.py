"""Aliases in a configuration file: loaded in their order, told apart from people's edits, and written again."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from registry.config import ConfigInvalid, Difference, export, load, read
from registry.models import Alias, AliasTarget, LoadedRow, Model, Provider
from registry.stamp import watch

pytestmark = pytest.mark.django_db

WEIGHTED = {"name": "fast", "strategy": "weighted", "models": ["claude-2", {"id": "gpt-4", "weight": 90}]}


def text_of(*aliases: Any, models: tuple[str, ...] = ("gpt-4", "claude-2"), **parts: Any) -> str:
    """A file with two models and these aliases."""
    return json.dumps(
        {
            "providers": [{"name": "p", "type": "echo"}],
            "models": [{"id": public_id, "provider": "p", "context_size": 100} for public_id in models],
            "aliases": aliases,
        }
        | parts
    )


def reload(text: str, *, keep_edits: bool = True, **options: bool) -> Difference:
    return load(read(text), keep_edits=keep_edits, reason="test", **options)


def lines(difference: Difference) -> list[str]:
    return [line.strip() for line in difference.lines()]


def held(name: str = "fast") -> list[tuple[str, float | None]]:
    """The models of an alias with their weights, in order."""
    return [(target.model.public_id, target.weight) for target in Alias.objects.get(name=name).targets.all()]


def test_it_works(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text_of(WEIGHTED | {"note": "a canary"}))
    out = StringIO()
    call_command("loadconfig", str(file), stdout=out)
    assert "alias fast: added" in out.getvalue().splitlines()
    alias = Alias.objects.get()
    assert (alias.name, alias.strategy, alias.enabled, alias.note) == ("fast", "weighted", True, "a canary")
    assert held() == [("claude-2", None), ("gpt-4", 90.0)]
    reasons = [record.history_change_reason for kind in (Alias, AliasTarget) for record in kind.history.all()]
    assert reasons == ["loadconfig config.json"] * 3

    version = watch.version()
    call_command("loadconfig", str(file), stdout=out)
    assert out.getvalue().splitlines()[-1] == "nothing to change"
    assert (watch.version(), AliasTarget.history.count()) == (version, 2)


CHANGED: dict[str, tuple[dict[str, Any], list[str], list[tuple[str, float | None]]]] = {
    "another weight": (
        {"models": ["claude-2", {"id": "gpt-4", "weight": 2.5}]},
        ['models: ["claude-2", {"id": "gpt-4", "weight": 90}] → ["claude-2", {"id": "gpt-4", "weight": 2.5}]'],
        [("claude-2", None), ("gpt-4", 2.5)],
    ),
    "another order": (
        {"models": [{"id": "gpt-4", "weight": 90.0}, "claude-2"]},
        ['models: ["claude-2", {"id": "gpt-4", "weight": 90}] → [{"id": "gpt-4", "weight": 90}, "claude-2"]'],
        [("gpt-4", 90.0), ("claude-2", None)],
    ),
    "one less, and another strategy": (
        {"models": ["gpt-4"], "strategy": ""},
        ['strategy: "weighted" → ""', 'models: ["claude-2", {"id": "gpt-4", "weight": 90}] → ["gpt-4"]'],
        [("gpt-4", None)],
    ),
    "none": ({"models": []}, ['models: ["claude-2", {"id": "gpt-4", "weight": 90}] → []'], []),
    "null for no weight": (
        {"models": [{"id": "claude-2", "weight": None}, {"id": "gpt-4", "weight": 90}]},
        [],
        [("claude-2", None), ("gpt-4", 90.0)],
    ),
}


@pytest.mark.parametrize("keep_edits", [True, False])
@pytest.mark.parametrize(("change", "told", "result"), CHANGED.values(), ids=CHANGED)
def test_a_change_is_told_and_made(
    change: dict[str, Any], told: list[str], result: list[tuple[str, float | None]], keep_edits: bool
) -> None:
    reload(text_of(WEIGHTED))
    text = text_of(WEIGHTED | change)
    shown = lines(reload(text, keep_edits=keep_edits, dry_run=True))
    assert held() == [("claude-2", None), ("gpt-4", 90.0)]
    assert lines(reload(text, keep_edits=keep_edits)) == shown
    assert shown[: len(told) + 1] == (["alias fast: changed", *told] if told else [shown[0]])
    assert held() == result
    assert reload(text, keep_edits=keep_edits).is_empty


def test_a_row_in_its_place_stays_the_row_that_it_is() -> None:
    reload(text_of(WEIGHTED))
    before = list(AliasTarget.objects.values_list("pk", flat=True))
    reload(text_of(WEIGHTED | {"models": ["claude-2", {"id": "gpt-4", "weight": 1}]}))
    assert list(AliasTarget.objects.values_list("pk", flat=True)) == before


def test_a_persons_models_are_kept() -> None:
    reload(text_of(WEIGHTED))
    AliasTarget.objects.filter(model__public_id="gpt-4").update(weight=10)
    difference = reload(text_of(WEIGHTED | {"strategy": "cheapest"}))
    assert (held(), Alias.objects.get().strategy) == ([("claude-2", None), ("gpt-4", 10.0)], "cheapest")
    assert lines(difference)[:3] == [
        "alias fast: changed",
        'strategy: "weighted" → "cheapest"',
        (
            'models: kept edit ["claude-2", {"id": "gpt-4", "weight": 10}]'
            ' (the file says ["claude-2", {"id": "gpt-4", "weight": 90}])'
        ),
    ]
    assert "in conflict" in " ".join(lines(reload(text_of(WEIGHTED | {"models": ["gpt-4"]}))))
    assert held() == [("claude-2", None), ("gpt-4", 10.0)]
    reload(text_of(WEIGHTED), keep_edits=False)
    assert held() == [("claude-2", None), ("gpt-4", 90.0)]


def test_prune_disables_what_the_file_does_not_name() -> None:
    reload(text_of(WEIGHTED))
    reload(text_of())
    assert Alias.objects.get().enabled
    assert "alias fast: disabled, the file does not name it" in lines(reload(text_of(), prune=True))
    assert not Alias.objects.get().enabled
    assert held() == [("claude-2", None), ("gpt-4", 90.0)]
    assert reload(text_of(), prune=True).is_empty
    reload(text_of(WEIGHTED))
    assert Alias.objects.get().enabled


# What a person deleted, what the file then says, and what is there after a load that keeps edits.
DELETED: dict[str, tuple[str, str, list[str], list[str]]] = {
    "the alias": ("fast", text_of(WEIGHTED), [], ["claude-2", "gpt-4"]),
    "the alias, and the file changes it": (
        "fast",
        text_of(WEIGHTED | {"note": "new"}),
        ["fast"],
        ["claude-2", "gpt-4"],
    ),
    "a model": ("gpt-4", text_of(WEIGHTED), ["fast"], ["claude-2"]),
    "both, and the file changes the alias, which needs its model": (
        "fast gpt-4",
        text_of(WEIGHTED | {"note": "new"}),
        ["fast"],
        ["claude-2", "gpt-4"],
    ),
}


@pytest.mark.parametrize(("deleted", "text", "aliases", "models"), DELETED.values(), ids=DELETED)
def test_what_a_person_deleted_stays_deleted(deleted: str, text: str, aliases: list[str], models: list[str]) -> None:
    reload(text_of(WEIGHTED))
    Alias.objects.filter(name__in=deleted.split()).delete()
    Model.objects.filter(public_id__in=deleted.split()).delete()
    reload(text)
    assert list(Alias.objects.values_list("name", flat=True)) == aliases
    assert list(Model.objects.values_list("public_id", flat=True)) == models
    if aliases:
        assert [public_id for public_id, _ in held()] == models
    assert reload(text).is_empty
    reload(text, keep_edits=False)
    assert held() == [("claude-2", None), ("gpt-4", 90.0)]


FAULTS: list[tuple[Any, str]] = [
    (5, "aliases[0]: give an object"),
    ({"models": []}, "aliases[0].name: missing"),
    ({"name": "x"}, "aliases[0].models: missing"),
    ({"name": "auto", "models": []}, 'aliases[0].name: "auto" is how a caller lets the router choose'),
    ({"name": "tokenhub/x", "models": []}, "aliases[0].name: Names that begin with tokenhub/ are the gateway's own."),
    ({"name": "gpt-4", "models": []}, 'aliases[0].name: "gpt-4" is the id of models[0]'),
    (WEIGHTED | {"strategie": 1}, 'aliases[0].strategie: unknown field; did you mean "strategy"?'),
    (
        WEIGHTED | {"strategy": "weihgted"},
        "aliases[0].strategy: Value 'weihgted' is not a valid choice; did you mean \"weighted\"?",
    ),
    (WEIGHTED | {"enabled": 1}, "aliases[0].enabled: give true or false, not a number"),
    (WEIGHTED | {"models": "gpt-4"}, "aliases[0].models: give a list of ids, not a text"),
    (WEIGHTED | {"models": [7]}, "aliases[0].models[0]: give an object"),
    (WEIGHTED | {"models": ["gtp-4"]}, 'aliases[0].models[0]: no model has the id "gtp-4"; did you mean "gpt-4"?'),
    (
        WEIGHTED | {"models": ["gpt-4", {"id": "claude"}]},
        'aliases[0].models[1].id: no model has the id "claude"; did you mean "claude-2"?',
    ),
    (
        WEIGHTED | {"models": ["gpt-4", {"id": "gpt-4", "weight": 1}]},
        'aliases[0].models[1].id: "gpt-4" is already named by aliases[0].models[0]',
    ),
    (WEIGHTED | {"models": [{"weight": 1}]}, "aliases[0].models[0].id: missing"),
    (
        WEIGHTED | {"models": [{"id": "gpt-4", "wieght": 1}]},
        'aliases[0].models[0].wieght: unknown field; did you mean "weight"?',
    ),
    (
        WEIGHTED | {"models": [{"id": "gpt-4", "weight": "1"}]},
        "aliases[0].models[0].weight: give a number, not a text",
    ),
    (
        WEIGHTED | {"models": [{"id": "gpt-4", "weight": -1}]},
        "aliases[0].models[0].weight: Ensure this value is greater than or equal to 0.",
    ),
]


@pytest.mark.parametrize(("alias", "fault"), FAULTS, ids=lambda value: str(value)[:60])
def test_a_fault_is_told_with_its_place(alias: Any, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(text_of(alias))
    with pytest.raises(CommandError) as error:
        call_command("loadconfig", str(file))
    (found,) = str(error.value).splitlines()[1:]
    assert found.strip().startswith(fault)
    assert not any(table.objects.exists() for table in (Provider, Model, Alias, LoadedRow))


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigInvalid, match=r'aliases\[1\].name: "fast" is already the name of aliases\[0\]'):
        read(text_of(WEIGHTED, WEIGHTED))
    with pytest.raises(ConfigInvalid, match="aliases: give a list"):
        read(text_of(aliases={}))


def test_a_file_and_a_row_cannot_share_a_name() -> None:
    reload(text_of(models=("gpt-4", "claude-2", "fast")))
    with pytest.raises(ConfigInvalid, match=r'aliases\[0\].name: "fast" is a model already'):
        reload(text_of(WEIGHTED))
    Model.objects.get(public_id="fast").delete()
    reload(text_of(WEIGHTED))
    with pytest.raises(ConfigInvalid, match=r'models\[2\].id: "fast" is an alias already'):
        reload(text_of(models=("gpt-4", "claude-2", "fast")), keep_edits=False)


def test_what_is_exported_loads_back_to_the_same_rows() -> None:
    reload(text_of(WEIGHTED, {"name": "off", "enabled": False, "note": "later", "models": []}))
    exported = export()
    assert exported.faults == ()
    assert json.loads(exported.text)["aliases"] == [
        WEIGHTED,
        {"name": "off", "enabled": False, "note": "later", "models": []},
    ]
    assert reload(exported.text, keep_edits=False).is_empty
    for table in (Alias, Model, Provider, LoadedRow):
        table.objects.all().delete()
    reload(exported.text)
    assert held() == [("claude-2", None), ("gpt-4", 90.0)]
    assert export() == exported


def test_without_aliases_a_file_does_not_speak_of_them() -> None:
    reload(text_of())
    assert "aliases" not in json.loads(export().text)
