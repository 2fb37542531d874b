"""What is exported loads back to the same rows, and holds no secret."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from registry.config import export, load, read
from registry.models import Capability, LoadedRow, Model, Provider, ProviderType
from registry.validators import ENDPOINTS
from vault.models import Secret

FIXTURES = Path(__file__).parents[2] / "fixtures" / "config"


@pytest.mark.django_db
def test_it_works(tmp_path: Path) -> None:
    load(read((FIXTURES / "multi-provider.json").read_text()), keep_edits=False, reason="test")
    file = tmp_path / "exported.json"
    call_command("exportconfig", output=file)
    original, exported = (json.loads(path.read_text()) for path in (FIXTURES / "multi-provider.json", file))
    del original["server"], original["vault"]
    for document in (original, exported):
        document["providers"].sort(key=lambda entry: entry["name"])
        document["models"].sort(key=lambda entry: entry["id"])
    assert exported == original


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,20}", fullmatch=True)
lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
header_names = st.from_regex(r"X-[A-Za-z0-9-]{1,10}", fullmatch=True)
header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=10).map(str.strip)
seconds = st.floats(min_value=0.001, max_value=86_400)
prices = st.decimals(min_value=0, max_value=Decimal("99999.999999999"), places=9)
counts = st.integers(min_value=1, max_value=2**31 - 1)
providers = st.fixed_dictionaries(
    {
        "type": st.sampled_from(ProviderType.values),
        "base_url": st.sampled_from(["http://localhost:8000", "https://[::1]/v1"]),
        "enabled": st.booleans(),
        "note": st.text(
            st.one_of(st.characters(exclude_categories=["Cc", "Cs"]), st.sampled_from("\n\t")), max_size=20
        ),
        "connect_timeout": seconds,
        "first_byte_timeout": seconds,
        "idle_timeout": seconds,
        "total_timeout": seconds,
        "extra_headers": st.dictionaries(header_names, header_texts, max_size=2),
        "auth_header": st.sampled_from(["", "api-key", "Authorization"]),
        "path": st.sampled_from(["", "teams/{endpoint}", "a.b/{model}/{endpoint}"]),
        "query": st.dictionaries(st.from_regex(r"v[A-Za-z0-9.-]{0,5}", fullmatch=True), header_texts, max_size=2),
        "unsupported": st.lists(
            st.sampled_from(["seed", "stream_options.include_usage", "messages[].name"]), unique=True
        ),
        "endpoints": st.lists(st.sampled_from(ENDPOINTS), unique=True),
    }
)
models = st.fixed_dictionaries(
    {
        "name": lines.filter(bool),
        "weight": st.floats(allow_nan=False, allow_infinity=False),
        "cost_per_1k": prices,
        "input_per_1k": st.none() | prices,
        "output_per_1k": st.none() | prices,
        "cache_read_per_1k": st.none() | prices,
        "cache_write_per_1k": st.none() | prices,
        "cache_write_1h_per_1k": st.none() | prices,
        "is_free": st.booleans(),
        "context_size": counts,
        "max_output_tokens": st.none() | counts,
        "rpm": st.none() | counts,
        "tpm": st.none() | counts,
        "concurrent": st.none() | counts,
        "capabilities": st.lists(st.sampled_from(Capability.values), min_size=1, unique=True),
        "aliases": st.lists(names.map("alias-{}".format), max_size=2, unique=True),
        "enabled": st.booleans(),
    }
)


def rows() -> list[dict[str, Any]]:
    """Every row as the database holds it, without its number."""
    hidden = {"id", "provider_id", "secret_id", "created_at"}
    tables = [*Provider.objects.values(), *Model.objects.values()]
    return [{name: value for name, value in row.items() if name not in hidden} for row in tables]


class RoundTrip(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(
        st.dictionaries(names, providers, min_size=1, max_size=2),
        st.dictionaries(names.filter(lambda name: name != "auto"), models, max_size=2),
        st.sampled_from(["", "A_KEY"]),
    )
    def test_what_is_exported_loads_back_to_the_same_rows(
        self, some: dict[str, dict[str, Any]], others: dict[str, dict[str, Any]], variable: str
    ) -> None:
        secret = Secret.objects.create(name="s", env_name=variable) if variable else None
        for name, fields in some.items():
            provider = Provider(name=name, secret=secret, **fields)
            provider.trusted_base_url = provider.target
            provider.save()
        for name, fields in others.items():
            Model.objects.create(public_id=name, provider=provider, **fields)
        before, exported = rows(), export()
        assert exported.faults == ()

        difference = load(read(exported.text), keep_edits=False, reason="test")
        assert difference.is_empty, "nothing changes where it came from"

        for table in (Model, Provider, Secret, LoadedRow):
            table.objects.all().delete()
        load(read(exported.text), keep_edits=False, reason="test")
        assert rows() == before
        assert export() == exported
        assert {row.secret.env_name if row.secret else "" for row in Provider.objects.all()} == {variable}


@pytest.mark.django_db
def test_an_address_from_the_admin_is_named() -> None:
    """A file is trusted, so whoever writes one from rows should know whose word it takes."""
    Provider.objects.create(name="typed", type="vllm", base_url="http://10.0.0.1")
    Provider.objects.create(name="echo", type="echo")
    err = StringIO()
    call_command("exportconfig", stdout=StringIO(), stderr=err)
    assert err.getvalue() == "warning: whoever loads this trusts addresses that were typed in the admin: typed\n"


@pytest.mark.django_db
def test_a_stored_key_is_left_out_and_kept_where_it_is() -> None:
    text = '{"providers": [{"name": "a", "type": "openai", "api_key": "sk-canary"}, {"name": "b", "type": "echo"}]}'
    load(read(text), keep_edits=False, reason="test")
    out, err = StringIO(), StringIO()
    call_command("exportconfig", stdout=out, stderr=err)
    assert err.getvalue() == "warning: stored keys are left out; elsewhere, give a key again to: a\n"
    assert json.loads(out.getvalue())["providers"] == [{"name": "a", "type": "openai"}, {"name": "b", "type": "echo"}]
    assert load(read(out.getvalue()), keep_edits=False, reason="test").is_empty
    assert Secret.objects.get().value == "sk-canary"
    assert load(read(text), keep_edits=True, reason="test").is_empty


@pytest.mark.django_db
def test_a_row_that_would_not_load_is_told() -> None:
    provider = Provider.objects.create(name="p", type="echo")
    Model.objects.create(public_id="m", name="a\x07bell", provider=provider, context_size=1)
    err = StringIO()
    call_command("exportconfig", stdout=StringIO(), stderr=err)
    assert (
        err.getvalue() == "warning: this will not load until it is mended: models[0].name: holds a control character\n"
    )


@pytest.mark.django_db
def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be written: No such file or directory"):
        call_command("exportconfig", output=tmp_path / "nowhere" / "config.json")
