"""The accounts app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save


class AccountsConfig(AppConfig):
    """Client keys, limits, budgets and the ledger."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what needs the models, which exist only from here on."""
        from accounts import budget_warnings, picture  # noqa: PLC0415
        from accounts.models import Budget  # noqa: PLC0415

        post_migrate.connect(picture.watch.install, sender=self, dispatch_uid="accounts.stamp")
        post_save.connect(budget_warnings.edited, sender=Budget, dispatch_uid="accounts.budget_warnings")
