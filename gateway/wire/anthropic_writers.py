"""Answers written as Anthropic's Messages: the events of a stream, or one message.

Source: the public documentation of Anthropic's streaming and the types of its official SDK. Blocks never overlap there,
and the input of a call is an object; other formats send calls side by side, and their arguments as a text.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway import tokens
from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.errors import Broken
from gateway.exchange import Finish, Usage
from gateway.wire import bodies, sse
from gateway.wire.anthropic_stream import write_usage
from gateway.wire.pieces import json_text

_REASONS: Final[Mapping[str, str]] = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_EMPTY: Final[Mapping[str, Mapping[str, str]]] = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}


@dataclass(slots=True)
class _Call:
    """A call with the text of its arguments as far as it came."""

    begins: CallBegins
    arguments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.arguments)

    @property
    def is_whole(self) -> bool:
        last = next(filter(str.strip, reversed(self.arguments)), "")
        return last.rstrip().endswith("}") and _is_object(self.text)  # what ends otherwise is not worth a parser


class StreamWriter:
    """Writes the events of a message; `head` holds `id` and `model`, `names` those of tools that were shortened.

    A refusal is words, after which the message ends for it. `input_tokens` is an estimate for the first event: what was
    used is known at the end, and told there; where it is not, the estimate stands, with a token for each event. What
    comes beside a call that is not whole yet waits for the rest of it, in its order: the end of a block is the end of
    its call. A call begins with its first arguments, so that one which was cut off before them is not told.
    """

    def __init__(
        self, head: Mapping[str, Any], names: Mapping[str, str] | None = None, *, input_tokens: int = 0
    ) -> None:
        self._head = head
        self._names = names or {}
        self._input_tokens = input_tokens
        self._said = 0
        self._begun = False
        self._index = 0
        self._refuses = False
        self._open = ""
        self._call: _Call | None = None
        self._calls: dict[int, _Call] = {}
        self._waiting: deque[Words | Thinking | _Call] = deque()

    def write(self, piece: Piece | Finish) -> bytes:
        """Return the events of a piece, the first with `message_start` before it, up to `message_stop`."""
        written = self._write(piece)
        self._said += bool(written)
        return written

    def _write(self, piece: Piece | Finish) -> bytes:
        match piece:
            case CallArguments(index, text):
                return self._argue(index, text) if text else b""
            case Finish():
                return self._finish(piece)
            case CallBegins(index):
                said = self._calls[index] = _Call(piece)
                self._waiting.append(said)
            case Words() | Thinking():
                self._waiting.append(piece)
        return self._go_on() if len(self._waiting) == 1 else b""

    def _go_on(self) -> bytes:
        """Write what waits, up to the next call that is not whole."""
        written = b""
        while self._waiting and (self._call is None or self._call.is_whole):
            written += self._tell(self._waiting.popleft())
        return written

    def _tell(self, said: Words | Thinking | _Call) -> bytes:
        match said:
            case Words(text, is_refusal):
                self._refuses = self._refuses or is_refusal
                return self._say("text", {"type": "text_delta", "text": text}) if text else b""
            case Thinking():
                return self._think(said)
            case _Call():
                written, self._call = self._close(), said
                return written + (self._say_arguments(said, said.text) if said.text else b"")

    def _think(self, piece: Thinking) -> bytes:
        written = b""
        if piece.redacted:
            block = {"type": "redacted_thinking", "data": piece.redacted}
            written += self._close() + self._start(block, "redacted_thinking") + self._close()
        if piece.text:
            written += self._say("thinking", {"type": "thinking_delta", "thinking": piece.text})
        if piece.signature:  # it ends its block: what comes next has another
            written += self._say("thinking", {"type": "signature_delta", "signature": piece.signature}) + self._close()
        return written

    def _argue(self, index: int, text: str) -> bytes:
        call = self._calls.get(index)
        if call is None:
            return b""
        call.arguments.append(text)
        return self._say_arguments(call, text) + self._go_on() if call is self._call else b""

    def _finish(self, finish: Finish) -> bytes:
        is_cut_off = finish.reason == "length"
        written = self._opening() + self._close(is_cut_off=is_cut_off)
        for said in self._waiting:
            if not (is_cut_off and isinstance(said, _Call) and not said.is_whole):
                written += self._tell(said)
        delta = {"stop_reason": _reason(finish, refuses=self._refuses), "stop_sequence": None}
        usage = write_usage(finish.usage or Usage(uncached=self._input_tokens, output=self._said))
        end = _event({"type": "message_delta", "delta": delta, "usage": usage}) + _event({"type": "message_stop"})
        return written + self._close() + end

    def _say(self, kind: str, delta: Mapping[str, Any]) -> bytes:
        """Write a delta into the open block, or into a new one where another kind is open."""
        if self._open == kind:
            return self._delta(delta)
        return self._close() + self._start({"type": kind, **_EMPTY[kind]}, kind) + self._delta(delta)

    def _start(self, block: Mapping[str, Any], kind: str) -> bytes:
        self._open = kind
        return self._opening() + _event({"type": "content_block_start", "index": self._index, "content_block": block})

    def _say_arguments(self, call: _Call, text: str) -> bytes:
        started = b"" if self._open else self._start_call(call)
        return started + self._delta({"type": "input_json_delta", "partial_json": text})

    def _start_call(self, call: _Call) -> bytes:
        name = self._names.get(call.begins.name, call.begins.name)
        return self._start({"type": "tool_use", "id": call.begins.id, "name": name, "input": {}}, "tool_use")

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return _event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self, *, is_cut_off: bool = False) -> bytes:
        """End the open block, if any; a call without arguments begins with that, unless it was cut off before them."""
        written = self._start_call(self._call) if self._call and not self._open and not is_cut_off else b""
        if self._open:
            written += _event({"type": "content_block_stop", "index": self._index})
            self._index += 1
        self._open, self._call = "", None
        return written

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        usage = write_usage(Usage(uncached=self._input_tokens))
        return _event({"type": "message_start", "message": _message(self._head, [], None, usage)})


class WholeWriter:
    """Writes one message, at the `Finish`; `head` and `names` are those of a stream.

    `input_tokens` is an estimate for an answer whose provider does not tell what it used.
    """

    def __init__(
        self, head: Mapping[str, Any], names: Mapping[str, str] | None = None, *, input_tokens: int = 0
    ) -> None:
        self._head = head
        self._names = names or {}
        self._input_tokens = input_tokens
        self._blocks: list[dict[str, Any]] = []
        self._refuses = False
        self._calls: dict[int, _Call] = {}

    def write(self, piece: Piece | Finish) -> bytes:
        """Keep a piece, and return the whole message at the end.

        Raises `Broken` for arguments of a call that are no object; where they were cut off by `max_tokens`, the call is
        left out.
        """
        match piece:
            case Words(text, is_refusal) if text:
                self._refuses = self._refuses or is_refusal
                self._block("text")["text"] += text
            case Thinking():
                self._think(piece)
            case CallBegins(index):
                self._calls[index] = _Call(piece)
                self._blocks.append({"type": "tool_use", "call": self._calls[index]})
            case CallArguments(index, text) if index in self._calls:
                self._calls[index].arguments.append(text)
            case Finish():
                return self._whole(piece)
        return b""

    def _think(self, piece: Thinking) -> None:
        if piece.redacted:
            self._blocks.append({"type": "redacted_thinking", "data": piece.redacted})
        if piece.text:
            self._block("thinking")["thinking"] += piece.text
        if piece.signature:
            self._block("thinking")["signature"] = piece.signature

    def _block(self, kind: str) -> dict[str, Any]:
        """Return the block that is being said, a new one where another kind or a signed one stands last."""
        if not self._blocks or self._blocks[-1]["type"] != kind or self._blocks[-1].get("signature"):
            self._blocks.append({"type": kind, **_EMPTY[kind]})
        return self._blocks[-1]

    def _whole(self, finish: Finish) -> bytes:
        content = []
        for block in self._blocks:
            call = block.get("call")
            if call is None:
                content.append(block)
            elif call.is_whole or (not call.text.strip() and finish.reason != "length"):
                arguments = _as_told(call.text.strip() or "{}")
                name = self._names.get(call.begins.name, call.begins.name)
                content.append({"type": "tool_use", "id": call.begins.id, "name": name, "input": arguments})
            elif finish.reason != "length":
                raise Broken("The provider's model called a tool with arguments that are no JSON object.")
        reason = _reason(finish, refuses=self._refuses)
        usage = finish.usage or Usage(uncached=self._input_tokens, output=tokens.of_text(json_text(content)))
        return json_text(_message(self._head, content, reason, write_usage(usage))).encode()


def _message(head: Mapping[str, Any], content: list[Any], reason: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": head["id"],
        "type": "message",
        "role": "assistant",
        "model": head["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _reason(finish: Finish, *, refuses: bool) -> str:
    """Return why a message ended: one that refuses in words ended for that, where a chat just stops."""
    return "refusal" if refuses and finish.reason == "stop" else _REASONS.get(finish.reason, "end_turn")


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _as_told(arguments: str) -> Any:
    try:
        return bodies.exactly(arguments)
    except RecursionError:
        raise Broken("The provider's model called a tool with arguments that are nested too deep.") from None


def _event(told: Mapping[str, Any]) -> bytes:
    return sse.event(orjson.dumps(told), name=str(told["type"]).encode())
