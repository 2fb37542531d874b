"""Everything under `/v1/` that is no endpoint."""

from typing import Any, Never

from rest_framework.request import Request as RestRequest

from gateway.errors import NotFound
from gateway.views.base import GatewayView


class Missing(GatewayView):
    """Refuses every method, in the format that API clients read."""

    def initial(self, request: RestRequest, *args: Any, **kwargs: Any) -> Never:
        """Refuse before a method is looked for."""
        raise NotFound(f"There is no endpoint {request.method} {request.path}.")
