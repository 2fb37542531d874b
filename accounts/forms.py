"""The admin's forms of client keys and teams."""

from decimal import Decimal
from typing import Any, Final

from django import forms

from accounts.models import MICRO, ApiKey, Budget, Scope
from registry.forms import MergesEdits, NamesField, PlainDecimalField

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


class BudgetFields(forms.ModelForm[Budget]):
    """A budget, whose amount people give in dollars."""

    amount_usd = PlainDecimalField(
        label="US dollars", min_value=Decimal("0.000001"), max_value=Decimal(10**9), decimal_places=6
    )

    class Meta:
        model = Budget
        fields = ["period", "amount_usd", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.amount_micro is not None:
            self.initial["amount_usd"] = self.instance.amount_usd
        # periods of two kinds may start on one day, and have one row of use then
        if self.instance.pk and "period" in self.fields:
            self.fields["period"].disabled = True

    def clean(self) -> dict[str, Any]:
        """Put the amount into the row, which has it in micro-dollars."""
        given = super().clean() or self.cleaned_data
        if "amount_usd" in given:
            self.instance.amount_micro = int(given["amount_usd"] * MICRO)
        return given


class BudgetEdit(MergesEdits, BudgetFields):
    """A budget that exists already."""

    def clean(self) -> dict[str, Any]:
        """Merge, and put the amount into the row of now."""
        merged = super().clean()
        if "amount_usd" in merged:
            self.instance.amount_micro = int(merged["amount_usd"] * MICRO)
        return merged


class Rotation(forms.Form):
    """When the secret that a key has now is to end."""

    hours = forms.TypedChoiceField(choices=OVERLAPS, coerce=int, label="The old one ends")

    def overlap_hours(self) -> int:
        """Return the hours that both are good; raises where the form is not valid."""
        told: dict[str, Any] = self.cleaned_data
        return int(told["hours"])
