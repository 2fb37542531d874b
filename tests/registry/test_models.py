"""What a provider and a model may be, in forms and in the database."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError, QuerySet
from hypothesis import given
from hypothesis import strategies as st

from registry.models import Model, Provider, validate_capabilities
from registry.validators import validate_aliases, validate_base_url, validate_extra_headers
from tests.registry.rows import a_model, a_provider

pytestmark = pytest.mark.django_db


def test_it_works() -> None:
    provider = a_provider("openai", type="openai")
    model = a_model("gpt", provider, weight=60, cost_per_1k=Decimal("0.5"))
    provider.full_clean()
    model.full_clean()
    assert model.score == 55
    assert model.capabilities == ["chat", "completion"]
    assert [str(provider), str(model)] == ["openai", "gpt"]


def test_the_listed_score_is_the_score() -> None:
    for number, (weight, cost) in enumerate(
        [(50.0, "0"), (1.5, "0.000000001"), (-3.25, "99.5"), (0.0, "12.345678901")]
    ):
        a_model(f"m{number}", weight=weight, cost_per_1k=Decimal(cost))
    scored: QuerySet[Any] = Model.objects.with_score()
    listed = list(scored.order_by("-listed_score"))
    assert [model.listed_score for model in listed] == pytest.approx([model.score for model in listed])
    assert [model.public_id for model in listed] == ["m0", "m1", "m3", "m2"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"type": "carrier-pigeon"},
        {"type": "vllm"},
        {"connect_timeout": 0},
        {"idle_timeout": -1},
        {"first_byte_timeout": float("inf")},
        {"total_timeout": 86_401},
        {"base_url": "ftp://example.com"},
        {"name": "with space"},
    ],
)
def test_a_provider_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Provider(**{"name": "p", "type": "echo", **fields}).full_clean()


@pytest.mark.parametrize(
    "fields",
    [
        {"public_id": "auto"},
        {"public_id": ""},
        {"name": ""},
        {"context_size": 0},
        {"max_output_tokens": 0},
        {"rpm": 0},
        {"tpm": 0},
        {"concurrent": 0},
        {"weight": float("nan")},
        {"cost_per_1k": Decimal(-1)},
        {"input_per_1k": Decimal("-0.1")},
        {"capabilities": []},
        {"capabilities": ["chat", "flying"]},
        {"aliases": ["auto"]},
    ],
)
def test_a_model_is_refused(fields: dict[str, Any]) -> None:
    row = {"public_id": "m", "name": "m", "context_size": 1, "provider": a_provider(), **fields}
    with pytest.raises(ValidationError):
        Model(**row).full_clean()


@pytest.mark.parametrize(
    "fields", [{"public_id": "auto"}, {"name": ""}, {"context_size": 0}, {"cost_per_1k": -1}, {"output_per_1k": -1}]
)
def test_the_database_refuses_a_model_too(fields: dict[str, Any]) -> None:
    model = a_model()
    with pytest.raises(IntegrityError):
        Model.objects.filter(pk=model.pk).update(**fields)


@pytest.mark.parametrize("fields", [{"type": "carrier-pigeon"}, {"type": "vllm"}, {"total_timeout": 0}, {"name": ""}])
def test_the_database_refuses_a_provider_too(fields: dict[str, Any]) -> None:
    provider = a_provider()
    with pytest.raises(IntegrityError):
        Provider.objects.filter(pk=provider.pk).update(**fields)


def test_a_provider_with_models_stays() -> None:
    model = a_model()
    with pytest.raises(ProtectedError):
        model.provider.delete()


def test_only_an_address_set_with_a_shell_may_be_private() -> None:
    provider = a_provider(type="vllm", base_url="http://10.0.0.1/v1", trusted_base_url="http://10.0.0.1/v1")
    edited = a_provider("edited", type="vllm", base_url="http://10.0.0.2/v1", trusted_base_url="http://10.0.0.1/v1")
    assert [each.may_be_private for each in (provider, edited, a_provider("empty"))] == [True, False, False]


def test_trust_does_not_come_back_with_an_old_version() -> None:
    provider = a_provider(type="vllm", base_url="http://10.0.0.1", trusted_base_url="http://10.0.0.1")
    provider.base_url = provider.trusted_base_url = "https://example.com"
    provider.save()
    old = provider.history.last().instance
    assert old.base_url == "http://10.0.0.1"
    assert not old.may_be_private


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "https://api.example.com",
        "https://api.example.com./v1",
        "http://[::1]:8000",
        "http://10.0.0.1",
    ],
)
def test_a_base_url_passes(url: str) -> None:
    validate_base_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "file:///etc/passwd",
        "http://",
        "http://:8000",
        "http://user:password@example.com",
        "http://example.com?key=1",
        "http://example.com#f",
        "http://example.com/ v1",
        "http://example.com:99999",
        "http://example.com:0",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://127.0.0.1\\.example.com",
        "http://127%2e0.0.1",
        "http://\uff11\uff12\uff17.0.0.1",
        "http://127\u30020\u30020\u30021",
        "http://exa\tmple.com",
        "http://169.254.169.254/",
        "http://2852039166/",
    ],
)
def test_a_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        validate_base_url(url)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        {"Authorization": "x"},
        {"X-Api-Key": "x"},
        {"Host": "x"},
        {"X A": "x"},
        {"X-A": 1},
        {"X-A": "x\r\nY: z"},
        {"X-A": "é"},
        {"X-A": " x"},
        {"X-A": "x "},
    ],
)
def test_headers_are_refused(headers: Any) -> None:
    with pytest.raises(ValidationError):
        validate_extra_headers(headers)


anything = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists) | st.dictionaries(
    st.text(), st.text()
)


@given(anything)
def test_validators_refuse_and_never_fail(value: Any) -> None:
    for validate in (validate_aliases, validate_capabilities, validate_extra_headers):
        try:
            validate(value)
        except ValidationError as error:
            assert error.messages


@given(st.text())
def test_a_url_validator_refuses_and_never_fails(text: str) -> None:
    try:
        validate_base_url(f"http://{text}")
    except ValidationError as error:
        assert error.messages


@pytest.mark.django_db
def test_a_short_name_may_not_be_the_id_of_another_model() -> None:
    """Callers of that id would get either of the two."""
    at = Provider.objects.create(name="p", type="echo")
    Model.objects.create(public_id="gpt-4", name="x", provider=at, context_size=10)
    other = Model(public_id="b", name="y", provider=at, context_size=10, aliases=["fast", "gpt-4"])
    with pytest.raises(ValidationError) as refused:
        other.full_clean()
    assert refused.value.message_dict == {"aliases": ["Another model has the id gpt-4."]}
    other.aliases = ["fast", "b"]
    other.full_clean()


@pytest.mark.django_db
def test_an_id_may_not_be_the_short_name_of_another_model() -> None:
    at = Provider.objects.create(name="p", type="echo")
    Model.objects.create(public_id="a", name="x", provider=at, context_size=10, aliases=["gpt-4"])
    with pytest.raises(ValidationError) as refused:
        Model(public_id="gpt-4", name="y", provider=at, context_size=10).full_clean()
    assert refused.value.message_dict == {"public_id": ["This is a further name of a."]}


@pytest.mark.parametrize(
    ("told", "has_price"),
    [
        ({}, False),
        ({"is_free": True}, True),
        ({"cost_per_1k": Decimal("0.1")}, True),
        ({"input_per_1k": Decimal(0)}, True),
        ({"output_per_1k": Decimal(1)}, True),
        ({"cache_read_per_1k": Decimal(1)}, False),
    ],
)
def test_a_price_that_nobody_said_is_none(told: dict[str, Any], has_price: bool) -> None:
    assert Model(public_id="m", **told).has_price == has_price
