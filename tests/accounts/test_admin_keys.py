"""The admin makes client keys, shows each once, and lets the leads of a team see what is their team's."""

import re
import time

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
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
