"""Many streams need few connections of PostgreSQL: none is held while a provider speaks."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import requests

from tests.accounts.load import CHAT, config, the_books_are_exact
from tests.databases import own_database, own_role
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import Answer, Received, Script
from tests.server import Gateway, wait_for

CONNECTIONS = 20
OF_A_WORKER = 9  # as docs/operations.md says
STREAMS = int(os.environ.get("TOKENHUB_TEST_STREAMS", "200"))


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    with own_database() as database, own_role(database["DATABASE_URL"], CONNECTIONS) as url:
        settings = {"DATABASE_URL": url, "WEB_CONCURRENCY": "2"}
        with Gateway(tmp_path, config(provider), **settings) as hub:
            limited = hub.key("--rpm", "100000", "--concurrent", "10000", name="limited")
            budgeted = hub.key("--budget-usd", "1000", name="budgeted")
            said = speak_slowly(provider)

            def stream(number: int) -> tuple[int, bytes]:
                headers = {"Authorization": f"Bearer {(limited, budgeted)[number % 2]}"}
                url = f"{hub.url}/v1/chat/completions"
                told = requests.post(url, json=CHAT | {"stream": True}, headers=headers, timeout=60)
                return told.status_code, told.content

            with ThreadPoolExecutor(STREAMS) as askers:
                streams = [askers.submit(stream, number) for number in range(STREAMS)]
                provider.wait_until(lambda: len(provider.requests) == STREAMS, 40)
                assert wait_for(lambda: at_work(database["DATABASE_URL"], url) == 0)  # all speak, and none holds one
                opened = connections(database["DATABASE_URL"], url)
                said.set()
                told = [each.result() for each in streams]
            assert [status for status, _ in told if status != 200] == []
            assert all(content.endswith(b"data: [DONE]\n\n") for _, content in told)
            assert 0 < opened <= 2 * OF_A_WORKER
            assert hub.run("ledger", "check").returncode == 0 or wait_for(
                lambda: hub.run("ledger", "check").returncode == 0, 20
            )
            print(f"{STREAMS} streams, {opened} connections")
            assert "too many connections" not in hub.log
            the_books_are_exact(hub, provider)


def speak_slowly(provider: ScriptedProvider) -> threading.Event:
    """Let all streams last until all have begun; returns what lets them end."""
    all_asked = threading.Event()

    def held(received: Received) -> Answer:
        all_asked.wait(60)
        return chat_stream([" x"] * 5)(received)

    provider.default = Script(held)
    return all_asked


def connections(database: str, url: str, more: str = "") -> int:
    """How many connections the role of a URL has to its database now."""
    asked = f"SELECT count(*) FROM pg_stat_activity WHERE usename = %s {more}"
    with psycopg.connect(database) as connection:
        found = connection.execute(asked, [urlsplit(url).username]).fetchone()
    return int(found[0]) if found else 0


def at_work(database: str, url: str) -> int:
    """How many of them are in a transaction."""
    return connections(database, url, "AND state LIKE 'idle in transaction%%'")
