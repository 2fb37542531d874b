"""The admin's forms: fields for lists and prices, where a browser may point a provider, and edits that meet."""

import hmac
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.models import model_to_dict

from registry import addresses
from registry.models import CAPABILITIES_RULE, Capability, Model, Provider, ProviderType
from registry.validators import validate_base_url
from vault.crypto import KeyProblem, Unopenable
from vault.models import Secret, SecretMissing


def hint_of(secret: Secret) -> str:
    """What a person may see of a secret, also of one that the ring does not open."""
    try:
        return secret.hint
    except (Unopenable, KeyProblem):
        return "cannot be opened"


class SecretChoice(forms.ModelChoiceField[Secret]):
    """A choice among the vault's secrets, which shows their names and hints and never their values."""

    def label_from_instance(self, obj: Secret) -> str:
        """Name and hint."""
        return f"{obj.name} ({hint_of(obj)})"

    def keep(self, provider: Provider | None) -> None:
        """Leave no choice but the secret that a provider has."""
        self.disabled = True
        # of the row as it is: an old version in the history would bring its secret back
        self.queryset = Secret.objects.filter(providers=provider.pk) if provider else Secret.objects.none()
        self.help_text = "To choose another one you need the permission to view secrets."


class NamesField(forms.CharField):
    """A list of names as one line, separated by commas."""

    def prepare_value(self, value: Any) -> Any:
        """The list as a person writes it."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The list without empty names."""
        if isinstance(value, list):
            return value
        return [name for name in (part.strip() for part in (value or "").split(",")) if name]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare lists, so that spaces make no difference."""
        return bool(self.to_python(initial) != self.to_python(data))


class PlainDecimalField(forms.DecimalField):
    """A decimal without the zeros at its end: 0.00015, not 0.000150000."""

    def prepare_value(self, value: Any) -> Any:
        """The shortest way to write the same number."""
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value


class ProviderFields(forms.ModelForm[Provider]):
    """A provider as a browser edits it. A key goes to a new address only with somebody who knows it."""

    key_again = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "class": "vTextField"}),
        help_text="Only where a key is to be sent to an address other than before: the key itself, once more.",
    )

    def clean(self) -> dict[str, Any]:
        """Refuse to lead a key away."""
        cleaned = super().clean() or self.cleaned_data
        self.check_destination(cleaned)
        return cleaned

    def check_destination(self, cleaned: dict[str, Any]) -> None:
        """Add an error where a key would be sent to an address to which it was not sent before."""
        secret, url = cleaned.get("secret"), cleaned.get("base_url")
        if not secret or not url or self.has_error("key_again"):
            return
        saved = Provider.objects.filter(pk=self.instance.pk, secret=secret).first()
        known = [saved.base_url or ProviderType(saved.type).default_base_url] if saved else []
        known += [kind.default_base_url for kind in ProviderType if kind.needs_key and kind == cleaned.get("type")]
        if _destination(url) in map(_destination, filter(None, known)):
            return
        # as it is, and until the provider is saved: from then on no other variable takes its place
        secret = Secret.objects.select_for_update().filter(pk=secret.pk).first()
        if secret is None or not _is_key_of(secret, cleaned.get("key_again") or ""):
            self.add_error(
                "key_again", "The key would be sent to another address than before: enter it once more to allow that."
            )

    def clean_base_url(self) -> str:
        """Refuse private addresses, unless they were set with a shell or are listed in the settings."""
        url: str = self.cleaned_data["base_url"]
        known = Provider.objects.filter(pk=self.instance.pk).values_list("base_url", "trusted_base_url").first() or ()
        if not url or url in known:
            return url
        validate_base_url(url)
        host, port = addresses.endpoint(url)
        address = addresses.literal(host)
        listed = addresses.is_listed((host, port), settings.TOKENHUB_PRIVATE_UPSTREAMS)
        reason = address and addresses.verdict(address, private_allowed=listed)
        if reason:
            raise ValidationError("%(reason)s.", params={"reason": reason})
        return url


def _destination(url: str) -> tuple[str, str, int]:
    return (urlsplit(url).scheme, *addresses.endpoint(url))


def _is_key_of(secret: Secret, text: str) -> bool:
    try:
        return hmac.compare_digest(secret.resolve().reveal().encode(), text.strip().encode())
    except (SecretMissing, Unopenable, KeyProblem):
        return False


class ModelFields(forms.ModelForm[Model]):
    """A model as a browser edits it."""

    capabilities = forms.MultipleChoiceField(
        choices=Capability.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=CAPABILITIES_RULE,
    )
    aliases = NamesField(
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Further names, separated by commas. Models may share one: the best of them answers.",
    )


class MergesEdits(forms.ModelForm[Any]):
    """
    A form that writes only what its user changed, and refuses to undo what somebody else changed meanwhile.

    The page carries each value as it was when it was opened. Of a field that the user left alone the row's value of now
    is kept; a field that both changed is an error. Needs a transaction, in which the row is locked until it is saved.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            # a program that posts without the values it has seen claims nothing about them
            is_seen = not self.is_bound or self.add_initial_prefix(name) in self.data
            field.show_hidden_initial = is_seen and hasattr(self.instance, name)

    def clean(self) -> dict[str, Any]:
        """Merge with the row as it is now."""
        cleaned = super().clean() or self.cleaned_data
        if not self.has_changed() or self.instance.pk is None:
            return cleaned
        rows = type(self.instance).objects.select_for_update(of=("self",))
        try:
            self.instance.refresh_from_db(from_queryset=rows)
        except type(self.instance).DoesNotExist:
            raise ValidationError("Somebody deleted this meanwhile.") from None
        now = model_to_dict(self.instance, self.fields)
        for name in [name for name, field in self.fields.items() if field.show_hidden_initial and name in cleaned]:
            if name not in self.changed_data:
                cleaned[name] = getattr(self.instance, name)
            elif self._was_changed_by_others(name, now[name]):
                self.add_error(name, f"Somebody else changed this to {self._shown(name)} meanwhile. Reload to go on.")
        return cleaned

    def _shown(self, name: str) -> str:
        value = getattr(self.instance, name)
        return str(value if isinstance(value, Secret | Provider | Model) else self.fields[name].prepare_value(value))

    def _was_changed_by_others(self, name: str, value: Any) -> bool:
        bound = self[name]
        hidden = bound.field.hidden_widget()
        seen = hidden.value_from_datadict(self.data, self.files, bound.html_initial_name)
        return bound.field.has_changed(value, seen) and bound.field.has_changed(value, bound.data)


class ProviderEdit(MergesEdits, ProviderFields):
    """A provider that exists already."""

    def clean(self) -> dict[str, Any]:
        """Merge, and look once more where the key of now would go."""
        cleaned = super().clean()
        self.check_destination(cleaned)
        return cleaned


class ModelEdit(MergesEdits, ModelFields):
    """A model that exists already."""
