"""While PostgreSQL is away known keys are served and nothing is lost, whether it refuses or hangs."""

import os
import threading
import time
from pathlib import Path

from tests.accounts.load import ask, config, percentile, steadily, the_books_are_exact
from tests.databases import own_database
from tests.proxy import Mood, Proxy
from tests.scripted import ScriptedProvider
from tests.server import Gateway, wait_for

AWAY_SECONDS = float(os.environ.get("TOKENHUB_TEST_AWAY_SECONDS", "6"))
UNKNOWN = f"th_{'a' * 16}_{'b' * 32}"


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    an_outage_costs_nothing("refusing", provider, tmp_path)


def test_a_database_that_hangs_is_like_one_that_is_gone(provider: ScriptedProvider, tmp_path: Path) -> None:
    an_outage_costs_nothing("hanging", provider, tmp_path)


def an_outage_costs_nothing(mood: Mood, provider: ScriptedProvider, folder: Path) -> None:
    """Ask with three keys before, in and after an outage: one without bounds, one with limits, one with a budget."""
    with own_database() as database, Proxy(database["DATABASE_URL"]) as way:
        settings = {"DATABASE_URL": way.url, "WEB_CONCURRENCY": "2"}
        with Gateway(folder, config(provider), **settings) as hub:
            free = hub.key(name="free")
            limited = hub.key("--rpm", "100000", "--concurrent", "1000", name="limited")
            budgeted = hub.key("--budget-usd", "1000", name="budgeted")
            assert ask(hub, UNKNOWN).status == 401
            with (
                steadily(lambda: ask(hub, free), a_second=8) as of_free,
                steadily(lambda: ask(hub, limited), a_second=8) as of_limited,
                steadily(lambda: ask(hub, budgeted), a_second=4) as of_budgeted,
            ):
                assert wait_for(lambda: len(of_budgeted) > 3)
                began = time.monotonic()
                way.be(mood)
                assert wait_for(lambda: all(ask(hub, UNKNOWN).status == 503 for _ in range(10)), 10)
                threading.Event().wait(AWAY_SECONDS)
                away = ask(hub, UNKNOWN).status
                way.be("well")
                ended = time.monotonic()
                assert wait_for(lambda: all(ask(hub, UNKNOWN).status == 401 for _ in range(10)), 20)
                assert wait_for(lambda: ask(hub, budgeted).status == 200, 20)
            assert away == 503
            assert [each.status for each in of_free + of_limited if each.status != 200] == []
            assert percentile(of_free, 0.99) < 2
            assert max(each.took for each in of_limited + of_budgeted) < 8
            assert {each.status for each in of_budgeted} == {200, 503}
            refused = [each for each in of_budgeted if each.status == 503]
            assert all(began - 5 < each.began < ended + 5 for each in refused)
            assert all(each.told.json()["error"]["code"] == "service_unavailable" for each in refused)
            hub.environment["DATABASE_URL"] = database["DATABASE_URL"]
            the_books_are_exact(hub, provider)
        assert hub.log.count("limits cannot be checked") <= 2 * (1 + hub.log.count("limits can be checked again"))
        assert "Traceback" not in hub.log
        for name, answers in (("free", of_free), ("limited", of_limited), ("budgeted", of_budgeted)):
            print(name, len(answers), [round(percentile(answers, part), 2) for part in (0.5, 0.9, 0.99, 1)])
