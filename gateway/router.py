"""From a request and a picture of the registry to a route: who can serve, in which order, and why the others cannot."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, Self

from gateway.adapters.kinds import ADAPTERS
from gateway.conversation import Untranslatable
from gateway.cooldown import Cooldowns, Cooling, cooldowns
from gateway.errors import (
    AllCooling,
    AllLimited,
    GatewayError,
    InvalidRequest,
    NoModelCanServe,
    PromptTooLong,
    Unserviceable,
)
from gateway.exchange import COMPLETION, EMBEDDING, RESPONSES, Decision, Excluded, Ranked, Request
from gateway.lineup import AUTO, NOT_NAMED, Lineup, Ranking, Tier, is_callable, lineup, once_each, room
from gateway.metrics import Standings, standings
from gateway.scoring import Scored
from registry.snapshot import ModelFacts, Snapshot

_LEAST_ROOM: Final = 256  # tokens of output, below which an answer is not worth its prompt
DOUBT: Final = 1.3  # by which the estimate of a prompt may be too high
_MOST_RANKED: Final = 20  # that a decision tells of where nobody asked for all
_MOST_TOLD: Final = 10
# Where the prompt stands that is too long, if not in messages.
_PROMPTS: Final = {COMPLETION: "prompt", EMBEDDING: "input", RESPONSES: "input"}


@dataclass(frozen=True, slots=True)
class Route:
    """The models to try, the best first and at least one, and the decision that led there."""

    models: Sequence[ModelFacts]
    decision: Decision
    probe: bool = False
    """Whether the one model is cooling, and this request is to find out if it has recovered."""
    rooms: Mapping[int, int] = field(default_factory=dict)
    """By the key of a model: the tokens of output that it has room for, where the caller asked for more."""
    missing: Sequence[Excluded] = ()
    """Models that the caller named, and why they are not on the route."""
    unjudged: Collection[int] = frozenset()
    """The keys of those whose `obstacle` is to be looked at when it is their turn, which is seldom."""


class _Sifted:
    """What became of each model: able to serve, able but cooling, or left out for one reason."""

    def __init__(self, lineup: Lineup) -> None:
        self.lineup = lineup
        self.able: Collection[int] = lineup.keys
        self.cooling: Mapping[int, Cooling] = {}
        self.rooms: dict[int, int] = {}
        self.unjudged: Collection[int] = frozenset()
        self.barred: Mapping[int, str] = {}
        """By the key of one that is fit: what the request says, or sets as a limit, that is in the way."""
        self._reasons: Mapping[int, str] = {}

    @classmethod
    def of(cls, lineup: Lineup, request: Request, cooling: Cooldowns, *, judges_all: bool) -> Self:
        """Sift all models; where neither what a request says, nor its size, nor what cools is in the way, all at once.

        Of what is said the first model judges alone, if not all are asked to: that takes long where it is translated.
        """
        sifted = cls(lineup)
        barred = lineup.beyond(request.policy)
        if not barred and cooling.is_quiet and lineup.has_room_for(request):
            judges = lineup.judging if judges_all or not lineup.models else lineup.models[:1]
            if not any(obstacle(model, request) for model in judges):
                sifted.unjudged = lineup.judging_keys.difference(model.pk for model in judges)
                return sifted
        judges = [model for model in lineup.judging if model.pk not in barred]
        sifted.barred = barred | {each.pk: reason for each in judges if (reason := obstacle(each, request))}
        sifted._sift(request, cooling, tight=False)
        if not sifted.able and not sifted.cooling:
            sifted._sift(request, cooling, tight=True)
        return sifted

    @property
    def is_usual(self) -> bool:
        """Whether all can serve that are fit for such requests."""
        return self.able is self.lineup.keys

    @cached_property
    def excluded(self) -> Sequence[Excluded]:
        """Those that are left out, in the order of their ids."""
        if not self._reasons:
            return self.lineup.left_out
        own = [Excluded(each.id, self._reasons[each.pk]) for each in self.lineup.fit if each.pk in self._reasons]
        return sorted((*self.lineup.left_out, *own), key=lambda each: each.model)

    def _sift(self, request: Request, cooling: Cooldowns, *, tight: bool) -> None:
        """Look at the fit; with `tight` a window counts if it may hold the prompt and some output, if not all."""
        self.rooms = {}
        reasons: dict[int, str] = {}
        for model, keys in self.lineup.sizes:
            reason, room = _too_small(model, request, tight=tight)
            if reason:
                reasons.update(dict.fromkeys(keys, reason))
            elif room is not None:
                self.rooms.update((key, room) for key in keys if key not in self.barred)
        reasons.update(self.barred)
        if not cooling.is_quiet:
            self.cooling = cooling.states(model for model in self.lineup.fit if model.pk not in reasons)
            told = {id(state): state for state in self.cooling.values()}  # all of a provider share one
            texts = {key: _told_of_cooling(state) for key, state in told.items()}
            reasons.update((key, texts[id(state)]) for key, state in self.cooling.items())
        self.able = self.lineup.keys.difference(reasons) if reasons else self.lineup.keys
        self._reasons = reasons


def _too_small(model: ModelFacts, request: Request, *, tight: bool) -> tuple[str, int | None]:
    """Return why a model's window is too small, or else how much room for an answer it has if not what is asked for."""
    room = _room(request, model)
    left = model.context_size - request.estimate
    if left >= room:
        return "", None
    surely_left = model.context_size - int(request.estimate / DOUBT)
    if tight and min(room, _LEAST_ROOM) <= surely_left:
        is_asked = request.max_tokens is not None
        return "", min(room, max(left, min(_LEAST_ROOM, surely_left))) if is_asked else None
    return f"context too small: needs about {request.estimate + room}, has {model.context_size}", None


def _told_of_cooling(state: Cooling) -> str:
    return f"cooling until {datetime.fromtimestamp(state.until, UTC):%H:%M:%S} UTC ({state.reason})"


def route(
    request: Request,
    snapshot: Snapshot,
    *,
    cooling: Cooldowns = cooldowns,
    recent: Standings = standings,
    tells_all: bool = False,
) -> Route:
    """Return the route of a request; raises what says best why there is none.

    `ModelNotFound`, `PromptTooLong`, `Unserviceable` and `InvalidRequest` are the caller's to mend; `NoModelCanServe`,
    `AllCooling` and `AllLimited` are not. The decision tells of the best twenty models and takes for granted that those
    behind the first can say what is asked. Of all, and with all asked, it tells where `tells_all` or `explain` says so.
    """
    who = lineup(request, snapshot)
    tells_all = tells_all or request.policy.explain
    sifted = _Sifted.of(who, request, cooling, judges_all=tells_all)
    if not sifted.able and not sifted.cooling:
        raise _decided(_nobody(request, sifted), request, snapshot, sifted)
    ranking, models = _ranking(sifted, request, recent)
    if not ranking:
        refusal = _all_cooling(sifted.cooling.values(), cooling.now())
        refusal.message += told_of(_missing(request, who, sifted.excluded))
        raise _decided(refusal, request, snapshot, sifted)
    most = None if tells_all else _MOST_RANKED
    told = [_ranked(tier, scored, request) for tier, scored in ranking[:most]]
    left_out = sifted.excluded
    if not sifted.able:
        on_it = {model.id for model in models}
        left_out = [each for each in left_out if each.model not in on_it]
    missing = _missing(request, who, left_out)
    decision = Decision(request.estimate, snapshot.version, told, left_out)
    return Route(
        models,
        decision,
        probe=not sifted.able,
        rooms=sifted.rooms,
        missing=missing,
        unjudged=sifted.unjudged,
    )


def _ranking(sifted: _Sifted, request: Request, recent: Standings) -> tuple[Ranking, Sequence[ModelFacts]]:
    """Return who can serve, the best first, and these models; where all cool, the one that may be probed."""
    who = sifted.lineup
    if sifted.is_usual and who.ranking is not None:
        return who.ranking, who.models
    wanted = sifted.able or {pk for pk, state in sifted.cooling.items() if state.may_probe}
    if who.ranking is None:
        ranked = once_each(who.ranked(wanted, request.policy.session, recent))
    else:
        ranked = [pair for pair, model in zip(who.ranking, who.models, strict=True) if model.pk in wanted]
    ranked = ranked if sifted.able else ranked[:1]
    return ranked, [scored.candidate.model for _, scored in ranked]


def told_of(missing: Sequence[Excluded]) -> str:
    """Return a sentence about the models that the caller named in vain, after a blank; empty if there are none."""
    if not missing:
        return ""
    told = [f"{each.model}: {each.reason}" for each in missing[:_MOST_TOLD]]
    return f" What was asked for is left out ({'; '.join(told)})."


def _missing(request: Request, who: Lineup, excluded: Sequence[Excluded]) -> list[Excluded]:
    count = len(request.policy.models) + bool(request.model and request.model != AUTO)
    named = {model.id for tier in who.tiers[:count] for model in tier.models}
    return [each for each in excluded if each.model in named]


def obstacle(model: ModelFacts, request: Request) -> str:
    """Return what in the words of a request keeps a model from answering; empty if nothing does."""
    return ADAPTERS[model.provider.type].obstacle(request, model)


def _ranked(tier: Tier, scored: Scored, request: Request) -> Ranked:
    model = scored.candidate.model
    need = min(model.context_size, request.estimate + _room(request, model))
    return Ranked(model.id, model.provider.name, scored.score, scored.terms, tier.strategy, need)


def _room(request: Request, model: ModelFacts) -> int:
    return room(request.format, request.max_tokens, model)


def _decided(error: GatewayError, request: Request, snapshot: Snapshot, sifted: _Sifted) -> GatewayError:
    """Return the error with the decision that led to it, which can be read like any other."""
    error.decision = Decision(request.estimate, snapshot.version, (), sifted.excluded)
    return error


def _all_cooling(states: Iterable[Cooling], now: float) -> GatewayError:
    first = min(states, key=lambda state: state.until)
    wait = max(0.0, first.until - now)
    kind = AllLimited if first.reason == "rate_limit" else AllCooling
    return kind(f"Every model that could serve is cooling down ({first.reason}).", retry_after=wait)


def _nobody(request: Request, sifted: _Sifted) -> GatewayError:
    """Return why nobody can serve: the prompt if it alone is in the way, the request, or the registry."""
    windows = [model.context_size for model in sifted.lineup.fit if model.pk not in sifted.barred]
    if windows:
        return PromptTooLong(
            f"This model's maximum context length is {max(windows)} tokens. However, your request needs about"
            f" {request.estimate} tokens and room for an answer.",
            param=_PROMPTS.get(request.format, "messages"),
        )
    told = [each for each in sifted.excluded if each.reason != NOT_NAMED]
    fault = _fault(request)
    if isinstance(fault, InvalidRequest) and any(each.reason == str(fault) for each in told):
        return InvalidRequest(fault.message, param=fault.param)
    kind = Unserviceable if any(map(is_callable, sifted.lineup.snapshot.models)) else NoModelCanServe
    reasons = [f"{each.model}: {each.reason}" for each in told]
    more = [f"and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
    said = "; ".join(reasons[:_MOST_TOLD] + more) or "the registry is empty"
    is_alone = bool(told) and all(each.reason == str(fault) for each in told)
    param = fault.field if isinstance(fault, Untranslatable) and is_alone else None
    return kind(f"No model can serve this request ({said}).", param=param)


def _fault(request: Request) -> Untranslatable | InvalidRequest | None:
    """Return what keeps a request from being told in another format."""
    try:
        request.conversation.get()
    except (Untranslatable, InvalidRequest) as fault:
        return fault
    return None
