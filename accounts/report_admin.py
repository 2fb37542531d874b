"""The report on what was spent: a page of the admin with a chart, and the same table as CSV."""

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.book_forms import WhichSpend
from accounts.charts import Chart, columns
from accounts.models import MICRO, Spend
from accounts.periods import Days
from accounts.spending import Spent, added_up, key_names, named, team_names, total, usd
from accounts.team_admin import ReadOnly, teams_of
from registry import threads

_MOST_LINES: Final = 200
_CSV_LINES: Final = 500  # written in one go, in a thread
_FIELDS: Final = {"day": "day", "team": "team_pk", "key": "key_pk", "model": "model", "provider": "provider"}
_HEAD: Final = (
    *("attempts", "failed", "unpriced", "input", "cache_read", "cache_write", "output", "reasoning", "cost_usd"),
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Line:
    """What one team, key, model, provider or day spent."""

    name: str
    spent: Spent

    @property
    def usd(self) -> str:
        """Its cost in dollars."""
        return usd(self.spent.cost_micro)


class SpendAdmin(ReadOnly, admin.ModelAdmin[Spend]):
    """The report."""

    def get_urls(self) -> list[URLPattern]:
        """Only the report, as a page and as CSV: a row of it has no page of its own."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="accounts_spend_changelist"),
            path("csv/", view(self.csv_view), name="accounts_spend_csv"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page; of a long table its dearest lines."""
        rows, form = self._asked(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Spend",
            "opts": self.opts,
            "form": form,
            "address": request.GET.urlencode(),
        }
        if form.is_valid():
            lines = _lines(rows, form.cleaned_data["by"], teams_of(request))
            context |= {
                "by": form.cleaned_data["by"],
                "lines": lines[:_MOST_LINES],
                "left": max(0, len(lines) - _MOST_LINES),
                "total": Line("Total", total(line.spent for line in lines)),
                "chart": _chart(rows, _days(form)),
                "days": _days(form),
            }
        return TemplateResponse(request, "accounts/report.html", context)

    def csv_view(self, request: HttpRequest) -> HttpResponseBase:
        """The whole table."""
        rows, form = self._asked(request)
        if not form.is_valid():
            return HttpResponse("\n".join(_faults(form)), status=400, content_type="text/plain; charset=utf-8")
        by = form.cleaned_data["by"]
        days = _days(form)
        return StreamingHttpResponse(
            _written([by, *_HEAD], _lines(rows, by, teams_of(request))),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="spend-by-{by}-{days.first}-{days.last}.csv"'},
        )

    def _asked(self, request: HttpRequest) -> tuple[QuerySet[Spend], WhichSpend]:
        """Return what somebody may see of the days that they ask for, and what they ask."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = WhichSpend(request.GET)
        teams = teams_of(request)
        rows = Spend.objects.all() if teams is None else Spend.objects.filter(team_pk__in=teams)
        if form.is_valid():
            rows = rows.filter(day__range=(form.cleaned_data["start"], form.cleaned_data["end"]))
        return rows, form


def _days(form: WhichSpend) -> Days:
    return Days(form.cleaned_data["start"], form.cleaned_data["end"])


def _faults(form: WhichSpend) -> list[str]:
    return [f"{name}: {' '.join(map(str, texts))}" for name, texts in form.errors.items()]


def _lines(rows: QuerySet[Spend], by: str, teams: Collection[int] | None) -> list[Line]:
    """Return the lines of a report for whom leads some teams (None: all): days in order, others by what they cost."""
    found = [(value, spent) for (value,), spent in added_up(rows, [_FIELDS[by]])]
    if by == "day":
        return [Line(value.isoformat(), spent) for value, spent in found]
    found.sort(key=lambda line: line[1].cost_micro, reverse=True)
    if by in {"key", "team"}:
        pks = [pk for pk, _ in found]
        names = key_names(pks, teams) if by == "key" else team_names(pks)
        return [Line(named(pk, names, none=f"no {by}"), spent) for pk, spent in found]
    return [Line(value, spent) for value, spent in found]


def _chart(rows: QuerySet[Spend], days: Days) -> Chart:
    cost = {day: spent.cost_micro for (day,), spent in added_up(rows, ["day"])}
    return columns([(f"{day}: {usd(cost.get(day, 0))} USD", cost.get(day, 0)) for day in days.each()])


def _written(head: Sequence[str], lines: Sequence[Line]) -> Iterator[bytes]:
    """Yield a table as CSV. Its lines are made in a thread: thousands of them would hold up every stream."""
    left = iter(lines)
    yield _rows([head])
    while some := list(islice(left, _CSV_LINES)):
        yield threads.run(_rows, [_cells(line) for line in some])


def _rows(rows: Sequence[Sequence[Any]]) -> bytes:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cells(line: Line) -> list[Any]:
    spent = line.spent
    cost = f"{spent.cost_micro // MICRO}.{spent.cost_micro % MICRO:06d}"
    return [
        plain(line.name),
        *(spent.attempts, spent.failed, spent.unpriced, spent.input, spent.cache_read, spent.cache_write),
        *(spent.output, spent.reasoning, cost),
    ]


def plain(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula. Source: OWASP, "CSV Injection"."""
    return f"'{text}" if text.startswith(_FORMULA) else text
