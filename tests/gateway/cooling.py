"""What the tests of cooldowns share: two models of one provider, and failures."""

from typing import Any

from gateway import errors
from gateway.errors import ProviderFailure
from tests.facts import model_facts, provider_facts
from vault.crypto import Hidden

PROVIDER = provider_facts(key=Hidden("sk-canary-of-cooling"), total_timeout=20.0)
MODEL = model_facts(pk=1, provider=PROVIDER)
SIBLING = model_facts(pk=2, id="sibling", provider=PROVIDER)


class Silent:
    """A store that nobody else writes to."""

    def swap(self, mine: Any, now: float) -> list[Any]:
        """Take it and say nothing."""
        return []


def failure(kind: type[ProviderFailure], retry_after: float | None = None) -> ProviderFailure:
    """A failure of that kind."""
    if kind is errors.Rejected:
        return errors.Rejected("no", upstream_status=422)
    return kind("no", retry_after=retry_after)
