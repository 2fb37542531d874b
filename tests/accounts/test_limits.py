"""Limits are exact in any minute, whoever counts: a table or Redis, for one subject or several."""

import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from accounts import limit_stores
from accounts.facts import Limits
from accounts.limit_stores import RedisStore, Store, TableStore, _Step
from accounts.limits import CONCURRENT, REQUESTS, TOKENS, Subject, Window, decide

pytestmark = pytest.mark.django_db


def a_subject(name: str = "key:1", **limits: int) -> Subject:
    """Somebody with these limits."""
    return Subject(name, name, Limits(**limits))


def test_it_works() -> None:
    subject, window = a_subject(rpm=2), Window()
    first, second, third = (decide([subject], [window], f"r{n}", 10, now=100.0 + n) for n in range(3))
    assert (first.refused_by, second.refused_by) == (None, None)
    assert (first.rooms[REQUESTS].left, second.rooms[REQUESTS].left) == (1, 0)
    assert (third.refused_by, third.kind, third.retry_after) == (subject, REQUESTS, 59.0)
    assert decide([subject], [window], "r3", 10, now=161.0).refused_by is None


MOMENTS = st.lists(st.floats(0, 300), min_size=1, max_size=200).map(sorted)


@given(MOMENTS, st.integers(1, 20))
def test_no_minute_has_more_than_the_limit(moments: list[float], rpm: int) -> None:
    subject, window = a_subject(rpm=rpm), Window()
    admitted = [at for at in moments if decide([subject], [window], str(at), 0, now=at).refused_by is None]
    for start in admitted:
        assert sum(start <= at < start + 60 for at in admitted) <= rpm


@given(MOMENTS, st.lists(st.integers(0, 50), min_size=200, max_size=200))
def test_no_minute_has_more_tokens_than_the_limit(moments: list[float], tokens: list[int]) -> None:
    subject, window = a_subject(tpm=100), Window()
    pairs = zip(moments, tokens, strict=False)
    admitted = [pair for pair in pairs if not decide([subject], [window], "r", pair[1], now=pair[0]).refused_by]
    for start, _ in admitted:
        assert sum(used for at, used in admitted if start <= at < start + 60) <= 100


@given(MOMENTS, st.integers(1, 5))
def test_who_waits_as_long_as_told_is_admitted(moments: list[float], rpm: int) -> None:
    subject, window = a_subject(rpm=rpm), Window()
    for at in moments:
        verdict = decide([subject], [window], str(at), 0, now=at)
        if verdict.refused_by:
            later = Window(window.state())
            assert decide([subject], [later], "later", 0, now=at + verdict.retry_after).refused_by is None


def test_a_state_is_the_same_after_it_was_written() -> None:
    window = Window()
    decide([a_subject(rpm=5, concurrent=5)], [window], "r1", 10, now=100.5)
    assert Window(window.state()).state() == window.state() == {"used": {"100": [1, 10]}, "held": {"r1": 190.5}}


@pytest.fixture(params=["table", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Each place that workers count in."""
    if request.param == "table":
        yield TableStore()
        return
    url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
    prefix = f"tokenhub:test:{secrets.token_hex(6)}:"
    yield RedisStore(url, prefix=prefix)
    with Redis.from_url(url) as client:
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


def outcome(verdict: Any) -> tuple[str, str]:
    """Who refused, and why."""
    return (verdict.refused_by.name if verdict.refused_by else "", verdict.kind)


def test_requests_are_counted(store: Store) -> None:
    subject = a_subject(rpm=3, tpm=1000)
    verdicts = [store.admit([subject], f"r{number}", 100) for number in range(5)]
    assert [outcome(verdict) for verdict in verdicts] == [("", "")] * 3 + [("key:1", REQUESTS)] * 2
    assert [verdict.rooms[REQUESTS].left for verdict in verdicts] == [2, 1, 0, 0, 0]
    assert [verdict.rooms[TOKENS].left for verdict in verdicts] == [900, 800, 700, 700, 700]
    assert all(50 < verdict.retry_after <= 61 for verdict in verdicts[3:])
    assert all(50 < verdict.rooms[REQUESTS].reset <= 61 for verdict in verdicts)


def test_tokens_are_counted_and_set_right_at_the_end(store: Store) -> None:
    subject = a_subject(tpm=100)
    first = store.admit([subject], "r1", 90)
    assert outcome(store.admit([subject], "r2", 20)) == ("key:1", TOKENS)
    store.end(["key:1"], "r1", -60, first.second)
    assert store.admit([subject], "r3", 20).rooms[TOKENS].left == 50
    store.end(["key:1"], "r3", 10_000, first.second)
    assert outcome(store.admit([subject], "r4", 1)) == ("key:1", TOKENS)
    assert outcome(store.admit([a_subject("key:2", tpm=10)], "r5", 11)) == ("key:2", TOKENS)


def test_those_under_way_are_counted(store: Store) -> None:
    subject = a_subject(concurrent=2)
    assert [outcome(store.admit([subject], f"r{n}", 0)) for n in range(3)] == [
        ("", ""),
        ("", ""),
        ("key:1", CONCURRENT),
    ]
    store.renew({"r0": ["key:1"], "gone": ["key:1"]})
    store.end(["key:1"], "r0", 0, 0)
    assert outcome(store.admit([subject], "r4", 0)) == ("", "")
    assert outcome(store.admit([subject], "r5", 0)) == ("key:1", CONCURRENT)


def test_a_request_is_counted_for_all_or_for_none(store: Store) -> None:
    key, team = a_subject("key:1", rpm=5), a_subject("team:1", rpm=1)
    assert outcome(store.admit([key, team], "r1", 0)) == ("", "")
    refused = store.admit([key, team], "r2", 0)
    assert outcome(refused) == ("team:1", REQUESTS)
    assert store.admit([key], "r3", 0).rooms[REQUESTS].left == 3
    assert store.admit([key, a_subject("team:2", rpm=9)], "r4", 0).rooms[REQUESTS].limit == 5  # the narrower one


def test_one_without_limits_is_admitted(store: Store) -> None:
    verdict = store.admit([a_subject()], "r1", 5)
    assert (outcome(verdict), verdict.rooms) == (("", ""), {})


def test_tokens_of_an_answer_that_took_longer_than_the_window_count_at_its_end(store: Store) -> None:
    subject = a_subject(tpm=100)
    first = store.admit([subject], "r1", 10)
    store.end(["key:1"], "r1", 60, first.second - 100)
    assert store.admit([subject], "r2", 10).rooms[TOKENS].left == 20
    store.end(["key:1"], "r2", -10, first.second - 100)
    assert store.admit([subject], "r3", 0).rooms[TOKENS].left == 20


def test_what_has_come_together_is_one_transaction(django_assert_num_queries: Any) -> None:
    store, subject = TableStore(), a_subject(rpm=3)
    store.admit([subject], "r0", 0)

    def step(number: int) -> _Step[Any]:
        return _Step(["key:1"], lambda windows, now: decide([subject], windows, f"r{number}", 0, now=now))

    waiting = [step(number) for number in range(20)]
    store._waiting.extend(waiting)
    with django_assert_num_queries(5):  # a savepoint and its end, who is known, their rows, one change
        store._work()
    refused = [outcome(each.outcome)[1] for each in waiting]
    assert refused == ["", ""] + [REQUESTS] * 18


def test_a_database_that_is_away_is_told_to_all_who_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(names: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(limit_stores, "_locked", away)
    store = TableStore()
    with pytest.raises(OperationalError, match="away"):
        store.admit([a_subject(rpm=3)], "r0", 0)
    with pytest.raises(OperationalError, match="away"):
        store.end(["key:1"], "r0", 0, 0)


def test_all_that_are_under_way_are_renewed_at_once(store: Store) -> None:
    subject, other = a_subject(concurrent=3), a_subject("key:2", concurrent=3)
    for number in range(3):
        store.admit([subject, other], f"r{number}", 0)
    store.renew({"r0": ["key:1"], "r1": ["key:1", "key:2"], "gone": ["key:3"]})
    store.renew({})
    assert outcome(store.admit([subject], "r3", 0)) == ("key:1", CONCURRENT)
