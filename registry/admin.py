"""The admin of models and aliases: lists to edit in place, and a history of every change."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from simple_history.utils import update_change_reason

from registry import snapshot
from registry.board import board
from registry.forms import MergesEdits, ModelEdit, ModelFields
from registry.keeper import SnapshotUnavailable
from registry.models import LIMITS, PRICES, Alias, AliasTarget, Capability, Model, Provider
from registry.provider_admin import ProviderAdmin
from registry.row_admin import RowAdmin

REASON_LENGTH = 100  # of the history's column

admin.site.register(Provider, ProviderAdmin)


class CapabilityFilter(admin.SimpleListFilter):
    """Models that can do a thing."""

    title = "capability"
    parameter_name = "capability"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """All that there are."""
        return Capability.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Those that can."""
        return queryset.filter(capabilities_text__contains=f'"{self.value()}"') if self.value() else queryset


@admin.register(Model)
class ModelAdmin(RowAdmin):
    """Models: what callers ask for, what the router prefers, what it costs."""

    form = ModelFields
    edit_form = ModelEdit
    change_form_template = "registry/model_change_form.html"
    list_display = [
        "public_id",
        "provider",
        "weight",
        "cost_per_1k",
        "ranks_by",
        "enabled",
        "cooling",
        "test",
        "context_size",
        "can",
    ]
    list_editable = ["weight", "cost_per_1k", "enabled"]
    list_filter = ["provider", "provider__type", "enabled", CapabilityFilter]
    list_select_related = ["provider"]
    search_fields = ["public_id", "name", "aliases_text", "provider__name"]
    readonly_fields = ["ranks_by"]
    fieldsets = [
        (
            None,
            {
                "fields": ["public_id", "aliases", "provider", "name", "enabled"],
                "description": "The names that callers send, and what the provider calls it.",
            },
        ),
        (
            "Preference",
            {
                "fields": ["weight", "cost_per_1k", "ranks_by"],
                "description": "Of the models that can serve a request the one with the highest score answers: "
                "weight - cost per 1k * 10.",
            },
        ),
        (
            "Prices",
            {
                "fields": [*PRICES, "is_free"],
                "description": "US dollars for 1,000 tokens, for budgets and reports. What is empty costs what "
                "“cost per 1k” says, cached input what input costs, and what is kept for an hour what other writes "
                "to the cache cost.",
            },
        ),
        (
            "Abilities",
            {
                "fields": ["context_size", "max_output_tokens", "capabilities"],
                "description": "A request that does not fit here goes to another model.",
            },
        ),
        (
            "Limits",
            {
                "fields": [*LIMITS],
                "description": "Of all callers together, such as a contract with the provider allows. Beyond a limit "
                "requests go to the next model; where no model has room, callers get 429.",
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Models with their score, and with their lists as texts to look into."""
        return Model.objects.with_score().with_texts()

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Without the button for those who may only look."""
        return [name for name in self.list_display if name != "test" or self.has_change_permission(request)]

    @admin.display(description="score", ordering="listed_score")
    def ranks_by(self, model: Model) -> str:
        """The score without noise."""
        return f"{model.score:.10g}"

    @admin.display(description="capabilities")
    def can(self, model: Model) -> str:
        """Capabilities in a line."""
        return ", ".join(model.capabilities)

    @admin.display(description="cooling")
    def cooling(self, model: Model) -> str:
        """Why it is not called for now, and until when, as the worker knows it that shows the page."""
        if not board.knows(model.pk, model.provider_id):
            return ""
        with suppress(SnapshotUnavailable):
            known = (facts for facts in snapshot.keeper.current().models if facts.pk == model.pk)
            entries = (entry for facts in known for entry in board.about(facts) if entry.until > board.clock())
            times = ((entry.reason.label, datetime.fromtimestamp(entry.until, UTC)) for entry in entries)
            return "; ".join(f"{reason} until {until:%H:%M:%S} UTC" for reason, until in times)
        return "unknown"

    @admin.display(description="")
    def test(self, model: Model) -> str:
        """A button that sends the form around the list elsewhere: forms do not nest, and GET must change nothing."""
        return format_html(
            '<button type="submit" class="button test" formmethod="post" formnovalidate formaction="{}">Test</button>',
            reverse("gateway:test-model", args=[model.pk]),  # known by name: the gateway is a room further on
        )


class TargetInline(admin.TabularInline[AliasTarget, Alias]):
    """The models of an alias; whoever may edit the alias may edit them."""

    model = AliasTarget
    form = MergesEdits
    autocomplete_fields = ["model"]
    extra = 1
    verbose_name = "model"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the alias."""
        return request.user.has_perm("registry.view_alias") or self._may_write(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the alias."""
        return self._may_write(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the alias."""
        return self._may_write(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for the alias."""
        return self._may_write(request, obj)

    def _may_write(self, request: HttpRequest, obj: Any) -> bool:
        return request.user.has_perm("registry.change_alias" if obj else "registry.add_alias")


@admin.register(Alias)
class AliasAdmin(RowAdmin):
    """Names for groups of models."""

    edit_form = MergesEdits
    inlines = [TargetInline]
    list_display = ["name", "strategy", "models_of_it", "enabled"]
    list_editable = ["enabled"]
    list_filter = ["strategy", "enabled"]
    search_fields = ["name", "note", "targets__model__public_id"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "strategy", "enabled", "note"],
                "description": "A name that callers send, and the models behind it. For a canary choose “At random, by "
                "weight” and give the new model a small one. While an alias is disabled, callers do not know its name.",
            },
        )
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        """Aliases with their models."""
        queryset: QuerySet[Alias] = super().get_queryset(request)
        return queryset.prefetch_related("targets__model")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the models as well, and tell what they are in the history of the alias."""
        super().save_related(request, form, formsets, change)
        if not any(formset.has_changed() for formset in formsets):
            return
        alias = Alias.objects.select_for_update().get(pk=form.instance.pk)
        told = f"models: {_listed(alias)}"[:REASON_LENGTH]
        if form.has_changed() or not change:
            update_change_reason(alias, told)
        else:
            alias._change_reason = told  # type: ignore[attr-defined]  # noqa: SLF001  # how simple_history is told
            alias.save()

    @admin.display(description="models")
    def models_of_it(self, alias: Alias) -> str:
        """Each with its share."""
        return _listed(alias) or "none"


def _listed(alias: Alias) -> str:
    """The models of an alias in a line, with their shares where there are any."""
    return ", ".join(f"{target.model}{_share(target, share)}" for target, share in alias.shares())


def _share(target: AliasTarget, share: float | None) -> str:
    if not target.model.enabled:
        return " (disabled)"
    return "" if share is None else f" {share * 100:.3g} %"
