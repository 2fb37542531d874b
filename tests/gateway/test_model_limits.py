"""What a model may take, of all callers and over all workers: beyond it the next model answers, or it is 429."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import requests
from redis import Redis

from tests.databases import own_database
from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat_stream, error
from tests.scripted_script import HANG, Script
from tests.server import Gateway, model, wait_for

SLOW = Script(chat_stream([" x"] * 20), delay_between_pieces=0.1)


def config(provider: ScriptedProvider) -> dict[str, Any]:
    """Models with limits at a provider; each test has its own, since a minute is long."""
    limited: dict[str, dict[str, Any]] = {
        **{f"rpm-{number}": {"rpm": 1} for number in range(3)},
        **{f"one-{number}": {"concurrent": 1} for number in range(5)},
        "tpm": {"tpm": 1000},
        "vectors": {"rpm": 1, "capabilities": ["embedding"]},
        "twice": {"rpm": 2},
        "once": {"rpm": 1},
    }
    return {
        "providers": [{"name": "p", "type": "vllm", "base_url": provider.url}, {"name": "echo", "type": "echo"}],
        "models": [
            *(model(name, "p", **limits) for name, limits in limited.items()),
            model("spare", "echo", weight=1, cost_per_1k=0),
        ],
    }


def counter(*, has_redis: bool) -> dict[str, str]:
    """The part of an environment that says where workers count: in a Redis where no model was counted yet, if asked."""
    if not has_redis:
        return {}
    url = f"redis://127.0.0.1:6379/{4 + secrets.randbelow(12)}"
    with Redis.from_url(url) as redis:
        redis.delete(*(f"tokenhub:limit:model:{number}" for number in range(100)))
    return {"REDIS_URL": url}


@pytest.fixture(scope="module", params=[False, True], ids=["database", "redis"])
def running(
    provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Gateway]:
    """A gateway of one worker."""
    folder = tmp_path_factory.mktemp("model-limits")
    with (
        own_database() as database,
        Gateway(folder, config(provider), **database, **counter(has_redis=request.param)) as started,
    ):
        yield started


def models(*names: str) -> dict[str, Any]:
    """The part of a body that names these models, and no others."""
    return {"model": names[0], "models": list(names), "fallback": False}


def served_by(answer: requests.Response) -> str:
    """Who answered."""
    assert answer.status_code == 200, answer.text
    return answer.headers["x-tokenhub-model"]


def test_it_works(running: Gateway, provider: ScriptedProvider) -> None:
    asked = models("rpm-0", "rpm-1")
    assert [served_by(running.post(**asked)) for _ in range(2)] == ["rpm-0", "rpm-1"]
    told = running.post(**asked, explain=True)
    assert (told.status_code, len(provider.requests)) == (429, 2)
    assert 50 < int(told.headers["Retry-After"]) <= 61
    assert "x-should-retry" not in told.headers
    body = told.json()
    assert (body["error"]["code"], body["error"]["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert "rpm-0: at its limit of 1 requests a minute; rpm-1: at its limit of" in body["error"]["message"]
    reason = "at its limit of 1 requests a minute"
    (decision,) = body["tokenhub"]["decisions"]
    left_out = {each["model"]: each["reason"] for each in decision["excluded"]}
    assert (left_out["rpm-0"], left_out["rpm-1"], decision["ranked"]) == (reason, reason, [])
    assert body["tokenhub"]["attempts"] == []
    assert served_by(running.post(**models("rpm-0", "rpm-1", "spare"))) == "spare"


def test_a_refusal_has_the_format_of_its_endpoint(running: Gateway) -> None:
    asked: dict[str, Any] = {"models": ["rpm-2"], "fallback": False}
    assert running.post(model="rpm-2", **asked).ok
    words: Any = [{"role": "user", "content": "hello"}]
    with (
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as told,
    ):
        client.chat.completions.create(model="rpm-2", messages=words, stream=True, extra_body=asked)
    assert int(told.value.response.headers["Retry-After"]) > 50
    with (
        anthropic.Anthropic(base_url=running.url, api_key="any", max_retries=0) as client_of_anthropic,
        pytest.raises(anthropic.RateLimitError) as refused,
    ):
        client_of_anthropic.messages.create(model="rpm-2", messages=words, max_tokens=5, extra_body=asked)
    assert int(refused.value.response.headers["Retry-After"]) > 50
    assert refused.value.response.json()["error"]["type"] == "rate_limit_error"
    counted = running.post("/v1/messages/count_tokens", model="rpm-2")
    assert counted.ok


def test_vectors_are_counted(running: Gateway, provider: ScriptedProvider) -> None:
    statuses = [running.post("/v1/embeddings", model="vectors", input="a", messages=None) for _ in range(2)]
    assert [each.status_code for each in statuses][1] == 429
    assert len(provider.requests) == 1


def test_a_repeat_counts(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(error(500, "broken"), error(500, "broken"))
    assert running.post(**models("twice")).status_code == 502
    assert len(provider.requests) == 2
    assert running.post(**models("twice")).status_code == 429
    provider.play(error(500, "broken"))
    told = running.post(**models("once"))
    assert (told.status_code, len(provider.requests)) == (502, 3)  # there was no room for a repeat


def test_tokens_count_as_they_were_used(running: Gateway) -> None:
    for _ in range(3):
        assert served_by(running.post(**models("tpm", "spare"), max_tokens=800)) == "tpm"
    assert served_by(running.post(**models("tpm", "spare"), max_tokens=1000)) == "spare"


def begun(running: Gateway, provider: ScriptedProvider, name: str) -> tuple[requests.Response, Iterator[bytes]]:
    """Return a stream of a model that has begun, and the rest of its lines."""
    provider.play(SLOW)
    stream = running.post(model=name, stream=True)
    lines = stream.iter_lines()
    next(lines)
    return stream, lines


def test_a_place_is_free_when_the_stream_has_ended(running: Gateway, provider: ScriptedProvider) -> None:
    _, lines = begun(running, provider, "one-0")
    other = running.post(**models("one-0", "spare"))
    alone = running.post(**models("one-0"))
    assert (served_by(other), alone.status_code, alone.headers["Retry-After"]) == ("spare", 429, "1")
    assert [line for line in lines if line][-1] == b"data: [DONE]"
    for stream in [True, False] * 10:  # whoever has the last byte may ask again at once
        answer = running.post(**models("one-0", "spare"), stream=stream)
        assert served_by(answer) == "one-0"
        assert answer.content


def test_a_place_is_free_when_the_caller_leaves(running: Gateway, provider: ScriptedProvider) -> None:
    stream, _ = begun(running, provider, "one-1")
    assert served_by(running.post(**models("one-1", "spare"))) == "spare"
    stream.close()
    assert wait_for(lambda: served_by(running.post(**models("one-1", "spare"))) == "one-1", 3.0)


def test_a_place_is_free_when_another_was_quicker(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(HANG)
    assert served_by(running.post(**models("one-2", "spare"), hedge_ms=50)) == "spare"
    assert served_by(running.post(**models("one-2", "spare"))) == "one-2"


def test_a_place_is_free_when_the_attempt_has_failed(running: Gateway, provider: ScriptedProvider) -> None:
    provider.play(error(429, "slow down"))
    assert served_by(running.post(**models("one-3", "spare"))) == "spare"
    assert served_by(running.post(**models("one-3", "spare"))) == "one-3"


def test_a_second_beside_the_first_needs_room(running: Gateway, provider: ScriptedProvider) -> None:
    _, lines = begun(running, provider, "one-4")
    answer = running.post(**models("spare", "one-4"), messages=[{"role": "user", "content": "[echo delay=0.3] a"}],
                          hedge_ms=50)  # fmt: skip
    assert (served_by(answer), answer.headers["x-tokenhub-attempts"]) == ("spare", "1")
    assert list(lines)


@pytest.mark.parametrize("has_redis", [False, True], ids=["database", "redis"])
def test_four_workers_count_as_one(tmp_path: Path, has_redis: bool) -> None:
    """Of 200 requests at once 30 go to the first model, 40 to the second, and the rest is told to wait."""
    environment = {"WEB_CONCURRENCY": "4"} | counter(has_redis=has_redis)
    rows = [model("a", "echo", weight=90, rpm=30), model("b", "echo", rpm=40, concurrent=100)]
    two = {"providers": [{"name": "echo", "type": "echo"}], "models": rows}
    body = {"messages": [{"role": "user", "content": "hello"}]}
    with (
        own_database() as database,
        Gateway(tmp_path, two, **environment | database) as hub,
        ThreadPoolExecutor(32) as askers,
    ):
        url = f"{hub.url}/v1/chat/completions"
        answers = list(askers.map(lambda _: requests.post(url, json=body, timeout=60), range(200)))
        told = [each.headers.get("x-tokenhub-model", each.status_code) for each in answers]
        assert (told.count("a"), told.count("b"), told.count(429)) == (30, 40, 130)
