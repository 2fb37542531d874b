"""The limits of keys, teams and models: what is asked is counted before it is, and told of when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import Error as DatabaseFault
from redis import RedisError

from accounts import limit_stores
from accounts.facts import KeyFacts
from accounts.limits import CONCURRENT, LEASE_SECONDS, REQUESTS, TOKENS, Subject, Verdict
from gateway import meters
from gateway.errors import LimitReached, Unavailable
from registry import threads
from registry.keeper import one_line
from registry.polling import Poll

logger = logging.getLogger(__name__)

_OUTAGE_SECONDS: Final = 5.0  # that nobody is asked again who did not answer: a caller waits for one time-out at most
_END_SECONDS: Final = 0.15  # that the last bytes of an answer wait for its place to be free; it will be in any case
_FAULTS: Final = (DatabaseFault, RedisError, OSError)
_PER: Final = {CONCURRENT: " at the same time"}


@dataclass(frozen=True, slots=True)
class Admission:
    """What was counted or, where the verdict says so, refused: what is left, and what is to be told when it ends."""

    request: str
    names: Sequence[str]
    tokens: int
    verdict: Verdict


class Throttle:
    """Counts with the other workers, and goes on as configured while it cannot."""

    def __init__(self) -> None:
        self.poll = Poll("limit-poll", self.renew, seconds=lambda: LEASE_SECONDS / 3)
        self._store: limit_stores.Store | None = None
        self._held: dict[str, Sequence[str]] = {}
        self._away_until = 0.0

    def admit(self, key: KeyFacts, request: str, tokens: int) -> Admission | None:
        """Count a request of about so many tokens; None for a key without limits, and in an outage that is let pass.

        Raises `LimitReached` and, where an outage closes the door, `Unavailable`.
        """
        admission = self.count(_subjects(key), request, tokens)
        if admission is not None and admission.verdict.refused_by is not None:
            raise _refusal(admission.verdict, admission.verdict.refused_by, tokens)
        return admission

    def count(self, subjects: Sequence[Subject], request: str, tokens: int) -> Admission | None:
        """Count for all of these, or for none where a limit is in the way; None where nothing limits it.

        None as well in an outage that is let pass; raises `Unavailable` in one that closes the door.
        """
        subjects = [each for each in subjects if has_limits(each)]
        if not subjects:
            return None
        try:
            now = time.monotonic()
            if now < self._away_until:
                raise OSError("it did not answer a moment ago")
            if self._away_until:
                self._away_until = now + _OUTAGE_SECONDS  # one tries for all, who do not wait with it
            verdict = self._counting().admit(subjects, request, tokens)
        except _FAULTS as error:
            self._note_outage(error)
            if settings.TOKENHUB_LIMITS_WHEN_AWAY == "closed":
                raise Unavailable("Limits cannot be checked now.", retry_after=_OUTAGE_SECONDS) from error
            return None
        self._note_return()
        names = [each.name for each in subjects]
        is_counted = verdict.refused_by is None
        if verdict.refused_by is not None:
            meters.refused(verdict.refused_by.name, verdict.kind)
        if is_counted and any(each.limits.concurrent is not None or each.limits.tpm is not None for each in subjects):
            self._held[request] = names  # its end matters: it holds a place, or its tokens count
        return Admission(request, names, tokens, verdict)

    def end(self, admission: Admission, tokens: int) -> None:
        """Free the place of a request, and count the tokens that it took in place of those that were thought.

        To be called before the caller can know of the end, once or more; in an outage the lease frees the place.
        """
        if self._held.pop(admission.request, None) is None or time.monotonic() < self._away_until:
            return
        threads.within(_END_SECONDS, self._tell_end, admission, tokens - admission.tokens)

    def _tell_end(self, admission: Admission, more_tokens: int) -> None:
        try:
            self._counting().end(admission.names, admission.request, more_tokens, admission.verdict.second)
        except _FAULTS as error:
            self._note_outage(error)

    def renew(self) -> None:
        """Say of all requests under way that they are."""
        try:
            self._counting().renew(dict(self._held))
        except _FAULTS as error:
            self._note_outage(error)

    @property
    def is_away(self) -> bool:
        """Whether limits cannot be checked now."""
        return time.monotonic() < self._away_until

    def _counting(self) -> limit_stores.Store:
        if self._store is None:
            self._store = limit_stores.configured()
        return self._store

    def _note_outage(self, error: Exception) -> None:
        now = time.monotonic()
        if not self._away_until:
            told = "limits cannot be checked, and the door is %s: %s"
            logger.warning(told, settings.TOKENHUB_LIMITS_WHEN_AWAY, one_line(error))
        if now >= self._away_until:
            self._away_until = now + _OUTAGE_SECONDS

    def _note_return(self) -> None:
        if self._away_until:
            logger.warning("limits can be checked again")
        self._away_until = 0.0


def _refusal(verdict: Verdict, subject: Subject, tokens: int) -> LimitReached:
    if verdict.kind == TOKENS and tokens > (subject.limits.tpm or 0):
        told = f"This request is of about {tokens} tokens, more than the {limit_of(verdict)} of {subject.label}."
        return LimitReached(told, retry_after=None, headers=headers(verdict) | {"x-should-retry": "false"})
    told = f"The limit of {limit_of(verdict)} of {subject.label} is reached."
    return LimitReached(told, retry_after=verdict.retry_after, headers=headers(verdict))


def _subjects(key: KeyFacts) -> list[Subject]:
    """Return the key and its team."""
    found = [Subject(f"key:{key.pk}", f"key {key.name!r}", key.limits)]
    if key.team is not None:
        found.append(Subject(f"team:{key.team.pk}", f"team {key.team.name!r}", key.team.limits))
    return found


def has_limits(subject: Subject) -> bool:
    """Whether there is anything to count."""
    limits = subject.limits
    return (limits.rpm, limits.tpm, limits.concurrent) != (None, None, None)


def limit_of(verdict: Verdict) -> str:
    """Return the limit that is in the way, in words such as "60 requests a minute"; empty where none is."""
    if verdict.refused_by is None:
        return ""
    limits = verdict.refused_by.limits
    limit = {REQUESTS: limits.rpm, CONCURRENT: limits.concurrent}.get(verdict.kind, limits.tpm)
    what = "requests" if verdict.kind == CONCURRENT else verdict.kind
    return f"{limit} {what}{_PER.get(verdict.kind, ' a minute')}"


def headers(verdict: Verdict) -> dict[str, str]:
    """Return what a caller is told of the narrowest limits, in the words of OpenAI's clients."""
    return {
        name: value
        for kind, room in verdict.rooms.items()
        for name, value in (
            (f"x-ratelimit-limit-{kind}", str(room.limit)),
            (f"x-ratelimit-remaining-{kind}", str(room.left)),
            (f"x-ratelimit-reset-{kind}", f"{room.reset:.0f}s"),
        )
    }


throttle = Throttle()
