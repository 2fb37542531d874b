"""Everything that can go wrong with a request, as one tree.

    GatewayError                     status  code                     moves_on
    ├── CallerError                                                   no
    │   ├── InvalidRequest           400     invalid_request
    │   ├── Malformed                400     malformed_request
    │   ├── BodyTimeout              408     request_timeout
    │   ├── LengthRequired           411     length_required
    │   ├── BodyTooLarge             413     request_too_large
    │   ├── CrossSite                403     cross_site_request
    │   ├── KeyInvalid               401     invalid_api_key
    │   ├── NotAllowed               403     not_allowed
    │   ├── BudgetExceeded           402     budget_exceeded
    │   ├── LimitReached             429     rate_limit_exceeded
    │   ├── NotFound                 404     not_found
    │   ├── MethodNotAllowed         405     method_not_allowed
    │   ├── IdempotencyKeyReused     409     idempotency_key_reused
    │   ├── ModelNotFound            404     model_not_found
    │   ├── Unserviceable            400     no_model_for_request
    │   ├── TooDear                  402     max_total_cost_exceeded
    │   └── PromptTooLong            400     context_length_exceeded
    ├── OutOfTime                    504     timeout                  no
    ├── Unavailable                  503     service_unavailable      no
    │   ├── NoModelCanServe          503     no_model_available       no
    │   ├── AllCooling               503     no_model_available       no
    │   ├── AllLimited               429     rate_limit_exceeded      no
    │   ├── AllFailed                503     all_models_failed        no
    │   ├── AtItsLimit               429     rate_limit_exceeded      to any model
    │   └── Uncounted                503     service_unavailable      to any model
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

from gateway.errors.base import (
    CallerLeft,
    GatewayError,
    MovesOn,
    hidden,
    let_go,
)
from gateway.errors.callers import (
    BodyTimeout,
    BodyTooLarge,
    BudgetExceeded,
    CallerError,
    CrossSite,
    IdempotencyKeyReused,
    InvalidRequest,
    KeyInvalid,
    LengthRequired,
    LimitReached,
    Malformed,
    MethodNotAllowed,
    ModelNotFound,
    NotAllowed,
    NotFound,
    PromptTooLong,
    TooDear,
    Unserviceable,
)
from gateway.errors.own import (
    AllCooling,
    AllFailed,
    AllLimited,
    AtItsLimit,
    NoModelCanServe,
    OutOfTime,
    PhaseFailed,
    Unavailable,
    Uncounted,
    Unexpected,
)
from gateway.errors.providers import (
    Broken,
    CredentialsRefused,
    Doubtful,
    OutputTooLong,
    Overflowed,
    Overloaded,
    PermissionRefused,
    ProviderFailure,
    QuotaSpent,
    RateLimited,
    ReasoningRefused,
    Rejected,
    TimedOut,
    UnknownThere,
    Unreachable,
)

__all__ = [
    "AllCooling",
    "AllFailed",
    "AllLimited",
    "AtItsLimit",
    "BodyTimeout",
    "BodyTooLarge",
    "Broken",
    "BudgetExceeded",
    "CallerError",
    "CallerLeft",
    "CredentialsRefused",
    "CrossSite",
    "Doubtful",
    "GatewayError",
    "IdempotencyKeyReused",
    "InvalidRequest",
    "KeyInvalid",
    "LengthRequired",
    "LimitReached",
    "Malformed",
    "MethodNotAllowed",
    "ModelNotFound",
    "MovesOn",
    "NoModelCanServe",
    "NotAllowed",
    "NotFound",
    "OutOfTime",
    "OutputTooLong",
    "Overflowed",
    "Overloaded",
    "PermissionRefused",
    "PhaseFailed",
    "PromptTooLong",
    "ProviderFailure",
    "QuotaSpent",
    "RateLimited",
    "ReasoningRefused",
    "Rejected",
    "TimedOut",
    "TooDear",
    "Unavailable",
    "Uncounted",
    "Unexpected",
    "UnknownThere",
    "Unreachable",
    "Unserviceable",
    "hidden",
    "let_go",
]
