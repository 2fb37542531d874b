"""Who is not to be called after which failure, for how long, and who may find out whether that is over."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from gateway import errors
from gateway.cooldown import RULES, Cooldowns, Permit
from gateway.errors import ProviderFailure
from registry.board import Board
from registry.snapshot import ModelFacts
from tests.clock import Clock
from tests.facts import model_facts, provider_facts
from tests.gateway.cooling import MODEL, PROVIDER, SIBLING, failure
from vault.crypto import Hidden

PASSING = (errors.Unreachable, errors.TimedOut, errors.Broken, errors.Overloaded)
OTHER = model_facts(pk=3, id="other", provider=provider_facts(pk=2, name="other"))


@pytest.fixture
def clock() -> Clock:
    """The time of a test."""
    return Clock()


@pytest.fixture
def held(clock: Clock) -> Cooldowns:
    """Cooldowns by that time."""
    return Cooldowns(Board(clock))


def fail(held: Cooldowns, kind: type[ProviderFailure], model: ModelFacts = MODEL, **more: Any) -> None:
    """Let one attempt fail."""
    permit = held.begin(model, probe=True)
    assert permit
    held.failed(permit, failure(kind, **more))


def cool(held: Cooldowns, kind: type[ProviderFailure], model: ModelFacts = MODEL) -> None:
    """Let attempts fail until the model cools."""
    for _ in range(RULES[kind].after):
        assert held.state(model) is None
        fail(held, kind, model)
    assert held.state(model)


def remaining(held: Cooldowns, clock: Clock, model: ModelFacts = MODEL) -> float:
    """How many seconds a model cools yet."""
    state = held.state(model)
    return state.until - clock.now if state else 0.0


def test_it_works(held: Cooldowns, clock: Clock) -> None:
    permit = held.begin(MODEL)
    assert permit and held.state(MODEL) is None
    held.failed(permit, failure(errors.RateLimited, 7.0))
    state = held.state(MODEL)
    assert state and (state.reason, state.until, state.may_probe) == ("rate_limit", clock.now + 7, False)
    assert held.begin(MODEL) is held.begin(MODEL, probe=True) is None
    assert held.state(SIBLING) is None
    clock.sleep(7)
    assert held.state(MODEL) is None
    assert held.begin(MODEL) and held.begin(MODEL)


@pytest.mark.parametrize("kind", PASSING)
def test_a_passing_failure_counts_when_it_is_the_third_in_a_row(
    kind: type[ProviderFailure], held: Cooldowns, clock: Clock
) -> None:
    fail(held, kind)
    fail(held, kind)
    permit = held.begin(MODEL)
    assert permit
    held.succeeded(permit)
    fail(held, kind)
    fail(held, kind)
    assert held.state(MODEL) is None
    fail(held, kind)
    state = held.state(MODEL)
    assert state and (state.reason, state.until, state.may_probe) == ("failures", clock.now + 30, True)
    assert held.state(SIBLING) is None


WAITS = {
    "a limit says nothing": (errors.RateLimited, None, 5),
    "a limit says how long": (errors.RateLimited, 7, 7),
    "a limit says at once": (errors.RateLimited, 0, 1),
    "a limit says for ever": (errors.RateLimited, 1e9, 3600),
    "a quota": (errors.QuotaSpent, None, 300),
    "a quota that is back sooner": (errors.QuotaSpent, 5, 300),
    "a quota that is back later": (errors.QuotaSpent, 1000, 1000),
    "a quota that is back next month": (errors.QuotaSpent, 1e6, 3600),
    "credentials": (errors.CredentialsRefused, 900, 60),
    "an unknown model": (errors.UnknownThere, 900, 300),
}


@pytest.mark.parametrize(("kind", "asked", "seconds"), WAITS.values(), ids=WAITS)
def test_a_lasting_failure_counts_at_once(
    kind: type[ProviderFailure], asked: float | None, seconds: float, held: Cooldowns, clock: Clock
) -> None:
    fail(held, kind, retry_after=asked)
    assert remaining(held, clock) == pytest.approx(seconds)
    of_provider = kind in {errors.QuotaSpent, errors.CredentialsRefused}
    assert (held.state(SIBLING) is not None) == of_provider
    assert held.state(OTHER) is None


@pytest.mark.parametrize("kind", [errors.Overflowed, errors.Rejected, ProviderFailure])
def test_what_the_caller_did_cools_nothing(kind: type[ProviderFailure], held: Cooldowns) -> None:
    for _ in range(10):
        fail(held, kind)
    assert held.state(MODEL) is None


def test_an_attempt_without_a_verdict_changes_nothing(held: Cooldowns) -> None:
    fail(held, errors.Broken)
    fail(held, errors.Broken)
    permit = held.begin(MODEL)
    assert permit
    held.released(permit)
    assert held.state(MODEL) is None
    fail(held, errors.Broken)
    assert held.state(MODEL)


def test_afterwards_one_probe_at_a_time(held: Cooldowns, clock: Clock) -> None:
    cool(held, errors.TimedOut)
    assert held.begin(MODEL) is None
    clock.sleep(30)
    assert held.state(MODEL) is None
    permit = held.begin(MODEL)
    assert permit
    state = held.state(MODEL)
    assert state and state.reason == "failures" and state.until > clock.now
    assert held.begin(MODEL) is held.begin(MODEL, probe=True) is None
    held.succeeded(permit)
    assert held.state(MODEL) is None
    assert held.begin(MODEL) and held.begin(MODEL)


def test_a_failed_probe_doubles_it_up_to_five_minutes(held: Cooldowns, clock: Clock) -> None:
    cool(held, errors.Overloaded)
    waits = []
    for _ in range(6):
        clock.sleep(remaining(held, clock))
        fail(held, errors.Unreachable)
        waits.append(remaining(held, clock))
    assert waits == [60, 120, 240, 300, 300, 300]
    clock.sleep(300)
    permit = held.begin(MODEL)
    assert permit
    held.succeeded(permit)
    cool(held, errors.Broken)
    assert remaining(held, clock) == 30


@pytest.mark.parametrize("kind", [errors.TimedOut, errors.CredentialsRefused, errors.UnknownThere])
def test_a_probe_may_end_it_early(kind: type[ProviderFailure], held: Cooldowns, clock: Clock) -> None:
    cool(held, kind)
    until = remaining(held, clock)
    clock.sleep(1)
    assert held.begin(MODEL) is None
    permit = held.begin(MODEL, probe=True)
    assert permit and held.begin(MODEL, probe=True) is None
    held.failed(permit, failure(kind))
    assert remaining(held, clock) == until - 1  # however often that happens, it does not grow
    permit = held.begin(MODEL, probe=True)
    assert permit
    held.succeeded(permit)
    assert held.state(MODEL) is None


def test_a_provider_whose_key_is_refused_is_probed_once_a_minute(held: Cooldowns, clock: Clock) -> None:
    cool(held, errors.CredentialsRefused)
    for _ in range(3):
        clock.sleep(59)
        assert held.begin(MODEL) is held.begin(SIBLING) is None
        clock.sleep(1)
        permit = held.begin(SIBLING)
        assert permit and held.begin(MODEL) is None
        held.failed(permit, failure(errors.CredentialsRefused))
        assert remaining(held, clock) == 60


def test_a_lost_probe_frees_its_place(held: Cooldowns, clock: Clock) -> None:
    cool(held, errors.TimedOut)
    clock.sleep(30)
    lost = held.begin(MODEL)
    clock.sleep(19)
    assert held.begin(MODEL) is None
    clock.sleep(1)
    second = held.begin(MODEL)
    assert lost and second
    held.failed(lost, failure(errors.TimedOut))
    held.released(lost)
    assert held.begin(MODEL) is None  # what a lost one reports later is not the second's report
    held.released(second)
    assert held.begin(MODEL)


def test_attempts_from_before_are_no_probes(held: Cooldowns, clock: Clock) -> None:
    early = [held.begin(MODEL) for _ in range(4)]
    cool(held, errors.TimedOut)
    clock.sleep(30)
    probe = held.begin(MODEL)
    assert probe
    first, second, third, _ = (permit for permit in early if permit)
    held.released(first)
    held.failed(second, failure(errors.TimedOut))
    held.succeeded(third)
    assert held.begin(MODEL) is None
    held.failed(probe, failure(errors.TimedOut))
    assert remaining(held, clock) == 60


@pytest.mark.parametrize("kind", [errors.RateLimited, errors.QuotaSpent])
def test_answers_to_earlier_requests_do_not_end_a_limit(kind: type[ProviderFailure], held: Cooldowns) -> None:
    early = held.begin(MODEL)
    fail(held, kind)
    assert early
    held.succeeded(early)
    assert held.state(MODEL)


def test_limits_only_grow_and_do_not_hide_each_other(held: Cooldowns, clock: Clock) -> None:
    first, second, third, fourth = (held.begin(MODEL) for _ in range(4))
    assert first and second and third and fourth
    held.failed(first, failure(errors.RateLimited, 60))
    held.failed(second, failure(errors.RateLimited, 1))
    assert remaining(held, clock) == 60
    held.failed(third, failure(errors.RateLimited, 90))
    held.failed(fourth, failure(errors.UnknownThere))
    state = held.state(MODEL)
    assert state and (state.reason, state.may_probe) == ("rate_limit", False)
    clock.sleep(90)
    state = held.state(MODEL)
    assert state and state.reason == "unknown_model"


EDITS = {
    "a weight": replace(MODEL, weight=1.0),
    "a name": replace(MODEL, name="another"),
    "the key": replace(MODEL, provider=replace(PROVIDER, key=Hidden("sk-another"))),
    "the address": replace(MODEL, provider=replace(PROVIDER, base_url="http://example.com")),
}


@pytest.mark.parametrize("edited", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("kind", [errors.UnknownThere, errors.TimedOut, errors.RateLimited])
def test_an_edited_model_is_free(kind: type[ProviderFailure], edited: ModelFacts, held: Cooldowns) -> None:
    cool(held, kind)
    assert held.state(edited) is None and held.begin(edited)
    assert held.state(replace(MODEL, provider=replace(PROVIDER)))  # read anew, and still the same


@pytest.mark.parametrize("kind", [errors.CredentialsRefused, errors.QuotaSpent])
def test_an_edited_provider_is_free(kind: type[ProviderFailure], held: Cooldowns) -> None:
    cool(held, kind)
    assert held.state(EDITS["a weight"])
    assert held.state(EDITS["the key"]) is held.state(EDITS["the address"]) is None


def test_failures_of_a_row_as_it_was_do_not_count(held: Cooldowns) -> None:
    fail(held, errors.Broken)
    fail(held, errors.Broken)
    fail(held, errors.Broken, EDITS["a name"])
    assert held.state(EDITS["a name"]) is held.state(MODEL) is None


def test_a_person_may_call_what_cools(held: Cooldowns) -> None:
    cool(held, errors.CredentialsRefused)
    held.failed(held.unasked(MODEL), failure(errors.CredentialsRefused))
    assert held.state(MODEL)
    held.succeeded(held.unasked(MODEL))
    assert held.state(MODEL) is None
    fail(held, errors.QuotaSpent)
    held.succeeded(held.unasked(MODEL))  # it was paid for
    assert held.state(MODEL) is None


def test_threads_do_not_share_a_probe(held: Cooldowns, clock: Clock) -> None:
    cool(held, errors.TimedOut)
    clock.sleep(30)
    given: list[Permit | None] = []
    threads = [threading.Thread(target=lambda: given.append(held.begin(MODEL))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([permit for permit in given if permit]) == 1


def test_one_refusal_among_failures_is_no_streak(held: Cooldowns) -> None:
    """A key that may not do one thing is not to be taken for one that may do nothing."""
    for kind in (errors.Broken, errors.Broken, errors.PermissionRefused):
        permit = held.begin(MODEL)
        assert permit
        held.failed(permit, failure(kind))
    assert held.state(MODEL) is None
    for _ in range(2):
        permit = held.begin(MODEL)
        assert permit
        held.failed(permit, failure(errors.PermissionRefused))
    state = held.state(MODEL)
    assert state is not None
    assert state.reason == "permission"
    assert held.state(SIBLING) is None


def test_the_states_of_many_are_those_of_each(held: Cooldowns) -> None:
    other = model_facts(pk=3, id="other", provider=provider_facts(pk=3, name="other"))
    edited = model_facts(pk=4, id="edited", provider=replace(PROVIDER, key=Hidden("sk-another")))
    models = [MODEL, SIBLING, edited, other]
    assert held.states(models) == {}
    for kind, model in ((errors.QuotaSpent, MODEL), (errors.UnknownThere, SIBLING), (errors.RateLimited, MODEL)):
        held.failed(held.unasked(model), failure(kind))
        assert held.states(models) == {each.pk: state for each in models if (state := held.state(each))}
    assert held.states(models).keys() == {MODEL.pk, SIBLING.pk}
