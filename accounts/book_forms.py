"""The forms of the pages that show the books: which calls, which days."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, timedelta
from typing import Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import ApiKey, Call, Team
from accounts.periods import Days, midnight

_STATUSES: Final = (("", "any"), ("2", "2xx"), ("4", "4xx"), ("5", "5xx"))
_PK: Final = re.compile(r"\d{1,18}", re.ASCII)
_LAST_DAY: Final = date(9999, 12, 31)


class _LookedUp(AutocompleteSelect):
    """A select that asks for its choices while somebody types: there may be thousands, of own teams only."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        """Return what is chosen; Django's own would break at what is no number, or one that no database holds."""
        return super().optgroups(name, [pk for pk in value if _PK.fullmatch(str(pk))], attr)


def _looked_up(name: str) -> Any:
    widget = _LookedUp(Call._meta.get_field(name), admin.site)  # noqa: SLF001 - Django's public name
    related = {"key": ApiKey, "team": Team}[name]
    return forms.ModelChoiceField(related._default_manager.all(), required=False, widget=widget)  # noqa: SLF001 - as above


def _day(**told: Any) -> forms.DateField:
    return forms.DateField(widget=forms.DateInput({"type": "date"}), **told)


class WhichCalls(forms.Form):
    """The filters of the list of calls; what is empty filters nothing."""

    q = forms.CharField(label="Request id", required=False, max_length=40)
    team = _looked_up("team")
    key = _looked_up("key")
    model = forms.CharField(required=False, max_length=200)
    provider = forms.CharField(required=False, max_length=100)
    status = forms.ChoiceField(choices=_STATUSES, required=False)
    start = _day(label="From", required=False)
    end = _day(label="To", required=False)

    def __init__(self, data: Any, teams: list[int] | None) -> None:
        super().__init__(data)
        if teams is not None:
            self._field("team").queryset = Team.objects.filter(pk__in=teams)
            self._field("key").queryset = ApiKey.objects.filter(team__in=teams)

    def _field(self, name: str) -> Any:
        return self.fields[name]

    def filtered(self, calls: QuerySet[Call]) -> QuerySet[Call]:
        """Return the calls that are asked for; none where what is asked cannot be understood."""
        if not self.is_valid():
            return calls.none()
        asked = self.cleaned_data
        wanted = {
            "request_id": asked["q"],
            "team": asked["team"],
            "key": asked["key"],
            "model": asked["model"],
            "provider": asked["provider"],
            "status_class": asked["status"],
            "at__gte": asked["start"] and midnight(asked["start"]),
            "at__lt": asked["end"] and asked["end"] < _LAST_DAY and midnight(asked["end"] + timedelta(days=1)),
        }
        return calls.filter(Q(**{name: value for name, value in wanted.items() if value}))


class WhichSpend(forms.Form):
    """What a report is about."""

    start = _day(label="From")
    end = _day(label="To")
    by = forms.ChoiceField(choices=[(name, name) for name in ("day", "team", "key", "model", "provider")])

    def __init__(self, data: Any) -> None:
        today = timezone.now().astimezone(UTC).date()
        usual = {"start": today.replace(day=1).isoformat(), "end": today.isoformat(), "by": "day"}
        super().__init__(usual | {name: text for name, text in data.items() if text})

    def clean(self) -> dict[str, Any]:
        """Refuse days in the wrong order, and more than a report may read."""
        asked = super().clean() or self.cleaned_data
        if "start" in asked and "end" in asked and (fault := Days(asked["start"], asked["end"]).fault):
            raise ValidationError(fault)
        return asked
