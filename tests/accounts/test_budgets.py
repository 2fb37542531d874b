"""A budget admits no more than it has, is charged what the books say, and gets back what nobody will spend."""

import time
from datetime import UTC, date, datetime

import pytest

from accounts import budgets
from accounts.budgets import BudgetSpent
from accounts.facts import BudgetFacts
from accounts.ledger import book
from accounts.models import ApiKey, Budget, BudgetUse, Period, Reservation
from accounts.picture import read_picture
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def of_key(amount_micro: int = 100, period: str = "daily") -> tuple[ApiKey, tuple[BudgetFacts, ...]]:
    """A key with a budget, as a worker knows it."""
    key, _ = a_key()
    Budget.objects.create(key=key, period=period, amount_micro=amount_micro)
    return key, read_picture()[0].keys[key.public_id].budgets


def state() -> tuple[int, int]:
    """What is spent and what is reserved of the one budget that is in use."""
    use = BudgetUse.objects.get()
    return use.spent_micro, use.reserved_micro


def test_it_works() -> None:
    key, owed = of_key(100)
    budgets.reserve("req_1", owed, 60, NOON)
    assert state() == (0, 60)
    with pytest.raises(BudgetSpent) as spent:
        budgets.reserve("req_2", owed, 50, NOON)
    assert (spent.value.left_micro, spent.value.budget.owner) == (40, "key 'app'")
    book([a_call("req_1", key=key.pk, at=NOON)])
    assert state() == (30, 0)
    budgets.reserve("req_2", owed, 70, NOON)
    assert state() == (30, 70)
    assert Reservation.objects.get().request_id == "req_2"


def test_only_what_was_reserved_in_vain_is_freed() -> None:
    _, owed = of_key(100)
    budgets.reserve("req_1", owed, 60, NOON)
    budgets.free(budgets.reserve("req_1", owed, 30, NOON))
    assert state() == (0, 60)
    assert Reservation.objects.get().amount_micro == 60


def test_a_reservation_is_made_in_all_budgets_or_in_none() -> None:
    team = a_team()
    key, _ = a_key(team=team)
    Budget.objects.create(key=key, period="total", amount_micro=100)
    Budget.objects.create(team=team, period="monthly", amount_micro=10)
    owed = read_picture()[0].keys[key.public_id].budgets
    assert {each.owner for each in owed} == {"key 'app'", "team 'search'"}
    with pytest.raises(BudgetSpent, match="team"):
        budgets.reserve("req_1", owed, 11, NOON)
    assert {use.reserved_micro for use in BudgetUse.objects.all()} <= {0}
    assert not Reservation.objects.exists()
    budgets.reserve("req_1", owed, 10, NOON)
    assert [use.reserved_micro for use in BudgetUse.objects.all()] == [10, 10]
    book([a_call("req_1", key=key.pk, team=team.pk, at=NOON)])
    assert [(use.spent_micro, use.reserved_micro) for use in BudgetUse.objects.all()] == [(30, 0), (30, 0)]


@pytest.mark.parametrize(
    ("period", "before", "now"),
    [
        ("daily", datetime(2026, 11, 24, 23, 59, 59, tzinfo=UTC), date(2026, 11, 25)),
        ("monthly", datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC), date(2026, 11, 1)),
    ],
)
def test_a_period_begins_anew(period: str, before: datetime, now: date) -> None:
    key, owed = of_key(30, period)
    book([a_call("req_1", key=key.pk, at=before.timestamp())])
    with pytest.raises(BudgetSpent):
        budgets.reserve("req_2", owed, 1, before.timestamp())
    budgets.reserve("req_2", owed, 30, NOON)
    assert BudgetUse.objects.get(start=now).reserved_micro == 30


def test_a_total_never_begins_anew() -> None:
    key, owed = of_key(30, "total")
    book([a_call("req_1", key=key.pk, at=0.0)])
    with pytest.raises(BudgetSpent):
        budgets.reserve("req_2", owed, 1, NOON)


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.DAILY, date(2026, 12, 31), date(2027, 1, 1)),
        (Period.MONTHLY, date(2026, 12, 1), date(2027, 1, 1)),
        (Period.MONTHLY, date(2028, 2, 1), date(2028, 3, 1)),
        (Period.TOTAL, date(1970, 1, 1), None),
    ],
)
def test_periods_end_where_the_next_begins(period: Period, start: date, end: date | None) -> None:
    assert period.end(start) == end


def test_a_budget_made_later_knows_what_was_spent_before() -> None:
    key, _ = a_key()
    book(
        [a_call("req_1", key=key.pk, at=NOON), a_call("req_2", at=NOON), a_call("req_3", key=key.pk, at=NOON - 86_400)]
    )
    Budget.objects.create(key=key, period="daily", amount_micro=100)
    owed = read_picture()[0].keys[key.public_id].budgets
    budgets.reserve("req_4", owed, 1, NOON)
    assert state() == (30, 1)


def test_the_first_call_of_a_period_is_charged_once() -> None:
    key, _ = of_key(100)
    book([a_call("req_1", key=key.pk, at=NOON)])  # past the reservation, as after a sweep
    assert state() == (30, 0)
    book([a_call("req_1", key=key.pk, at=NOON), a_call("req_2", key=key.pk, at=NOON)])
    assert state() == (60, 0)


def test_what_dead_workers_reserved_is_freed() -> None:
    key, owed = of_key(100)
    budgets.reserve("req_1", owed, 60, NOON)
    budgets.reserve("req_2", owed, 40, NOON + 60)
    budgets.sweep(NOON + 89)
    assert state() == (0, 100)
    budgets.sweep(NOON + 91)
    assert state() == (0, 40)
    book([a_call("req_1", key=key.pk, at=NOON)])  # it was answered all the same
    assert state() == (30, 40)


def test_what_is_under_way_is_prolonged() -> None:
    _, owed = of_key(100)
    budgets.reserve("req_1", owed, 60, NOON)
    budgets.renew(["req_1"], NOON + 80)
    budgets.sweep(NOON + 160)
    assert state() == (0, 60)


def test_a_call_of_several_phases_reserves_for_each() -> None:
    key, owed = of_key(100)
    for _ in range(3):
        budgets.reserve("req_1", owed, 20, NOON)
    assert state() == (0, 60)
    book([a_call("req_1", an_attempt(), an_attempt(), key=key.pk, at=NOON)])
    assert state() == (60, 0)


def test_a_smaller_amount_counts_at_once() -> None:
    key, _ = of_key(100)
    book([a_call("req_1", key=key.pk, at=time.time())])
    Budget.objects.update(amount_micro=20)
    owed = read_picture()[0].keys[key.public_id].budgets
    with pytest.raises(BudgetSpent) as spent:
        budgets.reserve("req_2", owed, 1, time.time())
    assert spent.value.left_micro == -10


def test_a_budget_that_is_off_binds_nobody() -> None:
    key, _ = of_key(100)
    Budget.objects.update(enabled=False)
    assert read_picture()[0].keys[key.public_id].budgets == ()


def test_a_day_is_one_of_utc() -> None:
    east = datetime.fromisoformat("2026-11-26T01:00:00+05:00")
    assert Period.DAILY.start(east) == date(2026, 11, 25)
