"""What flows are made of: a phase asks one model by way of the router and the escalation, and tells how it went."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Final

from gateway import escalation, tokens
from gateway.adapters.transport import Transport
from gateway.errors import Broken, CallerError, GatewayError, ModelNotFound, PhaseFailed, TooDear
from gateway.exchange import PLAIN, Attempt, Call, Once, Policy, Request, Usage
from gateway.patience import Patience
from gateway.purse import bounded
from gateway.router import Route, route
from gateway.wire import chat, openai
from registry.snapshot import ModelFacts, Snapshot

MICRO: Final = 1_000_000
Message = Mapping[str, Any]
Preference = Callable[[ModelFacts], Any]
"""Sorts a route, lowest first, before the score does."""


def as_ranked(model: ModelFacts) -> Any:
    """Prefer nobody: the router's order stands."""
    return 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a phase asks, and whom: a `model` that the caller named, or else the router's best under a preference."""

    messages: Sequence[Message]
    _: KW_ONLY
    model: str = ""
    named_by: str = "model"
    """The caller's field that names the model."""
    prefer: Preference = as_ranked
    least_tokens: int = 0
    """What the answer may take in any case: a caller's limit is meant for answers, and not for a verdict on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller asks of a flow: a conversation, and how it is to be answered. `limit_micro` is for all phases."""

    messages: Sequence[Message]
    options: Mapping[str, Any]
    """The fields that belong to the flow, such as `rounds`."""
    max_tokens: int | None = None
    temperature: float | None = None
    limit_micro: int | None = None
    stream: bool = False
    shows_phases: bool = True
    """Whether a stream tells of every phase, and not only of the last."""
    policy: Policy

    @property
    def prompt(self) -> str:
        """What the user said, as it came."""
        return "\n\n".join(_text(message) for message in self.messages if message["role"] == "user")

    @property
    def task(self) -> str:
        """The conversation as one text: the prompt itself where it is nothing else."""
        if len(self.messages) == 1:
            return _text(self.messages[0])
        return "\n\n".join(f"{message['role']}: {_text(message)}" for message in self.messages)


@dataclass(frozen=True, slots=True)
class Started:
    """A phase begins."""

    phase: str
    round: int


@dataclass(frozen=True, slots=True)
class Said:
    """The next words of a phase; `final` where they are the answer of the flow."""

    phase: str
    round: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of a phase: its text, why that ended, the model that wrote it, and what all its attempts used."""

    phase: str
    round: int
    text: str
    reason: str
    model: str
    provider: str
    usage: Usage
    cost_micro: int


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a flow: what came of the phase that has its answer, and all that is to be told of how it was made."""

    answer: Completed
    body: Mapping[str, Any]


Event = Started | Said | Completed | Result


class Stage:
    """Where a flow asks its models; all phases share one deadline, one record and one limit of cost."""

    def __init__(self, wish: Wish, snapshot: Snapshot, patience: Patience, *, transport: Transport, call: Call) -> None:
        self.wish = wish
        self.completed: list[Completed] = []
        self._snapshot = snapshot
        self._patience = patience
        self._transport = transport
        self._call = call

    def foresee(self, model: str, named_by: str) -> None:
        """Raise now what would be raised later for a model that is named and cannot serve: before anything is paid."""
        if model:
            question = Question(self.wish.messages, model=model, named_by=named_by)
            self._route(self._request(question), question)

    def ask(
        self,
        phase: str,
        question: Question,
        *,
        round: int = 1,  # noqa: A002 - the word of the API
        final: bool = False,
    ) -> Generator[Event, None, Completed]:
        """Yield the events of one phase and return what came of it; raises `PhaseFailed`, or what the caller can mend.

        `final` is a phase whose words are the answer of the flow.
        """
        call = self._call
        call.phase = phase
        first = len(call.attempts)
        words: list[str] = []
        try:
            request = self._request(question)
            way = self._way(request, question)
            yield Started(phase, round)
            is_hidden = not (final or self.wish.shows_phases)
            answer = escalation.answer(
                request, way, self._patience, transport=self._transport, call=call, is_hidden=is_hidden
            )
            with closing(answer) as pieces:
                for piece in pieces:
                    words.append(piece.raw.decode())
                    yield Said(phase, round, words[-1], final)
            done = self._done(phase, round, "".join(words), call.attempts[first:])
        except CallerError:
            raise
        except GatewayError as error:
            raise _failed(phase, error) from error
        self.completed.append(done)
        yield done
        return done

    def _request(self, question: Question) -> Request:
        wish = self.wish
        limit = wish.max_tokens and max(wish.max_tokens, question.least_tokens)
        asked = {"max_tokens": limit, "temperature": wish.temperature}
        body = {"messages": question.messages, **{name: value for name, value in asked.items() if value is not None}}
        needs = {"streaming": wish.stream, "vision": openai.shows_pictures(question.messages)}
        return Request(
            format=PLAIN,
            needs=frozenset(name for name, needed in needs.items() if needed),
            fields=body,
            head={},
            rest=b"",
            estimate=tokens.estimate(body),
            model=question.model,
            stream=wish.stream,
            include_usage=False,
            max_tokens=limit,
            conversation=Once(lambda: chat.read_conversation(body)),
            policy=wish.policy,
        )

    def _route(self, request: Request, question: Question) -> Route:
        try:
            return route(request, self._snapshot, tells_all=True)
        except ModelNotFound as unknown:
            if unknown.param == "model":
                unknown.param = question.named_by
            raise

    def _way(self, request: Request, question: Question) -> Route:
        """Return the route in the order that the flow prefers, and note the decision."""
        way = self._route(request, question)
        models = sorted(way.models, key=question.prefer)
        place = {model.id: place for place, model in enumerate(models)}
        ranked = sorted(way.decision.ranked, key=lambda each: place[each.model])
        decision = replace(way.decision, ranked=ranked, phase=self._call.phase)
        self._call.decisions.append(decision)
        return self._affordable(request, replace(way, models=models, decision=decision))

    def _affordable(self, request: Request, way: Route) -> Route:
        """Return the models that the rest of the limit pays for, each with the room of output that this is said of.

        Raises `TooDear` where the first of them is too dear: who comes after it is there for its failures only.
        """
        if self.wish.limit_micro is None:
            return way
        left = max(0, self.wish.limit_micro - self._call.cost_micro)
        way, most = bounded(request, way)
        dearest = most[way.models[0].pk]
        if dearest > left:
            raise TooDear(
                f"The phase {self._call.phase} may cost {dearest / MICRO:.6f} USD, and {left / MICRO:.6f} are left of"
                " `max_total_cost_usd`.",
                param="max_total_cost_usd",
            )
        return replace(way, models=[model for model in way.models if most[model.pk] <= left])

    def _done(self, phase: str, number: int, text: str, attempts: Sequence[Attempt]) -> Completed:
        last = self._call.answered or attempts[-1]
        if not text.strip():
            raise Broken(f"{last.model} ended ({last.reason}) without a word.")
        usage = sum((attempt.usage for attempt in attempts), Usage())
        cost = sum(attempt.cost_micro for attempt in attempts)
        return Completed(phase, number, text, last.reason, last.model, last.provider, usage, cost)


def _failed(phase: str, error: GatewayError) -> PhaseFailed:
    failed = PhaseFailed(f"The phase {phase} failed: {error.message}", retry_after=error.retry_after)
    failed.cause, failed.tried = error.code, error.tried
    return failed


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
