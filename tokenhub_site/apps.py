"""The site app: it brings the commands that start the server, and the checks of its variables."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Commands and checks of the server itself."""

    name = "tokenhub_site"

    def ready(self) -> None:
        """Register the checks."""
        from tokenhub_site import checks  # noqa: F401, PLC0415
