"""How models are put in order: a strategy gives each candidate the terms whose sum is its score."""

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from registry.snapshot import ModelFacts

Terms = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that can serve: its weight (an alias may give it another), and how it has done of late."""

    model: ModelFacts
    weight: float
    ttft_ms: float | None = None
    """Until its first content, of late; None where that is not known."""
    failure_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with its score and the terms that make it up."""

    candidate: Candidate
    score: float
    terms: Terms


def rank(candidates: Sequence[Candidate], strategy: str, *, session: str = "") -> list[Scored]:
    """Return the candidates, the highest score first; ties by lower cost, then larger window, then id.

    `strategy` is a key of `STRATEGIES`. `session` makes a random choice the same for all requests that share it.
    """
    terms = STRATEGIES[strategy](candidates, session)
    scored = [Scored(each, sum(own.values()), own) for each, own in zip(candidates, terms, strict=True)]
    return sorted(scored, key=_order)


def _order(scored: Scored) -> tuple[float, float, int, str]:
    model = scored.candidate.model
    return (-scored.score, model.cost_per_1k, -model.context_size, model.id)


def _score(candidates: Sequence[Candidate], session: str) -> list[Terms]:
    """The default: `weight - cost_per_1k * 10`."""
    return [{"weight": each.weight, "cost": -each.model.cost_per_1k * 10} for each in candidates]


def _cheapest(candidates: Sequence[Candidate], session: str) -> list[Terms]:
    return [{"cost": -each.model.cost_per_1k} for each in candidates]


def _fastest(candidates: Sequence[Candidate], session: str) -> list[Terms]:
    """By the recent time to first content; one that was not called of late counts as the fastest, to be found out."""
    best = min((each.ttft_ms for each in candidates if each.ttft_ms is not None), default=0.0)
    return [{"ttft_ms": -(best if each.ttft_ms is None else each.ttft_ms)} for each in candidates]


def _balanced(candidates: Sequence[Candidate], session: str) -> list[Terms]:
    """Cost, latency, failures and weight count alike, each as a share of the highest among the candidates."""
    cost = _highest(each.model.cost_per_1k for each in candidates)
    slowest = _highest(each.ttft_ms or 0.0 for each in candidates)
    weight = _highest(abs(each.weight) for each in candidates)
    return [
        {
            "weight": each.weight / weight,
            "cost": -each.model.cost_per_1k / cost,
            "ttft": -(each.ttft_ms or 0.0) / slowest,
            "failures": -each.failure_rate,
        }
        for each in candidates
    ]


def _weighted(candidates: Sequence[Candidate], session: str) -> list[Terms]:
    """At random, each model first as often as its share of the weights; without weight last.

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006). With a session the random
    number is a hash of it and the model, so that a change of the other models moves no session between those that stay.
    """
    return [{"draw": _draw(each, session)} for each in candidates]


def _draw(candidate: Candidate, session: str) -> float:
    if candidate.weight <= 0:
        return candidate.weight - 1.0
    number = _hashed(f"{session}\n{candidate.model.id}") if session else random.random()  # noqa: S311 - spreads load
    return float(number ** (1.0 / candidate.weight))


def _hashed(text: str) -> float:
    """Return a number from 0 up to 1 that depends on nothing but the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=6).digest()) / 2**48


def _highest(values: Iterable[float]) -> float:
    return max(values, default=0.0) or 1.0


Strategy = Callable[[Sequence[Candidate], str], Sequence[Terms]]
STRATEGIES: Final[Mapping[str, Strategy]] = {
    "score": _score,
    "cheapest": _cheapest,
    "fastest": _fastest,
    "balanced": _balanced,
    "weighted": _weighted,
}
STEADY: Final = frozenset({"score", "cheapest"})
"""Those by which an order is the same for every request, as long as the registry is."""
