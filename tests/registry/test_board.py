"""What one worker says of cooldowns the others learn, through Redis or the database, and nobody waits for it."""

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.fixtures import DjangoAssertNumQueries, Settings
from redis import Redis

from registry.board import Board, fingerprint
from registry.cooling import CoolingRow, Reason
from registry.cooling_stores import Entry, RedisStore, Store, TableStore, configured
from registry.snapshot import ModelFacts
from tests.clock import Clock
from tests.facts import model_facts, provider_facts
from tests.registry.test_threads import ROOT, under_gevent
from tests.server import wait_for
from vault.crypto import Hidden

REDIS = "redis://127.0.0.1:6379/0"
MODEL = model_facts(pk=1, provider=provider_facts(pk=1, key=Hidden("sk-canary-of-the-board")))
WIDE = replace(MODEL, capabilities=frozenset("abcdefgh"))

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Clock:
    """The time of a test."""
    return Clock()


@pytest.fixture
def key() -> Iterator[str]:
    """A key of Redis that is this test's own."""
    name = f"tokenhub-test:{uuid.uuid4()}"
    yield name
    with Redis.from_url(REDIS) as client:
        client.delete(name)


@pytest.fixture(params=["table", "redis"])
def store(request: pytest.FixtureRequest, key: str) -> Callable[[], Store]:
    """Makes what a worker uses to reach the others."""
    return TableStore if request.param == "table" else lambda: RedisStore(REDIS, key=key)


def say(board: Board, reason: Reason = Reason.FAILURES, *, model: ModelFacts = MODEL, seconds: float = 30) -> None:
    """Let a model cool."""
    board.say(reason, model, seconds=seconds, until=board.clock() + seconds)


def told(board: Board, model: ModelFacts = MODEL) -> set[str]:
    """Why a model cools, as a worker knows it."""
    return {entry.reason.value for entry in board.about(model)}


def test_it_works(store: Callable[[], Store], clock: Clock) -> None:
    one, two, three = (Board(clock, store()) for _ in range(3))
    say(one)
    say(one, Reason.CREDENTIALS, seconds=60)
    assert (told(one), told(two)) == ({"failures", "credentials"}, set())
    one.exchange()
    two.exchange()
    three.exchange()
    assert told(two) == told(three) == {"failures", "credentials"}
    (failures,) = (entry for entry in two.about(MODEL) if entry.reason is Reason.FAILURES)
    assert (failures.until, failures.seconds) == (clock.now + 30, 30)
    clock.now += 1
    two.end(failures)
    assert told(two) == {"credentials"}
    two.exchange()
    two.exchange()
    one.exchange()
    three.exchange()
    assert told(one) == told(three) == told(two) == {"credentials"}


def test_what_has_ended_is_no_more_than_what_never_was(store: Callable[[], Store], clock: Clock) -> None:
    """Except that an older word of others is not believed."""
    one, two = Board(clock, store()), Board(clock, store())
    say(one)
    one.exchange()
    two.exchange()
    (older,) = one.about(MODEL)
    clock.now += 1
    one.end(older)
    assert (one.is_empty, one.knows(MODEL.pk, MODEL.provider.pk), two.is_empty) == (True, False, False)
    one.exchange()
    two.exchange()
    assert two.is_empty
    (ended,) = store().swap([], clock.now)
    overwrite(ended, older, store())
    for board in (one, two, one, two):
        board.exchange()
        assert board.is_empty
    say(two)
    assert told(two) == {"failures"}


def test_another_worker_obeys_it_for_the_same_rows_only(store: Callable[[], Store], clock: Clock) -> None:
    edited = replace(MODEL, provider=replace(MODEL.provider, key=Hidden("sk-another")))
    one, two = Board(clock, store()), Board(clock, store())
    say(one, Reason.CREDENTIALS, model=edited)
    one.exchange()
    two.exchange()
    assert (told(two), told(two, edited)) == (set(), {"credentials"})  # it will, once it has seen the edit too


def test_the_last_word_counts(store: Callable[[], Store], clock: Clock) -> None:
    one, two = Board(clock, store()), Board(clock, store())
    say(one, seconds=30)
    clock.now += 1
    say(two, seconds=60)
    two.exchange()
    one.exchange()  # its own word is the older one
    two.exchange()
    assert [entry.seconds for board in (one, two) for entry in board.about(MODEL)] == [60, 60]


def test_a_word_that_was_overwritten_is_said_again(store: Callable[[], Store], clock: Clock) -> None:
    one, two, three = (Board(clock, store()) for _ in range(3))
    say(two)
    two.exchange()
    (older,) = store().swap([], clock.now)
    clock.now += 1
    say(one, seconds=60)
    one.exchange()
    (newer,) = store().swap([], clock.now)
    overwrite(newer, older, store())
    one.exchange()
    one.exchange()
    three.exchange()
    assert [entry.seconds for entry in three.about(MODEL)] == [60]


def overwrite(there: Entry, entry: Entry, store: Store) -> None:
    """Leave the word of a worker that wrote at the same moment as another."""
    if isinstance(store, RedisStore):
        with Redis.from_url(REDIS) as client:
            client.delete(store._key)
    CoolingRow.objects.filter(since=there.since).delete()
    store.swap([entry], entry.since)
    assert store.swap([], entry.since) == [entry]


def test_a_clock_that_is_ahead_wins_no_argument(store: Callable[[], Store], clock: Clock) -> None:
    ahead = Clock()
    ahead.now = clock.now + 10
    one, other = Board(clock, store()), Board(ahead, store())
    say(other)
    other.exchange()
    one.exchange()
    (entry,) = one.about(MODEL)
    assert entry.until == clock.now + 40
    one.end(entry)
    one.exchange()
    other.exchange()
    assert told(one) == told(other) == set()


def test_a_clock_of_tomorrow_is_not_believed(store: Callable[[], Store], clock: Clock) -> None:
    tomorrow = Clock()
    tomorrow.now = clock.now + 86400
    one, other = Board(clock, store()), Board(tomorrow, store())
    say(other)
    other.exchange()
    one.exchange()
    assert told(one) == set()
    Board(clock, store())._store.swap(  # type: ignore[union-attr] # it was given one
        [Entry(Reason.QUOTA, 1, fingerprint(MODEL.provider), clock.now, clock.now + 86400, 1)], clock.now
    )
    one.exchange()
    assert told(one) == set()


def test_what_is_long_over_is_forgotten(store: Callable[[], Store], clock: Clock) -> None:
    one, two = Board(clock, store()), Board(clock, store())
    say(one)
    one.exchange()
    clock.now += 3631
    one.exchange()
    two.exchange()
    assert told(one) == told(two) == set()
    say(one, Reason.QUOTA)
    one.exchange()
    assert [entry.reason for entry in store().swap([], clock.now)] == [Reason.QUOTA]


def test_a_look_without_news_is_one_query(clock: Clock, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    one, two = Board(clock, TableStore()), Board(clock, TableStore())
    say(one)
    one.exchange()
    two.exchange()
    for each in (one, two):
        with django_assert_num_queries(1):
            each.exchange()


def test_what_is_none_of_ours_is_passed_over(clock: Clock, key: str) -> None:
    one = Board(clock, RedisStore(REDIS, key=key))
    values = {"failures:1": "[]", "failures:x": "x", "flying:1": '["x", 1, 2, 3, false]', "\udcff": "{}"}
    with Redis.from_url(REDIS) as client:
        client.hset(key, mapping={name.encode(errors="surrogateescape"): value for name, value in values.items()})
        CoolingRow.objects.create(reason="flying", subject=1, fingerprint="x", since=1, until=2, seconds=3)
        one.exchange()
        Board(clock, TableStore()).exchange()
        say(one)
        one.exchange()
        assert client.hkeys(key) == [b"failures:1"]
        assert 0 < client.ttl(key) <= 7200


def test_no_key_of_a_provider_leaves_the_process(clock: Clock, key: str) -> None:
    one = Board(clock, RedisStore(REDIS, key=key))
    say(one, Reason.CREDENTIALS)
    one.exchange()
    with Redis.from_url(REDIS) as client:
        assert b"canary" not in b"".join(client.hvals(key))
    assert fingerprint(MODEL) != fingerprint(replace(MODEL, provider=replace(MODEL.provider, key=Hidden("sk"))))


def test_every_process_makes_the_same_fingerprint() -> None:
    script = "import django; django.setup(); from registry.board import fingerprint"
    script += "; from tests.registry.test_board import WIDE; print(fingerprint(WIDE))"
    made = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert made == {f"{fingerprint(WIDE)}\n".encode()}


def test_an_outage_costs_the_sharing_and_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"redis://127.0.0.1:{nobody.getsockname()[1]}/0"
    one = Board(clock, RedisStore(address))
    say(one)
    for _ in range(3):
        one.exchange()
    assert told(one) == {"failures"}
    one._store = TableStore()
    one.exchange()
    assert [record.levelname for record in caplog.records if record.name == "registry.board"] == ["WARNING"] * 2
    two = Board(clock, TableStore())
    two.exchange()
    assert told(two) == {"failures"}  # it was not lost


def test_an_address_that_is_none_is_an_outage(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    Board(clock, RedisStore("redis://:canary@host:canary/0")).exchange()
    assert "not an address" in caplog.text
    assert "canary" not in caplog.text


def test_the_settings_name_the_store(settings: Settings) -> None:
    assert isinstance(configured(), TableStore)
    settings.REDIS_URL = f"{REDIS}, redis://127.0.0.1:6379/1"
    assert isinstance(configured(), RedisStore)


def test_the_table_moves_no_stamp(clock: Clock, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM registry_stamp")
        before = cursor.fetchone()
        one = Board(clock, TableStore())
        say(one)
        one.exchange()
        cursor.execute("SELECT version FROM registry_stamp")
        assert cursor.fetchone() == before


@pytest.mark.django_db(transaction=True)
def test_a_thread_tells_it_within_a_second(store: Callable[[], Store], settings: Settings) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.1
    one, two = Board(store=store()), Board(store=store())
    try:
        one.poll.start()
        two.poll.start()
        say(one)
        assert wait_for(lambda: told(two), 1.0)
    finally:
        one.poll.stop()
        two.poll.stop()


def test_nobody_waits_for_a_redis_that_hangs(settings: Settings) -> None:
    settings.TOKENHUB_REFRESH_SECONDS = 0.01
    with socket.create_server(("127.0.0.1", 0)) as mute:
        one = Board(store=RedisStore(f"redis://127.0.0.1:{mute.getsockname()[1]}/0"))
        one.poll.start()
        try:
            slowest = 0.0
            ends = time.monotonic() + 1.5
            while time.monotonic() < ends:
                before = time.monotonic()
                with one.lock:
                    say(one)
                assert told(one) == {"failures"}
                slowest = max(slowest, time.monotonic() - before)
                time.sleep(0.005)
        finally:
            one.poll.stop()
    assert slowest < 0.1
    assert wait_for(lambda: one._is_alone, 3)


def test_the_hub_does_not_wait_for_it_either() -> None:
    under_gevent("""
        from django.conf import settings
        settings.TOKENHUB_REFRESH_SECONDS = 0.02
        import logging, socket
        logging.disable()
        from registry.board import Board
        from registry.cooling import Reason
        from registry.cooling_stores import RedisStore
        from tests.facts import model_facts
        key = f"tokenhub-test:{os.getpid()}"
        model = model_facts()
        mute = socket.create_server(("127.0.0.1", 0))
        for address in (f"redis://127.0.0.1:{mute.getsockname()[1]}/0", "redis://127.0.0.1:6379/0"):
            board = Board(store=RedisStore(address, key=key))
            board.poll.start()
            pauses.clear()
            for _ in range(60):
                with board.lock:
                    board.say(Reason.FAILURES, model, seconds=30, until=board.clock() + 30)
                gevent.sleep(0.02)
            assert board._is_alone == ("6379" not in address)
            assert max(pauses) < 0.3, max(pauses)
            board.poll.stop()
        gevent.sleep(1)
        board._pool.run(board._store._client.delete, key)
    """)


def test_a_forked_worker_polls_anew() -> None:
    under_gevent("""
        from django.conf import settings
        settings.TOKENHUB_REFRESH_SECONDS = 0.02
        from gateway.cooldown import Cooldowns
        from registry.board import Board
        from tests.facts import model_facts
        from tests.gateway.cooling import Silent
        board = Board(store=Silent())
        board.poll.start()
        gevent.sleep(0.1)
        child = os.fork()
        if not child:
            assert not board.poll.is_running
            assert Cooldowns(board).begin(model_facts())
            gevent.sleep(0.1)
            os._exit(7 if board.poll.is_running and board.poll.first_look.is_set() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """)


def test_sqlite_that_is_locked_holds_nobody_up(tmp_path: Path) -> None:
    under_gevent(
        """
        import logging, sqlite3
        logging.disable()
        from django.core.management import call_command
        from django.db import connection
        run(call_command, "migrate", "--verbosity=0")
        from registry.board import Board
        from registry.cooling import Reason
        from tests.facts import model_facts
        model = model_facts()
        writer = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        board, other = Board(), Board()
        board.say(Reason.FAILURES, model, seconds=30, until=board.clock() + 30)
        pauses.clear()
        board.exchange()
        assert board._is_alone and max(pauses) < 0.5, max(pauses)
        writer.execute("COMMIT")
        board.exchange(); other.exchange()
        assert not board._is_alone and len(list(other.about(model))) == 1
    """,
        tmp_path / "db",
    )
