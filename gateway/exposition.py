"""What Prometheus reads: what all workers have counted, how they are now, and which models are left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import values as counted_in
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from accounts.contents import contents
from accounts.ledger import ledger
from gateway import meters
from gateway.cooldown import cooldowns
from gateway.lineup import is_callable
from gateway.patience import Patience
from gateway.throttling import throttle
from gateway.watchdog import watchdog
from registry import threads
from registry.keeper import SnapshotUnavailable
from registry.snapshot import keeper

_pool: Final = threads.Pool(1)  # it opens no connection; to read the files of many workers takes some milliseconds
_lost: Final[Mapping[str, Callable[[], int]]] = {
    "call": lambda: ledger.spool.dropped,
    "content": lambda: contents.dropped,
}
_told: Final = dict.fromkeys(_lost, 0)


def refresh() -> None:
    """Note how this worker is now; called each second in its hub, and where there is none before each answer."""
    if not meters.is_on():
        return
    meters.WORKERS.set(1)
    meters.IN_FLIGHT.set(len(Patience.under_way))
    meters.STREAMS.set(len(meters.streams))
    meters.SPOOL_DEPTH.set(ledger.spool.depth)
    meters.LEDGER_FAULT.labels("spool").set(bool(ledger.spool.fault))
    meters.LEDGER_FAULT.labels("books").set(bool(ledger.outage))
    meters.LIMITS_AWAY.set(throttle.is_away)
    meters.HUB_LAG_MAX.set(watchdog.longest)
    for what, count in _lost.items():
        if more := count() - _told[what]:
            meters.LOST.labels(what).inc(more)
            _told[what] += more


def text() -> bytes:
    """Return everything in Prometheus' text format; read in a thread beside the hub."""
    refresh()
    return _pool.run(_written, _cooling())


def _written(cooling: GaugeMetricFamily) -> bytes:
    registry = CollectorRegistry()
    if counted_in.ValueClass is counted_in.MutexValue:
        registry.register(meters.registry)
    else:
        MultiProcessCollector(registry)
    registry.register(_Found(cooling))
    return generate_latest(registry)


def _cooling() -> GaugeMetricFamily:
    """Return which models cool now, of those that can be called: workers tell each other, so that each can say it."""
    about = "Whether a model is left alone after failures."
    told = GaugeMetricFamily("tokenhub_model_cooling", about, labels=("model", "provider"))
    try:
        models = keeper.current().models
    except SnapshotUnavailable:
        return told
    for model in filter(is_callable, models):
        told.add_metric((model.id, model.provider.name), cooldowns.state(model) is not None)
    return told


class _Found(Collector):
    """What was found out before."""

    def __init__(self, *families: GaugeMetricFamily) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return it."""
        return self._families
