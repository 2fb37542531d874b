"""The registry app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RegistryConfig(AppConfig):
    """Providers and models, and the picture of them that a worker routes on."""

    name = "registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what needs the models, which exist only from here on."""
        from registry import checks, stamp  # noqa: F401, PLC0415

        post_migrate.connect(stamp.watch.install, sender=self, dispatch_uid="registry.stamp")
