"""The admin shows calls page by page, with their attempts and decisions, and leads those of their own teams."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.call_list import Place
from accounts.ledger import book
from accounts.models import Call, Price, Team
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team

pytestmark = pytest.mark.django_db

CALLS = reverse("admin:accounts_call_changelist")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
DECISION = {
    "estimate": 12,
    "snapshot": 7,
    "phase": "",
    "ranked": [
        {
            "model": "small",
            "provider": "echo",
            "score": 49.5,
            "terms": {"weight": 50, "cost": -0.5},
            "strategy": "score",
            "need": 112,
        }
    ],
    "excluded": [{"model": "tiny", "reason": "its window is <too> small"}],
}


def shown(client: Client, url: str = CALLS, **asked: str) -> list[str]:
    """The calls on a page, in their order."""
    response = client.get(url, asked)
    assert response.status_code == 200
    return re.findall(r">(req_\w+)</a>", response.content.decode())


def link(client: Client, url: str, rel: str) -> str:
    """The address of the page beside a page, empty where there is none."""
    found = re.search(rf'href="([^"]+)" rel="{rel}"', client.get(url).content.decode())
    return CALLS + found[1].replace("&amp;", "&") if found else ""


def a_lead(*codenames: str) -> Client:
    """The browser of somebody who leads the team search and no other."""
    user = User.objects.create_user("lead", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    a_team("search").leads.add(user)
    client = Client()
    client.force_login(user)
    return client


def several(count: int, **fields: object) -> None:
    """Book calls, each a second after the one before it."""
    book([a_call(f"req_{number}", at=NOON.timestamp() + number, **fields) for number in range(count)])


def test_it_works(admin_client: Client) -> None:
    key, _ = a_key(team=a_team())
    failed = an_attempt(status=503, error="provider_unavailable", uncached=0, output=0, cost_micro=0, model="best")
    made = an_attempt(cache_read=1000, reasoning=2, cost_micro=1_234_567, dropped=("seed",))
    book([a_call("req_1", failed, made, key=key.pk, team=key.team_id, decisions=(DECISION,))])
    (line,) = re.findall(r"<tr>(?:(?!<tr>).)*req_1.*?</tr>", admin_client.get(CALLS).content.decode(), re.DOTALL)
    for told in (str(key), "search", "small", "echo", "1.234567", ">2<", ">1010<"):
        assert told in line
    html = admin_client.get(reverse("admin:accounts_call_change", args=[Call.objects.get().pk])).content.decode()
    for told in ("weight 50, cost -0.5", "49.5", "its window is &lt;too&gt; small", "provider_unavailable", "1.234567"):
        assert told in html
    for told in ("1,010 in (1,000 read from a cache), 5 out (2 of them reasoning)", "2.00, 2.00", "seed"):
        assert told in html
    assert 'type="submit" value="Save"' not in html


def test_pages_follow_each_other(admin_client: Client) -> None:
    several(250)
    newest = [f"req_{number}" for number in range(249, -1, -1)]
    assert shown(admin_client) == newest[:100]
    second = link(admin_client, CALLS, "next")
    third = link(admin_client, second, "next")
    assert (shown(admin_client, second), shown(admin_client, third)) == (newest[100:200], newest[200:])
    assert link(admin_client, third, "next") == ""
    assert link(admin_client, CALLS, "prev") == ""
    back = link(admin_client, third, "prev")
    assert shown(admin_client, back) == newest[100:200]
    assert shown(admin_client, link(admin_client, back, "prev")) == newest[:100]


def test_calls_of_one_moment_are_all_shown(admin_client: Client) -> None:
    book([a_call(f"req_{number}", at=NOON.timestamp()) for number in range(150)])
    first = shown(admin_client)
    rest = shown(admin_client, link(admin_client, CALLS, "next"))
    assert (len(first), len(rest), len({*first, *rest})) == (100, 50, 150)


def test_a_call_that_comes_late_moves_no_page(admin_client: Client) -> None:
    several(150)
    second = link(admin_client, CALLS, "next")
    before = shown(admin_client, second)
    book([a_call("req_new", at=NOON.timestamp() + 999)])
    assert shown(admin_client, second) == before


@pytest.mark.parametrize("place", ["x", "1", "1-x", "-", f"{10**30}-1", ""])
def test_a_place_that_is_none_is_the_first_page(admin_client: Client, place: str) -> None:
    several(3)
    assert len(shown(admin_client, before=place)) == 3


def test_a_place_is_exact() -> None:
    place = Place(datetime(2026, 11, 25, 12, 0, 0, 123457, tzinfo=UTC), 5)
    assert Place.read(str(place)) == place


def test_a_page_counts_nothing_and_skips_nothing(admin_client: Client) -> None:
    several(250)
    deep = link(admin_client, link(admin_client, CALLS, "next"), "prev")
    for url in (CALLS, deep):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            admin_client.get(url)
        told = " ".join(query["sql"] for query in seen).upper()
        assert "COUNT(" not in told
        assert "OFFSET" not in told
        assert len(seen) < 8


def test_filters_choose(admin_client: Client) -> None:
    key, _ = a_key(team=a_team())
    late = (NOON + timedelta(days=1)).timestamp()
    book(
        [
            a_call("req_key", key=key.pk, team=key.team_id, at=NOON.timestamp()),
            a_call("req_model", an_attempt(model="large", provider="p"), at=NOON.timestamp()),
            a_call("req_failed", an_attempt(status=503), status=503, at=late),
            a_call("req_refused", attempts=(), status=404, at=late),
        ]
    )
    assert shown(admin_client, key=str(key.pk)) == ["req_key"]
    assert shown(admin_client, team=str(key.team_id)) == ["req_key"]
    assert shown(admin_client, model="large") == shown(admin_client, provider="p") == ["req_model"]
    assert shown(admin_client, status="5") == ["req_failed"]
    assert shown(admin_client, status="4") == ["req_refused"]
    assert set(shown(admin_client, end="2026-11-25")) == {"req_key", "req_model"}
    assert set(shown(admin_client, start="2026-11-26", end="9999-12-31")) == {"req_failed", "req_refused"}
    assert shown(admin_client, start="2026-11-26", status="2") == []
    assert shown(admin_client, q=" req_model ") == ["req_model"]
    assert shown(admin_client, q="req_mode") == []


def test_a_filter_stays_on_the_next_page(admin_client: Client) -> None:
    several(150)
    book([a_call("req_other", an_attempt(model="large"), at=NOON.timestamp() + 0.5)])
    second = link(admin_client, f"{CALLS}?model=small", "next")
    assert "model=small" in second
    assert shown(admin_client, second) == [f"req_{number}" for number in range(49, -1, -1)]


@pytest.mark.parametrize(
    "asked",
    [{"key": "99"}, {"key": "9" * 30}, {"team": "9" * 30}, {"start": "yesterday"}, {"status": "9"}, {"team": "x"}],
)
def test_what_cannot_be_understood_shows_nothing(admin_client: Client, asked: dict[str, str]) -> None:
    several(3)
    response = admin_client.get(CALLS, asked)
    assert "errorlist" in response.content.decode()
    assert shown(admin_client, **asked) == []


def test_what_is_gone_is_told(admin_client: Client) -> None:
    book([a_call("req_1", key=77, team=78), a_call("req_2")])
    html = admin_client.get(CALLS).content.decode()
    for told in ("deleted (77)", "deleted (78)", "no key", "no team"):
        assert told in html
    for call in Call.objects.all():
        page = admin_client.get(reverse("admin:accounts_call_change", args=[call.pk])).content.decode()
        assert ("deleted (77)" in page) == (call.request_id == "req_1")


def test_leads_see_the_calls_of_their_own_teams() -> None:
    lead = a_lead("view_call", "view_apikey", "view_team")
    ours, theirs = Team.objects.get(), a_team("ads")
    book([a_call("req_ours", team=ours.pk), a_call("req_theirs", team=theirs.pk), a_call("req_nobodys")])
    assert shown(lead) == ["req_ours"]
    for asked in ({"team": str(theirs.pk)}, {"q": "req_theirs"}, {"q": "req_nobodys"}):
        assert shown(lead, **asked) == []
    for call in Call.objects.all():
        status = lead.get(reverse("admin:accounts_call_change", args=[call.pk])).status_code
        assert status == (200 if call.request_id == "req_ours" else 302), call


def test_a_lead_of_several_teams_sees_one_list() -> None:
    lead = a_lead("view_call")
    second = a_team("ads")
    second.leads.add(User.objects.get(username="lead"))
    first = Team.objects.get(name="search")
    book(
        [
            a_call(f"req_{number}", team=(first, second)[number % 2].pk, at=NOON.timestamp() + number)
            for number in range(150)
        ]
    )
    newest = [f"req_{number}" for number in range(149, -1, -1)]
    older = link(lead, CALLS, "next")
    assert (shown(lead), shown(lead, older)) == (newest[:100], newest[100:])
    assert shown(lead, link(lead, older, "prev")) == newest[:100]


def test_leads_read_no_name_of_others() -> None:
    lead = a_lead("view_call", "view_apikey", "view_team")
    theirs, _ = a_key("of-others", team=a_team("others"))
    gone, _ = a_key("of-others-now", team=theirs.team)
    ours = Team.objects.get(name="search")
    book([a_call("req_1", key=gone.pk, team=ours.pk)])
    page = reverse("admin:accounts_call_change", args=[Call.objects.get().pk])
    for html in (lead.get(CALLS).content.decode(), lead.get(page).content.decode()):
        assert f"moved away ({gone.pk})" in html
        assert "of-others" not in html
    for asked in ({"key": str(theirs.pk)}, {"key": str(gone.pk)}, {"team": str(theirs.team_id)}):
        assert "others" not in lead.get(CALLS, asked).content.decode()
    history = lead.get(reverse("admin:accounts_call_history", args=[Call.objects.get().pk]))
    assert "others" not in history.content.decode()


def test_nobody_looks_without_the_permission() -> None:
    lead = a_lead("view_apikey")
    assert lead.get(CALLS).status_code == 403
    assert lead.get(reverse("admin:accounts_price_changelist")).status_code == 403


def test_nobody_writes(admin_client: Client) -> None:
    book([a_call()])
    call, price = Call.objects.get(), Price.objects.get()
    for name, pk in (("call", call.pk), ("price", price.pk)):
        assert admin_client.get(reverse(f"admin:accounts_{name}_add")).status_code == 403
        assert (
            admin_client.post(reverse(f"admin:accounts_{name}_delete", args=[pk]), {"post": "yes"}).status_code == 403
        )
        assert admin_client.post(reverse(f"admin:accounts_{name}_change", args=[pk]), {"model": "x"}).status_code == 403
    call.refresh_from_db()
    assert call.model == "small"


def test_decisions_that_were_too_long_are_left_out(admin_client: Client) -> None:
    book([a_call(decisions=({"model": "x" * 1_100_000},))])
    html = admin_client.get(reverse("admin:accounts_call_change", args=[Call.objects.get().pk])).content.decode()
    assert "Nobody was looked for" in html


def test_prices_are_told_for_a_million_tokens(admin_client: Client) -> None:
    book([a_call("req_1", an_attempt(prices=(30_000_000, 2_500_000, 75_125, 0, 0)))])
    html = admin_client.get(reverse("admin:accounts_price_changelist")).content.decode()
    for told in (">30.00<", ">2.50<", ">0.075125<", ">0.00<"):
        assert told in html


def test_the_index_leads_here(admin_client: Client) -> None:
    html = admin_client.get(reverse("admin:index")).content.decode()
    for name in ("call", "price", "spend"):
        assert reverse(f"admin:accounts_{name}_changelist") in html
