"""Walks a route: the first model that comes to words has the answer, and whatever fails before that is not seen."""

from __future__ import annotations

import random
from collections.abc import Collection, Generator
from dataclasses import replace
from functools import partial
from typing import Final

from gateway import attempt, quotas
from gateway.adapters.transport import Transport
from gateway.cooldown import cooldowns
from gateway.errors import (
    AllCooling,
    AllFailed,
    AllLimited,
    AtItsLimit,
    GatewayError,
    MovesOn,
    OutputTooLong,
    Overflowed,
    ProviderFailure,
    RateLimited,
    ReasoningRefused,
    Uncounted,
)
from gateway.exchange import Attempt, Call, Delta, Request
from gateway.hedging import Start, Try, race
from gateway.patience import Patience
from gateway.purse import paid
from gateway.retries import retry_budget
from gateway.router import DOUBT, Route, obstacle, told_of
from registry.cooling_stores import LONGEST_SECONDS
from registry.snapshot import ModelFacts

MOST_ATTEMPTS: Final = 4
_BACKOFF_SECONDS: Final = (0.2, 0.5)
_LONGEST_BACKOFF_SECONDS: Final = 2.0
_SOME_TIME_SECONDS: Final = 5.0


def answer(
    request: Request, route: Route, patience: Patience, *, transport: Transport, call: Call, is_hidden: bool = False
) -> Generator[Delta]:
    """Yield the pieces of the answer; raises why there is none when no model of the route comes to words.

    The first pieces of a stream (role, ping) are held back until there is content, so that a provider which fails
    before that leaves no trace in the answer; of one that `is_hidden` from the caller all of it is. Every attempt is
    recorded in `call.attempts`.
    """
    route = paid(request, route, call)
    walk = _Walk(request, route, is_hidden=is_hidden)
    call.answered = None
    retry_budget.request()
    start = partial(_start, walk, route, transport=transport, call=call)
    while walk.has_more():
        patience.pause(walk.backoff)
        tries = _tries(start, request, patience)
        if tries and tries[-1].failure is None:
            call.answered = tries[-1].record
            yield from tries[-1].rest()
            return
        for tried in tries:
            if tried.failure is not None:
                walk.failed(tried.model, tried.failure)
        if not tries:
            walk.nobody_left()
        if walk.has_more() and walk.has_spent_more():
            walk.goes_on_with(paid(request, replace(route, models=walk.ahead), call).models)
    error = walk.outcome()
    error.message += told_of(route.missing)
    raise error


def _tries(start: Start, request: Request, patience: Patience) -> list[Try]:
    """Return the next try, or the next two where the caller asked for a second beside a slow first."""
    hedge_ms = request.policy.hedge_ms
    if hedge_ms is not None and patience.is_cooperative:
        return race(start, start, patience, seconds=hedge_ms / 1000)
    tried = start(patience)
    if tried is None:
        return []
    tried.hold()
    return [tried]


def _start(walk: _Walk, route: Route, patience: Patience, *, transport: Transport, call: Call) -> Try | None:
    """Begin an attempt with the next model that may be called; None when there is none."""
    while model := walk.next():
        if model.pk in route.unjudged and (reason := obstacle(model, walk.asked(model))):
            walk.cannot_serve(model, reason, call)
            continue
        permit = cooldowns.begin(model, probe=route.probe)
        if permit is None:
            continue  # another request finds out whether it has recovered
        asked = walk.asked(model)
        try:
            release = quotas.take(asked, model, call.id)
        except (AtItsLimit, Uncounted) as full:
            cooldowns.released(permit)
            walk.had_no_room(model, full, call)
            continue
        record = Attempt(model.id, model.provider.name, call.phase)
        walk.records.append(record)
        call.attempts.append(record)
        pieces = attempt.run(asked, permit, patience, transport=transport, record=record)
        return Try(permit, record, pieces, release, is_hidden=walk.is_hidden)
    return None


class _Walk:
    """Where a request has been, and where it goes next."""

    def __init__(self, request: Request, route: Route, *, is_hidden: bool = False) -> None:
        self.is_hidden = is_hidden
        self.records: list[Attempt] = []
        self.backoff = 0.0
        self._request = request
        self._models = route.models
        self._ahead = list(route.models)
        self._spent = 0  # micro-dollars, by the attempts so far
        self._rooms = dict(route.rooms)
        self._milder: dict[int, Request] = {}
        self._cured: set[int] = set()
        self._too_small = 0  # tokens: the largest window that the request did not fit into
        self._failures: list[tuple[ModelFacts, GatewayError]] = []
        self._tried_again = False
        self._is_over = False

    def has_more(self) -> bool:
        """Whether there is a model to try, and leave to try it."""
        return bool(self._ahead) and len(self.records) < MOST_ATTEMPTS

    def has_spent_more(self) -> bool:
        """Whether attempts have cost something since this was asked last: what was reserved for them is spent then."""
        before, self._spent = self._spent, sum(record.cost_micro for record in self.records)
        return self._spent > before

    @property
    def ahead(self) -> list[ModelFacts]:
        """The models to try, in their order."""
        return list(self._ahead)

    def goes_on_with(self, models: Collection[ModelFacts]) -> None:
        """Leave out of what is ahead all but these models."""
        self._ahead = [model for model in self._ahead if model in models]

    def next(self) -> ModelFacts | None:
        """Return the model to try now; None when there is none left."""
        return self._ahead.pop(0) if self.has_more() else None

    def asked(self, model: ModelFacts) -> Request:
        """Return the request as this model can take it."""
        request, room = self._milder.get(model.pk, self._request), self._rooms.get(model.pk)
        return request if room is None else request.with_room(room)

    def failed(self, model: ModelFacts, failure: ProviderFailure) -> None:
        """Decide where a failure leads."""
        self.backoff = 0.0
        if self._is_over:  # two were asked, and the first was told what no other model would change
            return
        if self._can_be_cured(model, failure):
            self._ahead.insert(0, model)
            return
        self._failures.append((model, failure))
        if failure.moves_on is MovesOn.NOWHERE:
            self._is_over = True
            self._ahead.clear()
            return
        if failure.moves_on is MovesOn.LARGER:
            self._too_small = max(self._too_small, model.context_size)
            self._ahead = [each for each in self._ahead if each.context_size > self._too_small]
        if not self._ahead:
            self._try_again()

    def cannot_serve(self, model: ModelFacts, reason: str, call: Call) -> None:
        """Note that a model has no words for the request, now that it is its turn."""
        call.leave_out({model.id: reason})

    def had_no_room(self, model: ModelFacts, why: AtItsLimit | Uncounted, call: Call) -> None:
        """Note that a model was not asked; of one that was asked before, what it failed with then says more."""
        if all(each.model != model.id for each in self.records):
            call.leave_out({model.id: why.message})
        if all(each.pk != model.pk for each, _ in self._failures):
            self._failures.append((model, why))

    def nobody_left(self) -> None:
        """Decide what to do where none of those ahead could be asked."""
        if not self._ahead and not self._is_over:
            self._try_again()

    def outcome(self) -> GatewayError:
        """Return what the caller is told."""
        if not self._failures:
            return self._all_cooling()
        decisive = self._decisive()
        model, last = decisive[-1]
        error: GatewayError = last
        kinds = {type(failure) for _, failure in decisive}
        if isinstance(last, Overflowed) and "maximum context length" not in last.message:
            last.message = f"This model's maximum context length is {model.context_size} tokens. {last.message}"
        if AtItsLimit in kinds or (len(kinds) > 1 and any(kind.moves_on is MovesOn.ANY for kind in kinds)):
            kind = AllLimited if kinds & {RateLimited, AtItsLimit} else AllFailed
            said = "; ".join(f"{each.id}: {failure.message}" for each, failure in self._failures)
            error = kind(f"No model could answer ({said}).", retry_after=_SOME_TIME_SECONDS)
        if waits := [failure.retry_after for _, failure in decisive if failure.retry_after is not None]:
            error.retry_after = min(*waits, LONGEST_SECONDS)
        elif error.status == 503:
            error.retry_after = _SOME_TIME_SECONDS
        error.tried = [
            {"model": each.model, "provider": each.provider, "status": each.status, "error": each.error}
            for each in self.records
        ]
        return error

    def _decisive(self) -> list[tuple[ModelFacts, GatewayError]]:
        """Return the failures that say why there is no answer: what the caller has to mend, or else all that count.

        Where the request did not fit into a window, it does not matter what became of smaller ones.
        """
        if final := [each for each in self._failures if each[1].moves_on is MovesOn.NOWHERE]:
            return final
        return [
            (model, failure)
            for model, failure in self._failures
            if model.context_size > self._too_small
            or (model.context_size == self._too_small and failure.moves_on is MovesOn.LARGER)
        ]

    def _all_cooling(self) -> GatewayError:
        states = [state for model in self._models if (state := cooldowns.state(model))]
        wait = min((state.until for state in states), default=cooldowns.now()) - cooldowns.now()
        reasons = {state.reason for state in states}
        kind = AllLimited if "rate_limit" in reasons else AllCooling
        told = f"Every model that could serve is cooling down ({', '.join(sorted(reasons)) or 'probed just now'})."
        return kind(told, retry_after=max(0.0, wait))

    def _can_be_cured(self, model: ModelFacts, failure: ProviderFailure) -> bool:
        """Note with what change the same model may answer; returns whether that is to be tried."""
        if len(self.records) >= MOST_ATTEMPTS:
            return False
        if isinstance(failure, ReasoningRefused):
            return self._takes_less_reasoning(model)
        return isinstance(failure, OutputTooLong) and self._has_room(model, failure)

    def _takes_less_reasoning(self, model: ModelFacts) -> bool:
        milder = self._milder.get(model.pk, self._request).with_less_reasoning()
        if milder is not None:
            self._milder[model.pk] = milder
        return milder is not None

    def _has_room(self, model: ModelFacts, failure: OutputTooLong) -> bool:
        """Whether there is room for a shorter output, which is tried once."""
        if model.pk in self._cured:
            return False
        asked = self._rooms.get(model.pk) or self._request.max_tokens or model.context_size
        room = failure.limit
        if room is None and failure.window is not None:
            room = failure.window - self._request.estimate
            if room <= 0:  # the estimate may be too high
                room = failure.window - int(self._request.estimate / DOUBT)
        if room is None or room <= 0:
            room = min(model.context_size - self._request.estimate, asked // 2)
        if not 0 < room < asked:
            return False
        self._cured.add(model.pk)
        self._rooms[model.pk] = room
        return True

    def _try_again(self) -> None:
        """Where nobody else can serve, ask the best that failed for a passing reason once more, after a moment."""
        passing = [
            (model, failure)
            for model, failure in self._failures
            if failure.again and model.context_size > self._too_small
        ]
        if not passing or self._tried_again or len(self.records) >= MOST_ATTEMPTS:
            return
        model, failure = passing[0]
        wait = failure.retry_after or 0.0
        if wait <= _LONGEST_BACKOFF_SECONDS and retry_budget.take():
            self._tried_again = True
            self.backoff = max(wait, random.uniform(*_BACKOFF_SECONDS))  # noqa: S311 - spreads load
            self._ahead.append(model)
