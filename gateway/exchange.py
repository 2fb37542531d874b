"""What passes between the rooms of the gateway: a request, the pieces of an answer, the record of how it was made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller wants, as far as the gateway must know it.

    `fields` is the parsed body, never changed; `rest` is its JSON without the fields in `head`, which are the ones the
    gateway sets anew for each provider: so a body is parsed once and written once however many providers are tried.
    """

    capability: str
    fields: Mapping[str, Any]
    head: Mapping[str, Any]
    rest: bytes
    estimate: int
    """About how many tokens the prompt takes."""
    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    max_cost: float | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in buckets that do not overlap; `reasoning` is a part of `output`."""

    uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False

    @property
    def input(self) -> int:
        """All tokens that went in."""
        return self.uncached + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All tokens, in and out."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer, in the caller's wire format and ready to be sent; `content` tells words from lifecycle."""

    raw: bytes
    content: bool = True


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an answer: why it ended, and what it used where the provider said so."""

    reason: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A model that can serve, with the terms of its score."""

    model: str
    provider: str
    score: float
    weight: float
    cost_per_1k: float


@dataclass(frozen=True, slots=True)
class Excluded:
    """A model that cannot serve, with the one reason."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a request went where it went: what it needed, who could serve in which order, and who could not."""

    estimate: int
    need: int
    snapshot: int
    ranked: Sequence[Ranked]
    excluded: Sequence[Excluded]


@dataclass(slots=True)
class Attempt:
    """The record of one try at a provider: times in milliseconds, `status` its own, or 499 when the caller left."""

    model: str
    provider: str
    status: int = 0
    error: str = ""
    ms: float = 0.0
    ttft_ms: float | None = None
    reason: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_micro: int = 0


@dataclass(slots=True)
class Call:
    """The record of one client request: what was decided, what was tried, how it ended."""

    id: str
    endpoint: str
    began: float
    stream: bool = False
    decision: Decision | None = None
    attempts: list[Attempt] = field(default_factory=list)
    status: int = 0
    error: str = ""

    @property
    def last(self) -> Attempt | None:
        """The attempt that answered, or the last that did not."""
        return self.attempts[-1] if self.attempts else None

    @property
    def cost_micro(self) -> int:
        """What all attempts cost together, in micro-dollars."""
        return sum(attempt.cost_micro for attempt in self.attempts)
