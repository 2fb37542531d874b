"""How models have done of late, as this worker saw it: time to the first content, and how many attempts failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_NEWEST_SHARE: Final = 0.2  # of one attempt in the averages
_FORGOTTEN_SECONDS: Final = 300.0
_FAILED_MS: Final = 1000.0


@dataclass(slots=True)
class Standing:
    """Exponential averages; `ttft_ms` is None while nothing is known of it."""

    ttft_ms: float | None = None
    failure_rate: float = 0.0
    seen_at: float = 0.0


_UNKNOWN: Final = Standing()


class Standings:
    """Averages by the primary key of a model; what was not called for five minutes is unknown again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_model: dict[int, Standing] = {}

    def of(self, model: int) -> Standing:
        """Return how a model has done; nothing is known of one that was not called of late."""
        known = self._by_model.get(model, _UNKNOWN)
        return known if self._clock() - known.seen_at < _FORGOTTEN_SECONDS else _UNKNOWN

    def answered(self, model: int, ttft_ms: float) -> None:
        """Take in an answer by the time to its first content."""
        self._note(model, ttft_ms, failed=0.0)

    def failed(self, model: int, ms: float) -> None:
        """Take in a failure after so long; be it ever so quick, it makes no model a fast one."""
        self._note(model, self._at_least(model, max(ms, _FAILED_MS)), failed=1.0)

    def given_up(self, model: int, ms: float) -> None:
        """Take in that nobody waited any longer; this tells something where it was longer than usual."""
        if ms > (self.of(model).ttft_ms or _FAILED_MS):
            self._note(model, ms, failed=None)

    def _at_least(self, model: int, ms: float) -> float:
        return max(ms, self.of(model).ttft_ms or 0.0)

    def _note(self, model: int, ttft_ms: float, *, failed: float | None) -> None:
        known = self.of(model)
        if known is _UNKNOWN:
            known = self._by_model[model] = Standing(failure_rate=failed or 0.0)
        known.ttft_ms = ttft_ms if known.ttft_ms is None else _moved(known.ttft_ms, ttft_ms)
        if failed is not None:
            known.failure_rate = _moved(known.failure_rate, failed)
        known.seen_at = self._clock()


def _moved(average: float, newest: float) -> float:
    return average + _NEWEST_SHARE * (newest - average)


standings = Standings()
