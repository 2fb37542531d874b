"""The database that DATABASE_URL names, refused before anything else where it names none that TokenHub runs on."""

import re
from typing import Any, Final

import environ
from django.core.exceptions import ImproperlyConfigured

_SHAPE: Final = re.compile(r"sqlite://(:memory:|/.*)?|(postgres|postgresql|pgsql|psql)://.+")
_REFUSAL: Final = (
    "site.E007: DATABASE_URL names no database that TokenHub runs on. Give sqlite:////path/of/file or"
    " postgres://user:password@host:5432/name; in a password write %25, %2F, %3A and %40 for %, /, : and @."
)


def database(url: str) -> dict[str, Any]:
    """
    Return Django's configuration of a database.

    Raises `ImproperlyConfigured`: no default stands in, since that would be another database. The message never holds
    the URL, of which any part may be the password.
    """
    if not _SHAPE.fullmatch(url):
        raise ImproperlyConfigured(_REFUSAL)
    try:
        configuration: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError:  # a port that is no number
        raise ImproperlyConfigured(_REFUSAL) from None
    if not configuration["NAME"] and "service" not in configuration.get("OPTIONS", {}):
        raise ImproperlyConfigured(_REFUSAL)
    return configuration
