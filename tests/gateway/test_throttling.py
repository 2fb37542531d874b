"""A key is held to its limits and its team's, and told what is left and when to ask again, in its own format."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream
from tests.scripted_script import Script
from tests.server import Gateway, model, wait_for

CHAT = {"messages": [{"role": "user", "content": "hello"}]}


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """A model at a provider, and one that echoes."""
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}, {"name": "echo", "type": "echo"}],
        "models": [model("m", "p"), model("e", "echo", weight=1, cost_per_1k=0)],
    }


@pytest.fixture(scope="module")
def running(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of one worker."""
    with Gateway(tmp_path_factory.mktemp("limits"), config(provider)) as started:
        yield started


def ask(gateway: Gateway, token: str, path: str = "/v1/chat/completions", **more: Any) -> requests.Response:
    """Ask with a key."""
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(
        f"{gateway.url}{path}", json=CHAT | more, headers=headers, timeout=30, stream=bool(more.get("stream"))
    )


def test_it_works(running: Gateway) -> None:
    token = running.key("--rpm", "2")
    first, second, third = (ask(running, token, model="e") for _ in range(3))
    assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [each.headers["x-ratelimit-remaining-requests"] for each in (first, second, third)] == ["1", "0", "0"]
    assert first.headers["x-ratelimit-reset-requests"] in {"60s", "61s"}
    assert 50 < int(third.headers["Retry-After"]) <= 61
    error = third.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert error["message"] == "The limit of 2 requests a minute of key 'app' is reached."


def test_a_refusal_has_the_format_of_its_endpoint(running: Gateway) -> None:
    token = running.key("--rpm", "1")
    assert ask(running, token, "/v1/messages", max_tokens=9, model="e").status_code == 200
    told = ask(running, token, "/v1/messages", max_tokens=9, model="e")
    assert (told.status_code, told.json()["error"]["type"]) == (429, "rate_limit_error")
    with (
        openai.OpenAI(base_url=f"{running.url}/v1", api_key=token, max_retries=0) as client,
        pytest.raises(openai.RateLimitError),
    ):
        client.chat.completions.create(model="e", messages=[{"role": "user", "content": "hello"}], stream=True)


def test_what_is_refused_or_free_counts_for_nothing(running: Gateway) -> None:
    token = running.key("--rpm", "1")
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(3):
        assert (
            requests.post(f"{running.url}/v1/chat/completions", data="{", headers=headers, timeout=5).status_code == 400
        )
        assert requests.get(f"{running.url}/v1/models", headers=headers, timeout=5).ok
        assert ask(running, token, "/v1/messages/count_tokens", model="e").ok
    assert ask(running, token, model="e").status_code == 200


def test_tokens_are_limited_by_what_answers_took(running: Gateway) -> None:
    token = running.key("--tpm", "1000")
    first = ask(running, token, model="e", max_tokens=900)
    assert first.status_code == 200
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 100
    again = ask(running, token, model="e", max_tokens=900)  # the first took few of them
    assert again.status_code == 200
    refused = ask(running, token, model="e", max_tokens=1000)
    assert refused.status_code == 429
    assert "1000 tokens a minute" in refused.json()["error"]["message"]


def test_what_is_larger_than_a_limit_is_not_to_be_sent_again(running: Gateway) -> None:
    refused = ask(running, running.key("--tpm", "50"), model="e", max_tokens=100)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
    assert "Retry-After" not in refused.headers
    assert "more than the 50 tokens a minute of key 'app'" in refused.json()["error"]["message"]


def test_requests_at_the_same_time_are_limited(running: Gateway, provider: ScriptedProvider) -> None:
    token = running.key("--concurrent", "1")
    provider.play(Script(chat_stream([" x"] * 10), delay_between_pieces=0.1))
    stream = ask(running, token, model="m", stream=True)
    lines = stream.iter_lines()
    next(lines)
    refused = ask(running, token, model="e")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert "1 requests at the same time" in refused.json()["error"]["message"]
    assert [line for line in lines if line][-1] == b"data: [DONE]"
    for _ in range(20):  # whoever has the last byte may ask again at once
        assert ask(running, token, model="e").status_code == 200
        assert ask(running, token, model="e", stream=True).content.endswith(b"data: [DONE]\n\n")


def test_a_caller_who_leaves_frees_the_place(running: Gateway, provider: ScriptedProvider) -> None:
    token = running.key("--concurrent", "1")
    provider.play(Script(chat_stream([" x"] * 50), delay_between_pieces=0.1))
    stream = ask(running, token, model="m", stream=True)
    lines = stream.iter_lines()
    next(lines)
    stream.close()
    assert wait_for(lambda: ask(running, token, model="e").status_code == 200, 2.0)


def test_a_debate_holds_its_place_to_the_end(running: Gateway) -> None:
    token = running.key("--concurrent", "1")
    told = ask(running, token, "/v1/adversarial", prompt="[echo delay=0.1] one two three", messages=None, stream=True)
    seen = [line for line in told.iter_lines() if line.startswith(b"event: phase.completed")]
    assert len(seen) == 3
    assert ask(running, token, model="e").status_code == 200


def test_an_answer_is_as_long_as_the_key_allows(running: Gateway, provider: ScriptedProvider) -> None:
    token = running.key("--max-tokens", "50")
    assert ask(running, token, model="m").status_code == 200
    assert provider.requests[-1].json["max_tokens"] == 50
    assert ask(running, token, model="m", max_tokens=20).status_code == 200
    assert provider.requests[-1].json["max_tokens"] == 20
    refused = ask(running, token, model="m", max_tokens=51)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "max_tokens")


def test_a_team_shares_its_limits(running: Gateway) -> None:
    first, second = running.key("--team", "search"), running.key("--team", "search")
    limit = "from accounts.models import Team; Team.objects.filter(name='search').update(rpm=3, max_cost_micro=1)"
    assert running.run("shell", "-v0", "-c", limit).returncode == 0
    assert wait_for(lambda: "x-ratelimit-limit-requests" in ask(running, first, model="e").headers, 2.0)
    statuses = [ask(running, token, model="e").status_code for token in (second, first, second, first)]
    assert statuses.count(429) >= 2
    refused = ask(running, second, model="e")
    assert "of team 'search' is reached" in refused.json()["error"]["message"]


def mute() -> socket.socket:
    """A Redis that takes connections and never says a word."""
    return socket.create_server(("127.0.0.1", 0), backlog=100)


@pytest.mark.parametrize(("door", "status"), [("open", 200), ("closed", 503)])
def test_a_redis_that_hangs_decides_nothing(provider: ScriptedProvider, tmp_path: Path, door: str, status: int) -> None:
    with mute() as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with Gateway(tmp_path, config(provider), REDIS_URL=url, TOKENHUB_LIMITS_WHEN_AWAY=door) as started:
            token = started.key("--rpm", "1")
            took = []
            for _ in range(20):
                began = time.monotonic()
                assert ask(started, token, model="e").status_code == status
                took.append(time.monotonic() - began)
            assert sorted(took)[10] < 0.3
            assert max(took) < 2
            assert started.log.count("limits cannot be checked") == 1
            free = started.key()
            assert ask(started, free, model="e").status_code == 200
