"""What a flow is: several phases that come to one answer."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import Any, ClassVar

from gateway.errors import InvalidRequest
from gateway.exchange import LONGEST_NAME, Attempt, Usage
from gateway.flows.phases import MICRO, Completed, Event, Stage, Wish
from gateway.wire import openai

MOST_ROUNDS = 5


class Flow(ABC):
    """A way to use several attempts by intent. Flows hold no state."""

    name: ClassVar[str]
    options: ClassVar[Sequence[str]]
    """The fields of a body that belong to this flow."""

    @abstractmethod
    def run(self, stage: Stage) -> Generator[Event, None, Completed]:
        """Yield what happens and return the phase that has the answer; raises `PhaseFailed` or a `CallerError`."""

    @abstractmethod
    def body(self, wish: Wish, completed: Sequence[Completed]) -> dict[str, Any]:
        """Return what is to be told of the phases that are completed, be it all of them or not, beside their costs."""

    def check(self, wish: Wish) -> None:
        """Raise `InvalidRequest` for an option that is none."""
        whole_number(wish, "rounds", 1, MOST_ROUNDS)


def whole_number(wish: Wish, name: str, default: int, most: int) -> int:
    """Return an option that is a whole number from 1 to `most`."""
    value = wish.options.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InvalidRequest(f"`{name}` must be a whole number from 1 to {most}.", param=name)
    return value


def name_of_model(wish: Wish, name: str) -> str:
    """Return an option that names a model; empty where it is left out."""
    value = wish.options.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_NAME):
        raise InvalidRequest(f"`{name}` must name a model, in {LONGEST_NAME} characters at most.", param=name)
    return value or ""


def costs(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return tokens and US dollars by phase, of all rounds together, and `total_tokens`.

    What was paid for counts, be it of a phase that came to its end or of a try that did not.
    """
    by_phase: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_phase.setdefault(attempt.phase, []).append(attempt)
    used = {phase: sum((each.usage for each in tries), Usage()) for phase, tries in by_phase.items()}
    micro = {phase: sum(each.cost_micro for each in tries) for phase, tries in by_phase.items()}
    return {
        "total_tokens": sum(usage.total for usage in used.values()),
        "usage": {phase: write_usage(usage) for phase, usage in used.items()},
        "cost_usd": {phase: cost / MICRO for phase, cost in micro.items()} | {"total": sum(micro.values()) / MICRO},
    }


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return a usage in OpenAI's shape, and whether it is an estimate."""
    return {**openai.write_usage(usage), "estimated": usage.estimated}
