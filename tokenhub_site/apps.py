"""The site app: it brings the commands that start the server."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Commands of the server itself."""

    name = "tokenhub_site"
