"""What passes between the rooms of the gateway: a request, the pieces of an answer, the record of how it was made."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from gateway.conversation import Conversation, Reasoning

CHAT: Final = "chat"
COMPLETION: Final = "completion"
MESSAGES: Final = "messages"
EMBEDDING: Final = "embedding"
RESPONSES: Final = "responses"
PLAIN: Final = "plain"
LONGEST_NAME: Final = 200
"""Characters of a name that a caller gives, of a model or anything else."""
CALLER_LEFT: Final = "caller_left"
OVERTAKEN: Final = "overtaken"
"""What an attempt ends with when another, asked beside it, came to words first."""
# Where a caller says how much a model is to think, in the formats that have another name for it than chats.
_REASONING: Final = {MESSAGES: "thinking", RESPONSES: "reasoning"}
_T = TypeVar("_T")
_D = TypeVar("_D")


class Once(Generic[_T]):
    """A value that is made when it is first asked for; an error among `raises` is kept and raised each time."""

    __slots__ = ("_derived", "_error", "_made", "_make", "_raises")

    def __init__(self, make: Callable[[], _T], *raises: type[Exception]) -> None:
        self._make = make
        self._raises = raises
        self._made: list[_T] = []
        self._error: Exception | None = None
        self._derived: dict[Hashable, Any] = {}

    def derived(self, ask: Callable[[_T], _D], key: Hashable = None) -> _D:
        """Return what a function says of the value, which it is asked once; functions of one key say the same."""
        key = ask if key is None else key
        if key not in self._derived:
            self._derived[key] = ask(self.get())
        said: _D = self._derived[key]
        return said

    def get(self) -> _T:
        """Return the value."""
        if self._error is not None:
            raise self._error
        if not self._made:
            try:
                self._made.append(self._make())
            except self._raises as error:
                self._error = error
                raise
        return self._made[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a caller asks of the router, beside what is asked of the model. Costs are US dollars for 1,000 tokens."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        "models",
        "max_cost",
        "min_weight",
        "exclude_providers",
        "fallback",
        "timeout_ms",
        "strategy",
        "session",
        "hedge_ms",
        "explain",
    )

    models: Sequence[str] = ()
    """Names to try in this order, and no others."""
    max_cost: float | None = None
    min_weight: float | None = None
    exclude_providers: Sequence[str] = ()
    fallback: bool = True
    """Whether models that were not named may answer where those that were cannot."""
    timeout_ms: float | None = None
    strategy: str = ""
    session: str = ""
    """Requests of one session go to the same model where models are drawn by weight."""
    hedge_ms: float | None = None
    """Ask a second model as well when the first has not come to words by then."""
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller wants, as far as the gateway must know it.

    `fields` is the parsed body, never changed; `rest` is its JSON without the fields in `head`, which are the ones the
    gateway sets anew for each provider: so a body is parsed once and written once however many providers are tried.
    """

    format: str
    """The caller's wire format: one of the constants above; `plain` is for the gateway's own requests."""
    needs: frozenset[str]
    """What a model must be capable of beside the format itself, such as `tools`."""
    fields: Mapping[str, Any]
    head: Mapping[str, Any]
    rest: bytes
    estimate: int
    """About how many tokens the prompt takes."""
    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    conversation: Once[Conversation]
    """What is asked, for providers that do not speak the caller's format; raises `Untranslatable`."""
    policy: Policy = Policy()
    forwarded: Mapping[str, str] = field(default_factory=dict)
    """The caller's headers that providers of the same format are to see."""

    def head_for(self, model: str) -> dict[str, Any]:
        """Return the head under a provider's name of the model, without what is the gateway's own."""
        return {name: value for name, value in self.head.items() if name not in Policy.FIELDS} | {"model": model}

    def with_room(self, room: int) -> Self:
        """Return the request with no more than so many tokens of output."""
        usual = {"max_output_tokens"} if self.format == RESPONSES else {"max_tokens"}
        limits = ("max_tokens", "max_completion_tokens")
        names = {name for name in limits if self.head.get(name) is not None} or usual
        return replace(
            self,
            head={**self.head, **dict.fromkeys(names, room)},
            max_tokens=room,
            conversation=Once(lambda: replace(self.conversation.get(), max_tokens=room)),
        )

    def with_less_reasoning(self) -> Self | None:
        """Return the request with the manner of thinking left to the model, or after that without a word of it.

        Which model can think, and in which of the ways there are, no language tells; a caller who asks for reasoning
        wants an answer first of all, and is told that the field did not count. None where nothing is left to be taken
        away.
        """
        asked = self.conversation.get()
        if asked.reasoning is None or asked.reasoning.effort == "none":
            return None
        less = replace(
            asked,
            reasoning=None if asked.reasoning == Reasoning() else Reasoning(),
            dropped=tuple(dict.fromkeys((*asked.dropped, _REASONING.get(self.format, "reasoning_effort")))),
        )
        return replace(self, conversation=Once(lambda: less))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in buckets that do not overlap; `reasoning` is a part of `output`."""

    uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_1h: int = 0
    """The part of `cache_write` that is kept for an hour, which costs more."""

    @property
    def input(self) -> int:
        """All tokens that went in."""
        return self.uncached + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All tokens, in and out."""
        return self.input + self.output

    def __add__(self, other: "Usage") -> "Usage":
        """Return both together, which is an estimate if one of them is."""
        return Usage(
            uncached=self.uncached + other.uncached,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
            estimated=self.estimated or other.estimated,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
        )


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer, in the caller's wire format and ready to be sent; `content` tells words from lifecycle."""

    raw: bytes
    content: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """The first word of a provider: those of its headers that the caller may see, by the names that it sees."""

    headers: Mapping[str, str]


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
    terms: Mapping[str, float]
    """What the score is the sum of."""
    strategy: str
    need: int
    """Tokens of prompt and answer together, which its window holds."""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A model that cannot serve, with the one reason."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a request went where it went: what it needed, who could serve in which order, and who could not."""

    estimate: int
    snapshot: int
    ranked: Sequence[Ranked]
    excluded: Sequence[Excluded]
    phase: str = ""


@dataclass(slots=True)
class Attempt:
    """The record of one try at a provider: times in milliseconds, `status` its own, or 499 when the caller left."""

    model: str
    provider: str
    phase: str = ""
    """The phase of a flow that this was a part of."""
    status: int = 0
    error: str = ""
    began: float = 0.0
    """On the clock that only goes forward, in seconds."""
    ms: float = 0.0
    ttft_ms: float | None = None
    reason: str = ""
    usage: Usage = field(default_factory=Usage)
    is_finished: bool = False
    """Whether its end has come, though its last bytes may not have gone out."""
    prices: tuple[int, ...] = ()
    """Pico-dollars a token, in the order of `accounts.prices.Prices`; empty where nobody said what the model costs."""
    cost_micro: int = 0
    """0 as well where the price is unknown."""
    dropped: Sequence[str] = ()
    """The caller's fields that had no counterpart in the provider's language."""
    upstream: Mapping[str, str] = field(default_factory=dict)
    """What the provider's own headers said that the caller may see, by the names that it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a caller's key may spend on one request."""

    reserve: Callable[[int], None] | None = None
    """Sets micro-dollars aside in its budgets; None where it has none."""
    max_tokens: int | None = None
    """Tokens of one answer."""
    max_cost_micro: int | None = None
    """Micro-dollars, at worst."""

    @property
    def counts_money(self) -> bool:
        """Whether it must be known what a request costs."""
        return self.reserve is not None or self.max_cost_micro is not None


@dataclass(slots=True)
class Call:
    """The record of one client request: what was decided, what was tried, how it ended."""

    id: str
    endpoint: str
    began: float
    at: float = field(default_factory=time.time)
    """When it began, in unix seconds; `began` is on the clock that only goes forward."""
    key_id: str = ""
    """The public id of the caller's key; empty for a caller without one."""
    key: int | None = None
    team: int | None = None
    """The primary keys of the caller's key and its team."""
    asked: str = ""
    """What the caller named as the model."""
    session: str = ""
    user: str = ""
    is_booked: bool = False
    """Whether the ledger is to know of it."""
    means: Means | None = None
    """What the caller's key may spend on it; None for one without bounds."""
    release: Callable[[int], None] | None = None
    """Tells the caller's limits that it is over, and how many tokens it took; None for a caller without any."""
    room: Mapping[str, str] = field(default_factory=dict)
    """What is left of the caller's limits, as headers tell it."""
    stream: bool = False
    phase: str = ""
    explain: bool = False
    """Whether the caller wants to see the decisions with the answer."""
    decisions: list[Decision] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    answered: Attempt | None = None
    """The attempt whose words are the answer; of a flow, that of its newest phase."""
    trace_id: str = ""
    span: Any = None
    """Its trace, in hexadecimal, and its span in it, where traces are exported."""
    counted: Usage | None = None
    """The tokens of a prompt that was only to be counted: nobody has used them."""
    status: int = 0
    error: str = ""

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Tell in the newest decision why models of it are left out after all."""
        if not self.decisions or not reasons:
            return
        made = self.decisions[-1]
        told = {each.model for each in made.excluded}
        excluded = [Excluded(name, reason) for name, reason in reasons.items() if name not in told]
        ranked = [each for each in made.ranked if each.model not in reasons]
        self.decisions[-1] = replace(made, ranked=ranked, excluded=[*made.excluded, *excluded])

    @property
    def last(self) -> Attempt | None:
        """The attempt that answered, or the last that did not."""
        alive = (attempt for attempt in reversed(self.attempts) if attempt.error != OVERTAKEN)
        return self.answered or next(alive, None)

    @property
    def usage(self) -> Usage:
        """What all attempts used together."""
        return sum((attempt.usage for attempt in self.attempts), Usage())

    @property
    def cost_micro(self) -> int:
        """What all attempts of known prices cost together, in micro-dollars."""
        return sum(attempt.cost_micro for attempt in self.attempts)

    @property
    def is_priced(self) -> bool:
        """Whether that is what all of them cost."""
        return all(attempt.prices or not attempt.usage.total for attempt in self.attempts)


current: Final[ContextVar[Call | None]] = ContextVar("current", default=None)
"""The call that this greenlet or thread is busy with, so that lines of the log can say whose they are."""
