"""An alias names a group of models: what it may be called, what the picture says of it, and who is asked first."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection

from registry.models import Alias, AliasTarget, Model, Strategy
from registry.snapshot import AliasFacts, Keeper, Snapshot, read_picture
from registry.stamp import watch
from tests.facts import model_facts
from tests.registry.rows import a_model, a_provider, an_alias

pytestmark = pytest.mark.django_db


def picture() -> Snapshot:
    """The picture as it is now, without faults."""
    found, faults = read_picture()
    assert not faults
    return found


def ids(snapshot: Snapshot, name: str) -> list[str]:
    """The ids of the models of that name."""
    return [model.id for model in snapshot.named(name)]


def raw(statement: str, *values: Any) -> None:
    """Run a statement past the ORM and its validators."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_it_works() -> None:
    old, new = a_model("old"), a_model("new")
    alias = an_alias("fast", (old, 95.0), new, strategy="weighted")
    seen = picture()
    assert seen.aliases == {"fast": seen.alias("fast")}
    assert seen.alias("fast") == AliasFacts(
        "fast", Strategy.WEIGHTED, ((seen.named("old")[0], 95.0), (seen.named("new")[0], None)), alias.pk
    )
    assert ids(seen, "fast") == ["old", "new"]
    assert seen.names == ["fast", "new", "old"]
    assert str(AliasTarget.objects.get(model=old)) == "fast: old"


def test_a_name_is_an_id_then_an_alias_then_a_short_form() -> None:
    models = [a_model(name, aliases=["mine", "both", "a"]) for name in ("b", "a")]
    an_alias("both", models[0])
    Alias.objects.bulk_create([Alias(name="b")])
    Alias.objects.get(name="b").targets.create(model=models[1])
    seen = picture()
    assert [ids(seen, name) for name in ("a", "b", "both", "mine", "none")] == [["a"], ["b"], ["b"], ["a", "b"], []]
    assert seen.alias("a") is seen.alias("b") is seen.alias("none") is None
    short = seen.alias("mine")
    assert short == AliasFacts("mine", None, tuple((model, None) for model in seen.models))
    assert seen.names == ["a", "b", "both", "mine"]


@pytest.mark.parametrize("close", ["disabled", "without models"])
def test_a_name_that_is_closed_exists_for_nobody(close: str) -> None:
    model = a_model(aliases=["fast"])
    an_alias("fast", *([model] if close == "disabled" else []), enabled=close != "disabled")
    seen = picture()
    assert (ids(seen, "fast"), seen.alias("fast"), seen.aliases, seen.names) == ([], None, {}, ["small"])
    Alias.objects.all().delete()
    assert ids(picture(), "fast") == ["small"]


def test_a_blank_strategy_is_none() -> None:
    an_alias("fast", a_model())
    alias = picture().alias("fast")
    assert alias and alias.strategy is None


def test_a_picture_is_made_without_rows() -> None:
    model = model_facts(id="m", aliases=("short",))
    group = AliasFacts("fast", Strategy.CHEAPEST, ((model, 1.0),))
    seen = Snapshot(1, (model,), {"fast": group})
    assert (seen.alias("fast"), seen.named("fast")) == (group, (model,))
    assert Snapshot(1, (model,)).names == ["m", "short"]
    with pytest.raises(TypeError):
        seen.aliases["other"] = group  # type: ignore[index]


BAD = {
    "the name": ("UPDATE registry_alias SET name = %s WHERE name = 'fast'", "two words"),
    "a weight": ("UPDATE registry_aliastarget SET weight = %s", float("inf")),
}


@pytest.mark.parametrize(("statement", "value"), BAD.values(), ids=BAD)
def test_a_row_gone_bad_stays_as_it_was(statement: str, value: Any) -> None:
    model = a_model()
    an_alias("fast", (model, 1), strategy="weighted")
    held = Keeper()
    before = held.current().alias("fast")
    raw(statement, value)
    an_alias("new", (a_model("other"), 2))
    Model.objects.filter(pk=model.pk).update(weight=7)
    after = held.current().alias("fast")
    assert before and after
    assert (after.strategy, after.pk) == (before.strategy, before.pk)
    assert [(facts.weight, weight) for facts, weight in after.targets] == [(7.0, 1.0)], "of models as they are now"
    assert held.current().alias("new")
    assert "alias " in held.status().fault
    Alias.objects.all().delete()
    assert (held.current().named("fast"), held.status().fault) == ((), "")


@pytest.mark.parametrize(("statement", "value"), BAD.values(), ids=BAD)
def test_a_bad_row_stays_out_of_the_first_picture(statement: str, value: Any) -> None:
    an_alias("fast", (a_model(), 1))
    raw(statement, value)
    an_alias("good", a_model("other"))
    seen, faults = read_picture()
    assert list(seen.aliases) == ["good"]
    assert len(faults) == 1


def test_a_model_that_does_not_validate_is_left_out() -> None:
    an_alias("fast", a_model("good"), a_model("bad"))
    raw("UPDATE registry_model SET capabilities = %s WHERE public_id = 'bad'", '["flying"]')
    seen, _ = read_picture()
    assert ids(seen, "fast") == ["good"]


CHANGES: dict[str, Callable[[], object]] = {
    "alias made": lambda: Alias.objects.create(name="other"),
    "alias saved": lambda: Alias.objects.get().save(),
    "alias updated": lambda: Alias.objects.update(enabled=False),
    "alias deleted": lambda: Alias.objects.all().delete(),
    "alias updated raw": lambda: raw("UPDATE registry_alias SET enabled = false"),
    "alias inserted raw": lambda: raw(
        "INSERT INTO registry_alias (name, strategy, enabled, note) VALUES ('x', '', true, '')"
    ),
    "target made": lambda: Alias.objects.get().targets.create(model=a_model("other")),
    "target updated": lambda: AliasTarget.objects.update(weight=3),
    "target deleted": lambda: AliasTarget.objects.all().delete(),
    "target updated raw": lambda: raw("UPDATE registry_aliastarget SET weight = 3"),
    "target deleted raw": lambda: raw("DELETE FROM registry_aliastarget"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_moves_the_stamp(change: Callable[[], object]) -> None:
    an_alias("fast", a_model())
    before = watch.version()
    change()
    assert watch.version() > before


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"name": ""}, "name", "cannot be blank"),
        ({"name": "auto"}, "name", "cannot be an alias"),
        ({"name": "tokenhub/mine"}, "name", "the gateway's own"),
        ({"name": "TokenHub/mine"}, "name", "the gateway's own"),
        ({"name": "two words"}, "name", "Letters, digits"),
        ({"name": "small"}, "name", "A model has this id."),
        ({"name": "fast"}, "name", "already exists"),
        ({"name": "x", "strategy": "best"}, "strategy", "not a valid choice"),
    ],
)
def test_an_alias_is_refused(fields: dict[str, Any], field: str, words: str) -> None:
    an_alias("fast", a_model("small"))
    with pytest.raises(ValidationError) as refused:
        Alias(**fields).full_clean()
    assert words in refused.value.message_dict[field][0]


def test_a_model_is_refused_the_names_of_others() -> None:
    an_alias("fast")
    fields: dict[str, Any] = {"name": "m", "context_size": 1, "provider": a_provider()}
    for public_id, words in (("fast", "An alias has this name."), ("tokenhub/x", "the gateway's own")):
        with pytest.raises(ValidationError) as refused:
            Model(public_id=public_id, **fields).full_clean()
        assert words in refused.value.message_dict["public_id"][0]
    with pytest.raises(ValidationError) as refused:
        Model(public_id="m", aliases=["tokenhub/x"], **fields).full_clean()
    assert "the gateway's own" in refused.value.message_dict["aliases"][0]
    Model(public_id="m", aliases=["fast"], **fields).full_clean()


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_is_refused(weight: float) -> None:
    with pytest.raises(ValidationError) as refused:
        AliasTarget(alias=an_alias(), model=a_model(), weight=weight).full_clean()
    assert refused.value.message_dict["weight"]


@pytest.mark.parametrize("fields", [{"name": ""}, {"name": "auto"}, {"name": "tokenhub/x"}, {"strategy": "best"}])
def test_the_database_refuses_an_alias_too(fields: dict[str, Any]) -> None:
    an_alias("fast")
    with pytest.raises(IntegrityError):
        Alias.objects.update(**fields)


def test_the_database_refuses_a_negative_weight() -> None:
    an_alias("fast", a_model())
    with pytest.raises(IntegrityError):
        AliasTarget.objects.update(weight=-1)


def test_the_database_refuses_a_model_twice() -> None:
    model = a_model()
    with pytest.raises(IntegrityError):
        an_alias("fast", model, (model, 5))


def test_a_model_that_goes_leaves_its_aliases() -> None:
    gone, stays = a_model("gone"), a_model("stays")
    an_alias("fast", gone, stays)
    gone.delete()
    assert ids(picture(), "fast") == ["stays"]
    assert [record.history_type for record in AliasTarget.history.filter(model_id=stays.pk)] == ["+"]
    assert AliasTarget.history.latest("history_id").history_type == "-"
