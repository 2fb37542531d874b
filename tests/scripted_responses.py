"""What a scripted provider says in the language of OpenAI's Responses, and what one says that speaks all languages.

Source: the public API reference of OpenAI and the types of its official SDK.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from tests.scripted_anthropic import message
from tests.scripted_openai import PROMPT_TOKENS, WORDS, ToolCall, chat_stream
from tests.scripted_script import Answer, Event, Received

_HEAD: Final = {
    "id": "resp_scripted",
    "object": "response",
    "created_at": 1_700_000_000,
    "model": "scripted",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "top_p": 1.0,
    "tool_choice": "auto",
    "tools": [],
}


def response(words: Sequence[str] = WORDS, *, tool_calls: Sequence[ToolCall] = ()) -> Callable[[Received], Answer]:
    """Answer with a response, with an event a word where a stream was asked for."""
    output = len(words) + len(tool_calls)
    usage = {
        "input_tokens": PROMPT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": PROMPT_TOKENS + output,
    }
    items = [*([_message("".join(words))] if words else []), *(_call(*pair) for pair in enumerate(tool_calls))]
    whole = {**_HEAD, "status": "completed", "output": items, "usage": usage}

    def says(received: Received) -> Answer:
        if not received.json.get("stream"):
            return Answer((Event(orjson.dumps(whole)),))
        begun = {"type": "response.created", "response": {**_HEAD, "status": "in_progress", "output": []}}
        events = [begun, *_items(words, tool_calls), {"type": "response.completed", "response": whole}]
        raw = [_event({**event, "sequence_number": number}) for number, event in enumerate(events)]
        return Answer(tuple(map(Event, raw)), content_type="text/event-stream; charset=utf-8")

    return says


def in_every_language(
    words: Sequence[str] = WORDS, *, tool_calls: Sequence[ToolCall] = ()
) -> Callable[[Received], Answer]:
    """Answer in the language of the endpoint: a chat, a message or a response."""
    tongues = {
        "/v1/chat/completions": chat_stream(words, tool_calls=tool_calls),
        "/v1/messages": message(words, tool_calls=tool_calls),
        "/v1/responses": response(words, tool_calls=tool_calls),
    }
    return lambda received: tongues[received.path.partition("?")[0]](received)


def _items(words: Sequence[str], tool_calls: Sequence[ToolCall]) -> Iterator[dict[str, Any]]:
    if words:
        where = {"item_id": "msg_scripted", "output_index": 0, "content_index": 0}
        said = _message("".join(words))
        (part,) = said["content"]
        yield _added(0, {**said, "status": "in_progress", "content": []})
        yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
        for word in words:
            yield {"type": "response.output_text.delta", **where, "delta": word, "logprobs": []}
        yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **where, "part": part}
        yield {"type": "response.output_item.done", "output_index": 0, "item": said}
    for number, call in enumerate(tool_calls):
        place, item = number + bool(words), _call(number, call)
        where = {"item_id": item["id"], "output_index": place}
        yield _added(place, {**item, "status": "in_progress", "arguments": ""})
        for at in range(0, len(call.arguments), call.fragment):
            fragment = call.arguments[at : at + call.fragment]
            yield {"type": "response.function_call_arguments.delta", **where, "delta": fragment}
        ended = {"name": call.name, "arguments": call.arguments}
        yield {"type": "response.function_call_arguments.done", **where, **ended}
        yield {"type": "response.output_item.done", "output_index": place, "item": item}


def _added(place: int, item: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def _message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "message", "id": "msg_scripted", "status": "completed", "role": "assistant", "content": [part]}


def _call(number: int, call: ToolCall) -> dict[str, Any]:
    named = {"call_id": f"call_{number}", "name": call.name, "arguments": call.arguments}
    return {"type": "function_call", "id": f"fc_{number}", "status": "completed", **named}


def _event(told: Mapping[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (str(told["type"]).encode(), orjson.dumps(told))
