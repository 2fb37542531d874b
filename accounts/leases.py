"""The reservations of a worker's calls that are under way: made beside the hub, prolonged while the calls last."""

import time
from collections.abc import Sequence
from typing import Final

from django.db import Error as DatabaseFault

from accounts import budgets
from accounts.facts import BudgetFacts
from registry import threads
from registry.polling import Poll

_RENEWAL_SECONDS: Final = budgets.LEASE_SECONDS / 4


class Leases:
    """Who has reserved something here and has not ended yet."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._pool = threads.Pool(4)  # of their own, so that no page of the admin keeps a call waiting
        self.poll = Poll("lease-poll", self.keep, seconds=lambda: _RENEWAL_SECONDS)

    def hold(self, request_id: str, owed: Sequence[BudgetFacts], amount_micro: int) -> None:
        """Reserve an amount for a call; raises `BudgetSpent` and django.db.Error."""
        self._pool.run(budgets.reserve, request_id, owed, amount_micro, time.time())
        self._held.add(request_id)

    def ended(self, request_id: str) -> bool:
        """Prolong nothing more for a call; returns whether anything was reserved, which is freed when it is booked."""
        try:
            self._held.remove(request_id)
        except KeyError:
            return False
        return True

    def keep(self) -> None:
        """Prolong what is held, and free what dead workers held. In an outage it is the next time that counts."""
        try:
            self._pool.run(_keep, list(self._held), time.time())
        except DatabaseFault:  # the ledger tells it
            return


def _keep(held: list[str], now: float) -> None:
    budgets.renew(held, now)
    budgets.sweep(now)


leases = Leases()
