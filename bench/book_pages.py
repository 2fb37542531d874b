"""A process of `bench.books`: fills the database of its environment and times the admin's pages."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from statistics import median
from typing import Any

import django

django.setup()

from django.contrib.auth.models import Permission, User  # noqa: E402 - models exist only from here on
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.call_list import Place  # noqa: E402
from accounts.models import ApiKey, Team  # noqa: E402

DAYS = 30
KEYS, TEAMS, MODELS, PROVIDERS = 200, 10, 8, 3
_REPEATS = 5
_SECONDS = "{start} + i * {step}"
# what differs: how a database makes a time of unix seconds, and a day of a time
_WORDS = {
    "sqlite": ("strftime('%Y-%m-%d %H:%M:%S.000000', {0}, 'unixepoch')", "date({0})"),
    "postgresql": ("to_timestamp({0})", "({0} AT TIME ZONE 'UTC')::date"),
}
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
_CALLS = """
INSERT INTO accounts_call (request_id, at, endpoint, status, error, stream, key_id, team_id, asked, model, provider,
  session, "user", estimated, ms, ttft_ms, attempt_count, decisions, uncached, cache_read, cache_write, cache_write_1h,
  output, reasoning, cost_micro, is_priced)
{numbers} SELECT 'req_' || i, {at}, 'POST /v1/chat/completions',
  CASE WHEN i / {keys} / {models} % 50 = 0 THEN 503 ELSE 200 END, '', i % 2 = 0,
  1 + i * 7 % {keys}, 1 + i * 7 % {keys} % {teams}, 'auto', 'model-' || (i / {keys} % {models}),
  'provider-' || (i / {keys} % {models} % {providers}), '', '', i % 9 = 0, 500.0, 90.0, 1, {decisions},
  900, 50, 0, 0, 200, 10, 4000, true
  FROM n"""
_ATTEMPTS = """
INSERT INTO accounts_attempt (call_id, number, phase, model, provider, status, error, reason, estimated, ms, ttft_ms,
  dropped, price_id, uncached, cache_read, cache_write, cache_write_1h, output, reasoning, cost_micro)
SELECT request_id, 1, '', model, provider, status, error, 'stop', estimated, ms, ttft_ms, '', 1, uncached, cache_read,
  cache_write, cache_write_1h, output, reasoning, cost_micro FROM accounts_call"""
_SPEND = """
INSERT INTO accounts_spend (day, key_pk, team_pk, model, provider, attempts, failed, uncached, cache_read, cache_write,
  cache_write_1h, output, reasoning, cost_micro, unpriced)
SELECT {day}, key_id, team_id, model, provider, count(*), sum(CASE WHEN status = 200 THEN 0 ELSE 1 END), sum(uncached),
  sum(cache_read), sum(cache_write), sum(cache_write_1h), sum(output), sum(reasoning), sum(cost_micro), 0
FROM accounts_call GROUP BY {day}, key_id, team_id, model, provider"""
_DECISION = (
    '[{"estimate":900,"snapshot":7,"phase":"","excluded":[],"ranked":['
    '{"model":"model-1","provider":"provider-1","score":49.5,"terms":{"weight":50,"cost":-0.5},"strategy":"score","need":1100}]}]'
)


def fill(rows: int) -> None:
    """Write calls that began in the last days, one after the other, with their attempts and the sums of their days."""
    Team.objects.bulk_create([Team(pk=number, name=f"team {number}") for number in range(1, TEAMS + 1)])
    ApiKey.objects.bulk_create(
        ApiKey(pk=number, name=f"key {number}", public_id=f"{number:012}", digest="x", team_id=1 + (number - 1) % TEAMS)
        for number in range(1, KEYS + 1)
    )
    to_time, to_day = _WORDS[connection.vendor]
    seconds = _SECONDS.format(start=int(time.time()) - DAYS * 86_400, step=DAYS * 86_400 / rows)
    words: dict[str, Any] = {"keys": KEYS, "teams": TEAMS, "models": MODELS, "providers": PROVIDERS}
    words |= {"numbers": _NUMBERS.format(rows=rows), "at": to_time.format(seconds), "day": to_day.format("at")}
    words["decisions"] = f"'{_DECISION}'"
    with connection.cursor() as cursor:
        for statement in (_CALLS, _ATTEMPTS, _SPEND):
            cursor.execute(statement.format(**words))
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")  # as autovacuum does by itself, a little later


def measured() -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield what is measured: a name, and a function that opens the page and returns its text."""
    people = {"all": User.objects.create_superuser("all"), "lead": User.objects.create_user("lead", is_staff=True)}
    people["lead"].user_permissions.set(Permission.objects.filter(codename__in=["view_call", "view_spend"]))
    for team in Team.objects.order_by("pk")[:3]:
        team.leads.add(people["lead"])
    clients = {name: Client() for name in people}
    for name, client in clients.items():
        client.force_login(people[name])
    calls, spend = reverse("admin:accounts_call_changelist"), reverse("admin:accounts_spend_changelist")
    now = timezone.now()
    deep = f"before={Place(now - 0.9 * DAYS * timedelta(days=1), 0)}"
    oldest = (now - timedelta(days=DAYS - 1)).date()
    month = f"start={(now - timedelta(days=DAYS)).date()}&end={now.date()}"
    pages = {
        "calls": (
            "",
            "key=5",
            "team=5",
            "model=model-5",
            "provider=provider-1",
            "status=5",
            "status=4",
            "key=5&status=5",
            "team=3&model=none",
        ),
        "calls, deep": tuple(f"{asked}&{deep}" for asked in ("", "key=5", "team=5", "status=5")),
        "calls of a day": (f"start={oldest}&end={oldest}", f"key=5&start={oldest}&end={oldest}"),
    }
    for who, client in clients.items():
        for what, queries in pages.items():
            for query in queries:
                yield f"{who}: {what} {re.sub('&?before=.*', '', query)}".strip(), _opening(client, f"{calls}?{query}")
        for by in ("day", "team", "key", "model", "provider"):
            yield f"{who}: spend by {by}", _opening(client, f"{spend}?by={by}&{month}")


def _opening(client: Any, url: str) -> Callable[[], str]:
    def opened() -> str:
        response = client.get(url)
        if response.status_code != 200:
            sys.exit(f"{url} answered {response.status_code}")
        return str(response.content)

    return opened


def main() -> None:
    """Fill, measure and print."""
    rows = int(sys.argv[1])
    call_command("migrate", verbosity=0)
    began = time.monotonic()
    fill(rows)
    print(f"{rows:,} calls at {connection.vendor}, filled in {time.monotonic() - began:.0f} s\n", flush=True)
    print("| page | median ms | min | max | CPU ms |\n|---|---|---|---|---|")
    for name, opened in measured():
        opened()  # what is read and compiled once
        times = [_milliseconds(opened, time.perf_counter) for _ in range(_REPEATS)]
        cpu = min(_milliseconds(opened, time.process_time) for _ in range(_REPEATS))
        print(f"| {name} | {median(times):.0f} | {min(times):.0f} | {max(times):.0f} | {cpu:.0f} |", flush=True)


def _milliseconds(opened: Callable[[], str], clock: Callable[[], float]) -> float:
    began = clock()
    opened()
    return (clock() - began) * 1000


if __name__ == "__main__":
    main()
