"""What a caller may ask of the router, described: as fields of a body and as headers."""

from collections.abc import Mapping
from typing import Any, Final

from gateway import policy
from gateway.exchange import LONGEST_NAME, Policy
from gateway.openapi.schemas import Schema, among, listed, number, switch, text
from gateway.scoring import STRATEGIES

_NAME: Final = text(minLength=1, maxLength=LONGEST_NAME)
_TIME: Final = {"exclusiveMinimum": 0, "maximum": policy.LONGEST_TIME_MS}

_SCHEMAS: Final[Mapping[str, Schema]] = {
    "models": listed(
        _NAME, "Ids or aliases to try in this order, and no others.", minItems=1, maxItems=policy.LONGEST_LIST
    ),
    "max_cost": number("US dollars for 1,000 tokens that a model may cost at most.", minimum=0),
    "min_weight": number("The least weight that a model must have."),
    "exclude_providers": listed(_NAME, "Providers that are not to be asked.", maxItems=policy.LONGEST_LIST),
    "fallback": switch("Whether models that were not named may answer where those that were cannot.", default=True),
    "timeout_ms": number("Milliseconds for the whole request; the server's own limit stays.", **_TIME),
    "strategy": among([*STRATEGIES], "How models are ranked."),
    "session": text(
        "Requests of one session go to the same model where models are drawn by weight.",
        minLength=1,
        maxLength=LONGEST_NAME,
    ),
    "hedge_ms": number("After so many milliseconds without a word a second model is asked as well.", **_TIME),
    "explain": switch("Whether the answer tells why it went where it went, as `tokenhub`.", default=False),
}
FIELDS: Final[Mapping[str, Schema]] = {name: _SCHEMAS[name] for name in Policy.FIELDS}
"""The schema of each field; in a body null is as good as nothing."""


def headers() -> list[dict[str, Any]]:
    """Return the headers that say the same, for clients that cannot add fields: of both, the field counts."""
    return [
        {
            "name": policy.HEADER_OF[name],
            "in": "header",
            "required": False,
            "description": f"As the field `{name}`{_manner(schema)}.",
            "schema": {key: value for key, value in schema.items() if key not in {"description", "default"}},
        }
        for name, schema in FIELDS.items()
    ]


def _manner(schema: Schema) -> str:
    return ", between commas" if schema["type"] == "array" else ""
