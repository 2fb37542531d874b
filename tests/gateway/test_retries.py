"""Retries of the same model stay a fifth of the traffic of the last ten seconds, and three in any case."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.retries import RetryBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_works() -> None:
    budget = RetryBudget(Clock())
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    for _ in range(20):
        budget.request()
    assert [budget.take() for _ in range(2)] == [True, False]


def test_the_past_is_forgotten() -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    while budget.take():
        pass
    clock.now = 10.1
    assert budget.take()


@given(st.lists(st.one_of(st.just("request"), st.just("retry"), st.floats(0, 20)), max_size=200))
def test_it_is_never_overdrawn(happening: list[str | float]) -> None:
    clock = Clock()
    budget = RetryBudget(clock)
    requests: list[float] = []
    retries: list[float] = []
    for event in happening:
        if isinstance(event, float):
            clock.now += event
        elif event == "request":
            budget.request()
            requests.append(clock.now)
        elif budget.take():
            retries.append(clock.now)
            recent = [at for at in requests if at >= clock.now - 10]
            assert len([at for at in retries if at >= clock.now - 10]) <= max(3, 0.2 * len(recent) + 1)
