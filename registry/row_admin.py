"""What the admin's lists of rows have in common: edits that merge, switches for many rows, a history of each."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from simple_history.utils import bulk_update_with_history

from registry.forms import MergesEdits, PlainDecimalField


class RowAdmin(SimpleHistoryAdmin):  # type: ignore[misc] # it comes without types
    """What all lists have: edits that merge with those of others, switches for many rows, and a history of each."""

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
        """An old version; to revert is one transaction, as every edit is, by whoever may change the row of now."""
        if request.method == "POST":
            row = self.get_object(request, args[0] if args else kwargs["object_id"])
            if row is None or not self.has_change_history_permission(request, row):
                raise PermissionDenied
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
