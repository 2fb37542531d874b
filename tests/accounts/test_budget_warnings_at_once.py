"""However many transactions pass a mark at the same time, one of them tells it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest
from django.db import OperationalError, connection
from pytest_django.fixtures import Settings

from accounts import budget_warnings
from accounts.ledger import book
from accounts.models import Budget, BudgetUse, BudgetWarning
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key
from tests.accounts.test_budget_warnings import NOW

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 8
ROUNDS = 5


def at_once(do: Callable[[int], object]) -> list[object]:
    """What several threads get, that begin together, each with a connection of its own."""
    ready = Barrier(AT_ONCE)

    def run(number: int) -> object:
        ready.wait(20)
        try:
            while True:
                # SQLite in memory does not wait for its lock; what failed left nothing behind
                with suppress(OperationalError):
                    return do(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(AT_ONCE)))


def test_it_works() -> None:
    for each in range(ROUNDS):
        key, _ = a_key(f"app {each}")
        budget = Budget.objects.create(key=key, period="total", amount_micro=100 * AT_ONCE)
        BudgetUse.objects.create(budget=budget, start="1970-01-01", spent_micro=45 * AT_ONCE)
        # each transaction spends so much that 50 and 80 % are passed somewhere in the middle of all, and 100 never
        at_once(lambda n: book([a_call(f"r{each}_{n}", an_attempt(cost_micro=50), key=key.pk, at=NOW)]))  # noqa: B023
        assert BudgetUse.objects.get(budget=budget).spent_micro == 95 * AT_ONCE
        assert sorted(BudgetWarning.objects.filter(use__budget=budget).values_list("percent", flat=True)) == [50, 80]


def test_one_of_many_who_deliver_gets_a_warning(settings: Settings) -> None:
    settings.TOKENHUB_BUDGET_WEBHOOK = "http://127.0.0.1:9/"
    key, _ = a_key()
    Budget.objects.create(key=key, period="total", amount_micro=100)
    book([a_call("req_1", an_attempt(cost_micro=60), key=key.pk, at=NOW)])
    later = time.time() + 60
    claimed = at_once(lambda _: budget_warnings.claim(later))
    assert sum(each is not None for each in claimed) == 1
