"""The admin's "Test this model" asks for one real token and says how it went."""

import orjson
import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from registry.models import Model, Provider
from tests.scripted import ScriptedProvider
from tests.scripted_openai import error
from tests.scripted_script import Answer, raw
from vault.models import Secret

VECTOR = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "model": "there"}

pytestmark = pytest.mark.django_db(transaction=True)


def tried(client: Client, base_url: str, *capabilities: str, **columns: str) -> str:
    provider = Provider.objects.create(
        name="p", base_url=base_url, trusted_base_url=base_url, **{"type": "vllm"} | columns
    )
    more = {"capabilities": list(capabilities)} if capabilities else {}
    model = Model.objects.create(public_id="m", name="there", provider=provider, context_size=100, **more)
    answer = client.post(reverse("gateway:test-model", args=[model.pk]), follow=True)
    assert answer.redirect_chain[-1][0] == reverse("admin:registry_model_change", args=[model.pk])
    (message,) = answer.context["messages"]
    return str(message)


def test_it_works(admin_client: Client, provider: ScriptedProvider) -> None:
    told = tried(admin_client, provider.url)
    assert told.startswith("The model m answered in ")
    assert told.endswith("as there (7 + 3 tokens).")
    assert provider.requests[-1].json["max_tokens"] == 1


@pytest.mark.parametrize(
    ("capabilities", "says", "path", "field"),
    [
        (["embedding"], raw(orjson.dumps(VECTOR)), "/v1/embeddings", "input"),
        (["completion"], None, "/v1/completions", "prompt"),
        (["completion", "chat"], None, "/v1/chat/completions", "messages"),
        (["tools"], None, "/v1/chat/completions", "messages"),
    ],
)
def test_a_model_is_asked_for_what_it_can_do(
    admin_client: Client,
    provider: ScriptedProvider,
    capabilities: list[str],
    says: Answer | None,
    path: str,
    field: str,
) -> None:
    if says:
        provider.play(says)
    assert tried(admin_client, provider.url, *capabilities).startswith("The model m answered in ")
    assert provider.requests[-1].path == path
    assert field in provider.requests[-1].json


def test_a_failure_is_told(admin_client: Client, provider: ScriptedProvider) -> None:
    provider.play(error(401, "no such key: sk-canary"))
    assert "no such key" in tried(admin_client, provider.url)


def test_a_model_that_cannot_be_called_says_why(admin_client: Client) -> None:
    secret = Secret.objects.create(name="s", env_name="NOT_SET_HERE_KEY")
    provider = Provider.objects.create(name="q", type="openai", secret=secret)
    model = Model.objects.create(public_id="m2", name="x", provider=provider, context_size=100)
    answer = admin_client.post(reverse("gateway:test-model", args=[model.pk]), follow=True)
    assert "NOT_SET_HERE_KEY" in str(next(iter(answer.context["messages"])))


def test_only_those_who_may_change_models_may_test(client: Client, provider: ScriptedProvider) -> None:
    address = reverse("gateway:test-model", args=[1])
    assert client.post(address).status_code == 302
    client.force_login(User.objects.create_user("viewer", is_staff=True))
    assert client.post(address).status_code == 403
    assert provider.requests == []


def test_a_link_tests_nothing(admin_client: Client) -> None:
    assert admin_client.get(reverse("gateway:test-model", args=[1])).status_code == 405


def test_a_model_that_is_gone_is_told(admin_client: Client) -> None:
    answer = admin_client.post(reverse("gateway:test-model", args=[4711]), follow=True)
    assert "not in the registry" in str(next(iter(answer.context["messages"])))
