"""The report adds up what was spent by day, team, key, model or provider, draws it, and gives it as CSV."""

import csv
import re
from datetime import UTC, date, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.charts import HEIGHT, columns
from accounts.ledger import book
from accounts.models import Spend
from accounts.report_admin import plain
from accounts.spending import usd
from tests.accounts.entries import a_call, an_attempt
from tests.accounts.rows import a_key, a_team

pytestmark = pytest.mark.django_db

REPORT = reverse("admin:accounts_spend_changelist")
CSV = reverse("admin:accounts_spend_csv")
NOVEMBER = {"start": "2026-11-01", "end": "2026-11-30"}
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def table(client: Client, **asked: str) -> list[list[str]]:
    """The cells of the table's lines, the head left out."""
    response = client.get(REPORT, NOVEMBER | asked)
    assert response.status_code == 200
    html = response.content.decode().partition('id="result_list"')[2]
    lines = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)[1:]
    return [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in lines]


def exported(client: Client, **asked: str) -> list[list[str]]:
    """The cells of the CSV."""
    response = client.get(CSV, NOVEMBER | asked)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/csv")
    return list(csv.reader(response.getvalue().decode().splitlines()))


def test_it_works(admin_client: Client) -> None:
    key, _ = a_key(team=a_team())
    dear = an_attempt(model="large", cost_micro=2_000_000, reasoning=3, cache_read=100)
    failed = an_attempt(status=503, cost_micro=0, uncached=0, output=0)
    book(
        [
            a_call("req_1", dear, key=key.pk, team=key.team_id, at=NOON),
            a_call("req_2", failed, at=NOON - 86_400),
            a_call("req_3", key=77, team=78, at=NOON),
            a_call("req_4", at=NOON - 40 * 86_400),
        ]
    )
    total = ["Total", "3", "1", "0", "120", "100", "0", "10", "3", "2.000030"]
    line = ["1", "0", "0", "110", "100", "0", "5", "3", "2.000000"]
    small = ["2", "1", "0", "10", "0", "0", "5", "0", "0.000030"]
    nothing = ["1", "1", "0", "0", "0", "0", "0", "0", "0.000000"]
    thirty = ["1", "0", "0", "10", "0", "0", "5", "0", "0.000030"]
    assert table(admin_client, by="model") == [["large", *line], ["small", *small], total]
    assert table(admin_client, by="key") == [[str(key), *line], ["deleted (77)", *thirty], ["no key", *nothing], total]
    assert table(admin_client, by="team") == [
        ["search", *line],
        ["deleted (78)", *thirty],
        ["no team", *nothing],
        total,
    ]
    assert [cells[0] for cells in table(admin_client, by="day")] == ["2026-11-24", "2026-11-25", "Total"]
    assert table(admin_client, by="provider") == [["echo", *total[1:]], total]


def test_the_chart_has_every_day(admin_client: Client) -> None:
    book([a_call(at=NOON)])
    html = admin_client.get(REPORT, NOVEMBER).content.decode()
    titles = re.findall(r"<title>(2026.*?)</title>", html)
    assert (len(titles), titles[24]) == (30, "2026-11-25: 0.000030 USD")
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', html)]
    assert [number for number, height in enumerate(heights) if height] == [24]
    assert not re.search(r'<script[^>]*src="(?:https?:)?//', html)


def test_the_usual_period_is_this_month(admin_client: Client) -> None:
    html = admin_client.get(REPORT).content.decode()
    assert f'value="{datetime.now(UTC).date().replace(day=1)}"' in html
    assert "Nothing was spent" in html


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "2026-11-30", "end": "2026-11-01"},
        {"start": "2020-01-01"},
        {"start": "soon"},
        {"by": "password"},
    ],
)
def test_what_cannot_be_reported_is_refused(admin_client: Client, asked: dict[str, str]) -> None:
    assert "errorlist" in admin_client.get(REPORT, NOVEMBER | asked).content.decode()
    refused = admin_client.get(CSV, NOVEMBER | asked)
    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")


def test_the_csv_is_the_table(admin_client: Client) -> None:
    book([a_call("req_1", at=NOON), a_call("req_2", an_attempt(model="large", cost_micro=1_234_000_001), at=NOON)])
    assert exported(admin_client, by="model") == [
        [
            "model",
            "attempts",
            "failed",
            "unpriced",
            "input",
            "cache_read",
            "cache_write",
            "output",
            "reasoning",
            "cost_usd",
        ],
        ["large", "1", "0", "0", "10", "0", "0", "5", "0", "1234.000001"],
        ["small", "1", "0", "0", "10", "0", "0", "5", "0", "0.000030"],
    ]
    assert [cells[0] for cells in table(admin_client, by="model")] == ["large", "small", "Total"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=HYPERLINK("//x")'])
def test_no_cell_is_a_formula(admin_client: Client, name: str) -> None:
    key, _ = a_key(name)
    book([a_call("req_1", an_attempt(model=name), key=key.pk, at=NOON)])
    for by in ("model", "key"):
        cell = exported(admin_client, by=by)[1][0]
        assert cell[0] == "'"
        assert name in cell


def test_other_cells_stay() -> None:
    assert [plain(text) for text in ("gpt-4", "2026-11-25", "", "a=b")] == ["gpt-4", "2026-11-25", "", "a=b"]


def test_a_long_table_is_cut_on_the_page_only(admin_client: Client) -> None:
    book([a_call(f"req_{number}", an_attempt(model=f"m{number}"), at=NOON) for number in range(700)])
    assert len(table(admin_client, by="model")) == 201
    assert table(admin_client, by="model")[-1][-1] == "0.021000"
    assert "The CSV has 500 more" in admin_client.get(REPORT, NOVEMBER | {"by": "model"}).content.decode()
    assert len(exported(admin_client, by="model")) == 701


def test_leads_see_what_their_own_teams_spent() -> None:
    user = User.objects.create_user("lead", is_staff=True)
    lead = Client()
    lead.force_login(user)
    assert lead.get(REPORT).status_code == lead.get(CSV).status_code == 403
    user.user_permissions.set(Permission.objects.filter(codename="view_spend"))
    ours, theirs = a_team("search"), a_team("ads")
    ours.leads.add(user)
    book([a_call("req_1", team=ours.pk, at=NOON), a_call("req_2", team=theirs.pk, at=NOON), a_call("req_3", at=NOON)])
    assert [cells[0] for cells in table(lead, by="team")] == ["search", "Total"]
    assert [cells[0] for cells in exported(lead, by="team")] == ["team", "search"]
    assert table(lead, by="model")[-1][-1] == "0.000030"


def test_leads_read_no_name_of_a_key_that_has_left(admin_client: Client) -> None:
    user = User.objects.create_user("lead", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_spend"))
    lead = Client()
    lead.force_login(user)
    ours = a_team("search")
    ours.leads.add(user)
    stays, _ = a_key("stays", team=ours)
    gone, _ = a_key("gone", team=a_team("ads"))
    book([a_call(f"req_{key.pk}", key=key.pk, team=ours.pk, at=NOON) for key in (stays, gone)])
    told = {str(stays), f"moved away ({gone.pk})"}
    assert {cells[0] for cells in table(lead, by="key")} == told | {"Total"}
    assert {cells[0] for cells in exported(lead, by="key")} == told | {"key"}
    assert {cells[0] for cells in table(admin_client, by="key")} == {str(stays), str(gone), "Total"}


def test_calls_are_not_read(admin_client: Client) -> None:
    book([a_call(at=NOON)])
    for by in ("day", "team", "key", "model", "provider"):
        with CaptureQueriesContext(connection) as seen:
            table(admin_client, by=by)
        assert "accounts_call" not in " ".join(query["sql"] for query in seen)
        assert len(seen) < 8


def test_a_row_has_no_page(admin_client: Client) -> None:
    book([a_call()])
    assert admin_client.get(f"{REPORT}{Spend.objects.get().pk}/change/").status_code == 404


def test_columns_reach_a_round_number() -> None:
    for most, top in ((0, 1), (1, 1), (3, 5), (21, 25), (99, 100), (100, 100), (101, 200)):
        chart = columns([(str(date(2026, 11, 1)), most)])
        assert chart.top == top
        assert chart.columns[0].height == pytest.approx(HEIGHT * most / top, abs=0.01)


def test_dollars_are_exact() -> None:
    assert [usd(micro) for micro in (0, 1, 1_500_000, 10**15 + 1)] == [
        "0.000000",
        "0.000001",
        "1.500000",
        "1,000,000,000.000001",
    ]
