"""Old calls are deleted in batches, by a command or by the ledger, and what was spent stays."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import budgets, pruning
from accounts.ledger import Ledger, book
from accounts.models import Attempt, Budget, BudgetUse, Call, Spend
from accounts.picture import read_picture
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team

pytestmark = pytest.mark.django_db


def ago(days: float) -> float:
    """A time so many days ago, in unix seconds."""
    return (timezone.now() - timedelta(days=days)).timestamp()


def prune(*options: str) -> str:
    """What the command prints."""
    told = StringIO()
    call_command("prunecalls", *options, stdout=told)
    return told.getvalue()


def left() -> set[str]:
    """The calls that are there."""
    return set(Call.objects.values_list("request_id", flat=True))


def test_it_works() -> None:
    book([a_call("req_old", an_attempt(), an_attempt(), at=ago(91)), a_call("req_new", at=ago(89))])
    assert prune("--older-than", "90d").startswith("1 calls and 2 attempts from before ")
    assert left() == {"req_new"}
    assert Attempt.objects.get().call.request_id == "req_new"
    assert sum(Spend.objects.values_list("cost_micro", flat=True)) == 90
    assert prune("--older-than", "90d").startswith("0 calls and 0 attempts")


def test_a_dry_run_only_counts() -> None:
    book([a_call("req_old", an_attempt(), an_attempt(), at=ago(91)), a_call("req_new", at=ago(89))])
    assert prune("--older-than", "90d", "--dry-run").startswith("1 calls and 2 attempts began before ")
    assert len(left()) == 2


def test_batches_are_transactions_of_their_own() -> None:
    book([a_call(f"req_{number}", at=ago(91)) for number in range(10)])
    with CaptureQueriesContext(connection) as seen:
        assert prune("--older-than", "90d", "--batch-size", "4").startswith("10 calls and 10 attempts")
    deletions = [query["sql"] for query in seen if query["sql"].startswith('DELETE FROM "accounts_call"')]
    assert len(deletions) == 3
    assert not left()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--older-than", "soon"), "no span"),
        (("--older-than", "999999w"), "--older-than"),
        (("--older-than", "23h"), "a day at least"),
        (("--older-than", "90d", "--batch-size", "0"), "from 1 to"),
        (("--older-than", "90d", "--batch-size", "10001"), "from 1 to"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], told: str) -> None:
    book([a_call("req_old", at=ago(400))])
    with pytest.raises(CommandError, match=told):
        prune(*options)
    assert left() == {"req_old"}


@pytest.mark.parametrize("period", ["daily", "monthly", "total"])
@pytest.mark.parametrize("owner", ["key", "team"])
def test_no_budget_forgets_what_was_spent(period: str, owner: str) -> None:
    key, _ = a_key(team=a_team())
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    book([a_call(f"req_{number}", key=key.pk, team=key.team_id, at=noon.timestamp()) for number in range(3)])
    book([a_call("req_other", at=noon.timestamp())])
    Budget.objects.create(**{owner: key if owner == "key" else key.team}, period=period, amount_micro=100)
    assert pruning.prune(noon + timedelta(seconds=1)) == (4, 4)
    owed = read_picture()[0].keys[key.public_id].budgets
    with pytest.raises(budgets.BudgetSpent) as spent:
        budgets.reserve("req_next", owed, 11, noon.timestamp())
    assert spent.value.left_micro == 10
    budgets.reserve("req_next", owed, 10, noon.timestamp())
    use = BudgetUse.objects.get()
    assert (use.spent_micro, use.reserved_micro) == (90, 10)


@pytest.mark.parametrize(("days", "kept"), [(0, {"req_old", "req_new"}), (90, {"req_new"})])
def test_the_ledger_prunes_as_configured(tmp_path: Path, settings: Any, days: int, kept: set[str]) -> None:
    settings.TOKENHUB_DATA_DIR, settings.TOKENHUB_KEEP_CALLS_DAYS = tmp_path, days
    book([a_call("req_old", at=ago(91)), a_call("req_new", at=ago(89))])
    owed = Ledger()
    owed.move()
    assert left() == kept
    owed.finish()


def test_the_ledger_goes_on_while_there_is_more(tmp_path: Path, settings: Any) -> None:
    settings.TOKENHUB_DATA_DIR, settings.TOKENHUB_KEEP_CALLS_DAYS = tmp_path, 90
    book([a_call(f"req_{number}", at=ago(91)) for number in range(1200)])
    owed = Ledger()
    counts = []
    for _ in range(4):
        owed.move()
        counts.append(Call.objects.count())
    assert counts == [700, 200, 0, 0]
    owed.finish()


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_pruned_keeps_no_call_out(tmp_path: Path, settings: Any) -> None:
    settings.TOKENHUB_DATA_DIR, settings.TOKENHUB_KEEP_CALLS_DAYS = tmp_path, 90
    book([a_call("req_old", at=ago(91))])
    owed = Ledger()
    owed.spool.append(a_call("req_new", at=ago(1)))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("CREATE RULE kept AS ON DELETE TO accounts_call DO INSTEAD SELECT 1 / 0")
        else:
            cursor.execute("CREATE TRIGGER kept BEFORE DELETE ON accounts_call BEGIN SELECT RAISE(ABORT, 'kept'); END")
    try:
        owed.move()
        assert left() == {"req_old", "req_new"}
        assert owed.outage == ""
    finally:
        owed.finish()
        with connection.cursor() as cursor:
            cursor.execute(
                "DROP RULE kept ON accounts_call" if connection.vendor == "postgresql" else "DROP TRIGGER kept"
            )
