"""The admin of providers: where they live, which key they get and what differs from the language of their type."""

from typing import Any, cast

from django.contrib import admin
from django.db import models
from django.db.models import Count, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from registry import snapshot
from registry.forms import ProviderEdit, ProviderFields, SecretChoice, hint_of
from registry.models import Model, Provider, ProviderType
from registry.row_admin import RowAdmin


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

    class Media:
        js = ["registry/presets.js"]

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
            "What differs",
            {
                "fields": [
                    "auth_header",
                    "path",
                    "query",
                    "unsupported",
                    "limit_field",
                    "cache_control",
                    "reasoning_back",
                    "endpoints",
                ],
                "description": "Where a service that speaks the language of this type departs from it. All of it is "
                "empty for OpenAI and Anthropic themselves.",
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

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new provider may begin with a preset."""
        if obj is not None:
            return self.fieldsets
        (title, first), *others = self.fieldsets
        return [(title, {**first, "fields": ["preset", *first["fields"]]}), *others]

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
