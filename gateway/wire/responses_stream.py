"""Answers of the Responses API, streams and whole ones, read into pieces.

Source: the public API reference of OpenAI and the types of its official SDK. Beside the summaries of reasoning that
OpenAI shows, other servers show the reasoning itself, under `reasoning_text`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.conversation import CallArguments, CallBegins, Piece, Thinking, Words
from gateway.errors import Broken
from gateway.exchange import Finish, Usage
from gateway.wire import failures, pieces, responses_thoughts, responses_tools
from gateway.wire.fields import as_count, as_object, as_objects, as_text, load, tells_tokens

_CUT_OFF: Final[Mapping[str, str]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
LAST: Final = frozenset({"response.completed", "response.incomplete"})
"""The events that end a stream."""
_FAILED: Final = frozenset({"failed", "cancelled"})


def read_usage(usage: Any) -> Usage | None:
    """Return the tokens of a `usage` in disjoint buckets, none below zero; None where it tells none.

    `input_tokens` counts what was read from the cache, and what was written to it, as well.
    """
    if not tells_tokens(usage, "input_tokens", "output_tokens"):
        return None
    details = as_object(usage.get("input_tokens_details"))
    total, output = as_count(usage.get("input_tokens")), as_count(usage.get("output_tokens"))
    cached = min(total, as_count(details.get("cached_tokens")))
    written = min(total - cached, as_count(details.get("cache_write_tokens")))
    reasoning = as_count(as_object(usage.get("output_tokens_details")).get("reasoning_tokens"))
    return Usage(
        uncached=total - cached - written,
        cache_read=cached,
        cache_write=written,
        output=output,
        reasoning=min(reasoning, output),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """Return a usage in the shape of the Responses API."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


def read_end(response: Mapping[str, Any]) -> str:
    """Return why a response ended, as far as it says so itself; raises the failure of one, with its usage."""
    status = as_text(response.get("status"))
    if response.get("error") or status in _FAILED:
        failure = failures.in_band(response.get("error") or f"the response has {status}")
        failure.usage = read_usage(response.get("usage"))
        raise failure
    why = as_text(as_object(response.get("incomplete_details")).get("reason"))
    return _CUT_OFF.get(why, "length" if status == "incomplete" and not why else "stop")


def read_error(event: Mapping[str, Any]) -> None:
    """Raise the failure that an event tells of: an error of its own, or a response that failed."""
    if event.get("type") == "error" or event.get("error"):
        raise failures.in_band(event.get("error") or {**event, "type": ""})
    if event.get("type") == "response.failed":
        read_end({**as_object(event.get("response")), "status": "failed"})


class StreamReader(pieces.StreamReader):
    """Reads the events of a response. Those of an unknown type are passed over, and so are items."""

    def __init__(self) -> None:
        super().__init__()
        self._items = _Items()

    @property
    def told(self) -> Finish:
        """How the answer ended and what it used, as far as the stream has told."""
        return Finish(self._items.reason(self._reason), self._usage)

    def _read(self, data: bytes) -> Iterator[Piece | Finish]:
        event = load(data)
        read_error(event)
        kind, place = as_text(event.get("type")), as_count(event.get("output_index"))
        if kind == "response.output_item.added":
            yield from self._items.begin(place, as_object(event.get("item")))
        elif kind == "response.output_item.done":
            yield from self._items.end(place, as_object(event.get("item")))
        elif kind in LAST:
            yield from self._last(as_object(event.get("response")))
        else:
            yield from self._items.read(place, kind, event)

    def _last(self, response: Mapping[str, Any]) -> Iterator[Piece | Finish]:
        """Read the whole response that ends a stream; its output only where nothing came before."""
        if not self._seen:
            yield from self._items.whole(response)
        self._reason, self._usage = read_end(response), read_usage(response.get("usage"))
        yield from self._end()


def read_answer(raw: bytes) -> list[Piece | Finish]:
    """Return the pieces of a whole answer; raises the failure of an error told in it, or `Broken` when it is none."""
    answer = load(raw)
    reason = read_end(answer)
    if not isinstance(answer.get("output"), list):
        raise Broken("The provider answered 200 without a response.")
    items = _Items()
    said = [*items.whole(answer)]
    return [*said, Finish(items.reason(reason), read_usage(answer.get("usage")))]


class _Items:
    """Reads the items of one answer, and counts its calls."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        self._told: set[int] = set()

    def reason(self, told: str) -> str:
        """Return why the answer ended: with calls it ended for them."""
        return "tool_calls" if self._calls and told == "stop" else told

    def whole(self, response: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what the output of a response says."""
        for place, item in enumerate(as_objects(response.get("output"))):
            yield from self.end(place, item)

    def begin(self, place: int, item: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what the beginning of an item says, which is nothing but the name of a call."""
        if as_text(item.get("type")) in {"function_call", "custom_tool_call"}:
            self._calls[place] = len(self._calls)
            name = responses_tools.joined_name(as_text(item.get("name")), as_text(item.get("namespace")))
            yield CallBegins(self._calls[place], as_text(item.get("call_id")), name)

    def read(self, place: int, kind: str, event: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what an event says within an item."""
        text = as_text(event.get("delta"))
        if kind == "response.reasoning_summary_part.added" and event.get("summary_index"):
            yield Thinking("\n\n")
        elif kind == "response.function_call_arguments.delta" and text and place in self._calls:
            self._told.add(place)
            yield CallArguments(self._calls[place], text)
        elif kind in _DELTAS and text:
            self._told.add(place)
            yield _DELTAS[kind](text)

    def end(self, place: int, item: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what the end of an item says: what has not been told before, and the envelope of reasoning."""
        is_new = place not in self._told
        match item.get("type"):
            case "message" if is_new:
                yield from _said(item)
            case "reasoning":
                yield from _thought(item, is_new=is_new)
            case "function_call" | "custom_tool_call":
                if place not in self._calls:
                    yield from self.begin(place, item)
                if is_new:
                    yield CallArguments(self._calls[place], _arguments(item))


def _said(item: Mapping[str, Any]) -> Iterator[Piece]:
    for part in as_objects(item.get("content")):
        for name in ("text", "refusal"):
            if text := as_text(part.get(name)):
                yield Words(text, is_refusal=name == "refusal")


def _thought(item: Mapping[str, Any], *, is_new: bool) -> Iterator[Piece]:
    parts = as_objects(item.get("summary")) or as_objects(item.get("content"))
    text = "\n\n".join(as_text(part.get("text")) for part in parts)
    if is_new and text:
        yield Thinking(text)
    signature, redacted = responses_thoughts.unseal(as_text(item.get("encrypted_content"))) or ("", "")
    if signature:
        yield Thinking(signature=signature)
    if redacted:
        yield Thinking(redacted=redacted)


def _arguments(item: Mapping[str, Any]) -> str:
    if item.get("type") == "custom_tool_call":
        return responses_tools.as_arguments(as_text(item.get("input")))
    given = item.get("arguments")
    return pieces.json_text(given) if isinstance(given, dict) else as_text(given) or "{}"


_DELTAS: Final[Mapping[str, Callable[[str], Piece]]] = {
    "response.output_text.delta": Words,
    "response.refusal.delta": lambda text: Words(text, is_refusal=True),
    "response.reasoning_summary_text.delta": Thinking,
    "response.reasoning_text.delta": Thinking,
}
