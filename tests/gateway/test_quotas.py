"""A model that is at its limit is passed over before it is asked: no attempt, no failure, and nothing cools."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from accounts.limits import Subject, Verdict, Window, decide
from gateway import errors, escalation, quotas
from gateway.adapters.transport import Transport
from gateway.cooldown import cooldowns
from gateway.errors import AllLimited, AtItsLimit, GatewayError, Uncounted
from gateway.escalation import _Walk
from gateway.exchange import Attempt, Call, Decision, Delta, Ranked
from gateway.metrics import standings
from gateway.patience import Patience
from gateway.retries import RetryBudget
from gateway.router import Route
from gateway.throttling import throttle
from registry.snapshot import ModelFacts
from tests.clock import Clock
from tests.facts import model_facts
from tests.gateway.test_router import request


class Memory:
    """A place to count in that is this process alone; `asked` are the subjects of every admission."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.windows: dict[str, Window] = {}
        self.asked: list[str] = []
        self.is_away = False

    def admit(self, subjects: Sequence[Subject], request: str, tokens: int) -> Verdict:
        self._check()
        self.asked += [each.name for each in subjects]
        windows = [self.windows.setdefault(each.name, Window()) for each in subjects]
        return decide(subjects, windows, request, tokens, now=self.clock())

    def end(self, names: Sequence[str], request: str, more_tokens: int, second: int) -> None:
        self._check()
        for name in names:
            self.windows[name].end(request, more_tokens, second, self.clock())

    def renew(self, held: Mapping[str, Sequence[str]]) -> None:
        for under_way, names in held.items():
            for name in names:
                self.windows[name].renew(under_way, self.clock())

    def _check(self) -> None:
        if self.is_away:
            raise OSError("away")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Where these tests count."""
    memory = Memory()
    for name, value in {"_store": memory, "_held": {}, "_away_until": 0.0}.items():
        monkeypatch.setattr(throttle, name, value)
    monkeypatch.setattr(escalation, "retry_budget", RetryBudget())
    return memory


def a_call(*models: ModelFacts) -> Call:
    """Return the record of a call for which these models are ranked."""
    ranked = [Ranked(each.id, each.provider.name, each.weight, {}, "score", 10) for each in models]
    return Call("req_1", "POST /", 0.0, decisions=[Decision(10, 1, ranked, ())])


def pieces(call: Call, *models: ModelFacts) -> Generator[Delta]:
    """Yield the pieces of a stream that is asked of these models."""
    route = Route(list(models), call.decisions[-1])
    return escalation.answer(request(stream=True), route, Patience(5), transport=Transport(), call=call)


def asked(*models: ModelFacts) -> Call:
    """Return the record of a walk along these models."""
    call = a_call(*models)
    list(pieces(call, *models))
    return call


def refusal(*models: ModelFacts) -> GatewayError:
    """Return what a caller is told for whom nobody has room."""
    with pytest.raises(GatewayError) as told:
        asked(*models)
    return told.value


def test_it_works(store: Memory) -> None:
    first, second = model_facts(id="a", rpm=1), model_facts(id="b", rpm=1)
    assert [each.model for each in asked(first, second).attempts] == ["a"]
    call = asked(first, second)
    assert [each.model for each in call.attempts] == ["b"]
    (made,) = call.decisions
    assert [each.model for each in made.ranked] == ["b"]
    assert [(each.model, each.reason) for each in made.excluded] == [("a", "at its limit of 1 requests a minute")]
    store.clock.sleep(20)
    told = refusal(first, second)
    assert (type(told), told.status, told.code, told.retry_after) == (AllLimited, 429, "rate_limit_exceeded", 41.0)
    assert told.message == (
        "No model could answer (a: at its limit of 1 requests a minute; b: at its limit of 1 requests a minute)."
    )
    store.clock.sleep(41)
    assert [each.model for each in asked(first, second).attempts] == ["a"]


def test_only_who_is_asked_is_counted(store: Memory) -> None:
    free, limited = model_facts(id="free"), model_facts(id="limited", rpm=1)
    for _ in range(3):
        asked(free, limited)
    assert store.asked == []
    asked(limited, free)
    assert store.asked == [f"model:{limited.pk}"]


def test_the_shortest_wait_is_told(store: Memory) -> None:
    slow, quick = model_facts(id="slow", rpm=1), model_facts(id="quick", concurrent=1)
    asked(slow)
    under_way = pieces(a_call(quick), quick)
    next(under_way)
    assert refusal(slow, quick).retry_after == 1.0
    assert refusal(slow).retry_after == 61.0
    under_way.close()


def test_nothing_cools_and_nobody_failed() -> None:
    model = model_facts(rpm=1)
    asked(model)
    for _ in range(5):
        assert refusal(model).tried == []
    assert cooldowns.state(model) is None
    assert standings.of(model.pk).failure_rate == 0


def test_a_probe_is_left_to_the_next(store: Memory) -> None:
    model = model_facts(rpm=1)
    asked(model)
    for _ in range(3):
        cooldowns.failed(cooldowns.unasked(model), errors.Broken("x"))
    call = a_call(model)
    route = Route([model], call.decisions[-1], probe=True)
    with pytest.raises(AllLimited):
        list(escalation.answer(request(), route, Patience(5), transport=Transport(), call=call))
    assert cooldowns.begin(model, probe=True) is not None


def test_a_place_is_free_when_the_answer_has_ended_or_nobody_wants_it(store: Memory) -> None:
    model = model_facts(concurrent=1)
    for _ in range(3):
        asked(model)
    under_way = pieces(a_call(model), model)
    next(under_way)
    assert refusal(model).message == "No model could answer (m: at its limit of 1 requests at the same time)."
    under_way.close()
    asked(model)
    assert store.windows[f"model:{model.pk}"].held == {}


def test_a_place_is_held_for_as_long_as_it_is_used(store: Memory) -> None:
    model = model_facts(concurrent=1)
    under_way = pieces(a_call(model), model)
    next(under_way)
    for _ in range(5):
        store.clock.sleep(60)
        throttle.renew()
    assert refusal(model).status == 429
    store.clock.sleep(100)  # as if its worker had died
    asked(model)
    under_way.close()


def test_two_attempts_of_a_call_hold_two_places(store: Memory) -> None:
    model = model_facts(concurrent=2)
    for _ in range(2):
        quotas.take(request(), model, "req_1")
    with pytest.raises(AtItsLimit):
        quotas.take(request(), model, "req_1")


def test_tokens_are_set_right_at_the_end(store: Memory) -> None:
    model = model_facts(tpm=1000)
    release = quotas.take(request(max_tokens=900), model, "req_1")
    with pytest.raises(AtItsLimit, match="at its limit of 1000 tokens a minute"):
        quotas.take(request(max_tokens=900), model, "req_2")
    release(40)
    release(10_000)  # it is free already
    quotas.take(request(max_tokens=900), model, "req_3")
    assert 940 < store.windows[f"model:{model.pk}"].sum(1) <= 1000


def test_an_outage_opens_or_closes_the_model(store: Memory, settings: Any) -> None:
    store.is_away = True
    limited, free = model_facts(id="limited", rpm=1), model_facts(id="free")
    for _ in range(3):
        assert [each.model for each in asked(limited, free).attempts] == ["limited"]
    settings.TOKENHUB_LIMITS_WHEN_AWAY = "closed"
    assert [each.model for each in asked(limited, free).attempts] == ["free"]
    told = refusal(limited)
    assert (type(told), told.status, told.code, told.retry_after) == (Uncounted, 503, "service_unavailable", 5.0)


FULL = AtItsLimit("at its limit of 1 requests a minute", retry_after=40.0)


def walked(*steps: tuple[ModelFacts, GatewayError]) -> _Walk:
    """Return a walk along these models, each of which fails like this or has no room."""
    models = [model for model, _ in steps]
    walk, call = _Walk(request(), Route(models, Decision(10, 1, (), ()))), a_call(*models)
    for model, failure in steps:
        assert walk.next() == model
        if isinstance(failure, errors.ProviderFailure):
            walk.records.append(Attempt(model.id, model.provider.name, error=failure.code))
            walk.failed(model, failure)
        elif isinstance(failure, AtItsLimit):
            walk.had_no_room(model, failure, call)
    return walk


@pytest.mark.parametrize(
    ("failure", "status", "wait"),
    [
        (errors.CredentialsRefused("x"), 429, 40.0),
        (errors.RateLimited("x", retry_after=7), 429, 7),
        (errors.Rejected("x", upstream_status=422), 422, None),
        (errors.Overflowed("x"), 429, 40.0),
    ],
)
def test_it_is_told_beside_what_else_failed(failure: errors.ProviderFailure, status: int, wait: float | None) -> None:
    small, large = model_facts(id="small", context_size=1000), model_facts(id="large", context_size=2000)
    if failure.moves_on is errors.MovesOn.NOWHERE:
        told = walked((large, FULL), (small, failure)).outcome()
    else:
        told = walked((small, failure), (large, FULL)).outcome()
    assert (told.status, told.retry_after) == (status, wait)


def test_who_failed_is_asked_once_more_where_the_next_has_no_room() -> None:
    first, second = model_facts(id="first"), model_facts(id="second")
    walk = walked((first, errors.Broken("x", upstream_status=500)), (second, FULL))
    assert not walk.has_more()
    walk.nobody_left()
    assert walk.next() == first
    assert walk.backoff > 0


def test_a_repeat_without_room_is_not_made_and_the_failure_told() -> None:
    model = model_facts()
    walk = walked((model, errors.Broken("x", upstream_status=500)))
    assert walk.next() == model
    call = a_call(model)
    walk.had_no_room(model, FULL, call)
    walk.nobody_left()
    assert not walk.has_more()
    assert (walk.outcome().status, call.decisions[-1].excluded) == (502, ())
