"""What the page of another site has a browser send is refused, over plain HTTP as well."""

from collections.abc import Iterator

import pytest
import requests

from tests.server import Gateway, model

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
OWN, ELSEWHERE = "http://hub.example:8080", "http://elsewhere.example"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that trusts two origins and is known under some hosts."""
    config = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("m", "echo")]}
    settings = {
        "CSRF_TRUSTED_ORIGINS": "https://app.example,https://*.ours.example",
        "ALLOWED_HOSTS": "127.0.0.1,hub.example",
    }
    with Gateway(tmp_path_factory.mktemp("hub"), config, **settings) as running:
        yield running


def ask(hub: Gateway, **headers: str) -> requests.Response:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"{hub.url}/v1/chat/completions", json=CHAT, headers=told, timeout=20)


def test_it_works(hub: Gateway) -> None:
    """To plain HTTP no browser says `Sec-Fetch-Site`."""
    refused = ask(hub, Host="hub.example:8080", Origin=ELSEWHERE, Content_Type="text/plain")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "cross_site_request"
    assert ask(hub).ok


@pytest.mark.parametrize("origin", [OWN, "https://app.example", "https://a.ours.example"])
@pytest.mark.parametrize("more", [{}, {"Sec_Fetch_Site": "same-origin"}])
def test_who_may(hub: Gateway, origin: str, more: dict[str, str]) -> None:
    assert ask(hub, Host="hub.example:8080", Origin=origin, **more).ok


def test_a_trusted_page_of_another_site_may(hub: Gateway) -> None:
    assert ask(hub, Origin="https://app.example", Sec_Fetch_Site="cross-site").ok
    assert ask(hub, Origin=ELSEWHERE, Sec_Fetch_Site="cross-site").status_code == 403
    assert ask(hub, Sec_Fetch_Site="cross-site").status_code == 403


@pytest.mark.parametrize(
    "origin",
    ["null", "http://hub.example", "http://app.example", "https://app.example.evil.example", "://", "hub.example:8080"],
)
def test_who_may_not(hub: Gateway, origin: str) -> None:
    assert ask(hub, Host="hub.example:8080", Origin=origin).status_code == 403


def test_a_name_that_was_made_to_lead_here_is_none_of_ours(hub: Gateway) -> None:
    """The browser takes what comes back for the page's own."""
    lured = {"Host": "evil.example", "Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}
    assert ask(hub, **lured).status_code == 403
    assert ask(hub, Host="evil.example").ok  # a program, which says what it likes


def test_what_a_proxy_says_is_believed_by_nobody_who_was_not_told_to(hub: Gateway) -> None:
    """A page may set no such header itself, but its site may have its own name lead here."""
    assert ask(hub, X_Forwarded_Host="elsewhere.example", Origin=ELSEWHERE).status_code == 403
    assert ask(hub, Host="elsewhere.example", Origin=ELSEWHERE).status_code == 403
