"""Whatever fails, in whatever order: the walk ends, repeats nothing in vain, and says something true at its end."""

from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import MovesOn, ProviderFailure
from gateway.escalation import MOST_ATTEMPTS, _Walk
from gateway.exchange import Attempt, Decision
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
    _check_outcome(walk, [failure for _, failure in tried])


def _check_outcome(walk: _Walk, failures: list[ProviderFailure]) -> None:
    told = walk.outcome()
    assert len(told.tried) == len(failures)
    kinds = {type(failure) for failure in failures}
    if len(kinds) == 1 or failures[-1].moves_on is MovesOn.NOWHERE:
        assert told is failures[-1]
    else:
        assert told.status == (429 if errors.RateLimited in kinds else 503)
        assert told.retry_after is not None
