"""Everything under `/v1/` that is no endpoint."""

from typing import Never

from rest_framework.request import Request as RestRequest

from gateway.errors import NotFound
from gateway.views.base import GatewayView


class Missing(GatewayView):
    """Answers every method in the format that API clients read."""

    def dispatch_missing(self, request: RestRequest, **_: str) -> Never:
        """Refuse."""
        raise NotFound(f"There is no endpoint {request.method} {request.path}.")

    get = post = put = patch = delete = head = options = trace = dispatch_missing
