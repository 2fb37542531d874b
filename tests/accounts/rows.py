"""Keys and teams for tests."""

from typing import Any

from accounts import keys
from accounts.models import ApiKey, Team


def a_team(name: str = "search", **fields: Any) -> Team:
    """A team."""
    return Team.objects.create(name=name, **fields)


def a_key(name: str = "app", **fields: Any) -> tuple[ApiKey, str]:
    """A key's row, and the key as its holder has it."""
    row = ApiKey(name=name, **fields)
    token = keys.issue(row)
    row.save()
    return row, token
