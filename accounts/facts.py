"""What a worker knows of keys and teams while it serves: frozen, and read from memory."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key or a team may do; None where there is no limit. Money is micro-dollars."""

    rpm: int | None = None
    """Requests in any 60 seconds."""
    tpm: int | None = None
    """Tokens, of prompts and answers, in any 60 seconds."""
    concurrent: int | None = None
    """Requests at the same time."""
    max_tokens: int | None = None
    """Tokens of one answer."""
    max_cost_micro: int | None = None
    """What one request may cost at worst."""


@dataclass(frozen=True, slots=True)
class BudgetFacts:
    """What may be spent in a period, in micro-dollars; `owner` says whose it is, for people."""

    pk: int
    owner: str
    period: str
    amount_micro: int


@dataclass(frozen=True, slots=True)
class TeamFacts:
    """A team."""

    pk: int
    name: str
    enabled: bool
    limits: Limits
    budgets: tuple[BudgetFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """A client key. Times are unix seconds; `digest` and `old_digest` are what `accounts.keys.digest` makes."""

    pk: int
    public_id: str
    name: str
    digest: str
    old_digest: str
    """Of the secret before the last rotation, good until `old_until`; empty where there is none."""
    old_until: float
    team: TeamFacts | None
    scopes: frozenset[str]
    """Endpoints that it may call; empty for all."""
    models: frozenset[str]
    """Ids and aliases of the models that it may use; empty for all."""
    expires_at: float | None
    enabled: bool
    limits: Limits
    own_budgets: tuple[BudgetFacts, ...] = ()
    log_content: bool = False
    """Whether what its callers send and are told is kept."""

    @property
    def budgets(self) -> tuple[BudgetFacts, ...]:
        """All that its calls are charged to: its own and its team's."""
        return self.own_budgets + (self.team.budgets if self.team else ())

    def least(self, name: str) -> int | None:
        """Return the smaller of the limits of this name, its own and its team's; None where neither has one."""
        told = (getattr(limits, name) for limits in (self.limits, self.team.limits if self.team else Limits()))
        return min((limit for limit in told if limit is not None), default=None)
