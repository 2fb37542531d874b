"""What is written down of a call: the line of the spool, from which the ledger makes its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import orjson

_VERSION: Final = 1


class Unreadable(ValueError):
    """A line that is none: torn by a full disk or a power cut, or of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEntry:
    """One try at a provider. Tokens are in buckets that do not overlap, `reasoning` is a part of `output`."""

    model: str
    provider: str
    phase: str
    status: int
    error: str
    ms: float
    ttft_ms: float | None
    reason: str
    uncached: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    """A part of `cache_write`."""
    output: int
    reasoning: int
    estimated: bool
    cost_micro: int
    prices: tuple[int, ...]
    """Pico-dollars a token, in the order of `accounts.prices.Prices`; empty where nobody said what the model costs."""
    dropped: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEntry:
    """One request of a client; times are milliseconds, `at` is unix seconds."""

    id: str
    at: float
    endpoint: str
    status: int
    error: str
    stream: bool
    key: int | None
    team: int | None
    asked: str
    """What the caller named as the model."""
    session: str
    user: str
    ms: float
    attempts: Sequence[AttemptEntry]
    decisions: Sequence[Any]
    """Why it went where it went, as JSON."""
    is_final: bool = True
    """Whether the call has ended; what is said before its last byte goes out stands if nothing follows."""

    def line(self) -> bytes:
        """Return it as one line of JSON, with its end."""
        return orjson.dumps({"v": _VERSION, "call": self}, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def read(cls, line: bytes) -> Self:
        """Return the entry in a line; raises `Unreadable`."""
        try:
            told = orjson.loads(line)
            if told["v"] != _VERSION:
                raise Unreadable(f"it is of version {told['v']}")
            call = told["call"]
            attempts = tuple(_attempt(each) for each in call.pop("attempts"))
            return cls(attempts=attempts, **{name: call[name] for name in _OF_CALL})
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"it is no entry: {error}") from error


_OF_CALL: Final = tuple(field.name for field in fields(CallEntry) if field.name != "attempts")
_OF_ATTEMPT: Final = tuple(field.name for field in fields(AttemptEntry))


def _attempt(told: dict[str, Any]) -> AttemptEntry:
    values = {name: told[name] for name in _OF_ATTEMPT}
    return AttemptEntry(**{**values, "prices": tuple(values["prices"])})
