"""Which models and providers are not to be called for now: one table of rules, by the kind of failure.

Decided in the memory of a worker, and shared with the others by `registry.board`: cooldowns and their ends are, the
failures in a row and the probes under way are not. So it takes three failures in one worker until all of them know,
and each worker may send a probe of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from gateway import errors, meters
from gateway.errors import ProviderFailure
from registry.board import Board, board
from registry.cooling import Reason
from registry.cooling_stores import LONGEST_SECONDS, Entry, Key
from registry.snapshot import ModelFacts

_SOON_SECONDS: Final = 1.0  # after which to ask again about a model that is being probed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a kind of failure does to a model, or to all models of its provider. Times are seconds."""

    reason: Reason
    seconds: float
    """How long to cool, where the provider does not say."""
    least: float = 0.0
    longest: float = LONGEST_SECONDS
    after: int = 1
    """How many failures in a row it takes."""
    growth: float = 1.0
    """How much longer each failed probe makes it."""
    asks_provider: bool = False
    """Whether a Retry-After counts."""
    may_probe: bool = False
    """Whether one request at a time may try before it is over, and a success ends it."""
    half_open: bool = False
    """Whether afterwards the first request is a probe, and the others wait for its outcome."""

    def wait(self, failure: ProviderFailure) -> float:
        """Return how long this failure makes the model cool."""
        asked = failure.retry_after if self.asks_provider else None
        return min(max(self.seconds if asked is None else asked, self.least), self.longest)


_FAILURES: Final = Rule(
    reason=Reason.FAILURES, seconds=30, longest=300, after=3, growth=2, may_probe=True, half_open=True
)
RULES: Final[Mapping[type[ProviderFailure], Rule]] = {
    errors.Unreachable: _FAILURES,
    errors.TimedOut: _FAILURES,
    errors.Broken: _FAILURES,
    errors.Overloaded: _FAILURES,
    errors.RateLimited: Rule(reason=Reason.RATE_LIMIT, seconds=5, least=1, asks_provider=True),
    errors.QuotaSpent: Rule(reason=Reason.QUOTA, seconds=300, least=300, asks_provider=True),
    # until the row or the key is edited, which the fingerprint of an entry notices
    errors.CredentialsRefused: Rule(reason=Reason.CREDENTIALS, seconds=60, may_probe=True, half_open=True),
    # not at once, and this model alone: a key may do one thing and not another
    errors.PermissionRefused: Rule(reason=Reason.PERMISSION, seconds=60, after=3, may_probe=True, half_open=True),
    # a probe tells the caller the provider's own words, and finds a model that has been loaded there meanwhile
    errors.UnknownThere: Rule(reason=Reason.UNKNOWN_MODEL, seconds=300, may_probe=True),
}
_BY_REASON: Final = {rule.reason: rule for rule in RULES.values()}


@dataclass(frozen=True, slots=True)
class Cooling:
    """Why a model is not to be called now, until when (unix seconds), and whether a probe can end it before."""

    reason: str
    until: float
    may_probe: bool


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """The leave for one attempt, to be handed back with its outcome; `probes` are the cooldowns that it may end.

    Attempts that began before a cooldown are still under way during it: what they report must neither end it nor count
    as the report of a probe, so each has a permit of its own.
    """

    model: ModelFacts
    began: float
    probes: frozenset[Key] = frozenset()

    @property
    def expires(self) -> float:
        """When its probe counts as lost: no attempt takes longer."""
        return self.began + self.model.provider.total_timeout


class Cooldowns:
    """The cooldowns as one worker sees them. Nothing here does IO or waits."""

    def __init__(self, known: Board | None = None) -> None:
        self._board = known or Board()
        self._clock: Callable[[], float] = self._board.clock
        self._streaks: dict[tuple[int, Reason], tuple[ModelFacts, int]] = {}
        self._probes: dict[Key, Permit] = {}

    def now(self) -> float:
        """Return the time by which cooldowns end, in unix seconds."""
        return self._clock()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing cools, nor did a while ago without having recovered."""
        return self._board.is_empty

    def state(self, model: ModelFacts) -> Cooling | None:
        """Return why a model is not to be called now; None if it is free, or waits for somebody to probe it."""
        now = self._clock()
        states = [state for entry in self._board.about(model) if (state := self._cooling(entry, now))]
        return max(states, key=lambda state: (not state.may_probe, state.until), default=None)

    def states(self, models: Iterable[ModelFacts]) -> dict[int, Cooling]:
        """Return by their keys those of the models that are not to be called now, each with its `state`."""
        found: dict[int, Cooling] = {}
        of_providers: dict[int, Cooling | None] = {}
        alone, whole = self._board.known()
        for model in models:
            if model.pk in alone:
                state = self.state(model)
            elif model.provider.pk in whole:
                # the same for all models of a provider, of which two pictures may be about
                if id(model.provider) not in of_providers:
                    of_providers[id(model.provider)] = self.state(model)
                state = of_providers[id(model.provider)]
            else:
                continue
            if state:
                found[model.pk] = state
        return found

    def begin(self, model: ModelFacts, *, probe: bool = False) -> Permit | None:
        """Return the permit to call a model now; None if it cools or somebody else finds out whether it still must.

        With `probe` a cooling model may be called too, by one at a time, if its kind of cooldown allows that. Every
        permit comes back in `succeeded`, `failed` or `released`; further calls with it do no harm.
        """
        self._board.poll.follow_fork()
        with self._board.lock:
            now = self._clock()
            probes = set()
            for entry in self._board.about(model):
                rule = _BY_REASON[entry.reason]
                is_cooling = now < entry.until
                if is_cooling and not (probe and rule.may_probe):
                    return None
                if is_cooling or (rule.half_open and not entry.is_over(now)):
                    probes.add(entry.key)
            if any(self._is_probed(key, now) for key in probes):
                return None
            permit = Permit(model, now, frozenset(probes))
            self._probes.update(dict.fromkeys(probes, permit))
            return permit

    def unasked(self, model: ModelFacts) -> Permit:
        """Return a permit that is always given, for a call that a person wants made; its success ends any cooldown."""
        with self._board.lock:
            return Permit(model, self._clock(), frozenset(entry.key for entry in self._board.about(model)))

    def succeeded(self, permit: Permit) -> None:
        """Note that the first content came, or a whole answer: no failures in a row, and what was probed has ended."""
        with self._board.lock:
            self._give_back(permit)
            self._end_streaks(permit.model)
            for entry in tuple(self._board.about(permit.model)):
                if entry.key in permit.probes:
                    self._board.end(entry)

    def failed(self, permit: Permit, failure: ProviderFailure) -> None:
        """Apply the rule for a failure; what is the caller's doing has none."""
        with self._board.lock:
            probed = self._give_back(permit)
            rule = next((RULES[kind] for kind in type(failure).__mro__ if kind in RULES), None)
            if rule is not None and settings.TOKENHUB_COOLDOWNS:
                self._apply(rule, permit.model, failure, probed)

    def heard(self, model: ModelFacts) -> None:
        """Note that the provider is there: failures in a row and what they led to are over, all else stays."""
        with self._board.lock:
            self._end_streaks(model)
            for entry in tuple(self._board.about(model)):
                if entry.reason is Reason.FAILURES:
                    self._board.end(entry)

    def released(self, permit: Permit) -> None:
        """Note that the attempt ended and says nothing of the provider: the caller left, or a refusal was our own."""
        with self._board.lock:
            self._give_back(permit)

    def _apply(self, rule: Rule, model: ModelFacts, failure: ProviderFailure, probed: set[Key]) -> None:
        now = self._clock()
        known = next((each for each in self._board.about(model) if each.reason == rule.reason), None)
        seconds = rule.wait(failure)
        if known is None or known.is_over(now) or (now >= known.until and not rule.half_open):
            if not self._is_last_straw(rule, model):
                return
        elif not rule.may_probe:
            if now + seconds <= known.until:
                return
        elif known.key in probed and now >= known.until:
            seconds = min(known.seconds * rule.growth, rule.longest)
        else:
            return  # it was tried too early, or the attempt began before the cooldown: nothing new
        self._board.say(rule.reason, model, seconds=seconds, until=now + seconds)
        meters.cooled(model.id, model.provider.name, rule.reason.value)

    def _is_last_straw(self, rule: Rule, model: ModelFacts) -> bool:
        """Count a failure where more than one is needed; whether these are enough. Edited rows begin anew."""
        if rule.after == 1:
            return True
        failing, count = self._streaks.pop((model.pk, rule.reason), (model, 0))
        count = count + 1 if failing == model else 1
        if count < rule.after:
            self._streaks[model.pk, rule.reason] = (model, count)
        return count >= rule.after

    def _end_streaks(self, model: ModelFacts) -> None:
        for reason in Reason if self._streaks else ():
            self._streaks.pop((model.pk, reason), None)

    def _cooling(self, entry: Entry, now: float) -> Cooling | None:
        rule = _BY_REASON[entry.reason]
        if now < entry.until:
            return Cooling(entry.reason.value, entry.until, rule.may_probe)
        if rule.half_open and self._is_probed(entry.key, now):
            return Cooling(entry.reason.value, now + _SOON_SECONDS, rule.may_probe)
        return None

    def _is_probed(self, key: Key, now: float) -> bool:
        permit = self._probes.get(key)
        return permit is not None and now < permit.expires

    def _give_back(self, permit: Permit) -> set[Key]:
        """Return the cooldowns that this permit was probing until now, and let others probe them."""
        held = {key for key in permit.probes if self._probes.get(key) is permit}
        for key in held:
            del self._probes[key]
        return held


cooldowns = Cooldowns(board)
