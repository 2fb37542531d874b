"""What keeps the gateway itself from answering."""

from gateway.errors.base import GatewayError, MovesOn


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


class AtItsLimit(Unavailable):
    """A model has no room for one more attempt, by a limit of its own row: it was not asked."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"
    moves_on = MovesOn.ANY


class Uncounted(Unavailable):
    """A model has limits, and nobody can say whether they are reached: it was not asked."""

    moves_on = MovesOn.ANY


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
