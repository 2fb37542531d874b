"""What the caller can mend."""

from collections.abc import Mapping

from gateway.errors.base import GatewayError


class CallerError(GatewayError):
    """What the caller can mend."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class InvalidRequest(CallerError):
    """The body or a header does not say what it must."""


class Malformed(CallerError):
    """What came is no HTTP request, or one that is larger than the server reads; its status says which."""

    code = "malformed_request"

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class BodyTimeout(CallerError):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class LengthRequired(CallerError):
    """The server in front cannot tell where the body ends."""

    status = 411
    code = "length_required"


class BodyTooLarge(CallerError):
    """The body has more bytes than the gateway takes."""

    status = 413
    code = "request_too_large"


class CrossSite(CallerError):
    """A browser sends what the page of another site told it to."""

    status = 403
    code = "cross_site_request"


class KeyInvalid(CallerError):
    """The caller shows no key, or one that opens nothing."""

    status = 401
    code = "invalid_api_key"


class NotAllowed(CallerError):
    """The caller's key is a good one, but not for this."""

    status = 403
    code = "not_allowed"


class BudgetExceeded(CallerError):
    """A budget of the caller's key or its team has no room for what the request may cost."""

    status = 402
    code = "budget_exceeded"


class LimitReached(CallerError):
    """
    A limit of the caller's key or its team is reached; `headers` tell what is left and when more will be.

    `retry_after` is None where it will never be enough.
    """

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"

    def __init__(self, message: str, *, retry_after: float | None, headers: Mapping[str, str]) -> None:
        super().__init__(message, retry_after=retry_after)
        self.headers = headers


class NotFound(CallerError):
    """There is no such endpoint."""

    status = 404
    code = "not_found"


class MethodNotAllowed(CallerError):
    """The endpoint exists, with another method."""

    status = 405
    code = "method_not_allowed"


class ModelNotFound(CallerError):
    """No model has the id or alias that the caller named."""

    status = 404
    code = "model_not_found"


class Unserviceable(CallerError):
    """There are models, but none that can do all of what is asked under the caller's own conditions."""

    code = "no_model_for_request"


class TooDear(CallerError):
    """The next phase might cost more than the caller allows for all of them."""

    status = 402
    code = "max_total_cost_exceeded"


class PromptTooLong(CallerError):
    """No model that could serve has a window for this prompt."""

    code = "context_length_exceeded"


class IdempotencyKeyReused(CallerError):
    """The key of one request was sent with another."""

    status = 409
    code = "idempotency_key_reused"
