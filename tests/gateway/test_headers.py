"""Of the headers, those of Anthropic's own go up to its providers and come back; a caller's harm nobody else."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.scripted import ScriptedProvider
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
