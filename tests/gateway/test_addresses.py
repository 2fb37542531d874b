"""A provider is called where it may live and nowhere else, whatever its name resolves to."""

import pytest
from pytest_django.fixtures import Settings

from gateway.adapters.transport import Outgoing, Transport
from gateway.errors import Unreachable
from gateway.patience import Patience
from registry.models import ProviderType
from registry.snapshot import ProviderFacts
from tests.scripted import ScriptedProvider
from tests.scripted_script import raw, redirect


def facts(url: str, *, trusted: bool) -> ProviderFacts:
    return ProviderFacts(
        pk=1,
        name="p",
        type=ProviderType.VLLM,
        base_url=url,
        key=None,
        problem="",
        enabled=True,
        may_be_private=trusted,
        connect_timeout=1.0,
        first_byte_timeout=2.0,
        idle_timeout=2.0,
        total_timeout=5.0,
        extra_headers=(("X-Team", "search"),),
    )


def call(url: str, *, trusted: bool) -> int:
    transport = Transport()
    try:
        with transport.send(Outgoing(url, {}, b'{"a": 1}'), facts(url, trusted=trusted), Patience(5)) as reply:
            return reply.status
    finally:
        transport.close()


def test_it_works(provider: ScriptedProvider) -> None:
    provider.play(raw(b"{}"))
    assert call(provider.url, trusted=True) == 200
    assert provider.requests[-1].header("x-team") == "search"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_refused_unless_it_is_trusted(provider: ScriptedProvider, host: str) -> None:
    with pytest.raises(Unreachable, match="may not be called"):
        call(f"http://{host}:{provider.port}/", trusted=False)
    assert provider.requests == []


def test_an_allowed_host_and_port_may_be_called(provider: ScriptedProvider, settings: Settings) -> None:
    settings.TOKENHUB_PRIVATE_UPSTREAMS = [f"localhost:{provider.port}"]
    provider.play(raw(b"{}"))
    assert call(f"http://localhost:{provider.port}/", trusted=False) == 200
    with pytest.raises(Unreachable):
        call(f"http://127.0.0.1:{provider.port}/", trusted=False)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "0.0.0.0", "[::ffff:169.254.169.254]"]
)
def test_some_addresses_are_never_called(host: str) -> None:
    with pytest.raises(Unreachable, match="may not be called"):
        call(f"http://{host}:9/", trusted=True)


def test_a_redirect_is_not_followed(provider: ScriptedProvider, other: ScriptedProvider) -> None:
    provider.play(redirect(other.url, status=302))
    assert call(provider.url, trusted=True) == 302
    assert other.requests == []


def test_an_odd_header_of_ours_is_no_fault_of_the_provider(provider: ScriptedProvider) -> None:
    with pytest.raises(ValueError, match="header"):
        Transport().send(
            Outgoing(provider.url, {"x-odd": "a\nb"}, b"{}"), facts(provider.url, trusted=True), Patience(5)
        )
    assert provider.requests == []


def test_an_address_that_no_url_can_have_is_told() -> None:
    with pytest.raises(Unreachable, match="invalid"):
        call("http://*.example/", trusted=True)


def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(Unreachable, match="no address"):
        call("http://nobody.invalid/", trusted=True)


def test_the_environments_proxies_are_not_used(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    provider.play(raw(b"{}"))
    assert call(provider.url, trusted=True) == 200
