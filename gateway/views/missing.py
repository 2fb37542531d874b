"""Everything that is no endpoint, for those who are no browser."""

from typing import Any, Never

from rest_framework.request import Request as RestRequest

from gateway.errors import GatewayError, NotFound
from gateway.views.base import GatewayView
from gateway.wire import formats


class Missing(GatewayView):
    """Refuses every method, in the format that API clients read."""

    def shape(self, error: GatewayError) -> dict[str, Any]:
        """Return an error in the shape that callers of the path read, or those who send Anthropic's header."""
        is_anthropics = "anthropic-version" in self.request.headers
        return formats.error_body(error, self.request.path, self.call.id, is_anthropics=is_anthropics)

    def initial(self, request: RestRequest, *args: Any, **kwargs: Any) -> Never:
        """Refuse before a method is looked for."""
        raise NotFound(f"There is no endpoint {request.method} {request.path}.")
