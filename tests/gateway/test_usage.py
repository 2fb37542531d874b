"""A key reads what it has used, what is left of its budgets, and nothing of anybody else's."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.databases import file_of
from tests.scripted import ScriptedProvider
from tests.server import Gateway, model, wait_for


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker that needs no key, with a dear model and a free one."""
    config = {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}, {"name": "echo", "type": "echo"}],
        "models": [model("m", "p"), model("free", "echo", weight=1, cost_per_1k=0)],
    }
    with Gateway(tmp_path_factory.mktemp("usage"), config, TOKENHUB_REQUIRE_KEY="false") as started:
        yield started


def usage(gateway: Gateway, token: str = "", **asked: str) -> requests.Response:
    """What the gateway says of a key's use."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(f"{gateway.url}/v1/usage", asked, headers=headers, timeout=10)


def ask(gateway: Gateway, token: str, name: str) -> dict[str, Any]:
    """The usage of a whole answer of a model."""
    body = {"model": name, "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    told = answer.json()["usage"]
    return {
        "input": told["prompt_tokens"],
        "output": told["completion_tokens"],
        "cost_usd": float(answer.headers["x-tokenhub-cost-usd"]),
    }


def test_it_works(running: Gateway) -> None:
    token = running.key("--team", "search", "--rpm", "60", "--budget-usd", "5", "--budget-period", "daily")
    dear, free = ask(running, token, "m"), ask(running, token, "free")
    assert wait_for(lambda: usage(running, token).json()["total"]["attempts"] == 2)
    told = usage(running, token).json()
    today = datetime.now(UTC).date()
    assert (told["object"], told["from"], told["to"]) == ("usage", str(today.replace(day=1)), str(today))
    counts = {"attempts": 1, "failed": 0, "unpriced": 0, "cache_read": 0, "cache_write": 0, "reasoning": 0}
    assert told["data"] == [
        {"day": str(today), "model": "free", "provider": "echo", **counts, **free},
        {"day": str(today), "model": "m", "provider": "p", **counts, **dear},
    ]
    assert told["total"]["cost_usd"] == dear["cost_usd"] > 0
    assert told["budgets"] == [
        {
            "owner": "key",
            "period": "daily",
            "limit_usd": 5.0,
            "spent_usd": dear["cost_usd"],
            "reserved_usd": 0.0,
            "resets_at": f"{today + timedelta(days=1)}T00:00:00+00:00",
        }
    ]
    assert told["limits"] == {
        "rpm": 60,
        "tpm": None,
        "concurrent": None,
        "max_tokens": None,
        "max_cost_usd": None,
    }


def test_groups_are_as_asked(running: Gateway) -> None:
    token = running.key()
    ask(running, token, "m")
    ask(running, token, "free")
    assert wait_for(lambda: usage(running, token).json()["total"]["attempts"] == 2)
    (day,) = usage(running, token, group_by="day").json()["data"]
    assert (day["attempts"], "model" in day) == (2, False)
    by_model = usage(running, token, group_by="provider, model").json()["data"]
    assert [(row["model"], row["provider"], "day" in row) for row in by_model] == [
        ("free", "echo", False),
        ("m", "p", False),
    ]


def test_a_key_sees_its_own_numbers_alone(running: Gateway) -> None:
    first, second = running.key(), running.key()
    before = usage(running).json()["total"]["attempts"]
    ask(running, first, "free")
    assert wait_for(lambda: usage(running, first).json()["total"]["attempts"] == 1)
    assert usage(running, second).json()["data"] == []
    assert usage(running).json()["total"]["attempts"] == before


def test_without_a_key_these_are_the_calls_without_one(running: Gateway) -> None:
    before = usage(running).json()["total"]["attempts"]
    assert running.post(model="free").status_code == 200
    assert wait_for(lambda: usage(running).json()["total"]["attempts"] == before + 1)
    told = usage(running).json()
    assert (told["budgets"], set(told["limits"].values())) == ([], {None})


def test_other_days_are_other_numbers(running: Gateway) -> None:
    told = usage(running, to="2026-02-28").json()
    assert (told["from"], told["to"], told["data"]) == ("2026-02-01", "2026-02-28", [])


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"from": "2026-02-02", "to": "2026-02-01"}, "from"),
        ({"from": "2020-01-01", "to": "2026-02-01"}, "from"),
        ({"from": "9999-12-31"}, "from"),
        ({"group_by": "key"}, "group_by"),
        ({"form": "2026-02-01"}, "form"),
    ],
)
def test_what_cannot_be_told_is_refused(running: Gateway, asked: dict[str, str], param: str) -> None:
    answer = usage(running, **asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_request", param)


def test_a_wrong_key_reads_nothing(running: Gateway) -> None:
    running.key()
    answer = usage(running, "th_000000000000_" + "0" * 48)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_it_is_only_read(running: Gateway) -> None:
    answer = requests.post(f"{running.url}/v1/usage", json={}, timeout=10)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_an_outage_is_told(running: Gateway) -> None:
    with closing(sqlite3.connect(file_of(running), timeout=20, isolation_level=None)) as database:
        database.execute("ALTER TABLE accounts_spend RENAME TO away")
        try:
            answer = usage(running)
        finally:
            database.execute("ALTER TABLE away RENAME TO accounts_spend")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert usage(running).status_code == 200
