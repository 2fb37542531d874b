"""The registry's system checks: what is wrong with the database or the settings is said at the start."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's names
from django.db import DEFAULT_DB_ALIAS, connection
from django.db import Error as DatabaseFault

from registry import addresses, stamp
from registry.models import CAPABILITIES_RULE, Model


@register()
def check_vendor(**_: Any) -> list[CheckMessage]:
    """Refuse databases for which there are no triggers: a worker would never notice a change."""
    if connection.vendor in stamp.VENDORS:
        return []
    return [
        Error(
            f"TokenHub does not run on {connection.display_name}.",
            hint="Set DATABASE_URL to sqlite:///… or postgres://….",
            id="registry.E001",
        )
    ]


@register()
def check_private_upstreams(**_: Any) -> list[CheckMessage]:
    """Refuse entries of TOKENHUB_PRIVATE_UPSTREAMS that can never match or never be called."""
    found: list[CheckMessage] = []
    for entry in settings.TOKENHUB_PRIVATE_UPSTREAMS:
        try:
            host, _port = addresses.parse_endpoint(entry)
        except ValueError as error:
            hint = "Give host:port, such as localhost:8000 or [fd00::1]:8000, separated by commas."
            found.append(Error(f"TOKENHUB_PRIVATE_UPSTREAMS: {entry!r}: {error}.", hint=hint, id="registry.E002"))
            continue
        address = addresses.literal(host)
        if address and addresses.is_forbidden(address):
            reason = addresses.verdict(address, private_allowed=True)
            hint = "Remove it: metadata services and reserved addresses are no providers."
            found.append(Error(f"TOKENHUB_PRIVATE_UPSTREAMS: {reason}.", hint=hint, id="registry.E003"))
    return found


@register(Tags.database)
def check_rows(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Warn of a database with nothing to route to, changes that go unnoticed, or models that no stream reaches."""
    if DEFAULT_DB_ALIAS not in (databases or ()) or connection.vendor not in stamp.VENDORS:
        return []
    try:
        if not stamp.watch.tables_exist():  # not migrated yet, which `migrate` itself is about to change
            return []
        missing, empty = stamp.watch.missing_triggers(), not Model.objects.exists()
        unsaid = list(Model.objects.streaming_unsaid().values_list("public_id", flat=True))
    except DatabaseFault:  # an outage is no misconfiguration; readiness tells it
        return []
    found: list[CheckMessage] = []
    if missing:
        text = f"The database lacks the triggers {', '.join(sorted(missing))}: workers would not notice changes."
        found.append(Warning(text, hint="Run `migrate`, which makes them.", id="registry.W002"))
    if empty:
        hint = "Add one in the admin, or load a configuration file with `loadconfig`."
        found.append(Warning("There is no model yet, so every request will be refused.", hint=hint, id="registry.W001"))
    if unsaid:
        text = f"Models that name tools, vision or json, but not streaming: {', '.join(unsaid)}."
        found.append(Warning(text, hint=CAPABILITIES_RULE, id="registry.W003"))
    return found
