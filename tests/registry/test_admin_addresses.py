"""A browser cannot lead the gateway to a private or local address."""

import pytest
from django.forms import modelform_factory
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from registry.forms import ProviderFields
from registry.models import Provider
from tests.registry.browser import opened, saved
from tests.registry.rows import a_provider

pytestmark = pytest.mark.django_db

ADD = reverse("admin:registry_provider_add")


def added(client: Client, base_url: str) -> bool:
    """Whether a browser can make a provider there."""
    fields = opened(client, ADD)
    saved(client, ADD, fields, name="new", type="vllm", base_url=base_url)
    return Provider.objects.filter(name="new").exists()


def test_it_works(admin_client: Client) -> None:
    assert added(admin_client, "https://api.example.com/v1")
    assert not Provider.objects.get().may_be_private


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "0",
        "localhost",
        "LocalHost.",
        "deep.localhost",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "100.100.100.200",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fc00::1]",
        "[2002:7f00:1::]",
        "[64:ff9b::127.0.0.1]",
    ],
)
def test_a_local_address_is_refused(host: str) -> None:
    form_class = modelform_factory(Provider, ProviderFields, fields=["base_url"])
    assert "base_url" in form_class({"base_url": f"http://{host}:8000/v1"}, instance=Provider(type="vllm")).errors


def test_the_reason_is_said(admin_client: Client) -> None:
    answer = saved(admin_client, ADD, opened(admin_client, ADD), name="new", type="vllm", base_url="http://127.1")
    assert "127.0.0.1 is a private address" in answer


def test_a_listed_upstream_is_allowed_with_its_port_only(admin_client: Client, settings: Settings) -> None:
    settings.TOKENHUB_PRIVATE_UPSTREAMS = ["localhost:8000", "169.254.169.254:80"]
    assert not added(admin_client, "http://localhost:8001")
    assert not added(admin_client, "http://169.254.169.254")
    assert added(admin_client, "http://localhost:8000/v1")


def test_what_a_file_set_may_stay(admin_client: Client) -> None:
    provider = a_provider(type="vllm", base_url="http://10.0.0.1", trusted_base_url="http://10.0.0.1")
    url = reverse("admin:registry_provider_change", args=[provider.pk])
    saved(admin_client, url, opened(admin_client, url), note="edited")
    provider.refresh_from_db()
    assert (provider.note, provider.may_be_private) == ("edited", True)
    saved(admin_client, url, opened(admin_client, url), base_url="http://10.0.0.2")
    provider.refresh_from_db()
    assert provider.base_url == "http://10.0.0.1"


def test_an_address_of_a_browser_is_not_trusted(admin_client: Client) -> None:
    provider = a_provider(type="vllm", base_url="http://10.0.0.1", trusted_base_url="http://10.0.0.1")
    url = reverse("admin:registry_provider_change", args=[provider.pk])
    saved(admin_client, url, opened(admin_client, url), base_url="https://rebinding.example.com", trusted_base_url="x")
    provider.refresh_from_db()
    assert (provider.base_url, provider.may_be_private) == ("https://rebinding.example.com", False)
    assert provider.trusted_base_url == "http://10.0.0.1"


def test_an_old_version_brings_back_no_trust(admin_client: Client) -> None:
    provider = a_provider(type="vllm", base_url="http://10.0.0.1", trusted_base_url="http://10.0.0.1")
    provider.base_url = provider.trusted_base_url = "https://api.example.com"
    provider.save()
    url = reverse("admin:registry_provider_simple_history", args=[provider.pk, provider.history.last().pk])
    assert "private address" in saved(admin_client, url, opened(admin_client, url))
    provider.refresh_from_db()
    assert provider.base_url == "https://api.example.com"


def test_a_refusal_says_what_would_allow_it_and_nothing_else(admin_client: Client, settings: Settings) -> None:
    """A name is matched as it is written, so that the entry of its address does not allow it."""
    settings.TOKENHUB_PRIVATE_UPSTREAMS = ["127.0.0.1:8751"]
    for url, entry in (("http://localhost:8751/v1", "localhost:8751"), ("http://[::1]:8751", "[::1]:8751")):
        page = saved(admin_client, ADD, opened(admin_client, ADD), name="new", type="vllm", base_url=url)
        assert f"the entry for this URL is {entry}" in page
        assert "needs the URL where it lives" not in page
        settings.TOKENHUB_PRIVATE_UPSTREAMS.append(entry)
        assert added(admin_client, url)
        Provider.objects.all().delete()


def test_a_url_that_is_none_is_not_missed_as_well(admin_client: Client) -> None:
    page = saved(admin_client, ADD, opened(admin_client, ADD), name="new", type="vllm", base_url="ftp://a")
    assert "begins with http://" in page
    assert "needs the URL where it lives" not in page


def test_the_place_of_a_name_is_no_name(admin_client: Client) -> None:
    fields = opened(admin_client, ADD)
    page = saved(admin_client, ADD, fields, name="new", type="openai", base_url="https://RESOURCE.openai.azure.com/v1")
    assert "name of your own resource" in page
    assert not Provider.objects.exists()
