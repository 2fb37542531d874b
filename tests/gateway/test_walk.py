"""Whatever fails, in whatever order: the walk ends, repeats nothing in vain, and says something true at its end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors, escalation
from gateway.errors import MovesOn, ProviderFailure
from gateway.escalation import MOST_ATTEMPTS, _Walk
from gateway.exchange import Attempt, Decision
from gateway.retries import RetryBudget
from gateway.router import Route
from registry.snapshot import ModelFacts
from tests.facts import model_facts
from tests.gateway.test_router import request

FAILURES = st.sampled_from(
    [
        errors.Unreachable("x"),
        errors.TimedOut("x"),
        errors.Broken("x", upstream_status=500),
        errors.Overloaded("x", retry_after=0.5),
        errors.Overloaded("x", retry_after=60),
        errors.RateLimited("x", retry_after=7),
        errors.CredentialsRefused("x"),
        errors.QuotaSpent("x"),
        errors.UnknownThere("x"),
        errors.Overflowed("x"),
        errors.OutputTooLong("x", limit=50),
        errors.OutputTooLong("x"),
        errors.Rejected("x", upstream_status=422),
    ]
)
MODELS = st.lists(
    st.builds(model_facts, id=st.text("abc", min_size=1), context_size=st.integers(100, 9000)), min_size=1
)


@given(MODELS, st.lists(FAILURES, min_size=MOST_ATTEMPTS, max_size=MOST_ATTEMPTS), st.none() | st.integers(1, 5000))
def test_it_works(models: list[ModelFacts], failures: list[ProviderFailure], max_tokens: int | None) -> None:
    walk = _Walk(request(max_tokens=max_tokens), Route(models, Decision(10, 1, (), ())))
    tried: list[tuple[ModelFacts, ProviderFailure]] = []
    while model := walk.next():
        failure = failures[len(tried)]
        asked = walk.asked(model)
        assert asked.max_tokens is None or asked.max_tokens >= 1
        walk.records.append(Attempt(model.id, model.provider.name, error=failure.code))
        tried.append((model, failure))
        walk.failed(model, failure)
    assert 1 <= len(tried) <= MOST_ATTEMPTS
    assert walk.next() is None
    for model in models:
        times = [failure for each, failure in tried if each.pk == model.pk]
        assert len(times) <= 3
        assert all(failure.again or isinstance(failure, errors.OutputTooLong) for failure in times[:-1])
    for place, (model, failure) in enumerate(tried):
        after = tried[place + 1 :]
        if failure.moves_on is MovesOn.NOWHERE:
            assert after == []
        if isinstance(failure, errors.Overflowed):
            assert all(each.context_size > model.context_size or error.again for each, error in tried[place + 1 :])
    _check_outcome(walk, tried)


def _check_outcome(walk: _Walk, tried: list[tuple[ModelFacts, ProviderFailure]]) -> None:
    told = walk.outcome()
    assert len(told.tried) == len(tried)
    last = tried[-1][1]
    again = [model == after for (model, _), (after, _) in pairwise(tried)] + [False]
    kept = [
        each
        for each, more in zip(tried, again, strict=True)
        if not (more and isinstance(each[1], errors.OutputTooLong))
    ]
    too_long = [each for each in kept if each[1].moves_on is MovesOn.LARGER]
    small = max((model.context_size for model, _ in too_long), default=0)
    others = {type(failure) for model, failure in kept if model.context_size > small}
    if last.moves_on is MovesOn.NOWHERE:
        assert told is last
    elif not others:
        assert told.status == 400
    elif too_long or len(others) > 1:
        assert told.status == (429 if errors.RateLimited in others else 503)
        assert told.retry_after is not None
    else:
        assert type(told) in others


def _walked(
    *steps: tuple[ModelFacts, ProviderFailure], rooms: dict[int, int] | None = None, begun: int = 1, **asked: int
) -> _Walk:
    """Return a walk over these models, each of which fails like this after so many were begun."""
    models = [model for model, _ in steps]
    walk = _Walk(request(**asked), Route(models, Decision(10, 1, (), ()), rooms=rooms or {}))
    for place in range(0, len(steps), begun):
        for model, failure in steps[place : place + begun]:
            assert walk.next() == model
            walk.records.append(Attempt(model.id, model.provider.name, error=failure.code))
        for model, failure in steps[place : place + begun]:
            walk.failed(model, failure)
    return walk


def test_a_failure_of_a_smaller_window_does_not_matter() -> None:
    """What did not fit into the larger window would not have fitted into the smaller one either."""
    small, large = model_facts(id="small", context_size=1000), model_facts(id="large", context_size=2000)
    walk = _walked((small, errors.Broken("x", upstream_status=500)), (large, errors.Overflowed("x")))
    assert walk.next() is None
    assert walk.outcome().code == "context_length_exceeded"


def test_a_failure_of_a_larger_window_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalation, "retry_budget", RetryBudget())
    small, large = model_facts(id="small", context_size=1000), model_facts(id="large", context_size=2000)
    walk = _walked((large, errors.Broken("x", upstream_status=500)), (small, errors.Overflowed("x")))
    assert walk.next() == large
    assert walk.outcome().code == "all_models_failed"


def test_what_is_bounded_by_its_cost_can_still_be_cured() -> None:
    model = model_facts(context_size=1000)
    walk = _walked((model, errors.OutputTooLong("x", limit=50)), rooms={model.pk: 400})
    assert walk.next() == model
    assert walk.asked(model).max_tokens == 50


def test_a_cure_by_the_window_that_the_provider_tells() -> None:
    """Its window may be smaller than the registry knows: half of what was asked for would not fit either."""
    model = model_facts(context_size=2048)
    walk = _walked((model, errors.OutputTooLong("x", window=512)), max_tokens=2000)
    assert walk.next() == model
    assert 400 < (walk.asked(model).max_tokens or 0) < 512


def test_a_small_window_that_is_told_does_not_prevent_the_cure() -> None:
    """The estimate of the prompt may be too high for it."""
    model = model_facts(context_size=2048)
    walk = _walked((model, errors.OutputTooLong("x", window=11)), max_tokens=2000)
    assert walk.next() == model
    assert walk.asked(model).max_tokens


def test_what_the_caller_has_to_mend_ends_the_walk_of_two() -> None:
    first, second = model_facts(id="first"), model_facts(id="second")
    walk = _walked((first, errors.Rejected("x", upstream_status=422)), (second, errors.Broken("x")), begun=2)
    assert walk.next() is None
    assert walk.outcome().status == 422
