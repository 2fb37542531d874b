"""The admin of providers, models and aliases: lists to edit in place, and a history of every change."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from django.contrib import admin, messages
from django.db import models, transaction
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from simple_history.admin import SimpleHistoryAdmin
from simple_history.utils import bulk_update_with_history, update_change_reason

from registry import snapshot
from registry.board import board
from registry.forms import (
    MergesEdits,
    ModelEdit,
    ModelFields,
    PlainDecimalField,
    ProviderEdit,
    ProviderFields,
    SecretChoice,
    hint_of,
)
from registry.models import Alias, AliasTarget, Capability, Model, Provider, ProviderType

REASON_LENGTH = 100  # of the history's column


class RowAdmin(SimpleHistoryAdmin):  # type: ignore[misc] # it comes without types
    """What both lists have: edits that merge with those of others, switches for many rows, and a history of each."""

    edit_form: type[ModelForm[Any]]
    actions = ["enable", "disable"]
    formfield_overrides = {models.DecimalField: {"form_class": PlainDecimalField}}

    class Media:
        css = {"all": ["registry/admin.css"]}

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        """A form that merges for the change page; to revert to an old version is to overwrite on purpose."""
        if change:
            kwargs.setdefault("form", self.edit_form)
        form: type[ModelForm[Any]] = super().get_form(request, obj, change=change, **kwargs)
        return form

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> type[ModelForm[Any]]:
        """The form of a row in the list."""
        form: type[ModelForm[Any]] = super().get_changelist_form(request, form=MergesEdits, **kwargs)
        return form

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; what it changes is one transaction, so that rows stay locked from being compared to being saved."""
        if request.method != "POST":
            return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]
        with transaction.atomic():
            return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]

    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """An old version; to revert to it is one transaction, as every other edit is."""
        with transaction.atomic():
            return super().history_form_view(request, *args, **kwargs)  # type: ignore[no-any-return]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save what was changed; a page saved as it was leaves no mark in the history."""
        if form.has_changed() or not isinstance(form, MergesEdits):
            super().save_model(request, obj, form, change)

    @admin.action(description="Enable the selected %(verbose_name_plural)s", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Switch on."""
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable the selected %(verbose_name_plural)s", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Switch off."""
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], *, enabled: bool) -> None:
        rows = list(queryset.exclude(enabled=enabled).select_for_update(of=("self",)))
        for row in rows:
            row.enabled = enabled
        bulk_update_with_history(rows, self.model, ["enabled"], default_user=request.user)
        word = "enabled" if enabled else "disabled"
        self.message_user(request, f"{len(rows)} {word}.", messages.SUCCESS)


@admin.register(Provider)
class ProviderAdmin(RowAdmin):
    """Services that answer."""

    form = ProviderFields
    edit_form = ProviderEdit
    list_display = ["name", "type", "address", "key", "models_of_it", "enabled"]
    list_editable = ["enabled"]
    list_filter = ["type", "enabled"]
    list_select_related = ["secret"]
    search_fields = ["name", "base_url", "note"]
    readonly_fields = ["key", "dependents"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "type", "base_url", "enabled"],
                "description": "Which service answers and which language it speaks. Only a configuration file or "
                "TOKENHUB_PRIVATE_UPSTREAMS can allow a private address; a browser cannot.",
            },
        ),
        (
            "Key",
            {
                "fields": ["secret", "key", "key_again"],
                "description": "Keys rest in the vault and are chosen here by name; none is ever shown.",
            },
        ),
        (
            "Patience",
            {
                "fields": ["connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"],
                "description": "How long the gateway waits before it moves on to the next model.",
            },
        ),
        (
            "Further",
            {
                "fields": ["extra_headers", "note"],
                "description": "What is sent along with every call, and what the next person should know.",
            },
        ),
        (
            "Models",
            {
                "fields": ["dependents"],
                "description": "While models depend on a provider it cannot be deleted. Disable it, which takes its "
                "models out of routing within a second, or delete the models first.",
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        """Providers with the number of their models, as a subquery, since a grouped row cannot be locked."""
        count = Model.objects.filter(provider=models.OuterRef("pk")).order_by().values("provider")
        counted = models.Subquery(count.annotate(n=Count("*")).values("n"))
        queryset: QuerySet[Provider] = super().get_queryset(request)
        return queryset.annotate(model_count=counted)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        """A form that offers the vault's secrets only to those who may see them there; others keep what is set."""
        form = super().get_form(request, obj, change, **kwargs)
        if "secret" in form.base_fields and not _may_see_secrets(request):
            cast(SecretChoice, form.base_fields["secret"]).keep(obj)
        return form

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Secrets with their hints."""
        if db_field.name == "secret":
            kwargs["form_class"] = SecretChoice
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="address", ordering="base_url")
    def address(self, provider: Provider) -> str:
        """Where it lives, also if the type says so and not the row."""
        return provider.base_url or ProviderType(provider.type).default_base_url or "-"

    @admin.display(description="key in use")
    def key(self, provider: Provider) -> str:
        """The hint of the key, or why there is none."""
        if not provider.type:
            return "-"
        _, problem = snapshot.key_of(provider)
        if problem:
            return format_html('<span class="problem">{}</span>', problem)
        return hint_of(provider.secret) if provider.secret else "none needed"

    @admin.display(description="models", ordering="model_count")
    def models_of_it(self, provider: Any) -> str:
        """How many models depend on it, leading to their list."""
        url = reverse("admin:registry_model_changelist", query={"provider__id__exact": provider.pk})
        return format_html('<a href="{}">{}</a>', url, provider.model_count or 0)

    @admin.display(description="models that depend on it")
    def dependents(self, provider: Provider) -> str:
        """Links to the models that depend on it."""
        links = format_html_join(
            ", ",
            '<a href="{}">{}</a>',
            ((reverse("admin:registry_model_change", args=[model.pk]), model) for model in provider.models.all()),
        )
        return links or "none"


def _may_see_secrets(request: HttpRequest) -> bool:
    return any(request.user.has_perm(f"vault.{act}_secret") for act in ("view", "change"))  # as the vault's own pages


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
        "context_size",
        "enabled",
        "cooling",
        "test",
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
                "fields": ["input_per_1k", "output_per_1k", "cache_read_per_1k", "cache_write_per_1k"],
                "description": "US dollars for 1,000 tokens, for budgets and reports. What is empty costs what "
                "“cost per 1k” says, and cached input what input costs.",
            },
        ),
        (
            "Abilities",
            {
                "fields": ["context_size", "max_output_tokens", "capabilities"],
                "description": "A request that does not fit here goes to another model.",
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
        with suppress(snapshot.SnapshotUnavailable):
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
