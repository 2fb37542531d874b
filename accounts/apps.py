"""The accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Client keys, limits, budgets and the ledger."""

    name = "accounts"
