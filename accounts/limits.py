"""Limits: how often, for how many tokens and for how many requests at a time a key or a team may ask.

A window is counted in whole seconds of which 61 are added up, so that in any 60 seconds there is never more than the
limit, wherever within their seconds the requests fell. Source of the idea: the sliding window counter, with a bucket a
second and rounded to the safe side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from accounts.facts import Limits

SECONDS: Final = 61
LEASE_SECONDS: Final = 90.0
_SOON: Final = 1.0

REQUESTS: Final = "requests"
TOKENS: Final = "tokens"
CONCURRENT: Final = "concurrent"


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is limited: a name that all workers share, such as `key:5`, what people call it, and how much it may."""

    name: str
    label: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of one limit, and in how many seconds all of it will be."""

    limit: int
    left: int
    reset: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is admitted; if not, which limit of which subject is in the way, and for how many seconds."""

    refused_by: Subject | None = None
    kind: str = ""
    retry_after: float = 0.0
    rooms: Mapping[str, Room] = field(default_factory=dict)
    """The narrowest room of each kind, of requests and tokens."""
    second: int = 0
    """The unix second in which it was counted."""


class Window:
    """What one subject used in the last seconds, and who is under way: the state that a store keeps."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        told = state or {}
        self.used: dict[int, list[int]] = {int(second): list(pair) for second, pair in told.get("used", {}).items()}
        """Requests and tokens by unix second."""
        self.held: dict[str, float] = dict(told.get("held", {}))
        """Until when each request under way is believed to be."""

    def state(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"used": {str(second): pair for second, pair in self.used.items()}, "held": self.held}

    def forget(self, now: float) -> None:
        """Drop what does not count any more."""
        self.used = {second: pair for second, pair in self.used.items() if second > now - SECONDS}
        self.held = {request: until for request, until in self.held.items() if until > now}

    def obstacle(self, limits: Limits, tokens: int, now: float) -> tuple[str, float] | None:
        """Return the kind of the limit in the way and the seconds until it is not, or None."""
        if limits.concurrent is not None and len(self.held) >= limits.concurrent:
            return CONCURRENT, _SOON
        for kind, index, limit, wanted in ((REQUESTS, 0, limits.rpm, 1), (TOKENS, 1, limits.tpm, tokens)):
            if limit is not None and self.sum(index) + wanted > limit:
                return kind, self._wait(index, limit - wanted, now)
        return None

    def sum(self, index: int) -> int:
        """Return how many requests (0) or tokens (1) count now."""
        return sum(pair[index] for pair in self.used.values())

    def take(self, request: str, tokens: int, now: float, *, holds: bool) -> None:
        """Count a request, and that it is under way where `holds`."""
        pair = self.used.setdefault(int(now), [0, 0])
        pair[0] += 1
        pair[1] += tokens
        if holds:
            self.held[request] = now + LEASE_SECONDS

    def renew(self, request: str, now: float) -> None:
        """Believe for longer that a request is under way."""
        if request in self.held:
            self.held[request] = now + LEASE_SECONDS

    def end(self, request: str, more_tokens: int, second: int, now: float) -> None:
        """
        Note that a request has ended, and how many tokens more or less it took than was thought.

        Where the second in which it was counted has gone from the window, what it took more counts now.
        """
        self.held.pop(request, None)
        self.forget(now)
        if second in self.used:
            self.used[second][1] = max(0, self.used[second][1] + more_tokens)
        elif more_tokens > 0:
            self.used.setdefault(int(now), [0, 0])[1] += more_tokens

    def rooms(self, limits: Limits, now: float) -> dict[str, Room]:
        """Return what is left of each limit that there is."""
        reset = max((second + SECONDS - now for second in self.used), default=0.0)
        return rooms(limits, requests=self.sum(0), tokens=self.sum(1), reset=reset)

    def _wait(self, index: int, most: int, now: float) -> float:
        """Return the seconds until no more than `most` count: those of the oldest seconds that have to go."""
        left = self.sum(index)
        for second in sorted(self.used):
            left -= self.used[second][index]
            if left <= most:
                return max(_SOON, second + SECONDS - now)
        return float(SECONDS)  # it would be too much for an empty window


def decide(subjects: Sequence[Subject], windows: Sequence[Window], request: str, tokens: int, *, now: float) -> Verdict:
    """Count a request in all windows, or in none where a limit is in the way."""
    for window in windows:
        window.forget(now)
    for subject, window in zip(subjects, windows, strict=True):
        if (found := window.obstacle(subject.limits, tokens, now)) is not None:
            return Verdict(subject, *found, rooms=_left(subjects, windows, now))
    for subject, window in zip(subjects, windows, strict=True):
        window.take(request, tokens, now, holds=subject.limits.concurrent is not None)
    return Verdict(rooms=_left(subjects, windows, now), second=int(now))


def _left(subjects: Sequence[Subject], windows: Sequence[Window], now: float) -> dict[str, Room]:
    return narrowest(window.rooms(subject.limits, now) for subject, window in zip(subjects, windows, strict=True))


def narrowest(told: Iterable[Mapping[str, Room]]) -> dict[str, Room]:
    """Return for requests and tokens the room that is smallest."""
    found: dict[str, Room] = {}
    for kind, room in (pair for rooms in told for pair in rooms.items()):
        if kind not in found or room.left < found[kind].left:
            found[kind] = room
    return found


def rooms(limits: Limits, *, requests: int, tokens: int, reset: float) -> dict[str, Room]:
    """Return what is left of each limit that there is, of which so much is used."""
    pairs = ((REQUESTS, limits.rpm, requests), (TOKENS, limits.tpm, tokens))
    return {kind: Room(limit, max(0, limit - used), reset) for kind, limit, used in pairs if limit is not None}
