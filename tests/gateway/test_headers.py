"""Of the headers, those of Anthropic's own go up to its providers and come back; a caller's harm nobody else."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error, message
from tests.scripted_openai import like_openai
from tests.scripted_script import Script
from tests.server import Gateway, model

HELLO: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def hub(
    anthropic: ScriptedProvider, provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway whose providers cool, with a model of Anthropic's under a beta of its row, and one of OpenAI's."""
    config = {
        "providers": [
            {"name": "anth", "type": "anthropic", "base_url": anthropic.url, "api_key": "sk-ant-canary"},
            {"name": "beta", "type": "anthropic", "base_url": anthropic.url, "api_key": "sk-ant-canary"}
            | {"extra_headers": {"Anthropic-Beta": "of-the-row", "anthropic-team": "search"}},
            {"name": "oai", "type": "openai", "base_url": provider.url, "api_key": "sk-canary-x"},
        ],
        "models": [model("claude", "anth"), model("early", "beta"), model("gpt", "oai")],
    }
    with Gateway(tmp_path_factory.mktemp("hub"), config, TOKENHUB_COOLDOWNS="true") as running:
        yield running


def ask(hub: Gateway, *, headers: dict[str, str | bytes], **body: Any) -> requests.Response:
    whole = {"model": "claude", "max_tokens": 9, "messages": HELLO, "fallback": False, **body}
    return requests.post(f"{hub.url}/v1/messages", json=whole, headers=headers, timeout=10)


def test_it_works(hub: Gateway, anthropic: ScriptedProvider) -> None:
    answer = ask(hub, headers={"anthropic-beta": "one,two", "anthropic-version": "2023-06-01"})
    assert answer.status_code == 200
    (received,) = anthropic.requests
    assert (received.header("anthropic-beta"), received.header("anthropic-version")) == ("one,two", "2023-06-01")


@pytest.mark.parametrize("name", ["anthropic-beta", "anthropic-version"])
@pytest.mark.parametrize("value", [b"\xa0foo", b"\x85foo", b"caf\xe9"])
def test_a_header_that_cannot_be_sent_on_is_the_callers_own(hub: Gateway, name: str, value: bytes) -> None:
    """Nobody else finds the provider cooling because of it."""
    for _ in range(4):
        refused = ask(hub, headers={name: value})
        assert (refused.status_code, name in refused.json()["error"]["message"]) == (400, True)
    assert ask(hub, headers={}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "sent"), [({"anthropic-beta": "one, two"}, "of-the-row,one, two"), ({}, "of-the-row")]
)
def test_the_betas_of_a_row_stand_beside_those_of_the_caller(
    hub: Gateway, anthropic: ScriptedProvider, asked: dict[str, Any], sent: str
) -> None:
    assert ask(hub, headers=asked, model="early").status_code == 200
    (received,) = anthropic.requests
    assert [value for name, value in received.headers if name.lower() == "anthropic-beta"] == [sent]


def test_what_a_row_says_stands(hub: Gateway, anthropic: ScriptedProvider) -> None:
    asked: dict[str, str | bytes] = {"anthropic-team": "sales", "anthropic-new": "1", "x-other": "2", "x-api-key": "3"}
    assert ask(hub, headers=asked, model="early").status_code == 200
    (received,) = anthropic.requests
    sent = {name: received.header(name) for name in asked}
    assert sent == {"anthropic-team": "search", "anthropic-new": "1", "x-other": "", "x-api-key": "sk-ant-canary"}


def test_none_of_them_goes_elsewhere(hub: Gateway, provider: ScriptedProvider) -> None:
    assert ask(hub, headers={"anthropic-new": "1"}, model="gpt").status_code == 200
    assert not [name for name, _ in provider.requests[0].headers if name.lower().startswith("anthropic")]


LIMITS = {"anthropic-ratelimit-requests-remaining": "49", "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("stream", [False, True])
def test_what_anthropic_tells_comes_back(hub: Gateway, anthropic: ScriptedProvider, *, stream: bool) -> None:
    headers = {**LIMITS, "request-id": "req_theirs", "set-cookie": "a=b", "anthropic-organization-id": "secret"}
    anthropic.play(Script(message(), headers=headers), Script(error("invalid_request_error"), headers=headers))
    for status in (200, 400):
        answer = ask(hub, headers={}, stream=stream)
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in LIMITS} == LIMITS
        assert answer.headers["x-tokenhub-upstream-request-id"] == "req_theirs"
        assert answer.headers["request-id"] == answer.headers["x-tokenhub-request-id"]
        assert not {"set-cookie", "anthropic-organization-id"} & {name.lower() for name in answer.headers}


def test_of_a_translated_answer_the_id_alone_comes_back(
    hub: Gateway, anthropic: ScriptedProvider, provider: ScriptedProvider
) -> None:
    anthropic.play(Script(message(), headers={**LIMITS, "request-id": "req_theirs"}))
    answer = hub.post(model="claude")
    assert answer.headers["x-tokenhub-upstream-request-id"] == "req_theirs"
    assert not LIMITS.keys() & answer.headers.keys()
    provider.play(Script(like_openai, headers={"x-request-id": "of openai's", "x-ratelimit-remaining": "1"}))
    assert "x-tokenhub-upstream-request-id" not in hub.post(model="gpt").headers
    provider.play(Script(like_openai, headers={"x-request-id": "of_openai"}))
    assert hub.post(model="gpt").headers["x-tokenhub-upstream-request-id"] == "of_openai"
