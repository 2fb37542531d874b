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
        run(hold, 0.3)
        assert len(pauses) > 20 and max(pauses) < 0.15, max(pauses)
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
        busy = [gevent.spawn(run, hold, 0.4) for _ in range(8)]
        gevent.sleep(0.05)
        before = time.monotonic()
        Pool(1).run(hold, 0.01)
        assert time.monotonic() - before < 0.3
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


def test_a_keeper_polls_without_holding_up_the_hub(tmp_path: Path) -> None:
    script = """
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connection
        settings.TOKENHUB_REFRESH_SECONDS = 0.02
        run(call_command, "migrate", "--verbosity=0")
        from registry.models import Model, Provider
        from registry.snapshot import keeper
        keeper.start()
        assert keeper.current().models == ()
        assert run(keeper.current) is keeper.current()
        def add():
            provider = Provider.objects.create(name="p", type="echo")
            Model.objects.create(public_id="m", name="m", provider=provider, context_size=1)
        run(add)
        before = time.monotonic()
        while not keeper.current().named("m"):
            gevent.sleep(0.005)
            assert time.monotonic() - before < 1
        assert connection.connection is None
    """
    under_gevent(script, tmp_path / "db")
