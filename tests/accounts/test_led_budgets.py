"""Leads write the budgets of their teams' keys, look at those of the teams, and see none of other teams."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Budget, Team
from tests.accounts.rows import a_key, a_team
from tests.registry.browser import opened, saved

pytestmark = pytest.mark.django_db

BUDGETS = reverse("admin:accounts_budget_changelist")
ADD = reverse("admin:accounts_budget_add")
_VERBS = ("view", "add", "change", "delete")


def a_lead(*without: str) -> Client:
    """The browser of who leads the team search, with all permissions for keys and budgets but some."""
    user = User.objects.create_user("lead", is_staff=True)
    wanted = {f"{verb}_{kind}" for verb in _VERBS for kind in ("budget", "apikey")} | {"view_team", "change_team"}
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted - set(without)))
    a_team("search").leads.add(user)
    a_team("ads")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def lead() -> Client:
    """One with all permissions."""
    return a_lead()


def a_key_of(team: str, name: str = "") -> ApiKey:
    """A key of a team."""
    return a_key(name or f"app-of-{team}", team=Team.objects.get(name=team))[0]


def a_budget(**owner: Any) -> Budget:
    """A daily budget of a dollar."""
    return Budget.objects.create(period="daily", amount_micro=1_000_000, **owner)


def page_of(row: Budget | ApiKey | Team, page: str = "change") -> str:
    """The address of a page about a row."""
    return reverse(f"admin:accounts_{row._meta.model_name}_{page}", args=[row.pk])


def amounts() -> dict[str, tuple[int, bool]]:
    """All budgets: amounts in micro-dollars, and whether they are on."""
    return {str(each): (each.amount_micro, each.enabled) for each in Budget.objects.all()}


def test_it_works(lead: Client) -> None:
    key = a_key_of("search")
    saved(lead, ADD, opened(lead, ADD), key=str(key.pk), period="daily", amount_usd="1")
    budget = Budget.objects.get()
    assert (budget.key, budget.amount_micro) == (key, 1_000_000)
    saved(lead, page_of(budget), opened(lead, page_of(budget)), amount_usd="2", enabled=None)
    budget.refresh_from_db()
    assert (budget.amount_micro, budget.enabled) == (2_000_000, False)
    lead.post(BUDGETS, {"action": "enable", "_selected_action": [budget.pk]})
    budget.refresh_from_db()
    assert budget.enabled
    lead.post(page_of(budget, "delete"), {"post": "yes"})
    assert not Budget.objects.exists()


def test_the_page_of_a_key_writes_them_too(lead: Client) -> None:
    key = a_key_of("search")
    fields = opened(lead, page_of(key))
    new = {"budgets-0-period": "daily", "budgets-0-amount_usd": "1", "budgets-0-enabled": "on"}
    saved(lead, page_of(key), fields, **new, **{"budgets-TOTAL_FORMS": "1"})
    assert amounts() == {"Daily budget of key app-of-search": (1_000_000, True)}
    saved(lead, page_of(key), opened(lead, page_of(key)), **{"budgets-0-enabled": None, "budgets-0-amount_usd": "2"})
    assert amounts() == {"Daily budget of key app-of-search": (2_000_000, False)}
    saved(lead, page_of(key), opened(lead, page_of(key)), **{"budgets-0-DELETE": "on"})
    assert amounts() == {}


def test_others_are_not_seen(lead: Client) -> None:
    theirs = [a_budget(key=a_key_of("ads")), a_budget(team=Team.objects.get(name="ads")), a_budget(key=a_key("no")[0])]
    a_budget(key=a_key_of("search"))
    html = lead.get(BUDGETS).content.decode()
    assert ("app-of-search" in html, "app-of-ads" in html, "team ads" in html, "key no" in html) == (True, *[False] * 3)
    for budget in theirs:
        version = budget.history.get().history_id
        old = reverse("admin:accounts_budget_simple_history", args=[budget.pk, version])
        for url in (page_of(budget), page_of(budget, "delete"), page_of(budget, "history"), old):
            assert lead.get(url).status_code in {302, 403, 404}, url
            assert lead.post(url, {"post": "yes", "amount_usd": "9"}).status_code in {302, 403, 404, 405}, url
        for action in ("enable", "disable", "delete_selected"):
            lead.post(BUDGETS, {"action": action, "_selected_action": [budget.pk], "post": "yes"})
    assert set(amounts().values()) == {(1_000_000, True)}
    assert len(amounts()) == 4


def test_what_binds_leads_is_only_looked_at(lead: Client) -> None:
    team = Team.objects.get(name="search")
    budget = a_budget(team=team)
    budget.amount_micro = 900_000
    budget.save()
    page = lead.get(page_of(budget)).content.decode()
    assert "team search" in page
    assert 'name="amount_usd"' not in page
    old = reverse("admin:accounts_budget_simple_history", args=[budget.pk, budget.history.earliest().history_id])
    assert lead.get(old).status_code == 200
    for url in (page_of(budget), page_of(budget, "delete"), old):
        assert lead.post(url, {"post": "yes", "amount_usd": "9", "period": "daily"}).status_code == 403
    for action in ("disable", "delete_selected"):
        lead.post(BUDGETS, {"action": action, "_selected_action": [budget.pk], "post": "yes"})
    fields = opened(lead, page_of(team)) | {"budgets-INITIAL_FORMS": ["1"], "budgets-TOTAL_FORMS": ["2"]}
    crafted = {"budgets-0-id": str(budget.pk), "budgets-0-team": str(team.pk), "budgets-0-amount_usd": "9"}
    more = {"budgets-0-DELETE": "on", "budgets-1-period": "monthly", "budgets-1-amount_usd": "9"}
    saved(lead, page_of(team), fields, **crafted, **more)
    assert amounts() == {"Daily budget of team search": (900_000, True)}


def test_only_keys_of_own_teams_are_offered(lead: Client) -> None:
    ours, theirs = a_key_of("search"), a_key_of("ads")
    asked = {"app_label": "accounts", "model_name": "budget", "field_name": "key"}
    found = lead.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert [each["id"] for each in found] == [str(ours.pk)]
    fields = opened(lead, ADD)
    assert "team" not in fields
    html = saved(lead, ADD, fields, key=str(theirs.pk), period="daily", amount_usd="1")
    assert "errorlist" in html
    assert theirs.name not in html
    assert amounts() == {}


def test_no_budget_is_made_for_a_team(lead: Client) -> None:
    team, key = Team.objects.get(name="search"), a_key_of("search")
    fields = opened(lead, ADD)
    assert "errorlist" in saved(lead, ADD, fields, team=str(team.pk), period="daily", amount_usd="1")
    assert amounts() == {}
    saved(lead, ADD, fields, key=str(key.pk), team=str(team.pk), period="daily", amount_usd="1")
    assert Budget.objects.get().team is None


def test_no_budget_moves_to_another_owner(lead: Client) -> None:
    ours, theirs = a_key_of("search"), a_key_of("ads")
    budget = a_budget(key=ours)
    moved = {"key": str(theirs.pk), "team": str(Team.objects.get(name="search").pk)}
    saved(lead, page_of(budget), opened(lead, page_of(budget)), **moved, amount_usd="2")
    assert amounts() == {"Daily budget of key app-of-search": (2_000_000, True)}
    fields = opened(lead, page_of(ours))
    lead.post(page_of(ours), fields | {"budgets-0-key": [str(theirs.pk)], "budgets-0-amount_usd": ["3"]})
    assert Budget.objects.get().key == ours


def test_no_line_reaches_another_key(lead: Client) -> None:
    ours, theirs = a_key_of("search"), a_key_of("ads")
    a_budget(key=ours)
    other = a_budget(key=theirs)
    fields = opened(lead, page_of(ours))
    changes = {"budgets-0-id": [str(other.pk)], "budgets-0-amount_usd": ["9"]}
    for more in ({}, {"budgets-0-DELETE": ["on"]}, {"budgets-0-key": [str(theirs.pk)]}):
        lead.post(page_of(ours), fields | changes | more)
        assert lead.post(page_of(theirs), fields | changes | more).status_code == 302
    assert set(amounts().values()) == {(1_000_000, True)}
    assert len(amounts()) == 2


def test_nothing_is_written_without_the_permission() -> None:
    lead = a_lead("add_budget", "change_budget", "delete_budget")
    key = a_key_of("search")
    budget = a_budget(key=key)
    assert lead.get(page_of(budget)).status_code == 200
    assert lead.get(ADD).status_code == 403
    for page in ("change", "delete"):
        assert lead.post(page_of(budget, page), {"post": "yes", "amount_usd": "9"}).status_code == 403
    fields = opened(lead, page_of(key)) | {"budgets-INITIAL_FORMS": ["1"], "budgets-TOTAL_FORMS": ["2"]}
    crafted = {"budgets-0-id": str(budget.pk), "budgets-0-key": str(key.pk), "budgets-0-amount_usd": "9"}
    more = {"budgets-0-DELETE": "on", "budgets-1-period": "monthly", "budgets-1-amount_usd": "9"}
    saved(lead, page_of(key), fields, **crafted, **more)
    assert amounts() == {"Daily budget of key app-of-search": (1_000_000, True)}


def test_what_has_left_with_its_key_is_gone(lead: Client) -> None:
    key = a_key_of("search")
    budget = a_budget(key=key)
    version = budget.history.get().history_id
    key.team = Team.objects.get(name="ads")
    key.save()
    old = reverse("admin:accounts_budget_simple_history", args=[budget.pk, version])
    for url in (page_of(budget), page_of(budget, "history"), old):
        assert lead.get(url).status_code in {302, 403, 404}, url
    assert lead.post(old, {"amount_usd": "9", "period": "daily"}).status_code in {403, 404}
    assert amounts() == {"Daily budget of key app-of-search": (1_000_000, True)}
