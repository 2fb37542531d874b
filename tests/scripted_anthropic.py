"""What a scripted provider says in Anthropic's language: whole and streamed messages, errors.

Source: the public API reference of Anthropic and the types of its official SDK.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from tests.scripted_openai import PROMPT_TOKENS, WORDS, ToolCall
from tests.scripted_script import Answer, Event, Received, Tokens, raw

_PING: Final = {"type": "ping"}
_STATUSES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def message(
    words: Sequence[str] = WORDS,
    *,
    thinking: str = "",
    tool_calls: Sequence[ToolCall] = (),
    usage: Tokens | None = None,
    cache_write: int = 0,
    stop: str = "",
    fails_with: str = "",
) -> Callable[[Received], Answer]:
    """Answer with a message, with an event a word where a stream was asked for.

    `usage` by default has a token for each word and tool call; `cache_write` is a part of its input. `stop` is the
    stop_reason. `fails_with` is the type of an error that ends the stream, or comes instead of a whole answer.
    """
    told = usage or Tokens(PROMPT_TOKENS, len(words) + len(tool_calls))
    reason = stop or ("tool_use" if tool_calls else "end_turn")

    def says(received: Received) -> Answer:
        head = {**_HEAD, "model": received.json.get("model"), "stop_sequence": None}
        if received.json.get("stream"):
            begun = Event(
                _event(_start(head, _usage(told, cache_write, output=1))), 0, Tokens(told.input, 1, told.cached)
            )
            blocks = _blocks(words, thinking, tool_calls)
            end = [_error_event(fails_with)] if fails_with else _end(reason, told)
            return Answer((begun, Event(_event(_PING)), *blocks, *end), content_type="text/event-stream; charset=utf-8")
        if fails_with:
            return error(fails_with)
        content = _content(words, thinking, tool_calls)
        body = {**head, "content": content, "stop_reason": reason, "usage": _usage(told, cache_write)}
        return Answer((Event(orjson.dumps(body), told.output, told),))

    return says


def error(
    kind: str, told: str = "scripted", *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Refuse with an error of this type, which has a status of its own."""
    return raw(orjson.dumps(_error(kind, told)), status=status or _STATUSES[kind], headers=headers)


def too_long(prompt: int = 210_000, window: int = 200_000) -> Answer:
    """Refuse a prompt that does not fit the window."""
    return error("invalid_request_error", f"prompt is too long: {prompt} tokens > {window} maximum")


def like_anthropic(received: Received) -> Answer:
    """Answer what Anthropic's API has, to callers that have a key and name a version; refuse all others as it does."""
    if f"{received.method} {received.path.partition('?')[0]}" != "POST /v1/messages":
        return error("not_found_error", f"Not found: {received.path}")
    if not (received.header("x-api-key") or received.header("authorization")):
        return error("authentication_error", "x-api-key header is required")
    if not received.header("anthropic-version"):
        return error("invalid_request_error", "anthropic-version: header is required")
    if "max_tokens" not in received.json:
        return error("invalid_request_error", "max_tokens: Field required")
    return message()(received)


_HEAD: Final = {"id": "msg_scripted", "type": "message", "role": "assistant"}


def _content(words: Sequence[str], thinking: str, tool_calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    thought = [{"type": "thinking", "thinking": thinking, "signature": "signed"}] if thinking else []
    said = [{"type": "text", "text": "".join(words)}] if words else []
    calls = [{**_call(index, call), "input": orjson.loads(call.arguments)} for index, call in enumerate(tool_calls)]
    return [*thought, *said, *calls]


def _start(head: Mapping[str, Any], usage: Mapping[str, int]) -> dict[str, Any]:
    return {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": usage}}


def _blocks(words: Sequence[str], thinking: str, tool_calls: Sequence[ToolCall]) -> Iterator[Event]:
    index = 0
    if thinking:
        deltas = [{"type": "thinking_delta", "thinking": thinking}, {"type": "signature_delta", "signature": "signed"}]
        yield from _block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
        index += 1
    if words:
        yield from _block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in words])
        index += 1
    for number, call in enumerate(tool_calls):
        fragments = [call.arguments[at : at + call.fragment] for at in range(0, len(call.arguments), call.fragment)]
        deltas = [{"type": "input_json_delta", "partial_json": fragment} for fragment in fragments]
        yield from _block(index + number, {**_call(number, call), "input": {}}, deltas)


def _block(index: int, block: Mapping[str, Any], deltas: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    yield Event(_event({"type": "content_block_start", "index": index, "content_block": block}))
    for delta in deltas:
        yield Event(_event({"type": "content_block_delta", "index": index, "delta": delta}), 1)
    yield Event(_event({"type": "content_block_stop", "index": index}))


def _end(reason: str, told: Tokens) -> list[Event]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    last = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": told.output}}
    return [Event(_event(last), 0, told), Event(_event({"type": "message_stop"}))]


def _call(index: int, call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{index}", "name": call.name}


def _usage(told: Tokens, cache_write: int, *, output: int | None = None) -> dict[str, int]:
    return {
        "input_tokens": told.input - told.cached - cache_write,
        "cache_creation_input_tokens": cache_write,
        "cache_read_input_tokens": told.cached,
        "output_tokens": told.output if output is None else output,
    }


def _error(kind: str, told: str = "scripted") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": told}, "request_id": "req_scripted"}


def _error_event(kind: str) -> Event:
    return Event(_event(_error(kind)))


def _event(data: Mapping[str, Any]) -> bytes:
    return f"event: {data['type']}\n".encode() + b"data: " + orjson.dumps(data) + b"\n\n"
