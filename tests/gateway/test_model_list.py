"""The list of models: every name that callers can send, in OpenAI's shape, or on Anthropic's pages."""

from collections.abc import Iterator

import anthropic as official
import openai
import pytest
import requests

from tests.server import Gateway

NAMES = ["best", "echo-1", "next", "fast", "tokenhub/adversarial", "tokenhub/refine", "tokenhub/vote"]
ANTHROPICS = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[official.Anthropic]:
    """Anthropic's official client."""
    with official.Anthropic(base_url=gateway.url, api_key="anything", max_retries=0) as running:
        yield running


def without_auto(ids: list[str]) -> list[str]:
    return [name for name in ids if name != "auto"]


def test_it_works(gateway: Gateway) -> None:
    """A name that models carry is one that answers, so it is listed; whatever is virtual is as old as the newest."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="anything") as client:
        listed = list(client.models.list())
        assert without_auto([model.id for model in listed]) == NAMES
        assert [model.id for model in listed if not model.created and model.id != "auto"] == []
        assert client.models.retrieve("tokenhub/vote").created > 0


def test_what_a_model_takes_and_gives(client: official.Anthropic) -> None:
    told = {model.id: model for model in client.models.list()}
    assert (told["best"].max_input_tokens, told["best"].max_tokens) == (8192, None)
    assert told["fast"].max_input_tokens == 8192
    assert told["tokenhub/refine"].max_input_tokens == 100_000
    assert {model.lifecycle for model in told.values()} == {"active"}


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages(client: official.Anthropic, limit: int) -> None:
    """The official client turns them by itself, in both directions."""
    assert without_auto([model.id for model in client.models.list(limit=limit)]) == NAMES
    page = client.models.list(limit=limit, before_id="fast")
    assert [model.id for model in page.data] == NAMES[:3][-limit:]
    assert page.has_more == (limit < 3)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=a", "limit"),
        ("limit=%C2%B2", "limit"),
        ("after_id=nosuch", "after_id"),
        ("before_id=", "before_id"),
    ],
)
def test_a_page_that_is_none(gateway: Gateway, query: str, param: str) -> None:
    answer = requests.get(f"{gateway.url}/v1/models?{query}", headers=ANTHROPICS, timeout=10)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert param in answer.json()["error"]["message"]
