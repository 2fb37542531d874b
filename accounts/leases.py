"""The reservations of a worker's calls that are under way: made beside the hub, prolonged while the calls last."""

import time
from collections.abc import Sequence
from typing import Final

from django.db import Error as DatabaseFault

from accounts import budgets
from accounts.facts import BudgetFacts
from accounts.ledger import ledger
from accounts.waiting import pool, run_or_undo
from registry.polling import Poll

_RENEWAL_SECONDS: Final = budgets.LEASE_SECONDS / 4


class Leases:
    """Who has reserved something here and has not ended yet."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._blind_until = time.monotonic() + budgets.LEASE_SECONDS  # others may come out of an outage just now
        self.poll = Poll("lease-poll", self.keep, seconds=lambda: _RENEWAL_SECONDS)

    def hold(self, request_id: str, owed: Sequence[BudgetFacts], amount_micro: int) -> None:
        """Reserve an amount for a call; raises `BudgetSpent` and django.db.Error."""
        run_or_undo(lambda: budgets.reserve(request_id, owed, amount_micro, time.time()), budgets.free)
        self._held.add(request_id)

    def ended(self, request_id: str) -> bool:
        """Prolong nothing more for a call; returns whether anything was reserved, which is freed when it is booked."""
        try:
            self._held.remove(request_id)
        except KeyError:
            return False
        return True

    def keep(self) -> None:
        """Prolong what is held, also of calls that wait to be booked, and free what dead workers held.

        After an outage nothing is freed for the time of a lease: the living have to prolong theirs first.
        """
        held = [*self._held, *ledger.spool.waiting()]
        try:
            pool.run(budgets.renew, held, time.time())
            if time.monotonic() >= self._blind_until:
                pool.run(budgets.sweep, time.time())
        except DatabaseFault:  # the ledger tells it
            self._blind_until = time.monotonic() + budgets.LEASE_SECONDS


leases = Leases()
