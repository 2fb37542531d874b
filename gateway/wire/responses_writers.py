"""Answers written as responses of the Responses API: the events of a stream, or one response.

Source: the public API reference of OpenAI and the types of its official SDK. A response tells again what it was asked
with, and a stream ends with the whole of it; there is no `[DONE]`.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.errors import GatewayError
from gateway.exchange import Finish
from gateway.wire import responses_tools, sse
from gateway.wire.fields import as_object, load
from gateway.wire.pieces import json_text
from gateway.wire.responses_output import Call, Item, Message, Reasoning, Refusal, Told, new_call
from gateway.wire.responses_stream import write_usage
from gateway.wire.responses_tools import Origin

_CUT_OFF: Final[Mapping[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What a response tells again of its request, with what it says where the request does not.
_ECHOED: Final[Mapping[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "user": None,
}
# What it never is: the gateway keeps nothing, and cuts nothing.
_FIXED: Final[Mapping[str, Any]] = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "previous_response_id": None,
    "store": False,
    "truncation": "disabled",
    "usage": None,
}
_CODES: Final = frozenset({"rate_limit_exceeded", "context_length_exceeded"})
_NUMBER: Final = re.compile(rb'"sequence_number": ?(\d+)')


class StreamWriter:
    """Writes the events of a response; `head` holds `id`, `created` and `model`, and `asked` is the caller's body."""

    def __init__(self, head: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        self._answer = _Answer(head, asked)
        self._number = 0

    def write(self, piece: Piece | Finish) -> bytes:
        """Return the events of a piece, the first with `response.created` before it, up to the last."""
        return b"".join(self._event(told) for told in self._answer.tell(piece))

    def _event(self, told: Told) -> bytes:
        raw = orjson.dumps({**told, "sequence_number": self._number})
        self._number += 1
        return sse.event(raw, name=str(told["type"]).encode())


class WholeWriter:
    """Writes one response, at the `Finish`; `head` and `asked` are those of a stream."""

    def __init__(self, head: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        self._answer = _Answer(head, asked)

    def write(self, piece: Piece | Finish) -> bytes:
        """Keep a piece, and return the whole response at the end."""
        told = [*self._answer.tell(piece)]
        return json_text(told[-1]["response"]).encode() if isinstance(piece, Finish) else b""


class StreamEnd:
    """Follows the events of a stream, whoever wrote them, so that an error can be told in one that fits behind them."""

    def __init__(self) -> None:
        self._response: Told | None = None
        self._number = -1

    def see(self, raw: bytes) -> None:
        """Take note of events that are sent."""
        if self._response is None:
            told = next(filter(None, map(sse.data_of, sse.EventSplitter().feed(raw))), None)
            self._response = as_object(load(told).get("response")) if told else None
        for found in _NUMBER.finditer(raw):
            self._number = int(found[1])

    def error_event(self, error: GatewayError) -> bytes:
        """Return `response.failed`, the event that tells of an error after a stream has begun; nothing follows it."""
        code = error.code if error.code in _CODES else "server_error"
        begun = self._response or _response({"id": "resp_0", "created": int(time.time()), "model": ""}, {})
        failed = {**begun, "status": "failed", "error": {"code": code, "message": error.message}}
        told = {"type": "response.failed", "response": failed, "sequence_number": self._number + 1}
        return sse.event(orjson.dumps(told), name=b"response.failed")


class _Answer:
    """Makes the events of an answer, and its output, from pieces."""

    def __init__(self, head: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        self._response = _response(head, asked)
        self._token = str(head["id"]).rpartition("_")[2]
        self._origins = responses_tools.origins(asked)
        self._items: list[Item] = []
        self._open: list[Item] = []
        self._calls: dict[int, Call] = {}

    def tell(self, piece: Piece | Finish) -> Iterator[Told]:
        """Yield the events of a piece, without their numbers."""
        match piece:
            case Words(text, is_refusal) if text:
                yield from self._say(Refusal if is_refusal else Message, text)
            case Thinking():
                yield from self._think(piece)
            case CallBegins():
                yield from self._begin_call(piece)
            case CallArguments(index, text) if text and index in self._calls and self._calls[index].is_open:
                yield from self._calls[index].say(text)
            case Finish():
                yield from self._finish(piece)

    def _think(self, piece: Thinking) -> Iterator[Told]:
        if piece.redacted:
            yield from self._seal(redacted=piece.redacted)
        if piece.text:
            yield from self._say(Reasoning, piece.text)
        if piece.signature:
            yield from self._seal(signature=piece.signature)

    def _seal(self, *, signature: str = "", redacted: str = "") -> Iterator[Told]:
        """End the reasoning with what its model knows it by: a signature belongs to the text before it."""
        last = self._items[-1] if self._items else None
        if not (signature and isinstance(last, Reasoning) and last.is_open):
            last = Reasoning(len(self._items), self._token)
            yield from self._begin(last)
        last.seal(signature=signature, redacted=redacted)
        yield from last.end()

    def _say(self, kind: type[Message | Reasoning], text: str) -> Iterator[Told]:
        """Say more in the last item, or in a new one where another kind is open."""
        last = self._items[-1] if self._items else None
        if not (type(last) is kind and last.is_open):
            last = kind(len(self._items), self._token)
            yield from self._begin(last)
        yield from last.say(text)

    def _begin_call(self, piece: CallBegins) -> Iterator[Told]:
        origin = self._origins.get(piece.name) or Origin("function", piece.name)
        self._calls[piece.index] = new_call(len(self._items), self._token, piece.id, origin)
        yield from self._begin(self._calls[piece.index])

    def _begin(self, item: Item) -> Iterator[Told]:
        """Begin an item, after the end of those before it; calls whose arguments are still to come stay open."""
        yield from self._opening()
        for before in self._open:
            if before.is_open and not (isinstance(before, Call) and not before.is_whole):
                yield from before.end()
        self._items.append(item)
        self._open = [*(before for before in self._open if before.is_open), item]
        yield from item.begin()

    def _opening(self) -> Iterator[Told]:
        if not self._items:
            for kind in ("created", "in_progress"):
                yield {"type": f"response.{kind}", "response": self._response}

    def _finish(self, finish: Finish) -> Iterator[Told]:
        yield from self._opening()
        why = _CUT_OFF.get(finish.reason)
        status = "incomplete" if why else "completed"
        for item in self._open:
            if item.is_open:
                yield from item.end(status)
        response = self._response | {
            "status": status,
            "completed_at": None if why else int(time.time()),
            "incomplete_details": {"reason": why} if why else None,
            "output": [item.told() for item in self._items],
            "usage": write_usage(finish.usage) if finish.usage else None,
        }
        yield {"type": f"response.{status}", "response": response}


def _response(head: Mapping[str, Any], asked: Mapping[str, Any]) -> Told:
    """Return a response that has just begun."""
    echoed = {name: usual if asked.get(name) is None else asked[name] for name, usual in _ECHOED.items()}
    if "format" not in echoed["text"]:
        echoed["text"] = {**_ECHOED["text"], **echoed["text"]}
    own = {"id": head["id"], "object": "response", "created_at": head["created"], "model": head["model"]}
    return {**own, "status": "in_progress", **_FIXED, **echoed, "output": []}
