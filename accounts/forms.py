"""The admin's forms of client keys and teams."""

from typing import Any, Final

from django import forms

from accounts.models import ApiKey, Scope
from registry.forms import MergesEdits, NamesField

OVERLAPS: Final = ((0, "at once"), (1, "in an hour"), (24, "in a day"), (168, "in a week"))


class KeyFields(forms.ModelForm[ApiKey]):
    """A key as a browser edits it; its secret is in no form."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="What it may call; none for all.",
    )
    allowed_models = NamesField(
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Ids and aliases that it may use, separated by commas, and no others; none for all.",
    )


class KeyEdit(MergesEdits, KeyFields):
    """A key that exists already."""


class Rotation(forms.Form):
    """When the secret that a key has now is to end."""

    hours = forms.TypedChoiceField(choices=OVERLAPS, coerce=int, label="The old one ends")

    def overlap_hours(self) -> int:
        """Return the hours that both are good; raises where the form is not valid."""
        told: dict[str, Any] = self.cleaned_data
        return int(told["hours"])
