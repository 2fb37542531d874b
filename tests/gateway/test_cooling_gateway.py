"""Several workers leave a model alone that asked for it or failed, and come back to it in time."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scripted import ScriptedProvider
from tests.scripted_openai import chat, error
from tests.scripted_script import HANG
from tests.server import Gateway, model, wait_for

WORKERS = 3


@pytest.fixture
def hub(provider: ScriptedProvider, other: ScriptedProvider, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway of several workers that prefers the first of two providers."""
    config = {
        "providers": [
            {"name": "first", "type": "vllm", "base_url": provider.url, "first_byte_timeout": 1.0},
            {"name": "second", "type": "vllm", "base_url": other.url},
        ],
        "models": [model("best", "first", weight=90), model("next", "second")],
    }
    with Gateway(tmp_path, config, TOKENHUB_COOLDOWNS="true", WEB_CONCURRENCY=str(WORKERS)) as running:
        yield running


def asked(gateway: Gateway, times: int, **body: Any) -> list[str]:
    """Who answers so many requests, each over a connection of its own, so that every worker gets some."""
    answers = []
    for _ in range(times):
        gateway.session.close()
        answers.append(gateway.post(**body).headers.get("x-tokenhub-model", "nobody"))
    return answers


def test_it_works(hub: Gateway, provider: ScriptedProvider) -> None:
    """A rate limit is kept to by every worker within a second, until it is over."""
    provider.default = error(429, "slow down", headers={"Retry-After": "4"})
    assert asked(hub, 1) == ["next"]
    limited_at = time.monotonic()
    time.sleep(1.0)
    provider.start_afresh()
    assert asked(hub, 30) == ["next"] * 30
    assert time.monotonic() - limited_at < 4
    assert provider.requests == []
    assert wait_for(lambda: asked(hub, 1) == ["best"])
    assert time.monotonic() - limited_at >= 3.5


def test_a_short_deadline_of_the_caller_cools_nothing(hub: Gateway, provider: ScriptedProvider) -> None:
    provider.default = HANG
    for _ in range(5):
        assert hub.post(timeout_ms=100).json()["error"]["code"] == "timeout"
    provider.start_afresh()
    assert asked(hub, 5) == ["best"] * 5


def test_a_key_that_is_refused_waits_for_an_edit(
    hub: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.default = error(401, "who are you")
    assert asked(hub, 1) == ["next"]
    time.sleep(1.0)
    provider.start_afresh()
    assert asked(hub, 6) == ["next"] * 6
    edit = "from registry.models import Provider; p = Provider.objects.get(name='first'); p.idle_timeout = 9; p.save()"
    assert hub.run("shell", "-c", edit).returncode == 0
    assert wait_for(lambda: asked(hub, WORKERS * 2) == ["best"] * WORKERS * 2)


def test_when_all_is_cooling_the_answer_comes_at_once(
    hub: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    for each, seconds in ((provider, "30"), (other, "9")):
        each.default = error(429, "slow down", headers={"Retry-After": seconds})
    assert asked(hub, 1) == ["next"]
    time.sleep(1.0)
    before = len(provider.requests) + len(other.requests)
    answer = hub.post(explain=True)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 6 <= int(answer.headers["Retry-After"]) <= 9
    assert len(provider.requests) + len(other.requests) == before
    assert hub.call_of(answer)["ms"] < 50


def test_a_model_that_fails_is_left_alone_and_probed_when_nobody_else_can(
    hub: Gateway, provider: ScriptedProvider, other: ScriptedProvider
) -> None:
    provider.default = error(500, "broken")
    asked(hub, WORKERS * 3)
    assert wait_for(lambda: _asks_nobody(hub, provider), 20.0)
    provider.start_afresh()
    assert set(asked(hub, WORKERS * 2)) == {"next"}
    other.default = error(500, "broken too")
    provider.default = chat("back again")
    assert wait_for(lambda: "best" in asked(hub, 1))
    assert wait_for(lambda: asked(hub, WORKERS * 2) == ["best"] * WORKERS * 2)


def _asks_nobody(hub: Gateway, provider: ScriptedProvider) -> bool:
    """Whether no worker sends anything to a provider any more."""
    before = len(provider.requests)
    asked(hub, WORKERS * 10)  # so many that none of the workers is left out
    return len(provider.requests) == before
