"""The immutable picture of client keys and teams that a worker serves by, and the keeper that swaps it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from django.conf import settings

from accounts.facts import BudgetFacts, KeyFacts, Limits, TeamFacts
from accounts.models import LIMITS, AccountsStamp, ApiKey, Budget, Pepper, Team
from registry.keeper import Keeps
from registry.stamp import Watch
from vault.crypto import KeyProblem, Unopenable

OPEN: Final = "no key is needed, so /v1 is open to whoever reaches it"

logger = logging.getLogger(__name__)
watch: Final = Watch(AccountsStamp, (Team, ApiKey, Budget, Pepper))

_Budgets = Mapping[tuple[str, int], tuple[BudgetFacts, ...]]
_OF_TEAM: Final = ("pk", "name", "enabled", *LIMITS)
_OF_KEY: Final = (
    *("pk", "public_id", "name", "digest", "old_digest", "old_until"),
    *("team_id", "scopes", "allowed_models", "expires_at", "enabled", "log_content", *LIMITS),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """All keys by their public ids, as they were when the stamp read `version`."""

    version: int
    keys: Mapping[str, KeyFacts] = field(default_factory=dict, hash=False)
    pepper: bytes | None = field(default=None, repr=False)
    """None where there is none yet, or where it cannot be opened."""
    has_keys: bool = False
    """Whether there is any row, be it good for anything or not."""

    @property
    def needs_key(self) -> bool:
        """Whether a caller must show a key: as the settings say, by default from the first key on."""
        required = settings.TOKENHUB_REQUIRE_KEY
        return self.has_keys if required == "auto" else bool(required == "true")


def read_picture(old: Picture | None = None) -> tuple[Picture, tuple[str, ...]]:
    """The picture, and a text for each row that cannot be read, in five queries; such a key opens nothing.

    Rows are read as tuples, so that ten thousand keys take a moment and not a second of a worker's time. Raises
    django.db.Error and StampMissing.
    """
    version = watch.version()
    faults: list[str] = []
    budgets = _budgets()
    teams = {row[0]: _team(row, budgets) for row in Team.objects.values_list(*_OF_TEAM)}
    keys: dict[str, KeyFacts] = {}
    has_keys = False
    for row in ApiKey.objects.values_list(*_OF_KEY):
        has_keys = True
        try:
            facts = _key(row, teams, budgets)
            keys[facts.public_id] = facts
        except (TypeError, ValueError, KeyError) as error:
            faults.append(f"key {row[1]}: {error}")
    pepper, fault = _pepper()
    return Picture(version, MappingProxyType(keys), pepper, has_keys), (*faults, *fault)


def _pepper() -> tuple[bytes | None, tuple[str, ...]]:
    row = Pepper.objects.first()
    try:
        return (row.octets if row else None), ()
    except (KeyProblem, Unopenable, ValueError) as reason:
        return None, (f"the pepper of the client keys: {reason}",)


def _budgets() -> _Budgets:
    """Return the budgets by their owners: the field of the row and its primary key."""
    found: dict[tuple[str, int], tuple[BudgetFacts, ...]] = {}
    names = ("pk", "key", "team", "key__name", "team__name", "period", "amount_micro")
    for pk, key, team, key_name, team_name, period, amount in Budget.objects.filter(enabled=True).values_list(*names):
        owner, told = (("key", key), f"key {key_name!r}") if team is None else (("team", team), f"team {team_name!r}")
        found[owner] = (*found.get(owner, ()), BudgetFacts(pk, told, period, amount))
    return found


def _team(row: tuple[Any, ...], budgets: _Budgets) -> TeamFacts:
    pk, name, enabled, *limits = row
    return TeamFacts(pk, name, bool(enabled), Limits(*limits), budgets.get(("team", pk), ()))


def _key(row: tuple[Any, ...], teams: Mapping[int, TeamFacts], budgets: _Budgets) -> KeyFacts:
    pk, public_id, name, digest, old_digest, old_until, team, scopes, models, expires_at, enabled, logs, *limits = row
    return KeyFacts(
        pk=pk,
        public_id=public_id,
        name=name,
        digest=digest,
        old_digest=old_digest,
        old_until=_seconds(old_until) or 0.0,
        team=None if team is None else teams[team],
        scopes=_names(scopes),
        models=_names(models),
        expires_at=_seconds(expires_at),
        enabled=bool(enabled),
        limits=Limits(*limits),
        own_budgets=budgets.get(("key", pk), ()),
        log_content=bool(logs),
    )


def _names(listed: Any) -> frozenset[str]:
    """Return a list of texts as a set; anything else must not pass for "no restriction"."""
    if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
        message = "a list of names is none"
        raise ValueError(message)
    return frozenset(listed)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


class Keeper(Keeps[Picture]):
    """Holds the picture of the keys."""

    def __init__(self) -> None:
        super().__init__("accounts", watch.version, read_picture)
        self._was_open = False

    def _swap(self, picture: Picture, faults: tuple[str, ...]) -> None:
        super()._swap(picture, faults)
        is_open = not picture.needs_key
        if is_open and not self._was_open:
            logger.warning(OPEN)
        elif self._was_open and not is_open:
            logger.warning("callers of /v1 need a key from now on")
        self._was_open = is_open


keeper = Keeper()
