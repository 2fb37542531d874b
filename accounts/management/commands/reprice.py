"""Shows what the attempts of a period would have cost at other prices, beside what they did cost."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import MICRO, Attempt
from accounts.prices import Prices, reckoned
from registry.config import ConfigInvalid, read_and_check
from registry.config.rows import row_of
from registry.models import Model

_BUCKETS: Final = ("uncached", "output", "cache_read", "cache_write", "cache_write_1h")
_READ: Final = ("model", "provider", "cost_micro")
_LAST_DAY: Final = date.max - timedelta(days=1)
_LINE: Final = "{0:<32} {1:<20} {2:>10} {3:>16} {4:>16}"


class _Sum:
    """What the attempts at a model did cost, and would have: None where the prices do not name it."""

    def __init__(self, prices: Prices | None) -> None:
        self._prices = prices
        self.attempts = self.cost = 0
        self.would = None if prices is None else 0

    def add(self, buckets: Mapping[str, int], cost: int) -> None:
        """Count an attempt; each is rounded for itself, as it was when it was booked."""
        self.attempts += 1
        self.cost += cost
        if self._prices is not None and self.would is not None:
            self.would += self._prices.cost_micro(**buckets)


class Command(BaseCommand):
    """`reprice --from DAY --to DAY [--config FILE]`."""

    help = "Show what a period would have cost at today's prices, or at a file's. Nothing is changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="first", required=True, type=date.fromisoformat, metavar="DAY")
        parser.add_argument("--to", dest="last", required=True, type=date.fromisoformat, metavar="DAY")
        parser.add_argument("--config", type=Path, metavar="FILE", help="a configuration file with other prices")

    def handle(self, **options: Any) -> None:
        prices = {row.public_id: reckoned(row) for row in _rows(options["config"]) if row.has_price}
        start = datetime.combine(options["first"], time(), UTC)
        end = datetime.combine(min(options["last"], _LAST_DAY), time(), UTC) + timedelta(days=1)
        if start >= end:
            raise CommandError("--from is after --to.")
        sums: dict[tuple[str, str], _Sum] = {}
        attempts = Attempt.objects.order_by().filter(call__at__gte=start, call__at__lt=end)
        for model, provider, cost, *buckets in attempts.values_list(*_READ, *_BUCKETS).iterator():
            if (model, provider) not in sums:
                sums[model, provider] = _Sum(prices.get(model))
            sums[model, provider].add(dict(zip(_BUCKETS, buckets, strict=True)), cost)
        self._tell(sums)

    def _tell(self, sums: dict[tuple[str, str], _Sum]) -> None:
        self.stdout.write(_LINE.format("model", "provider", "attempts", "cost USD", "would cost USD"))
        for (model, provider), each in sorted(sums.items()):
            would = "no price" if each.would is None else f"{each.would / MICRO:.6f}"
            self.stdout.write(_LINE.format(model, provider, each.attempts, f"{each.cost / MICRO:.6f}", would))
        attempts = sum(each.attempts for each in sums.values())
        cost = sum(each.cost for each in sums.values())
        would_cost = sum(each.cost if each.would is None else each.would for each in sums.values())
        total = (f"{cost / MICRO:.6f}", f"{would_cost / MICRO:.6f}")
        self.stdout.write(_LINE.format("all", "", attempts, *total))


def _rows(path: Path | None) -> Iterable[Any]:
    """Return the models of a file, or those of the registry, disabled ones too."""
    if path is None:
        return Model.objects.all()
    try:
        return [row_of(entry) for entry in read_and_check(path).models]
    except ConfigInvalid as invalid:
        raise CommandError(f"{path} cannot be read: {'; '.join(map(str, invalid.faults))}") from None
