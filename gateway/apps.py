"""The gateway app."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """The API: what happens to a request."""

    name = "gateway"
