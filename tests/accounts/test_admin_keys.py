"""The admin makes client keys, shows each once, and lets the leads of a team see what is their team's."""

import re
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import keys
from accounts.models import ApiKey, Team
from accounts.picture import read_picture
from tests.accounts.rows import a_key, a_team
from tests.registry.browser import opened, saved

pytestmark = pytest.mark.django_db

KEYS = reverse("admin:accounts_apikey_changelist")
TEAMS = reverse("admin:accounts_team_changelist")
ADD = reverse("admin:accounts_apikey_add")


def page_of(key: ApiKey, page: str = "change") -> str:
    """The address of a page about a key."""
    return reverse(f"admin:accounts_apikey_{page}", args=[key.pk])


def text(client: Client, url: str) -> str:
    """The text of a page that must be there."""
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def shown(html: str) -> str:
    """The one key on a page."""
    (token,) = re.findall(r"th_[0-9a-f]{12}_[0-9a-f]{48}", html)
    return str(token)


def opens(token: str) -> bool:
    """Whether a key is good now."""
    try:
        return bool(keys.check(token, read_picture()[0], time.time()))
    except keys.KeyRefused:
        return False


@pytest.fixture
def lead() -> Client:
    """The browser of somebody who leads the team search and no other."""
    user = User.objects.create_user("lead", is_staff=True)
    wanted = ["view_apikey", "add_apikey", "change_apikey", "delete_apikey", "view_team", "change_team"]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    a_team("search").leads.add(user)
    a_team("ads")
    client = Client()
    client.force_login(user)
    return client


def test_it_works(admin_client: Client) -> None:
    team = a_team()
    html = saved(
        admin_client,
        ADD,
        opened(admin_client, ADD),
        name="app",
        team=str(team.pk),
        scopes=["chat", "messages"],
        allowed_models="small, large",
    )
    token = shown(html)
    assert opens(token)
    key = ApiKey.objects.get()
    assert (key.name, key.team, key.scopes, key.allowed_models) == (
        "app",
        team,
        ["chat", "messages"],
        ["small", "large"],
    )
    assert key.history.count() == 1


def test_a_key_is_shown_once_and_stored_nowhere(admin_client: Client) -> None:
    response = admin_client.post(ADD, opened(admin_client, ADD) | {"name": ["app"]})
    token = shown(response.content.decode())
    assert "no-store" in response.headers["Cache-Control"]
    secret = token.rpartition("_")[2]
    key = ApiKey.objects.get()
    for url in (KEYS, page_of(key), page_of(key, "history"), reverse("admin:index")):
        assert secret not in text(admin_client, url)
    assert secret not in str(dict(admin_client.session)) + str(admin_client.cookies)


def test_a_new_secret_is_made_and_the_old_one_ends(admin_client: Client) -> None:
    key, old = a_key()
    html = admin_client.post(page_of(key, "rotate"), {"hours": "0"}).content.decode()
    assert opens(shown(html))
    assert not opens(old)
    latest = key.history.first()
    assert latest is not None
    assert latest.history_change_reason == "a new secret"


def test_a_new_secret_may_overlap_the_old_one(admin_client: Client) -> None:
    key, old = a_key()
    html = admin_client.post(page_of(key, "rotate"), {"hours": "24"}).content.decode()
    assert opens(shown(html))
    assert opens(old)
    assert "is good until" in html


@pytest.mark.parametrize("hours", ["", "5", "x"])
def test_no_other_overlap_is_taken(admin_client: Client, hours: str) -> None:
    key, old = a_key()
    assert admin_client.post(page_of(key, "rotate"), {"hours": hours}).status_code == 403
    assert opens(old)


def test_a_look_rotates_nothing(admin_client: Client) -> None:
    key, old = a_key()
    assert admin_client.get(page_of(key, "rotate")).status_code == 405
    assert opens(old)


def test_an_edit_leaves_the_secret(admin_client: Client) -> None:
    key, token = a_key()
    saved(admin_client, page_of(key), opened(admin_client, page_of(key)), name="renamed", scopes=["chat"])
    key.refresh_from_db()
    assert (key.name, key.scopes) == ("renamed", ["chat"])
    assert opens(token)


def test_many_are_switched_off_at_once(admin_client: Client) -> None:
    key, token = a_key()
    admin_client.post(KEYS, {"action": "disable", "_selected_action": [key.pk]})
    assert not opens(token)


def test_an_open_gateway_is_told_until_there_is_a_key(admin_client: Client, settings: Settings) -> None:
    for url in (KEYS, reverse("admin:index")):
        assert "open to whoever reaches it" in text(admin_client, url)
    a_key()
    for url in (KEYS, reverse("admin:index")):
        assert "open to whoever reaches it" not in text(admin_client, url)
    settings.TOKENHUB_REQUIRE_KEY = "false"
    assert "open to whoever reaches it" in text(admin_client, KEYS)


def test_leads_see_their_own_team(lead: Client) -> None:
    ours, _ = a_key("ours", team=Team.objects.get(name="search"))
    theirs, _ = a_key("theirs", team=Team.objects.get(name="ads"))
    nobodys, _ = a_key("nobodys")
    html = text(lead, KEYS)
    assert ("ours" in html, "theirs" in html, "nobodys" in html) == (True, False, False)
    assert ">ads<" not in text(lead, TEAMS)
    assert "ours" in text(lead, page_of(ours))
    for key in (theirs, nobodys):
        for page in ("change", "history", "delete"):
            assert lead.get(page_of(key, page)).status_code in {302, 404}, page
        version = key.history.get().history_id
        old = reverse("admin:accounts_apikey_simple_history", args=[key.pk, version])
        assert lead.get(old).status_code in {302, 403, 404}
        assert lead.post(page_of(key, "rotate"), {"hours": "0"}).status_code == 404


def test_leads_make_keys_for_their_own_team_alone(lead: Client) -> None:
    ads = Team.objects.get(name="ads")
    fields = opened(lead, ADD)
    for team in ("", str(ads.pk)):
        saved(lead, ADD, fields, name="app", team=team)
        assert not ApiKey.objects.exists()
    token = shown(saved(lead, ADD, fields, name="app", team=str(Team.objects.get(name="search").pk)))
    assert opens(token)


def test_leads_move_no_key_away(lead: Client) -> None:
    key, _ = a_key(team=Team.objects.get(name="search"))
    url = page_of(key)
    saved(lead, url, opened(lead, url), team=str(Team.objects.get(name="ads").pk))
    key.refresh_from_db()
    assert key.team is not None
    assert key.team.name == "search"


def test_leads_make_no_leads(lead: Client) -> None:
    team = Team.objects.get(name="search")
    url = reverse("admin:accounts_team_change", args=[team.pk])
    other = User.objects.create_user("friend")
    saved(lead, url, opened(lead, url), note="ours", leads=[str(other.pk)], enabled=None)
    team.refresh_from_db()
    assert (team.note, team.enabled) == ("ours", True)
    assert [user.username for user in team.leads.all()] == ["lead"]


def test_who_may_only_look_reverts_nothing(client: Client) -> None:
    key, _ = a_key(rpm=5)
    ApiKey.objects.update(rpm=7)
    user = User.objects.create_user("looks", is_staff=True)
    wanted = ["view_apikey", "all_teams"]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    old = reverse("admin:accounts_apikey_simple_history", args=[key.pk, key.history.get().history_id])
    assert client.get(old).status_code == 200
    assert client.post(old, {"name": "mine", "rpm": "1000"}).status_code == 403
    key.refresh_from_db()
    assert (key.name, key.rpm) == ("app", 7)


def test_a_lead_takes_no_key_back_that_has_left(lead: Client) -> None:
    key, _ = a_key(team=Team.objects.get(name="search"))
    version = key.history.get().history_id
    key.team = Team.objects.get(name="ads")
    key.save()
    old = reverse("admin:accounts_apikey_simple_history", args=[key.pk, version])
    assert lead.post(old, {"name": "mine", "team": str(Team.objects.get(name="search").pk)}).status_code in {403, 404}
    key.refresh_from_db()
    assert (key.name, key.team) == ("app", Team.objects.get(name="ads"))


def test_the_filters_name_no_other_team(lead: Client) -> None:
    for name in ("search", "ads"):
        a_key(f"of {name}", team=Team.objects.get(name=name))
    second = a_team("second")
    second.leads.add(User.objects.get(username="lead"))
    a_key("of second", team=second)
    html = text(lead, KEYS)
    assert "?team__id__exact=" in html  # there is a filter
    assert (">search<" in html, ">second<" in html, ">ads<" in html) == (True, True, False)


def test_leads_switch_no_team_in_the_list(lead: Client) -> None:
    team = Team.objects.get(name="search")
    Team.objects.update(enabled=False)
    listed = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": str(team.pk), "form-0-enabled": "on"}
    lead.post(TEAMS, {**listed, "_save": "Save"})
    assert not Team.objects.filter(enabled=True).exists()
    assert "form-0-enabled" not in text(lead, TEAMS)


@pytest.mark.parametrize("action", ["enable", "disable"])
def test_leads_switch_no_team_by_an_action(lead: Client, action: str) -> None:
    Team.objects.update(enabled=action == "disable")
    team = Team.objects.get(name="search")
    lead.post(TEAMS, {"action": action, "_selected_action": [team.pk]})
    assert Team.objects.get(name="search").enabled == team.enabled
    assert f'value="{action}"' not in text(lead, TEAMS)


def test_leads_bring_no_old_team_back(lead: Client) -> None:
    """An old version would bring back all that is read-only for leads, limits too."""
    team = Team.objects.get(name="search")
    team.enabled, team.rpm = False, 5
    team.save()
    old = reverse("admin:accounts_team_simple_history", args=[team.pk, team.history.earliest().history_id])
    status = lead.post(old, {"note": "back"}).status_code
    team.refresh_from_db()
    assert (team.enabled, team.rpm, team.note) == (False, 5, "")
    assert status == 403
    assert "Revert" not in text(lead, old)


def test_who_manages_every_team_switches_them(admin_client: Client) -> None:
    team = a_team(enabled=False)
    saved(admin_client, TEAMS, opened(admin_client, TEAMS, "changelist-form"), **{"form-0-enabled": "on"})
    assert Team.objects.get().enabled
    admin_client.post(TEAMS, {"action": "disable", "_selected_action": [team.pk]})
    assert not Team.objects.get().enabled
    version = team.history.filter(enabled=True).get().history_id
    old = reverse("admin:accounts_team_simple_history", args=[team.pk, version])
    saved(admin_client, old, opened(admin_client, old))
    assert Team.objects.get().enabled


def test_teams_say_how_many_keys_they_have(admin_client: Client) -> None:
    a_team("ads")
    team = a_team()
    for name in ("one", "two"):
        a_key(name, team=team)
    html = text(admin_client, TEAMS)
    assert re.findall(r'class="field-number_of_keys">(\d+)<', html) == ["0", "2"]


def test_a_key_that_has_left_has_no_new_name(lead: Client) -> None:
    key, _ = a_key("then", team=Team.objects.get(name="search"))
    version = key.history.get().history_id
    key.team, key.name = Team.objects.get(name="ads"), "since"
    key.save()
    old = reverse("admin:accounts_apikey_simple_history", args=[key.pk, version])
    for url in (page_of(key, "history"), old):
        html = text(lead, url)
        assert "then" in html
        assert "since" not in html
        assert "ads" not in re.findall(r"[a-z]+", html)


def test_no_search_finds_others(lead: Client) -> None:
    a_key("of-ads", team=Team.objects.get(name="ads"))
    for field, model in (("key", "call"), ("team", "call"), ("team", "apikey"), ("team", "budget"), ("key", "budget")):
        asked = {"app_label": "accounts", "model_name": model, "field_name": field, "term": "ads"}
        answer = lead.get(reverse("admin:autocomplete"), asked)
        assert answer.status_code == 403 or answer.json()["results"] == [], (field, model)
    ads = str(Team.objects.get(name="ads").pk)
    for asked in ({"q": "ads"}, {"team__id__exact": ads}, {"team__name": "ads"}):
        assert "of-ads" not in lead.get(KEYS, asked, follow=True).content.decode()
    assert ">ads<" not in text(lead, ADD)


def test_no_filter_finds_out_a_digest(admin_client: Client) -> None:
    key, _ = a_key("one")
    for asked in ("digest__startswith", "old_digest__gte", "digest"):
        answer = admin_client.get(KEYS, {asked: key.digest[:1]})
        assert answer.status_code in {302, 400}, asked


def test_an_old_version_of_a_key_brings_no_old_secret_back(admin_client: Client) -> None:
    key, _ = a_key("one")
    key.old_until = timezone.now() + timedelta(days=7)
    key.save()
    version = key.history.latest().history_id
    key.old_until = soon = timezone.now() + timedelta(hours=1)
    key.name = "renamed"
    key.save()
    old = reverse("admin:accounts_apikey_simple_history", args=[key.pk, version])
    saved(admin_client, old, opened(admin_client, old))
    key.refresh_from_db()
    assert (key.name, key.old_until) == ("one", soon)
