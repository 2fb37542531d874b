"""However many ask at once, and of however many workers, a budget admits no more than it has."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.databases import own_database, rows
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import Answer, Received, Script
from tests.server import Gateway, model, wait_for

WORST = 3_000  # micro-dollars: 100 tokens of output at 0.03 USD for 1,000, and a prompt that costs nothing
ASKED = {
    "model": "m",
    "fallback": False,
    "stream": True,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A model whose answers cost money."""
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}],
        "models": [model("m", "p", cost_per_1k=0.03, input_per_1k=0, output_per_1k=0.03)],
    }


def ask(gateway: Gateway, token: str, **more: Any) -> int:
    """The status of an answer that is read to its end, over a connection of its own so that any worker may give it."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(
        f"{gateway.url}/v1/chat/completions", json=ASKED | more, headers=headers, timeout=60
    ).status_code


def test_it_works(provider: ScriptedProvider, tmp_path: Path) -> None:
    holds(provider, tmp_path, workers=1)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_hold_it_together(provider: ScriptedProvider, tmp_path: Path, workers: int) -> None:
    holds(provider, tmp_path, workers=workers)


def holds(provider: ScriptedProvider, folder: Path, *, workers: int) -> None:
    """Ask a hundred times at once with a budget for ten, while nobody is answered yet."""
    all_asked = threading.Event()

    def held(received: Received) -> Answer:
        all_asked.wait(60)
        return chat_stream([" x"])(received)

    provider.default = Script(held)
    with own_database() as database, Gateway(folder, config(provider), WEB_CONCURRENCY=str(workers), **database) as hub:
        token = hub.key("--budget-usd", f"{10 * WORST / 1e6:.6f}", "--budget-period", "total")
        with ThreadPoolExecutor(100) as askers:
            asking = [askers.submit(ask, hub, token) for _ in range(100)]
            wait_for(lambda: sum(each.done() for each in asking) == 90, 45)
            all_asked.set()
            statuses = [each.result() for each in asking]
        assert set(statuses) == {200, 402}
        assert statuses.count(200) == len(provider.requests) == 10
        assert wait_for(lambda: rows(hub, "SELECT count(*) FROM accounts_reservation") == [(0,)])
        ((spent, reserved),) = rows(hub, "SELECT spent_micro, reserved_micro FROM accounts_budgetuse")
        ((booked,),) = rows(hub, "SELECT sum(cost_micro) FROM accounts_call")
        assert (spent, reserved) == (booked, 0)
        assert 0 < spent <= 10 * WORST
