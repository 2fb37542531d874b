"""Work that would block the hub runs in real threads under gevent, and in the caller's thread everywhere else."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from registry.threads import run

ROOT = Path(__file__).parents[2]
# `hold` blocks its thread as a database that does not answer does; `pauses` is how long the hub stood still meanwhile
PATCHED = """
    from gevent import monkey; monkey.patch_all()
    import django, gevent, os, threading, time
    django.setup()
    from registry.threads import Pool, run
    hold = monkey.get_original("time", "sleep")
    ident = monkey.get_original("threading", "get_ident")
    pauses = []
    def tick():
        while True:
            before = time.monotonic(); gevent.sleep(0.005); pauses.append(time.monotonic() - before)
    gevent.spawn(tick)
    gevent.sleep(0.01)
"""


def under_gevent(script: str, database: Path | None = None) -> None:
    """Run a script in a process of its own that gevent patches as gunicorn's worker does."""
    code = textwrap.dedent(PATCHED) + textwrap.dedent(script)
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{database}" if database else "sqlite://:memory:"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_works() -> None:
    under_gevent("""
        assert run(lambda a, b: a + b, 1, 2) == 3
        assert run(ident) != ident()
        run(hold, 0.6)
        assert len(pauses) > 20 and max(pauses) < 0.4, max(pauses)
    """)


def test_without_gevent_the_caller_does_it() -> None:
    assert run(threading.get_ident) == threading.get_ident()
    with pytest.raises(ValueError, match="seven"):
        run(int, "seven")


def test_gevent_stays_out_where_it_is_not_in_already() -> None:
    code = "import sys; from registry.threads import run; assert run(int) == 0; assert 'gevent' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_it_raises_reaches_the_caller_and_nobody_else() -> None:
    under_gevent("""
        def fail(): raise LookupError("gone")
        try:
            run(fail)
        except LookupError as error:
            assert str(error) == "gone"
        else:
            raise AssertionError
    """)


def test_a_pool_does_not_wait_for_another() -> None:
    under_gevent("""
        busy = [gevent.spawn(run, hold, 0.5) for _ in range(8)]
        gevent.sleep(0.05)
        before = time.monotonic()
        Pool(1).run(hold, 0.01)
        assert time.monotonic() - before < 0.4
        gevent.joinall(busy)
    """)


def test_a_thread_of_the_pool_does_its_own_work_itself() -> None:
    under_gevent("""
        first, second = Pool(1), Pool(1)
        outer, inner = first.run(lambda: (ident(), second.run(ident)))
        assert outer == inner != ident()
        assert second.run(ident) not in {outer, ident()}
    """)


def test_a_connection_lives_as_long_as_its_thread(tmp_path: Path) -> None:
    script = """
        from django.db import connection
        connection.settings_dict["CONN_MAX_AGE"] = 60
        def connected():
            connection.ensure_connection()
            return id(connection.connection)
        pool = Pool(1)
        assert pool.run(connected) == pool.run(connected)
        assert connection.connection is None
    """
    under_gevent(script, tmp_path / "db")


def test_a_fork_makes_threads_of_its_own() -> None:
    under_gevent("""
        pool = Pool(1)
        pool.run(hold, 0)
        child = os.fork()
        if not child:
            pool.run(hold, 0.01)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    """)


KEEPER = """
    import sqlite3
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    settings.TOKENHUB_REFRESH_SECONDS = 0.02
    run(call_command, "migrate", "--verbosity=0")
    from registry.models import Model, Provider
    from registry.snapshot import keeper
    def add(name):
        provider = Provider.objects.create(name=name, type="echo")
        Model.objects.create(public_id=name, name="m", provider=provider, context_size=1)
    def until_known(name):
        before = time.monotonic()
        while not keeper.current().named(name):
            gevent.sleep(0.005)
            assert time.monotonic() - before < 5
    assert run(keeper.current).models == ()  # by looking: a thread beside the hub starts no polling
    keeper.start()
    gevent.sleep(0)
    assert run(keeper.current) is keeper.current()
    run(add, "first")
    until_known("first")
    assert connection.connection is None
"""


def test_a_keeper_polls_on_neither_the_hub_nor_its_connection(tmp_path: Path) -> None:
    under_gevent(textwrap.dedent(KEEPER), tmp_path / "db")


def test_a_thread_beside_the_hub_waits_for_the_first_picture(tmp_path: Path) -> None:
    script = """
        from registry.snapshot import Keeper
        fresh = Keeper()
        fresh.start()
        assert run(fresh.current).named("first")
    """
    under_gevent(textwrap.dedent(KEEPER) + textwrap.dedent(script), tmp_path / "db")


def test_a_keeper_polls_anew_in_a_forked_worker(tmp_path: Path) -> None:
    script = """
        child = os.fork()
        if not child:
            run(add, "second")
            until_known("second")
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        until_known("second")
    """
    under_gevent(textwrap.dedent(KEEPER) + textwrap.dedent(script), tmp_path / "db")


def test_a_keeper_reads_while_another_process_holds_the_write_lock(tmp_path: Path) -> None:
    script = """
        writer = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE registry_model SET weight = 3")
        pauses.clear()
        for _ in range(10):
            keeper.refresh()
            gevent.sleep(0.02)
        assert (keeper.status().fault, keeper.current().models[0].weight) == ("", 50)
        assert max(pauses) < 0.5, max(pauses)
        writer.execute("COMMIT")
        keeper.refresh()
        assert keeper.current().models[0].weight == 3
    """
    under_gevent(textwrap.dedent(KEEPER) + textwrap.dedent(script), tmp_path / "db")


def test_what_a_failed_task_held_is_freed_in_its_thread() -> None:
    under_gevent("""
        freed = []
        class Held:
            def __del__(self):
                freed.append(ident())
        def fail():
            held = Held()
            try:
                raise KeyError("inner")
            except KeyError as reason:
                raise ValueError("outer") from reason
        try:
            run(fail)
        except ValueError as error:
            assert freed and freed[0] != ident(), freed
            assert error.__traceback__ is not None
        else:
            raise AssertionError("nothing was raised")
    """)
