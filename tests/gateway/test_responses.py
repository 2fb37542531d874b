"""Responses of OpenAI's newer format: relayed where a provider has them, and answered by all others."""

from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest

from tests.scripted import ScriptedProvider
from tests.scripted_anthropic import message
from tests.scripted_openai import ToolCall, chat, chat_stream, error
from tests.scripted_script import Answer, Cut, Script, raw, raw_stream
from tests.server import Gateway

BOTH = pytest.mark.parametrize("name", ["claude-2", "llama-local"])
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "of a town",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture
def client(sdk: openai.OpenAI) -> openai.OpenAI:
    """The official client."""
    return sdk


@BOTH
def test_it_works(client: openai.OpenAI, name: str) -> None:
    said = client.responses.create(model=name, input="hello", instructions="Be brief.")
    assert (said.output_text, said.status, said.object) == ("Hello from here", "completed", "response")
    assert said.usage
    assert said.usage.input_tokens > 0 < said.usage.output_tokens


@BOTH
def test_a_stream(client: openai.OpenAI, name: str) -> None:
    with client.responses.stream(model=name, input="hello") as events:
        kinds = [event.type for event in events]
        last = events.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert last.output_text == "Hello from here"


_SCREEN: dict[str, Any] = {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}
_RUNS: dict[str, Any] = {"type": "exec", "command": ["ls"], "env": {}}
ITEMS: list[dict[str, Any]] = [
    {"type": "local_shell_call", "id": "l", "call_id": "c", "status": "completed", "action": _RUNS},
    {"type": "local_shell_call_output", "id": "c", "output": "{}"},
    {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}},
    {"type": "shell_call_output", "call_id": "c", "output": []},
    {"type": "apply_patch_call", "call_id": "c", "status": "completed", "operation": {"type": "delete_file"}},
    {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"},
    {"type": "computer_call", "id": "m", "call_id": "c", "status": "completed", "action": {"type": "screenshot"}},
    {"type": "computer_call_output", "call_id": "c", "output": _SCREEN},
]


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_calls_that_only_openais_models_know_are_refused(trio: Gateway, name: str, *, stream: bool) -> None:
    for item in ITEMS:
        given = [{"role": "user", "content": "go on"}, item]
        answer = trio.post("/v1/responses", messages=None, model=name, input=given, tools=[TOOL], stream=stream)
        told = answer.json()["error"]
        assert (answer.status_code, told["code"]) == (400, "no_model_for_request"), item
        assert f"{name}: cannot translate `input[1].type`" in told["message"]


@BOTH
@pytest.mark.parametrize("kind", ["local_shell", "computer_use_preview"])
def test_tools_that_only_openais_models_know_are_named(trio: Gateway, name: str, kind: str) -> None:
    asked: dict[str, Any] = {"model": name, "messages": None, "input": "hello"}
    answer = trio.post("/v1/responses", **asked, tools=[{"type": kind}, TOOL])
    assert answer.headers["x-tokenhub-model"] == name
    assert f"tools[].{kind}" in answer.headers["x-tokenhub-dropped-params"].split(",")
    alone = trio.post("/v1/responses", **asked, tools=[{"type": kind}])
    assert (alone.status_code, alone.json()["error"]["code"]) == (400, "no_model_for_request")
    assert f"{name}: cannot translate `tools[0].type`" in alone.json()["error"]["message"]


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_functions(
    client: openai.OpenAI, anthropic: ScriptedProvider, other: ScriptedProvider, name: str, *, stream: bool
) -> None:
    calls = [ToolCall("weather", '{"town": "Ulm"}')]
    anthropic.default = message(["Let me see."], tool_calls=calls)
    if stream:
        other.default = chat_stream(["Let me see."], tool_calls=calls)
        with client.responses.stream(model=name, input="hello", tools=[TOOL]) as events:  # type: ignore[list-item]
            said: Any = events.get_final_response()
    else:
        other.default = chat("Let me see.", tool_calls=calls)
        said = client.responses.create(model=name, input="hello", tools=[TOOL])  # type: ignore[list-item]
    (call,) = [item for item in said.output if item.type == "function_call"]
    assert (call.name, orjson.loads(call.arguments)) == ("weather", {"town": "Ulm"})
    for each in (anthropic, other):
        each.start_afresh()
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    history: list[Any] = [{"role": "user", "content": "hello"}, *said.output, result]
    assert client.responses.create(model=name, input=history, tools=[TOOL]).status == "completed"  # type: ignore[list-item]


@pytest.mark.parametrize("field", ["previous_response_id", "conversation"])
def test_there_is_no_state(trio: Gateway, field: str) -> None:
    refused = trio.post("/v1/responses", messages=None, input="x", **{field: "resp_1"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, field)
    assert "input" in refused.json()["error"]["message"]


@BOTH
def test_an_error_after_words_ends_the_response(
    client: openai.OpenAI, anthropic: ScriptedProvider, other: ScriptedProvider, name: str
) -> None:
    anthropic.play(message(["some", " words"], fails_with="overloaded_error"))
    other.play(Script(chat_stream(["some", " words"]), cut=Cut(after=3)))
    events = list(client.responses.create(model=name, input="hello", stream=True))
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.id == events[0].response.id  # type: ignore[union-attr]  # the first is response.created
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.fixture(scope="module")
def native(provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose provider has responses of its own."""
    row = {"name": "p", "type": "openai", "base_url": provider.url, "api_key": "sk-canary"}
    config = {
        "providers": [{**row, "endpoints": ["chat", "responses"]}, {"name": "echo", "type": "echo"}],
        "models": [
            {"id": "m", "provider": "p", "weight": 90, "context_size": 8192, "name": "m-there"},
            {"id": "echo", "provider": "echo", "weight": 10, "context_size": 8192},
        ],
    }
    with Gateway(tmp_path_factory.mktemp("native"), config) as running:
        yield running


def response(**more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    text = {"type": "output_text", "text": "Hello", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    return {"id": "resp_1", "object": "response", "status": "completed", "output": [item], "usage": usage, **more}


def test_a_provider_with_responses_has_them_relayed(native: Gateway, provider: ScriptedProvider) -> None:
    told = orjson.dumps(response(something_new=[1]))
    provider.play(raw(told))
    answer = native.post("/v1/responses", messages=None, model="m", input="x", new_field={"a": 1}, max_cost=5)
    assert answer.content == told
    (received,) = provider.requests
    assert received.path == "/v1/responses"
    assert received.json == {"messages": None, "model": "m-there", "input": "x", "new_field": {"a": 1}}
    call = native.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"], call["estimated"]) == (7, 2, False)


def test_a_relayed_stream_passes_byte_for_byte(native: Gateway, provider: ScriptedProvider) -> None:
    events = [
        {"type": "response.created", "response": response(status="in_progress", output=[]), "sequence_number": 0},
        {"type": "response.output_text.delta", "delta": "Hello", "sequence_number": 1},
        {"type": "response.completed", "response": response(), "sequence_number": 2},
    ]
    told = [b"event: " + str(each["type"]).encode() + b"\ndata: " + orjson.dumps(each) + b"\n\n" for each in events]
    provider.play(raw_stream(*told))
    answer = native.post("/v1/responses", messages=None, model="m", input="x", stream=True)
    assert answer.content == b"".join(told)
    call = native.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"], call["estimated"]) == (7, 2, False)


def test_another_provider_answers_where_that_one_is_down(native: Gateway, provider: ScriptedProvider) -> None:
    provider.play(error(503, "busy"))
    answer = native.post("/v1/responses", messages=None, model="m", input="hello you")
    assert answer.headers["x-tokenhub-model"] == "echo"
    assert answer.json()["output"][0]["content"][0]["text"] == "hello you"


def test_a_flow_can_be_asked_in_this_format(client: openai.OpenAI) -> None:
    said = client.responses.create(model="tokenhub/refine", input="hello", instructions="Be brief.")
    assert said.output_text == "Hello from here"


def event(kind: str, **told: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **told}) + b"\n\n"


FAILED: dict[str, Any] = {
    "id": "r",
    "object": "response",
    "status": "failed",
    "output": [],
    "error": {"code": "server_error", "message": "boom"},
    "usage": {"input_tokens": 1234, "output_tokens": 567, "total_tokens": 1801},
}
WORDS = event("response.output_text.delta", sequence_number=1, delta="Hel")
LAST = event("response.failed", sequence_number=2, response=FAILED)


@pytest.mark.parametrize("says", [raw_stream(WORDS, LAST), raw_stream(LAST), raw(orjson.dumps(FAILED))])
def test_what_a_response_that_failed_has_used_is_booked(
    native: Gateway, provider: ScriptedProvider, says: Answer
) -> None:
    provider.default = says
    is_stream = says.content_type != "application/json"
    answer = native.post("/v1/responses", model="m", input="hi", stream=is_stream, fallback=False)
    assert b"boom" in answer.content
    attempts = len(provider.requests)
    call = native.call_of(answer)
    assert (call["input_tokens"], call["output_tokens"]) == (1234 * attempts, 567 * attempts)
    assert not call["estimated"]


@pytest.mark.parametrize("last", [LAST, event("error", sequence_number=2, code="server_error", message="boom")])
def test_a_failure_in_a_relayed_stream_passes_byte_for_byte(
    native: Gateway, provider: ScriptedProvider, last: bytes
) -> None:
    provider.play(raw_stream(WORDS, last))
    answer = native.post("/v1/responses", model="m", input="hi", stream=True, fallback=False)
    assert answer.content == WORDS + last
    assert native.call_of(answer)["error"] == "provider_error"


def test_a_failure_that_quotes_our_key_does_not(native: Gateway, provider: ScriptedProvider) -> None:
    provider.play(raw_stream(WORDS, event("error", code="server_error", message="bad key sk-canary")))
    answer = native.post("/v1/responses", model="m", input="hi", stream=True, fallback=False)
    assert b"response.failed" in answer.content
    assert b"sk-canary" not in answer.content
