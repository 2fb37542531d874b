"""Gateways on one host that have one data directory book at once what another of them left that died."""

import os
import signal
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.accounts.load import ask, booked, config, the_books_are_exact
from tests.databases import own_database
from tests.proxy import Proxy
from tests.scripted import ScriptedProvider
from tests.server import Gateway, wait_for
from vault.crypto import generate_key

CALLS = 5


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("dies", "stays")]
    for folder in folders:
        folder.mkdir()
    with own_database() as database, Proxy(database["DATABASE_URL"]) as way:
        shared = {"TOKENHUB_DATA_DIR": str(tmp_path / "var"), "TOKENHUB_ENCRYPTION_KEY": generate_key()}
        with Gateway(folders[1], config(provider), **shared, **database) as stays, ExitStack() as running:
            dies = Gateway(folders[0], config(provider), **shared, DATABASE_URL=way.url)
            token = stays.key()
            running.callback(dies.stop, signal.SIGKILL)
            dies.__enter__()
            assert wait_for(lambda: ask(dies, token).status == 200, 20)
            assert wait_for(lambda: booked(stays)[0] == len(provider.requests), 20)
            before = booked(stays)[0]
            way.be("refusing")
            assert {ask(dies, token).status for _ in range(CALLS)} == {200}
            assert booked(stays)[0] == before
            worker = int(Path(f"/proc/{dies.pid}/task/{dies.pid}/children").read_text().split()[0])
            assert dies.stop(signal.SIGKILL) == -signal.SIGKILL
            with suppress(ProcessLookupError):  # it may have found out by itself
                os.kill(worker, signal.SIGKILL)
            assert wait_for(lambda: booked(stays)[0] == before + CALLS, 30)
            the_books_are_exact(stays, provider)
