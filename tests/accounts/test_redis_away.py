"""While Redis is away or hangs, limits decide as configured and nobody waits; many requests at once are no outage."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.accounts.load import ask, config, percentile, steadily, the_books_are_exact
from tests.databases import own_database
from tests.proxy import Mood, Proxy
from tests.scripted import ScriptedProvider
from tests.server import Gateway, wait_for

REDIS = "redis://127.0.0.1:6379/0"
AWAY_SECONDS = float(os.environ.get("TOKENHUB_TEST_AWAY_SECONDS", "5"))
LIMITS = ("--rpm", "100000", "--tpm", "1000000000", "--concurrent", "10000")


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    an_outage_decides_nothing("hanging", "open", provider, tmp_path)


@pytest.mark.parametrize(("mood", "door"), [("refusing", "open"), ("hanging", "closed")])
def test_the_door_is_as_configured(provider: ScriptedProvider, tmp_path: Path, mood: Mood, door: str) -> None:
    an_outage_decides_nothing(mood, door, provider, tmp_path)


def an_outage_decides_nothing(mood: Mood, door: str, provider: ScriptedProvider, folder: Path) -> None:
    """Ask steadily before, in and after an outage."""
    with own_database() as database, Proxy(REDIS) as way:
        settings = {"REDIS_URL": way.url, "WEB_CONCURRENCY": "2", "TOKENHUB_LIMITS_WHEN_AWAY": door, **database}
        with Gateway(folder, config(provider), **settings) as hub:
            token = hub.key(*LIMITS)
            said = len(hub.log)
            with steadily(lambda: ask(hub, token), a_second=15) as answers:
                assert wait_for(lambda: len(answers) > 10)
                way.be(mood)
                away = {"open": 200, "closed": 503}[door]
                assert wait_for(lambda: not counts(hub, token))
                statuses = {ask(hub, token).status for _ in range(5)}
                threading.Event().wait(AWAY_SECONDS)
                way.be("well")
                assert wait_for(lambda: all(counts(hub, token) for _ in range(10)), 20)
            assert statuses == {away}
            assert {each.status for each in answers} == {200, away}
            figures = [percentile(answers, part) for part in (0.5, 0.9, 0.99)]
            print(mood, door, len(answers), [round(each, 3) for each in figures], (len(hub.log) - said) / len(answers))
            assert all(figure <= most for figure, most in zip(figures, (1, 2, 3), strict=True)), figures
            assert len(hub.log) - said < 10_000 * len(answers)
            assert "Traceback" not in hub.log
            the_books_are_exact(hub, provider)


def counts(hub: Gateway, token: str) -> bool:
    """Whether a request was counted."""
    return "x-ratelimit-limit-requests" in ask(hub, token).told.headers


def test_a_crowd_is_no_outage(provider: ScriptedProvider, tmp_path: Path) -> None:
    with (
        own_database() as database,
        Proxy(REDIS) as way,
        Gateway(tmp_path, config(provider), REDIS_URL=way.url, TOKENHUB_LIMITS_WHEN_AWAY="closed", **database) as hub,
    ):
        token = hub.key(*LIMITS)
        with ThreadPoolExecutor(32) as askers:  # twice as many as there are connections
            answers = list(askers.map(lambda _: ask(hub, token), range(400)))
        assert [line for line in hub.log.splitlines() if "cannot be checked" in line] == []
        assert {each.status for each in answers} == {200}
        assert all("x-ratelimit-limit-requests" in each.told.headers for each in answers)
        assert way.open_connections <= 17  # 16 that count, and one that looks for cooldowns
