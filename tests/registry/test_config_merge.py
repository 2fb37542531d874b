"""With --keep-edits a load keeps what people changed and deleted since the last load, field by field."""

import json
from decimal import Decimal
from typing import Any

import pytest

from registry.config import Difference, load, read
from registry.models import LoadedRow, Model, Provider
from vault.models import Secret

pytestmark = pytest.mark.django_db


def text_of(provider: dict[str, Any] | None = None, **model: Any) -> str:
    """A file with one provider and one model."""
    return json.dumps(
        {
            "providers": [{"name": "p", "type": "echo"} | (provider or {})],
            "models": [{"id": "m", "provider": "p", "context_size": 100} | model],
        }
    )


def reload(text: str, *, keep_edits: bool = True) -> Difference:
    return load(read(text), keep_edits=keep_edits, reason="test")


def lines(difference: Difference) -> list[str]:
    return [line.strip() for line in difference.lines()]


def test_it_works() -> None:
    reload(text_of(weight=80, cost_per_1k=0.01))
    Model.objects.update(weight=95)
    difference = reload(text_of(weight=80, cost_per_1k=0.02))
    model = Model.objects.get()
    assert (model.weight, float(model.cost_per_1k)) == (95.0, 0.02)
    assert lines(difference) == [
        "model m: changed",
        "weight: kept edit 95 (the file says 80)",
        "cost_per_1k: 0.01 → 0.02",
        "unchanged: provider p",
    ]


A, B, C = 1.0, 2.0, 3.0
KEPT, CONFLICT, TAKEN = (
    "kept edit {now} (the file says {said})",
    "kept edit {now}, in conflict with the file's new {said}",
    "{now} → {said}",
)


@pytest.mark.parametrize(
    ("base", "now", "said", "result", "told"),
    [
        (A, A, A, A, None),
        (A, A, B, B, TAKEN),
        (A, B, A, B, KEPT),
        (A, B, B, B, None),
        (A, B, C, B, CONFLICT),
        (None, A, A, A, None),
        (None, A, B, A, KEPT),
    ],
)
def test_a_field_is_merged_three_ways(
    base: float | None, now: float, said: float, result: float, told: str | None
) -> None:
    reload(text_of(weight=now if base is None else base))
    if base is None:
        LoadedRow.objects.all().delete()
    Model.objects.update(weight=now)
    difference = reload(text_of(weight=said))
    assert Model.objects.get().weight == result
    expected = f"weight: {told.format(now=int(now), said=int(said))}" if told else None
    assert [line for line in lines(difference) if line.startswith("weight")] == ([expected] if expected else [])
    assert difference.is_empty == (told is not TAKEN)

    again = reload(text_of(weight=said))
    assert again.is_empty, "what was merged stays merged"
    assert Model.objects.get().weight == result
    reload(text_of(weight=said), keep_edits=False)
    assert Model.objects.get().weight == said


def test_every_field_is_merged_by_itself() -> None:
    reload(text_of({"note": "old"}, aliases=["a"], max_output_tokens=10))
    Provider.objects.update(note="a person's", connect_timeout=9)
    Model.objects.update(enabled=False, input_per_1k=1)
    reload(text_of({"note": "old", "extra_headers": {"X": "y"}}, aliases=["b"]))
    provider, model = Provider.objects.get(), Model.objects.get()
    assert (provider.note, provider.connect_timeout, provider.extra_headers) == ("a person's", 9.0, {"X": "y"})
    assert (model.enabled, model.input_per_1k) == (False, Decimal(1))
    assert (model.aliases, model.max_output_tokens) == (["b"], None)


def test_a_row_that_no_file_has_named_is_a_persons() -> None:
    provider = Provider.objects.create(name="p", type="openai", note="by hand", connect_timeout=1)
    difference = reload(text_of({"type": "openai", "api_key_env": "A_KEY"}))
    provider.refresh_from_db()
    assert (provider.note, provider.connect_timeout) == ("by hand", 1.0)
    assert provider.secret is not None, "to give a key where there is none overrides nobody"
    assert [row.status.name for row in difference.rows] == ["CHANGED", "ADDED"]


def test_a_field_younger_than_the_last_load_is_the_files() -> None:
    reload(text_of())
    loaded = LoadedRow.objects.get(kind="model")
    del loaded.values["max_output_tokens"]
    loaded.save()
    reload(text_of(max_output_tokens=5))
    assert Model.objects.get().max_output_tokens == 5


# What a person deleted, what the file then says, and what is there after a load that keeps edits.
DELETED = {
    "nothing": ([], text_of(), ["p", "m"]),
    "a model": (["m"], text_of(), ["p"]),
    "a model that the file changes": (["m"], text_of(weight=7), ["p", "m"]),
    "both": (["m", "p"], text_of(), []),
    "both, and the file changes the provider": (["m", "p"], text_of({"note": "new"}), ["p"]),
    "both, and the file changes the model, which needs its provider": (["m", "p"], text_of(weight=7), ["p", "m"]),
}


@pytest.mark.parametrize(("deleted", "text", "present"), DELETED.values(), ids=DELETED)
def test_a_row_that_a_person_deleted_stays_deleted(deleted: list[str], text: str, present: list[str]) -> None:
    reload(text_of())
    Model.objects.filter(public_id__in=deleted).delete()
    Provider.objects.filter(name__in=deleted).delete()
    difference = reload(text)
    names = [*Provider.objects.values_list("name", flat=True), *Model.objects.values_list("public_id", flat=True)]
    assert names == present
    left = [row.name for row in difference.rows if row.status.value == "left deleted"]
    assert sorted(left) == sorted({"p", "m"} - set(present))
    assert reload(text).is_empty
    assert not reload(text, keep_edits=False).is_empty or len(present) == 2
    assert (Provider.objects.count(), Model.objects.count()) == (1, 1)


def test_a_deleted_row_is_new_again_after_the_file_had_dropped_it() -> None:
    alone = '{"providers": [{"name": "p", "type": "echo"}]}'
    reload(text_of())
    Model.objects.all().delete()
    reload(alone)
    reload(text_of())
    assert Model.objects.exists()


def test_a_row_that_the_file_drops_keeps_its_base() -> None:
    alone = '{"providers": [{"name": "p", "type": "echo"}]}'
    reload(text_of(weight=1))
    Model.objects.update(context_size=5)
    reload(alone)
    reload(text_of(weight=2))
    model = Model.objects.get()
    assert (model.weight, model.context_size) == (2.0, 5)


def test_a_model_that_a_person_moved_stays_moved() -> None:
    reload(text_of())
    Model.objects.update(provider=Provider.objects.create(name="other", type="echo"))
    difference = reload(text_of())
    assert Model.objects.get().provider.name == "other"
    assert 'provider: kept edit "other" (the file says "p")' in lines(difference)
    reload(text_of(), keep_edits=False)
    assert Model.objects.get().provider.name == "p"


def test_a_renamed_provider_is_not_brought_back() -> None:
    reload(text_of())
    Provider.objects.update(name="renamed")
    reload(text_of())
    assert [provider.name for provider in Provider.objects.all()] == ["renamed"]


def test_trust_follows_the_file_and_not_the_person() -> None:
    first, second = "http://10.0.0.1", "http://10.0.0.2"
    reload(text_of({"base_url": first}))
    Provider.objects.update(base_url="http://10.0.0.9")
    reload(text_of({"base_url": second}))
    provider = Provider.objects.get()
    assert (provider.base_url, provider.trusted_base_url) == ("http://10.0.0.9", second)
    assert not provider.may_be_private


def test_an_address_that_a_person_gave_first_is_trusted_once_the_file_gives_it() -> None:
    Provider.objects.create(name="p", type="echo", base_url="http://10.0.0.1")
    assert not Provider.objects.get().may_be_private
    reload(text_of({"base_url": "http://10.0.0.1"}))
    assert Provider.objects.get().may_be_private


def test_trust_that_was_lost_comes_back_with_the_file() -> None:
    reload(text_of({"base_url": "http://10.0.0.1"}))
    Provider.objects.update(trusted_base_url="")
    reload(text_of({"base_url": "http://10.0.0.1"}))
    assert Provider.objects.get().may_be_private


STORED, OTHER = {"api_key": "sk-one"}, {"api_key": "sk-two"}
REFERS, ELSEWHERE = {"api_key_env": "ONE_KEY"}, {"api_key_env": "TWO_KEY"}
OPENAI = {"type": "openai"}


def resolved() -> str:
    """What the provider's secret holds: the text, or the name of the variable."""
    secret = Provider.objects.get().secret
    return "" if secret is None else secret.env_name or secret.value


# base, what a person attaches (None: nothing is touched), what the file says next, and what is there afterwards
KEYS = [
    (REFERS, None, REFERS, "ONE_KEY"),
    (REFERS, None, ELSEWHERE, "TWO_KEY"),
    (REFERS, None, STORED, "sk-one"),
    (REFERS, None, {}, "ONE_KEY"),
    (REFERS, "sk-mine", REFERS, "sk-mine"),
    (REFERS, "sk-mine", ELSEWHERE, "sk-mine"),
    (REFERS, "sk-mine", STORED, "sk-mine"),
    (REFERS, "", REFERS, ""),
    (REFERS, "", ELSEWHERE, ""),
    (STORED, None, STORED, "sk-one"),
    (STORED, None, OTHER, "sk-two"),
    (STORED, None, REFERS, "ONE_KEY"),
    (STORED, None, {}, "sk-one"),
    (STORED, "sk-mine", STORED, "sk-mine"),
    (STORED, "sk-mine", OTHER, "sk-mine"),
    (STORED, "sk-two", OTHER, "sk-two"),
    (STORED, "", STORED, ""),
    ({}, None, REFERS, "ONE_KEY"),
    ({}, None, STORED, "sk-one"),
    ({}, "sk-mine", REFERS, "sk-mine"),
    ({}, "sk-mine", {}, "sk-mine"),
]


@pytest.mark.parametrize(("base", "attached", "said", "result"), KEYS)
def test_a_key_is_merged_three_ways(
    base: dict[str, str], attached: str | None, said: dict[str, str], result: str
) -> None:
    reload(text_of(OPENAI | base))
    if attached is not None:
        Provider.objects.update(secret=Secret.objects.create(name="mine", value=attached) if attached else None)
    reload(text_of(OPENAI | said))
    assert resolved() == result
    assert reload(text_of(OPENAI | said)).is_empty
    assert resolved() == result
    reload(text_of(OPENAI | said), keep_edits=False)
    assert resolved() == (said.get("api_key") or said.get("api_key_env") or result)


def test_a_key_that_the_file_stops_giving_has_a_base_when_it_is_given_again() -> None:
    reload(text_of(OPENAI | REFERS))
    reload(text_of(OPENAI))
    reload(text_of(OPENAI | ELSEWHERE))
    assert resolved() == "TWO_KEY"
