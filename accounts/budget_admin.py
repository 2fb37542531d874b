"""The admin of budgets: a list of their own, and lines on the pages of keys and teams."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.contrib import admin
from django.db.models import Case, DateField, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.budget_warnings import edited, reached
from accounts.forms import BudgetEdit, BudgetFields
from accounts.models import ApiKey, Budget, BudgetUse, BudgetWarning, Period, Spend, Team
from accounts.spending import short_usd
from accounts.team_admin import OfOwnTeams, sees_all

_NOW: Final = ("spent", "reserved", "share")


def with_use(budgets: QuerySet[Budget], moment: datetime) -> QuerySet[Budget]:
    """Return budgets with what is spent and reserved in their present periods, and the warnings told in them.

    Where a period has no row yet, what is spent is what the books say, with which that row would begin.
    """
    starts = {period: period.start(moment) for period in Period}
    start = Case(*(When(period=period, then=Value(day)) for period, day in starts.items()), output_field=DateField())
    use = BudgetUse.objects.filter(budget=OuterRef("pk"), start=OuterRef("now_start"))
    booked = [
        Subquery(
            Spend.objects.filter(**{name: OuterRef(owner)}, day__gte=OuterRef("now_start"))
            .order_by()
            .values(name)
            .annotate(total=Sum("cost_micro"))
            .values("total")
        )
        for name, owner in (("key_pk", "key_id"), ("team_pk", "team_id"))
    ]
    spent = Coalesce(Subquery(use.values("spent_micro")), *booked, Value(0))
    reserved = Coalesce(Subquery(use.values("reserved_micro")), Value(0))
    uses = BudgetUse.objects.filter(start__in=starts.values()).prefetch_related("warnings")
    told = budgets.select_related("key", "team").annotate(now_start=start)
    told = told.annotate(now_spent=spent, now_reserved=reserved)
    return told.prefetch_related(Prefetch("uses", uses, to_attr="now_uses"))


class ShowsUse(admin.options.BaseModelAdmin[Any]):
    """What lists and lines say of a budget that `with_use` has read."""

    class Media:
        css = {"all": ["accounts/budgets.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Budgets with their use of now."""
        return with_use(super().get_queryset(request), timezone.now())

    @admin.display(description="spent, USD")
    def spent(self, budget: Any) -> str:
        """What was booked in this period."""
        return short_usd(budget.now_spent) if budget.pk else "-"  # a page keeps an empty line for a new one

    @admin.display(description="reserved, USD")
    def reserved(self, budget: Any) -> str:
        """What calls under way may cost."""
        return short_usd(budget.now_reserved) if budget.pk else "-"

    @admin.display(description="spent of it")
    def share(self, budget: Any) -> str | SafeString:
        """In percent, rounded down so that no mark is said before it is passed."""
        if not budget.pk:
            return "-"
        percent = 100 * budget.now_spent // budget.amount_micro if budget.amount_micro else 100
        mark = reached(budget.now_spent, budget.amount_micro)
        if not mark:
            return f"{percent} %"
        said = "used up" if mark == 100 else f"over {mark} %"
        return format_html('<span class="mark mark-{}">{} % - {}</span>', mark, percent, said)


class BudgetInline(ShowsUse, admin.TabularInline[Budget, Any]):
    """The budgets of a team or a key; whoever may see the owner may look.

    Whoever manages every team may write, and leads with the permissions for budgets where the owner is a key.
    """

    model = Budget
    form = BudgetFields
    extra = 0
    readonly_fields = [*_NOW]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the owner."""
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As the class says."""
        return self._may(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As the class says."""
        return self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As the class says."""
        return self._may(request, "delete", obj)

    def _may(self, request: HttpRequest, verb: str, owner: Any) -> bool:
        if sees_all(request):
            return True
        is_of_key = issubclass(self.parent_model, ApiKey) and request.user.has_perm(f"accounts.{verb}_budget")
        return is_of_key and (owner is None or _leads(request, owner.team_id))  # None for a key that is being made


class BudgetAdmin(ShowsUse, OfOwnTeams):  # type: ignore[misc]  # as OfOwnTeams
    """All budgets; leads write those of their teams' keys, and only see those of the teams, which bind themselves."""

    form = BudgetFields
    edit_form = BudgetEdit
    list_display = ["owner", "period", "amount", *_NOW, "warnings", "enabled"]
    list_filter = ["period", "enabled"]
    search_fields = ["key__name", "key__public_id", "team__name", "key__team__name"]
    autocomplete_fields = ["key", "team"]
    readonly_fields = ["owner", *_NOW, "warnings"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """An owner is chosen once: what was spent is the owner's."""
        if obj is not None:
            return ["owner", "period", "amount_usd", "enabled", *_NOW, "warnings"]
        owners = ["key", "team"] if sees_all(request) else ["key"]
        return [*owners, "period", "amount_usd", "enabled"]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer leads the keys of their own teams, of which they have to choose one."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "key" and field is not None and not sees_all(request):
            field.queryset = ApiKey.objects.filter(team__leads=request.user.pk)
            field.required = True
        return field

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For leads where it is a key's."""
        return super().has_change_permission(request, obj) and _may_write(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For leads where it is a key's."""
        return super().has_delete_permission(request, obj) and _may_write(request, obj)

    def has_view_history_or_change_history_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """While it is there: what is left of one that was deleted may have an owner that is no more."""
        is_there = obj is None or Budget.objects.filter(pk=obj.pk).exists()
        return is_there and bool(super().has_view_history_or_change_history_permission(request, obj))

    def led(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the budgets of the teams that somebody leads, and of the keys that are there now."""
        teams = Team.objects.filter(leads=request.user.pk).values("pk")
        return rows.filter(Q(key__team__in=teams) | Q(team__in=teams))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save; an old version brings no other owner and no other period back."""
        if change:
            obj.key_id, obj.team_id, obj.period = Budget.objects.values_list("key", "team", "period").get(pk=obj.pk)
        super().save_model(request, obj, form, change)

    def _is_of_own(self, request: HttpRequest, obj: Any) -> bool:
        if obj is None or sees_all(request):
            return True
        return _leads(request, obj.team_id if obj.key is None else obj.key.team_id)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], *, enabled: bool) -> None:
        """Leave a lead's hands off the budgets of teams; warnings begin anew, as after any other edit."""
        writable = queryset if sees_all(request) else queryset.filter(team=None)
        pks = list(writable.values_list("pk", flat=True))  # what the list is filtered by may be what changes here
        super()._switch(request, writable, enabled=enabled)
        for budget in Budget.objects.filter(pk__in=pks):
            edited(budget, created=False, raw=False)

    @admin.display(description="owner")
    def owner(self, budget: Budget) -> str:
        """The key with its team, or the team."""
        return f"team {budget.team}" if budget.key is None else f"key {budget.key}"

    @admin.display(description="USD", ordering="amount_micro")
    def amount(self, budget: Budget) -> str:
        """What may be spent."""
        return short_usd(budget.amount_micro)

    @admin.display(description="warnings told in this period")
    def warnings(self, budget: Any) -> str:
        """When which was told, and whether it has arrived."""
        told = [each for use in budget.now_uses if use.start == budget.now_start for each in use.warnings.all()]
        return "; ".join(map(_told, told)) or "-"


def _told(warning: BudgetWarning) -> str:
    delivered, due = warning.delivered_at, warning.due_at
    arrived = f"delivered {_time(delivered)}" if delivered else "not delivered yet" if due else "in the log only"
    return f"{warning.percent} % at {_time(warning.at)} ({arrived})"


def _time(moment: datetime) -> str:
    return localize(timezone.localtime(moment))


def _leads(request: HttpRequest, team: int | None) -> bool:
    return team is not None and Team.objects.filter(pk=team, leads=request.user.pk).exists()


def _may_write(request: HttpRequest, budget: Budget | None) -> bool:
    return budget is None or sees_all(request) or budget.key_id is not None
