"""Who may answer is worked out once for a shape of requests, and comes to what it would for each of them."""

import weakref
from dataclasses import replace
from itertools import islice, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import lineup as lineups
from gateway import router
from gateway.cooldown import Cooldowns, Cooling
from gateway.errors import CallerError, GatewayError, ModelNotFound, RateLimited, Unreachable, Unserviceable
from gateway.exchange import Call
from gateway.router import Route
from registry.board import Board
from registry.models import ProviderType
from registry.snapshot import ModelFacts, Snapshot
from tests.facts import model_facts, provider_facts
from tests.gateway.test_router import request

OPEN = provider_facts(pk=1, name="open", type=ProviderType.VLLM)
CLAUDES = provider_facts(pk=2, name="claudes", type=ProviderType.ANTHROPIC)
NAMES = ["a", "b", "c", "d"]
# n other than 1 has no counterpart at Anthropic
UNTRANSLATABLE = {"n": 2}
MODELS = st.builds(
    lambda rows: [model_facts(pk=place + 1, id=name, **row) for place, (name, row) in enumerate(rows)],
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.fixed_dictionaries(
                {
                    "provider": st.sampled_from([OPEN, CLAUDES]),
                    "weight": st.sampled_from([10.0, 50.0, 90.0]),
                    "cost_per_1k": st.sampled_from([0.0, 2.0]),
                    "context_size": st.sampled_from([20, 300, 9000]),
                    "enabled": st.booleans(),
                    "aliases": st.sampled_from([(), ("x",)]),
                }
            ),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda row: row[0],
    ),
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from([*NAMES, "x", "auto"]),
        "max_tokens": st.sampled_from([1, 250, 8000]),
        "n": st.sampled_from([1, 2]),
        "strategy": st.sampled_from(["score", "cheapest", "balanced"]),
        "max_cost": st.sampled_from([1.0, 2.0]),
        "min_weight": st.sampled_from([5.0, 50.0]),
        "exclude_providers": st.sampled_from([["open"], ["claudes"]]),
        "fallback": st.booleans(),
        "explain": st.booleans(),
    },
)

# all have room for these, but the second language has no words for some
ROOMY = MODELS.map(lambda models: [replace(each, context_size=9000, enabled=True) for each in models])
WORDY = st.fixed_dictionaries(
    {"n": st.sampled_from([1, 2])},
    optional={
        "model": st.sampled_from([*NAMES, "x"]),
        "strategy": st.sampled_from(["score", "cheapest", "balanced"]),
        "fallback": st.booleans(),
    },
)


def outcome(asked: dict[str, Any], cooling: Cooldowns, snapshot: Snapshot) -> Any:
    """Return the route of a request, with all models judged; or what is told of why there is none."""
    try:
        found = router.route(request(**asked), snapshot, cooling=cooling, tells_all=True)
    except GatewayError as error:
        return type(error), error.message
    return [model.id for model in found.models], found.decision.ranked, found.decision.excluded, found.rooms


@given(MODELS, st.lists(ASKED, min_size=2, max_size=6))
def test_it_works(models: list[ModelFacts], requests: list[dict[str, Any]]) -> None:
    kept = Snapshot(1, tuple(models))
    cooling = Cooldowns(Board())
    for asked in requests:
        fresh = Snapshot(1, tuple(models))
        assert outcome(asked, cooling, kept) == outcome(asked, cooling, fresh)


@given(MODELS, ASKED)
def test_the_short_way_comes_to_the_same_as_the_long_one(models: list[ModelFacts], asked: dict[str, Any]) -> None:
    snapshot = Snapshot(1, tuple(models))
    assert outcome(asked, Cooldowns(Board()), snapshot) == outcome(asked, busy(), snapshot)


@given(ROOMY, WORDY)
def test_what_is_judged_in_its_turn_is_judged_alike(models: list[ModelFacts], asked: dict[str, Any]) -> None:
    snapshot = Snapshot(1, tuple(models))
    try:
        found = router.route(request(**asked), snapshot, cooling=Cooldowns(Board()))
    except GatewayError as error:
        assert outcome(asked, busy(), snapshot) == (type(error), error.message)
        return
    stays = [each for each in found.models if each.pk not in found.unjudged or not obstacle(each, asked)]
    assert stays == router.route(request(**asked), snapshot, cooling=busy(), tells_all=True).models


def obstacle(model: ModelFacts, asked: dict[str, Any]) -> str:
    """Return what is looked at when it is a model's turn."""
    return router.obstacle(model, request(**asked))


def busy() -> Cooldowns:
    """Return cooldowns of a model that is in no picture, with which the long way is gone."""
    cooling = Cooldowns(Board())
    elsewhere = model_facts(pk=99, id="elsewhere", provider=provider_facts(pk=99, name="elsewhere"))
    for _ in range(3):
        cooling.failed(cooling.unasked(elsewhere), Unreachable("x"))
    assert not cooling.is_quiet
    return cooling


def route(*models: ModelFacts, **asked: Any) -> Route:
    return router.route(request(**asked), Snapshot(1, models), cooling=Cooldowns(Board()))


def test_only_the_first_is_judged_by_what_is_said() -> None:
    first, claude = model_facts(id="first", weight=90.0, provider=OPEN), model_facts(id="claude", provider=CLAUDES)
    found = route(first, claude, **UNTRANSLATABLE)
    assert [model.id for model in found.models] == ["first", "claude"]
    assert found.unjudged == {claude.pk}
    assert [model.id for model in route(first, claude, explain=True, **UNTRANSLATABLE).models] == ["first"]
    assert [model.id for model in route(first, claude, model="claude", **UNTRANSLATABLE).models] == ["first"]


def test_shapes_are_told_apart_and_forgotten_with_the_picture() -> None:
    snapshot = Snapshot(1, (model_facts(id="a", provider=OPEN), model_facts(id="b", provider=OPEN)))
    first = lineups.lineup(request(), snapshot)
    assert lineups.lineup(request(messages=[{"role": "user", "content": "other words"}]), snapshot) is first
    assert lineups.lineup(request(model="b"), snapshot) is not first
    assert lineups.lineup(request(), Snapshot(1, snapshot.models)) is not first


def test_the_numbers_of_callers_make_no_shape() -> None:
    snapshot = Snapshot(1, (model_facts(id="a", provider=OPEN),))
    first = lineups.lineup(request(), snapshot)
    for number in range(3):
        assert lineups.lineup(request(max_cost=number + 1.0, min_weight=number), snapshot) is first


def test_one_too_dear_does_not_make_a_prompt_too_long() -> None:
    dear = model_facts(id="dear", provider=OPEN, cost_per_1k=5.0, context_size=9000)
    with pytest.raises(Unserviceable, match="dear: costs more than"):
        route(dear, max_cost=1.0)


@pytest.mark.parametrize(("count", "most"), [(15, 128), (4000, 16)])
def test_callers_cannot_make_it_remember_without_end(count: int, most: int) -> None:
    """However many shapes they make up, of many models fewer are remembered, and the last that were asked for."""
    models = [model_facts(pk=number, id=f"m{number:04}", provider=OPEN) for number in range(1, count + 1)]
    snapshot = Snapshot(1, tuple(models))
    usual = lineups.lineup(request(), snapshot)
    made = []
    for names in islice(permutations([model.id for model in models[:15]], 2), most + 20):
        made.append(weakref.ref(lineups.lineup(request(models=list(names)), snapshot)))
        assert lineups.lineup(request(), snapshot) is usual
    assert [shape() is not None for shape in made] == [False] * 21 + [True] * (most - 1)


def test_what_does_not_exist_makes_no_shape() -> None:
    snapshot = Snapshot(1, (model_facts(id="a", provider=OPEN),))
    for _ in range(2):
        with pytest.raises(ModelNotFound):
            lineups.lineup(request(model="nobody"), snapshot)
        with pytest.raises(CallerError, match="No provider"):
            lineups.lineup(request(exclude_providers=["nobody"]), snapshot)


class Watched(Cooldowns):
    """Notes whose state was asked for."""

    def __init__(self) -> None:
        super().__init__(Board())
        self.asked: list[str] = []

    def state(self, model: ModelFacts) -> Cooling | None:
        """Return the state of a model."""
        self.asked.append(model.id)
        return super().state(model)


def test_only_those_are_looked_at_of_which_the_board_knows() -> None:
    models = [model_facts(pk=number, id=f"m{number}", provider=OPEN) for number in range(1, 5)]
    cooling = Watched()
    cooling.failed(cooling.unasked(models[1]), RateLimited("x"))
    found = router.route(request(), Snapshot(1, tuple(models)), cooling=cooling)
    assert [model.id for model in found.models] == ["m1", "m3", "m4"]
    assert cooling.asked == ["m2"]


def test_a_decision_tells_of_the_best_unless_all_are_asked_for() -> None:
    models = [model_facts(id=f"m{number:02}", provider=OPEN, weight=float(number)) for number in range(30)]
    found = route(*models)
    assert (len(found.models), len(found.decision.ranked)) == (30, 20)
    assert found.decision.ranked[0].model == "m29"
    assert len(route(*models, explain=True).decision.ranked) == 30


def test_a_decision_can_be_added_to() -> None:
    found = route(model_facts(id="a", provider=OPEN), model_facts(id="b", provider=OPEN, enabled=False))
    call = Call("req_1", "POST /v1/chat/completions", 0.0, decisions=[found.decision])
    call.leave_out({"a": "has no words for it"})
    assert [each.model for each in call.decisions[0].excluded] == ["b", "a"]
    assert [each.model for each in found.decision.excluded] == ["b"]
