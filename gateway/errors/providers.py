"""What providers fail with."""

from typing import Any

from gateway.errors.base import SHORTEST_SECRET, GatewayError, MovesOn, hidden


class ProviderFailure(GatewayError):
    """A provider that did not answer as it should; `upstream_status` is its HTTP status, 0 without one."""

    status = 502
    code = "provider_error"
    moves_on = MovesOn.ANY

    def __init__(self, message: str, *, upstream_status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.upstream_status = upstream_status

    def hide(self, secret: str) -> None:
        """Take a secret out of the message: providers quote keys that they refuse. An event that has it is not told."""
        self.message = hidden(self.message, secret)
        self.args = (self.message,)
        if len(secret) >= SHORTEST_SECRET and secret.encode() in self.event:
            self.event = b""


class Unreachable(ProviderFailure):
    """No connection: refused, reset, no such host, TLS, or an address that may not be called."""

    code = "provider_unreachable"
    again = True


class TimedOut(ProviderFailure):
    """Too slow to connect, to begin, to go on or to end."""

    status = 504
    code = "provider_timeout"
    again = True


class Broken(ProviderFailure):
    """An answer that is none: a 500, HTML, nothing, a stream that ends half-way."""

    again = True


class Overloaded(ProviderFailure):
    """502, 503, 504, 529 or 408 from the provider."""

    status = 503
    code = "provider_unavailable"
    again = True


class RateLimited(ProviderFailure):
    """429: too many requests or tokens for now."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"


class CredentialsRefused(ProviderFailure):
    """401: the provider does not take our key."""

    code = "provider_credentials"


class PermissionRefused(CredentialsRefused):
    """403: our key may not do this, or nothing at all."""


class QuotaSpent(ProviderFailure):
    """402 or insufficient_quota: our account there is empty."""

    code = "provider_quota"


class UnknownThere(ProviderFailure):
    """The provider does not have the model that the registry names."""

    code = "provider_model_unknown"


class Overflowed(ProviderFailure):
    """The provider says that the prompt does not fit its window."""

    status = 400
    code = "context_length_exceeded"
    kind = "invalid_request_error"
    moves_on = MovesOn.LARGER


class OutputTooLong(ProviderFailure):
    """The prompt fits, but not with the output that was asked for: a smaller max_tokens cures it on the same model.

    `limit` is the tokens of output that there is room for, `window` those of prompt and output together, None where the
    provider does not tell. A larger window is a cure as well.
    """

    status = 400
    code = "max_tokens_too_large"
    kind = "invalid_request_error"
    moves_on = MovesOn.LARGER

    def __init__(
        self, message: str, *, upstream_status: int = 0, limit: int | None = None, window: int | None = None
    ) -> None:
        super().__init__(message, upstream_status=upstream_status)
        self.limit = limit
        self.window = window


class Rejected(ProviderFailure):
    """Any other 4xx: the caller's own doing, so the provider's words (`body`, redacted) and status are handed on."""

    moves_on = MovesOn.NOWHERE

    def __init__(self, message: str, *, upstream_status: int, body: dict[str, Any] | None = None) -> None:
        super().__init__(message, upstream_status=upstream_status)
        self.status = upstream_status
        self.kind = "invalid_request_error"
        self.body = body

    def hide(self, secret: str) -> None:
        """Take a secret out of the message, and out of the body that is handed on."""
        super().hide(secret)
        self.body = hidden(self.body, secret)


class Doubtful(Rejected):
    """A refusal that may be the caller's doing or not: another model may answer, and nothing cools for it."""

    moves_on = MovesOn.ANY


class ReasoningRefused(Rejected):
    """The model does not think, or not in the way that it was told to: less reasoning cures it on the same model."""
