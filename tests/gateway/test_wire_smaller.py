"""Small things that servers and callers say in their own way are understood between formats."""

from typing import Any

import orjson
import pytest

from gateway.conversation import CallBegins, Thinking, Words
from gateway.exchange import Finish, Policy
from gateway.wire import anthropic, chat, chat_stream, completions, openai, responses

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def answer(reason: str = "stop", **message: Any) -> list[Any]:
    return chat_stream.read_answer(orjson.dumps({"choices": [{"message": message, "finish_reason": reason}]}))


def to_anthropic(**fields: Any) -> dict[str, Any]:
    asked = chat.read_conversation({"messages": HI} | fields)
    return anthropic.write_conversation(asked, model="m", stream=False, max_tokens=9, native_json=True)


def call(arguments: str) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_it_works() -> None:
    url = {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}}
    (picture,) = to_anthropic(messages=[{"role": "user", "content": [url]}])["messages"][0]["content"]
    assert picture["source"]["media_type"] == "image/jpeg"


def test_null_stands_for_no_arguments() -> None:
    said = [*HI, {"role": "assistant", "tool_calls": [call("null")]}]
    assert to_anthropic(messages=said)["messages"][1]["content"][0]["input"] == {}
    assert answer(tool_calls=[call("null")]) == [CallBegins(0, "c", "f"), Finish("tool_calls")]
    reader = chat_stream.StreamReader()
    parts = [call('{"a":') | {"index": 0}, {"index": 0, "function": {"arguments": "null"}}]
    events = [{"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]} for part in parts]
    told = [piece for each in events for piece in reader.read(b"data: " + orjson.dumps(each) + b"\n\n")]
    assert [getattr(piece, "text", "") for piece in told] == ["", '{"a":', "null"]


def test_mistral_thinks_in_a_part() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "plan"}]}
    assert answer(content=[thought, {"type": "text", "text": "It."}])[:2] == [Thinking("plan"), Words("It.")]


def test_an_answer_that_was_broken_off_is_not_over() -> None:
    assert answer("insufficient_system_resource", content="half")[-1] == Finish("length")


def test_a_function_may_say_nothing() -> None:
    said = [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}]
    asked = chat.read_conversation({"messages": [*HI, *said, {"role": "function", "name": "f", "content": None}]})
    assert len(asked.turns) == 3


def test_only_schemas_are_closed() -> None:
    fixed = {"const": {"type": "object"}}
    schema = {
        "type": "object",
        "properties": {"k": fixed, "n": {"type": ["object", "null"]}, "enum": {"type": "object"}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    told = to_anthropic(response_format=form)["output_config"]["format"]["schema"]
    shut = {"additionalProperties": False}
    assert told["properties"] == {
        "k": fixed,
        "n": shut | {"type": ["object", "null"]},
        "enum": shut | {"type": "object"},
    }


@pytest.mark.parametrize("unsaid", ["max_tokens", "max_completion_tokens"])
def test_one_limit_stays_one(unsaid: str) -> None:
    said = ({"max_tokens", "max_completion_tokens"} - {unsaid}).pop()
    body = {"model": "m", "messages": HI, unsaid: None, said: 100}
    request = openai.read_chat(orjson.dumps(body), body, Policy()).with_room(50)
    told = orjson.loads(openai.write_relayed(request, "there"))
    assert (told[said], told[unsaid]) == (50, None)


def test_a_completion_keeps_what_chats_have_too() -> None:
    asks: dict[str, Any] = {"seed": 7, "frequency_penalty": 1, "presence_penalty": 0.5, "logit_bias": {"1": 5}}
    asked = completions.read_conversation({"prompt": "a", "logit_bias": None} | asks)
    written = chat.write_conversation(asked, model="m", stream=False)
    assert {name: written.get(name) for name in asks} == asks
    assert (asked.dropped, chat.losses(asked)) == ((), ())
    assert anthropic.losses(asked, max_tokens=9) == responses.losses(asked) == tuple(asks)


def test_an_effort_that_nobody_knows_is_named() -> None:
    for effort, dropped in (("turbo", ("output_config.effort",)), ("high", ())):
        asked = anthropic.read_conversation({"messages": HI, "output_config": {"effort": effort}})
        assert asked.dropped == dropped
