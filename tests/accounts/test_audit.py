"""The books are proved against each other, each difference is told with its numbers, and what can be repaired is."""

import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models import F

from accounts import audit, budgets, spool
from accounts.ledger import book
from accounts.models import MICRO, ApiKey, Attempt, Budget, BudgetUse, Call, Period, Reservation, Spend
from accounts.picture import keeper
from accounts.spool import Spool
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team

NEXT_DAY = datetime(2026, 11, 26, 12, tzinfo=UTC)  # of the one on which other entries are

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_spool() -> None:
    """Let no test find the files of another."""
    for path in (settings.TOKENHUB_DATA_DIR / "spool").glob("*"):
        path.unlink()


def told(*, repair: bool = False) -> list[str]:
    """The lines of the differences."""
    return [f"{each.text} {each.repair}".strip() for each in audit.differences(repair=repair, now=time.time())]


def check(*arguments: str) -> str:
    """What the command prints."""
    out = StringIO()
    call_command("ledger", "check", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def key() -> ApiKey:
    """A key with a budget and calls on two days."""
    row, _ = a_key(team=a_team())
    Budget.objects.create(key=row, period=Period.TOTAL, amount_micro=MICRO)
    Budget.objects.create(team=row.team, period=Period.DAILY, amount_micro=MICRO)
    keeper.refresh()
    (facts,) = keeper.current().keys.values()
    budgets.reserve("req_0", facts.budgets, 500, time.time())
    failed = an_attempt(status=502, cost_micro=7, output=0)
    book([a_call(f"req_{number}", an_attempt(), failed, key=row.pk, team=row.team_id) for number in range(3)])
    book([a_call("req_9", key=row.pk, team=row.team_id, at=NEXT_DAY.timestamp()), a_call("req_10")])
    return row


def test_it_works(key: ApiKey) -> None:
    assert told() == []
    assert check() == "The books agree.\n"


def test_nothing_agrees_with_nothing() -> None:
    assert told() == []


def test_spend_is_recomputed_from_attempts(key: ApiKey) -> None:
    day = NEXT_DAY.date()
    Spend.objects.filter(day=day, key_pk=key.pk).update(cost_micro=F("cost_micro") + 5, attempts=9)
    Spend.objects.filter(key_pk=0).delete()
    Spend.objects.create(
        day=day, key_pk=99, team_pk=0, model="x", provider="p", attempts=1, failed=0, unpriced=0, cost_micro=3
    )
    lines = told()
    assert len([line for line in lines if line.startswith("spend of")]) == 3
    assert f"spend of {day}, key {key.pk}, team {key.team_id}, small at echo: says attempts 9 instead of 1," in str(
        lines
    )
    assert "cost_micro 35 instead of 30 by the attempts" in str(lines)
    with pytest.raises(CommandError, match="0 of them repaired"):
        check()
    assert "all repaired" in check("--repair")
    assert told() == []
    assert not Spend.objects.filter(key_pk=99).exists()


def test_what_was_pruned_is_no_difference(key: ApiKey) -> None:
    oldest = Call.objects.order_by("pk").first()
    assert oldest is not None
    Attempt.objects.filter(call=oldest).delete()
    oldest.delete()
    before = list(Spend.objects.order_by("pk").values())
    first_day = [line for line in told(repair=True) if line.startswith("spend")]
    assert first_day == []
    assert list(Spend.objects.order_by("pk").values()) == before
    Call.objects.all().delete()
    assert [line for line in told() if line.startswith("spend")] == []


def test_budgets_are_recomputed_from_the_books(key: ApiKey) -> None:
    use = BudgetUse.objects.get(budget__key=key.pk)
    BudgetUse.objects.filter(pk=use.pk).update(spent_micro=1, reserved_micro=44)
    (line,) = told()
    expected = f"spent_micro 1 instead of {use.spent_micro}, reserved_micro 44 instead of 0 by the books"
    assert line == f"Total budget of key app from 1970-01-01: says {expected}"
    assert told(repair=True) == [f"{line} recomputed"]
    assert told() == []


def test_reservations_past_their_lease_are_freed(key: ApiKey) -> None:
    (facts,) = keeper.current().keys.values()
    budgets.reserve("req_dead", facts.budgets, 500, time.time() - 1000)
    budgets.reserve("req_alive", facts.budgets, 100, time.time())
    assert len(told()) == 2
    assert "500 micro-dollars of call req_dead are held 91" in told()[0]
    assert all(line.endswith("freed") for line in told(repair=True))
    assert told() == []
    assert set(Reservation.objects.values_list("request_id", flat=True)) == {"req_alive"}
    assert set(BudgetUse.objects.values_list("reserved_micro", flat=True)) >= {100}


def test_calls_and_attempts_that_differ_are_told_only(key: ApiKey) -> None:
    Attempt.objects.filter(call__request_id="req_1", number=1).update(output=4)
    Attempt.objects.filter(call__request_id="req_1").update(call_id="req_unknown")
    lines = told(repair=True)
    assert "call req_1: says attempts 2 instead of 0, uncached 20 instead of 0" in str(lines)
    assert "attempts: 2 attempts for 37 micro-dollars belong to call req_unknown, which does not exist" in lines
    with pytest.raises(CommandError, match="of them repaired"):
        check("--repair")


def test_files_that_were_left_behind_are_booked(key: ApiKey) -> None:
    folder: Path = settings.TOKENHUB_DATA_DIR / "spool"
    living, dead = Spool(folder), Spool(folder)
    living.append(a_call("req_20"))
    for number in (1, 21, 22):
        dead.append(a_call(f"req_{number}"))
    dead.close()
    (line,) = told()
    assert line.startswith("spool: 2 of 3 calls in ")
    assert told(repair=True) == [f"{line} booked"]
    assert told() == []
    assert Call.objects.filter(request_id__in=["req_21", "req_22"]).count() == 2
    assert len(spool.left_behind(folder)) == 1  # a running worker's is its own
    living.close()


def test_calls_that_were_set_aside_are_told() -> None:
    folder: Path = settings.TOKENHUB_DATA_DIR / "spool"
    folder.mkdir(exist_ok=True)
    (folder / "unbookable.jsonl").write_bytes(a_call().line())
    (line,) = told()
    assert line.startswith("spool: 1 lines are set aside in unbookable.jsonl, which nobody books")
    (folder / "unbookable.jsonl").unlink()
