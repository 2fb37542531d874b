"""Answers of providers that speak the Responses API are read as they are, and understood in passing."""

from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway import errors
from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.exchange import RESPONSES, Finish, Policy, Request, Usage
from gateway.wire import responses_relay, responses_stream, responses_thoughts, sse
from gateway.wire.passing import CONTENT, NOTHING, Seen
from gateway.wire.responses_writers import StreamWriter, WholeWriter
from tests import conversations as any_
from tests.gateway.test_wire_responses_stream import ANSWERS, ASKED, HEAD

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 14,
}
BUCKETS = Usage(3, 4, 2, 5, 3)
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x":1}'}


def event(kind: str, **told: Any) -> bytes:
    return sse.event(orjson.dumps({"type": kind, **told}), name=kind.encode())


def response(status: str = "completed", **told: Any) -> dict[str, Any]:
    return {"id": "resp_1", "status": status, "error": None, "output": [], **told}


def read(*events: bytes) -> list[Piece | Finish]:
    reader = responses_stream.StreamReader()
    return [*(piece for event in events for piece in reader.read(event)), *reader.close()]


def passing(*before: bytes) -> responses_relay.PassingResponse:
    seen = responses_relay.PassingResponse()
    for raw in before:
        seen.read(raw)
    return seen


DELTA = event("response.output_text.delta", output_index=0, delta="a")


def test_it_works() -> None:
    last = event("response.completed", response=response(output=[MESSAGE], usage=USAGE))
    looker = passing()
    assert looker.read(event("response.created", response=response("in_progress"))) == NOTHING
    assert looker.read(DELTA) == CONTENT
    assert looker.read(last) == Seen(tells=Finish("stop", BUCKETS), done=True)
    assert looker.close() == Finish("stop", BUCKETS)
    assert read(DELTA, last) == [Words("a"), Finish("stop", BUCKETS)]


# --- relays -----------------------------------------------------------------------------------------------------------


@any_.PATIENT
@given(ANSWERS)
def test_what_is_understood_in_passing_is_what_is_read(said: list[Piece | Finish]) -> None:
    looker = passing()
    *before, last = [looker.read(raw) for raw in any_.events(b"".join(any_.written(StreamWriter(HEAD, ASKED), said)))]
    end = said[-1]
    assert isinstance(end, Finish)
    assert last == Seen(tells=end, done=True)
    assert any(seen.content for seen in before) is (len(said) > 1)
    assert not any(seen.done or seen.tells for seen in before)
    assert responses_relay.read_answer(any_.written(WholeWriter(HEAD, ASKED), said)[-1]) == end


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        (b": ping\n\n", False),
        (event("response.in_progress", response=response()), False),
        (event("response.output_item.added", item={"type": "message"}), False),
        (event("response.output_item.added", item={"type": "reasoning"}), False),
        (event("response.content_part.added", part={}), False),
        (event("response.output_item.added", item=CALL), True),
        (event("response.output_item.added", item={"type": "web_search_call"}), True),
        (event("response.reasoning_summary_text.delta", delta="a"), True),
    ],
)
def test_content_is_told_from_lifecycle(raw: bytes, content: bool) -> None:
    assert passing().read(raw).content is content


def test_after_content_a_delta_is_not_parsed() -> None:
    assert passing(DELTA).read(b"data: {broken}\n\n") == CONTENT
    spoken = event("response.output_text.delta", delta='{"error": "response.completed"}')
    assert passing(DELTA).read(spoken) == CONTENT


def asked(**body: Any) -> Request:
    raw = orjson.dumps(body)
    return responses_relay.read_request(raw, orjson.loads(raw), Policy())


def test_a_request_is_read() -> None:
    request = asked(model="best", input="hi", stream=True, max_output_tokens=9)
    assert (request.format, request.model, request.stream, request.max_tokens) == (RESPONSES, "best", True, 9)
    assert request.conversation.get().max_tokens == 9
    assert request.needs == {"streaming"}
    assert request.estimate > 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 7}, "input"),
        ({"input": "hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "hi", "model": "m" * 201}, "model"),
        ({"input": "hi", "stream": "yes"}, "stream"),
        ({"input": "hi", "max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_a_request_that_is_wrong_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        asked(**body)
    assert raised.value.param == param


@pytest.mark.parametrize("given", [{}, {"max_output_tokens": 99}])
def test_less_room_is_told_in_its_own_field(given: dict[str, Any]) -> None:
    request = asked(input="hi", **given).with_room(7)
    assert orjson.loads(responses_relay.write_relayed(request, "there")) == {
        "model": "there",
        "max_output_tokens": 7,
        "input": "hi",
    }
    assert request.conversation.get().max_tokens == 7


def test_a_request_is_handed_on() -> None:
    request = asked(model="best", stream=True, max_cost=1, input="hi", x_unheard_of=[1], seed=2)
    rest = {"stream": True, "input": "hi", "x_unheard_of": [1]}
    assert orjson.loads(responses_relay.write_relayed(request, "there")) == {"model": "there", **rest, "seed": 2}
    body = responses_relay.write_relayed(request, "there", unsupported=["seed"])
    assert orjson.loads(body) == {"model": "there", **rest}


def test_reasoning_of_another_format_is_not_handed_on() -> None:
    own = {"type": "reasoning", "summary": [], "encrypted_content": responses_thoughts.seal(signature="s")}
    writer = WholeWriter({"id": "resp_1", "created": 1, "model": "best"}, {})
    writer.write(Thinking("hm"))
    (unsigned,) = orjson.loads(writer.write(Finish("stop")))["output"]
    foreign = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    message = {"role": "user", "content": "hi"}
    request = asked(model="best", input=[own, foreign, unsigned, message], store=False)
    body = orjson.loads(responses_relay.write_relayed(request, "there"))
    assert body == {"model": "there", "input": [foreign, message], "store": False}
    spoken = asked(model="best", input=f"What is {responses_thoughts.PREFIX}?")
    assert orjson.loads(responses_relay.write_relayed(spoken, "there"))["input"] == spoken.fields["input"]


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({}, set()),
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"input": [{"type": "additional_tools", "tools": [{}]}]}, {"tools"}),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, {"vision"}),
        ({"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]}, {"vision"}),
        ({"text": {"format": {"type": "json_object"}}}, {"json"}),
    ],
)
def test_what_a_request_needs(body: dict[str, Any], needs: set[str]) -> None:
    assert asked(**{"input": "hi", **body}).needs == needs


# --- answers of other servers -----------------------------------------------------------------------------------------


def test_reasoning_as_other_servers_show_it() -> None:
    summed_up = [
        event("response.reasoning_summary_part.added", output_index=0, summary_index=0),
        event("response.reasoning_summary_text.delta", output_index=0, delta="a"),
        event("response.reasoning_summary_part.added", output_index=0, summary_index=1),
        event("response.reasoning_summary_text.delta", output_index=0, delta="b"),
        event("response.output_item.done", output_index=0, item={"type": "reasoning", "encrypted_content": "gAAAA"}),
        event("response.reasoning_text.delta", output_index=1, delta="c"),
        event("response.completed", response=response()),
    ]
    assert any_.joined(read(*summed_up)) == [Thinking("a\n\nbc"), Finish("stop")]
    shown = {"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}], "content": [{"text": "c"}]}
    assert responses_stream.read_answer(orjson.dumps(response(output=[shown])))[0] == Thinking("a\n\nb")


def test_items_that_come_without_deltas() -> None:
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "patch", "input": "x"}
    expected = [
        Words("a"),
        Words("b", is_refusal=True),
        CallBegins(0, "c", "f"),
        CallArguments(0, '{"x":1}'),
        CallBegins(1, "d", "patch"),
        CallArguments(1, '{"input":"x"}'),
        Finish("tool_calls"),
    ]
    items: list[dict[str, Any]] = [MESSAGE, CALL, custom, {"type": "web_search_call"}]
    done = [event("response.output_item.done", output_index=place, item=item) for place, item in enumerate(items)]
    assert read(*done, event("response.completed", response=response(output=items))) == expected
    assert read(event("response.completed", response=response(output=items))) == expected
    assert responses_stream.read_answer(orjson.dumps(response(output=items))) == expected


def test_refusals_are_words_of_their_kind() -> None:
    said = [event("response.refusal.delta", output_index=0, delta="No."), event("response.completed", response={})]
    assert read(*said) == [Words("No.", is_refusal=True), Finish("stop")]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (response(), "stop"),
        (response("incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
        (response("incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
        (response("incomplete"), "length"),
        (response("incomplete", incomplete_details={"reason": "unheard_of"}), "stop"),
        (response(output=[CALL]), "tool_calls"),
    ],
)
def test_why_an_answer_ended(told: dict[str, Any], reason: str) -> None:
    raw = orjson.dumps(told)
    assert responses_stream.read_answer(raw)[-1] == Finish(reason)
    assert responses_relay.read_answer(raw).reason == reason
    assert read(event(f"response.{told['status']}", response=told))[-1] == Finish(reason)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, None),
        ("many", None),
        ({}, None),
        ({"input_tokens": None, "total_tokens": 3}, None),
        ({"input_tokens": 3, "input_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}}, Usage(0, 3)),
        ({"input_tokens": -5, "output_tokens": True}, Usage()),
        ({"input_tokens": 0}, Usage()),
        ({"output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 9}}, Usage(output=3, reasoning=3)),
    ],
)
def test_a_usage_that_makes_no_sense(usage: Any, expected: Usage | None) -> None:
    assert responses_stream.read_usage(usage) == expected


@pytest.mark.parametrize(
    ("raw", "failure"),
    [
        (event("error", code="rate_limit_exceeded", message="slow down"), errors.RateLimited),
        (event("error", code=None, message="odd"), errors.Broken),
        (event("error", error={"type": "overloaded_error", "message": "busy"}), errors.Overloaded),
        (
            event("response.failed", response=response("failed", error={"code": "insufficient_quota"})),
            errors.QuotaSpent,
        ),
        (
            event("response.failed", response={"error": {"code": "context_length_exceeded", "message": "long"}}),
            errors.Overflowed,
        ),
        (event("response.failed"), errors.Broken),
        (sse.event(b"{broken}"), errors.Broken),
    ],
)
def test_an_error_in_a_stream(raw: bytes, failure: type[errors.ProviderFailure]) -> None:
    with pytest.raises(failure):
        read(raw)
    with pytest.raises(failure):
        passing().read(raw)
    if b"{broken}" not in raw:
        with pytest.raises(failure):
            passing(DELTA).read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"[]", b"{}", b'{"output": 7}', b'{"error": {"message": "x"}}'),
        *(orjson.dumps(response(status)) for status in ("failed", "cancelled")),
    ],
)
def test_a_whole_answer_that_is_none(raw: bytes) -> None:
    for read_it in (responses_stream.read_answer, responses_relay.read_answer):
        with pytest.raises(errors.Broken):
            read_it(raw)


def test_a_stream_that_breaks_off() -> None:
    with pytest.raises(errors.Broken):
        read(event("response.output_text.delta", output_index=0, delta="a"))
    with pytest.raises(errors.Broken):
        read()
    with pytest.raises(errors.Broken):
        passing(DELTA).close()
