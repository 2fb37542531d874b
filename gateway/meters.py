"""What is counted of calls for Prometheus, when they end: cheap to count, and with labels that no caller can choose.

In a gunicorn each worker counts in files that the others read, see `tokenhub_site.metering`; elsewhere in memory.
"""

import time
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import Any, Final, Literal, TypeVar

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway import labels
from gateway.errors import BudgetExceeded
from gateway.exchange import CALLER_LEFT, OVERTAKEN, Attempt, Call

registry: Final = CollectorRegistry(auto_describe=False)
"""What this process counts."""
streams: Final[set[str]] = set()
"""The ids of the calls whose answers go out as streams now."""

_Metric = TypeVar("_Metric", Counter, Histogram)
_Names = tuple[str, str]

_PROVIDER: Final = ("model", "provider")
_MOST_MODELS: Final = 100  # by name: all that is told of a model is read again at each scrape, of each worker
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_UNTIL_WORDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0)
_OF_A_MODEL: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # few: they are most of what is told
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
_ATTEMPT_DURATION: Final = _histogram(
    "attempt_duration_seconds", "Of one try, to its end.", _PROVIDER, buckets=_OF_A_MODEL
)
_FIRST_TOKEN: Final = _histogram(
    "time_to_first_token_seconds", "Of streams, to the first content.", _PROVIDER, buckets=_UNTIL_WORDS
)
_FALLBACKS: Final = _counter("fallbacks", "Failed tries after which another followed.", (*_PROVIDER, "code"))
_TOKENS: Final = _counter("tokens", "Tokens used; the kinds do not overlap.", (*_PROVIDER, "kind"))
_COST: Final = _counter("cost_usd", "US dollars, of tries whose price is known.", _PROVIDER)
_COOLED: Final = _counter("cooldowns", "Cooldowns that began.", (*_PROVIDER, "reason"))
_REFUSALS: Final = _counter("refusals", "Refusals by limits and budgets; of a model, it was left out.", ("by", "limit"))
_DEATHS: Final = _counter("worker_deaths", "Workers that ended unasked and were replaced.")
LOST: Final = _counter("lost", "What could neither be written down nor kept.", ("what",))
HUB_LAG: Final = _histogram("hub_lag_seconds", "How late a worker's timer ran.", buckets=_SHORT)
HUB_LAG_MAX: Final = _gauge("hub_lag_max_seconds", "The longest lag of any worker within a minute.", mode="livemax")
WORKERS: Final = _gauge("workers", "Workers that serve.")
IN_FLIGHT: Final = _gauge("requests_in_flight", "Requests to models that are under way.")
STREAMS: Final = _gauge("open_streams", "Answers that go out as streams now.")
SPOOL_DEPTH: Final = _gauge("spool_depth", "Calls that wait to be booked.")
LIMITS_AWAY: Final = _gauge("limits_away", "Workers that cannot check limits.")
LEDGER_FAULT: Final = _gauge("ledger_fault", "Workers that cannot write to the spool, or to the books.", ("of",))


def is_on() -> bool:
    """Whether anybody may read what is counted."""
    told: bool = settings.TOKENHUB_METRICS
    return told


_children: Final[dict[tuple[object, tuple[str, ...]], Any]] = {}
_named: Final[set[_Names]] = set()


def _of(metric: _Metric, *names: str) -> _Metric:
    """Return what counts under these labels: found once, since to find it takes longer than to count."""
    found: _Metric | None = _children.get((metric, names))
    if found is None:
        try:
            found = metric.labels(*names)
        except OSError:  # no memory to count under more labels
            found = metric.labels(*(labels.OTHER for _ in names))
        _children[metric, names] = found
    return found


class _Endpoint:
    """What is counted by an endpoint."""

    def __init__(self, route: str) -> None:
        self.duration = _of(_DURATION, route)
        self.by_status = {hundred: _of(_REQUESTS, route, f"{hundred}xx") for hundred in _HUNDREDS}


class _Model:
    """What is counted by a model at its provider, made when it is needed: many a model never streams."""

    def __init__(self, *of: str) -> None:
        self.names = _told(of[0], of[1])
        self.duration = _of(_ATTEMPT_DURATION, *self.names)
        self.input = _of(_TOKENS, *self.names, "input")
        self.output = _of(_TOKENS, *self.names, "output")

    @cached_property
    def first_token(self) -> Histogram:
        return _of(_FIRST_TOKEN, *self.names)

    @cached_property
    def cost(self) -> Counter:
        return _of(_COST, *self.names)

    @cached_property
    def cache_read(self) -> Counter:
        return _of(_TOKENS, *self.names, "cache_read")

    @cached_property
    def cache_write(self) -> Counter:
        return _of(_TOKENS, *self.names, "cache_write")


def _told(model: str, provider: str) -> _Names:
    """Return under which names a model is counted: its own, or those of all for which there is no place."""
    names = (model, provider)
    if names not in _named and len(_named) >= _MOST_MODELS:
        return labels.OTHER, labels.OTHER
    _named.add(names)
    return names


_endpoint: Final = cache(_Endpoint)
_model: Final = cache(_Model)


def ended(call: Call) -> None:
    """Count a call that has ended, and its attempts."""
    here = _endpoint(labels.endpoint(call.endpoint))
    seconds = time.monotonic() - call.began
    here.by_status.get(call.status // 100, here.by_status[5]).inc()
    here.duration.observe(seconds)
    if call.error:
        _of(_ERRORS, call.error).inc()
        if call.error == BudgetExceeded.code:
            _of(_REFUSALS, "budget", "cost").inc()
    if not call.attempts:
        return
    for each in call.attempts:
        _count(each, is_stream=call.stream)
    for failed, _ in fallbacks(call.attempts):
        _of(_FALLBACKS, *_model(failed.model, failed.provider).names, failed.error).inc()
    _OVERHEAD.observe(max(0.0, seconds - _away(call.attempts)))


def _count(attempt: Attempt, *, is_stream: bool) -> None:
    here, used = _model(attempt.model, attempt.provider), attempt.usage
    _of(_ATTEMPTS, *here.names, attempt.error or "ok").inc()
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
        _of(_REFUSALS, subject.partition(":")[0], limit).inc()


def cooled(model: str, provider: str, reason: str) -> None:
    """Count a cooldown that began with a failure of this model."""
    if is_on():
        _of(_COOLED, *_model(model, provider).names, reason).inc()


def begin(deaths: int = 0) -> None:
    """Count the workers that this one replaces, and show what has not happened yet as 0: a rise from nothing is none.

    Deaths are 0 or 1, see `tokenhub_site.metering`.
    """
    if not is_on():
        return
    _DEATHS.inc(deaths)
    for by in ("key", "team", "model"):
        for limit in ("requests", "tokens", "concurrent"):
            _of(_REFUSALS, by, limit)
    _of(_REFUSALS, "budget", "cost")
    for what in ("call", "content"):
        LOST.labels(what)
