"""The admin of teams and client keys: a key is shown once, and leads see their own teams only."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from accounts import keys
from accounts.budget_admin import BudgetAdmin, BudgetInline
from accounts.call_admin import CallAdmin, PriceAdmin
from accounts.forms import KeyEdit, KeyFields, Rotation
from accounts.models import LIMITS, ApiKey, Budget, Call, Price, Spend, Team
from accounts.picture import keeper
from accounts.report_admin import SpendAdmin
from accounts.team_admin import OfOwnTeams, sees_all
from registry.forms import MergesEdits
from registry.row_admin import RowAdmin

OPEN_WARNING = (
    "No key is needed: /v1 is open to whoever reaches it. It closes with the first key, or by TOKENHUB_REQUIRE_KEY."
)
_LIMIT_FIELDS: tuple[str, Any] = (
    "Limits",
    {
        "fields": LIMITS,
        "description": "What is empty is not limited. A key is held to its own limits and to its team's.",
    },
)
admin.site.index_template = "accounts/admin_index.html"
admin.site.register(Budget, BudgetAdmin)
admin.site.register(Call, CallAdmin)
admin.site.register(Price, PriceAdmin)
admin.site.register(Spend, SpendAdmin)


@admin.register(Team)
class TeamAdmin(OfOwnTeams):
    """Teams."""

    team_field = ""
    edit_form = MergesEdits
    inlines = [BudgetInline]
    list_display = ["name", "enabled", "number_of_keys", "note"]
    list_editable = ["enabled"]
    search_fields = ["name", "note"]
    filter_horizontal = ["leads"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "enabled", "leads", "note"],
                "description": "Leads need an account of the staff and the permissions to view and change API keys; "
                "they see the rows of their own teams only.",
            },
        ),
        _LIMIT_FIELDS,
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Teams with the number of their keys, without a GROUP BY: PostgreSQL locks no rows of one, to switch them."""
        keys_of_it = ApiKey.objects.filter(team=OuterRef("pk")).order_by().values("team")
        count = Coalesce(Subquery(keys_of_it.annotate(count=Count("pk")).values("count")), 0)
        rows: QuerySet[Any] = super().get_queryset(request).annotate(key_count=count)
        return rows

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Let nobody make themselves a lead but those who manage every team."""
        return [] if sees_all(request) else ["name", "enabled", "leads", *LIMITS]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """A list in which leads edit nothing: what it edits is read-only on their page."""
        listed = super().get_changelist_instance(request)
        if not sees_all(request):
            listed.list_editable = ()
        return listed

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """What can be done with many at once; leads switch no team."""
        found: dict[str, Any] = super().get_actions(request)
        return found if sees_all(request) else {name: found[name] for name in found if name not in RowAdmin.actions}

    def has_change_history_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """For those who manage every team: an old version brings back what is read-only for leads."""
        return sees_all(request) and super().has_change_history_permission(request, obj)

    @admin.display(description="keys", ordering="key_count")
    def number_of_keys(self, team: Any) -> int:
        """How many keys it has, good or not."""
        return int(team.key_count)


@admin.register(ApiKey)
class ApiKeyAdmin(OfOwnTeams):
    """Client keys."""

    form = KeyFields
    edit_form = KeyEdit
    change_form_template = "accounts/apikey_change_form.html"
    inlines = [BudgetInline]
    list_display = ["name", "begins_with", "team", "enabled", "expires_at", "scopes_of_it", "models_of_it"]
    list_editable = ["enabled"]
    list_filter = [("team", admin.RelatedOnlyFieldListFilter), "enabled"]  # of those that somebody may see
    list_select_related = ["team"]
    search_fields = ["name", "public_id", "team__name", "note"]
    readonly_fields = ["begins_with", "created_at", "rotated_at", "old_until"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "team", "enabled", "expires_at", "note"],
                "description": "The key itself is shown once, when it is made. Every worker obeys a change within a "
                "second.",
            },
        ),
        ("What it may use", {"fields": ["scopes", "allowed_models"]}),
        _LIMIT_FIELDS,
        (
            "Prompts and answers",
            {
                "fields": ["log_content"],
                "description": "They are never stored unless this is on, but for answers under an Idempotency-Key. "
                "Then each side of a call is kept sealed, up "
                "to TOKENHUB_CONTENT_MAX_BYTES, and deleted after TOKENHUB_KEEP_CONTENT_DAYS. Only users with the "
                "permission “Reads the prompts and answers that were kept of calls” can read them, and who did is "
                "logged. Switching it off deletes nothing that was kept before.",
            },
        ),
        ("The key", {"fields": ["begins_with", "created_at", "rotated_at", "old_until"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        """Add the address that makes a new secret."""
        rotate = path("<int:pk>/rotate/", self.admin_site.admin_view(self.rotate_view), name="accounts_apikey_rotate")
        return [rotate, *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Let nobody find out a digest, a character at a time, by filters in the address."""
        return not lookup.startswith(("digest", "old_digest")) and super().lookup_allowed(lookup, value, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with a warning while no key is needed."""
        if request.method == "GET" and is_open():
            messages.warning(request, OPEN_WARNING)
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page of a key, with the form that rotates it."""
        more = {**(extra_context or {}), "rotation": Rotation()}
        return super().change_view(request, object_id, form_url, more)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer leads their own teams, of which they have to choose one."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "team" and field is not None and not sees_all(request):
            field.queryset = Team.objects.filter(leads=request.user.pk)
            field.required = True
        return field

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Save; a new key gets its secret."""
        token = "" if change else keys.issue(obj)
        super().save_model(request, obj, form, change)
        request._new_key = token  # type: ignore[attr-defined]  # noqa: SLF001 - for the page that follows

    @sensitive_variables()
    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the new key: in the answer itself, since whatever is stored for a next page is stored somewhere."""
        return self._shown(request, obj, request._new_key)  # type: ignore[attr-defined]  # noqa: SLF001 - as above

    @method_decorator(require_POST)
    @sensitive_variables()
    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give a key a new secret, and show it."""
        form = Rotation(request.POST)
        with transaction.atomic():
            key = get_object_or_404(self.get_queryset(request).select_for_update(of=("self",)), pk=pk)
            if not self.has_change_permission(request, key) or not form.is_valid():
                raise PermissionDenied
            token = keys.rotate(key, overlap=timedelta(hours=form.overlap_hours()))
            key._change_reason = "a new secret"  # noqa: SLF001 - how simple_history is told
            key.save()
        return self._shown(request, key, token)

    @sensitive_variables()
    def _shown(self, request: HttpRequest, key: ApiKey, token: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key of {key.name}",
            "opts": self.opts,
            "key": key,
            "token": token,
        }
        response = TemplateResponse(request, "accounts/key_shown.html", context)
        add_never_cache_headers(response)
        return response

    @admin.display(description="key", ordering="public_id")
    def begins_with(self, key: ApiKey) -> str:
        """What tells it from others, in logs too."""
        return f"{keys.PREFIX}_{key.public_id}_…" if key.public_id else "-"

    @admin.display(description="scopes")
    def scopes_of_it(self, key: ApiKey) -> str:
        """In a line."""
        return ", ".join(key.scopes) or "all"

    @admin.display(description="models")
    def models_of_it(self, key: ApiKey) -> str:
        """In a line."""
        return ", ".join(key.allowed_models) or "all"


def is_open() -> bool:
    """Whether callers need no key, as the database says now."""
    keeper.refresh()
    return not keeper.current().needs_key
