"""What holds of cooldowns in whatever order attempts begin, end and overlap."""

from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gateway import errors
from gateway.cooldown import RULES, Cooldowns, Permit
from gateway.errors import ProviderFailure
from registry.board import Board
from registry.snapshot import ModelFacts
from tests.clock import Clock
from tests.gateway.cooling import MODEL, SIBLING, Silent, failure

PROBED = (errors.CredentialsRefused, errors.UnknownThere) * 4  # more often than their share, for what they lead to


class AnyOrder(RuleBasedStateMachine):
    """Attempts on two models of one provider that begin, end and overlap in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.held = Cooldowns(Board(self.clock, Silent()))
        self.open: list[Permit] = []
        self.failed_at: dict[int, float] = {}

    def alive(self) -> Iterator[Permit]:
        """The attempts under way that no timeout has ended."""
        return (permit for permit in self.open if self.clock.now < permit.expires)

    @rule(model=st.sampled_from([MODEL, SIBLING]), probe=st.booleans(), times=st.integers(1, 4))
    def begin(self, model: ModelFacts, probe: bool, times: int) -> None:
        for _ in range(times):
            state = self.held.state(model)
            permit = self.held.begin(model, probe=probe)
            if state is None:
                assert permit
            elif not (probe and state.may_probe):
                assert permit is None
            self.open += [permit] if permit else []

    def take(self, data: st.DataObject) -> Permit:
        """One of the attempts, which ends now."""
        return self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        self.held.succeeded(self.take(data))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), kind=st.sampled_from([*RULES, *PROBED]), asked=st.none() | st.floats(0, 1e5))
    def fail(self, data: st.DataObject, kind: type[ProviderFailure], asked: float | None) -> None:
        permit = self.take(data)
        of_provider = issubclass(kind, (errors.QuotaSpent, errors.CredentialsRefused))
        for model in (MODEL, SIBLING) if of_provider else (permit.model,):
            self.failed_at[model.pk] = self.clock.now
        self.held.failed(permit, failure(kind, asked))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), kind=st.sampled_from([errors.Overflowed, errors.Rejected, None]))
    def blame_nobody(self, data: st.DataObject, kind: type[ProviderFailure] | None) -> None:
        before = {model.pk for model in (MODEL, SIBLING) if self.held.state(model)}
        permit = self.take(data)
        if kind:
            self.held.failed(permit, failure(kind))
        else:
            self.held.released(permit)
        assert {model.pk for model in (MODEL, SIBLING) if self.held.state(model)} <= before

    @rule(seconds=st.sampled_from([0.1, 1, 19, 30, 61, 300, 4000]))
    def sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.held._board.exchange()

    @invariant()
    def one_probe_at_a_time(self) -> None:
        probed = [key for permit in self.alive() for key in permit.probes]
        assert len(probed) == len(set(probed))

    @invariant()
    def nothing_cools_without_a_failure(self) -> None:
        assert all(model.pk in self.failed_at for model in (MODEL, SIBLING) if self.held.state(model))

    @invariant()
    def every_cooldown_ends(self) -> None:
        for state in filter(None, map(self.held.state, (MODEL, SIBLING))):
            assert self.clock.now < state.until <= self.clock.now + 3600

    def teardown(self) -> None:
        self.clock.sleep(3600)
        for model in (MODEL, SIBLING):
            assert self.held.state(model) is None
            permit = self.held.begin(model)
            assert permit
            self.held.succeeded(permit)
            assert self.held.begin(model) and self.held.begin(model)


def test_it_works() -> None:
    run_state_machine_as_test(AnyOrder, settings=settings(max_examples=300, stateful_step_count=40, deadline=None))
