"""One model plans, another criticises, the first refines: the answer has it all, and what it cost."""

from typing import Any

import pytest

from tests.gateway.debates import CRITIQUE, PLAN, PROMPT, ask, play_debate, sent, without_comments
from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import error as anthropic_error
from tests.scripted_anthropic import message
from tests.scripted_openai import chat_stream, error
from tests.scripted_script import Cut, Received, Says, Script, Tokens
from tests.server import Gateway


def said(received: Received) -> str:
    """Return all that a model was told."""
    return str(received.json.get("system", "")) + str(received.json["messages"])


@pytest.fixture
def debate(provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """OpenAI plans and refines, Anthropic criticises."""
    play_debate(provider, anthropic)


def test_it_works(trio: Gateway, debate: None) -> None:
    """The example of the users' guide, with the fields that it promises and those beside them."""
    answer = ask(trio)
    assert answer.status_code == 200
    told = answer.json()
    assert (
        told.items()
        >= {
            "original_prompt": PROMPT,
            "initial_plan": "the plan",
            "critique": "too vague",
            "refined_plan": "better plan",
            "total_tokens": 750,
        }.items()
    )
    assert told["models"] == {"planner": "gpt-4", "critic": "claude-2"}
    assert told["rounds"] == [{"round": 1, "critique": "too vague", "refined_plan": "better plan"}]
    assert told["degraded"] is False
    assert {phase: usage["total_tokens"] for phase, usage in told["usage"].items()} == {
        "plan": 120,
        "critique": 180,
        "refine": 450,
    }
    assert told["cost_usd"] == {"plan": 0.0036, "critique": 0.0018, "refine": 0.0135, "total": 0.0189}
    assert told["request_id"] == answer.headers["x-tokenhub-request-id"]
    assert told.keys() == {
        *("original_prompt", "initial_plan", "critique", "refined_plan", "total_tokens"),
        *("models", "rounds", "degraded", "usage", "cost_usd", "request_id"),
    }
    assert answer.headers["x-tokenhub-cost-usd"] == "0.018900"
    assert answer.headers["x-tokenhub-attempts"] == "3"


def test_what_each_phase_is_told(
    trio: Gateway, debate: None, provider: ScriptedProvider, anthropic: ScriptedProvider
) -> None:
    ask(trio)
    planned, refined = provider.requests
    (criticised,) = anthropic.requests
    assert planned.json["messages"][-1] == {"role": "user", "content": PROMPT}
    assert [text in said(criticised) for text in (PROMPT, "the plan")] == [True, True]
    assert [text in said(refined) for text in (PROMPT, "the plan", "too vague")] == [True, True, True]


def test_all_that_was_counted_is_told(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    """The sum is what the providers counted, the one that failed and the one that took its place among them."""
    anthropic.play(anthropic_error("overloaded_error"))
    answer = ask(trio, rounds=2)
    counted = [each.counted for each in (provider, anthropic, other)]
    assert answer.json()["total_tokens"] == sum(each.input + each.output for each in counted) == 50
    assert answer.headers["x-tokenhub-attempts"] == "6"
    call = trio.call_of(answer)
    assert call["input_tokens"] + call["output_tokens"] == 50


def test_messages_and_system(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    turns.append({"role": "user", "content": "three"})
    answer = ask(trio, prompt=None, messages=turns, system="Be brief.")
    assert answer.json()["original_prompt"] == "one\n\nthree"
    system, *rest = provider.requests[0].json["messages"]
    assert system["role"] == "system"
    assert "Be brief." in system["content"]
    assert rest == turns
    assert [text in said(anthropic.requests[0]) for text in ("Be brief.", "one", "two", "three")] == [True] * 4


def test_a_system_is_no_part_of_the_prompt(trio: Gateway) -> None:
    assert ask(trio, system="Be brief.").json()["original_prompt"] == PROMPT


def test_rounds(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    provider.play(*(chat_stream([text]) for text in ("plan", "draft 1", "draft 2", "draft 3")))
    anthropic.play(*(message([f"critique {number}"]) for number in (1, 2, 3)))
    told = ask(trio, rounds=3).json()
    assert (told["initial_plan"], told["critique"], told["refined_plan"]) == ("plan", "critique 3", "draft 3")
    assert told["rounds"] == [
        {"round": number, "critique": f"critique {number}", "refined_plan": f"draft {number}"} for number in (1, 2, 3)
    ]
    assert "draft 1" in said(anthropic.requests[1])
    assert "critique 2" in said(provider.requests[2]) or "critique 2" in said(provider.requests[3])
    assert told["usage"]["critique"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("asked", "planner", "critic", "degraded"),
    [
        ({}, "gpt-4", "claude-2", False),
        ({"planner": "claude-2"}, "claude-2", "gpt-4", False),
        ({"critic": "llama-local"}, "gpt-4", "llama-local", False),
        ({"planner": "llama-local", "critic": "claude-2"}, "llama-local", "claude-2", False),
        ({"critic": "gpt-4"}, "gpt-4", "gpt-4", True),
        ({"exclude_providers": ["anthropic"]}, "gpt-4", "llama-local", False),
        ({"exclude_providers": ["anthropic", "openai"]}, "llama-local", "llama-local", True),
        ({"max_cost": 0.02}, "claude-2", "llama-local", False),
        ({"models": ["llama-local", "claude-2"]}, "llama-local", "claude-2", False),
        ({"planner": "claude-2", "critic": "claude-2", "fallback": False}, "claude-2", "claude-2", True),
    ],
)
def test_who_plans_and_who_criticises(
    trio: Gateway, asked: dict[str, Any], planner: str, critic: str, *, degraded: bool
) -> None:
    answer = ask(trio, **asked, explain=True)
    told = answer.json()
    assert told["models"] == {"planner": planner, "critic": critic}
    assert told["degraded"] is degraded
    attempts = [(attempt["phase"], attempt["model"]) for attempt in told["tokenhub"]["attempts"]]
    assert attempts == [("plan", planner), ("critique", critic), ("refine", planner)]
    decisions = told["tokenhub"]["decisions"]
    assert [(each["phase"], each["ranked"][0]["model"]) for each in decisions] == attempts


def test_a_critic_of_the_same_provider_is_better_than_none(gateway: Gateway) -> None:
    """At one provider with two models the second criticises."""
    told = ask(gateway, models=["next", "echo-1"]).json()
    assert (told["models"], told["degraded"]) == ({"planner": "next", "critic": "echo-1"}, False)


@pytest.mark.parametrize("name", ["planner", "critic"])
def test_a_model_that_does_not_exist_is_told_by_its_field(trio: Gateway, name: str) -> None:
    refused = ask(trio, **{name: "gpt-9"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, name)


@pytest.mark.parametrize("name", ["gpt-4", ["gpt-4"], 7])
def test_one_model_is_not_enough(trio: Gateway, name: Any) -> None:
    refused = ask(trio, model=name)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "model")


def test_a_failed_planner_is_replaced(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    provider.play(error(500, "down"))
    told = ask(trio).json()
    assert told["models"] == {"planner": "claude-2", "critic": "gpt-4"}
    assert len(anthropic.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["planner", "critic"])
def test_unknown_names(trio: Gateway, provider: ScriptedProvider, name: str, *, stream: bool) -> None:
    """They are found out before anything is paid for."""
    answer = ask(trio, **{name: "gpt-5"}, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "gpt-4" in answer.json()["error"]["message"]
    assert provider.requests == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ({"prompt": None, "messages": []}, "messages"),
        ({"prompt": None, "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"prompt": None, "messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"system": 5}, "system"),
        ({"rounds": 0}, "rounds"),
        ({"rounds": 6}, "rounds"),
        ({"rounds": True}, "rounds"),
        ({"rounds": "2"}, "rounds"),
        ({"planner": 5}, "planner"),
        ({"critic": ["a"]}, "critic"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_total_cost_usd": -1}, "max_total_cost_usd"),
        ({"max_cost": "low"}, "max_cost"),
        ({"stream": 1}, "stream"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
    ],
)
def test_what_is_wrong_is_named(trio: Gateway, provider: ScriptedProvider, body: dict[str, Any], field: str) -> None:
    answer = ask(trio, **body)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["param"]) == (400, "invalid_request", field)
    assert provider.requests == []


def test_settings_reach_every_phase(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    ask(trio, max_tokens=77, temperature=0.3)
    asked = [received.json for received in (*provider.requests, *anthropic.requests)]
    limits = [body.get("max_tokens") or body.get("max_completion_tokens") for body in asked]
    assert (limits, [body["temperature"] for body in asked]) == ([77] * 3, [0.3] * 3)


def test_a_limit_of_cost_that_is_met(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """The plan is paid, and the critique fits no more: what was made is told, and nothing else is asked."""
    provider.play(chat_stream(["the", " plan"], usages=[Tokens(500, 100)]))
    answer = ask(trio, max_total_cost_usd=0.0185, max_tokens=100)
    assert answer.status_code == 402
    told = answer.json()
    assert (told["error"]["code"], told["error"]["param"]) == ("max_total_cost_exceeded", "max_total_cost_usd")
    assert told["phase"] == "critique"
    partial = told["partial"]
    assert (partial["initial_plan"], partial["critique"], partial["refined_plan"]) == ("the plan", None, None)
    assert (partial["total_tokens"], partial["cost_usd"]) == (600, {"plan": 0.018, "total": 0.018})
    assert (len(provider.requests), anthropic.requests) == (1, [])


def test_a_limit_of_cost_that_is_too_low_for_anything(trio: Gateway, provider: ScriptedProvider) -> None:
    answer = ask(trio, max_total_cost_usd=0.0001)
    assert (answer.status_code, answer.json()["partial"]["total_tokens"]) == (402, 0)
    assert provider.requests == []


def test_a_limit_of_cost_that_is_enough(trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider) -> None:
    """An output has a bound where its cost has one."""
    assert ask(trio, max_total_cost_usd=1).json()["cost_usd"]["total"] < 1
    asked = [received.json for received in (*provider.requests, *anthropic.requests)]
    assert [0 < body.get("max_tokens", body.get("max_completion_tokens")) < 20_000 for body in asked] == [True] * 3


def test_who_is_too_dear_for_the_rest_takes_nobodys_place(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    other.play(error(500, "down"))
    answer = ask(trio, planner="llama-local", critic="llama-local", max_total_cost_usd=0.0001)
    assert answer.status_code == 200
    assert answer.json()["models"]["planner"] == "llama-local"
    assert provider.requests == anthropic.requests == []


DOWN: dict[str, tuple[Says | Script, ...]] = {
    "plan": (),
    "critique": (chat_stream(["the", " plan"], usages=[PLAN]),),
    "refine": (chat_stream(["the", " plan"], usages=[PLAN]), message(["too", " vague"], usage=CRITIQUE)),
}


@pytest.mark.parametrize(("phase", "tokens"), [("plan", 0), ("critique", 120), ("refine", 300)])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failing_phase_loses_nothing(
    trio: Gateway, provider: ScriptedProvider, anthropic: ScriptedProvider, phase: str, tokens: int, *, stream: bool
) -> None:
    provider.play(*DOWN[phase][:1])
    anthropic.play(*DOWN[phase][1:])
    provider.default = anthropic.default = error(400, "no such setting")
    answer = ask(trio, stream=stream)
    if stream:
        assert answer.status_code == 200
        *_, (name, told) = sent(answer)
        assert name == "error"
    else:
        assert answer.status_code == 502
        told = answer.json()
    assert told["error"]["code"] == "phase_failed"
    assert "no such setting" in told["error"]["message"]
    assert told["phase"] == phase
    partial = told["partial"]
    made = (partial["original_prompt"], partial["initial_plan"], partial["critique"], partial["refined_plan"])
    assert made == (PROMPT, "the plan" if tokens else None, "too vague" if tokens == 300 else None, None)
    assert partial["total_tokens"] == tokens
    call = trio.call_of(answer)
    assert (call["status"], call["error"], call["input_tokens"] + call["output_tokens"]) == (
        502,
        "phase_failed",
        tokens,
    )


def test_a_phase_that_breaks_off_is_counted(
    trio: Gateway, debate: None, anthropic: ScriptedProvider, other: ScriptedProvider
) -> None:
    anthropic.start_afresh()
    anthropic.play(Script(message(["half", " of", " it"], usage=CRITIQUE), cut=Cut(after=5)))
    answer = ask(trio, stream=True)
    *_, (name, told) = without_comments(answer)
    assert (name, told["phase"], told["cause"]) == ("error", "critique", "provider_error")
    partial = told["partial"]
    assert partial["initial_plan"] == "the plan"
    assert partial["usage"]["plan"]["total_tokens"] == 120
    broken = partial["usage"]["critique"]
    assert (broken["estimated"], broken["completion_tokens"]) == (True, 2)
    assert partial["total_tokens"] == 120 + broken["total_tokens"]
    assert partial["cost_usd"]["critique"] > 0
    assert other.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_phase_without_words_has_failed(trio: Gateway, anthropic: ScriptedProvider, *, stream: bool) -> None:
    anthropic.play(message([], usage=Tokens(9, 8), stop="max_tokens"))
    answer = ask(trio, stream=stream)
    told = without_comments(answer)[-1][1] if stream else answer.json()
    assert (told["error"]["code"], told["phase"], told["cause"]) == ("phase_failed", "critique", "provider_error")
    assert "claude-2 ended (length) without a word" in told["error"]["message"]
    assert told["partial"]["usage"]["critique"]["total_tokens"] == 17


def test_a_limit_of_cost_without_measure_is_none(trio: Gateway) -> None:
    assert ask(trio, max_total_cost_usd=1e308).status_code == 200
