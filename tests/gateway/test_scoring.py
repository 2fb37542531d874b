"""Each strategy puts candidates in the order that it promises."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scoring import STRATEGIES, Candidate, rank
from tests.facts import model_facts


def candidate(name: str, weight: float = 50.0, cost: float = 0.0, **seen: float | None) -> Candidate:
    ttft_ms = seen.get("ttft_ms")
    return Candidate(model_facts(id=name, cost_per_1k=cost), weight, ttft_ms, seen.get("failure_rate") or 0.0)


def order(strategy: str, *candidates: Candidate, session: str = "") -> list[str]:
    return [each.candidate.model.id for each in rank(candidates, strategy, session=session)]


def test_it_works() -> None:
    """The user's own formula: weight - cost_per_1k * 10."""
    told = rank([candidate("dear", 90, 2.0), candidate("cheap", 80, 0.5), candidate("minus", -5)], "score")
    assert [(each.candidate.model.id, each.score) for each in told] == [("cheap", 75.0), ("dear", 70.0), ("minus", -5)]
    assert told[0].terms == {"weight": 80, "cost": -5.0}


def test_cheapest() -> None:
    assert order("cheapest", candidate("a", 90, 0.2), candidate("b", 1, 0.1), candidate("c", 1, 0.0)) == ["c", "b", "a"]


def test_fastest_finds_out_what_it_does_not_know() -> None:
    slow, quick = candidate("slow", ttft_ms=900.0), candidate("quick", ttft_ms=80.0)
    assert order("fastest", slow, quick) == ["quick", "slow"]
    assert order("fastest", slow, quick, candidate("new"))[-1] == "slow"


def test_balanced_weighs_all_alike() -> None:
    good = candidate("good", 50, 0.1, ttft_ms=100.0)
    assert order("balanced", candidate("dear", 50, 1.0, ttft_ms=100.0), good) == ["good", "dear"]
    assert order("balanced", candidate("slow", 50, 0.1, ttft_ms=900.0), good) == ["good", "slow"]
    assert order("balanced", candidate("shaky", 50, 0.1, ttft_ms=100.0, failure_rate=0.5), good) == ["good", "shaky"]
    assert order("balanced", candidate("light", 5, 0.1, ttft_ms=100.0), good) == ["good", "light"]


def test_weighted_splits_by_the_weights() -> None:
    """Of 4,000 draws, 3 of 4 go to the heavier; the bounds are six standard deviations away."""
    pair = [candidate("heavy", 75), candidate("light", 25), candidate("never", 0)]
    firsts = Counter(order("weighted", *pair)[0] for _ in range(4000))
    assert abs(firsts["heavy"] - 3000) < 6 * math.sqrt(4000 * 0.75 * 0.25)
    assert firsts["never"] == 0


def test_a_session_stays_where_it_is() -> None:
    pair = [candidate("a", 50), candidate("b", 50)]
    chosen = {session: order("weighted", *pair, session=session)[0] for session in map(str, range(200))}
    assert set(chosen.values()) == {"a", "b"}
    for session, first in chosen.items():
        assert order("weighted", *pair, session=session)[0] == first
        # a third takes sessions from both, but moves none between them
        assert order("weighted", *pair, candidate("c", 50), session=session)[0] in {first, "c"}


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.text("abc", min_size=1, max_size=3),
        st.floats(-1e6, 1e6),
        st.floats(0, 100),
        ttft_ms=st.none() | st.floats(0, 1e6),
        failure_rate=st.floats(0, 1),
    ),
    max_size=6,
    unique_by=lambda each: each.model.id,
)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(candidates=CANDIDATES, session=st.sampled_from(["", "s"]))
def test_every_strategy_orders_all_by_a_finite_sum(strategy: str, candidates: list[Candidate], session: str) -> None:
    told = rank(candidates, strategy, session=session)
    assert sorted(each.candidate.model.id for each in told) == sorted(each.model.id for each in candidates)
    assert all(math.isfinite(each.score) and each.score == sum(each.terms.values()) for each in told)
    assert [each.score for each in told] == sorted((each.score for each in told), reverse=True)
