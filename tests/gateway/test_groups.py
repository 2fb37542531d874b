"""An alias is a name for several models: callers use it like a model's, and its weights split the load."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server import Gateway, model

ECHO = {"name": "echo", "type": "echo"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a canary, a cheap group and a name that is switched off."""
    config: dict[str, Any] = {
        "providers": [ECHO],
        "models": [
            model("old", "echo", weight=90, cost_per_1k=0.5),
            model("new", "echo", weight=10, cost_per_1k=0.1),
            model("rest", "echo", weight=99),
        ],
        "aliases": [
            {"name": "canary", "models": [{"id": "old", "weight": 3}, {"id": "new", "weight": 1}]},
            {"name": "frugal", "strategy": "cheapest", "models": ["old", "new"]},
            {"name": "off", "enabled": False, "models": ["old"]},
        ],
    }
    with Gateway(tmp_path_factory.mktemp("groups"), config) as running:
        yield running


def served(hub: Gateway, **body: Any) -> str:
    return hub.post(**body).headers["x-tokenhub-model"]


def test_it_works(hub: Gateway) -> None:
    firsts = Counter(served(hub, model="canary") for _ in range(200))
    assert set(firsts) == {"old", "new"}
    assert 110 < firsts["old"] < 185  # 150 are to be expected; six standard deviations are 37


def test_a_session_stays_with_its_model(hub: Gateway) -> None:
    for session in ("a", "b", "c", "d"):
        assert len({served(hub, model="canary", session=session) for _ in range(5)}) == 1


def test_an_alias_has_a_strategy_of_its_own(hub: Gateway) -> None:
    assert served(hub, model="frugal") == "new"
    assert served(hub, model="frugal", strategy="score") == "old"


def test_names_are_listed_and_closed_ones_are_not(hub: Gateway) -> None:
    listed = [each["id"] for each in hub.session.get(f"{hub.url}/v1/models", timeout=10).json()["data"]]
    assert [name for name in listed if "/" not in name] == ["new", "old", "rest", "canary", "frugal", "auto"]
    refused = hub.post(model="off")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("name", ["auto", "old", "canary", "frugal", "tokenhub/vote"])
def test_a_model_is_told_under_the_name_that_was_asked_for(hub: Gateway, name: str) -> None:
    headers: dict[str, str]
    for headers in ({}, {"anthropic-version": "2023-06-01"}):
        told = hub.session.get(f"{hub.url}/v1/models/{name}", headers=headers, timeout=10).json()
        assert (told["id"], told.get("object", told.get("type"))) == (name, "model")
