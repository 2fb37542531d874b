"""What every error of a request is, and how a secret is kept out of it."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, TypeVar, cast

T = TypeVar("T")
SHORTEST_SECRET: Final = 8


class MovesOn(Enum):
    """Where a request goes after a failure that came before the first content."""

    NOWHERE = "nowhere"
    ANY = "any"
    LARGER = "larger"


def hidden(told: T, secret: str) -> T:
    """Return a text, or the values of a JSON object, without the secret; one too short to be one is no secret."""
    if len(secret) < SHORTEST_SECRET:
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
    again: ClassVar[bool] = False
    """Whether the same model may be asked once more where nobody else can serve."""

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


E = TypeVar("E", bound=BaseException)


def let_go(error: E) -> E:
    """Return an error that is kept, without the frames that it and what led to it hold, and all that is in them."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error


class CallerLeft(BaseException):
    """The caller closed the connection. No Exception, so that no handler for a provider's faults takes it for one."""
