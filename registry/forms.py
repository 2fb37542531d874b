"""The admin's forms: fields for lists and prices, where a browser may point a provider, and edits that meet."""

import hmac
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.models import model_to_dict

from registry import addresses
from registry.models import CAPABILITIES_RULE, Capability, Model, Provider, ProviderType, default_capabilities
from registry.presets import PRESETS, Preset
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

    preset = forms.ChoiceField(
        required=False,
        choices=[("", "none"), *((name, preset.title) for name, preset in PRESETS.items())],
        help_text="A service that is known: fills in those of the fields below that are empty. An address that "
        "only you know is yours to give.",
    )
    unsupported = NamesField(
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=Provider._meta.get_field("unsupported").help_text + " Separated by commas.",  # noqa: SLF001
    )
    endpoints = NamesField(
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text=Provider._meta.get_field("endpoints").help_text + " Separated by commas.",  # noqa: SLF001
    )
    key_again = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "class": "vTextField"}),
        help_text="Only where a key is to be sent to another address, or in another header, than before: the key "
        "itself, once more.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "preset" not in self.fields:
            return
        texts = {name: _texts(preset) for name, preset in PRESETS.items()}
        self.fields["preset"].widget.attrs["data-presets"] = json.dumps(texts)
        chosen = texts.get(self.data.get(self.add_prefix("preset"), ""), {})
        # before anything is validated, so that what a preset says is judged like what a person types
        filled: Any = self.data.copy() if chosen else self.data  # type: ignore[attr-defined]  # of a request, a QueryDict
        for name, text in chosen.items():
            if self._is_empty(name):
                filled[self.add_prefix(name)] = text
        self.data = filled

    def _is_empty(self, name: str) -> bool:
        return self.data.get(self.add_prefix(name), "").strip() in {"", "{}", "[]"}

    def clean(self) -> dict[str, Any]:
        """Refuse to lead a key away."""
        cleaned = super().clean() or self.cleaned_data
        if "base_url" in self.errors:  # or else the row would miss the address that was refused
            self.instance.base_url = self.data.get(self.add_prefix("base_url"), "")
        self.check_destination(cleaned)
        return cleaned

    def check_destination(self, cleaned: dict[str, Any]) -> None:
        """Add an error where calls would go where nobody allowed them to, or a key where it was not sent before.

        Neither a path nor a query leads to another host, so they lead no key away, but they do reach other things at a
        private address. A header that is not meant for keys may be shown to others by the very service that gets it.
        """
        if not {"type", "base_url", "auth_header", "path", "query"} <= cleaned.keys():
            return
        asked = Provider(**{name: cleaned[name] for name in ("type", "base_url", "auth_header", "path", "query")})
        self._check_private(asked)
        secret = cleaned.get("secret")
        if not secret or not _address(asked) or self.has_error("key_again"):
            return
        saved = Provider.objects.filter(pk=self.instance.pk, secret=secret).first()
        known = [saved] if saved else []
        known += [Provider(type=kind) for kind in ProviderType if kind.needs_key and kind == asked.type]
        if _destination(asked) in [_destination(each) for each in known if _address(each)]:
            return
        # as it is, and until the provider is saved: from then on no other variable takes its place
        secret = Secret.objects.select_for_update().filter(pk=secret.pk).first()
        if secret is None or not _is_key_of(secret, cleaned.get("key_again") or ""):
            self.add_error(
                "key_again",
                "The key would be sent to another address, or in another header, than before: enter it once more to "
                "allow that.",
            )

    def _check_private(self, asked: Provider) -> None:
        saved = Provider.objects.filter(pk=self.instance.pk).first()
        known = (saved.target, saved.trusted_base_url) if saved else ()
        if asked.target in known or self.has_error("path"):
            return
        if reason := _private_reason(asked.base_url):
            self.add_error("path", f"{reason}, and only with the path and the query that it says.")

    def clean_query(self) -> dict[str, str]:
        """An empty text is no parameters."""
        return self.cleaned_data["query"] or {}

    def clean_base_url(self) -> str:
        """Refuse private addresses, unless they were set with a shell or are listed in the settings."""
        url: str = self.cleaned_data["base_url"]
        known = Provider.objects.filter(pk=self.instance.pk).values_list("base_url", "trusted_base_url").first() or ()
        if not url or url in [target.partition(" ")[0] for target in known]:  # its path and query are looked at later
            return url
        validate_base_url(url)
        if reason := _private_reason(url):
            raise ValidationError("%(reason)s.", params={"reason": reason})
        return url


def _private_reason(url: str) -> str:
    """Why a browser may not lead calls to a URL; empty where it may, or where only a name server could tell."""
    if not url:
        return ""
    host, port = addresses.endpoint(url)
    address = addresses.literal(host)
    listed = addresses.is_listed((host, port), settings.TOKENHUB_PRIVATE_UPSTREAMS)
    if address is None:
        return ""
    reason = addresses.verdict(address, private_allowed=listed)
    if not reason or addresses.verdict(address, private_allowed=True):
        return reason
    return f"{reason}; the entry for this URL is {addresses.entry(host, port)}, as a host is matched as it is written"


def _texts(preset: Preset) -> dict[str, str]:
    """The fields of a preset as a person would type them."""
    return {name: _text(value) for name, value in preset.fields.items()}


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else value if isinstance(value, str) else json.dumps(value)


def _address(provider: Provider) -> str:
    return provider.base_url or ProviderType(provider.type).default_base_url


def _destination(provider: Provider) -> tuple[str, str, int, str]:
    """Where a key goes: scheme, host and port, and the header that carries it."""
    url = _address(provider)
    return (urlsplit(url).scheme, *addresses.endpoint(url), provider.key_header.lower())


def _is_key_of(secret: Secret, text: str) -> bool:
    try:
        return hmac.compare_digest(secret.resolve().reveal().encode(), text.strip().encode())
    except (SecretMissing, Unopenable, KeyProblem):
        return False


class ModelFields(forms.ModelForm[Model]):
    """A model as a browser edits it."""

    name = forms.CharField(
        label="name at the provider",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Empty: the id.",
    )
    capabilities = forms.MultipleChoiceField(
        initial=default_capabilities,
        choices=Capability.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text=CAPABILITIES_RULE,
    )
    aliases = NamesField(
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Further names, separated by commas. Models may share one: the best of them answers.",
    )

    def clean(self) -> dict[str, Any]:
        """Let a model have the name of its id where none is given, as in a file."""
        cleaned = super().clean() or self.cleaned_data
        if not cleaned.get("name", "-"):
            cleaned["name"] = cleaned.get("public_id", "")
        return cleaned


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
        now |= {name: getattr(self.instance, name, None) for name in self.fields if name not in now}
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

    preset = None  # type: ignore[assignment]  # how Django takes an inherited field away

    def clean(self) -> dict[str, Any]:
        """Merge, and look once more where the key of now would go."""
        cleaned = super().clean()
        self.check_destination(cleaned)
        return cleaned


class ModelEdit(MergesEdits, ModelFields):
    """A model that exists already."""
