"""While PostgreSQL or Redis is away two gateways serve whom they know, lose nothing, and come back by themselves."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest
import requests

from tests.accounts.load import Answered, ask, booked, percentile, steadily, the_books_are_exact
from tests.accounts.test_few_connections import OF_A_WORKER, at_work, connections, speak_slowly
from tests.pair.hubs import CONNECTIONS, Pair, config, started
from tests.scripted import ScriptedProvider
from tests.server import Gateway, wait_for

UNKNOWN = f"th_{'a' * 16}_{'b' * 32}"
LIMITS = ("--rpm", "100000", "--tpm", "1000000000", "--concurrent", "10000")
AWAY_SECONDS = float(os.environ.get("TOKENHUB_TEST_AWAY_SECONDS", "3"))
READINESS = ("/health/ready", "/health/ready?exclude=database")
DOORS = ("open", "closed")


@pytest.fixture(scope="module")
def pair(
    provider: ScriptedProvider, other: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Two gateways of one worker each; without Redis the first lets requests pass and the second does not."""
    settings = ({"TOKENHUB_LIMITS_WHEN_AWAY": door} for door in DOORS)
    with started(config(provider, other), tmp_path_factory.mktemp("pair"), *settings) as running:
        yield running


def test_it_works(pair: Pair, other: ScriptedProvider) -> None:
    """PostgreSQL is gone for a while: known keys are served by both, and what they used is booked once it is back."""
    limited = pair.key(*LIMITS, name="limited")
    budgeted = pair.key("--budget-usd", "1000", name="budgeted")
    before = booked(pair.hubs[0])
    with ExitStack() as asking:
        answers = {
            (hub.port, token): asking.enter_context(steadily(partial(ask, hub, token), a_second=6))
            for hub in pair.hubs
            for token in (limited, budgeted)
        }
        assert wait_for(lambda: all(len(each) > 3 for each in answers.values()), 20)
        pair.postgres.be("refusing")
        assert wait_for(lambda: statuses_of(pair, UNKNOWN) == {503}, 20)
        assert [readiness(hub, path) for path in READINESS for hub in pair.hubs] == [503, 503, 200, 200]
        threading.Event().wait(AWAY_SECONDS)
        pair.postgres.be("well")
        assert wait_for(lambda: statuses_of(pair, UNKNOWN) == {401}, 20)
        assert wait_for(lambda: statuses_of(pair, budgeted) == {200}, 20)
    for (_, token), told in answers.items():
        assert {each.status for each in told} == ({200} if token == limited else {200, 503})
    the_books_are_exact(pair.hubs[0], other, before=before)


def statuses_of(pair: Pair, token: str) -> set[int]:
    """How both answer now, each of them asked twice."""
    return {ask(hub, token).status for hub in pair.hubs * 2}


def readiness(hub: Gateway, path: str) -> int:
    """What an orchestrator is told."""
    return requests.get(f"{hub.url}{path}", timeout=20).status_code


def test_without_redis_limits_are_as_configured(pair: Pair, other: ScriptedProvider) -> None:
    token = pair.key(*LIMITS, name="without redis")
    before = booked(pair.hubs[0])
    wanted = {"open": 200, "closed": 503}
    with ExitStack() as asking:
        answers = [asking.enter_context(steadily(partial(ask, hub, token), a_second=10)) for hub in pair.hubs]
        assert wait_for(lambda: all(len(each) > 5 for each in answers), 20)
        pair.redis.be("hanging")
        assert wait_for(lambda: not any(counts(hub, token) for hub in pair.hubs), 20)
        away = [ask(hub, token).status for hub in pair.hubs]
        threading.Event().wait(AWAY_SECONDS)
        pair.redis.be("well")
        assert wait_for(lambda: all(counts(hub, token) for hub in pair.hubs * 3), 20)
    assert away == [wanted[door] for door in DOORS]
    for door, told in zip(DOORS, answers, strict=True):
        assert {each.status for each in told} == {200, wanted[door]}
        assert percentile(told, 0.99) <= 3
    the_books_are_exact(pair.hubs[0], other, before=before)


def counts(hub: Gateway, token: str) -> bool:
    """Whether a request was counted."""
    return "x-ratelimit-limit-requests" in ask(hub, token).told.headers


def test_many_streams_need_few_connections(pair: Pair, other: ScriptedProvider) -> None:
    tokens = (pair.key(*LIMITS, name="streams"), pair.key("--budget-usd", "1000", name="paid streams"))
    before = booked(pair.hubs[0])
    said = speak_slowly(other)
    streams = 100

    def stream(number: int) -> Answered:
        return ask(pair.hubs[number % 2], tokens[number // 2 % 2], stream=True)

    with ThreadPoolExecutor(streams) as askers:
        asking = [askers.submit(stream, number) for number in range(streams)]
        other.wait_until(lambda: len(other.requests) == streams, 40)
        assert wait_for(lambda: at_work(pair.database, pair.postgres.url) == 0)
        opened = connections(pair.database, pair.postgres.url)
        said.set()
        answers = [each.result() for each in asking]
    assert {each.status for each in answers} == {200}
    assert all(each.told.content.endswith(b"data: [DONE]\n\n") for each in answers)
    assert 0 < opened <= len(pair.hubs) * OF_A_WORKER < CONNECTIONS
    the_books_are_exact(pair.hubs[0], other, before=before)
