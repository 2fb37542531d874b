"""The vault app."""

from django.apps import AppConfig


class VaultConfig(AppConfig):
    """Secrets at rest."""

    name = "vault"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, which need the models."""
        from vault import checks  # noqa: F401, PLC0415
