"""A key with a budget is served while the worst case fits, by whatever it can pay, and told when it cannot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.databases import rows
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import Script
from tests.server import Gateway, model, wait_for

CHAT = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A dear model, and a free one."""
    dear = {"cost_per_1k": 0.03, "input_per_1k": 0, "output_per_1k": 0.03}
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}, {"name": "echo", "type": "echo"}],
        "models": [model("m", "p", **dear), model("free", "echo", weight=1, cost_per_1k=0)],
    }


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker."""
    with Gateway(tmp_path_factory.mktemp("budgets"), config(provider)) as started:
        yield started


def ask(gateway: Gateway, token: str, path: str = "/v1/chat/completions", **more: Any) -> requests.Response:
    """Ask over a connection of its own, so that any worker may answer."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{gateway.url}{path}", json=CHAT | more, headers=headers, timeout=30)


def is_at_rest(gateway: Gateway) -> bool:
    """Whether nothing is reserved any more."""
    return rows(gateway, "SELECT count(*) FROM accounts_reservation") == [(0,)]


def test_it_works(running: Gateway) -> None:
    token = running.key("--budget-usd", "1")
    answer = ask(running, token)
    assert answer.status_code == 200
    assert wait_for(lambda: is_at_rest(running))
    ((spent, reserved),) = rows(
        running, "SELECT spent_micro, reserved_micro FROM accounts_budgetuse ORDER BY id DESC LIMIT 1"
    )
    assert (spent, reserved) == (round(float(answer.headers["x-tokenhub-cost-usd"]) * 1e6), 0)


def test_a_spent_budget_is_told_and_free_models_go_on(running: Gateway) -> None:
    token = running.key("--budget-usd", "0.002")
    refused = ask(running, token, fallback=False)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
    assert "m: may cost 0.003000 USD" in refused.json()["error"]["message"]
    assert "the monthly budget of key 'app' has 0.002000 USD left" in refused.json()["error"]["message"]
    served = ask(running, token, explain=True)
    assert (served.status_code, served.headers["x-tokenhub-model"]) == (200, "free")
    (left_out,) = served.json()["tokenhub"]["decisions"][0]["excluded"]
    assert left_out["model"] == "m"
    assert "budget" in left_out["reason"]
    shorter = ask(running, token, fallback=False, max_tokens=50)
    assert shorter.status_code == 200


def test_a_refusal_has_the_format_of_its_endpoint(running: Gateway) -> None:
    token = running.key("--budget-usd", "0.001")
    told = ask(running, token, "/v1/messages", fallback=False).json()
    assert (told["type"], told["error"]["type"]) == ("error", "billing_error")
    streamed = ask(running, token, fallback=False, stream=True)
    assert (streamed.status_code, streamed.json()["error"]["code"]) == (402, "budget_exceeded")


def test_an_answer_has_no_more_room_than_was_reserved(running: Gateway, provider: ScriptedProvider) -> None:
    token = running.key("--budget-usd", "5")
    told = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(f"{running.url}/v1/chat/completions", json=told, headers=headers, timeout=30).ok
    assert provider.requests[-1].json["max_tokens"] == 1024  # an eighth of its window


def test_phases_are_paid_one_by_one(running: Gateway) -> None:
    token = running.key("--budget-usd", "0.000001")
    told = ask(running, token, "/v1/adversarial", model="auto", messages=[{"role": "user", "content": "hello"}])
    assert told.status_code == 200  # by the free one
    assert is_at_rest(running)


def test_what_a_stream_reserved_stays_while_it_lasts(running: Gateway, provider: ScriptedProvider) -> None:
    token = running.key("--budget-usd", "0.004")
    provider.play(Script(chat_stream([" x"] * 20), delay_between_pieces=0.1))
    headers = {"Authorization": f"Bearer {token}"}
    with requests.post(
        f"{running.url}/v1/chat/completions", json=CHAT | {"stream": True}, headers=headers, stream=True, timeout=30
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert ask(running, token, fallback=False).status_code == 402
        assert [line for line in lines if line][-1] == b"data: [DONE]"
    assert wait_for(lambda: ask(running, token, fallback=False).status_code == 200, 2.0)


def test_what_nobody_said_the_price_of_is_not_for_a_budget(provider: ScriptedProvider, tmp_path: Path) -> None:
    unsaid = {name: value for name, value in model("m", "p").items() if name != "cost_per_1k"}
    told = config(provider) | {"models": [unsaid]}
    with Gateway(tmp_path, told) as started:
        anybody = requests.post(f"{started.url}/v1/chat/completions", json=CHAT, timeout=30)
        assert anybody.status_code == 200
        assert "x-tokenhub-cost-usd" not in anybody.headers
        assert started.call_of(anybody)["cost_micro"] is None
        seen = requests.get(f"{started.url}/v1/decisions/{anybody.headers['x-tokenhub-request-id']}", timeout=30)
        assert seen.json()["cost_usd"] is None
        token = started.key("--budget-usd", "5")
        refused = ask(started, token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
        assert "m: nobody said what it costs" in refused.json()["error"]["message"]
    assert rows(started, "SELECT unpriced, cost_micro FROM accounts_spend") == [(1, 0)]


@pytest.mark.parametrize("asked", [{"n": 2}, {"n": 10**9}])
def test_every_answer_is_reserved(running: Gateway, asked: dict[str, Any]) -> None:
    token = running.key("--budget-usd", "0.004")
    assert ask(running, token, fallback=False).status_code == 200
    refused = ask(running, token, fallback=False, **asked)
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "budget_exceeded")
