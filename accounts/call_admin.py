"""The admin of calls and of the prices that they were charged: to look at, not to write."""

from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString

from accounts.book_forms import WhichCalls
from accounts.call_list import Page, Place, newer_than, older_than
from accounts.models import Attempt, Call, CallContent, Price
from accounts.spending import key_names, named, short_usd, team_names, usd
from accounts.statements import decisions_of
from accounts.team_admin import ReadOnly, SeesOwnTeams, teams_of
from vault.crypto import KeyProblem, Unopenable

_A_PAGE: Final = 100


class AttemptInline(ReadOnly, admin.TabularInline[Attempt, Call]):
    """The attempts of a call, for whoever may see it."""

    model = Attempt
    extra = 0
    readonly_fields = [
        "model",
        "provider",
        "phase",
        "status",
        "error",
        "reason",
        "tokens",
        "cost",
        "price_of_it",
        "times",
        "dropped",
    ]
    fields = [*readonly_fields]
    verbose_name_plural = "attempts"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the call."""
        return True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Attempt]:
        """Attempts with their prices."""
        return super().get_queryset(request).select_related("price")

    @admin.display(description="tokens")
    def tokens(self, attempt: Attempt) -> str:
        """In and out."""
        return tokens_of(attempt)

    @admin.display(description="USD")
    def cost(self, attempt: Attempt) -> str:
        """What it cost."""
        return usd(attempt.cost_micro) if attempt.price_id else "unknown"

    @admin.display(description="USD for 1M tokens, in and out")
    def price_of_it(self, attempt: Attempt) -> str:
        """What was charged."""
        price = attempt.price
        return f"{per_million(price.input)}, {per_million(price.output)}" if price else "unknown"

    @admin.display(description="ms, to the first content")
    def times(self, attempt: Attempt) -> str:
        """How long it took."""
        return f"{attempt.ms:.0f}" + ("" if attempt.ttft_ms is None else f", {attempt.ttft_ms:.0f}")


class CallAdmin(ReadOnly, SeesOwnTeams):
    """Calls: a list that is as fast on its last page as on its first, and a page for each."""

    inlines = [AttemptInline]
    change_form_template = "accounts/call_page.html"
    fieldsets = [
        (None, {"fields": [("request_id", "at"), ("endpoint", "outcome", "stream"), ("key_of_it", "team_of_it")]}),
        ("Answer", {"fields": [("asked", "model", "provider"), ("session", "user", "times")]}),
        ("Cost", {"fields": [("tokens", "estimated", "cost")]}),
        ("Decision", {"fields": ["decision"]}),
    ]
    readonly_fields = ["outcome", "key_of_it", "team_of_it", "times", "tokens", "cost", "decision"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; Django's own would count the calls, and skip those of all pages before."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        teams = teams_of(request)
        form = WhichCalls(request.GET, teams)
        page = _page(request, self._parts(form, teams))
        context = {
            **self.admin_site.each_context(request),
            "title": "Calls",
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            "lines": _lines(page.calls, teams),
            "newest": _address(request) if {"before", "after"} & set(request.GET) else "",
            "newer": _address(request, after=page.newer),
            "older": _address(request, before=page.older),
        }
        return TemplateResponse(request, "accounts/call_list.html", context)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a call that knows who reads it: a key that has left the reader's teams is not named."""
        call: Any = super().get_object(request, object_id, from_field)
        if call is not None:
            call.reader_leads = teams_of(request)
        return call

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page of a call; what was said in it is shown on demand, to whoever has that permission."""
        more = {**(extra_context or {}), **self._content(request, object_id)}
        response = super().change_view(request, object_id, form_url, more)
        add_never_cache_headers(response)
        return response

    def _content(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        """Return what the page says of prompt and answer: where they are shown, it is written down who read them."""
        if not request.user.has_perm("accounts.view_content"):
            return {}
        call = self.get_object(request, unquote(object_id))
        if call is None or not self.has_view_permission(request, call):
            return {}
        kept = CallContent.objects.defer("request", "answer").filter(pk=call.request_id).first()
        if kept is None or "content" not in request.GET:
            return {"has_content": kept is not None, "may_read": True}
        LogEntry.objects.log_actions(
            cast(int, request.user.pk),
            [call],
            CHANGE,
            change_message="Read the prompt and the answer.",
            single_object=True,
        )
        return {
            "kept": kept,
            "sides": [(name, *_opened(kept, name)) for name in ("request", "answer")],
            "may_read": True,
        }

    def _parts(self, form: WhichCalls, teams: Sequence[int] | None) -> list[QuerySet[Call]]:
        """Return the calls of each team that somebody leads apart: only then can each be read in order by an index."""
        calls = form.filtered(Call.objects.defer("decisions"))
        return [calls] if teams is None else [calls.filter(team=team) for team in teams]

    @admin.display(description="status")
    def outcome(self, call: Call) -> str:
        """Status and error."""
        return f"{call.status} {call.error}".strip()

    @admin.display(description="key")
    def key_of_it(self, call: Any) -> str:
        """Its name, while it is there."""
        return named(call.key_id, key_names([call.key_id], call.reader_leads), none="no key")

    @admin.display(description="team")
    def team_of_it(self, call: Call) -> str:
        """Its name, while it is there."""
        return named(call.team_id, team_names([call.team_id]), none="no team")

    @admin.display(description="milliseconds")
    def times(self, call: Call) -> str:
        """How long it took."""
        first = "" if call.ttft_ms is None else f", {call.ttft_ms:.0f} to the first content"
        return f"{call.ms:.0f}{first}"

    @admin.display(description="tokens")
    def tokens(self, call: Call) -> str:
        """In and out."""
        return tokens_of(call)

    @admin.display(description="USD")
    def cost(self, call: Call) -> str:
        """What all attempts cost."""
        return told_cost(call)

    @admin.display(description="why it went where it went")
    def decision(self, call: Call) -> SafeString:
        """Who could serve in which order, and who could not."""
        return render_to_string("accounts/decision.html", {"decisions": decisions_of(call)})


def _opened(kept: CallContent, name: str) -> tuple[str, str]:
    """Return a side of a content, and why it cannot be read if so."""
    try:
        return getattr(kept, name), ""
    except (KeyProblem, Unopenable) as reason:
        return "", str(reason)


class PriceAdmin(ReadOnly, admin.ModelAdmin[Price]):
    """The prices that were charged, each from when on."""

    list_display = ["model", "provider", "since", "input_usd", "output_usd", "cache_read_usd", "cache_write_usd"]
    list_display_links = None
    list_filter = ["provider"]
    search_fields = ["model"]
    ordering = ["model", "provider", "-since"]

    @admin.display(description="USD for 1M tokens of input")
    def input_usd(self, price: Price) -> str:
        """Not of a cache."""
        return per_million(price.input)

    @admin.display(description="of output")
    def output_usd(self, price: Price) -> str:
        """With what was thought."""
        return per_million(price.output)

    @admin.display(description="read from a cache")
    def cache_read_usd(self, price: Price) -> str:
        """Input that was known."""
        return per_million(price.cache_read)

    @admin.display(description="written to a cache")
    def cache_write_usd(self, price: Price) -> str:
        """Input to be known."""
        return per_million(price.cache_write)


def per_million(pico: int) -> str:
    """Return pico-dollars a token as dollars for a million tokens."""
    return short_usd(pico)


def tokens_of(told: Call | Attempt) -> str:
    """Return what went in and came out, in a line."""
    parts = {"read from a cache": told.cache_read, "written to it": told.cache_write}
    cached = ", ".join(f"{count:,} {what}" for what, count in parts.items() if count)
    thought = f" ({told.reasoning:,} of them reasoning)" if told.reasoning else ""
    return f"{told.input:,} in{f' ({cached})' if cached else ''}, {told.output:,} out{thought}"


def _page(request: HttpRequest, parts: Sequence[QuerySet[Call]]) -> Page:
    """Return the page that an address asks for; the first for a place that is none."""
    before, after = (_place(request.GET.get(name, "")) for name in ("before", "after"))
    return newer_than(after, parts, _A_PAGE) if after else older_than(before, parts, _A_PAGE)


def _place(text: str) -> Place | None:
    try:
        return Place.read(text)
    except ValueError:
        return None


def _address(request: HttpRequest, **place: Place | None) -> str:
    """Return the address of another page of the same list; empty where there is none."""
    if None in place.values():
        return ""
    asked = {name: text for name, text in request.GET.items() if text and name not in {"before", "after"}}
    return f"?{urlencode(asked | {name: str(value) for name, value in place.items()})}"


def _lines(calls: Sequence[Call], led: Sequence[int] | None) -> list[dict[str, Any]]:
    keys, teams = key_names((call.key_id for call in calls), led), team_names(call.team_id for call in calls)
    return [
        {
            "call": call,
            "key": named(call.key_id, keys, none="no key"),
            "team": named(call.team_id, teams, none="no team"),
            "cost": told_cost(call),
        }
        for call in calls
    ]


def told_cost(call: Call) -> str:
    """Return what a call cost in dollars, and whether there is more that nobody knows."""
    return usd(call.cost_micro) + ("" if call.is_priced else " and more: not every price is known")
