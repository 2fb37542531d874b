"""A lock that another session holds keeps no request waiting for more than some seconds, and ends with that session."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.accounts.load import Answered, ask, booked, config, the_books_are_exact
from tests.databases import own_database
from tests.scripted import ScriptedProvider
from tests.server import Gateway, wait_for


@contextmanager
def started(provider: ScriptedProvider, folder: Path, door: str) -> Iterator[Gateway]:
    """A gateway of one worker, whose door is open or closed where limits cannot be counted."""
    with (
        own_database() as database,
        Gateway(folder, config(provider), TOKENHUB_LIMITS_WHEN_AWAY=door, **database) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One whose door is open."""
    with started(provider, tmp_path_factory.mktemp("locked"), "open") as hub:
        yield hub


@contextmanager
def locked(gateway: Gateway, table: str) -> Iterator[None]:
    """Hold a table as a session does that forgot to commit."""
    with psycopg.connect(gateway.environment["DATABASE_URL"]) as session:
        session.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        session.rollback()


def at_once(gateway: Gateway, token: str, number: int) -> list[Answered]:
    """Ask so often at the same time."""
    with ThreadPoolExecutor(number) as askers:
        return list(askers.map(lambda _: ask(gateway, token), range(number)))


def test_it_works(running: Gateway, provider: ScriptedProvider) -> None:
    limits_that_are_locked_decide_nothing(running, 200)
    the_books_are_exact(running, provider)


def test_a_closed_door_is_told(provider: ScriptedProvider, tmp_path: Path) -> None:
    with started(provider, tmp_path, "closed") as hub:
        limits_that_are_locked_decide_nothing(hub, 503)


def limits_that_are_locked_decide_nothing(hub: Gateway, status: int) -> None:
    """Ask while nobody can count, and until it can be counted again."""
    token = hub.key("--rpm", "1000", "--concurrent", "100")
    assert is_counted(ask(hub, token))
    with locked(hub, "accounts_limitwindow"):
        first = at_once(hub, token, 20)
        later = at_once(hub, token, 20)
    assert [(each.status, is_counted(each)) for each in first + later] == [(status, False)] * 40
    assert max(each.took for each in first) < 5
    assert max(each.took for each in later) < 2  # what did not answer a moment ago is not asked again
    assert hub.log.count("limits cannot be checked") == 1
    assert wait_for(lambda: is_counted(ask(hub, token)), 8)
    assert hub.log.count("limits can be checked again") == 1


def is_counted(answer: Answered) -> bool:
    """Whether a request was counted."""
    return "x-ratelimit-limit-requests" in answer.told.headers


def test_a_budget_that_cannot_be_read_is_told_and_comes_back(running: Gateway, provider: ScriptedProvider) -> None:
    before = booked(running)
    token = running.key("--budget-usd", "5")
    assert ask(running, token).status == 200
    with locked(running, "accounts_budgetuse"):
        refused = at_once(running, token, 20)
    assert {each.status for each in refused} == {503}
    assert max(each.took for each in refused) < 8
    assert wait_for(lambda: ask(running, token).status == 200, 8)
    the_books_are_exact(running, provider, before=before)


def test_a_lock_of_the_books_holds_nobody_up(running: Gateway, provider: ScriptedProvider) -> None:
    before = booked(running)
    token = running.key()
    with locked(running, "accounts_call"):
        answers = at_once(running, token, 20)
    assert {each.status for each in answers} == {200}
    the_books_are_exact(running, provider, before=before)


def test_commands_may_take_long(running: Gateway) -> None:
    shown = "from django.db import connection; c = connection.cursor(); c.execute('SHOW {}'); print(c.fetchone())"
    for name in ("statement_timeout", "lock_timeout"):
        assert running.run("shell", "-v0", "-c", shown.format(name)).stdout.strip() == "('0',)"
