"""The route holds the models that can serve, the best first, and one reason for each that cannot."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import policy, router
from gateway.cooldown import Cooldowns
from gateway.errors import (
    AllLimited,
    CallerError,
    InvalidRequest,
    ModelNotFound,
    NoModelCanServe,
    PromptTooLong,
    RateLimited,
    Unreachable,
    Unserviceable,
)
from gateway.exchange import Policy, Request
from gateway.metrics import Standings
from gateway.wire import embeddings, messages, openai, responses_relay
from registry.board import Board
from registry.models import ProviderType
from registry.snapshot import AliasFacts, ModelFacts, Snapshot
from tests.clock import Clock
from tests.facts import model_facts, provider_facts
from tests.gateway.cooling import Silent


def request(**fields: Any) -> Request:
    body = {"messages": [{"role": "user", "content": "hello"}]} | fields
    return openai.read_chat(orjson.dumps(body), body, policy.read(body, {}))


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
    assert [ranked.terms for ranked in decision.ranked] == [
        {"weight": 80.0, "cost": -0.02},
        {"weight": 90.0, "cost": -20.0},
    ]
    assert (decision.snapshot, decision.ranked[0].need - decision.estimate) == (7, 100)


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
        ({"provider": provider_facts(problem="no key")}, "provider echo has no key that works"),
        ({"provider": provider_facts(name="bad")}, "provider bad excluded by the caller"),
        ({"weight": 4.0}, "weighs less than 5.0"),
        ({"capabilities": frozenset({"chat", "tools"})}, "cannot do json, streaming"),
        ({"provider": provider_facts(type=ProviderType.ECHO)}, "cannot translate `response_format`"),
        ({"capabilities": frozenset({"embedding"})}, "cannot do chat"),
        ({"context_size": 5}, "context too small: needs about 106, has 5"),
        ({"cost_per_1k": 0.6}, "costs more than 0.5 per 1k"),
    ],
)
def test_each_exclusion_has_its_reason(changed: dict[str, Any], reason: str) -> None:
    stays = model_facts(id="stays", provider=provider_facts(type=ProviderType.VLLM))
    left_out = model_facts(**{"id": "left-out", "provider": provider_facts(type=ProviderType.VLLM)} | changed)
    asked = request(
        max_tokens=100,
        max_cost=0.5,
        min_weight=5,
        exclude_providers=["bad"],
        stream=True,
        response_format={"type": "json_object"},
    )
    other = model_facts(id="of-bad", provider=provider_facts(name="bad"), enabled=False)
    found = router.route(asked, Snapshot(1, (left_out, other, stays)))
    assert [model.id for model in found.models] == ["stays"]
    reasons = {excluded.model: excluded.reason for excluded in found.decision.excluded}
    assert reasons == {"left-out": reason, "of-bad": "disabled"}


@pytest.mark.parametrize(
    ("capabilities", "asked", "reason"),
    [
        ({"chat", "tools"}, {"response_format": {"type": "json_object"}}, ""),
        ({"chat", "tools", "vision"}, {"response_format": {"type": "json_schema", "json_schema": {}}}, ""),
        ({"chat", "vision"}, {"response_format": {"type": "json_object"}}, "cannot do json"),
        ({"chat", "tools"}, {"response_format": {"type": "json_object"}, "stream": True}, "cannot do streaming"),
    ],
)
def test_a_language_that_has_json_by_its_tools_needs_no_word_of_it(
    capabilities: set[str], asked: dict[str, Any], reason: str
) -> None:
    at = provider_facts(type=ProviderType.ANTHROPIC)
    claude = model_facts(id="claude", provider=at, capabilities=frozenset(capabilities))
    stays = model_facts(id="stays", weight=1.0, provider=provider_facts(type=ProviderType.VLLM))
    found = router.route(request(**asked), Snapshot(1, (claude, stays)))
    assert [model.id for model in found.models] == (["stays"] if reason else ["claude", "stays"])
    assert [excluded.reason for excluded in found.decision.excluded] == ([reason] if reason else [])


def test_a_message_that_is_relayed_has_json_only_where_its_model_does() -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
    body |= {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    message = messages.read_message(orjson.dumps(body), body, Policy(), {})
    at = provider_facts(type=ProviderType.ANTHROPIC)
    can, cannot = (
        model_facts(id=f"claude-{last}", provider=at, capabilities=frozenset({"chat", "tools", last}))
        for last in ("json", "vision")
    )
    assert [model.id for model in router.route(message, Snapshot(1, (can, cannot))).models] == ["claude-json"]


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


def test_the_callers_own_list_is_tried_in_its_order_and_nothing_else() -> None:
    models = [model_facts(id=name, weight=weight) for name, weight in (("a", 1.0), ("b", 9.0), ("c", 5.0))]
    assert route(*models, models=["c", "a"]) == ["c", "a"]
    assert route(*models, model="b", models=["a", "b"]) == ["b", "a"]
    assert route(*models, model="a", fallback=False) == ["a"]
    assert route(*models, fallback=False) == ["b", "c", "a"]
    with pytest.raises(ModelNotFound) as told:
        route(*models, models=["a", "nobody"])
    assert told.value.param == "models"
    with pytest.raises(Unserviceable, match=r"request \(a: costs more than 0\.0 per 1k\)"):
        route(model_facts(id="a", cost_per_1k=1.0), model_facts(id="b"), models=["a"], max_cost=0)


def test_who_was_not_named_is_told_so() -> None:
    snapshot = Snapshot(1, (model_facts(id="a"), model_facts(id="b")))
    decision = router.route(request(model="a", fallback=False), snapshot).decision
    assert [(each.model, each.reason) for each in decision.excluded] == [("b", "not named by the caller")]


def test_what_only_the_caller_can_mend_is_the_callers_error() -> None:
    with pytest.raises(Unserviceable, match=r"m: costs more than 0\.1 per 1k"):
        route(model_facts(cost_per_1k=0.2), max_cost=0.1)
    with pytest.raises(InvalidRequest, match="`strategy` is one of score, cheapest"):
        route(model_facts(), strategy="best")


def test_a_window_that_holds_some_output_is_better_than_none() -> None:
    """An agent asks for more output than small windows have: it gets what there is room for."""
    small, large = model_facts(id="small", context_size=1000), model_facts(id="large", context_size=4000)
    assert route(small, large, max_tokens=3000) == ["large"]
    found = router.route(request(max_tokens=32_000), Snapshot(1, (small, large)))
    assert {model.id for model in found.models} == {"small", "large"}
    assert found.rooms == {small.pk: 1000 - found.decision.estimate, large.pk: 4000 - found.decision.estimate}


def cooled(**failures: tuple[ModelFacts, list[Any]]) -> Cooldowns:
    cooling = Cooldowns(Board(Clock(), Silent()))
    for model, seen in failures.values():
        for failure in seen:
            cooling.failed(cooling.unasked(model), failure)
    return cooling


DOWN = [Unreachable("down")] * 3
LIMITED = RateLimited("slow down", retry_after=7)


def test_who_is_cooling_is_left_out() -> None:
    hot, cold = model_facts(id="hot", weight=90.0), model_facts(id="cold")
    found = router.route(request(), Snapshot(1, (hot, cold)), cooling=cooled(hot=(hot, [LIMITED])))
    assert [model.id for model in found.models] == ["cold"]
    assert [each.reason for each in found.decision.excluded] == ["cooling until 13:46:47 UTC (rate_limit)"]


def test_when_all_are_cooling_the_best_that_failed_is_probed() -> None:
    best, other = model_facts(id="best", weight=90.0), model_facts(id="other")
    cooling = cooled(best=(best, DOWN), other=(other, DOWN))
    found = router.route(request(), Snapshot(1, (best, other)), cooling=cooling)
    assert ([model.id for model in found.models], found.probe) == (["best"], True)
    assert "best" not in [left_out.model for left_out in found.decision.excluded]


def test_when_all_have_asked_for_a_pause_the_shortest_is_told() -> None:
    one, two = model_facts(id="one"), model_facts(id="two")
    cooling = cooled(one=(one, [LIMITED]), two=(two, [RateLimited("slow down", retry_after=3)]))
    with pytest.raises(AllLimited) as told:
        router.route(request(), Snapshot(1, (one, two)), cooling=cooling)
    assert (told.value.status, told.value.retry_after) == (429, 3)


def test_nobody_can_serve() -> None:
    with pytest.raises(NoModelCanServe, match="the registry is empty"):
        route()
    with pytest.raises(NoModelCanServe, match="m: disabled"):
        route(model_facts(enabled=False))
    with pytest.raises(PromptTooLong, match="maximum context length is 50 tokens"):
        route(model_facts(context_size=50), model_facts(id="n", context_size=10), messages=LONG)


def test_a_field_that_nobody_understands_is_named() -> None:
    robot = [{"role": "robot", "content": "hi"}]
    models = [model_facts(id="a"), model_facts(id="b"), model_facts(id="c", enabled=False)]
    with pytest.raises(InvalidRequest, match="role") as told:
        route(*models, messages=robot)
    assert told.value.param == "messages[0].role"
    assert len(told.value.decision.excluded) == 3
    with pytest.raises(Unserviceable, match=r"a: gives one choice only \(`n`\); b: gives .*; c: disabled") as left:
        route(*models, n=2)
    assert left.value.param is None
    with pytest.raises(Unserviceable) as alone:
        route(*models[:2], n=2)
    assert alone.value.param == "n"


@pytest.mark.parametrize(
    ("read", "field"),
    [
        (openai.read_chat, "messages"),
        (openai.read_completion, "prompt"),
        (responses_relay.read_request, "input"),
        (embeddings.read_embedding, "input"),
    ],
)
def test_a_prompt_that_is_too_long_is_named_by_its_field(read: Any, field: str) -> None:
    body = {"model": "m", field: LONG if field == "messages" else "word " * 400}
    small = model_facts(context_size=50, capabilities=frozenset({"chat", "completion", "embedding"}))
    with pytest.raises(PromptTooLong) as told:
        router.route(read(orjson.dumps(body), body, Policy()), Snapshot(1, (small,)))
    assert told.value.param == field


def test_an_alias_of_vectors_is_one_model() -> None:
    able = frozenset({"embedding"})
    small = [
        model_facts(id=name, name=there, weight=weight, capabilities=able)
        for name, there, weight in (("a", "small", 1.0), ("b", "vendor/Small", 5.0), ("c", "{large}", 90.0))
    ]
    snapshot = Snapshot(
        1, tuple(small), {"vectors": AliasFacts("vectors", None, tuple((each, None) for each in small))}
    )
    body = {"model": "vectors", "input": "hi"}
    told = router.route(embeddings.read_embedding(orjson.dumps(body), body, Policy()), snapshot)
    assert [model.id for model in told.models] == ["b", "a"]
    (left_out,) = told.decision.excluded
    assert (left_out.model, left_out.reason) == ("c", "makes other vectors than a: it is {large}, not small")


LONG = [{"role": "user", "content": "word " * 400}]
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


@given(
    MODELS,
    st.integers(1, 200),
    st.none() | st.floats(0, 5),
    st.sampled_from(["score", "cheapest", "fastest", "balanced", "weighted"]),
)
def test_the_route_holds_only_what_can_serve_in_order(
    models: list[ModelFacts], room: int, limit: float | None, strategy: str
) -> None:
    snapshot = Snapshot(1, tuple(models))
    asked = request(max_tokens=room, max_cost=limit, strategy=strategy)
    recent = Standings()
    for index, model in enumerate(models):
        (recent.failed if index % 2 else recent.answered)(model.pk, float(index % 3))
    try:
        found = router.route(asked, snapshot, recent=recent)
    except (NoModelCanServe, CallerError):
        return
    for model in found.models:
        assert model.enabled
        assert "chat" in model.capabilities
        surely = int(found.decision.estimate / 1.3)  # the estimate may be so much too high
        assert model.context_size >= surely + found.rooms.get(model.pk, min(room, 256))
        assert limit is None or model.cost_per_1k <= limit
    scores = [ranked.score for ranked in found.decision.ranked]
    assert scores == sorted(scores, reverse=True)
    for ranked in found.decision.ranked:
        assert ranked.score == sum(ranked.terms.values())
    if strategy == "score":
        assert scores == [model.score for model in found.models]
    assert len({model.id for model in found.models}) == len(found.models)
    assert len(found.models) + len(found.decision.excluded) == len(models)


def test_what_was_asked_for_and_left_out_is_kept_for_the_callers_eyes() -> None:
    """Neither those who were never asked for, nor one that is tried after all."""
    keyless = model_facts(id="keyless", provider=provider_facts(name="openai", problem="NOT_SET is not set"))
    off, good = model_facts(id="off", enabled=False), model_facts(id="good")
    snapshot = Snapshot(1, (good, keyless, off))
    found = router.route(request(model="keyless"), snapshot)
    assert [each.model for each in found.missing] == ["keyless"]
    told = router.told_of(found.missing)
    assert told == " What was asked for is left out (keyless: provider openai has no key that works)."
    assert [each.model for each in router.route(request(models=["off", "good"]), snapshot).missing] == ["off"]
    for fields in ({}, {"model": "auto"}, {"model": "good"}):
        assert router.told_of(router.route(request(**fields), snapshot).missing) == ""


def test_a_provider_that_does_not_exist_cannot_be_excluded() -> None:
    """Or else what is meant to be kept from it would go there."""
    snapshot = Snapshot(1, (model_facts(id="a", provider=provider_facts(name="openai")), model_facts(id="b")))
    assert [model.id for model in router.route(request(exclude_providers=["openai"]), snapshot).models] == ["b"]
    for name, told in (("opena", "Did you mean openai?"), ("nosuch", "'nosuch'")):
        with pytest.raises(InvalidRequest, match=told) as refused:
            router.route(request(exclude_providers=["openai", name]), snapshot)
        assert refused.value.param == "exclude_providers"
