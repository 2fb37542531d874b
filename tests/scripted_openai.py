"""What a scripted provider says in OpenAI's language: chats, completions, lists of models, errors.

Source: the public API reference of OpenAI and the types of its official SDKs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from tests.scripted_script import Answer, Event, Received, Tokens, raw

PROMPT_TOKENS: Final = 7
WORDS: Final = ("Hello", " from", " here")
_CREATED: Final = 1_700_000_000
_DONE: Final = Event(b"data: [DONE]\n\n")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON as a text, and in a stream it comes in fragments."""

    name: str
    arguments: str = "{}"
    fragment: int = 8


def chat(
    text: str = "".join(WORDS),
    *,
    tool_calls: Sequence[ToolCall] = (),
    usage: Tokens | None = None,
    include_usage: bool = True,
    finish: str = "",
) -> Callable[[Received], Answer]:
    """Answer with a whole chat completion, even where a stream was asked for; `usage` by default counts the words."""
    told = (usage or Tokens(PROMPT_TOKENS, len(text.split()))) if include_usage else None
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if tool_calls:
        message |= {"content": text or None, "tool_calls": [_whole(*pair) for pair in enumerate(tool_calls)]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish or _reason(tool_calls)}

    def says(received: Received) -> Answer:
        body = {**_head(received, "chat.completion"), "choices": [choice]} | ({"usage": _usage(told)} if told else {})
        return Answer((Event(orjson.dumps(body), len(text.split()), told),))

    return says


def chat_stream(
    words: Sequence[str] = WORDS,
    *,
    tool_calls: Sequence[ToolCall] = (),
    include_usage: Literal["as asked"] | bool = "as asked",
    usages: Sequence[Tokens] = (),
    finish: str = "",
    fails_with: str = "",
) -> Callable[[Received], Answer]:
    """Answer with an event a word where a stream was asked for, and with the same as a whole otherwise.

    Each of `usages` is told in an event of its own; by default there is one, with a token for each word and piece of a
    tool call. `fails_with` ends the stream with an error instead.
    """
    deltas = [*({"content": word} for word in words), *_tool_deltas(tool_calls)]
    told = usages or (Tokens(PROMPT_TOKENS, len(deltas)),)

    def says(received: Received) -> Answer:
        if not received.json.get("stream"):
            if fails_with:
                return error(500, fails_with)
            whole = chat(
                "".join(words),
                tool_calls=tool_calls,
                usage=told[-1],
                include_usage=bool(include_usage),
                finish=finish,
            )
            return whole(received)
        options = received.json.get("stream_options") or {}
        wants = options.get("include_usage") is True if include_usage == "as asked" else include_usage
        head = _head(received, "chat.completion.chunk") | ({"usage": None} if wants else {})
        events = [
            _chunk(head, {"role": "assistant", "content": ""}),
            *(_chunk(head, delta, output=1) for delta in deltas),
        ]
        if fails_with:
            events.append(Event(_event({"error": _error(fails_with, "server_error", None)})))
        else:
            events.append(_chunk(head, {}, reason=finish or _reason(tool_calls)))
            events += [Event(_event({**head, "choices": [], "usage": _usage(one)}), 0, one) for one in told if wants]
            events.append(_DONE)
        return Answer(tuple(events), content_type="text/event-stream; charset=utf-8")

    return says


def completion(
    words: Sequence[str] = WORDS, *, usage: Tokens | None = None, finish: str = "stop"
) -> Callable[[Received], Answer]:
    """Answer with a text completion, an event a word where a stream was asked for."""
    told = usage or Tokens(PROMPT_TOKENS, len(words))

    def says(received: Received) -> Answer:
        head = _head(received, "text_completion") | {"id": "cmpl-scripted"}
        if not received.json.get("stream"):
            body = {**head, "choices": [_text("".join(words), finish)], "usage": _usage(told)}
            return Answer((Event(orjson.dumps(body), len(words), told),))
        events = [Event(_event({**head, "choices": [_text(word)]}), 1) for word in words]
        events.append(Event(_event({**head, "choices": [_text("", finish)]})))
        if (received.json.get("stream_options") or {}).get("include_usage"):
            events.append(Event(_event({**head, "choices": [], "usage": _usage(told)}), 0, told))
        return Answer((*events, _DONE), content_type="text/event-stream; charset=utf-8")

    return says


def models(*names: str) -> Answer:
    """List models of these names."""
    data = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "scripted"} for name in names]
    return raw(orjson.dumps({"object": "list", "data": data}))


def error(
    status: int,
    message: str = "scripted",
    *,
    code: str | None = None,
    kind: str = "invalid_request_error",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Refuse; with a status of 200, an error where an answer is expected."""
    return raw(orjson.dumps({"error": _error(message, kind, code)}), status=status, headers=headers)


def like_openai(received: Received) -> Answer:
    """Answer what OpenAI's API has, as it was asked for; 404 for everything else."""
    endpoint = f"{received.method} {received.path.partition('?')[0]}"
    if endpoint == "POST /v1/chat/completions":
        return chat_stream()(received)
    if endpoint == "POST /v1/completions":
        return completion()(received)
    if endpoint == "GET /v1/models":
        return models("scripted")
    return error(404, f"Invalid URL ({endpoint})")


def _head(received: Received, kind: str) -> dict[str, Any]:
    model = received.json.get("model", "scripted")
    return {"id": "chatcmpl-scripted", "object": kind, "created": _CREATED, "model": model}


def _text(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


def _chunk(head: dict[str, Any], delta: dict[str, Any], *, reason: str | None = None, output: int = 0) -> Event:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return Event(_event({**head, "choices": [choice]}), output)


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _tool_deltas(tool_calls: Sequence[ToolCall]) -> Iterator[dict[str, Any]]:
    """Yield, for each call, its name and then its arguments in fragments, which carry nothing but their index."""
    for index, call in enumerate(tool_calls):
        begun = _whole(index, ToolCall(call.name, ""))
        yield {"tool_calls": [{"index": index, **begun}]}
        for start in range(0, len(call.arguments), call.fragment):
            fragment = call.arguments[start : start + call.fragment]
            yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}


def _whole(index: int, call: ToolCall) -> dict[str, Any]:
    return {"id": f"call_{index}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _reason(tool_calls: Sequence[ToolCall]) -> str:
    return "tool_calls" if tool_calls else "stop"


def _usage(tokens: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
    }


def _error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": None, "code": code}
