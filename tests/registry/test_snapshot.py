"""The picture says what the rows say, keeps bad rows out and keys hidden."""

from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from pytest_django.fixtures import DjangoAssertNumQueries

from registry.models import Model, Provider, ProviderType
from registry.snapshot import Keeper, Snapshot, keeper, read_picture
from registry.stamp import watch
from tests.registry.rows import a_model, a_provider, a_reference, a_secret, an_alias
from vault.models import Secret

pytestmark = pytest.mark.django_db


def picture() -> Snapshot:
    """The picture as it is now, without faults."""
    found, faults = read_picture()
    assert not faults
    return found


def raw(statement: str, *values: Any) -> None:
    """Run a statement past the ORM and its validators."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_it_works() -> None:
    provider = a_provider(
        "openai", type="openai", secret=a_secret(text="sk-0123456789abcdef"), extra_headers={"X-A": "1"}
    )
    told = {"cost_per_1k": Decimal("0.5"), "input_per_1k": Decimal("0.1"), "rpm": 60, "concurrent": 2}
    model = a_model("gpt", provider, aliases=["smart"], **told)
    seen = picture()
    (facts,) = seen.models
    assert seen.version == watch.version()
    assert (facts.pk, facts.id, facts.name, facts.score) == (model.pk, "gpt", "m", model.score)
    assert (facts.cost_per_1k, facts.input_per_1k, facts.output_per_1k) == (0.5, Decimal("0.1"), None)
    assert (facts.capabilities, facts.aliases) == (frozenset({"chat", "completion"}), ("smart",))
    assert facts.created == int(model.created_at.timestamp())
    assert facts.provider.type is ProviderType.OPENAI
    assert facts.provider.base_url == "https://api.openai.com/v1"
    assert facts.provider.key and facts.provider.key.reveal() == "sk-0123456789abcdef"
    assert facts.provider.extra_headers == (("X-A", "1"),)
    assert facts.provider.problem == ""
    assert (facts.rpm, facts.tpm, facts.concurrent) == (60, None, 2)


def test_queries_do_not_grow_with_rows(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(5):
        provider = a_provider(f"p{number}", secret=a_secret(f"s{number}"))
        an_alias(f"x{number}", (a_model(f"a{number}", provider), 1), a_model(f"b{number}", provider))
    with django_assert_num_queries(4):
        seen = picture()
    assert (len(seen.models), len(seen.aliases)) == (10, 5)


def test_models_are_sorted_and_share_their_provider() -> None:
    for name in ("b", "a", "C"):
        a_model(name)
    models = picture().models
    assert [model.id for model in models] == ["C", "a", "b"]
    assert len({id(model.provider) for model in models}) == 1


def test_a_name_is_an_id_before_it_is_an_alias() -> None:
    a_model("fast", aliases=["cheap"])
    a_model("slow", aliases=["cheap", "fast"])
    seen = picture()
    assert [model.id for model in seen.named("fast")] == ["fast"]
    assert [model.id for model in seen.named("cheap")] == ["fast", "slow"]
    assert seen.named("unknown") == ()


def test_nothing_in_it_can_be_changed() -> None:
    a_model()
    seen = picture()
    with pytest.raises(FrozenInstanceError):
        seen.models[0].weight = 1  # type: ignore[misc]


def test_the_key_is_not_in_its_text() -> None:
    a_model(provider=a_provider(secret=a_secret(text="sk-canary-0123456789")))
    assert "canary" not in repr(picture())


def test_trust_and_addresses() -> None:
    a_model(
        "own", a_provider("own", type="vllm", base_url="http://10.0.0.1/v1/", trusted_base_url="http://10.0.0.1/v1/")
    )
    a_model("edited", a_provider("edited", type="vllm", base_url="http://10.0.0.2"))
    edited, own = picture().models
    assert (own.provider.base_url, own.provider.may_be_private) == ("http://10.0.0.1/v1", True)
    assert not edited.provider.may_be_private


def test_a_needed_key_that_is_missing_is_a_problem() -> None:
    a_model("gpt", a_provider("openai", type="openai"))
    (model,) = picture().models
    assert (model.provider.key, model.provider.problem) == (None, "it needs a key and names no secret")


def test_a_variable_that_is_not_set_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    a_model("gpt", a_provider("openai", type="openai", secret=a_reference("ref", "TEAM_OPENAI_KEY")))
    assert "TEAM_OPENAI_KEY is not set" in picture().models[0].provider.problem
    monkeypatch.setenv("TEAM_OPENAI_KEY", "sk-x")
    provider = picture().models[0].provider
    assert provider.key and (provider.key.reveal(), provider.problem) == ("sk-x", "")


def test_a_key_that_does_not_open_is_a_problem() -> None:
    first, second = a_secret("first"), a_secret("second")
    a_model("gpt", a_provider("openai", type="openai", secret=second))
    raw("UPDATE vault_secret SET value = (SELECT value FROM vault_secret WHERE name = 'first') WHERE name = 'second'")
    provider = picture().models[0].provider
    assert provider.key is None
    assert provider.problem
    assert first.value not in provider.problem
    assert Secret.objects.count() == 2


BAD = {
    "capabilities are a text": ("UPDATE registry_model SET capabilities = %s", '"chat"'),
    "capabilities are an object": ("UPDATE registry_model SET capabilities = %s", '{"chat": true}'),
    "capabilities are null": ("UPDATE registry_model SET capabilities = %s", "null"),
    "capabilities are unknown": ("UPDATE registry_model SET capabilities = %s", '["flying"]'),
    "aliases are numbers": ("UPDATE registry_model SET aliases = %s", "[1, 2]"),
    "the provider's headers are a list": ("UPDATE registry_provider SET extra_headers = %s", "[1]"),
    "the provider's address is none": ("UPDATE registry_provider SET base_url = %s", "gopher://x"),
}


@pytest.mark.parametrize(("statement", "value"), BAD.values(), ids=BAD)
def test_a_bad_row_stays_out_of_the_first_picture(statement: str, value: str) -> None:
    a_model("bad", a_provider("bad"))
    good = a_provider("good")
    a_model("good", good)
    raw(f"{statement} WHERE {'name' if 'provider' in statement else 'public_id'} = 'bad'", value)
    seen, faults = read_picture()
    assert [model.id for model in seen.models] == ["good"]
    assert len(faults) == 1
    assert "bad" in faults[0]


@pytest.mark.parametrize(("statement", "value"), BAD.values(), ids=BAD)
def test_a_row_gone_bad_stays_as_it_was(statement: str, value: str) -> None:
    a_model("gone", weight=3)
    held = Keeper()
    before = held.current().named("gone")
    raw(statement, value)
    a_model("new", a_provider("another"))
    assert held.current().named("gone") == before
    assert held.current().named("new")
    assert "gone" in held.status().fault
    raw("DELETE FROM registry_model WHERE public_id = 'gone'")
    assert held.current().named("gone") == ()
    assert held.status().fault == ""


@pytest.mark.parametrize("value", ["null", '""', "{}", "[]"])
def test_an_empty_list_in_any_spelling_is_empty(value: str) -> None:
    a_model()
    raw("UPDATE registry_model SET aliases = %s", value)
    raw("UPDATE registry_provider SET extra_headers = %s", value)
    (model,) = picture().models
    assert (model.aliases, model.provider.extra_headers) == ((), ())


def test_a_column_that_cannot_be_read_names_its_row() -> None:
    """SQLite takes a text for a number; PostgreSQL refuses it, and takes a number that is none instead."""
    a_model("bad")
    a_model("good")
    number = "NaN" if connection.vendor == "postgresql" else "what?"
    raw("UPDATE registry_model SET cost_per_1k = %s WHERE public_id = 'bad'", number)
    seen, faults = read_picture()
    assert [model.id for model in seen.models] == ["good"]
    assert "bad" in faults[0]


def test_a_worker_has_one_keeper() -> None:
    a_model()
    before = keeper.current()
    assert keeper.current() is before
    Provider.objects.update(enabled=False)
    assert not keeper.current().models[0].provider.enabled
    Model.objects.all().delete()
    assert keeper.current().models == ()
