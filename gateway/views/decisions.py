"""`GET /v1/decisions/{request id}`: why a call went where it went and what it cost, for the key that made it."""

from django.db import Error as DatabaseFault
from django.http import HttpResponse
from rest_framework.request import Request as RestRequest

from accounts import statements
from accounts.ledger import ledger
from gateway.errors import NotFound, Unavailable
from gateway.views.base import GatewayView
from registry import threads


class DecisionDetail(GatewayView):
    """A call that has ended; nothing of what was said in it."""

    def get(self, request: RestRequest, request_id: str) -> HttpResponse:
        """Return what is known of it; 404 where there is no such call of this key."""
        if ledger.spool.find(request_id):
            ledger.move()  # it ended a moment ago
        try:
            found = threads.run(statements.of_call, request_id, self.call.key)
        except DatabaseFault as error:
            raise Unavailable("The books cannot be read now.", retry_after=1) from error
        if found is None:
            raise NotFound(f"There is no call {request_id!r} of yours that has ended.")
        return self.json(found)
