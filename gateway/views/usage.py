"""`GET /v1/usage`: what the caller's key has used and spent, and what is left of its budgets."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from django.db import Error as DatabaseFault
from django.http import HttpResponse, QueryDict
from rest_framework.request import Request as RestRequest

from accounts import usage, waiting
from accounts.periods import Days
from gateway.errors import InvalidRequest, Unavailable
from gateway.views.base import GatewayView

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_KNOWN: Final = ("from", "to", "group_by")


class Usage(GatewayView):
    """The numbers of one key; on an open gateway those of the calls that were made without one."""

    def get(self, request: RestRequest) -> HttpResponse:
        """Return them for some days, this month unless told otherwise."""
        asked = request.query_params
        if unknown := next((name for name in asked if name not in _KNOWN), None):
            raise InvalidRequest(f"There is no parameter {unknown!r}: give {', '.join(_KNOWN)}.", param=unknown)
        days, groups = _days(asked), _groups(asked.get("group_by", ""))
        try:
            return self.json(waiting.reads.run(usage.of_key, self.key, days, groups))
        except DatabaseFault as error:
            raise Unavailable("The books cannot be read now.", retry_after=1) from error


def _days(asked: QueryDict) -> Days:
    usual = Days.this_month()
    last = _day(asked, "to") or usual.last
    first = _day(asked, "from") or (usual.first if last >= usual.first else last.replace(day=1))
    days = Days(first, last)
    if days.fault:
        raise InvalidRequest(days.fault, param="from" if asked.get("from") else "to")
    return days


def _day(asked: QueryDict, name: str) -> date | None:
    text = asked.get(name)
    if text is None:
        return None
    refusal = InvalidRequest(f"{name} is {text[:40]!r}: give a day such as 2026-11-25.", param=name)
    if not _DAY.fullmatch(text):  # ISO 8601 has other ways to write a day
        raise refusal
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refusal from None


def _groups(text: str) -> Sequence[str]:
    """Return the groups that a text names, in the order of the rows; all where it names none."""
    named = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := named.difference(usage.GROUPS):
        told = f"group_by cannot be {min(unknown)[:40]!r}: give some of {', '.join(usage.GROUPS)}."
        raise InvalidRequest(told, param="group_by")
    return [name for name in usage.GROUPS if name in named] or usage.GROUPS
