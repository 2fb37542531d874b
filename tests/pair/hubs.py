"""Two gateways of one installation: each with a port and a data directory of its own, one PostgreSQL and one Redis."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests
from redis import Redis

from tests.accounts.load import Answered, ask
from tests.databases import own_database, own_role
from tests.proxy import Proxy
from tests.registry.browser import Fields, Page
from tests.scripted import ScriptedProvider
from tests.server import Gateway, model, wait_for
from vault.crypto import generate_key

CONNECTIONS = 20  # that the gateways may have together; a worker has at most 9
_REDIS = "redis://127.0.0.1:6379"
_TAKEN = "tokenhub:taken-by-a-test"


@dataclass(frozen=True, slots=True)
class Pair:
    """Both gateways, the ways on which they reach PostgreSQL and Redis, and the way to PostgreSQL that is never cut."""

    hubs: tuple[Gateway, Gateway]
    postgres: Proxy
    redis: Proxy
    database: str

    def key(self, *arguments: str, name: str) -> str:
        """Make a client's key, and return it when both gateways know it."""
        token = self.hubs[0].key(*arguments, name=name)
        assert wait_for(lambda: _models(self.hubs[1], token) == 200, 20)
        return token

    def ask_all(self, token: str, times: int, *, at_once: int = 32, **body: Any) -> list[Answered]:
        """Ask both in turns, many at once, and return the answers."""
        with ThreadPoolExecutor(at_once) as askers:
            return list(askers.map(lambda number: ask(self.hubs[number % 2], token, **body), range(times)))


def _models(hub: Gateway, token: str) -> int:
    return requests.get(f"{hub.url}/v1/models", headers={"Authorization": f"Bearer {token}"}, timeout=20).status_code


def config(provider: ScriptedProvider, other: ScriptedProvider) -> dict[str, Any]:
    """Two models of two providers, of which `best` is the first choice of who names none, and `m` costs money."""
    return {
        "providers": [
            {"name": "first", "type": "vllm", "base_url": provider.url},
            {"name": "second", "type": "vllm", "base_url": other.url},
        ],
        "models": [
            model("best", "first", weight=90),
            model("m", "second", cost_per_1k=0.03, input_per_1k=0, output_per_1k=0.03),
        ],
    }


@contextmanager
def _own_redis() -> Iterator[str]:
    """The address of a database of Redis that no other pair uses: two would end each other's cooldowns there."""
    for number in range(1, 16):
        url = f"{_REDIS}/{number}"
        with Redis.from_url(url) as redis:
            if redis.set(_TAKEN, 1, nx=True, ex=600):
                try:
                    yield url
                finally:
                    redis.delete(_TAKEN)
                return
    raise AssertionError("all databases of Redis are taken by tests")


@contextmanager
def started(configured: dict[str, Any], folder: Path, *settings: dict[str, str]) -> Iterator[Pair]:
    """Start two at the same time on an empty database; `settings` are those of the one and of the other."""
    with (
        own_database() as made,
        own_role(made["DATABASE_URL"], CONNECTIONS) as url,
        Proxy(url) as postgres,
        _own_redis() as counter,
        Proxy(counter) as redis,
        ExitStack() as running,
    ):
        shared = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "TOKENHUB_ENCRYPTION_KEY": generate_key()}
        shared |= {"TOKENHUB_REQUIRE_KEY": "true", "TOKENHUB_COOLDOWNS": "true"}
        hubs = []
        for number, own in enumerate(settings or ({}, {})):
            (folder / str(number)).mkdir()
            hubs.append(Gateway(folder / str(number), configured, **shared | own))
            hubs[-1].command.append("--create-admin")
        with ThreadPoolExecutor() as pool:
            list(pool.map(running.enter_context, hubs))
        with psycopg.connect(made["DATABASE_URL"]) as connection:
            # Redis counts by the keys of rows, and there other tests have counted the first ones
            first = secrets.randbelow(10**9)
            connection.execute(f"ALTER SEQUENCE accounts_apikey_id_seq RESTART WITH {first + 1}")
        for hub in hubs:
            hub.environment["DATABASE_URL"] = made["DATABASE_URL"]  # what tests run and read takes the other way
        yield Pair((hubs[0], hubs[1]), postgres, redis, made["DATABASE_URL"])


class Admin:
    """Somebody who is logged in to the admin of one gateway."""

    def __init__(self, pair: Pair) -> None:
        lines = (line for hub in pair.hubs for line in hub.log.splitlines())
        told = next(line for line in lines if line.startswith("Admin account"))
        self.session = requests.Session()
        login = f"{pair.hubs[0].url}/admin/login/?next=/admin/"
        fields = Page(self.session.get(login, timeout=30).text, "login-form").fields
        fields |= {"username": ["admin"], "password": [told.split("password: ")[1].split(" ")[0]]}
        page = self.session.post(login, data=fields, headers={"Referer": login}, timeout=30)
        assert page.url == f"{pair.hubs[0].url}/admin/", page.text

    def opened(self, url: str) -> Fields:
        """The fields of a page of the admin."""
        page = self.session.get(url, timeout=30)
        assert page.status_code == 200, page.text
        return Page(page.text, "_form").fields

    def save(self, url: str, **changes: str | None) -> None:
        """Open a page and save it with these fields changed; None unchecks one."""
        texts = {name: [value] for name, value in changes.items() if value is not None}
        sent = {name: value for name, value in (self.opened(url) | texts).items() if changes.get(name, "") is not None}
        told = self.session.post(
            url, data=sent | {"_save": ["Save"]}, headers={"Referer": url}, timeout=30, allow_redirects=False
        )
        assert told.status_code == 302, told.text  # a page that is not taken comes back with what is wrong
