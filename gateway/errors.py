"""Everything that can go wrong with a request, as one tree.

    GatewayError                     status  code                     moves_on
    ├── CallerError                                                   no
    │   ├── InvalidRequest           400     invalid_request
    │   ├── Malformed                400     malformed_request
    │   ├── BodyTimeout              408     request_timeout
    │   ├── LengthRequired           411     length_required
    │   ├── BodyTooLarge             413     request_too_large
    │   ├── CrossSite                403     cross_site_request
    │   ├── NotFound                 404     not_found
    │   ├── MethodNotAllowed         405     method_not_allowed
    │   ├── ModelNotFound            404     model_not_found
    │   ├── Unserviceable            400     no_model_for_request
    │   ├── TooDear                  402     max_total_cost_exceeded
    │   └── PromptTooLong            400     context_length_exceeded
    ├── OutOfTime                    504     timeout                  no
    ├── Unavailable                  503     service_unavailable      no
    │   ├── NoModelCanServe          503     no_model_available       no
    │   ├── AllCooling               503     no_model_available       no
    │   ├── AllLimited               429     rate_limit_exceeded      no
    │   └── AllFailed                503     all_models_failed        no
    ├── PhaseFailed                  502     phase_failed             no
    ├── Unexpected                   500     internal_error           no
    └── ProviderFailure
        ├── Unreachable              502     provider_unreachable     to any model, or the same again
        ├── TimedOut                 504     provider_timeout         to any model, or the same again
        ├── Broken                   502     provider_error           to any model, or the same again
        ├── Overloaded               503     provider_unavailable     to any model, or the same again
        ├── RateLimited              429     rate_limit_exceeded      to any model
        ├── CredentialsRefused       502     provider_credentials     to any model
        │   └── PermissionRefused    502     provider_credentials     to any model
        ├── QuotaSpent               502     provider_quota           to any model
        ├── UnknownThere             502     provider_model_unknown   to any model
        ├── Overflowed               400     context_length_exceeded  to larger windows
        ├── OutputTooLong            400     max_tokens_too_large     to larger windows
        └── Rejected                 theirs  theirs                   no
            ├── Doubtful             theirs  theirs                   to any model
            └── ReasoningRefused     theirs  theirs                   no, but to the same with less

`CallerLeft` stands outside: nobody is there to be answered.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, TypeVar, cast

T = TypeVar("T")
_SHORTEST_SECRET: Final = 8


class MovesOn(Enum):
    """Where a request goes after a failure that came before the first content."""

    NOWHERE = "nowhere"
    ANY = "any"
    LARGER = "larger"


def hidden(told: T, secret: str) -> T:
    """Return a text, or the values of a JSON object, without the secret; one too short to be one is no secret."""
    if len(secret) < _SHORTEST_SECRET:
        return told
    value: Any = told
    if isinstance(value, str):
        value = value.replace(secret, "••••")
    elif isinstance(value, Mapping):
        value = {name: hidden(each, secret) for name, each in value.items()}
    elif isinstance(value, list):
        value = [hidden(each, secret) for each in value]
    return cast("T", value)


class GatewayError(Exception):
    """A request that ends without an answer: `status` for HTTP, `code` and `kind` for programs, the text for people."""

    status: int = 500
    code: str = "internal_error"
    kind: str = "api_error"
    moves_on: ClassVar[MovesOn] = MovesOn.NOWHERE

    tried: Sequence[Mapping[str, Any]] = ()
    """What was tried in vain, for the caller to read."""
    decision: Any = None
    """What the router decided before it found nobody: an `exchange.Decision`."""
    partial: Mapping[str, Any] | None = None
    """What a flow had made before it failed: it is paid for."""
    usage: Any = None
    """What an answer that failed has used by its provider's own account: an `exchange.Usage`."""
    event: bytes = b""
    """The event of a relayed stream that told of it, which is handed on as it came."""

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


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


class Unavailable(GatewayError):
    """The gateway itself cannot work now; trying again later may help."""

    status = 503
    code = "service_unavailable"


class NoModelCanServe(Unavailable):
    """The registry has no model that can take this request now."""

    code = "no_model_available"


class AllCooling(Unavailable):
    """Whoever could serve is not to be called for now: answered at once, with the shortest wait."""

    code = "no_model_available"


class AllLimited(Unavailable):
    """Whoever could serve has asked for a pause: answered at once, with the shortest of them."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"


class AllFailed(Unavailable):
    """Several models were tried, and they failed in different ways."""

    code = "all_models_failed"


class OutOfTime(GatewayError):
    """The request's own time is over, whoever was slow: nobody else is tried, and nobody is to blame."""

    status = 504
    code = "timeout"


class PhaseFailed(GatewayError):
    """A phase of a flow had no answer; `cause` is the code of what went wrong."""

    status = 502
    code = "phase_failed"
    cause: str = ""


class Unexpected(GatewayError):
    """A fault of the gateway's own, told without details."""


class ProviderFailure(GatewayError):
    """A provider that did not answer as it should; `upstream_status` is its HTTP status, 0 without one."""

    status = 502
    code = "provider_error"
    moves_on = MovesOn.ANY
    again: ClassVar[bool] = False
    """Whether the same model may be asked once more where nobody else can serve."""

    def __init__(self, message: str, *, upstream_status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.upstream_status = upstream_status

    def hide(self, secret: str) -> None:
        """Take a secret out of the message: providers quote keys that they refuse. An event that has it is not told."""
        self.message = hidden(self.message, secret)
        self.args = (self.message,)
        if len(secret) >= _SHORTEST_SECRET and secret.encode() in self.event:
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


class CallerLeft(BaseException):
    """The caller closed the connection. No Exception, so that no handler for a provider's faults takes it for one."""
