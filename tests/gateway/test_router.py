"""The route holds the models that can serve, the best first, and one reason for each that cannot."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import router
from gateway.errors import ModelNotFound, NoModelCanServe, PromptTooLong
from gateway.exchange import Request
from gateway.wire import openai
from registry.models import ProviderType
from registry.snapshot import ModelFacts, Snapshot
from tests.facts import model_facts, provider_facts


def request(**fields: Any) -> Request:
    body = {"messages": [{"role": "user", "content": "hello"}]} | fields
    return openai.read_chat(orjson.dumps(body), body)


def route(*models: ModelFacts, **fields: Any) -> list[str]:
    snapshot = Snapshot(1, tuple(sorted(models, key=lambda model: model.id)))
    return [model.id for model in router.route(request(**fields), snapshot).models]


def test_it_works() -> None:
    cheap = model_facts(id="cheap", weight=80.0, cost_per_1k=0.002)
    dear = model_facts(id="dear", weight=90.0, cost_per_1k=2.0)
    assert route(cheap, dear) == ["cheap", "dear"]
    snapshot = Snapshot(7, (cheap, dear))
    decision = router.route(request(max_tokens=100), snapshot).decision
    assert [(ranked.model, ranked.score) for ranked in decision.ranked] == [("cheap", 79.98), ("dear", 70.0)]
    assert (decision.snapshot, decision.need - decision.estimate) == (7, 100)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"weight": 60.0, "cost_per_1k": 1.0}, {"weight": 70.0, "cost_per_1k": 2.0}),
        ({"context_size": 9000}, {"context_size": 8000}),
        ({"id": "a"}, {"id": "b"}),
        ({"weight": -1.0}, {"weight": -2.0}),
    ],
    ids=["lower cost", "larger window", "id", "negative scores"],
)
def test_ties_and_negative_scores(first: dict[str, Any], second: dict[str, Any]) -> None:
    better, worse = model_facts(**{"id": "y"} | first), model_facts(**{"id": "z"} | second)
    assert route(worse, better) == [better.id, worse.id]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"enabled": False}, "disabled"),
        ({"provider": provider_facts(enabled=False)}, "provider echo disabled"),
        ({"provider": provider_facts(problem="no key")}, "provider echo: no key"),
        ({"provider": provider_facts(type=ProviderType.ANTHROPIC)}, "no adapter for providers of type anthropic"),
        ({"capabilities": frozenset({"embedding"})}, "cannot do chat"),
        ({"context_size": 5}, "context too small: needs about 106, has 5"),
        ({"cost_per_1k": 0.6}, "costs more than 0.5 per 1k"),
    ],
)
def test_each_exclusion_has_its_reason(changed: dict[str, Any], reason: str) -> None:
    snapshot = Snapshot(1, (model_facts(id="left-out", **changed), model_facts(id="stays")))
    found = router.route(request(max_tokens=100, max_cost=0.5), snapshot)
    assert [model.id for model in found.models] == ["stays"]
    assert [(excluded.model, excluded.reason) for excluded in found.decision.excluded] == [("left-out", reason)]


def test_the_named_comes_first_by_id_or_alias() -> None:
    models = [
        model_facts(id="a", weight=90.0),
        model_facts(id="b", aliases=("x",)),
        model_facts(id="c", aliases=("x",), weight=60.0),
    ]
    assert route(*models, model="b") == ["b", "a", "c"]
    assert route(*models, model="x") == ["c", "b", "a"]
    assert route(*models, model="auto") == route(*models) == ["a", "c", "b"]


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(ModelNotFound, match=r"gpt-4o-mini"):
        route(model_facts(id="gpt-4o-mini"), model="gpt4o-mini")
    with pytest.raises(ModelNotFound, match="GET /v1/models"):
        route(model_facts(id="gpt-4o-mini"), model="zzz")


def test_nobody_can_serve() -> None:
    with pytest.raises(NoModelCanServe, match="the registry is empty"):
        route()
    with pytest.raises(NoModelCanServe, match="m: disabled"):
        route(model_facts(enabled=False))
    with pytest.raises(PromptTooLong, match="maximum context length is 50 tokens"):
        route(model_facts(context_size=50), model_facts(id="n", context_size=10), max_tokens=60)


MODELS = st.lists(
    st.builds(
        model_facts,
        id=st.text("abc", min_size=1, max_size=4),
        weight=st.floats(-100, 100),
        cost_per_1k=st.floats(0, 5),
        context_size=st.integers(1, 200),
        enabled=st.booleans(),
        capabilities=st.sampled_from([frozenset({"chat"}), frozenset({"embedding"})]),
    ),
    unique_by=lambda model: model.id,
    max_size=8,
)


@given(MODELS, st.integers(1, 200), st.none() | st.floats(0, 5))
def test_the_route_holds_only_what_can_serve_in_order(models: list[ModelFacts], room: int, limit: float | None) -> None:
    snapshot = Snapshot(1, tuple(models))
    asked = request(max_tokens=room, max_cost=limit)
    try:
        found = router.route(asked, snapshot)
    except (NoModelCanServe, PromptTooLong):
        return
    for model in found.models:
        assert model.enabled
        assert "chat" in model.capabilities
        assert model.context_size >= found.decision.need
        assert limit is None or model.cost_per_1k <= limit
    scores = [model.score for model in found.models]
    assert scores == sorted(scores, reverse=True)
    assert len({model.id for model in found.models}) == len(found.models)
    assert len(found.models) + len(found.decision.excluded) == len(models)
