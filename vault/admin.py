"""The admin of secrets: keys go in and never come out."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.views.debug import SafeExceptionReporterFilter
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from simple_history.admin import SimpleHistoryAdmin

from vault.crypto import KeyProblem, Unopenable
from vault.models import Secret, validate_key, validate_variable


class SecretForm(forms.ModelForm[Secret]):
    """A key to store or the name of a variable; what is stored is never shown, and kept where both are left empty."""

    key = forms.CharField(
        required=False,
        max_length=4096,
        validators=[validate_key],
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
        help_text="It is sealed and never shown again. Leave it empty to keep the stored one.",
    )

    class Meta:
        model = Secret
        fields = ["name", "note", "env_name"]
        help_texts = {"env_name": "Instead of a key: where the gateway reads it whenever it is used: OPENAI_API_KEY."}

    def clean_env_name(self) -> str:
        """Judge the name before it is put into the row."""
        name = str(self.cleaned_data["env_name"])
        if name:
            validate_variable(name)
        return name

    def clean(self) -> dict[str, Any]:
        """Put the key or the variable into the row, which has either."""
        given = super().clean() or self.cleaned_data
        if self.errors:
            return given
        if given["key"] and given["env_name"]:
            raise ValidationError("Give either a key or an environment variable, not both.")
        if given["key"]:
            self.instance.store(given["key"])
        elif given["env_name"] and "env_name" in self.changed_data:
            self._refer(given["env_name"])
        elif not given["env_name"] and not self.instance.is_stored:
            raise ValidationError("Give a key, or the name of the environment variable that holds it.")
        return given

    def _refer(self, env_name: str) -> None:
        """Read this variable, unless that would send it where whoever chose the secret meant another key to go."""
        if self.instance.is_used:
            self.add_error(
                "env_name", "A provider uses this secret: add another for this variable, and choose it there."
            )
        else:
            self.instance.refer(env_name)


class _HidesAlways(SafeExceptionReporterFilter):
    """Hides on error pages what Django hides on those of a production server only."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True


def _telling_nothing(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view with error pages that tell nothing of what was typed."""

    @wraps(view)
    def quiet(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        request.exception_reporter_filter = _HidesAlways()  # Django looks for it there
        return view(request, *args, **kwargs)

    return sensitive_post_parameters()(sensitive_variables()(quiet))


@admin.register(Secret)
class SecretAdmin(SimpleHistoryAdmin):  # type: ignore[misc] # it comes without types
    """Names, hints and histories of secrets."""

    form = SecretForm
    list_display = ["name", "shown", "set_at", "key_id", "note"]
    search_fields = ["name", "note", "env_name"]
    readonly_fields = ["shown", "set_at", "key_id"]
    history_list_display = ["new_key", "set_at"]
    fieldsets = [
        (None, {"fields": ["name", "note"]}),
        (
            "Key",
            {
                "fields": ["key", "env_name", "shown", "set_at", "key_id"],
                "description": "Providers are given this key by the secret's name. Store it here, sealed, or name the "
                "environment variable that holds it. A new key is in use within a second.",
            },
        ),
    ]

    def get_urls(self) -> list[URLPattern]:
        """Keep what was typed out of errors from the outside in: even to look for the session may fail."""
        patterns = cast(list[URLPattern], super().get_urls())
        for pattern in patterns:
            pattern.callback = _telling_nothing(pattern.callback)
        return patterns

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """An old version, to be read: there is no way back to it, since its key is gone."""
        if request.method == "POST":
            raise PermissionDenied
        return cast(HttpResponse, super().history_form_view(request, object_id, version_id, extra_context))

    def revert_disabled(self, request: HttpRequest, obj: Secret | None = None) -> bool:
        """Offer no button for it."""
        return True

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Secret | None:
        """Lock a secret that is about to be changed: two edits at once would leave it with a key and a variable."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return cast(Secret | None, found)
        return Secret.objects.select_for_update().filter(pk=found.pk).first()

    def save_model(self, request: HttpRequest, obj: Secret, form: Any, change: bool) -> None:
        """Save what was changed; a page saved as it was leaves no mark in the history."""
        if form.has_changed():
            super().save_model(request, obj, form, change)

    def new_key(self, version: Any) -> str:
        """Whether a version in the history brought another key or variable."""
        earlier = version.prev_record
        return "yes" if earlier is None or earlier.set_at != version.set_at else "no"

    @admin.display(description="holds")
    def shown(self, secret: Secret) -> str:
        """What may be seen of it; old versions in the history have no key of their own."""
        if hasattr(secret, "_history"):
            return f"env:{secret.env_name}" if secret.env_name else "a key that is not kept"
        try:
            return secret.hint if secret.is_stored or secret.env_name else "-"
        except (KeyProblem, Unopenable) as reason:
            return f"cannot be opened: {reason}"

    @admin.display(description="sealed under key")
    def key_id(self, secret: Secret) -> str:
        """The key of the ring that it rests under."""
        return "-" if hasattr(secret, "_history") else secret.key_id or "-"
