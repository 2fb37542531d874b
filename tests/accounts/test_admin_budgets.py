"""The admin lists budgets with what is spent of them and was warned of, and keeps owner and period as they were."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts import budget_warnings, budgets
from accounts.ledger import book
from accounts.models import Budget, BudgetUse, BudgetWarning, Period
from accounts.picture import read_picture
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team
from tests.registry.browser import opened, saved

pytestmark = pytest.mark.django_db

BUDGETS = reverse("admin:accounts_budget_changelist")
ADD = reverse("admin:accounts_budget_add")


def page_of(budget: Budget, page: str = "change") -> str:
    """The address of a page about a budget."""
    return reverse(f"admin:accounts_budget_{page}", args=[budget.pk])


def text(client: Client, url: str) -> str:
    """The text of a page that must be there, without its tags."""
    response = client.get(url)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def a_budget(spent_micro: int = 0, period: Period = Period.DAILY, **fields: object) -> Budget:
    """A budget of a dollar, a key's unless told, of which something is spent in this period."""
    owner = fields or {"key": a_key()[0]}
    budget = Budget.objects.create(period=period, amount_micro=1_000_000, **owner)
    BudgetUse.objects.create(budget=budget, start=period.start(timezone.now()), spent_micro=spent_micro)
    return budget


def test_it_works(admin_client: Client) -> None:
    key, _ = a_key(team=a_team())
    saved(admin_client, ADD, opened(admin_client, ADD), key=str(key.pk), period="daily", amount_usd="0.0001")
    budget = Budget.objects.get()
    assert (budget.key, budget.team, budget.amount_micro) == (key, None, 100)
    now = timezone.now().timestamp()
    budgets.reserve("req_2", read_picture()[0].keys[key.public_id].budgets, 7, now)
    book([a_call("req_1", an_attempt(cost_micro=85), key=key.pk, team=key.team_id, at=now)])
    for url in (BUDGETS, page_of(budget)):
        told = text(admin_client, url)
        for part in (str(key), "Daily", "0.000085", "0.000007", "85 % - over 80 %", "80 % at ", "in the log only"):
            assert part in told, (url, part)
    assert "85 % - over 80 %" in text(admin_client, reverse("admin:accounts_apikey_change", args=[key.pk]))


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        (499_999, " 49 % "),
        (500_000, " 50 % - over 50 % "),
        (799_999, " 79 % - over 50 % "),
        (800_000, " 80 % - over 80 % "),
        (999_999, " 99 % - over 80 % "),
        (1_000_000, " 100 % - used up "),
    ],
)
def test_a_mark_is_said_in_words_and_colour(admin_client: Client, spent: int, told: str) -> None:
    a_budget(spent)
    assert told in text(admin_client, BUDGETS)
    marks = re.findall(r'class="mark mark-(\d+)"', admin_client.get(BUDGETS).content.decode())
    assert marks == ([] if spent < 500_000 else [str(budget_warnings.reached(spent, 1_000_000))])


def test_warnings_of_this_period_are_told(admin_client: Client) -> None:
    budget = a_budget(900_000)
    now, then = timezone.now(), datetime(2020, 1, 1, 9, 30, tzinfo=UTC)
    old = BudgetUse.objects.create(budget=budget, start=then.date())
    sums = {"spent_micro": 1, "amount_micro": 2}
    for use, percent, at in ((old, 33, then), (budget.uses.latest("start"), 44, now)):
        BudgetWarning.objects.create(use=use, percent=percent, at=at, delivered_at=at, **sums)
    BudgetWarning.objects.create(use=budget.uses.latest("start"), percent=55, at=now, due_at=1.0, **sums)
    told = text(admin_client, BUDGETS)
    assert "33 % at" not in told
    assert re.search(r"44 % at [^(]*\(delivered ", told)
    assert re.search(r"55 % at [^(]*\(not delivered yet\)", told)


def test_what_was_spent_before_it_was_made_counts(admin_client: Client) -> None:
    key, _ = a_key(team=a_team())
    now = timezone.now().timestamp()
    book(
        [
            a_call("req_1", an_attempt(cost_micro=600_000), key=key.pk, team=key.team_id, at=now),
            a_call("req_2", an_attempt(cost_micro=300_000), team=key.team_id, at=now - 90_000),
        ]
    )
    Budget.objects.create(key=key, period="daily", amount_micro=1_000_000)
    Budget.objects.create(team=key.team, period="total", amount_micro=1_000_000)
    told = text(admin_client, BUDGETS)
    assert "60 % - over 50 %" in told
    assert "90 % - over 80 %" in told


def test_a_long_list_takes_no_more_queries(admin_client: Client) -> None:
    counts = []
    for number in range(12):
        key, _ = a_key(f"k{number}", team=a_team(f"t{number}"))
        a_budget(900_000, key=key)
        a_budget(900_000, Period.MONTHLY, team=key.team)
        with CaptureQueriesContext(connection) as seen:
            assert "90 %" in text(admin_client, BUDGETS)
        counts.append(len(seen))
    assert counts[1:] == [counts[0]] * 11
    assert counts[0] < 12


def test_a_budget_has_one_owner(admin_client: Client) -> None:
    key, team = a_key()[0], a_team()
    fields = opened(admin_client, ADD)
    for owners in ({}, {"key": str(key.pk), "team": str(team.pk)}):
        assert "choose one" in saved(admin_client, ADD, fields, period="daily", amount_usd="1", **owners)
    assert not Budget.objects.exists()


def test_owner_and_period_stay(admin_client: Client) -> None:
    budget, other = a_budget(), a_key("other")[0]
    fields = opened(admin_client, page_of(budget))
    saved(
        admin_client,
        page_of(budget),
        fields,
        period="monthly",
        key=str(other.pk),
        team=str(a_team().pk),
        amount_usd="2",
    )
    key = budget.key
    budget.refresh_from_db()
    assert (budget.period, budget.key, budget.team, budget.amount_micro) == ("daily", key, None, 2_000_000)


def test_a_period_stays_on_the_page_of_its_key(admin_client: Client) -> None:
    """A daily and a monthly one may start on one day: what is spent on it would stand for the whole month."""
    budget = a_budget()
    url = reverse("admin:accounts_apikey_change", args=[budget.key_id])
    fields = opened(admin_client, url)
    saved(admin_client, url, fields, **{"budgets-0-period": "monthly", "budgets-0-amount_usd": "3"})
    budget.refresh_from_db()
    assert (budget.period, budget.amount_micro) == ("daily", 3_000_000)


def test_an_old_version_brings_no_other_period_back(admin_client: Client) -> None:
    budget = a_budget()
    version = budget.history.latest()
    type(version).objects.update(period="monthly", amount_micro=5_000_000)
    old = reverse("admin:accounts_budget_simple_history", args=[budget.pk, version.history_id])
    saved(admin_client, old, opened(admin_client, old))
    budget.refresh_from_db()
    assert (budget.period, budget.amount_micro) == ("daily", 5_000_000)


def test_edits_of_two_people_meet(admin_client: Client) -> None:
    budget = a_budget()
    fields = opened(admin_client, page_of(budget))
    Budget.objects.update(enabled=False)
    saved(admin_client, page_of(budget), fields, amount_usd="2")
    budget.refresh_from_db()
    assert (budget.enabled, budget.amount_micro) == (False, 2_000_000)
    assert "Somebody else changed this to 2 meanwhile" in saved(
        admin_client, page_of(budget), fields, amount_usd="3", enabled="on"
    )
    saved(admin_client, page_of(budget), fields, enabled="on")
    budget.refresh_from_db()
    assert budget.amount_micro == 2_000_000


def test_a_switch_by_an_action_is_an_edit(admin_client: Client) -> None:
    budget = a_budget(900_000)
    late = BudgetWarning.objects.create(
        use=budget.uses.get(), percent=50, spent_micro=1, amount_micro=1, at=timezone.now(), due_at=1.0
    )
    admin_client.post(f"{BUDGETS}?enabled__exact=1", {"action": "disable", "_selected_action": [budget.pk]})
    late.refresh_from_db()
    assert (Budget.objects.get().enabled, late.due_at) == (False, None)
    admin_client.post(f"{BUDGETS}?enabled__exact=0", {"action": "enable", "_selected_action": [budget.pk]})
    assert Budget.objects.get().enabled
    assert BudgetWarning.objects.latest("at").percent == 80
    assert [version.enabled for version in budget.history.all()] == [True, False, True]


def test_the_history_of_a_deleted_one_is_closed(admin_client: Client) -> None:
    budget = a_budget()
    version = budget.history.latest()
    pages = [page_of(budget, "history")]
    pages += [reverse("admin:accounts_budget_simple_history", args=[budget.pk, version.history_id])]
    assert [admin_client.get(page).status_code for page in pages] == [200, 200]
    assert budget.key is not None
    budget.key.delete()
    assert [admin_client.get(page).status_code for page in pages] == [403, 403]


def test_a_key_takes_its_budgets_along(client: Client) -> None:
    user = User.objects.create_user("boss", is_staff=True)
    wanted = ["view_apikey", "delete_apikey", "all_teams"]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    budget = a_budget()
    client.post(reverse("admin:accounts_apikey_delete", args=[budget.key_id]), {"post": "yes"})
    assert not Budget.objects.exists()
