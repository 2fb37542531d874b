"""Tokens are counted by the provider that would answer; whatever keeps it from that, an estimate is at hand."""

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import requests
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_tokens_params
from anthropic.types.beta import message_create_params as beta_create_params

from gateway.exchange import Policy
from gateway.wire import messages
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error, too_long
from tests.scripted_script import HANG, Says, Script, raw
from tests.server import Gateway, model

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
NUMBER = raw(orjson.dumps({"input_tokens": 4321}))


def config(anthropic: ScriptedProvider) -> dict[str, Any]:
    row = {"name": "anth", "type": "anthropic", "base_url": anthropic.url, "api_key": "sk-ant-canary"}
    return {
        "providers": [row | {"unsupported": ["tool_choice"]}, {"name": "echo", "type": "echo"}],
        "models": [model("claude", "anth"), model("echo-1", "echo")],
    }


@pytest.fixture(scope="module")
def hub(anthropic: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a model of Anthropic's whose row refuses a field."""
    with Gateway(tmp_path_factory.mktemp("hub"), config(anthropic)) as running:
        yield running


def count(hub: Gateway, **body: Any) -> requests.Response:
    whole = {"model": "claude", "messages": HELLO, **body}
    return requests.post(f"{hub.url}/v1/messages/count_tokens", json=whole, timeout=20)


def is_estimate(hub: Gateway, answer: requests.Response) -> bool:
    assert answer.status_code == 200, answer.text
    told = answer.json()["input_tokens"]
    call = hub.call_of(answer)
    assert (call["input_tokens"], call["cost_micro"]) == (told, 0)
    return 0 < told < 50 and call["estimated"] is True


def test_it_works(hub: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(NUMBER)
    answer = count(hub)
    assert answer.json() == {"input_tokens": 4321}
    call = hub.call_of(answer)
    assert (call["model"], call["provider"], call["estimated"]) == ("claude", "anth", False)
    assert (call["input_tokens"], call["cost_micro"]) == (4321, 0)


@pytest.mark.parametrize("asked", [{}, {"timeout_ms": 300}])
@pytest.mark.parametrize("slow", [HANG, Script(NUMBER, delay_before_body=10)])
def test_nobody_waits_long_for_a_number(
    hub: Gateway, anthropic: ScriptedProvider, slow: Script, asked: dict[str, Any]
) -> None:
    anthropic.play(slow)
    began = time.monotonic()
    answer = count(hub, **asked)
    assert time.monotonic() - began < 4
    assert is_estimate(hub, answer)
    assert hub.call_of(answer)["attempts"][0][2] == ("timeout" if asked else "provider_timeout")


def test_what_is_wrong_with_the_message_is_told(hub: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(error("invalid_request_error", "messages.0.role: odd"))
    refused = count(hub)
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "messages.0.role: odd")
    assert hub.call_of(refused)["attempts"][0][:2] == ["claude", 400]


@pytest.mark.parametrize(
    "failure",
    [
        too_long(),
        error("overloaded_error"),
        error("not_found_error", "Not Found"),
        raw(b"", status=405),
        raw(b"{}"),
        raw(b"<html>"),
    ],
)
def test_an_estimate_is_at_hand(hub: Gateway, anthropic: ScriptedProvider, failure: Says) -> None:
    anthropic.play(failure)
    answer = count(hub)
    assert is_estimate(hub, answer)
    assert hub.call_of(answer)["provider"] == "anth"


@pytest.mark.parametrize("name", ["tokenhub/refine", "tokenhub/vote", "echo-1"])
def test_what_nobody_counts_is_estimated(hub: Gateway, anthropic: ScriptedProvider, name: str) -> None:
    assert is_estimate(hub, count(hub, model=name))
    assert anthropic.requests == []


def test_only_what_counts_is_sent(hub: Gateway, anthropic: ScriptedProvider) -> None:
    anthropic.play(NUMBER)
    left_out = {"max_tokens": 5, "stream": True, "temperature": 0.5, "metadata": {"user_id": "a"}, "max_cost": 5}
    kept = {"system": "Be brief.", "something_new": 1}
    assert count(hub, **left_out, **kept, tool_choice={"type": "auto"}).status_code == 200
    assert anthropic.requests[-1].json == {"model": "claude", "messages": HELLO, **kept}


@pytest.mark.parametrize(
    ("created", "counted"),
    [
        (message_create_params.MessageCreateParamsBase, message_count_tokens_params.MessageCountTokensParams),
        (beta_create_params.MessageCreateParamsBase, beta_count_tokens_params.MessageCountTokensParams),
    ],
)
def test_the_official_types_agree(created: Any, counted: Any) -> None:
    body = dict.fromkeys([*created.__annotations__, "temperature", "top_p", "top_k", "stream"], None)
    body |= {"model": "claude", "messages": HELLO}
    asked = messages.read_message(orjson.dumps(body), body, Policy(), {})
    assert orjson.loads(messages.write_question(asked, "m")).keys() <= counted.__annotations__.keys()


@pytest.mark.parametrize(
    ("kind", "cools"),
    [("authentication_error", True), ("billing_error", True), ("permission_error", False), ("rate_limit_error", False)],
)
def test_a_key_that_is_refused_is_told_to_the_cooldowns(
    anthropic: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory, kind: str, *, cools: bool
) -> None:
    """A limit is that of counting alone, and so may be what a key may not do."""
    with Gateway(tmp_path_factory.mktemp("hub"), config(anthropic), TOKENHUB_COOLDOWNS="true") as hub:
        anthropic.play(*[error(kind)] * 3)
        for _ in range(3):
            assert is_estimate(hub, count(hub))
        assert len(anthropic.requests) == (1 if cools else 3)
        answer = hub.post(model="claude")
        assert answer.headers["x-tokenhub-model"] == ("echo-1" if cools else "claude")
