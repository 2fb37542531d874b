"""How models have done of late: averages that a model cannot better by failing, nor by being given up."""

import pytest

from gateway.metrics import Standings
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    """The time of a test."""
    return Clock()


@pytest.fixture
def seen(clock: Clock) -> Standings:
    """Standings by that time."""
    return Standings(lambda: clock.now)


def test_it_works(seen: Standings) -> None:
    seen.answered(1, 100.0)
    seen.answered(1, 200.0)
    assert seen.of(1).ttft_ms == pytest.approx(120.0)
    assert seen.of(1).failure_rate == 0.0
    assert seen.of(2).ttft_ms is None


def test_a_quick_failure_is_no_quick_answer(seen: Standings) -> None:
    seen.failed(1, 2.0)
    assert (seen.of(1).ttft_ms, seen.of(1).failure_rate) == (1000.0, 1.0)
    seen.answered(2, 3000.0)
    seen.failed(2, 2.0)
    assert seen.of(2).ttft_ms == pytest.approx(3000.0)


def test_a_long_failure_counts_as_long_as_it_took(seen: Standings) -> None:
    seen.answered(1, 100.0)
    seen.failed(1, 60_100.0)
    assert seen.of(1).ttft_ms == pytest.approx(12_100.0)


@pytest.mark.parametrize("ms", [5.0, 99.0])
def test_who_is_given_up_early_is_not_known_better(seen: Standings, ms: float) -> None:
    seen.given_up(1, ms)
    assert seen.of(1).ttft_ms is None
    seen.answered(1, 100.0)
    seen.given_up(1, ms)
    assert (seen.of(1).ttft_ms, seen.of(1).failure_rate) == (100.0, 0.0)


def test_who_is_given_up_late_is_slow(seen: Standings) -> None:
    seen.given_up(1, 5000.0)
    assert seen.of(1).ttft_ms == 5000.0
    seen.answered(2, 100.0)
    seen.given_up(2, 5100.0)
    assert seen.of(2).ttft_ms == pytest.approx(1100.0)
    assert seen.of(2).failure_rate == 0.0


def test_what_is_old_is_forgotten(seen: Standings, clock: Clock) -> None:
    seen.answered(1, 100.0)
    clock.sleep(301)
    assert seen.of(1).ttft_ms is None
