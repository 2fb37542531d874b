"""Answers of chat completions: streams and whole ones, read into pieces and written from them.

Source: the public API reference of OpenAI and the types of its official SDK. Reasoning, which OpenAI does not show, has
the name that DeepSeek gave it and that others took over: `reasoning_content`, or `reasoning` where vLLM says so. Where
its model signs or seals it, `thinking_blocks` has it as well, in the blocks of Anthropic: `thinking` with its text and
`signature`, `redacted_thinking` with its `data`. A client that sends them back in its history keeps the model's thread.
In a stream a block comes whole, at its end, with an `index` by which the official SDK collects it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Thought, Words
from gateway.errors import Broken
from gateway.exchange import Finish
from gateway.wire import call_signatures, failures, pieces, sse
from gateway.wire.anthropic_blocks import write_thought
from gateway.wire.fields import as_object, as_objects, as_text, load
from gateway.wire.openai import DONE, read_usage, write_usage

# Other servers' words beside OpenAI's own; what is not known ends an answer as any other end does.
REASONS: Final[Mapping[str, str]] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "insufficient_system_resource": "length",  # DeepSeek's: the answer was broken off
}


class StreamReader(pieces.StreamReader):
    """Reads the first choice of a stream of chat completion chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._deltas = _Deltas()

    def _read(self, data: bytes) -> Iterator[Piece | Finish]:
        if data == DONE:
            if self._reason or self._seen:
                self._reason = self._reason or "stop"
                yield from self._end()
            return
        chunk = load(data)
        if error := chunk.get("error"):
            raise failures.in_band(error)
        self._usage = read_usage(chunk.get("usage")) or self._usage
        for choice in as_objects(chunk.get("choices")):
            if not choice.get("index"):
                yield from self._deltas.read(as_object(choice.get("delta")), as_text(chunk.get("id")))
                self._reason = as_text(choice.get("finish_reason")) or self._reason

    @property
    def told(self) -> Finish:
        """How the answer ended and what it used, as far as the stream has told."""
        return Finish(self._deltas.reason(self._reason), self._usage)


def read_answer(raw: bytes) -> list[Piece | Finish]:
    """Return the pieces of a whole answer; raises the failure of an error told in it, or `Broken` when it is none."""
    answer = load(raw)
    if error := answer.get("error"):
        raise failures.in_band(error)
    choices = as_objects(answer.get("choices"))
    if not choices:
        raise Broken("The provider answered 200 without a completion.")
    message = as_object(choices[0].get("message"))
    calls = [call | {"index": index} for index, call in enumerate(as_objects(message.get("tool_calls")))]
    deltas = _Deltas()
    said = list(deltas.read(message | {"tool_calls": calls}, as_text(answer.get("id"))))
    reason = deltas.reason(as_text(choices[0].get("finish_reason")) or "stop")
    return [*said, Finish(reason, read_usage(answer.get("usage")))]


class _Deltas:
    """Reads the deltas of one answer, or the one message of a whole answer, and counts its calls."""

    def __init__(self) -> None:
        self._calls: dict[int, CallBegins] = {}
        self._argued: set[int] = set()
        self._begun = 0
        self._thought: list[str] = []

    def read(self, delta: Mapping[str, Any], answer: str) -> Iterator[Piece]:
        """Yield the pieces of a delta of the answer with this id."""
        yield from self._read_thoughts(delta)
        for name in ("content", "refusal"):
            if words := _words(delta.get(name)):
                self._thought.clear()
                yield Words(words, is_refusal=name == "refusal")
        for call in as_objects(delta.get("tool_calls")):
            self._thought.clear()
            yield from self._read_call(call, answer)

    def reason(self, told: str) -> str:
        """Return why the answer ended: with calls it ended for them, also where a server says `stop`."""
        reason = REASONS.get(told, "stop" if told else "")
        return "tool_calls" if self._begun and reason == "stop" else reason

    def _read_thoughts(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield the reasoning once: a block says again what the text beside it says, or all that came before it."""
        text = as_text(delta.get("reasoning_content")) or as_text(delta.get("reasoning"))
        text = text or "".join(_words(part.get("thinking")) for part in as_objects(delta.get("content")))
        blocks = as_objects(delta.get("thinking_blocks"))
        if text and not any(block.get("thinking") for block in blocks):
            self._thought.append(text)
            yield Thinking(text)
        for block in blocks:
            yield from self._read_block(block, is_said=not text)

    def _read_block(self, block: Mapping[str, Any], *, is_said: bool) -> Iterator[Piece]:
        text, signature, data = (as_text(block.get(name)) for name in ("thinking", "signature", "data"))
        if text and not (is_said and signature and text == "".join(self._thought)):
            self._thought.append(text)
            yield Thinking(text)
        for piece in (Thinking(signature=signature), Thinking(redacted=data)):
            if piece != Thinking():
                self._thought.clear()
                yield piece

    def _read_call(self, call: Mapping[str, Any], answer: str) -> Iterator[Piece]:
        """Yield the pieces of a call; servers that count badly tell a new one by its id, or leave the index out."""
        given = call.get("index")
        place = given if isinstance(given, int) else -1
        function = as_object(call.get("function"))
        name, call_id = as_text(function.get("name")), as_text(call.get("id"))
        known = self._calls.get(place)
        if name and (known is None or place < 0 or (call_id and call_id != known.id)):
            known = CallBegins(self._begun, call_id or f"call_{answer}_{self._begun}", name)
            self._calls[place] = known
            self._begun += 1
            if signature := call_signatures.read(call):
                yield Thinking(signature=signature)
            yield known
        arguments = function.get("arguments")
        text = pieces.json_text(arguments) if isinstance(arguments, dict) else as_text(arguments)
        if known and text and (text != "null" or known.index in self._argued):  # alone it stands for no arguments
            self._argued.add(known.index)
            yield CallArguments(known.index, text)


def _words(content: Any) -> str:
    """Return the words of a content, which some servers give as a list of parts."""
    return as_text(content) or "".join(as_text(part.get("text")) for part in as_objects(content))


class StreamWriter:
    """Writes the events of a stream; `head` holds `id`, `created` and `model`.

    A usage is told only to those who asked for it, and only if there is one.
    """

    reasons: Mapping[str, str] = REASONS

    def __init__(self, head: Mapping[str, Any], *, include_usage: bool = False) -> None:
        self._head = {**head, "object": "chat.completion.chunk"}
        self._include_usage = include_usage
        self._begun = False
        self._without_arguments: dict[int, None] = {}
        self._thought: list[str] = []
        self._blocks = 0

    def write(self, piece: Piece | Finish) -> bytes:
        """Return the events of a piece, the first with the role before it; `Finish` is written up to `[DONE]`."""
        match piece:
            case Finish():
                return self._finish(piece)
            case Thinking():
                return self._think(piece)
            case CallBegins(index):
                self._without_arguments[index] = None
            case CallArguments(index, text) if text:
                self._without_arguments.pop(index, None)
        self._thought.clear()
        return self._say(self.delta(piece))

    def delta(self, piece: Piece) -> dict[str, Any]:
        """Return what a chunk says of a piece, empty where that is nothing."""
        match piece:
            case Words(text, is_refusal):
                return {"refusal" if is_refusal else "content": text} if text else {}
            case Thinking(text):
                return {"reasoning_content": text} if text else {}
            case CallBegins(index):
                return {"tool_calls": [{"index": index, **_call(piece, "")}]}
            case CallArguments(index, text):
                return {"tool_calls": [{"index": index, "function": {"arguments": text}}]} if text else {}

    def _think(self, piece: Thinking) -> bytes:
        written = self._block(Thought(redacted=piece.redacted)) if piece.redacted else b""
        if piece.text:
            self._thought.append(piece.text)
            written += self._say(self.delta(piece))
        if piece.signature:
            written += self._block(Thought("".join(self._thought), piece.signature))
        return written

    def _block(self, thought: Thought) -> bytes:
        self._thought.clear()
        block = {"index": self._blocks, **write_thought(thought)}
        self._blocks += 1
        return self._say({"thinking_blocks": [block]})

    def _finish(self, finish: Finish) -> bytes:
        written = [self._opening()]
        if finish.reason != "length":  # else they were cut off, and nobody knows what was to come
            written += [self._say(self.delta(CallArguments(index, "{}"))) for index in self._without_arguments]
        written.append(self._chunk({}, self.reasons.get(finish.reason, "stop")))
        if self._include_usage and finish.usage:
            told = {**self._head, "choices": [], "usage": write_usage(finish.usage)}
            written.append(sse.event(orjson.dumps(told)))
        return b"".join([*written, sse.event(DONE)])

    def _say(self, delta: Mapping[str, Any]) -> bytes:
        return self._opening() + self._chunk(delta) if delta else b""

    def _opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._chunk({"role": "assistant", "content": ""})

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        unused = {"usage": None} if self._include_usage else {}
        return sse.event(orjson.dumps({**self._head, "choices": [choice], **unused}))


class WholeWriter:
    """Writes one chat completion, at the `Finish`; `head` holds `id`, `created` and `model`."""

    reasons: Mapping[str, str] = REASONS

    def __init__(self, head: Mapping[str, Any]) -> None:
        self._head = head
        self._words: list[str] = []
        self._refusal: list[str] = []
        self._thoughts: list[Thought] = []
        self._thinks = False
        self._calls: dict[int, CallBegins] = {}
        self._arguments: dict[int, list[str]] = {}

    def write(self, piece: Piece | Finish) -> bytes:
        """Keep a piece, and return the whole answer at the end."""
        match piece:
            case Words(text, is_refusal):
                (self._refusal if is_refusal else self._words).append(text)
            case Thinking():
                self._think(piece)
                return b""
            case CallBegins(index):
                self._calls[index] = piece
            case CallArguments(index, text):
                self._arguments.setdefault(index, []).append(text)
            case Finish():
                return self._whole(piece)
        self._thinks = False
        return b""

    def calls(self, reason: str) -> dict[str, Any]:
        """Return what the message says of the calls of the answer, but for those cut off before their arguments."""
        told = [(call, "".join(self._arguments.get(index, ()))) for index, call in sorted(self._calls.items())]
        calls = [_call(call, arguments or "{}") for call, arguments in told if arguments or reason != "length"]
        return {"tool_calls": calls} if calls else {}

    def _think(self, piece: Thinking) -> None:
        """Keep a thought, as a part of the last one until that is signed or something else is said."""
        if piece.redacted:
            self._thoughts.append(Thought(redacted=piece.redacted))
            self._thinks = False
        if not piece.text and not piece.signature:
            return
        last = self._thoughts.pop() if self._thinks else Thought()
        self._thoughts.append(Thought(last.text + piece.text, piece.signature))
        self._thinks = not piece.signature

    def _whole(self, finish: Finish) -> bytes:
        text, refusal = "".join(self._words), "".join(self._refusal)
        thought = "".join(thought.text for thought in self._thoughts)
        is_known_again = any(thought.is_known_again for thought in self._thoughts)
        message = {
            "role": "assistant",
            "content": text if text or not (self._calls or refusal) else None,
            "refusal": refusal or None,
            **({"reasoning_content": thought} if thought else {}),
            **({"thinking_blocks": [write_thought(each) for each in self._thoughts]} if is_known_again else {}),
            **self.calls(finish.reason),
        }
        reason = self.reasons.get(finish.reason, "stop")
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        usage = {"usage": write_usage(finish.usage)} if finish.usage else {}
        return orjson.dumps({**self._head, "object": "chat.completion", "choices": [choice], **usage})


def _call(call: CallBegins, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
