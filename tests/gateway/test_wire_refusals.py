"""A refusal keeps its kind on its way from a chat: it is no answer of the form that was asked for."""

from typing import Any

import openai
import orjson
import pytest
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from gateway.conversation import Piece, Words
from gateway.exchange import Finish
from gateway.wire import anthropic_writers, chat_stream, responses_stream, responses_writers
from gateway.wire.pieces import Writer
from tests import conversations as any_
from tests.scripted import ScriptedProvider
from tests.scripted_script import raw

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
HEAD = {"id": "x_1", "created": 1_800_000_000, "model": "best"}
REFUSED: list[Piece | Finish] = [Words("I ", is_refusal=True), Words("cannot.", is_refusal=True), Finish("stop")]
TOLD = {"role": "assistant", "content": None, "refusal": "I cannot."}
CHAT: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": TOLD, "finish_reason": "stop"}],
}


class Town(BaseModel):
    """A form of answer."""

    name: str


def last(writer: Writer, said: list[Piece | Finish]) -> Any:
    return orjson.loads(any_.written(writer, said)[-1])


def test_it_works(other: ScriptedProvider, sdk: openai.OpenAI) -> None:
    other.play(raw(orjson.dumps(CHAT)))
    parsed = sdk.responses.parse(model="llama-local", input="Which town?", text_format=Town)
    (message,) = parsed.output
    assert message.type == "message"
    assert [part.type == "refusal" and part.refusal for part in message.content] == ["I cannot."]
    assert (parsed.output_parsed, parsed.status) == (None, "completed")


def test_it_is_read() -> None:
    assert chat_stream.read_answer(orjson.dumps(CHAT))[0] == Words("I cannot.", is_refusal=True)


def test_a_chat_has_a_field_for_it() -> None:
    message = last(chat_stream.WholeWriter(HEAD), REFUSED)["choices"][0]["message"]
    assert message == TOLD
    events = b"".join(any_.written(chat_stream.StreamWriter(HEAD), REFUSED))
    assert b'"refusal":"cannot."' in events
    reader = chat_stream.StreamReader()
    assert [piece for event in any_.events(events) for piece in reader.read(event)] == REFUSED


def test_a_message_ends_for_it() -> None:
    whole = last(anthropic_writers.WholeWriter(HEAD), REFUSED)
    assert (whole["content"], whole["stop_reason"]) == ([{"type": "text", "text": "I cannot."}], "refusal")
    stream = b"".join(any_.written(anthropic_writers.StreamWriter(HEAD), REFUSED))
    assert b'"stop_reason":"refusal"' in stream


def test_a_response_has_a_part_for_it() -> None:
    whole = last(responses_writers.WholeWriter(HEAD, {}), REFUSED)
    assert whole["output"][0]["content"] == [{"type": "refusal", "refusal": "I cannot."}]
    stream = b"".join(any_.written(responses_writers.StreamWriter(HEAD, {}), [Words("Well."), *REFUSED]))
    told = [orjson.loads(event.partition(b"data: ")[2]) for event in any_.events(stream)]
    state = ResponseStreamState(input_tools=openai.omit, text_format=openai.omit)
    for event in told:
        state.handle_event(EVENTS.validate_python(event))
    kinds = [[part["type"] for part in item["content"]] for item in told[-1]["response"]["output"]]
    assert kinds == [["output_text"], ["refusal"]]
    reader = responses_stream.StreamReader()
    assert [piece for event in any_.events(stream) for piece in reader.read(event)] == [Words("Well."), *REFUSED]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_another_reason_to_end_stands(reason: str) -> None:
    whole = last(anthropic_writers.WholeWriter(HEAD), [REFUSED[0], Finish(reason)])
    assert whole["stop_reason"] == {"length": "max_tokens", "content_filter": "refusal"}[reason]
