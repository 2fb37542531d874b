"""`/health`, `/health/live` and `/health/ready`: what balancers and orchestrators ask."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from accounts import picture as accounts
from accounts.ledger import ledger
from gateway import drain
from gateway.lineup import is_callable
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
    """Say whether requests may be sent here: 200 `ready` or `degraded` with reasons, 503 `unavailable` with reasons."""
    stopping = "gateway: is stopping" if drain.is_draining() else ""
    found = (
        stopping,
        _spool_fault(),
        _database_fault(),
        _registry_fault(),
        _accounts_fault(),
        *map(_stale, _KEEPERS),
    )
    faults = [fault for fault in found if fault]
    warnings = [] if faults else [fault for fault in map(_warning, _KEEPERS) if fault]
    status = "unavailable" if faults else "degraded" if warnings else "ready"
    notes = [] if faults or accounts.keeper.current().needs_key else [f"accounts: {accounts.OPEN}"]
    body: dict[str, Any] = {"status": status, "reasons": faults + warnings, "notes": notes}
    return JsonResponse(body, status=503 if faults else 200)


def _database_fault() -> str:
    try:
        _pool.run(_ask_database)
    except Error:
        return "database: cannot be reached"
    except KeyProblem as problem:
        return f"vault: {problem}"
    return ""


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


def _warning(name: str) -> str:
    fault = _KEEPERS[name].status().fault
    return f"{name}: {fault}" if fault else ""


def _stale(name: str) -> str:
    age = _KEEPERS[name].status().age_seconds
    return f"{name}: last read {age:.0f} s ago" if age > _STALE_SECONDS else ""
