"""Steady load on a gateway, over connections of their own so that any worker may answer, and what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.databases import rows
from tests.scripted import ScriptedProvider
from tests.server import Gateway, model, wait_for

CHAT = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A model that costs money."""
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}],
        "models": [model("m", "p", cost_per_1k=0.03)],
    }


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: its status, when it was asked for and when it was there by the monotonic clock, and its body."""

    status: int
    began: float
    ended: float
    told: requests.Response = field(repr=False)

    @property
    def took(self) -> float:
        """Seconds."""
        return self.ended - self.began


def ask(gateway: Gateway, token: str, **more: Any) -> Answered:
    """Ask once, and read the answer to its end."""
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    told = requests.post(f"{gateway.url}/v1/chat/completions", json=CHAT | more, headers=headers, timeout=60)
    return Answered(told.status_code, began, time.monotonic(), told)


@contextmanager
def steadily(asking: Callable[[], Answered], *, a_second: float, most: int = 64) -> Iterator[list[Answered]]:
    """Ask so many times a second, whether or not answers come, as long as the context lasts; yields the answers."""
    answers: list[Answered] = []
    over = threading.Event()

    def note() -> None:
        answers.append(asking())

    def keep_asking(askers: ThreadPoolExecutor) -> None:
        next_at = time.monotonic()
        while not over.is_set():
            askers.submit(note)
            next_at += 1 / a_second
            over.wait(max(0.0, next_at - time.monotonic()))

    with ThreadPoolExecutor(most) as askers:
        clock = threading.Thread(target=keep_asking, args=(askers,))
        clock.start()
        try:
            yield answers
        finally:
            over.set()
            clock.join()


def percentile(answers: list[Answered], part: float) -> float:
    """The seconds within which this part of the answers was there."""
    took = sorted(each.took for each in answers)
    return took[min(len(took) - 1, int(part * len(took)))]


def booked(gateway: Gateway) -> tuple[int, int]:
    """How many attempts are in the books, and their tokens of output."""
    ((attempts, output),) = rows(gateway, "SELECT count(*), coalesce(sum(output), 0) FROM accounts_attempt")
    return int(attempts), int(output)


def the_books_are_exact(
    gateway: Gateway, provider: ScriptedProvider, *, before: tuple[int, int] = (0, 0), seconds: float = 20.0
) -> None:
    """Hold that every request that the provider got is booked once, with its tokens, beside `before`."""
    wanted = (before[0] + len(provider.requests), before[1] + provider.counted.output)
    wait_for(lambda: booked(gateway) == wanted, seconds)
    assert booked(gateway) == wanted
    by_day = "SELECT coalesce(sum(attempts), 0), coalesce(sum(output), 0) FROM accounts_spend"
    assert tuple(map(int, rows(gateway, by_day)[0])) == wanted
    assert wait_for(lambda: rows(gateway, "SELECT count(*) FROM accounts_reservation") == [(0,)])
    uses = "SELECT coalesce(sum(spent_micro), 0), coalesce(sum(reserved_micro), 0) FROM accounts_budgetuse"
    ((spent, reserved),) = rows(gateway, uses)
    calls = "SELECT coalesce(sum(c.cost_micro), 0) FROM accounts_call c JOIN accounts_budget b ON b.key_id = c.key_id"
    ((cost,),) = rows(gateway, calls)
    assert (int(spent), int(reserved)) == (int(cost), 0)
