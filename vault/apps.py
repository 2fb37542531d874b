"""The vault app."""

from django.apps import AppConfig


class VaultConfig(AppConfig):
    """Secrets at rest."""

    name = "vault"
    default_auto_field = "django.db.models.BigAutoField"
