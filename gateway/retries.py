"""How many requests may be sent once more to a model that failed: a share of the traffic, so that none is fanned."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_SHARE: Final = 0.2
_FLOOR: Final = 3
_SECONDS: Final = 10.0


class RetryBudget:
    """Counts the requests and the retries of the last ten seconds in this worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests: deque[float] = deque()
        self._retries: deque[float] = deque()

    def request(self) -> None:
        """Count a request."""
        self._requests.append(self._clock())
        self._forget(self._requests)

    def take(self) -> bool:
        """Return whether one more retry is allowed, and count it if so: 20 % of the requests, and three in any case."""
        self._forget(self._requests)
        self._forget(self._retries)
        if len(self._retries) >= max(_FLOOR, _SHARE * len(self._requests)):
            return False
        self._retries.append(self._clock())
        return True

    def _forget(self, times: deque[float]) -> None:
        oldest = self._clock() - _SECONDS
        while times and times[0] < oldest:
            times.popleft()


retry_budget = RetryBudget()
