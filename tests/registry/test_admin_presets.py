"""The page of a new provider begins with a preset, and what differs leads no key and no call astray."""

import html
import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import reverse

from registry.models import Provider
from registry.presets import PRESETS
from tests.registry.browser import opened, saved
from tests.registry.rows import a_provider, a_secret

pytestmark = pytest.mark.django_db

ADD = reverse("admin:registry_provider_add")
KEY = "sk-canary-0123456789"
AZURE = "https://mine.openai.azure.com"


def added(client: Client, **fields: Any) -> str:
    """Add a provider called new as a browser would; the page that follows."""
    return saved(client, ADD, opened(client, ADD), name="new", **fields)


def edited(client: Client, provider: Provider, **changes: Any) -> str:
    """Change a provider as a browser would; the page that follows."""
    url = reverse("admin:registry_provider_change", args=[provider.pk])
    page = saved(client, url, opened(client, url), **changes)
    provider.refresh_from_db()
    assert KEY not in page
    return page


def test_it_works(admin_client: Client) -> None:
    added(admin_client, preset="mistral")
    row = Provider.objects.get()
    assert {name: getattr(row, name) for name in PRESETS["mistral"].fields} == PRESETS["mistral"].fields


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_applied_without_a_script(admin_client: Client, name: str) -> None:
    preset = PRESETS[name]
    address = preset.lives_at.replace("RESOURCE", "mine")
    if preset.fields["type"] == "vllm":
        address = "https://llm.example.com/v1"  # a browser may not lead anywhere private
    added(admin_client, preset=name, base_url=address)
    row = Provider.objects.get()
    expected = {**preset.fields, **({"base_url": address} if address else {})}
    assert {field: getattr(row, field) for field in expected} == expected


def test_what_is_filled_in_already_stays(admin_client: Client) -> None:
    added(
        admin_client,
        preset="groq",
        type="vllm",
        unsupported="seed , user",
        query='{"v": "1"}',
        limit_field="max_tokens",
    )
    row = Provider.objects.get()
    assert (row.type, row.unsupported, row.query, row.limit_field) == (
        "vllm",
        ["seed", "user"],
        {"v": "1"},
        "max_tokens",
    )
    assert (row.base_url, row.endpoints) == (PRESETS["groq"].fields["base_url"], ["chat", "responses"])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"preset": "gorq"}, "Select a valid choice"),
        ({"preset": ""}, "This field is required"),
        ({"preset": "azure"}, "give the URL where it lives"),
        ({"preset": "ollama"}, "127.0.0.1 is a private address"),
        ({"preset": "groq", "path": "{deployment}/{endpoint}"}, "Unknown placeholder: {deployment}"),
        ({"preset": "groq", "unsupported": "model"}, "No request goes without model"),
        ({"preset": "groq", "endpoints": "chats"}, "Unknown: chats"),
        ({"preset": "anthropic", "limit_field": "max_tokens"}, "has one field for the limit only"),
    ],
)
def test_what_is_wrong_is_said(admin_client: Client, fields: dict[str, str], told: str) -> None:
    assert told in html.unescape(added(admin_client, **fields))
    assert not Provider.objects.exists()


def test_the_script_gets_every_preset(admin_client: Client) -> None:
    page = admin_client.get(ADD).content.decode()
    (data,) = re.findall(r'data-presets="([^"]*)"', page)
    told = json.loads(html.unescape(data))
    assert {name: set(texts) for name, texts in told.items()} == {
        name: set(preset.fields) for name, preset in PRESETS.items()
    }
    assert told["groq"]["unsupported"] == "logprobs, top_logprobs, logit_bias, messages[].name"
    assert json.loads(told["azure-deployments"]["query"]) == {"api-version": "2024-10-21"}
    for field in {field for texts in told.values() for field in texts}:
        assert f'id="id_{field}"' in page
    assert "registry/presets.js" in page
    assert finders.find("registry/presets.js")


def test_a_provider_that_is_there_offers_none(admin_client: Client) -> None:
    provider = a_provider("ours", type="vllm", base_url="https://llm.example.com", unsupported=["seed"])
    page = admin_client.get(reverse("admin:registry_provider_change", args=[provider.pk])).content.decode()
    assert "data-presets" not in page
    edited(admin_client, provider, preset="groq", note="edited", query="", unsupported="")
    assert (provider.note, provider.unsupported, provider.query) == ("edited", [], {})
    assert (provider.type, provider.base_url) == ("vllm", "https://llm.example.com")


def test_another_header_is_given_no_key_unless_by_somebody_who_knows_it(admin_client: Client) -> None:
    """A service may show the headers that are not meant for keys to others."""
    ours = a_provider("ours", type="vllm", base_url="https://llm.example.com", secret=a_secret("ours", KEY))
    assert "enter it once more" in edited(admin_client, ours, auth_header="X-Title")
    assert "enter it once more" in edited(admin_client, ours, type="anthropic")
    assert (ours.auth_header, ours.type) == ("", "vllm")
    edited(admin_client, ours, auth_header="authorization", note="the same")
    assert (ours.auth_header, ours.note) == ("authorization", "the same")
    edited(admin_client, ours, auth_header="api-key", key_again=KEY)
    assert ours.auth_header == "api-key"


def test_an_old_version_brings_no_key_back_to_an_old_header(admin_client: Client) -> None:
    ours = a_provider("ours", type="vllm", base_url=AZURE, auth_header="X-Title", secret=a_secret("ours", KEY))
    ours.auth_header = "api-key"
    ours.save()
    url = reverse("admin:registry_provider_simple_history", args=[ours.pk, ours.history.last().pk])
    assert "enter it once more" in saved(admin_client, url, opened(admin_client, url))


def test_a_preset_leads_no_key_to_its_address(admin_client: Client) -> None:
    secret = a_secret("ours", KEY)
    assert "enter it once more" in added(admin_client, preset="groq", secret=str(secret.pk))
    added(admin_client, preset="groq", secret=str(secret.pk), key_again=KEY)
    assert Provider.objects.get().secret == secret


def test_the_public_address_is_known_for_the_usual_header_only(admin_client: Client) -> None:
    secret = a_secret("ours", KEY)
    url = "https://api.openai.com/v1"
    asked = {"type": "openai", "base_url": url, "secret": str(secret.pk)}
    assert "enter it once more" in added(admin_client, auth_header="X-Title", **asked)
    added(admin_client, **asked)
    assert Provider.objects.get().base_url == url


def test_a_path_and_a_query_lead_no_key_away(admin_client: Client) -> None:
    ours = a_provider("ours", type="vllm", base_url="https://llm.example.com", secret=a_secret("ours", KEY))
    edited(admin_client, ours, path="v2/{endpoint}", query='{"v": "2"}')
    assert (ours.path, ours.query) == ("v2/{endpoint}", {"v": "2"})


@pytest.mark.parametrize(
    "changes",
    [{"path": "admin/{endpoint}"}, {"path": ""}, {"query": '{"v": "2"}'}, {"query": ""}, {"path": "", "query": ""}],
)
def test_a_private_address_is_allowed_with_its_own_path_only(admin_client: Client, changes: dict[str, str]) -> None:
    ours = a_provider("ours", type="vllm", base_url="http://10.0.0.1", path="v2/{endpoint}", query={"v": "1"})
    ours.trusted_base_url = ours.target
    ours.save()
    assert ours.may_be_private
    assert "only with the path and the query" in edited(admin_client, ours, **changes)
    assert ours.may_be_private
    edited(admin_client, ours, note="edited", auth_header="api-key")
    assert (ours.note, ours.auth_header, ours.may_be_private) == ("edited", "api-key", True)


def test_a_name_loses_its_trust_with_its_path(admin_client: Client) -> None:
    """What a name leads to is seen when it is called, and judged by this."""
    ours = a_provider("ours", type="vllm", base_url="http://llm.internal", trusted_base_url="http://llm.internal")
    seen = [ours.may_be_private]
    for path in ("admin/{endpoint}", ""):
        edited(admin_client, ours, path=path)
        seen.append(ours.may_be_private)
    assert seen == [True, False, True]


def test_a_listed_address_takes_any_path(admin_client: Client, settings: Any) -> None:
    settings.TOKENHUB_PRIVATE_UPSTREAMS = ["10.0.0.1:80"]
    added(admin_client, type="vllm", base_url="http://10.0.0.1", path="a/{endpoint}")
    assert Provider.objects.get().path == "a/{endpoint}"
