"""How models have done of late, as this worker saw it: time to the first content, and how many attempts failed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_NEWEST_SHARE: Final = 0.2  # of one attempt in the averages
_FORGOTTEN_SECONDS: Final = 300.0


@dataclass(slots=True)
class Standing:
    """Exponential averages; `ttft_ms` is None until an attempt came to words."""

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

    def note(self, model: int, *, ttft_ms: float | None, failed: bool) -> None:
        """Take in the end of an attempt."""
        known = self.of(model)
        if known is _UNKNOWN:
            known = self._by_model[model] = Standing(ttft_ms=ttft_ms, failure_rate=float(failed))
        elif ttft_ms is not None:
            known.ttft_ms = ttft_ms if known.ttft_ms is None else _moved(known.ttft_ms, ttft_ms)
        known.failure_rate = _moved(known.failure_rate, float(failed))
        known.seen_at = self._clock()


def _moved(average: float, newest: float) -> float:
    return average + _NEWEST_SHARE * (newest - average)


standings = Standings()
