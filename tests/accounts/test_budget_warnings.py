"""What is spent passes 50, 80 and 100 % of a budget: each mark is told once, and waits until somebody has taken it."""

import logging
import time
from datetime import UTC, datetime

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from accounts import budget_warnings
from accounts.ledger import book
from accounts.models import ApiKey, Budget, BudgetUse, BudgetWarning
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team
from tokenhub_site.logs import JsonLines

pytestmark = pytest.mark.django_db
NOW = time.time()


@pytest.fixture(autouse=True)
def _there_is_a_webhook(settings: Settings) -> None:
    """Let warnings wait for a webhook."""
    settings.TOKENHUB_BUDGET_WEBHOOK = "http://127.0.0.1:9/"


def a_budget(amount_micro: int = 100, period: str = "monthly") -> Budget:
    """The budget of a new key."""
    key, _ = a_key()
    return Budget.objects.create(key=key, period=period, amount_micro=amount_micro)


def spend(budget: Budget, micro: int, at: float = NOW) -> None:
    """Book a call of the owner of a budget."""
    number = BudgetUse.objects.count() + sum(BudgetUse.objects.values_list("spent_micro", flat=True))
    entry = a_call(f"req_{number}_{micro}", an_attempt(cost_micro=micro), key=budget.key_id, team=budget.team_id, at=at)
    assert book([entry]) == 1


def told() -> list[int]:
    """The marks that were told so far."""
    return list(BudgetWarning.objects.values_list("percent", flat=True))


def test_it_works() -> None:
    budget = a_budget()
    for micro, expected in ((49, []), (1, [50]), (29, [50]), (1, [50, 80]), (19, [50, 80]), (1, [50, 80, 100])):
        spend(budget, micro)
        assert told() == expected
    spend(budget, 500)
    assert told() == [50, 80, 100]
    assert BudgetUse.objects.get().warned_percent == 100


def test_a_jump_tells_the_highest_mark_alone() -> None:
    budget = a_budget()
    spend(budget, 40)
    spend(budget, 50)
    assert told() == [80]
    spend(budget, 10)
    assert told() == [80, 100]


def test_the_first_call_may_pass_a_mark() -> None:
    spend(a_budget(), 85)
    assert told() == [80]


def test_a_warning_is_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    budget = a_budget()
    with caplog.at_level(logging.WARNING), django_capture_on_commit_callbacks(execute=True):
        spend(budget, 85)
    (record,) = (each for each in caplog.records if each.name == "accounts.budget_warnings")
    line = JsonLines().format(record)
    assert "the monthly budget of key 'app' has passed 80 %" in line
    first = datetime.now(UTC).date().replace(day=1).isoformat()
    for part in (f'"budget":{budget.pk}', '"percent":80', '"spent_usd":0.000085', '"amount_usd":0.0001', first):
        assert part in line
    assert "digest" not in line


def test_nothing_is_told_of_what_was_not_booked(
    caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        spend(a_budget(), 30)
    assert "has passed" not in caplog.text
    assert told() == []


def test_a_new_period_begins_anew() -> None:
    budget = a_budget(period="daily")
    spend(budget, 60, NOW - 86_400)
    spend(budget, 60)
    assert told() == [50, 50]


def test_a_larger_amount_begins_anew() -> None:
    budget = a_budget()
    spend(budget, 90)
    budget.amount_micro = 150
    budget.save()
    assert BudgetUse.objects.get().warned_percent == 50
    assert told() == [80]
    spend(budget, 29)
    assert told() == [80]
    spend(budget, 1)
    assert told() == [80, 80]


def test_a_smaller_amount_tells_what_it_has_passed() -> None:
    budget = a_budget(1000)
    spend(budget, 90)
    budget.amount_micro = 90
    budget.save()
    budget.save()
    assert told() == [100]


def test_a_team_and_a_key_are_warned_of_each() -> None:
    team = a_team()
    key, _ = a_key(team=team)
    Budget.objects.create(key=key, period="total", amount_micro=100)
    Budget.objects.create(team=team, period="total", amount_micro=200)
    book([a_call("req_1", an_attempt(cost_micro=100), key=key.pk, team=team.pk, at=NOW)])
    claimed = [budget_warnings.claim(time.time() + 60), budget_warnings.claim(time.time() + 60)]
    owners = [each.told["owner"] for each in claimed if each]
    assert sorted((owner["type"], owner["name"]) for owner in owners) == [("key", "app"), ("team", "search")]
    assert sorted(told()) == [50, 100]


def test_a_budget_that_is_off_warns_nobody() -> None:
    budget = a_budget()
    spend(budget, 60)
    budget.enabled = False
    budget.save()
    spend(budget, 30)
    assert told() == [50]
    assert budget_warnings.claim(time.time() + 60) is None
    budget.enabled = True
    budget.save()
    assert told() == [50, 80]


def test_a_budget_that_is_gone_warns_nobody() -> None:
    budget = a_budget()
    spend(budget, 60)
    ApiKey.objects.all().delete()
    assert not BudgetWarning.objects.exists()
    assert budget_warnings.claim(time.time() + 60) is None


def test_without_a_webhook_nothing_waits(settings: Settings) -> None:
    settings.TOKENHUB_BUDGET_WEBHOOK = ""
    spend(a_budget(), 60)
    assert told() == [50]
    settings.TOKENHUB_BUDGET_WEBHOOK = "http://127.0.0.1:9/"
    assert budget_warnings.claim(time.time() + 60) is None


def test_one_at_a_time_delivers() -> None:
    spend(a_budget(), 60)
    now = time.time() + 1
    first = budget_warnings.claim(now)
    assert first is not None
    assert (first.told["percent"], first.tries) == (50, 1)
    assert budget_warnings.claim(now + 1) is None
    again = budget_warnings.claim(now + budget_warnings.HOLD_SECONDS)  # who held it died
    assert again is not None
    assert (again.told, again.tries) == (first.told, 2)
    budget_warnings.failed(first, "late", now)  # it is not the first one's any more
    assert budget_warnings.claim(now + budget_warnings.HOLD_SECONDS + 3) is None
    budget_warnings.delivered(again)
    assert budget_warnings.claim(now + 10_000) is None
    assert BudgetWarning.objects.get().delivered_at is not None


def test_it_is_tried_for_a_day_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    spend(a_budget(), 60)
    began = now = time.time() + 1
    rests = []
    while (due := budget_warnings.claim(now)) is not None:
        budget_warnings.failed(due, "nobody there", now)
        next_try = BudgetWarning.objects.get().due_at
        if next_try is None:
            break
        rests.append(round(next_try - now))
        now = next_try
    assert rests[:10] == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600]
    assert 86_000 < now - began < 86_400
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    assert "given up: nobody there" in caplog.text
    assert BudgetWarning.objects.get().delivered_at is None
