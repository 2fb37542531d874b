"""What a row may say of how a provider differs, and what becomes of it in the picture."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection

from registry.config import ConfigInvalid, load, read, read_and_check
from registry.models import Provider
from registry.providers import ProviderType
from registry.snapshot import read_picture
from registry.validators import (
    validate_auth_header,
    validate_endpoints,
    validate_path,
    validate_query,
    validate_unsupported,
)
from tests.registry.rows import a_model, a_provider

AT = {"name": "p", "type": "openai", "base_url": "https://llm.example.com"}


@pytest.mark.django_db
def test_it_works() -> None:
    row = a_provider(
        **AT,
        auth_header="api-key",
        path="a/{model}/{endpoint}",
        query={"v": "1 2", "w": "ü"},
        unsupported=["seed"],
        limit_field="max_tokens",
        cache_control=True,
        reasoning_back="reasoning_content",
        endpoints=["chat"],
    )
    row.full_clean()
    a_model("m", row)
    (model,) = read_picture()[0].models
    facts = model.provider
    assert (facts.auth_header, facts.path, facts.query) == ("api-key", "a/{model}/{endpoint}", "v=1+2&w=%C3%BC")
    assert (facts.cache_control, facts.reasoning_back) == (True, "reasoning_content")
    assert (facts.unsupported, facts.limit_field, facts.endpoints) == (("seed",), "max_tokens", frozenset({"chat"}))


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["null", "{}", "[]", '""'])
def test_nothing_in_any_spelling_is_nothing(value: str) -> None:
    a_model("m", a_provider("p", type="vllm", base_url="https://llm.example.com"))
    with connection.cursor() as cursor:
        for column in ("query", "unsupported", "endpoints"):
            cursor.execute(f"UPDATE registry_provider SET {column} = %s", [value])
    (model,) = read_picture()[0].models
    assert (model.provider.query, model.provider.unsupported) == ("", ())
    assert model.provider.endpoints == frozenset({"chat", "completions", "embeddings"})


@pytest.mark.parametrize(
    ("kind", "base_url", "header", "endpoints"),
    [
        (ProviderType.OPENAI, "", "Authorization", {"chat", "completions", "embeddings", "responses"}),
        (
            ProviderType.OPENAI,
            "https://api.openai.com/v1/",
            "Authorization",
            {"chat", "completions", "embeddings", "responses"},
        ),
        (ProviderType.OPENAI, "https://llm.example.com", "Authorization", {"chat", "completions", "embeddings"}),
        (ProviderType.VLLM, "http://localhost:8000", "Authorization", {"chat", "completions", "embeddings"}),
        (ProviderType.ANTHROPIC, "", "x-api-key", set()),
        (ProviderType.ECHO, "", "Authorization", set()),
    ],
)
def test_a_row_that_says_nothing_is_as_its_type(
    kind: ProviderType, base_url: str, header: str, endpoints: set[str]
) -> None:
    row = Provider(name="p", type=kind, base_url=base_url)
    assert (row.key_header, row.known_endpoints) == (header, frozenset(endpoints))


@pytest.mark.parametrize(
    "value", ["api-key", "x-api-key", "X-Goog-Api-Key", "authorization", "Ocp-Apim-Subscription-Key"]
)
def test_a_header_for_keys(value: str) -> None:
    validate_auth_header(value)


@pytest.mark.parametrize("value", ["Authorization: Bearer", "two words", "Host", "cookie", "User-Agent", "a\r\nb", "é"])
def test_no_header_for_keys(value: str) -> None:
    with pytest.raises(ValidationError):
        validate_auth_header(value)


@pytest.mark.parametrize("value", ["{endpoint}", "openai/deployments/{model}/{endpoint}", "v1.2/x~{endpoint}_y"])
def test_a_path(value: str) -> None:
    validate_path(value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a/{deployment}/{endpoint}", "Unknown placeholder: {deployment}"),
        ("{model!r}/{endpoint}", "Unknown placeholder: {model!r}"),
        ("{}/{endpoint}", "Unknown placeholder: {}"),
        ("a/{model}", "where {endpoint} stands"),
        *[
            (value, "Give a path such as")
            for value in (
                "/{endpoint}",
                "{endpoint}/",
                "a//{endpoint}",
                "../{endpoint}",
                "a/./{endpoint}",
                "{endpoint}?x=1",
                "{endpoint}#x",
                "a\\{endpoint}",
                "{{endpoint}}",
                "%2e%2e/{endpoint}",
                "@evil.example.com/{endpoint}",
                "a b/{endpoint}",
            )
        ],
    ],
)
def test_no_path(value: str, told: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        validate_path(value)
    assert told in invalid.value.messages[0]


@pytest.mark.parametrize(
    "value",
    [[], "a=b", {"a": 1}, {"a": {"b": "c"}}, {"a b": "c"}, {"": "c"}, {"a": "b\nc"}, {"Key": "x"}, {"a": "b" * 500}],
)
def test_no_query(value: Any) -> None:
    with pytest.raises(ValidationError):
        validate_query(value)


@pytest.mark.parametrize(
    "value", [{}, "seed", [1], ["a", "a"], ["a b"], ["a."], ["a[]"], ["a..b"], ["[]"], ["messages"], ["a" * 65], ["é"]]
)
def test_no_fields(value: Any) -> None:
    with pytest.raises(ValidationError):
        validate_unsupported(value)


@pytest.mark.parametrize("value", [{}, "chat", ["chats"], ["chat", "chat"]])
def test_no_endpoints(value: Any) -> None:
    with pytest.raises(ValidationError):
        validate_endpoints(value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"base_url": "", "auth_header": "api-key"}, "base_url"),
        ({"base_url": "", "path": "a/{endpoint}"}, "base_url"),
        ({"base_url": "", "query": {"a": "b"}}, "base_url"),
        ({"type": "anthropic", "limit_field": "max_tokens"}, "limit_field"),
        ({"limit_field": "n_predict"}, "limit_field"),
        ({"type": "anthropic", "cache_control": True}, "cache_control"),
        ({"type": "anthropic", "reasoning_back": "reasoning_content"}, "reasoning_back"),
        ({"reasoning_back": "aloud"}, "reasoning_back"),
        ({"auth_header": "Api-Key", "extra_headers": {"api-key": "x"}}, "extra_headers"),
        ({"auth_header": "api-key", "extra_headers": [1]}, "extra_headers"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as invalid:
        Provider(**AT | fields).full_clean(validate_unique=False, validate_constraints=False)
    assert set(invalid.value.error_dict) == {field}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "", "auth_header": "api-key"},
        {"base_url": "", "path": "x"},
        {"limit_field": "x"},
        {"reasoning_back": "x"},
    ],
)
def test_the_database_refuses_them_too(fields: dict[str, str]) -> None:
    with pytest.raises(IntegrityError):
        Provider.objects.create(**AT | fields)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ('"auth_header": "Host"', "providers[0].auth_header: The header Host is not one for keys."),
        ('"path": "{x}/{endpoint}"', "providers[0].path: Unknown placeholder: {x}. Known: {model}, {endpoint}."),
        ('"query": {"a": 1}', "providers[0].query: give a text, not a number"),
        ('"query": {"token": "x"}', "providers[0].query: The name token is one of a secret"),
        ('"unsupported": ["model"]', "providers[0].unsupported: No request goes without model."),
        ('"unsupported": "seed"', "providers[0].unsupported: give a list of texts, not a text"),
        (
            '"limit_field": "max_token"',
            "providers[0].limit_field: Value 'max_token' is not a valid choice; did you mean",
        ),
        (
            '"reasoning_back": "reasoning_contents"',
            "providers[0].reasoning_back: Value 'reasoning_contents' is not a valid choice; did you mean",
        ),
        ('"endpoints": ["chats"]', "providers[0].endpoints: Unknown: chats."),
    ],
)
def test_a_file_names_the_field_at_fault(fields: str, fault: str) -> None:
    with pytest.raises(ConfigInvalid) as invalid:
        read_and_check(f'{{"providers": [{{"name": "p", "type": "vllm", "base_url": "http://x", {fields}}}]}}')
    assert [str(found)[: len(fault)] for found in invalid.value.faults] == [fault]


@pytest.mark.django_db
def test_a_file_trusts_a_query_in_any_order() -> None:
    """PostgreSQL keeps names in an order of its own: shorter ones first."""
    entry = (
        '{"name": "p", "type": "vllm", "base_url": "http://10.0.0.1", "query": {"version": "1", "b": "2", "a": "3"}}'
    )
    for _ in range(2):
        load(read(f'{{"providers": [{entry}]}}'), keep_edits=False, reason="test")
        row = Provider.objects.get()
        assert (row.may_be_private, row.encoded_query) == (True, "a=3&b=2&version=1")
    assert load(read(f'{{"providers": [{entry}]}}'), keep_edits=False, reason="test").is_empty


@pytest.mark.django_db
def test_a_file_trusts_a_private_address_with_its_path() -> None:
    text = '{"providers": [{"name": "p", "type": "vllm", "base_url": "http://10.0.0.1", "path": "v2/{endpoint}"}]}'
    load(read(text), keep_edits=False, reason="test")
    row = Provider.objects.get()
    assert row.may_be_private
    row.path = "admin/{endpoint}"
    row.save()
    load(read(text), keep_edits=True, reason="test")
    row.refresh_from_db()
    assert (row.path, row.may_be_private) == ("admin/{endpoint}", False)
