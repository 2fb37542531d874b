"""A browser leads no key to an address to which it was not sent before, unless its user knows the key."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from registry.models import Provider
from tests.registry.browser import Fields, opened, saved
from tests.registry.rows import a_provider, a_reference, a_secret
from vault.models import Secret

pytestmark = pytest.mark.django_db

KEY = "sk-canary-0123456789"
ELSEWHERE = "https://collector.example.net/v1"
ADD = reverse("admin:registry_provider_add")


@pytest.fixture
def ours() -> Provider:
    """A provider with a key and an address of its own."""
    return a_provider("ours", type="vllm", base_url="https://llm.example.com/v1", secret=a_secret("ours", KEY))


def browser_of(name: str, *codenames: str) -> Client:
    """The browser of somebody with these permissions only."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator() -> Client:
    """The browser of somebody who may edit providers and has no business in the vault."""
    return browser_of("operator", "view_provider", "add_provider", "change_provider")


def edited(client: Client, ours: Provider, seen: Fields | None = None, **changes: Any) -> str:
    """Change a provider as a browser would; the page that follows."""
    url = reverse("admin:registry_provider_change", args=[ours.pk])
    page = saved(client, url, seen or opened(client, url), **changes)
    ours.refresh_from_db()
    assert KEY not in page
    return page


def test_it_works(admin_client: Client, ours: Provider) -> None:
    assert "enter it once more" in edited(admin_client, ours, base_url=ELSEWHERE)
    assert ours.base_url == "https://llm.example.com/v1"
    edited(admin_client, ours, base_url=ELSEWHERE, key_again=KEY)
    assert ours.base_url == ELSEWHERE


@pytest.mark.parametrize(
    "url",
    [
        "http://llm.example.com/v1",
        "https://llm.example.com:8443/v1",
        "http://llm.example.com:443/v1",
        "https://llm.example.com.evil.example/v1",
    ],
)
def test_another_scheme_or_port_is_another_address(admin_client: Client, ours: Provider, url: str) -> None:
    assert "enter it once more" in edited(admin_client, ours, base_url=url, key_again="sk-guessed")
    assert ours.base_url == "https://llm.example.com/v1"


def test_another_path_is_not(admin_client: Client, ours: Provider) -> None:
    edited(admin_client, ours, base_url="https://LLM.example.com:443/other", note="moved")
    assert (ours.base_url, ours.note) == ("https://LLM.example.com:443/other", "moved")


def test_everything_else_can_be_edited(admin_client: Client, ours: Provider) -> None:
    edited(admin_client, ours, note="edited", enabled=None)
    assert (ours.note, ours.enabled) == ("edited", False)


def test_a_key_that_the_page_does_not_speak_of_is_led_nowhere(admin_client: Client, ours: Provider) -> None:
    """Edits merge with the row as it is: a form that claims to have seen no key still gets the row's."""
    url = reverse("admin:registry_provider_change", args=[ours.pk])
    seen = opened(admin_client, url) | {"secret": [""], "initial-secret": [""]}
    assert "enter it once more" in edited(admin_client, ours, seen, base_url=ELSEWHERE)
    assert ours.base_url == "https://llm.example.com/v1"


def test_a_new_provider_needs_the_key_for_an_address_of_its_own(admin_client: Client, ours: Provider) -> None:
    fields = {"name": "new", "type": "openai", "secret": str(ours.secret_id)}
    page = saved(admin_client, ADD, opened(admin_client, ADD), base_url=ELSEWHERE, **fields)
    assert "enter it once more" in page
    assert not Provider.objects.filter(name="new").exists()
    saved(admin_client, ADD, opened(admin_client, ADD), base_url="", **fields)
    assert Provider.objects.get(name="new").secret == ours.secret


def test_another_key_is_not_led_to_an_address_that_is_there(admin_client: Client, ours: Provider) -> None:
    other = a_secret("other", "sk-canary-other")
    assert "enter it once more" in edited(admin_client, ours, secret=str(other.pk))
    assert ours.secret != other
    edited(admin_client, ours, secret=str(other.pk), key_again=" sk-canary-other ")
    assert ours.secret == other


def test_a_key_that_cannot_be_read_is_led_nowhere(admin_client: Client, ours: Provider) -> None:
    missing = a_reference("missing", "NOT_SET_ANYWHERE_KEY")
    assert "enter it once more" in edited(admin_client, ours, secret=str(missing.pk), key_again="")


def test_an_old_version_brings_no_key_back_to_an_old_address(admin_client: Client, ours: Provider) -> None:
    ours.base_url = "https://new.example.com/v1"
    ours.save()
    url = reverse("admin:registry_provider_simple_history", args=[ours.pk, ours.history.last().pk])
    assert "enter it once more" in saved(admin_client, url, opened(admin_client, url))


def test_the_list_takes_no_address(admin_client: Client, ours: Provider) -> None:
    url = reverse("admin:registry_provider_changelist")
    fields = opened(admin_client, url, "changelist-form")
    saved(admin_client, url, fields, **{"form-0-base_url": ELSEWHERE, "form-0-enabled": None})
    ours.refresh_from_db()
    assert (ours.base_url, ours.enabled) == ("https://llm.example.com/v1", False)


def test_who_may_not_see_secrets_keeps_the_one_that_is_set(operator: Client, ours: Provider) -> None:
    other = a_secret("other", "sk-canary-other-4321")
    assert "4321" not in edited(operator, ours, note="edited", secret=str(other.pk))
    assert (ours.note, ours.secret) == ("edited", Secret.objects.get(name="ours"))
    edited(operator, ours, note="again", secret="")
    assert (ours.note, ours.secret) == ("again", Secret.objects.get(name="ours"))
    page = operator.get(reverse("admin:registry_provider_change", args=[ours.pk])).content.decode()
    assert "ours (••••6789)" in page
    assert "4321" not in page


def test_who_may_not_see_secrets_gives_none_to_a_new_provider(operator: Client, ours: Provider) -> None:
    assert "6789" not in operator.get(ADD).content.decode()
    fields = {"name": "new", "type": "openai", "secret": str(ours.secret_id)}
    saved(operator, ADD, opened(operator, ADD), **fields)
    assert Provider.objects.get(name="new").secret is None


def test_who_may_not_see_secrets_brings_none_back_from_the_history(operator: Client, ours: Provider) -> None:
    ours.secret = a_secret("newer", "sk-canary-newer-4321")
    ours.save()
    url = reverse("admin:registry_provider_simple_history", args=[ours.pk, ours.history.last().pk])
    assert "Select a valid choice" in saved(operator, url, opened(operator, url))
    ours.refresh_from_db()
    assert ours.secret.name == "newer"


def test_who_may_not_see_secrets_leads_no_key_away_either(operator: Client, ours: Provider) -> None:
    assert "enter it once more" in edited(operator, ours, base_url=ELSEWHERE)
    assert ours.base_url == "https://llm.example.com/v1"
    edited(operator, ours, base_url=ELSEWHERE, key_again=KEY)
    assert ours.base_url == ELSEWHERE


@pytest.mark.parametrize("permission", ["view_secret", "change_secret"])
def test_who_may_see_secrets_chooses_among_them(ours: Provider, permission: str) -> None:
    keeper = browser_of("keeper", "view_provider", "change_provider", permission)
    openai = a_provider("openai", type="openai")
    edited(keeper, openai, secret=str(ours.secret_id))
    assert openai.secret == ours.secret


@pytest.mark.parametrize("mine", [("known", ""), ("", "KNOWN_KEY")])
def test_a_secret_in_use_takes_no_other_variable(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, mine: tuple[str, str]
) -> None:
    """Else whoever chose the secret for a host of their own would be sent every key of the environment."""
    monkeypatch.setenv("TEAM_OPENAI_KEY", KEY)
    text, variable = mine
    secret = a_reference("mine", variable) if variable else a_secret("mine", text)
    a_provider("elsewhere", type="vllm", base_url=ELSEWHERE, secret=secret)
    url = reverse("admin:vault_secret_change", args=[secret.pk])
    assert "A provider uses this secret" in saved(
        admin_client, url, opened(admin_client, url), env_name="TEAM_OPENAI_KEY"
    )
    secret.refresh_from_db()
    assert secret.env_name == variable
    saved(admin_client, url, opened(admin_client, url), env_name="", key="sk-mine-too")
    assert Secret.objects.get().resolve().reveal() == "sk-mine-too"
