"""`/health`, `/health/live` and `/health/ready`: what balancers and orchestrators ask."""

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from accounts import picture as accounts
from accounts.ledger import ledger
from gateway import drain
from gateway.lineup import is_callable
from gateway.throttling import throttle
from registry import threads
from registry.keeper import Keeps, SnapshotUnavailable
from registry.snapshot import keeper
from vault import keycheck
from vault.crypto import KeyProblem
from vault.ring import get_ring

_STALE_SECONDS = 10.0
# of its own, so that no busy page of the admin makes a gateway look unready
_pool: Final = threads.Pool(1, statement=2.0, total=4.0)
_KEEPERS: Final[Mapping[str, Keeps[Any]]] = {"registry": keeper, "accounts": accounts.keeper}


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Say that the process answers."""
    return JsonResponse({"status": "healthy"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether requests may be sent here: 200 `ready` or `degraded` with reasons, 503 `unavailable` with reasons.

    With `?exclude=database` a database that is away is no reason to send none: it is away for all gateways, and what
    took them all out would keep from known callers what each of them could still serve.
    """
    stopping = "gateway: is stopping" if drain.is_draining() else ""
    away, misfit = _database_faults()
    of_database = [away, *map(_stale, _KEEPERS)]
    # also when it has just come back, and the pictures are not yet read anew
    is_excused = any(of_database) and "database" in request.GET.getlist("exclude")
    own = [stopping, _spool_fault(), misfit, *([] if is_excused else of_database), _registry_fault(), _accounts_fault()]
    faults = list(filter(None, own))
    degrading = [*(of_database if is_excused else []), *map(_warning, _KEEPERS), _limits_warning()]
    warnings = [] if faults else list(filter(None, degrading))
    status = "unavailable" if faults else "degraded" if warnings else "ready"
    notes = [] if faults or accounts.keeper.current().needs_key else [f"accounts: {accounts.OPEN}"]
    body: dict[str, Any] = {"status": status, "reasons": faults + warnings, "notes": notes}
    return JsonResponse(body, status=503 if faults else 200)


def _database_faults() -> tuple[str, str]:
    """Return why the database cannot be used, and why this gateway does not fit it; empty where all is well."""
    try:
        _pool.run(_ask_database)
    except Error:
        return "database: cannot be reached", ""
    except KeyProblem as problem:
        return "", f"vault: {problem}"
    return "", ""


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    keycheck.verify(get_ring())


def _registry_fault() -> str:
    try:
        snapshot = keeper.current()
    except SnapshotUnavailable:
        return "registry: cannot be read"
    return "" if any(is_callable(model) for model in snapshot.models) else "registry: no model can be called"


def _spool_fault() -> str:
    spool = ledger.spool
    dropped = f", and {spool.dropped} are lost" if spool.dropped else ""
    return f"ledger: calls cannot be written down: {spool.fault}{dropped}" if spool.fault else ""


def _accounts_fault() -> str:
    try:
        accounts.keeper.current()
    except SnapshotUnavailable:
        return "accounts: cannot be read"
    return ""


def _limits_warning() -> str:
    door = settings.TOKENHUB_LIMITS_WHEN_AWAY
    return f"limits: cannot be checked, and the door is {door}" if throttle.is_away else ""


def _warning(name: str) -> str:
    fault = _KEEPERS[name].status().fault
    return f"{name}: {fault}" if fault else ""


def _stale(name: str) -> str:
    age = _KEEPERS[name].status().age_seconds
    return f"{name}: last read {age:.0f} s ago" if age > _STALE_SECONDS else ""
