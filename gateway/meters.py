"""What is counted of calls for Prometheus, when they end: cheap to count, and with labels that no caller can choose.

In a gunicorn each worker counts in files that the others read, see `tokenhub_site.metering`; elsewhere in memory.
"""

import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Final, Literal

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway import labels
from gateway.errors import BudgetExceeded
from gateway.exchange import CALLER_LEFT, OVERTAKEN, Attempt, Call

registry: Final = CollectorRegistry(auto_describe=False)
"""What this process counts."""
streams: Final[set[str]] = set()
"""The ids of the calls whose answers go out as streams now."""

_PROVIDER: Final = ("model", "provider")
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_SHORT: Final = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_HUNDREDS: Final = (2, 4, 5)  # of all the statuses that a call can have
_NO_FAILURES: Final = frozenset({CALLER_LEFT, OVERTAKEN})


def _counter(name: str, about: str, names: Sequence[str] = ()) -> Counter:
    return Counter(f"tokenhub_{name}", about, names, registry=registry)


def _histogram(name: str, about: str, names: Sequence[str] = (), *, buckets: Sequence[float] = _SECONDS) -> Histogram:
    return Histogram(f"tokenhub_{name}", about, names, buckets=buckets, registry=registry)


def _gauge(
    name: str, about: str, names: Sequence[str] = (), *, mode: Literal["livesum", "livemax"] = "livesum"
) -> Gauge:
    return Gauge(f"tokenhub_{name}", about, names, multiprocess_mode=mode, registry=registry)


_REQUESTS: Final = _counter("requests", "Requests that have ended.", ("endpoint", "status"))
_ERRORS: Final = _counter("errors", "Requests that ended with an error.", ("code",))
_DURATION: Final = _histogram("request_duration_seconds", "From the first line to the last byte.", ("endpoint",))
_OVERHEAD: Final = _histogram(
    "overhead_seconds", "Of requests that asked models, the time outside their attempts.", buckets=_SHORT
)
_ATTEMPTS: Final = _counter("attempts", "Tries at providers that have ended.", (*_PROVIDER, "outcome"))
_ATTEMPT_DURATION: Final = _histogram("attempt_duration_seconds", "Of one try, to its end.", _PROVIDER)
_FIRST_TOKEN: Final = _histogram(
    "time_to_first_token_seconds", "Of streams, from asking the provider to the first content.", _PROVIDER
)
_FALLBACKS: Final = _counter("fallbacks", "Failed tries after which another followed.", (*_PROVIDER, "code"))
_TOKENS: Final = _counter("tokens", "Tokens used; the kinds do not overlap.", (*_PROVIDER, "kind"))
_COST: Final = _counter("cost_usd", "US dollars, of tries whose price is known.", _PROVIDER)
_COOLED: Final = _counter("cooldowns", "Cooldowns that began.", (*_PROVIDER, "reason"))
_REFUSALS: Final = _counter("refusals", "Refusals by limits and budgets; of a model, it was left out.", ("by", "limit"))
_STARTS: Final = _counter("worker_starts", "Workers that began.")
LOST: Final = _counter("lost", "What could neither be written down nor kept.", ("what",))
HUB_LAG: Final = _histogram("hub_lag_seconds", "How late a worker's timer ran.", buckets=_SHORT)
HUB_LAG_MAX: Final = _gauge("hub_lag_max_seconds", "The longest lag of any worker within a minute.", mode="livemax")
WORKERS: Final = _gauge("workers", "Workers that serve.")
IN_FLIGHT: Final = _gauge("requests_in_flight", "Requests to models that are under way.")
STREAMS: Final = _gauge("open_streams", "Answers that go out as streams now.")
SPOOL_DEPTH: Final = _gauge("spool_depth", "Calls that wait to be booked.")
LEDGER_FAULT: Final = _gauge("ledger_fault", "Workers that cannot write to the spool, or to the books.", ("of",))


def is_on() -> bool:
    """Whether anybody may read what is counted."""
    told: bool = settings.TOKENHUB_METRICS
    return told


class _Endpoint:
    """What is counted by an endpoint: found once, since to find the children of a metric takes longer than to count."""

    def __init__(self, route: str) -> None:
        self.duration = _DURATION.labels(route)
        self.by_status = {hundred: _REQUESTS.labels(route, f"{hundred}xx") for hundred in _HUNDREDS}


class _Model:
    """What is counted by a model at its provider."""

    def __init__(self, *of: str) -> None:
        self.duration = _ATTEMPT_DURATION.labels(*of)
        self.first_token = _FIRST_TOKEN.labels(*of)
        self.cost = _COST.labels(*of)
        self.input = _TOKENS.labels(*of, "input")
        self.output = _TOKENS.labels(*of, "output")
        self.cache_read = _TOKENS.labels(*of, "cache_read")
        self.cache_write = _TOKENS.labels(*of, "cache_write")
        self.by_outcome = {"": _ATTEMPTS.labels(*of, "ok")}


_endpoint: Final = cache(_Endpoint)
_model: Final = cache(_Model)


def ended(call: Call) -> None:
    """Count a call that has ended, and its attempts."""
    here = _endpoint(labels.endpoint(call.endpoint))
    seconds = time.monotonic() - call.began
    here.by_status.get(call.status // 100, here.by_status[5]).inc()
    here.duration.observe(seconds)
    if call.error:
        _ERRORS.labels(call.error).inc()
        if call.error == BudgetExceeded.code:
            _REFUSALS.labels("budget", "cost").inc()
    if not call.attempts:
        return
    for each in call.attempts:
        _count(each, is_stream=call.stream)
    for failed, _ in fallbacks(call.attempts):
        _FALLBACKS.labels(failed.model, failed.provider, failed.error).inc()
    _OVERHEAD.observe(max(0.0, seconds - _away(call.attempts)))


def _count(attempt: Attempt, *, is_stream: bool) -> None:
    here, used, outcome = _model(attempt.model, attempt.provider), attempt.usage, attempt.error
    if outcome not in here.by_outcome:
        here.by_outcome[outcome] = _ATTEMPTS.labels(attempt.model, attempt.provider, outcome)
    here.by_outcome[outcome].inc()
    here.duration.observe(attempt.ms / 1000)
    if is_stream and attempt.ttft_ms is not None:
        here.first_token.observe(attempt.ttft_ms / 1000)
    if used.uncached:
        here.input.inc(used.uncached)
    if used.output:
        here.output.inc(used.output)
    if used.cache_read:
        here.cache_read.inc(used.cache_read)
    if used.cache_write:
        here.cache_write.inc(used.cache_write)
    if attempt.cost_micro:
        here.cost.inc(attempt.cost_micro / 1_000_000)


def fallbacks(attempts: Sequence[Attempt]) -> Sequence[tuple[Attempt, Attempt]]:
    """Return the attempts that failed and the ones that followed them, within a phase."""
    if len(attempts) < 2:
        return ()
    phases: dict[str, list[Attempt]] = {}
    for each in attempts:
        phases.setdefault(each.phase, []).append(each)
    pairs = (pair for phase in phases.values() for pair in pairwise(phase))
    return [(one, next_one) for one, next_one in pairs if one.error and one.error not in _NO_FAILURES]


def _away(attempts: Sequence[Attempt]) -> float:
    """Return the seconds in which at least one of the attempts was under way."""
    if len(attempts) == 1:
        return attempts[0].ms / 1000
    away = covered = 0.0
    for start, end in sorted((each.began, each.began + each.ms / 1000) for each in attempts):
        away += max(0.0, end - max(start, covered))
        covered = max(covered, end)
    return away


def refused(subject: str, limit: str) -> None:
    """Count a refusal by a limit, `subject` being the counter's name such as `key:1`."""
    if is_on():
        _REFUSALS.labels(subject.partition(":")[0], limit).inc()


def cooled(model: str, provider: str, reason: str) -> None:
    """Count a cooldown that began with a failure of this model."""
    if is_on():
        _COOLED.labels(model, provider, reason).inc()


def begin() -> None:
    """Count a worker that begins, and show what has not happened yet as 0: a rise from nothing is none."""
    if not is_on():
        return
    _STARTS.inc()
    for by in ("key", "team", "model"):
        for limit in ("requests", "tokens", "concurrent"):
            _REFUSALS.labels(by, limit)
    _REFUSALS.labels("budget", "cost")
    for what in ("call", "content"):
        LOST.labels(what)
