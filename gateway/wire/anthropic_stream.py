"""Answers of Anthropic's Messages, streams and whole ones, read into pieces.

Source: the public documentation of Anthropic's streaming and the types of its official SDK.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.errors import Broken
from gateway.exchange import Finish, Usage
from gateway.wire import failures, pieces
from gateway.wire.fields import as_count, as_object, as_objects, as_text, load

_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def read_usage(usage: Any) -> Usage | None:
    """Return the tokens of a `usage`, none below zero; None where it tells no tokens.

    `input_tokens` counts neither what was read from the cache nor what was written to it.
    """
    if not isinstance(usage, dict) or not usage.keys() & {"input_tokens", "output_tokens"}:
        return None
    output = as_count(usage.get("output_tokens"))
    written = as_count(usage.get("cache_creation_input_tokens"))
    for_an_hour = as_count(as_object(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    reasoning = as_count(as_object(usage.get("output_tokens_details")).get("thinking_tokens"))
    return Usage(
        uncached=as_count(usage.get("input_tokens")),
        cache_read=as_count(usage.get("cache_read_input_tokens")),
        cache_write=written,
        cache_write_1h=min(for_an_hour, written),
        output=output,
        reasoning=min(reasoning, output),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return a usage in Anthropic's shape."""
    return {
        "input_tokens": usage.uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
        **({"cache_creation": _kept(usage)} if usage.cache_write_1h else {}),
        **({"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {}),
    }


def _kept(usage: Usage) -> dict[str, int]:
    for_minutes = usage.cache_write - usage.cache_write_1h
    return {"ephemeral_5m_input_tokens": for_minutes, "ephemeral_1h_input_tokens": usage.cache_write_1h}


class StreamReader(pieces.StreamReader):
    """Reads the events of a message. Those of an unknown type are passed over, and so are blocks.

    The arguments of the tool named `form_tool` are the words of the answer.
    """

    def __init__(self, form_tool: str = "") -> None:
        super().__init__()
        self._blocks = _Blocks(form_tool)
        self._counted: dict[str, Any] = {}

    @property
    def told(self) -> Finish:
        """How the answer ended and what it used, as far as the stream has told; what is counted twice counts last."""
        return Finish(self._blocks.reason(self._reason), read_usage(self._counted))

    def _read(self, data: bytes) -> Iterator[Piece | Finish]:
        event = load(data)
        if error := event.get("error"):
            raise failures.in_band(error)
        index = as_count(event.get("index"))
        match event.get("type"):
            case "message_start":
                self._count(as_object(event.get("message")))
            case "content_block_start":
                yield from self._blocks.start(index, as_object(event.get("content_block")))
            case "content_block_delta":
                yield from self._blocks.read(index, as_object(event.get("delta")))
            case "content_block_stop":
                yield from self._blocks.stop(index)
            case "message_delta":
                self._reason = as_text(as_object(event.get("delta")).get("stop_reason")) or self._reason
                self._count(event)
            case "message_stop" if self._reason or self._seen:
                self._reason = self._reason or "end_turn"
                yield from self._end()

    def _end(self) -> Iterator[Piece | Finish]:
        yield from self._blocks.rest()
        yield from super()._end()

    def _count(self, message: Mapping[str, Any]) -> None:
        usage = as_object(message.get("usage"))
        self._counted |= {name: value for name, value in usage.items() if value is not None}


def read_answer(raw: bytes, form_tool: str = "") -> list[Piece | Finish]:
    """Return the pieces of a whole answer; raises the failure of an error told in it, or `Broken` when it is none.

    The arguments of the tool named `form_tool` are the words of the answer.
    """
    answer = load(raw)
    if error := answer.get("error"):
        raise failures.in_band(error)
    if not isinstance(answer.get("content"), list):
        raise Broken("The provider answered 200 without a message.")
    blocks = _Blocks(form_tool)
    said: list[Piece | Finish] = []
    for index, block in enumerate(as_objects(answer["content"])):
        said += [*blocks.start(index, block), *blocks.stop(index)]
    reason = blocks.reason(as_text(answer.get("stop_reason")) or "end_turn")
    return [*said, *blocks.rest(), Finish(reason, read_usage(answer.get("usage")))]


class _Blocks:
    """Reads the blocks of one answer, and counts its calls.

    Where a tool takes the answer, words beside it are none of it: they are held back for a model that never calls it.
    """

    def __init__(self, form_tool: str) -> None:
        self._form_tool = form_tool
        self._formed: int | None = None
        self._held: list[Piece] = []
        self._calls: dict[int, int] = {}
        self._inputs: dict[int, Any] = {}

    def reason(self, told: str) -> str:
        """Return why the answer ended: with calls it ended for them, whatever a server says."""
        reason = _REASONS.get(told, "stop" if told else "")
        if self._formed is not None and not self._calls and reason == "tool_calls":
            return "stop"
        return "tool_calls" if self._calls and reason == "stop" else reason

    def rest(self) -> list[Piece]:
        """Return what was held back, if it is the answer after all."""
        return self._held if self._formed is None else []

    def start(self, index: int, block: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what a block says at its start, which in a whole answer is all but the input of a call."""
        match block.get("type"):
            case "tool_use":
                yield from self._start_call(index, block)
            case "redacted_thinking":
                yield Thinking(redacted=as_text(block.get("data")))
            case "text":
                yield from self.read(index, {**block, "type": "text_delta"})
            case "thinking":
                yield from self.read(index, {**block, "type": "thinking_delta"})
                yield from self.read(index, {**block, "type": "signature_delta"})

    def read(self, index: int, delta: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what a delta of a block says."""
        kind = as_text(delta.get("type"))
        text = as_text(delta.get(_DELTAS[kind])) if kind in _DELTAS else ""
        if kind == "text_delta" and text and self._form_tool:
            self._held.append(Words(text))
        elif kind != "input_json_delta" and text:
            yield _SAID[kind](text)
        elif text and (index in self._calls or index == self._formed):
            self._inputs.pop(index, None)
            yield self._argued(index, text)

    def stop(self, index: int) -> Iterator[Piece]:
        """Yield the input of a call that came without deltas."""
        if index in self._inputs:
            yield self._argued(index, pieces.json_text(as_object(self._inputs.pop(index))))

    def _start_call(self, index: int, block: Mapping[str, Any]) -> Iterator[Piece]:
        name = as_text(block.get("name"))
        if self._form_tool and name == self._form_tool:
            if self._formed is None:  # an answer is told once
                self._formed, self._inputs[index] = index, block.get("input")
            return
        self._inputs[index] = block.get("input")
        self._calls[index] = len(self._calls)
        yield CallBegins(self._calls[index], as_text(block.get("id")), name)

    def _argued(self, index: int, text: str) -> Piece:
        return Words(text) if index == self._formed else CallArguments(self._calls[index], text)


_DELTAS: Final[Mapping[str, str]] = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_SAID: Final[Mapping[str, Callable[[str], Piece]]] = {
    "text_delta": Words,
    "thinking_delta": Thinking,
    "signature_delta": lambda signature: Thinking(signature=signature),
}
