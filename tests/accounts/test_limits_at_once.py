"""However many workers count, in the database or in Redis, a minute has no more requests than the limit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.databases import own_database
from tests.server import Gateway, model

CONFIG = {"providers": [{"name": "echo", "type": "echo"}], "models": [model("e", "echo", cost_per_1k=0)]}
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


def ask(gateway: Gateway, token: str) -> requests.Response:
    """Ask over a connection of its own, so that any worker may answer."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{gateway.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=60)


def test_it_works(tmp_path: Path) -> None:
    holds(tmp_path, workers=1)


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:6379/3"], ids=["database", "redis"])
def test_four_workers_count_as_one(tmp_path: Path, url: str) -> None:
    holds(tmp_path, workers=4, **({"REDIS_URL": url} if url else {}))


def holds(folder: Path, *, workers: int, **environment: str) -> None:
    """Ask 600 times with a limit of 60 a minute."""
    with own_database() as database:
        environment |= database | {"WEB_CONCURRENCY": str(workers)}
        with Gateway(folder, CONFIG, **environment) as hub, ThreadPoolExecutor(32) as askers:
            token = hub.key("--rpm", "60")
            answers = list(askers.map(lambda _: ask(hub, token), range(600)))
            statuses = [answer.status_code for answer in answers]
            assert (statuses.count(200), statuses.count(429)) == (60, 540)
            left = sorted(int(each.headers["x-ratelimit-remaining-requests"]) for each in answers if each.ok)
            assert left == list(range(60))
