"""How long the hub was held is known by a timer that runs late, and told to the log now and then."""

import logging
from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from gateway import watchdog as module
from gateway.watchdog import Watchdog
from tests.clock import Clock


class Listener(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.heard.append(record)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """What the watchdog says to the log."""
    handler = Listener()
    module.logger.addHandler(handler)
    yield handler
    module.logger.removeHandler(handler)


def beaten(clock: Clock) -> Watchdog:
    """A watchdog after its first beat."""
    dog = Watchdog(clock)
    clock.sleep(5)  # to load
    dog.beat()
    return dog


def late(dog: Watchdog, clock: Clock, *lags: float) -> None:
    """Let it beat so many seconds late."""
    for lag in lags:
        clock.sleep(0.05 + lag)
        dog.beat()


def test_it_works() -> None:
    clock = Clock()
    dog = beaten(clock)
    assert dog.longest == 0
    late(dog, clock, 0.0, 0.2, 0.1, 0.0)
    assert dog.longest == pytest.approx(0.2)


def test_what_was_long_ago_is_forgotten() -> None:
    clock = Clock()
    dog = beaten(clock)
    late(dog, clock, 0.2)
    late(dog, clock, *[0.0] * 20 * 59)
    assert dog.longest == pytest.approx(0.2)
    late(dog, clock, *[0.0] * 20 * 2)
    assert dog.longest == pytest.approx(0, abs=1e-6)


def test_one_warning_a_minute_tells_of_all(settings: Settings, listener: Listener) -> None:
    settings.TOKENHUB_HUB_LAG_SECONDS = 0.5
    clock = Clock()
    dog = beaten(clock)
    late(dog, clock, 0.4, 0.6, 0.7, 0.8)
    clock.sleep(60)
    dog.beat()
    told = [(record.levelname, vars(record)["lag_seconds"], vars(record)["untold"]) for record in listener.heard]
    assert told == [("WARNING", 0.6, 0), ("WARNING", 59.95, 2)]
