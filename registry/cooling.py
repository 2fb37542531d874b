"""Which models and providers are not to be called for now, in the table through which workers tell each other."""

from django.db import models


class Reason(models.TextChoices):
    """Why a model is not to be called now."""

    RATE_LIMIT = "rate_limit", "rate limit"
    QUOTA = "quota", "quota spent"
    CREDENTIALS = "credentials", "credentials refused"
    PERMISSION = "permission", "not permitted"
    UNKNOWN_MODEL = "unknown_model", "unknown there"
    FAILURES = "failures", "failures in a row"

    @property
    def of_provider(self) -> bool:
        """Whether all models of the provider are concerned, not one model."""
        return self in {Reason.QUOTA, Reason.CREDENTIALS}


class CoolingRow(models.Model):
    """The last that any worker said of one reason and one model or provider. Times are unix seconds."""

    reason = models.CharField(max_length=16, choices=Reason.choices)
    subject = models.BigIntegerField(help_text="The primary key of the provider or the model, as the reason has it.")
    fingerprint = models.CharField(max_length=32, help_text="Of the rows as they were: edited ones are free at once.")
    since = models.FloatField(help_text="When it was said; the last word counts.")
    until = models.FloatField()
    seconds = models.FloatField(help_text="How long it was to last; a failed probe doubles it.")
    ended = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reason", "subject"], name="cooling_is_said_once")]

    def __str__(self) -> str:
        return f"{self.reason} {self.subject}"
