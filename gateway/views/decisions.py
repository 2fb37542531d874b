"""`GET /v1/decisions/{request id}`: why a call went where it went and what it cost, for the key that made it."""

import time
from typing import Final

from django.db import Error as DatabaseFault
from django.http import HttpResponse
from rest_framework.request import Request as RestRequest

from accounts import statements, waiting
from accounts.ledger import ledger
from gateway.errors import NotFound, Unavailable
from gateway.views.base import GatewayView

_BOOKED_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.02


class DecisionDetail(GatewayView):
    """A call that has ended; nothing of what was said in it."""

    def get(self, request: RestRequest, request_id: str) -> HttpResponse:
        """Return what is known of it; 404 where there is no such call of this key."""
        self._await_the_books(request_id)
        try:
            found = waiting.reads.run(statements.of_call, request_id, self.call.key)
        except DatabaseFault as error:
            raise Unavailable("The books cannot be read now.", retry_after=1) from error
        if found is None:
            raise NotFound(f"There is no call {request_id!r} of yours that has ended.")
        return self.json(found)

    def _await_the_books(self, request_id: str) -> None:
        """Wait a moment for a call of the caller's that has just ended; raises `Unavailable` where it is too short."""
        ends = time.monotonic() + _BOOKED_SECONDS
        while (entry := ledger.spool.find(request_id)) is not None and entry.key == self.call.key:
            if not ledger.poll.is_running:
                ledger.move()
                return
            if time.monotonic() > ends:
                raise Unavailable("This call has ended, but it is not in the books yet.", retry_after=1)
            ledger.poll.wake()
            time.sleep(_LOOK_SECONDS)
